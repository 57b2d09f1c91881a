#include "netlink/route_read.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

DEFINE_CLEANUP(struct rtnl_route, rtnl_route_put)

struct route_dump {
	uint32_t table;
	int (*each)(struct rtnl_route *object, void *arg);
	void *arg;
};

struct ip_addr route_read_addr(const struct nl_addr *addr, int family)
{
	struct ip_addr ip = {.family = family};

	if (nl_addr_get_len(addr) <= sizeof(ip.bytes))
		memcpy(ip.bytes, nl_addr_get_binary_addr(addr), nl_addr_get_len(addr));
	return ip;
}

static void read_path(struct rtnl_nexthop *path, int family, struct route *ret)
{
	struct nl_addr *gateway = rtnl_route_nh_get_gateway(path), *via = rtnl_route_nh_get_via(path);

	ret->ifindex = rtnl_route_nh_get_ifindex(path);
	if (gateway)
		ret->gateway = route_read_addr(gateway, family);
	else if (via)
		ret->gateway = route_read_addr(via, nl_addr_get_family(via));
}

struct route route_read(struct rtnl_route *object, int path)
{
	const struct nl_addr *dst = rtnl_route_get_dst(object);
	int family = rtnl_route_get_family(object);
	struct route route = {
		.dst = {.addr = {.family = family}},
		.table = rtnl_route_get_table(object),
		.priority = rtnl_route_get_priority(object),
		.scope = rtnl_route_get_scope(object),
	};

	if (dst)
		route.dst = (struct ip_prefix){route_read_addr(dst, family), nl_addr_get_prefixlen(dst)};
	rtnl_route_get_metric(object, RTAX_MTU, &route.mtu);
	rtnl_route_get_metric(object, RTAX_ADVMSS, &route.advmss);
	read_path(rtnl_route_nexthop_n(object, path), family, &route);
	return route;
}

static int each_part(struct nl_msg *part, void *arg)
{
	CLEANUP(rtnl_route_put_cleanup) struct rtnl_route *object = NULL;
	const struct route_dump *dump = arg;

	if (!part)
		return dump->each(NULL, dump->arg);
	if (rtnl_route_parse(nlmsg_hdr(part), &object) < 0 || rtnl_route_get_type(object) != RTN_UNICAST ||
		rtnl_route_get_table(object) != dump->table)
		return 0;
	return dump->each(object, dump->arg);
}

int route_dump(struct nl *nl, int family, uint32_t table, int (*each)(struct rtnl_route *object, void *arg), void *arg,
	struct error *e)
{
	struct rtmsg header = {.rtm_family = (unsigned char)family};
	struct nl_msg *message = nl_request(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));
	struct route_dump dump = {.table = table, .each = each, .arg = arg};

	nla_put_u32(message, RTA_TABLE, table);

	int r = nl_query(nl, message, each_part, &dump, e, "cannot list routes");

	/* ENOENT: that table was never used. The others: a kernel without IPv6. */
	if (r == -ENOENT || r == -EOPNOTSUPP || r == -EAFNOSUPPORT) {
		error_clear(e);
		return 0;
	}
	return r;
}
