#include "plugin/addressing.h"

#include "delegate/chain.h"
#include "delegate/result.h"
#include "ipam/range.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

bool addressing_is_own(const cJSON *conf)
{
	const char *type = json_text(json_get(conf, "ipam"), "type");

	return type && strcmp(type, OWN_IPAM) == 0;
}

int addressing_read_etcd(const cJSON *conf, const char *path, struct etcd_config **ret, struct error *e)
{
	const cJSON *etcd = json_dig(conf, "ipam", "etcdConfig", NULL);
	cleanup_free char *where = json_path(path, "ipam.etcdConfig");

	*ret = NULL;
	return etcd ? etcd_config_parse(etcd, where, ret, e) : 0;
}

/* The section with the node's own domain where it names none. */
static cJSON *with_domain(const cJSON *ipam, const struct config *config)
{
	cJSON *copy = json_copy(ipam);

	if (config->domain && !json_get(ipam, "domain"))
		json_put_text(copy, "domain", config->domain);
	return copy;
}

/* As with the reference plugins: the interface is made without an address. Who has written more has meant more. */
static void warn_of_no_type(const cJSON *ipam, const char *path)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, ipam)
	{
		if (strcasecmp(item->string, "type") != 0) {
			log_write(LOG_WARNING,
				"%s.type is missing: there will be no address, whatever else stands in %s; name an "
				"IPAM plugin",
				path, path);
			return;
		}
	}
}

int addressing_read(
	const cJSON *conf, const char *path, const struct config *config, struct addressing *ret, struct error *e)
{
	const cJSON *ipam = json_get(conf, "ipam");
	const char *type = json_text(ipam, "type");

	*ret = (struct addressing){.kind = ADDRESSING_NONE, .path = json_path(path, "ipam")};
	if (ipam && !cJSON_IsObject(ipam))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is not an object", ret->path);
	if (!ipam || !ipam->child)
		return 0;
	if (!type && json_get(ipam, "type"))
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "%s.type is not a text: it must be an IPAM plugin's name", ret->path);
	if (!type || !*type) {
		warn_of_no_type(ipam, ret->path);
		return 0;
	}
	ret->type = copy_text(type);
	if (!addressing_is_own(conf)) {
		if (strchr(type, '/') || chain_is_own_type(type))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"%s.type is \"%.64s\": it must be an IPAM plugin's name", ret->path, type);
		ret->kind = ADDRESSING_EXEC;
		return 0;
	}
	ret->kind = ADDRESSING_LEASE;

	cleanup_json cJSON *own = with_domain(ipam, config);

	return ipam_config_parse(own, json_get(config->runtime_config, "ipRanges"), ret->path, &ret->config, e);
}

static void append_addr(char **list, const struct ip_addr *addr)
{
	char *longer = format_text("%s%s%s", *list ? *list : "", *list ? "," : "", ip_text(addr).s);

	free(*list);
	*list = longer;
}

static struct ip_text netmask_of(const struct ip_prefix *subnet)
{
	const struct ip_prefix ones = {
		.addr = {.family = AF_INET, .bytes = {255, 255, 255, 255}}, .length = subnet->length};
	const struct ip_addr mask = ip_network(&ones);

	return ip_text(&mask);
}

static int check_wanted(const struct addressing *addressing, const struct annotations *annotations,
	const struct ip_addr *addr, const char *source, struct error *e)
{
	const struct ipam_range *range = ipam_range_of(addressing->config, addr);
	struct ip_prefix prefix = {.addr = *addr, .length = range->subnet.length};

	if (ipam_range_check_fixed(addressing->config, addr, source, e) < 0)
		return e->err;
	if (!annotations->from_annotation)
		return 0;
	if (addr->family == AF_INET && annotations->has_netmask && annotations->netmask != range->subnet.length)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			ANNOTATION_NETMASK " is \"%s\", but %s.subnet is %s: leave the annotation out or make it %s",
			annotations->netmask_text.s, addressing->path, ip_prefix_text(&range->subnet).s,
			netmask_of(&range->subnet).s);
	return annotations_check_gateway(annotations, &prefix, e);
}

static bool is_fixed(const struct addressing *addressing, const struct ip_addr *addr)
{
	for (size_t i = 0; i < addressing->fixed_count; i++) {
		if (ip_compare(&addressing->fixed[i], addr) == 0)
			return true;
	}
	return false;
}

int addressing_offer(struct addressing *addressing, const struct annotations *annotations, const struct ip_addr *addr,
	const char *source, bool *ret, struct error *e)
{
	*ret = false;
	if (addressing->kind != ADDRESSING_LEASE || !ipam_range_of(addressing->config, addr))
		return 0;
	if (check_wanted(addressing, annotations, addr, source, e) < 0)
		return e->err;
	if (!is_fixed(addressing, addr)) {
		if (addressing->fixed_count == MAX_FIXED)
			return error_set(e, -E2BIG, ERROR_CONFIG,
				"%s: a pod has at most %d fixed addresses of a network", source, MAX_FIXED);
		addressing->fixed[addressing->fixed_count++] = *addr;
	}
	addressing->gateway4 = annotations->gateway4;
	addressing->gateway6 = annotations->gateway6;
	*ret = true;
	return 0;
}

static struct ip_addr gateway_of(const struct addressing *addressing, const struct ipam_range *range)
{
	const struct ip_addr *own =
		range->subnet.addr.family == AF_INET ? &addressing->gateway4 : &addressing->gateway6;

	return own->family ? *own : range->gateway;
}

