#include "netlink/link.h"
#include "plugin/attachment.h"

#include <string.h>

static const char *const state_names[] = {
	[MADE_NOTHING] = "nothing", [MADE_INTENDED] = "intended", [MADE_DONE] = "done"};

static void print_state(cJSON *out, const char *key, enum made_state state, bool done)
{
	json_put_text(out, key, state_names[done ? state : MADE_INTENDED]);
}

static void print_gateways(cJSON *out, const struct made *made)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < ARRAY_SIZE(made->gateways); i++) {
		if (made->gateways[i].family)
			cJSON_AddItemToArray(list, cJSON_CreateString(ip_text(&made->gateways[i]).s));
	}
	json_put_unless_empty(out, "gateways", list);
}

cJSON *made_print(const struct made *made, bool done)
{
	cJSON *out = cJSON_CreateObject(), *addrs = cJSON_CreateArray();
	char mac[MAC_TEXT];

	print_state(out, "exec", made->exec, done);
	print_state(out, "link", made->link, done);
	json_put_text(out, "mac", link_format_mac(made->mac, mac));
	json_put(out, "ifindex", cJSON_CreateNumber(made->ifindex));
	print_state(out, "rules", made->rules, done);
	json_put(out, "table", cJSON_CreateNumber(made->table));
	print_gateways(out, made);
	print_state(out, "lease", made->lease, done);
	if (made->lease_network)
		json_put_text(out, "leaseNetwork", made->lease_network);
	if (made->lease_domain)
		json_put_text(out, "leaseDomain", made->lease_domain);
	if (made->lease_value)
		json_put_text(out, "leaseValue", made->lease_value);
	for (size_t i = 0; i < made->addr_count; i++)
		cJSON_AddItemToArray(addrs, cJSON_CreateString(ip_text(&made->addrs[i]).s));
	json_put(out, "addresses", addrs);
	return out;
}

static enum made_state read_state(const cJSON *json, const char *key, bool done)
{
	const char *name = json_text(json, key);

	for (size_t i = 0; done && name && i < ARRAY_SIZE(state_names); i++) {
		if (strcmp(name, state_names[i]) == 0)
			return (enum made_state)i;
	}
	return MADE_INTENDED;
}

static void read_addresses(const cJSON *list, struct made *ret)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		struct ip_addr addr;

		if (!cJSON_IsString(item) || !ip_parse(item->valuestring, &addr))
			continue;
		ret->addrs = reallocate(ret->addrs, ret->addr_count + 1, sizeof(*ret->addrs));
		ret->addrs[ret->addr_count++] = addr;
	}
}

static void read_gateways(const cJSON *list, struct made *ret)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		struct ip_addr addr;

		if (cJSON_IsString(item) && ip_parse(item->valuestring, &addr))
			ret->gateways[addr.family == AF_INET6] = addr;
	}
}

void made_read(const cJSON *json, bool done, struct made *ret)
{
	const char *mac = json_text(json, "mac");
	const cJSON *ifindex = json_get(json, "ifindex"), *table = json_get(json, "table");

	*ret = (struct made){
		.exec = read_state(json, "exec", done),
		.link = read_state(json, "link", done),
		.rules = read_state(json, "rules", done),
		.lease = read_state(json, "lease", done),
		.lease_network = copy_text(json_text(json, "leaseNetwork")),
		.lease_domain = copy_text(json_text(json, "leaseDomain")),
		.lease_value = copy_text(json_text(json, "leaseValue")),
	};
	if (mac)
		link_parse_mac(mac, ret->mac);
	if (cJSON_IsNumber(ifindex) && ifindex->valuedouble > 0 && ifindex->valuedouble < 2147483647.0)
		ret->ifindex = (int)ifindex->valuedouble;
	if (cJSON_IsNumber(table) && table->valuedouble > 0 && table->valuedouble < 4294967295.0)
		ret->table = (uint32_t)table->valuedouble;
	read_gateways(json_get(json, "gateways"), ret);
	read_addresses(json_get(json, "addresses"), ret);
}

void made_assume(struct made *made)
{
	made->exec = made->link = made->rules = made->lease = MADE_INTENDED;
}

void made_clear(struct made *made)
{
	free(made->lease_network);
	free(made->lease_domain);
	free(made->lease_value);
	free(made->addrs);
	free(made->kept);
	*made = (struct made){0};
}
