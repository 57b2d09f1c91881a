#include "netlink/probe.h"

#include <errno.h>

int probe_ask(const struct probe_link *link, const struct ip_addr *addrs, size_t count, int64_t deadline,
	struct probe_answer *ret, struct error *e)
{
	(void)link, (void)addrs, (void)count, (void)deadline, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "probe is missing");
}

int probe_announce(const struct probe_link *link, const struct ip_addr *addrs, size_t count, struct error *e)
{
	(void)link, (void)addrs, (void)count, (void)e;
	return 0;
}