static void put_unless_zero(cJSON *out, const char *key, uint32_t value)
{
	if (value)
		json_put(out, key, cJSON_CreateNumber(value));
}

static void add_routes(const struct ipam_config *config, cJSON *routes)
{
	for (size_t i = 0; i < config->route_count; i++) {
		const struct ipam_route *route = &config->routes[i];
		cJSON *out = cJSON_CreateObject();

		json_put_text(out, "dst", ip_prefix_text(&route->dst).s);
		if (route->gateway.family)
			json_put_text(out, "gw", ip_text(&route->gateway).s);
		put_unless_zero(out, "mtu", route->mtu);
		put_unless_zero(out, "advmss", route->advmss);
		put_unless_zero(out, "priority", route->priority);
		put_unless_zero(out, "table", route->table);
		if (route->scope >= 0)
			json_put(out, "scope", cJSON_CreateNumber(route->scope));
		cJSON_AddItemToArray(routes, out);
	}
}

int addressing_result(const struct addressing *addressing, const struct made *made, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *result = result_new();

	for (size_t i = 0; i < made->addr_count; i++) {
		const struct ipam_range *range = ipam_range_of(addressing->config, &made->addrs[i]);

		/* The store may answer with what an older configuration of this network gave. */
		if (!range)
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s: no subnet holds the recorded address %s",
				addressing->path, ip_text(&made->addrs[i]).s);

		const struct ip_prefix prefix = {.addr = made->addrs[i], .length = range->subnet.length};
		const struct ip_addr gateway = gateway_of(addressing, range);

		result_add_ip(result, -1, ip_prefix_text(&prefix).s, gateway.family ? ip_text(&gateway).s : NULL);
	}
	add_routes(addressing->config, cJSON_GetObjectItemCaseSensitive(result, "routes"));
	*ret = steal_ptr(result);
	return 0;
}

int addressing_finish(struct addressing *addressing, const char *version, cJSON **ret, struct error *e)
{
	cleanup_call struct call *call = steal_ptr(addressing->call);
	cleanup_free char *out = NULL;
	cleanup_json cJSON *printed = NULL, *result = NULL;
	size_t length = 0;

	if (call_finish(call, &out, &length, e) < 0 ||
		json_parse(out, length, "the IPAM plugin's result", &printed, e) < 0 ||
		result_read(printed, version, &result, e) < 0)
		return e->err;
	if (cJSON_GetArraySize(json_get(result, "ips")) == 0)
		return error_set(e, -EINVAL, ERROR_DECODE, "IPAM plugin returned missing IP config");
	*ret = steal_ptr(result);
	return 0;
}

void addressing_settle(struct addressing *addressing)
{
	cleanup_call struct call *call = steal_ptr(addressing->call);
	cleanup_error struct error ignored = {0};

	if (call)
		call_finish(call, NULL, NULL, &ignored);
}

static bool has_family(const struct addressing *addressing, int family)
{
	for (size_t i = 0; i < addressing->fixed_count; i++) {
		if (addressing->fixed[i].family == family)
			return true;
	}
	return false;
}

cJSON *addressing_annotations(const struct addressing *addressing)
{
	const struct ip_addr *gateways[] = {&addressing->gateway4, &addressing->gateway6};
	cleanup_free char *own = NULL, *gateway = NULL;
	cJSON *annotations = cJSON_CreateObject();

	for (size_t i = 0; i < addressing->fixed_count; i++)
		append_addr(&own, &addressing->fixed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(gateways); i++) {
		if (gateways[i]->family && has_family(addressing, gateways[i]->family))
			append_addr(&gateway, gateways[i]);
	}
	json_put_text(annotations, ANNOTATION_ADDRESS, own);
	json_put_text(annotations, ANNOTATION_GATEWAY, gateway);
	return annotations;
}

struct lease_request addressing_lease(const struct addressing *addressing, const char *network, const char *ifname)
{
	return (struct lease_request){
		.network = network,
		.ifname = ifname,
		.config = addressing->config,
		.fixed = addressing->fixed,
		.fixed_count = addressing->fixed_count,
	};
}

void addressing_describe(const struct addressing *addressing, cJSON *out)
{
	cJSON *fixed = cJSON_CreateArray(), *dynamic = cJSON_CreateArray();

	json_put_text(out, "ipam", addressing->type);
	for (size_t i = 0; i < addressing->fixed_count; i++)
		cJSON_AddItemToArray(fixed, cJSON_CreateString(ip_text(&addressing->fixed[i]).s));
	for (size_t i = 0; addressing->config && !addressing->fixed_count && i < addressing->config->set_count; i++) {
		const struct ipam_range_set *set = &addressing->config->sets[i];

		for (size_t j = 0; j < set->count; j++) {
			cleanup_free char *range =
				format_text("%s-%s", ip_text(&set->ranges[j].start).s, ip_text(&set->ranges[j].end).s);

			cJSON_AddItemToArray(dynamic, cJSON_CreateString(range));
		}
	}
	if (addressing->kind == ADDRESSING_LEASE) {
		json_put(out, addressing->fixed_count ? "fixed" : "dynamic", addressing->fixed_count ? fixed : dynamic);
		cJSON_Delete(addressing->fixed_count ? dynamic : fixed);
	} else {
		cJSON_Delete(fixed);
		cJSON_Delete(dynamic);
	}
}

void addressing_clear(struct addressing *addressing)
{
	if (addressing->call)
		call_free(addressing->call);
	if (addressing->config)
		ipam_config_free(addressing->config);
	free(addressing->path);
	free(addressing->type);
	*addressing = (struct addressing){0};
}
