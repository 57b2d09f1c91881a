/* Routes and the rules that choose their table. */
#pragma once

#include "netlink/socket.h"
#include "plugin/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route {
	struct ip_prefix dst;   /* length 0: a default route; no host bits */
	struct ip_addr gateway; /* family 0: none */
	int ifindex;
	uint32_t table;       /* 0: main */
	uint32_t priority;    /* 0: the kernel's default */
	int scope;            /* RT_SCOPE_*, -1: universe with a gateway, link without */
	uint32_t mtu, advmss; /* 0: none */
};

struct rule {
	struct ip_prefix from;
	uint32_t table;
	uint32_t priority;
};

/**
 * Adds a route (RTPROT_BOOT, NLM_F_CREATE | NLM_F_EXCL: never beside or in front of another of the same destination).
 * When just this route is already there: success. Another route to that destination: -EEXIST, ERROR_CONFIG, names its
 * link.
 */
int route_add(struct nl *nl, const struct route *route, struct error *e);

/**
 * The same with NLM_F_CREATE alone, as the reference plugins do it: where other routes of the same destination and
 * priority are, the kernel puts an IPv4 route in front of them, and makes an IPv6 route through a gateway a further
 * path. -EEXIST: an IPv6 route over that link and gateway with other metrics.
 */
int route_add_beside(struct nl *nl, const struct route *route, struct error *e);

/** Whether the route is installed: destination, table, and link, gateway and priority if given. */
int route_exists(struct nl *nl, const struct route *route, bool *ret, struct error *e);

/** The link of the main table's first default route, IPv4 before IPv6. None: -ESRCH (ERROR_CONFIG). */
int route_default_link(struct nl *nl, int *ret_ifindex, struct error *e);

/** The main table's default routes of a family in the kernel's order, whoever made them: an entry for each path of
 * each. *ret is owned by the caller, NULL and 0 before. */
int route_list_defaults(struct nl *nl, int family, struct route **ret, size_t *ret_count, struct error *e);

/** Deletes the main table's default routes of a family that have a path over that link (0: all of them), with their
 * other paths, whoever made them. None is success. */
int route_delete_defaults(struct nl *nl, int family, int ifindex, struct error *e);

/** Adds a rule; one that is there already is success. */
int rule_add(struct nl *nl, const struct rule *rule, struct error *e);

/** Deletes every rule of that table and priority, in both families, whatever it is from; none is success. */
int rule_delete_all(struct nl *nl, uint32_t table, uint32_t priority, struct error *e);

/** Whether just this rule is there: from, table, priority. */
int rule_exists(struct nl *nl, const struct rule *rule, bool *ret, struct error *e);
