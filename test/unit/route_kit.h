/* Two links of the pod, and routes over them. */
#pragma once

#include "test/unit/netlink_kit.h"

/** Two links of the pod that are up: net1 with 10.9.0.5 and fd00:9::5, net2 with 10.8.0.5 and fd00:8::5. */
struct links {
	int net1, net2;
};

static inline struct links make_links(const struct lab *lab)
{
	static const char *const one[] = {"10.9.0.5/16", "fd00:9::5/64", NULL};
	static const char *const two[] = {"10.8.0.5/16", "fd00:8::5/64", NULL};

	return (struct links){make_with(lab, "net1", 1, one).ifindex, make_with(lab, "net2", 2, two).ifindex};
}

static inline struct route route(int ifindex, const char *dst, const char *gateway)
{
	struct route r = {.dst = prefix(dst), .ifindex = ifindex, .scope = -1};

	if (gateway)
		r.gateway = address(gateway);
	return r;
}

static inline bool installed(const struct lab *lab, const struct route *r)
{
	cleanup_error struct error e = {0};
	bool there = false;

	assert_done(route_exists(lab->pod, r, &there, &e), &e);
	return there;
}
