/* Arithmetic on ranges: which addresses may be taken, in which order. */
#pragma once

#include "ipam/config.h"

/** The range whose subnet holds the address, over all sets; NULL if none. */
const struct ipam_range *ipam_range_of(const struct ipam_config *config, const struct ip_addr *addr);

/** Whether it is the network, broadcast (IPv4's last) or gateway address of the range: nobody may have these. */
bool ipam_range_is_special(const struct ipam_range *range, const struct ip_addr *addr);

/**
 * Whether a fixed address may be given: inside a subnet of config, inside fixedStart-fixedEnd where these are set, not
 * special. Errors are ERROR_CONFIG: "<what> is <addr>: ..." with the reason (`what` names where it was asked for, e.g.
 * an annotation).
 */
int ipam_range_check_fixed(
	const struct ipam_config *config, const struct ip_addr *addr, const char *what, struct error *e);

/** Whether a dynamic claim may give it from this set: in start-end of one of its ranges, not special. */
bool ipam_set_allows(const struct ipam_range_set *set, const struct ip_addr *addr);

/** Walks the dynamic addresses of a set once around. */
struct ipam_walk {
	const struct ipam_range_set *set;
	size_t range;       /* where it is */
	struct ip_addr at;  /* the candidate given last */
	size_t first_range; /* where it began */
	struct ip_addr first;
	bool begun;
};

/** A walk that starts behind `last` (family 0 or outside the set: at the first range's start). */
struct ipam_walk ipam_walk_from(const struct ipam_range_set *set, const struct ip_addr *last);

/** The next candidate that is not special; false once all were given. */
bool ipam_walk_next(struct ipam_walk *walk, struct ip_addr *ret);
