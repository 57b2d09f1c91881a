#include "netlink/route.h"

#include "netlink/link.h"
#include "netlink/route_read.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <string.h>

DEFINE_CLEANUP(struct rtnl_route, rtnl_route_put)
DEFINE_CLEANUP(struct rtnl_rule, rtnl_rule_put)
DEFINE_CLEANUP(struct nl_addr, nl_addr_put)

/* What the kernel gives an IPv6 route without a priority (IP6_RT_PRIO_USER); IPv4's is 0. */
#define IPV6_PRIORITY 1024

static struct nl_addr *build_addr(const struct ip_addr *ip, unsigned int length)
{
	struct nl_addr *addr = nl_addr_build(ip->family, ip->bytes, ip_bits(ip->family) / 8);

	if (!addr)
		abort();
	nl_addr_set_prefixlen(addr, (int)length);
	return addr;
}

static uint32_t table_of(const struct route *route)
{
	return route->table ? route->table : RT_TABLE_MAIN;
}

static uint32_t priority_of(const struct route *route)
{
	return route->priority || route->dst.addr.family == AF_INET ? route->priority : IPV6_PRIORITY;
}

/* --- looking --- */

/* Calls each for every path of every unicast route of one family and table; several paths: the same route again. */
struct route_walk {
	int (*each)(const struct route *found, int paths, void *arg);
	void *arg;
};

static int each_path(struct rtnl_route *object, void *arg)
{
	const struct route_walk *walk = arg;
	int paths = object ? rtnl_route_get_nnexthops(object) : 0;

	if (!object)
		return walk->each(NULL, 0, walk->arg);
	for (int i = 0; i < paths; i++) {
		struct route route = route_read(object, i);

		if (walk->each(&route, paths, walk->arg) != 0)
			return 1;
	}
	return 0;
}

struct route_search {
	const struct route *wanted;
	bool beside; /* one of several paths will do */
	bool same;
	struct route other; /* to the same destination with the same priority; ifindex 0: none seen */
};

static bool same_destination(const struct route *a, const struct route *b)
{
	return a->dst.length == b->dst.length && ip_compare(&a->dst.addr, &b->dst.addr) == 0;
}

static int look_for_same(const struct route *found, int paths, void *arg)
{
	struct route_search *search = arg;
	const struct route *wanted = search->wanted;

	if (!found) {
		search->same = false;
		search->other = (struct route){0};
		return 0;
	}
	if (!same_destination(found, wanted) || found->priority != priority_of(wanted))
		return 0;
	if (!search->other.ifindex)
		search->other = *found;
	search->same = (paths == 1 || search->beside) && found->ifindex == wanted->ifindex &&
		       ip_compare(&found->gateway, &wanted->gateway) == 0 && found->mtu == wanted->mtu &&
		       found->advmss == wanted->advmss;
	return search->same;
}

static int look_for_installed(const struct route *found, int paths, void *arg)
{
	struct route_search *search = arg;
	const struct route *wanted = search->wanted;

	(void)paths;
	if (!found) {
		search->same = false;
		return 0;
	}
	search->same = same_destination(found, wanted) && (!wanted->ifindex || found->ifindex == wanted->ifindex) &&
		       (!wanted->gateway.family || ip_compare(&found->gateway, &wanted->gateway) == 0) &&
		       (!wanted->priority || found->priority == wanted->priority);
	return search->same;
}

int route_exists(struct nl *nl, const struct route *route, bool *ret, struct error *e)
{
	struct route_search search = {.wanted = route};
	struct route_walk walk = {.each = look_for_installed, .arg = &search};
	int r = route_dump(nl, route->dst.addr.family, table_of(route), each_path, &walk, e);

	if (r < 0)
		return r;
	*ret = search.same;
	return 0;
}

/* --- adding --- */

