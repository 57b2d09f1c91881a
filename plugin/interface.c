#include "plugin/interface.h"

#include "netlink/addr.h"
#include "netlink/link.h"
#include "netlink/probe.h"
#include "netlink/route.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

/* Before main's 32766, behind what a pod or another plugin is likely to want first. */
#define ADDRESS_PRIORITY 30000
#define SUBNET_PRIORITY 31000
#define MAX_ADDRESSES 64

/* RT_SCOPE_LINK of rtnetlink(7): what is on the link is not reached through a gateway. */
#define SCOPE_LINK 253

struct addresses {
	struct ip_prefix list[MAX_ADDRESSES];
	size_t count;
	struct ip_addr gateway4, gateway6; /* the first of each family */
};

static int read_addresses(const cJSON *result, struct addresses *ret, struct error *e)
{
	const cJSON *item;

	*ret = (struct addresses){0};
	cJSON_ArrayForEach(item, json_get(result, "ips"))
	{
		const char *address = json_text(item, "address"), *gateway = json_text(item, "gateway");
		struct ip_prefix *prefix = &ret->list[ret->count];
		struct ip_addr addr;

		if (ret->count == MAX_ADDRESSES || !address || !ip_parse_prefix(address, prefix))
			return error_set(e, -EINVAL, ERROR_DECODE, "invalid or too many addresses in the IPAM result");
		ret->count++;
		if (!gateway || !ip_parse(gateway, &addr))
			continue;

		struct ip_addr *first = addr.family == AF_INET ? &ret->gateway4 : &ret->gateway6;

		if (!first->family)
			*first = addr;
	}
	return 0;
}

static uint32_t read_count(const cJSON *route, const char *key)
{
	const cJSON *number = json_get(route, key);

	return cJSON_IsNumber(number) && number->valuedouble > 0 && number->valuedouble < 4294967295.0
		       ? (uint32_t)number->valuedouble
		       : 0;
}

static int read_route(
	const cJSON *json, const struct addresses *addresses, int ifindex, struct route *ret, struct error *e)
{
	const char *dst = json_text(json, "dst"), *gw = json_text(json, "gw");
	const cJSON *scope = json_get(json, "scope");

	*ret = (struct route){
		.ifindex = ifindex,
		.table = read_count(json, "table"),
		.priority = read_count(json, "priority"),
		.mtu = read_count(json, "mtu"),
		.advmss = read_count(json, "advmss"),
		.scope = cJSON_IsNumber(scope) ? scope->valueint : -1,
	};
	if (!dst || !ip_parse_prefix(dst, &ret->dst) || (gw && !ip_parse(gw, &ret->gateway)))
		return error_set(e, -EINVAL, ERROR_DECODE, "invalid route in the IPAM result");
	if (!gw && ret->scope < SCOPE_LINK)
		ret->gateway = ret->dst.addr.family == AF_INET ? addresses->gateway4 : addresses->gateway6;
	return 0;
}

/* What an address of its family needs of the link, and what no router may add to it. */
static int prepare(const struct attachment *a, struct run *run, bool has4, bool has6, struct error *e)
{
	if (link_prepare_ipv6(run->netns_fd, a->ifname, has6, e) < 0)
		return e->err;
	return has4 ? link_set_arp_notify(run->pod, a->made.ifindex, e) : 0;
}

static int add_addresses(
	const struct attachment *a, struct run *run, const struct addresses *addresses, struct error *e)
{
	for (size_t i = 0; i < addresses->count; i++) {
		if (addr_add(run->pod, a->made.ifindex, &addresses->list[i], e) < 0)
			return e->err;
	}
	return 0;
}

int interface_configure(const struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	struct addresses addresses;
	bool has4 = false, has6 = false;

	if (read_addresses(result, &addresses, e) < 0)
		return e->err;
	for (size_t i = 0; i < addresses.count; i++) {
		has4 |= addresses.list[i].addr.family == AF_INET;
		has6 |= addresses.list[i].addr.family == AF_INET6;
	}
	if (prepare(a, run, has4, has6, e) < 0 || add_addresses(a, run, &addresses, e) < 0)
		return e->err;
	return link_set_up(run->pod, a->made.ifindex, e);
}

