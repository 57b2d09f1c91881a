/* The verbs that are about a node and not about a pod: STATUS and GC. CNI has them since 1.1.0. */
#include "delegate/chain_shape.h"
#include "delegate/result.h"
#include "plugin/base/log.h"

#include <errno.h>

static bool has_node_verbs(const struct chain *chain)
{
	return cni_version_at_least(chain->version, "1.1.0");
}

static int call_program(const struct chain *chain, const char *type, const struct call_params *params,
	const cJSON *conf, int64_t deadline, struct error *e)
{
	cleanup_free char *text = json_print(conf);
	cleanup_call struct call *call = NULL;

	if (clock_now() >= deadline)
		error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "no time was left to call plugin type=\"%s\"", type);
	else if (call_start(params, type, text, deadline, &call, e) == 0)
		call_finish(call, NULL, NULL, e);
	if (e->err && (!e->details || !*e->details))
		error_details(e, "delegate \"%s\" (%s)", chain->name, type);
	return e->err;
}

int chain_status(struct chain *chain, const struct call_params *params, int64_t deadline, struct error *e)
{
	for (size_t i = 0; has_node_verbs(chain) && i < chain->count; i++) {
		cleanup_json cJSON *conf = chain_plugin_json(chain, i);
		int r = call_program(
			chain, chain->plugins[i].type, params, conf, clock_share(deadline, chain->count - i), e);

		if (r < 0)
			return r;
	}
	return 0;
}

int chain_status_ipam(
	struct chain *chain, const char *ipam, const struct call_params *params, int64_t deadline, struct error *e)
{
	cleanup_json cJSON *conf = chain_plugin_json(chain, 0);

	return has_node_verbs(chain) ? call_program(chain, ipam, params, conf, deadline, e) : 0;
}

/* The specification's key, and libcni's older one, which some plugins read. */
static cJSON *gc_config(const struct chain *chain, size_t i, const cJSON *valid)
{
	cJSON *conf = chain_plugin_json(chain, i);

	json_remove(conf, "prevResult");
	json_put(conf, "cni.dev/valid-attachments", json_copy(valid));
	json_put(conf, "cni.dev/attachments", json_copy(valid));
	return conf;
}

int chain_gc(
	struct chain *chain, const struct call_params *params, const cJSON *valid, int64_t deadline, struct error *e)
{
	for (size_t i = 0; has_node_verbs(chain) && !chain->disable_gc && i < chain->count; i++) {
		cleanup_json cJSON *conf = gc_config(chain, i, valid);
		cleanup_error struct error failed = {0};

		call_program(
			chain, chain->plugins[i].type, params, conf, clock_share(deadline, chain->count - i), &failed);
		error_add(e, &failed);
	}
	return e->err;
}

int chain_gc_ipam(struct chain *chain, const char *ipam, const struct call_params *params, const cJSON *valid,
	int64_t deadline, struct error *e)
{
	cleanup_json cJSON *conf = gc_config(chain, 0, valid);

	return has_node_verbs(chain) ? call_program(chain, ipam, params, conf, deadline, e) : 0;
}