/* EEXIST: fine when it is this very route, else the error says which other one is in its place. */
static int accept_same(struct nl *nl, const struct route *route, bool beside, struct error *e)
{
	cleanup_error struct error why = {0};
	struct route_search search = {.wanted = route, .beside = beside};
	struct route_walk walk = {.each = look_for_same, .arg = &search};
	struct link_info link = {.name = "another link"};
	int r = route_dump(nl, route->dst.addr.family, table_of(route), each_path, &walk, &why);

	if (r < 0)
		return error_set(e, r, why.code, "%s", why.message);
	if (search.same) {
		error_clear(e);
		return 0;
	}
	link_get_index(nl, search.other.ifindex, &link, &why);
	return error_set(e, -EEXIST, ERROR_CONFIG, "cannot add route %s: another one is there, through %s%s%s",
		ip_prefix_text(&route->dst).s, link.name, search.other.gateway.family ? " and gateway " : "",
		ip_text(&search.other.gateway).s);
}

static uint8_t scope_of(const struct route *route)
{
	if (route->scope >= 0)
		return (uint8_t)route->scope;
	return route->gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
}

static void set_path(struct rtnl_route *object, const struct route *route)
{
	struct rtnl_nexthop *path = rtnl_route_nh_alloc();

	if (!path)
		abort();
	rtnl_route_nh_set_ifindex(path, route->ifindex);
	if (route->gateway.family) {
		CLEANUP(nl_addr_put_cleanup)
		struct nl_addr *gateway = build_addr(&route->gateway, ip_bits(route->gateway.family));

		rtnl_route_nh_set_gateway(path, gateway);
	}
	rtnl_route_add_nexthop(object, path);
}

static struct nl_msg *build_route(const struct route *route, int flags)
{
	CLEANUP(rtnl_route_put_cleanup) struct rtnl_route *object = rtnl_route_alloc();
	CLEANUP(nl_addr_put_cleanup) struct nl_addr *dst = build_addr(&route->dst.addr, route->dst.length);
	struct nl_msg *message = NULL;

	if (!object || rtnl_route_set_family(object, (uint8_t)route->dst.addr.family) < 0 ||
		rtnl_route_set_dst(object, dst) < 0)
		abort();
	rtnl_route_set_table(object, table_of(route));
	rtnl_route_set_protocol(object, RTPROT_BOOT);
	rtnl_route_set_scope(object, scope_of(route));
	if (route->priority)
		rtnl_route_set_priority(object, route->priority);
	if (route->mtu)
		rtnl_route_set_metric(object, RTAX_MTU, route->mtu);
	if (route->advmss)
		rtnl_route_set_metric(object, RTAX_ADVMSS, route->advmss);
	set_path(object, route);
	if (rtnl_route_build_add_request(object, flags, &message) < 0)
		abort();
	return message;
}

static int add_route(struct nl *nl, const struct route *route, bool beside, struct error *e)
{
	int r = nl_call(nl, build_route(route, NLM_F_CREATE | (beside ? 0 : NLM_F_EXCL)), e, "cannot add route %s%s%s",
		ip_prefix_text(&route->dst).s, route->gateway.family ? " through " : "", ip_text(&route->gateway).s);

	if (r == -EEXIST)
		return accept_same(nl, route, beside, e);
	/* The kernel cannot make sense of it: a gateway that is not on the link, host bits in the destination. */
	if (r == -ENETUNREACH || r == -EHOSTUNREACH || r == -EINVAL)
		e->code = ERROR_CONFIG;
	return r;
}

int route_add(struct nl *nl, const struct route *route, struct error *e)
{
	return add_route(nl, route, false, e);
}

int route_add_beside(struct nl *nl, const struct route *route, struct error *e)
{
	return add_route(nl, route, true, e);
}

/* --- rules --- */

static struct rtnl_rule *build_rule(const struct rule *rule)
{
	struct ip_addr network = ip_network(&rule->from);
	CLEANUP(nl_addr_put_cleanup) struct nl_addr *from = build_addr(&network, rule->from.length);
	struct rtnl_rule *object = rtnl_rule_alloc();