int interface_up_bare(
	const struct attachment *a, struct run *run, const struct ip_addr *addrs, size_t count, struct error *e)
{
	bool has4 = false, has6 = false;

	for (size_t i = 0; i < count; i++) {
		has4 |= addrs[i].family == AF_INET;
		has6 |= addrs[i].family == AF_INET6;
	}
	/* The kernel asks for its link-local address by itself meanwhile: that is none of ours, and disturbs nobody. */
	if (prepare(a, run, has4, has6, e) < 0)
		return e->err;
	return link_set_up(run->pod, a->made.ifindex, e);
}

int interface_address(const struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	struct probe_link link = {.netns_fd = run->netns_fd, .ifindex = a->made.ifindex};
	struct ip_addr addrs[MAX_ADDRESSES];
	struct addresses addresses;

	if (read_addresses(result, &addresses, e) < 0 || add_addresses(a, run, &addresses, e) < 0)
		return e->err;
	for (size_t i = 0; i < addresses.count; i++)
		addrs[i] = addresses.list[i].addr;
	memcpy(link.mac, a->made.mac, sizeof(link.mac));
	return probe_announce(&link, addrs, addresses.count, e);
}

/* A default route for the main table; one that names a table of its own is the site's business. */
static bool is_default(const struct route *route)
{
	return route->dst.length == 0 && (route->table == 0 || route->table == 254);
}

/* The pod's own, which the result has since it was put in the place of all others: see default_route.h. */
static bool is_pods_default(const struct attachment *a, const struct route *route)
{
	return is_default(route) && a->made.gateways[route->dst.addr.family == AF_INET6].family;
}

/* Calls each(route or rule) for all that the result wants of an attachment: adding and checking walk the same list. */
struct walk {
	struct run *run;
	int (*route)(struct nl *nl, const struct route *route, struct error *e);
	int (*first)(struct nl *nl, const struct route *route, struct error *e); /* nobody else's may be there */
	int (*rule)(struct nl *nl, const struct rule *rule, struct error *e);
};

static int walk_rules(
	const struct walk *walk, const struct attachment *a, const struct ip_prefix *addr, struct error *e)
{
	const struct rule from_address = {
		.from = {.addr = addr->addr, .length = ip_bits(addr->addr.family)},
		.table = a->made.table,
		.priority = ADDRESS_PRIORITY + a->index,
	};
	const struct rule from_subnet = {
		.from = {.addr = ip_network(addr), .length = addr->length},
		.table = a->made.table,
		.priority = SUBNET_PRIORITY + a->index,
	};

	if (walk->rule(walk->run->pod, &from_address, e) < 0)
		return e->err;
	return walk->rule(walk->run->pod, &from_subnet, e);
}

static bool same_prefix(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->length == b->length && ip_compare(&a->addr, &b->addr) == 0;
}

/* Whether the own table has that route's destination from this result already. */
static bool is_further(const struct addresses *addresses, const struct route *routes, const struct route *route)
{
	for (size_t i = 0; i < addresses->count; i++) {
		const struct ip_prefix *addr = &addresses->list[i];
		const struct ip_prefix connected = {.addr = ip_network(addr), .length = addr->length};

		if (same_prefix(&connected, &route->dst))
			return true;
	}
	for (const struct route *before = routes; before < route; before++) {
		if (same_prefix(&before->dst, &route->dst))
			return true;
	}
	return false;
}

/* The own table of one family: what is connected, then every route of the result. */
static int walk_table(const struct walk *walk, const struct attachment *a, const struct addresses *addresses,
	const struct route *routes, size_t count, int family, struct error *e)
{
	for (size_t i = 0; i < addresses->count; i++) {
		const struct ip_prefix *addr = &addresses->list[i];
		const struct route connected = {
			.dst = {.addr = ip_network(addr), .length = addr->length},
			.ifindex = a->made.ifindex,
			.table = a->made.table,
			.scope = -1,
		};

		if (addr->addr.family != family)
			continue;
		if (walk->first(walk->run->pod, &connected, e) < 0 || walk_rules(walk, a, addr, e) < 0)
			return e->err;
	}
	for (size_t i = 0; i < count; i++) {
		struct route route = routes[i];

		if (route.dst.addr.family != family || (route.table != 0 && !is_default(&route)))
			continue;
		route.table = a->made.table;
		if ((is_further(addresses, routes, &routes[i]) ? walk->route : walk->first)(walk->run->pod, &route, e) <
			0)
			return e->err;
	}
	return 0;
}

