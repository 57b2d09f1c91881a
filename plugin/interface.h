/* What a CNI result says about one interface, put into the kernel: addresses, routes, and the table that its own
 * default route lives in. */
#pragma once

#include "plugin/attachment.h"

/**
 * Puts the result's ips on the link and sets it up. In this order, since the kernel announces what is there when the
 * link goes up: one gratuitous ARP per IPv4 address, one unsolicited neighbour advertisement per IPv6 address.
 */
int interface_configure(const struct attachment *a, struct run *run, const cJSON *result, struct error *e);

/**
 * Sets the link up without an address, ready for those families, so that the wire can be asked for them (probe_ask).
 * Then interface_address comes in place of interface_configure.
 */
int interface_up_bare(
	const struct attachment *a, struct run *run, const struct ip_addr *addrs, size_t count, struct error *e);

/** Puts the result's ips on a link that interface_up_bare has set up, and announces them: now the kernel does not. */
int interface_address(const struct attachment *a, struct run *run, const cJSON *result, struct error *e);

/**
 * Installs the result's routes, each beside those that lead to its destination already. The default network's all go
 * into the main table. Of any other, a default route does not: it goes into table made.table, with a copy of the
 * connected and of its other routes of that family, and rules lead there what comes from its addresses or their subnet;
 * in that table nobody else's routes may be. made.rules says so. The pod's own default route (made.gateways) is
 * default_route.h's.
 */
int interface_route(struct attachment *a, struct run *run, const cJSON *result, struct error *e);

/** Removes the rules. Absent is success. */
int interface_unroute(struct attachment *a, struct run *run, struct error *e);

/** Whether all addresses, routes and rules are there. ERROR_IO names what is missing. */
int interface_check(const struct attachment *a, struct run *run, const cJSON *result, struct error *e);

/** The same of an interface that the reference plugin made, as that one checks it: its addresses, and that routes to
 * the result's destinations are in the main table, or in the one that they name, over whatever link. */
int interface_check_adopted(const struct attachment *a, struct run *run, const cJSON *result, struct error *e);
