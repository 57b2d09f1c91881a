#include "delegate/result_shape.h"

#include "plugin/base/ip.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const char *const cni_versions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", NULL};

static int version_rank(const char *version)
{
	for (int i = 0; cni_versions[i]; i++) {
		if (strcmp(cni_versions[i], version) == 0)
			return i;
	}
	return -1;
}

bool cni_version_known(const char *version)
{
	return version_rank(version) >= 0;
}

bool cni_version_at_least(const char *version, const char *minimum)
{
	return version_rank(version) >= version_rank(minimum);
}

const struct member result_interface_members[] = {
	{"name", NAME, NULL},
	{"mac", TEXT, NULL},
	{"mtu", NUMBER, "1.0.0"},
	{"sandbox", TEXT, NULL},
	{"socketPath", TEXT, "1.0.0"},
	{"pciID", TEXT, "1.0.0"},
	{NULL, TEXT, NULL},
};

const struct member result_ip_members[] = {
	{"interface", INDEX, NULL},
	{"address", PREFIX, NULL},
	{"gateway", ADDRESS, NULL},
	{NULL, TEXT, NULL},
};

const struct member result_route_members[] = {
	{"dst", PREFIX, NULL},
	{"gw", ADDRESS, NULL},
	{"mtu", NUMBER, NULL},
	{"advmss", NUMBER, NULL},
	{"priority", NUMBER, NULL},
	{"table", CHOICE, NULL},
	{"scope", CHOICE, NULL},
	{NULL, TEXT, NULL},
};

const struct list result_lists[] = {
	{"interfaces", result_interface_members},
	{"ips", result_ip_members},
	{"routes", result_route_members},
};

bool result_has_member(const struct member *member, const char *version)
{
	return !member->since || cni_version_at_least(version, member->since);
}

/* Prefixes of the inner shape always parse: result_read wrote them, or our own code. */
static int family_of(const cJSON *item, const char *key)
{
	struct ip_prefix prefix;
	const char *text = json_text(item, key);

	return text && ip_parse_prefix(text, &prefix) ? prefix.addr.family : AF_UNSPEC;
}

static cJSON *write_item(const cJSON *item, const struct list *list, const char *version)
{
	cJSON *to = json_must(cJSON_CreateObject());

	if (list->members == result_ip_members && !cni_version_at_least(version, "1.0.0"))
		cJSON_AddStringToObject(to, "version", family_of(item, "address") == AF_INET6 ? "6" : "4");
	for (const struct member *member = list->members; member->key; member++) {
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, member->key);

		if (value && result_has_member(member, version))
			cJSON_AddItemToObject(to, member->key, json_copy(value));
	}
	return to;
}

static void write_lists(cJSON *to, const cJSON *result, const char *version)
{
	for (size_t i = 0; i < RESULT_LISTS; i++) {
		const cJSON *items = cJSON_GetObjectItemCaseSensitive(result, result_lists[i].key), *item;

		if (!items || !items->child)
			continue;

		cJSON *list = json_must(cJSON_AddArrayToObject(to, result_lists[i].key));

		cJSON_ArrayForEach(item, items) cJSON_AddItemToArray(list, write_item(item, &result_lists[i], version));
	}
}

/* ip4 or ip6: the first address of the family, with the family's routes. False when it has none. */
static bool write_family(cJSON *to, const cJSON *result, const char *key, int family)
{
	const cJSON *ips = cJSON_GetObjectItemCaseSensitive(result, "ips"), *ip;
	const cJSON *routes = cJSON_GetObjectItemCaseSensitive(result, "routes"), *route;

	cJSON_ArrayForEach(ip, ips)
	{
		if (family_of(ip, "address") == family)
			break;
	}
	if (!ip)
		return false;

	cJSON *out = json_must(cJSON_AddObjectToObject(to, key)), *list = NULL;

	json_put_text(out, "ip", json_text(ip, "address"));
	json_put_text(out, "gateway", json_text(ip, "gateway"));
	cJSON_ArrayForEach(route, routes)
	{
		if (family_of(route, "dst") != family)
			continue;
		if (!list)
			list = json_must(cJSON_AddArrayToObject(out, "routes"));

		cJSON *copy = json_must(cJSON_CreateObject());

		cJSON_AddItemToArray(list, copy);
		json_put_text(copy, "dst", json_text(route, "dst"));
		json_put_text(copy, "gw", json_text(route, "gw"));
	}
	return true;
}

