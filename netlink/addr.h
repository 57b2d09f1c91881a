/* Addresses of a link. */
#pragma once

#include "netlink/socket.h"
#include "plugin/base/ip.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * Adds an address: with its broadcast for IPv4 prefixes shorter than /31, with IFA_F_NODAD for IPv6 (usable at once).
 * Already there: -EEXIST.
 */
int addr_add(struct nl *nl, int ifindex, const struct ip_prefix *addr, struct error *e);

/** All addresses of the link, both families, link-local ones too. The caller frees *ret. */
int addr_list(struct nl *nl, int ifindex, struct ip_prefix **ret, size_t *ret_count, struct error *e);
