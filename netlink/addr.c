#include "netlink/addr.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <string.h>

DEFINE_CLEANUP(struct rtnl_addr, rtnl_addr_put)
DEFINE_CLEANUP(struct nl_addr, nl_addr_put)

static struct nl_addr *build_addr(const struct ip_addr *ip)
{
	struct nl_addr *addr = nl_addr_build(ip->family, ip->bytes, ip_bits(ip->family) / 8);

	if (!addr)
		abort();
	return addr;
}

/* The kernel, unlike ifconfig, sets no broadcast address by itself; /31 and /32 have none (RFC 3021). */
static int set_broadcast(struct rtnl_addr *request, const struct ip_prefix *addr)
{
	if (addr->addr.family != AF_INET || addr->length >= 31)
		return 0;

	struct ip_addr last = ip_last(addr);
	CLEANUP(nl_addr_put_cleanup) struct nl_addr *broadcast = build_addr(&last);

	return rtnl_addr_set_broadcast(request, broadcast);
}

int addr_add(struct nl *nl, int ifindex, const struct ip_prefix *addr, struct error *e)
{
	CLEANUP(rtnl_addr_put_cleanup) struct rtnl_addr *request = rtnl_addr_alloc();
	CLEANUP(nl_addr_put_cleanup) struct nl_addr *local = build_addr(&addr->addr);
	struct nl_msg *message = NULL;

	if (!request)
		abort();
	nl_addr_set_prefixlen(local, (int)addr->length);
	rtnl_addr_set_ifindex(request, ifindex);
	/* Without duplicate address detection, which takes 2 s: who holds the address was settled before. */
	if (addr->addr.family == AF_INET6)
		rtnl_addr_set_flags(request, IFA_F_NODAD);
	if (rtnl_addr_set_local(request, local) < 0 || set_broadcast(request, addr) < 0 ||
		rtnl_addr_build_add_request(request, NLM_F_CREATE | NLM_F_EXCL, &message) < 0)
		abort();

	int r = nl_call(nl, message, e, "cannot add address %s", ip_prefix_text(addr).s);

	/* EACCES of IPv6 is not about rights: disable_ipv6 is set. */
	if (r == -EACCES && addr->addr.family == AF_INET6)
		e->code = ERROR_CONFIG;
	return r;
}

struct addr_search {
	int ifindex;
	struct ip_prefix *list;
	size_t count;
};

static void read_addr(struct nl_object *object, void *arg)
{
	struct rtnl_addr *addr = (struct rtnl_addr *)object;
	const struct nl_addr *local = rtnl_addr_get_local(addr);
	struct addr_search *search = arg;
	int family = rtnl_addr_get_family(addr);

	/* Older kernels list the addresses of every link, whatever was asked for. */
	if (!local || rtnl_addr_get_ifindex(addr) != search->ifindex || (family != AF_INET && family != AF_INET6))
		return;

	struct ip_prefix prefix = {.addr.family = family, .length = (unsigned int)rtnl_addr_get_prefixlen(addr)};

	memcpy(prefix.addr.bytes, nl_addr_get_binary_addr(local), nl_addr_get_len(local));
	search->list = reallocate(search->list, search->count + 1, sizeof(prefix));
	search->list[search->count++] = prefix;
}

static int collect_addr(struct nl_msg *part, void *arg)
{
	struct addr_search *search = arg;

	if (part)
		nl_msg_parse(part, read_addr, search);
	else
		search->count = 0;
	return 0;
}

int addr_list(struct nl *nl, int ifindex, struct ip_prefix **ret, size_t *ret_count, struct error *e)
{
	struct ifaddrmsg header = {.ifa_index = (uint32_t)ifindex};
	struct nl_msg *message = nl_request(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
	struct addr_search search = {.ifindex = ifindex};
	int r = nl_query(nl, message, collect_addr, &search, e, "cannot list addresses");
	cleanup_free struct ip_prefix *list = search.list;

	if (r < 0)
		return r;

	*ret = steal_ptr(list);
	*ret_count = search.count;
	return 0;
}
