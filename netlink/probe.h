/* What a link says on the wire about its addresses. */
#pragma once

#include "netlink/socket.h"
#include "plugin/base/ip.h"

#include <stdint.h>

/**
 * Sends one unsolicited neighbour advertisement (RFC 4861 4.4 and 7.2.6: override set, to ff02::1, hop limit 255) for
 * an IPv6 address of the link that was added after the link went up. For addresses that were there before, the kernel
 * (>= 4.18) sends it by itself when the link goes up (ndisc_notify, which link_prepare_ipv6 sets): nothing to do. From
 * a raw ICMPv6 socket: closing a packet socket would wait for an RCU grace period. The address must be usable (NODAD).
 * A link without carrier is success: nobody could hear it.
 */
int probe_announce(int netns_fd, int ifindex, const uint8_t mac[6], const struct ip_addr *addr, struct error *e);
