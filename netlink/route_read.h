/* Routes as the kernel lists them; for the files of this folder. */
#pragma once

#include "netlink/route.h"

struct nl_addr;
struct rtnl_route;

/** An address of libnl's; family is what the kernel says of it. */
struct ip_addr route_read_addr(const struct nl_addr *addr, int family);

/** A route with one of its paths: path counts from 0. */
struct route route_read(struct rtnl_route *object, int path);

/**
 * Calls each(object, arg) for every unicast route of one family and table until it returns something else than 0;
 * each(NULL, arg) says that what was read so far is void. The object is borrowed (nl_object_get keeps it). A table that
 * was never used, or a kernel without that family: no routes.
 */
int route_dump(struct nl *nl, int family, uint32_t table, int (*each)(struct rtnl_route *object, void *arg), void *arg,
	struct error *e);
