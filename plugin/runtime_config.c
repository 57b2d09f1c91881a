/* runtimeConfig as multus's structs hold it (its types.RuntimeConfig): who is called by multus's name gives delegates
 * the same JSON. What is malformed stays as it is: the plugin that wants it says what is wrong with it. */
#include "plugin/attachment.h"
#include "plugin/device_info.h"

#include <string.h>

/* A member of Go's struct; omitempty: left out when it is "" or absent. */
struct member {
	const char *key;
	bool is_text;
};

static const struct member port_mapping[] = {
	{"hostPort", false}, {"containerPort", false}, {"protocol", true}, {"hostIP", true}};
static const struct member bandwidth[] = {
	{"ingressRate", false}, {"ingressBurst", false}, {"egressRate", false}, {"egressBurst", false}};

/* An integer as the document has it: cJSON keeps the large ones in their own spelling. */
static bool is_integer(const cJSON *value)
{
	return cJSON_IsRaw(value) || json_is_whole(value);
}

/* NULL: not what Go would take for such a struct. */
static cJSON *print_struct(const cJSON *value, const struct member *members, size_t count)
{
	cleanup_json cJSON *out = cJSON_CreateObject();

	if (!cJSON_IsObject(value))
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const cJSON *member = json_get(value, members[i].key);

		if (member && !(members[i].is_text ? cJSON_IsString(member) : is_integer(member)))
			return NULL;
		if (!members[i].is_text)
			json_put(out, members[i].key, member ? json_copy(member) : cJSON_CreateNumber(0));
		else if (member && *member->valuestring)
			json_put_text(out, members[i].key, member->valuestring);
	}
	return steal_ptr(out);
}

static cJSON *print_port_mappings(const cJSON *list)
{
	cleanup_json cJSON *out = cJSON_CreateArray();
	const cJSON *item;

	if (!cJSON_IsArray(list))
		return NULL;
	cJSON_ArrayForEach(item, list)
	{
		cJSON *printed = print_struct(item, port_mapping, ARRAY_SIZE(port_mapping));

		if (!printed)
			return NULL;
		cJSON_AddItemToArray(out, printed);
	}
	return steal_ptr(out);
}

/* What multus leaves out. */
static bool is_empty(const cJSON *value)
{
	return (cJSON_IsString(value) && !*value->valuestring) || (cJSON_IsArray(value) && !value->child);
}

/* One of the seven, in multus's spelling. */
static void put_member(cJSON *runtime_config, const char *key, const cJSON *value)
{
	cJSON *printed = NULL;

	if (!value || is_empty(value)) {
		json_remove(runtime_config, key);
		return;
	}
	if (strcmp(key, "portMappings") == 0)
		printed = print_port_mappings(value);
	else if (strcmp(key, "bandwidth") == 0)
		printed = print_struct(value, bandwidth, ARRAY_SIZE(bandwidth));
	if (!printed)
		printed = json_copy(value);
	json_remove(runtime_config, key);
	json_put(runtime_config, key, printed);
}

static void put_given(cJSON *runtime_config)
{
	static const char *const keys[] = {
		"portMappings", "bandwidth", "ips", "mac", "infinibandGUID", "deviceID", "CNIDeviceInfoFile"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		cleanup_json cJSON *value = json_copy(json_get(runtime_config, keys[i]));

		put_member(runtime_config, keys[i], value);
	}
}

static void put_asked(cJSON *runtime_config, const struct network_element *asked)
{
	if (asked->port_mappings)
		put_member(runtime_config, "portMappings", asked->port_mappings);
	if (asked->bandwidth)
		put_member(runtime_config, "bandwidth", asked->bandwidth);
	if (asked->ip_count > 0)
		json_put(runtime_config, "ips", network_print_ips(asked));
	else if (asked->has_ips)
		json_remove(runtime_config, "ips");
	if (asked->mac)
		json_put_text(runtime_config, "mac", asked->mac);
	if (asked->infiniband_guid)
		json_put_text(runtime_config, "infinibandGUID", asked->infiniband_guid);
	if (asked->device_id)
		json_put_text(runtime_config, "deviceID", asked->device_id);
}

cJSON *attachment_runtime_config(const struct attachment *a, const struct request *request, const struct config *config)
{
	cleanup_json cJSON *runtime_config =
		config->runtime_config ? json_copy(config->runtime_config) : cJSON_CreateObject();
	cleanup_free char *device_info = device_info_path(a, request, config);

	put_given(runtime_config);
	if (a->index > 0 && a->asked)
		put_asked(runtime_config, a->asked);
	if (device_info)
		json_put_text(runtime_config, "CNIDeviceInfoFile", device_info);
	return runtime_config->child ? steal_ptr(runtime_config) : NULL;
}
