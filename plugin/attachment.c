#include "plugin/attachment.h"

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
	a->network = copy_text(name && request_is_name(name) ? name : "");
	a->name = copy_text(a->network);
	a->conf = json_copy(conf);
	if (index == 0)
		snprintf(a->ifname, sizeof(a->ifname), "%s", ifname);
	else
		snprintf(a->ifname, sizeof(a->ifname), "net%u", index);
	return a;
}

void attachment_ask(struct attachment *a, struct network_element *asked)
{
	a->asked = allocate(1, sizeof(*a->asked));
	*a->asked = *asked;
	*asked = (struct network_element){0};
	if (a->asked->ifname)
		snprintf(a->ifname, sizeof(a->ifname), "%s", a->asked->ifname);
}

static void put_ips(cJSON *runtime_config, const struct network_element *asked)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < asked->ip_count; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(asked->ips[i]));
	json_put(runtime_config, "ips", list);
}

static void put_asked(cJSON *runtime_config, const struct network_element *asked)
{
	if (asked->port_mappings)
		json_put(runtime_config, "portMappings", json_copy(asked->port_mappings));
	if (asked->bandwidth)
		json_put(runtime_config, "bandwidth", json_copy(asked->bandwidth));
	if (asked->ip_count > 0)
		put_ips(runtime_config, asked);
	if (asked->mac)
		json_put_text(runtime_config, "mac", asked->mac);
	if (asked->infiniband_guid)
		json_put_text(runtime_config, "infinibandGUID", asked->infiniband_guid);
	if (asked->device_id)
		json_put_text(runtime_config, "deviceID", asked->device_id);
}

cJSON *attachment_runtime_config(const struct attachment *a, const struct config *config)
{
	cJSON *runtime_config = json_copy(config->runtime_config);

	if (a->index == 0 || !a->asked)
		return runtime_config;
	if (!runtime_config)
		runtime_config = cJSON_CreateObject();
	put_asked(runtime_config, a->asked);
	return runtime_config;
}

static void append_arg(char **args, const char *key, const char *value)
{
	char *longer = format_text("%s;%s=%s", *args, key, value);

	free(*args);
	*args = longer;
}

static void append_ips(char **args, const struct network_element *asked)
{
	cleanup_free char *list = copy_text(asked->ips[0]);

	for (size_t i = 1; i < asked->ip_count; i++) {
		char *longer = format_text("%s,%s", list, asked->ips[i]);

		free(list);
		list = longer;
	}
	append_arg(args, "IP", list);
}

struct call_params attachment_call(struct attachment *a, const struct run *run, const char *command)
{
	free(a->args);
	a->args = request_delegate_args(run->request);
	if (strcmp(command, "ADD") == 0 && a->asked) {
		if (a->asked->mac)
			append_arg(&a->args, "MAC", a->asked->mac);
		if (a->asked->ip_count > 0)
			append_ips(&a->args, a->asked);
	}
	return (struct call_params){
		.command = command,
		.container_id = run->request->container_id,
		.netns = run->call_netns,
		.ifname = a->ifname,
		.args = a->args,
		.path = run->path,
	};
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
