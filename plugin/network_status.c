#include "plugin/network_status.h"

#include "delegate/text.h"
#include "plugin/base/ip.h"

#include <string.h>

/*
 * The rules are those of the NetworkAttachmentDefinition client (CreateNetworkStatuses), which every reader of the
 * annotation has been written against. One is not kept: the gateway of a default route without one is not "<nil>".
 */

#define MAX_TEXT ((size_t)4096)

static const cJSON *get(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* What is not UTF-8 would be no JSON. */
static void put_any_text(cJSON *to, const char *key, const char *text)
{
	cleanup_free char *clean = text_clean(text, MAX_TEXT);

	json_must(cJSON_AddStringToObject(to, key, clean));
}

/* Left out when it is empty, as Go does (omitempty). */
static void put_text(cJSON *to, const char *key, const char *text)
{
	if (text && *text)
		put_any_text(to, key, text);
}

/* --- parts of an entry --- */

/* The address without its prefix length; NULL when it is none. */
static cJSON *read_ip(const cJSON *ip)
{
	struct ip_prefix prefix;
	const char *text = json_text(ip, "address");

	return text && ip_parse_prefix(text, &prefix) ? json_must(cJSON_CreateString(ip_text(&prefix.addr).s)) : NULL;
}

/* The client looks at the address alone, so that 0.0.0.0/1 counts, too. */
static bool is_default_route(const cJSON *route)
{
	static const struct ip_addr zero[] = {{.family = AF_INET}, {.family = AF_INET6}};
	struct ip_prefix prefix;
	const char *text = json_text(route, "dst");

	return text && ip_parse_prefix(text, &prefix) &&
	       (ip_compare(&prefix.addr, &zero[0]) == 0 || ip_compare(&prefix.addr, &zero[1]) == 0);
}

static cJSON *read_gateways(const cJSON *result)
{
	cJSON *gateways = json_must(cJSON_CreateArray());
	const cJSON *route;

	cJSON_ArrayForEach(route, get(result, "routes"))
	{
		const char *gw = json_text(route, "gw");

		if (gw && *gw && is_default_route(route))
			cJSON_AddItemToArray(gateways, json_must(cJSON_CreateString(gw)));
	}
	return gateways;
}

/* What a device-info file may say (NPWG device-information specification 1.1.0), in Go's order. */
static const struct device_part {
	const char *key;
	const char *members[6]; /* none: a text */
} device_parts[] = {
	{"type", {NULL}},
	{"version", {NULL}},
	{"pci", {"pci-address", "vhost-net", "rdma-device", "pf-pci-address", "representor-device"}},
	{"vdpa", {"parent-device", "driver", "path", "pci-address", "pf-pci-address", "representor-device"}},
	{"vhost-user", {"mode", "path"}},
	{"memif", {"role", "path", "mode"}},
};

static cJSON *read_device(const cJSON *device)
{
	cJSON *to = json_must(cJSON_CreateObject());

	for (size_t i = 0; i < ARRAY_SIZE(device_parts); i++) {
		const struct device_part *part = &device_parts[i];
		const cJSON *from = json_get(device, part->key);

		if (!part->members[0]) {
			put_text(to, part->key, cJSON_GetStringValue(from));
		} else if (cJSON_IsObject(from)) {
			cJSON *object = json_must(cJSON_AddObjectToObject(to, part->key));

			for (size_t k = 0; k < ARRAY_SIZE(part->members) && part->members[k]; k++)
				put_text(object, part->members[k], json_text(from, part->members[k]));
		}
	}
	return to;
}

/* --- entries --- */

/* The index of the interface of the first address that has a gateway; -1: there is none. */
static int gateway_interface(const cJSON *result)
{
	const cJSON *ip;

	cJSON_ArrayForEach(ip, get(result, "ips"))
	{
		const cJSON *index = get(ip, "interface");

		if (cJSON_IsNumber(index) && json_text(ip, "gateway"))
			return index->valueint;
	}
	return -1;
}

static bool has_sandbox(const cJSON *interface)
{
	const char *sandbox = json_text(interface, "sandbox");

	return sandbox && *sandbox;
}

/* Those of one interface; index -1: all that the result has. rest: those of no interface are its own, too. */
static cJSON *read_ips(const cJSON *result, int index, bool rest)
{
	cJSON *ips = json_must(cJSON_CreateArray());
	const cJSON *ip;

	cJSON_ArrayForEach(ip, get(result, "ips"))
	{
		const cJSON *its = get(ip, "interface");
		bool wanted = index < 0 || (cJSON_IsNumber(its) ? its->valueint == index : rest);
		cJSON *text = wanted ? read_ip(ip) : NULL;

		if (text)
			cJSON_AddItemToArray(ips, text);
	}
	return ips;
}

static void add_entry(cJSON *list, const struct network_status *of, const cJSON *interface, cJSON *ips, bool is_default)
{
	cJSON *entry = json_must(cJSON_CreateObject());

	cJSON_AddItemToArray(list, entry);
	put_any_text(entry, "name", of->name ? of->name : "");
	put_text(entry, "interface", json_text(interface, "name"));
	json_put_unless_empty(entry, "ips", ips);
	put_text(entry, "mac", json_text(interface, "mac"));
	if (cJSON_IsNumber(get(interface, "mtu")))
		cJSON_AddItemToObject(entry, "mtu", json_copy(get(interface, "mtu")));
	if (is_default)
		json_must(cJSON_AddTrueToObject(entry, "default"));

	const cJSON *dns = get(of->result, "dns");

	cJSON_AddItemToObject(entry, "dns", dns ? json_copy(dns) : json_must(cJSON_CreateObject()));
	if (cJSON_IsObject(of->device))
		cJSON_AddItemToObject(entry, "device-info", read_device(of->device));
	json_put_unless_empty(entry, "gateway", read_gateways(of->result));
}

/* What a result of several interfaces (a bridge's, for instance) says of those in the pod. */
static void add_entries(cJSON *list, const struct network_status *of, const cJSON *interfaces)
{
	const int gateway = of->is_default ? gateway_interface(of->result) : -1;
	const cJSON *interface;
	int i = 0, first = -1, last = -1;

	cJSON_ArrayForEach(interface, interfaces)
	{
		if (has_sandbox(interface))
			last = i;
		if (has_sandbox(interface) && first < 0)
			first = i;
		i++;
	}
	i = -1;
	cJSON_ArrayForEach(interface, interfaces)
	{
		i++;
		if (has_sandbox(interface))
			add_entry(list, of, interface, read_ips(of->result, i, i == last),
				of->is_default && i == (gateway >= 0 ? gateway : first));
	}
}

char *network_status_print(const struct network_status *attachments, size_t count)
{
	cleanup_json cJSON *list = json_must(cJSON_CreateArray());
	char *text = copy_text("[");

	for (size_t i = 0; i < count; i++) {
		const struct network_status *of = &attachments[i];
		const cJSON *interfaces = get(of->result, "interfaces");

		if (cJSON_GetArraySize(interfaces) == 1)
			add_entry(list, of, has_sandbox(interfaces->child) ? interfaces->child : NULL,
				read_ips(of->result, -1, true), of->is_default);
		else
			add_entries(list, of, interfaces);
	}
	for (const cJSON *entry = list->child; entry; entry = entry->next) {
		cleanup_free char *printed = json_print_indented(entry);
		char *longer = format_text("%s%s%s", text, entry == list->child ? "" : ",", printed);

		free(text);
		text = longer;
	}

	char *whole = list->child ? format_text("%s]", text) : NULL;

	free(text);
	return whole;
}
