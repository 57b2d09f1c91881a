/* An attachment that other programs make: one plugin, or a list of them. Serves every configuration. */
#include "delegate/chain.h"
#include "delegate/conf.h"
#include "plugin/addressing.h"
#include "plugin/attachment.h"
#include "plugin/device_info.h"
#include "plugin/import.h"

#include <string.h>

struct exec_private {
	struct chain *chain;
	struct call_params params; /* borrowed from the run and the attachment */
	struct addressing
		addressing; /* of a plugin that execs us as its IPAM: which of the pod's addresses are meant for it */
};

static bool serves_everything(const cJSON *conf)
{
	(void)conf;
	return true;
}

static void free_exec(struct attachment *a)
{
	struct exec_private *p = a->private;

	if (!p)
		return;
	if (p->chain)
		chain_free(p->chain);
	addressing_clear(&p->addressing);
	free(p);
	a->private = NULL;
}

static int read_chain(struct attachment *a, const struct request *request, const struct config *config, struct error *e)
{
	struct exec_private *p = allocate(1, sizeof(*p));
	cleanup_json cJSON *runtime_config = attachment_runtime_config(a, request, config);

	a->private = p;
	return chain_read(a->conf, a->path, runtime_config, &p->chain, e);
}

static int plan_exec(struct attachment *a, const struct request *request, const struct config *config, struct error *e)
{
	const cJSON *own = import_own_conf(a->conf);
	struct exec_private *p;

	/* Only here: what was made before there was such a limit has its DEL. */
	if (conf_check_plugins(a->conf, a->path, e) < 0 || read_chain(a, request, config, e) < 0)
		return e->err;
	p = a->private;
	return own ? addressing_read(own, a->path, config, &p->addressing, e) : 0;
}

static int offer_exec(struct attachment *a, const struct annotations *annotations, const struct ip_addr *addr,
	const char *source, bool *ret, struct error *e)
{
	struct exec_private *p = a->private;

	return addressing_offer(&p->addressing, annotations, addr, source, ret, e);
}

static void declare_annotations(cJSON *plugin)
{
	const cJSON *declared = json_get(plugin, "capabilities");
	cJSON *capabilities = cJSON_IsObject(declared) ? json_copy(declared) : cJSON_CreateObject();

	json_put(capabilities, ANNOTATIONS_CAPABILITY, cJSON_CreateTrue());
	json_put(plugin, "capabilities", capabilities);
}

/* Its plugins with our IPAM are handed the annotations as a runtime would: only those addresses that are its own, since
 * it would refuse, or take, those of other networks. */
static cJSON *conf_with_annotations(const struct attachment *a)
{
	cJSON *conf = json_copy(a->conf), *plugin;

	if (addressing_is_own(conf))
		declare_annotations(conf);
	cJSON_ArrayForEach(plugin, cJSON_GetObjectItemCaseSensitive(conf, "plugins"))
	{
		if (addressing_is_own(plugin))
			declare_annotations(plugin);
	}
	return conf;
}

static int tell_own_addresses(struct attachment *a, const struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	if (!import_own_conf(a->conf))
		return 0;

	cleanup_json cJSON *conf = conf_with_annotations(a);
	cleanup_json cJSON *runtime_config = attachment_runtime_config(a, run->request, run->config);

	if (!runtime_config)
		runtime_config = cJSON_CreateObject();
	json_put(runtime_config, ANNOTATIONS_CAPABILITY, addressing_annotations(&p->addressing));
	chain_free(p->chain);
	p->chain = NULL;
	return chain_read(conf, a->path, runtime_config, &p->chain, e);
}

static int inspect_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	return chain_find(p->chain, run->path, e) < 0 ? error_wrap(e, "%s", a->path) : 0;
}

static const struct call_params *call_params(struct attachment *a, const struct run *run, const char *command)
{
	struct exec_private *p = a->private;

	p->params = attachment_call(a, run, command);
	return &p->params;
}

static int start_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	if (tell_own_addresses(a, run, e) < 0)
		return e->err;
	a->made.exec = MADE_INTENDED;
	device_info_copy(a, run);
	return chain_add_start(p->chain, call_params(a, run, "ADD"), run->call_deadline, e);
}

static int finish_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	(void)run;
	if (chain_add_finish(p->chain, &a->result, e) < 0)
		return e->err;
	a->made.exec = MADE_DONE;
	return 0;
}

/* To kill a program half done would leave what no DEL finds. */
static void settle_exec(struct attachment *a)
{
	struct exec_private *p = a->private;

	if (p && p->chain)
		chain_settle(p->chain);
}

static int del_start_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p;

	if (a->made.exec == MADE_NOTHING)
		return 0;
	free_exec(a);
	if (read_chain(a, run->request, run->config, e) < 0)
		return e->err;
	p = a->private;
	chain_del_start(p->chain, call_params(a, run, "DEL"), a->result, run->call_deadline);
	return 0;
}

static bool del_ends_exec(struct attachment *a, int64_t deadline)
{
	struct exec_private *p = a->private;

	return chain_del_ends(p->chain, deadline);
}

static int del_finish_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	if (a->made.exec == MADE_NOTHING)
		return 0;
	if (chain_del_finish(p->chain, e) < 0 && !attachment_gone_with_namespace(run, e))
		return e->err;
	error_clear(e);
	device_info_remove(a, run);
	a->made.exec = MADE_NOTHING;
	return 0;
}

static int check_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p;

	free_exec(a);
	if (read_chain(a, run->request, run->config, e) < 0)
		return e->err;
	p = a->private;
	return chain_check(p->chain, call_params(a, run, "CHECK"), a->result, run->call_deadline, e);
}

static int status_exec(struct attachment *a, struct run *run, struct error *e)
{
	struct exec_private *p = a->private;

	if (chain_find(p->chain, run->path, e) < 0)
		return e->err;
	p->params = run_call(run, "STATUS");
	return chain_status(p->chain, &p->params, run->call_deadline, e);
}

static int gc_exec(struct attachment *a, struct run *run, const cJSON *valid, struct error *e)
{
	struct exec_private *p = a->private;

	p->params = run_call(run, "GC");
	return chain_gc(p->chain, &p->params, valid, run->call_deadline, e);
}

static void describe_exec(const struct attachment *a, cJSON *out)
{
	cJSON *names = cJSON_CreateArray();
	const cJSON *plugin;

	cJSON_ArrayForEach(plugin, json_get(a->conf, "plugins"))
	{
		const char *type = json_text(plugin, "type");

		cJSON_AddItemToArray(names, cJSON_CreateString(type ? type : ""));
	}
	json_put_unless_empty(out, "plugins", names);
}

const struct attachment_ops attach_exec = {
	.kind = "exec",
	.serves = serves_everything,
	.plan = plan_exec,
	.offer = offer_exec,
	.inspect = inspect_exec,
	.start = start_exec,
	.finish = finish_exec,
	.settle = settle_exec,
	.del_start = del_start_exec,
	.del_ends = del_ends_exec,
	.del_finish = del_finish_exec,
	.check = check_exec,
	.status = status_exec,
	.gc = gc_exec,
	.describe = describe_exec,
	.free = free_exec,
};
