/* netlink/probe: what is on the wire beside an owner, and must neither be taken for one nor hide one. */
#include "netlink/frame.h"
#include "test/unit/probe_kit.h"

/* Nothing of all that is said makes an address taken. */
static void assert_overlooked(const struct probe_link *link, const struct packet *said, size_t count)
{
	cleanup_close int wire = listen_on_wire();
	struct reply reply = {.wire = wire, .trigger = SIX, .count = count};

	assert_true(count <= MAX_SAID);
	memcpy(reply.said, said, count * sizeof(*said));

	pid_t rival = rival_start(reply_late, &reply);

	assert_free(link);
	waitpid(rival, NULL, 0);
}

static void reflect(const void *arg)
{
	const int *wire = arg;
	struct packet p;
	uint8_t bytes[2048];

	while ((p.length = await_question(*wire, FOUR, bytes, clock_now() + PATIENCE)) > 0) {
		if (p.length > sizeof(p.bytes))
			continue;
		memcpy(p.bytes, bytes, p.length);
		say(*wire, &p);
	}
}

/* A macvlan of that kind gets back what comes back with its own MAC; the master of one in bridge mode drops it. */
static struct probe_link bare_private(const struct lab *lab)
{
	struct macvlan_spec s = spec(lab, "net1", 5);
	cleanup_error struct error e = {0};
	struct link_info link;

	s.mode = MODE_PRIVATE;
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	assert_done(link_set_up(lab->pod, link.ifindex, &e), &e);
	return probe_link(lab, &link);
}

static void own_questions_that_come_back_are_no_sign(void **state)
{
	struct probe_link link = bare_private(*state);
	cleanup_close int wire = listen_on_wire();
	pid_t loop = rival_start(reflect, &wire);
	struct packet said[] = {
		arp(ARPOP_REQUEST, "0.0.0.0", FOUR),
		arp(ARPOP_REQUEST, "0.0.0.0", FOUR),
		neighbour(ND_NEIGHBOR_SOLICIT, "::", GROUP, SIX),
	};

	assert_free(&link);
	rival_stop(loop);

	/* By way of something that puts its own MAC in front, or ours. */
	memcpy(said[0].bytes + 22, link.mac, 6);
	memcpy(said[1].bytes + 6, link.mac, 6);
	memcpy(said[2].bytes + 6, link.mac, 6);
	assert_overlooked(&link, said, ARRAY_SIZE(said));
}

static void who_looks_for_the_address_does_not_have_it(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	const struct packet said[] = {
		arp(ARPOP_REQUEST, OTHER4, FOUR),
		arp(ARPOP_REPLY, OTHER4, FOUR),
		arp(ARPOP_REPLY, "0.0.0.0", FOUR),
		neighbour(ND_NEIGHBOR_SOLICIT, OTHER6, GROUP, SIX),
		neighbour(ND_NEIGHBOR_SOLICIT, "::", GROUP, OTHER6),
	};

	assert_overlooked(&link, said, ARRAY_SIZE(said));
}

struct damage {
	size_t at;
	uint8_t value;
	bool sealed; /* the checksum is right all the same */
};

/* One copy for each damage, and one that is cut short. Returns how many. */
static size_t damage(const struct packet *whole, const struct damage *list, size_t count, struct packet *ret)
{
	for (size_t i = 0; i <= count; i++)
		ret[i] = *whole;
	for (size_t i = 0; i < count; i++) {
		ret[i].bytes[list[i].at] = list[i].value;
		if (list[i].sealed)
			seal(&ret[i]);
	}
	ret[count].length--;
	return count + 1;
}

static void malformed_frames_are_no_sign(void **state)
{
	/* Another hardware, another protocol, two wrong lengths, reverse ARP. */
	static const struct damage arp_damage[] = {
		{15, 6, false}, {16, 0x86, false}, {18, 8, false}, {19, 16, false}, {21, 3, false}};
	/* Through a router, UDP, IPv4, too long, too short, a router's, another code, a wrong checksum. */
	static const struct damage nd_damage[] = {{21, 254, true}, {20, 17, false}, {14, 0x40, false}, {19, 64, true},
		{19, 22, true}, {ND_AT, 134, true}, {ND_AT + 1, 1, true}, {ND_AT + 3, 0, false}};
	struct probe_link link = bare(*state, "net1", 5);
	struct packet whole = arp(ARPOP_REPLY, FOUR, "0.0.0.0"), said[MAX_SAID];
	size_t count = damage(&whole, arp_damage, ARRAY_SIZE(arp_damage), said);

	whole = neighbour(ND_NEIGHBOR_ADVERT, SIX, ALL_NODES, SIX);
	count += damage(&whole, nd_damage, ARRAY_SIZE(nd_damage), said + count);
	assert_overlooked(&link, said, count);

	/* Nor by themselves, where no filter stands in front. */
	struct frame_claim claim;

	for (size_t i = 0; i < count; i++)
		assert_false(frame_read(said[i].bytes, said[i].length, link.mac, &claim));
	assert_true(frame_read(whole.bytes, whole.length, link.mac, &claim));
}

static void another_vlan_is_another_wire(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	struct packet p = arp(ARPOP_REPLY, FOUR, "0.0.0.0");

	memmove(p.bytes + 16, p.bytes + 12, p.length - 12);
	memcpy(p.bytes + 12, "\x81\0\0\7", 4);
	p.length += 4;
	assert_overlooked(&link, &p, 1);

	/* VLAN 0 is no VLAN: such a frame has a priority, and that is all. */
	p.bytes[14] = 0xe0;
	p.bytes[15] = 0;
	assert_found(&link, FOUR, 0, p);
}

static void storm(const void *arg)
{
	const int *wire = arg;
	struct packet many = arp(ARPOP_REQUEST, OTHER4, "10.9.0.78"), junk = {.length = 128};

	memcpy(junk.bytes, many.bytes, 14);
	for (unsigned int i = 0;; i++) {
		many.bytes[40] = (uint8_t)(i >> 8);
		many.bytes[41] = (uint8_t)i | 0x80;
		say(*wire, i % 16 ? &many : &junk);
	}
}

static void storm_neither_hides_nor_prolongs(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	cleanup_close int wire = listen_on_wire();
	pid_t child = rival_start(storm, &wire);

	assert_free(&link);
	assert_found(&link, FOUR, 120, arp(ARPOP_REPLY, FOUR, "0.0.0.0"));
	assert_found(&link, SIX, 120, neighbour(ND_NEIGHBOR_ADVERT, SIX, ALL_NODES, SIX));
	/* It was there all the time. */
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	rival_stop(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(own_questions_that_come_back_are_no_sign),
		IN_LAB(who_looks_for_the_address_does_not_have_it),
		IN_LAB(malformed_frames_are_no_sign),
		IN_LAB(another_vlan_is_another_wire),
		IN_LAB(storm_neither_hides_nor_prolongs),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