	if (!object)
		abort();
	rtnl_rule_set_family(object, rule->from.addr.family);
	rtnl_rule_set_action(object, FR_ACT_TO_TBL);
	rtnl_rule_set_table(object, rule->table);
	rtnl_rule_set_prio(object, rule->priority);
	if (rule->from.length > 0 && rtnl_rule_set_src(object, from) < 0)
		abort();
	return object;
}

int rule_add(struct nl *nl, const struct rule *rule, struct error *e)
{
	CLEANUP(rtnl_rule_put_cleanup) struct rtnl_rule *object = build_rule(rule);
	struct nl_msg *message = NULL;

	if (rtnl_rule_build_add_request(object, NLM_F_CREATE | NLM_F_EXCL, &message) < 0)
		abort();

	int r = nl_call(
		nl, message, e, "cannot add the rule from %s to table %u", ip_prefix_text(&rule->from).s, rule->table);

	if (r != -EEXIST)
		return r;
	error_clear(e);
	return 0;
}

static int delete_rule(struct nl *nl, const struct rule *rule, struct error *e)
{
	CLEANUP(rtnl_rule_put_cleanup) struct rtnl_rule *object = build_rule(rule);
	struct nl_msg *message = NULL;

	if (rtnl_rule_build_delete_request(object, 0, &message) < 0)
		abort();
	return nl_call(nl, message, e, "cannot delete the rule from %s to table %u", ip_prefix_text(&rule->from).s,
		rule->table);
}

/* EAFNOSUPPORT: a kernel without rules for that family has not got this one either. */
static bool is_absent(int err)
{
	return err == -ENOENT || err == -EAFNOSUPPORT;
}

/* FRA_TABLE and FRA_PRIORITY alone match whatever has both; the kernel deletes the first match. */
int rule_delete_all(struct nl *nl, uint32_t table, uint32_t priority, struct error *e)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct rule any = {.from.addr.family = families[i], .table = table, .priority = priority};
		struct error none = {0};

		while (delete_rule(nl, &any, &none) == 0)
			;
		if (!is_absent(none.err)) {
			*e = none;
			return e->err;
		}
		error_clear(&none);
	}
	return 0;
}

struct rule_search {
	const struct rule *wanted;
	bool found;
};

static void read_rule(struct nl_object *object, void *arg)
{
	struct rtnl_rule *rule = (struct rtnl_rule *)object;
	const struct nl_addr *from = rtnl_rule_get_src(rule);
	struct rule_search *search = arg;
	const struct rule *wanted = search->wanted;
	int family = wanted->from.addr.family;
	struct ip_addr network = ip_network(&wanted->from), found = {.family = family};
	unsigned int length = 0;

	if (from) {
		found = route_read_addr(from, family);
		length = nl_addr_get_prefixlen(from);
	}
	if (rtnl_rule_get_family(rule) == family && rtnl_rule_get_action(rule) == FR_ACT_TO_TBL &&
		rtnl_rule_get_table(rule) == wanted->table && rtnl_rule_get_prio(rule) == wanted->priority &&
		length == wanted->from.length && ip_compare(&found, &network) == 0)
		search->found = true;
}

static int each_rule(struct nl_msg *part, void *arg)
{
	struct rule_search *search = arg;

	search->found = false;
	if (part)
		nl_msg_parse(part, read_rule, search);
	return search->found;
}

int rule_exists(struct nl *nl, const struct rule *rule, bool *ret, struct error *e)
{
	struct fib_rule_hdr header = {.family = (uint8_t)rule->from.addr.family};
	struct nl_msg *message = nl_request(RTM_GETRULE, NLM_F_DUMP, &header, sizeof(header));
	struct rule_search search = {.wanted = rule};
	int r = nl_query(nl, message, each_rule, &search, e, "cannot list rules");

	if (r < 0)
		return r;
	*ret = search.found;
	return 0;
}