static int walk_routes(
	const struct walk *walk, const struct attachment *a, const cJSON *result, bool *ret_table, struct error *e)
{
	cleanup_free struct route *routes =
		allocate((size_t)cJSON_GetArraySize(json_get(result, "routes")), sizeof(*routes));
	struct addresses addresses;
	bool own_table[2] = {false, false};
	size_t count = 0;
	const cJSON *item;

	if (read_addresses(result, &addresses, e) < 0)
		return e->err;
	cJSON_ArrayForEach(item, json_get(result, "routes"))
	{
		struct route *route = &routes[count++];

		if (read_route(item, &addresses, a->made.ifindex, route, e) < 0)
			return e->err;
		if (is_pods_default(a, route))
			continue;
		if (a->made.table && is_default(route))
			own_table[route->dst.addr.family == AF_INET6] = true;
		else if (walk->route(walk->run->pod, route, e) < 0)
			return e->err;
	}
	if (ret_table)
		*ret_table = own_table[0] || own_table[1];
	if (own_table[0] && walk_table(walk, a, &addresses, routes, count, AF_INET, e) < 0)
		return e->err;
	return own_table[1] ? walk_table(walk, a, &addresses, routes, count, AF_INET6, e) : 0;
}

int interface_route(struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	const struct walk add = {.run = run, .route = route_add_beside, .first = route_add, .rule = rule_add};
	bool rules = false;

	a->made.rules = MADE_INTENDED;
	if (walk_routes(&add, a, result, &rules, e) < 0)
		return e->err;
	a->made.rules = rules ? MADE_DONE : MADE_NOTHING;
	return 0;
}

int interface_unroute(struct attachment *a, struct run *run, struct error *e)
{
	if (a->made.rules == MADE_NOTHING)
		return 0;
	if (run->pod && a->made.table &&
		(rule_delete_all(run->pod, a->made.table, ADDRESS_PRIORITY + a->index, e) < 0 ||
			rule_delete_all(run->pod, a->made.table, SUBNET_PRIORITY + a->index, e) < 0))
		return e->err;
	a->made.rules = MADE_NOTHING;
	return 0;
}

static int check_route(struct nl *nl, const struct route *route, struct error *e)
{
	bool there = false;

	if (route_exists(nl, route, &there, e) < 0)
		return e->err;
	if (!there)
		return error_set(e, -ENOENT, ERROR_IO, "the route to %s is missing in table %u",
			ip_prefix_text(&route->dst).s, route->table ? route->table : 254);
	return 0;
}

static int check_rule(struct nl *nl, const struct rule *rule, struct error *e)
{
	bool there = false;

	if (rule_exists(nl, rule, &there, e) < 0)
		return e->err;
	if (!there)
		return error_set(e, -ENOENT, ERROR_IO, "the rule from %s to table %u is missing",
			ip_prefix_text(&rule->from).s, rule->table);
	return 0;
}

static int check_addresses(const struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	cleanup_free struct ip_prefix *there = NULL;
	struct addresses wanted;
	size_t count = 0;

	if (read_addresses(result, &wanted, e) < 0 || addr_list(run->pod, a->made.ifindex, &there, &count, e) < 0)
		return e->err;
	for (size_t i = 0; i < wanted.count; i++) {
		bool found = false;

		for (size_t j = 0; j < count && !found; j++)
			found = ip_compare(&there[j].addr, &wanted.list[i].addr) == 0 &&
				there[j].length == wanted.list[i].length;
		if (!found)
			return error_set(
				e, -ENOENT, ERROR_IO, "the address %s is missing", ip_prefix_text(&wanted.list[i]).s);
	}
	return 0;
}

int interface_check(const struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	const struct walk look = {.run = run, .route = check_route, .first = check_route, .rule = check_rule};

	if (check_addresses(a, run, result, e) < 0 || walk_routes(&look, a, result, NULL, e) < 0)
		return error_wrap(e, "interface %s", a->ifname);
	return 0;
}

static int check_adopted_routes(struct run *run, const cJSON *result, struct error *e)
{
	const struct addresses no_gateways = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(result, "routes"))
	{
		struct route route;

		if (read_route(item, &no_gateways, 0, &route, e) < 0)
			return e->err;
		/* Whichever leads out: other networks and the pod itself may have put theirs in its place. */
		if (is_default(&route))
			route = (struct route){.dst = route.dst};
		if (check_route(run->pod, &route, e) < 0)
			return e->err;
	}
	return 0;
}

int interface_check_adopted(const struct attachment *a, struct run *run, const cJSON *result, struct error *e)
{
	if (check_addresses(a, run, result, e) < 0 || check_adopted_routes(run, result, e) < 0)
		return error_wrap(e, "interface %s", a->ifname);
	return 0;
}