int result_convert(const cJSON *result, const char *version, cJSON **ret, struct error *e)
{
	const cJSON *dns = cJSON_GetObjectItemCaseSensitive(result, "dns");
	cleanup_json cJSON *to = json_must(cJSON_CreateObject());

	if (!cni_version_known(version))
		return error_set(e, -EINVAL, ERROR_VERSION, "no converter for CNI result version 1.1.0 to %s", version);
	cJSON_AddStringToObject(to, "cniVersion", version);
	if (cni_version_at_least(version, "0.3.0")) {
		write_lists(to, result, version);
	} else {
		bool four = write_family(to, result, "ip4", AF_INET);
		bool six = write_family(to, result, "ip6", AF_INET6);

		if (!four && !six)
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"cannot convert: no valid IP addresses (a result of version %s needs one)", version);
	}
	if ((dns && dns->child) || !cni_version_at_least(version, "1.0.0"))
		cJSON_AddItemToObject(to, "dns", dns ? json_copy(dns) : json_must(cJSON_CreateObject()));
	*ret = steal_ptr(to);
	return 0;
}

cJSON *result_new(void)
{
	cJSON *result = json_must(cJSON_CreateObject());

	for (size_t i = 0; i < RESULT_LISTS; i++)
		json_must(cJSON_AddArrayToObject(result, result_lists[i].key));
	json_must(cJSON_AddObjectToObject(result, "dns"));
	return result;
}

void result_merge(cJSON *result, const cJSON *more)
{
	const cJSON *dns = cJSON_GetObjectItemCaseSensitive(more, "dns"), *item;
	int shift = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(result, "interfaces"));

	for (size_t i = 0; i < RESULT_LISTS; i++) {
		cJSON *to = cJSON_GetObjectItemCaseSensitive(result, result_lists[i].key);

		cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(more, result_lists[i].key))
		{
			cJSON *copy = json_copy(item);
			cJSON *index = cJSON_GetObjectItemCaseSensitive(copy, "interface");

			if (cJSON_IsNumber(index))
				cJSON_SetNumberHelper(index, fmin(index->valuedouble + shift, UINT32_MAX));
			cJSON_AddItemToArray(to, copy);
		}
	}
	if (dns && dns->child)
		cJSON_ReplaceItemInObjectCaseSensitive(result, "dns", json_copy(dns));
}

int result_add_interface(cJSON *result, const char *name, const char *mac, const char *sandbox)
{
	cJSON *interfaces = cJSON_GetObjectItemCaseSensitive(result, "interfaces");
	cJSON *interface = json_must(cJSON_CreateObject());
	int index = cJSON_GetArraySize(interfaces);

	cJSON_AddStringToObject(interface, "name", name);
	json_put_text(interface, "mac", mac && *mac ? mac : NULL);
	json_put_text(interface, "sandbox", sandbox && *sandbox ? sandbox : NULL);
	cJSON_AddItemToArray(interfaces, interface);
	return index;
}

void result_add_ip(cJSON *result, int interface, const char *address, const char *gateway)
{
	cJSON *ip = json_must(cJSON_CreateObject());

	if (interface >= 0)
		cJSON_AddNumberToObject(ip, "interface", interface);
	cJSON_AddStringToObject(ip, "address", address);
	json_put_text(ip, "gateway", gateway && *gateway ? gateway : NULL);
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(result, "ips"), ip);
}
