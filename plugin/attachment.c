#include "plugin/attachment.h"

#include "plugin/base/log.h"
#include "plugin/import.h"

#include <string.h>

/* The first that serves a configuration makes it; attach_exec serves everything. */
static const struct attachment_ops *const kinds[] = {&attach_macvlan, &attach_exec};

struct attachment *attachment_new(const cJSON *conf, unsigned int index, const char *ifname)
{
	struct attachment *a = allocate(1, sizeof(*a));
	const char *name = json_text(conf, "name");

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !a->ops; i++) {
		if (kinds[i]->serves(conf))
			a->ops = kinds[i];
	}
	a->index = index;
	a->path = format_text("delegates[%u]", index);
	/* It becomes part of file names: what no network may be called is nobody's. */
	a->network = copy_text(name && is_cni_name(name) ? name : "");
	a->name = copy_text(a->network);
	a->conf = json_copy(conf);
	if (index == 0)
		snprintf(a->ifname, sizeof(a->ifname), "%s", ifname);
	else
		snprintf(a->ifname, sizeof(a->ifname), "net%u", index);
	return a;
}

unsigned int attachment_index(const char *ifname)
{
	const size_t digits = strncmp(ifname, "net", 3) == 0 ? strspn(ifname + 3, "0123456789") : 0;

	/* Three digits are more than a pod has networks. */
	if (digits == 0 || digits > 3 || ifname[3 + digits])
		return 0;
	return (unsigned int)strtoul(ifname + 3, NULL, 10);
}

void attachment_ask(struct attachment *a, struct network_element *asked)
{
	a->asked = allocate(1, sizeof(*a->asked));
	*a->asked = *asked;
	*asked = (struct network_element){0};
	if (a->asked->ifname)
		snprintf(a->ifname, sizeof(a->ifname), "%s", a->asked->ifname);
}

static void append_arg(char **args, const char *key, const char *value)
{
	char *longer = format_text("%s;%s=%s", *args, key, value);

	free(*args);
	*args = longer;
}

static void append_ips(char **args, const struct network_element *asked)
{
	cleanup_free char *list = copy_text("");

	for (size_t i = 0; i < asked->ip_count; i++) {
		char *longer = format_text("%s%s%s", list, i > 0 ? "," : "", asked->ips[i]);

		free(list);
		list = longer;
	}
	append_arg(args, "IP", list);
}

char *attachment_args(const struct attachment *a, const struct request *request, const char *command)
{
	char *args = request_delegate_args(request);

	if (strcmp(command, "ADD") == 0 && a->asked) {
		if (a->asked->mac)
			append_arg(&args, "MAC", a->asked->mac);
		if (a->asked->has_ips)
			append_ips(&args, a->asked);
	}
	return args;
}

struct call_params attachment_call(struct attachment *a, const struct run *run, const char *command)
{
	free(a->args);
	a->args = attachment_args(a, run->request, command);
	return (struct call_params){
		.command = command,
		.container_id = run->request->container_id,
		.netns = run->call_netns,
		.ifname = a->ifname,
		.args = a->args,
		.path = run->path,
	};
}

/* Go's words for ENOENT, by which multus forgets such a delegate, too. */
bool attachment_gone_with_namespace(const struct run *run, const struct error *e)
{
	if (run->pod || run->going_back || !strstr(e->message, "no such file or directory"))
		return false;
	log_write(LOG_WARNING, "the namespace is gone, and what was in it: %s", e->message);
	return true;
}

bool attachment_claims(const struct attachment *a)
{
	return a->ops->offer && import_own_conf(a->conf);
}

void attachment_free(struct attachment *a)
{
	if (a->ops->free)
		a->ops->free(a);
	free(a->path);
	free(a->network);
	free(a->name);
	if (a->asked)
		network_element_clear(a->asked);
	free(a->asked);
	free(a->resource);
	free(a->args);
	made_clear(&a->made);
	cJSON_Delete(a->conf);
	cJSON_Delete(a->result);
	free(a);
}
