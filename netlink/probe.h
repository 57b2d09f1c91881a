/*
 * The wire asked whether somebody answers for an address, and told who has it from now on (RFC 5227; RFC 4861, RFC 4862
 * 5.4), from packet sockets inside the pod's namespace.
 */
#pragma once

#include "netlink/socket.h"
#include "plugin/base/ip.h"

#include <stdbool.h>
#include <stdint.h>

/** Where to ask: a link that is up and has none of the addresses. */
struct probe_link {
	int netns_fd;
	int ifindex;
	uint8_t mac[6];
};

struct probe_answer {
	bool taken;
	struct ip_addr addr; /* the first one that is */
	uint8_t mac[6];      /* who has it, or probes for it at the same time */
};

/**
 * Asks for all addresses at once: ARP probes from 0.0.0.0, neighbour solicitations from ::, three each, 150 ms apart,
 * and listens until 300 ms behind the last one or the deadline, whichever is sooner. Taken is an address that somebody
 * else answers for, announces, uses as a sender, or probes for. Returns at the first one. A link without carrier waits
 * for it until the deadline; then, as when it loses it meanwhile or the deadline comes before the third question,
 * ERROR_TRY_AGAIN: nobody was heard who could not have been. Of two that ask at the same time at least one hears the
 * other. Through a switch that snoops MLD, IPv6 questions of others may not be heard; answers are.
 */
int probe_ask(const struct probe_link *link, const struct ip_addr *addrs, size_t count, int64_t deadline,
	struct probe_answer *ret, struct error *e);

/**
 * Announces addresses that were added after the link went up: one gratuitous ARP request for each IPv4 address, one
 * unsolicited neighbour advertisement (override set) for each IPv6 one. A link without carrier is success.
 */
int probe_announce(const struct probe_link *link, const struct ip_addr *addrs, size_t count, struct error *e);
