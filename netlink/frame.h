/* Ethernet frames in which somebody says who has an address: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861,
 * RFC 4862). Built and read as bytes, without a socket. */
#pragma once

#include "plugin/base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAC 6

/** Room for the longest frame that is built: a neighbour advertisement with one option. */
#define FRAME_BYTES 86

struct frame {
	uint8_t bytes[FRAME_BYTES];
	size_t length;
	uint16_t protocol; /* ETH_P_*, host order */
};

/** The question whether anybody has the address, asked by a link that has none: an ARP probe from 0.0.0.0 (RFC 5227
 * 2.1.1), or a neighbour solicitation from :: (RFC 4862 5.4.2). */
struct frame frame_question(const struct ip_addr *addr, const uint8_t mac[FRAME_MAC]);

/** What the kernel sends for an address that is there when its link goes up: a gratuitous ARP request, or an
 * unsolicited neighbour advertisement with override to all nodes. */
struct frame frame_announcement(const struct ip_addr *addr, const uint8_t mac[FRAME_MAC]);

/** The group of which an owner of the IPv6 address hears questions, as an Ethernet address (RFC 2464 7). */
void frame_solicited_group(const struct ip_addr *addr, uint8_t ret[FRAME_MAC]);

struct frame_claim {
	struct ip_addr addrs[2]; /* family 0: none */
	uint8_t mac[FRAME_MAC];  /* whose they are */
};

/**
 * Which addresses the frame's sender says are its own: that it answers for, announces, sends from, or asks for as one
 * that has no address yet. False: none, malformed, or the frame is own_mac's. Any bytes may be given.
 */
bool frame_read(const uint8_t *bytes, size_t length, const uint8_t own_mac[FRAME_MAC], struct frame_claim *ret);
