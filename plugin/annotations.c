#include "plugin/annotations.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static char *trim(char *text)
{
	size_t length;

	while (isspace((unsigned char)*text))
		text++;
	length = strlen(text);
	while (length > 0 && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int add_address(struct annotations *a, const char *text, const char *source, bool elsewhere, bool twice_is_error,
	struct error *e)
{
	struct ip_addr addr;

	if (!ip_parse(text, &addr))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is \"%.64s\": it must be an IP address, or several with commas", source, text);
	for (size_t i = 0; i < a->count; i++) {
		if (ip_compare(&a->wanted[i].addr, &addr) != 0)
			continue;
		if (twice_is_error)
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s has %s twice", source, ip_text(&addr).s);
		return 0;
	}
	if (a->count == MAX_FIXED)
		return error_set(e, -E2BIG, ERROR_CONFIG, "%s has more than %d addresses", source, MAX_FIXED);
	a->wanted[a->count++] = (struct wanted){.addr = addr, .source = source, .elsewhere = elsewhere};
	return 0;
}

/* "10.0.0.5/16" is what multus's `ips` has, and its IP=; the length is the range's business. */
static void cut_length(char *text)
{
	text[strcspn(text, "/")] = '\0';
}

static int add_comma_list(
	struct annotations *a, const char *text, const char *source, bool elsewhere, bool strict, struct error *e)
{
	cleanup_free char *list = copy_text(text);
	char *rest = list;

	for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
		if (!strict)
			cut_length(item);
		if (add_address(a, trim(item), source, elsewhere, strict, e) < 0)
			return e->err;
	}
	return 0;
}

int annotations_add_list(struct annotations *a, const cJSON *list, const char *source, bool elsewhere, struct error *e)
{
	const cJSON *item;

	if (!list)
		return 0;
	if (!cJSON_IsArray(list))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s must be a list of addresses", source);
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item) || strlen(item->valuestring) >= IP_TEXT)
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s must be a list of addresses", source);

		cleanup_free char *text = copy_text(item->valuestring);

		cut_length(text);
		if (add_address(a, text, source, elsewhere, false, e) < 0)
			return e->err;
	}
	return 0;
}

static int read_gateways(struct annotations *a, const char *value, struct error *e)
{
	cleanup_free char *list = copy_text(value);
	char *rest = list;

	for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
		struct ip_addr addr;

		item = trim(item);
		if (!ip_parse(item, &addr) || !ip_is_host(&addr))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				ANNOTATION_GATEWAY " is \"%.64s\": it must be an IP address", item);

		struct ip_addr *gateway = addr.family == AF_INET ? &a->gateway4 : &a->gateway6;

		if (gateway->family)
			return error_set(e, -EINVAL, ERROR_CONFIG,
				ANNOTATION_GATEWAY " is \"%.128s\": at most one per family", value);
		*gateway = addr;
	}
	return 0;
}

static bool wants_family(const struct annotations *a, int family)
{
	for (size_t i = 0; i < a->count; i++) {
		if (a->wanted[i].addr.family == family)
			return true;
	}
	return false;
}

/* A gateway of a family without an address has nobody to be a gateway for. */
static int check_families(const struct annotations *a, struct error *e)
{
	const struct ip_addr *gateways[] = {&a->gateway4, &a->gateway6};

	for (size_t i = 0; i < ARRAY_SIZE(gateways); i++) {
		if (gateways[i]->family && !wants_family(a, gateways[i]->family))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				ANNOTATION_GATEWAY " is %s: " ANNOTATION_ADDRESS " has no address of that family",
				ip_text(gateways[i]).s);
	}
	return 0;
}

static int read_netmask(struct annotations *a, const char *text, struct error *e)
{
	cleanup_free char *copy = copy_text(text);
	const char *mask = trim(copy);

	if (!ip_parse_netmask(mask, &a->netmask))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			ANNOTATION_NETMASK
			" is \"%.64s\": it must be a netmask as 255.255.0.0 or a length from 0 to 32",
			text);
	a->has_netmask = true;
	snprintf(a->netmask_text.s, sizeof(a->netmask_text.s), "%s", mask);
	return 0;
}

/* A netmask or gateway without an address is a fixed address that was misspelt, not a wish for a random one. */
static int read_kube_ipam(struct annotations *a, const cJSON *map, struct error *e)
{
	static const char *const keys[] = {ANNOTATION_ADDRESS, ANNOTATION_NETMASK, ANNOTATION_GATEWAY};
	const char *values[ARRAY_SIZE(keys)];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		/* Annotation names have one spelling: Go's leniency is for structs, not for maps. */
		const cJSON *member = cJSON_GetObjectItemCaseSensitive(map, keys[i]);

		if (member && !cJSON_IsString(member))
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s must be a string", keys[i]);
		values[i] = member ? member->valuestring : NULL;
		if (values[i] && strlen(values[i]) > 4096)
			return error_set(e, -E2BIG, ERROR_CONFIG, "%s is longer than 4096 characters", keys[i]);
	}
	if (!values[0]) {
		if (values[1] || values[2])
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"%s is set without " ANNOTATION_ADDRESS ": set both or none",
				values[1] ? ANNOTATION_NETMASK : ANNOTATION_GATEWAY);
		return 0;
	}
	a->from_annotation = true;
	if (add_comma_list(a, values[0], ANNOTATION_ADDRESS, false, true, e) < 0)
		return e->err;
	if (values[1] && read_netmask(a, values[1], e) < 0)
		return e->err;
	if (values[2] && (read_gateways(a, values[2], e) < 0 || check_families(a, e) < 0))
		return e->err;
	return 0;
}

int annotations_read(const struct request *request, const struct config *config, const cJSON *map, bool ips_elsewhere,
	struct annotations *ret, struct error *e)
{
	*ret = (struct annotations){0};
	if (read_kube_ipam(ret, map, e) < 0)
		return e->err;
	if (ret->from_annotation)
		return 0;
	if (annotations_add_list(ret, json_dig(request->conf, "args", "cni", "ips", NULL), "args.cni.ips", false, e) <
		0)
		return e->err;
	if (request->pod.ip && add_comma_list(ret, request->pod.ip, "IP (CNI_ARGS)", true, false, e) < 0)
		return e->err;
	return annotations_add_list(
		ret, json_get(config->runtime_config, "ips"), "runtimeConfig.ips", ips_elsewhere, e);
}

int annotations_check_gateway(const struct annotations *a, const struct ip_prefix *addr, struct error *e)
{
	const struct ip_addr *gateway = addr->addr.family == AF_INET ? &a->gateway4 : &a->gateway6;
	struct ip_addr network = ip_network(addr), last = ip_last(addr);

	if (!gateway->family)
		return 0;
	if (!ip_contains(addr, gateway))
		return error_set(e, -EINVAL, ERROR_CONFIG, ANNOTATION_GATEWAY " is %s: it must lie in %s",
			ip_text(gateway).s,
			ip_prefix_text(&(struct ip_prefix){.addr = network, .length = addr->length}).s);
	if (ip_compare(gateway, &addr->addr) == 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, ANNOTATION_GATEWAY " is %s, which is the pod's own address",
			ip_text(gateway).s);
	if (ip_compare(gateway, &network) == 0 || (gateway->family == AF_INET && ip_compare(gateway, &last) == 0))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			ANNOTATION_GATEWAY " is %s, the network or broadcast address", ip_text(gateway).s);
	return 0;
}
