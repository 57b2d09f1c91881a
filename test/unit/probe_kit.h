/* For the tests of the probe: a link without an address, and whether its question for two addresses finds somebody. */
#pragma once

#include "netlink/probe.h"
#include "test/unit/rival.h"

#define FOUR "10.9.0.5"
/* Its group is not that of the link-local address, which the link is in anyway. */
#define SIX "fd00:9::c5:5"
#define GROUP "ff02::1:ffc5:5"
#define ALL_NODES "ff02::1"
#define OTHER4 "10.9.0.77"
#define OTHER6 "fd00:9::77"

/* Longer than it ever takes: what is waited for at most when the code is wrong. */
#define PATIENCE (5 * SECONDS)

/** Where to ask. */
static inline struct probe_link probe_link(const struct lab *lab, const struct link_info *link)
{
	struct probe_link p = {.netns_fd = lab->pod_fd, .ifindex = link->ifindex};

	memcpy(p.mac, link->mac, sizeof(p.mac));
	return p;
}

/** A link that is up and has no address. */
static inline struct probe_link bare(const struct lab *lab, const char *name, uint8_t n)
{
	static const char *const none[] = {NULL};
	struct link_info link = make_with(lab, name, n, none);

	return probe_link(lab, &link);
}

/** Asks for both addresses at once. */
static inline int ask_both(const struct probe_link *link, struct probe_answer *ret, struct error *e)
{
	const struct ip_addr addrs[] = {address(FOUR), address(SIX)};

	return probe_ask(link, addrs, ARRAY_SIZE(addrs), clock_now() + PATIENCE, ret, e);
}

/** Neither is taken. */
static inline void assert_free(const struct probe_link *link)
{
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	assert_done(ask_both(link, &answer, &e), &e);
	if (answer.taken)
		fail_msg("%s is taken", ip_text(&answer.addr).s);
}

/** The address is taken, by that MAC. */
static inline void assert_taken(const struct probe_link *link, const char *addr, const uint8_t mac[6])
{
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	assert_done(ask_both(link, &answer, &e), &e);
	if (!answer.taken)
		fail_msg("%s is not taken", addr);
	assert_string_equal(ip_text(&answer.addr).s, addr);
	assert_memory_equal(answer.mac, mac, 6);
}

#define MAX_SAID 16

/** Says the frames, some time after the first question for the address. */
struct reply {
	int wire, delay_ms;
	const char *trigger;
	struct packet said[MAX_SAID];
	size_t count;
};

static inline void reply_late(const void *arg)
{
	const struct reply *reply = arg;
	uint8_t bytes[2048];

	if (await_question(reply->wire, reply->trigger, bytes, clock_now() + PATIENCE) == 0)
		return;
	clock_pause(reply->delay_ms * (SECONDS / 1000), INT64_MAX);
	for (size_t i = 0; i < reply->count; i++)
		say(reply->wire, &reply->said[i]);
}

/** A rival that says the frame some time after the first question is found. */
static inline void assert_found(const struct probe_link *link, const char *addr, int delay_ms, struct packet packet)
{
	cleanup_close int wire = listen_on_wire();
	struct reply reply = {.wire = wire, .delay_ms = delay_ms, .trigger = addr, .said = {packet}, .count = 1};
	pid_t rival = rival_start(reply_late, &reply);

	assert_taken(link, addr, rival_mac);
	rival_stop(rival);
}
