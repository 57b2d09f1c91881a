/* netlink/probe: who is found on the wire, and what a neighbour learns from an announcement. */
#include "test/unit/probe_kit.h"

#include <sys/ioctl.h>

/* --- what is asked --- */

static void free_address_is_asked_for_three_times(void **state)
{
	static const uint8_t nobody[20];
	const struct lab *lab = *state;
	const struct ip_addr four = address(FOUR), six = address(SIX), group = address(GROUP);
	struct probe_link link = bare(lab, "net1", 5);
	cleanup_close int wire = listen_on_wire(), wire6 = listen_on_wire();
	uint8_t f[2048];
	int count = 0;

	assert_free(&link);
	for (size_t n; (n = await_question(wire, FOUR, f, clock_now())) > 0; count++) {
		assert_int_equal(n, 42);
		assert_memory_equal(f, "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\5\x08\x06\0\1\x08\0\6\4\0\1", 22);
		assert_memory_equal(f + 22, link.mac, 6);
		assert_memory_equal(f + 28, nobody, 10); /* from 0.0.0.0, to a MAC that is not known */
		assert_memory_equal(f + 38, four.bytes, 4);
	}
	assert_int_equal(count, 3);

	count = 0;
	for (size_t n; (n = await_question(wire6, SIX, f, clock_now())) > 0; count++) {
		assert_int_equal(n, ND_AT + ND_BYTES);
		assert_memory_equal(f, "\x33\x33\xff\xc5\0\5\x02\0\0\0\0\5\x86\xdd\x60\0\0\0\0\x18\x3a\xff", 22);
		assert_memory_equal(f + 22, nobody, 16);
		assert_memory_equal(f + 38, group.bytes, 16);
		assert_int_equal(icmp_sum(f + ETH_HLEN, ND_BYTES), 0);
		assert_memory_equal(f + ND_AT, "\x87\0", 2);
		assert_memory_equal(f + ND_AT + 8, six.bytes, 16);
	}
	assert_int_equal(count, 3);
}

static void nothing_is_asked_for_without_addresses(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	assert_done(probe_ask(&link, NULL, 0, 0, &answer, &e), &e);
	assert_false(answer.taken);
	assert_done(probe_announce(&link, NULL, 0, &e), &e);
}

/* --- who is found --- */

static void owner_is_found_with_its_mac(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x42};
	struct probe_link link = bare(*state, "net1", 5);

	shell("ip link set p0 address 02:00:00:00:00:42; ip addr add " FOUR "/16 dev p0");
	assert_taken(&link, FOUR, mac);
	shell("ip addr del " FOUR "/16 dev p0; ip addr add " SIX "/64 dev p0 nodad");
	assert_taken(&link, SIX, mac);
}

static void late_answer_is_heard(void **state)
{
	static const int delays_ms[] = {20, 120, 400};
	struct probe_link link = bare(*state, "net1", 5);

	for (size_t i = 0; i < ARRAY_SIZE(delays_ms); i++) {
		assert_found(&link, FOUR, delays_ms[i], arp(ARPOP_REPLY, FOUR, "0.0.0.0"));
		assert_found(&link, SIX, delays_ms[i], neighbour(ND_NEIGHBOR_ADVERT, SIX, ALL_NODES, SIX));
	}
}

static void who_announces_an_address_has_it(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);

	assert_found(&link, FOUR, 200, arp(ARPOP_REQUEST, FOUR, FOUR));
	assert_found(&link, FOUR, 200, arp(ARPOP_REPLY, FOUR, FOUR));
	assert_found(&link, SIX, 200, neighbour(ND_NEIGHBOR_ADVERT, "fe80::99", ALL_NODES, SIX));
}

static void who_sends_from_an_address_has_it(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);

	assert_found(&link, FOUR, 0, arp(ARPOP_REQUEST, FOUR, OTHER4));
	assert_found(&link, SIX, 0, neighbour(ND_NEIGHBOR_SOLICIT, SIX, ALL_NODES, OTHER6));
	assert_found(&link, SIX, 0, neighbour(ND_NEIGHBOR_ADVERT, SIX, ALL_NODES, OTHER6));
}

static void who_asks_without_an_address_wants_it(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);

	assert_found(&link, FOUR, 0, arp(ARPOP_REQUEST, "0.0.0.0", FOUR));
	assert_found(&link, SIX, 0, neighbour(ND_NEIGHBOR_SOLICIT, "::", GROUP, SIX));
}

struct twin {
	struct probe_link link;
	int result; /* 'f' for free or 't' for taken is written there */
};

static void ask_too(const void *arg)
{
	const struct twin *twin = arg;
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	if (ask_both(&twin->link, &answer, &e) == 0 && write(twin->result, answer.taken ? "t" : "f", 1) != 1)
		_exit(1);
}

static void of_two_that_ask_at_once_one_gives_way(void **state)
{
	struct probe_link one = bare(*state, "net1", 5), two = bare(*state, "net2", 6);
	cleanup_error struct error e = {0};
	struct probe_answer answer;
	int pipes[2];
	char result = 0;

	assert_int_equal(pipe(pipes), 0);

	struct twin twin = {.link = two, .result = pipes[1]};
	pid_t rival = rival_start(ask_too, &twin);

	close(pipes[1]);
	assert_done(ask_both(&one, &answer, &e), &e);
	assert_int_equal(read(pipes[0], &result, 1), 1);
	assert_true(answer.taken || result == 't');
	if (answer.taken)
		assert_memory_equal(answer.mac, two.mac, 6);
	waitpid(rival, NULL, 0);
	close(pipes[0]);
}

static void macvlan_of_the_same_master_is_found(void **state)
{
	static const char *const owned[] = {FOUR "/16", NULL}, *const owned6[] = {SIX "/64", NULL};
	const struct lab *lab = *state;
	struct probe_link link = bare(lab, "net1", 5);
	cleanup_error struct error e = {0};

	/* In the same namespace, where one kernel answers for both: from the other link. */
	struct link_info owner = make_with(lab, "net2", 6, owned);

	assert_taken(&link, FOUR, owner.mac);
	assert_done(link_delete(lab->pod, owner.ifindex, &e), &e);
	owner = make_with(lab, "net3", 7, owned6);
	assert_taken(&link, SIX, owner.mac);
}

/* --- carrier and deadline --- */

static void without_carrier_nobody_can_be_asked(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	const struct ip_addr four = address(FOUR);
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	shell("ip link set p0 down");
	assert_int_equal(probe_ask(&link, &four, 1, clock_now() + SECONDS / 10, &answer, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_string_equal(e.message, "cannot ask the wire for 10.9.0.5 in time: interface net1 has no carrier, look "
				       "at its master");
	assert_done(probe_announce(&link, &four, 1, &e), &e);
}

static void set_wire_up(const void *arg)
{
	(void)arg;
	clock_pause(SECONDS / 10, INT64_MAX);
	shell("ip link set p0 up");
}

static void carrier_is_waited_for(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x42};
	struct probe_link link = bare(*state, "net1", 5);

	shell("ip link set p0 address 02:00:00:00:00:42; ip addr add " FOUR "/16 dev p0; ip link set p0 down");

	pid_t child = rival_start(set_wire_up, NULL);

	assert_taken(&link, FOUR, mac);
	waitpid(child, NULL, 0);
}

/* Who sets which link down, and when. A call of ip(8) would take longer than the probe listens, on a busy machine. */
struct cut {
	int wire, netns_fd, questions;
	char name[IFNAMSIZ];
};

static int set_down(void *arg, struct error *e)
{
	const struct cut *cut = arg;
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};

	memcpy(request.ifr_name, cut->name, IFNAMSIZ);
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? error_set(e, -errno, ERROR_IO, "%s", strerror(errno)) : 0;
}

static void cut_wire(const void *arg)
{
	struct cut cut = *(const struct cut *)arg;
	cleanup_error struct error e = {0};
	int64_t end = clock_now() + PATIENCE;
	uint8_t bytes[2048];

	for (int i = 0; i < cut.questions; i++)
		await_question(cut.wire, FOUR, bytes, end);
	assert_done(netns_run(cut.netns_fd, set_down, &cut, &e), &e);
}

static void assert_cut(const struct probe_link *link, const struct cut *cut, int expected, const char *sentence)
{
	const struct ip_addr four = address(FOUR);
	cleanup_error struct error e = {0};
	struct probe_answer answer;
	pid_t child = rival_start(cut_wire, cut);

	assert_int_equal(probe_ask(link, &four, 1, clock_now() + SECONDS, &answer, &e), expected);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_shows(e.message, sentence);
	waitpid(child, NULL, 0);
}

static void lost_carrier_is_no_answer(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	cleanup_close int wire = listen_on_wire();
	const struct cut cut = {.wire = wire, .netns_fd = -1, .questions = 3, .name = "p0"};

	assert_cut(&link, &cut, -ENETDOWN, "interface net1 lost its carrier while the wire was asked for 10.9.0.5");
}

static void link_that_is_set_down_is_no_answer(void **state)
{
	const struct lab *lab = *state;
	struct probe_link link = bare(lab, "net1", 5);
	cleanup_close int wire = listen_on_wire();
	const struct cut cut = {.wire = wire, .netns_fd = lab->pod_fd, .questions = 1, .name = "net1"};

	assert_cut(&link, &cut, -ETIMEDOUT, "interface net1 has no carrier");
}

static void deadline_before_the_last_question_is_no_answer(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	const struct ip_addr four = address(FOUR);
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	assert_int_equal(probe_ask(&link, &four, 1, clock_now() - 1, &answer, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_int_equal(probe_ask(&link, &four, 1, clock_now() + SECONDS / 5, &answer, &e), -ETIMEDOUT);
}

static void link_that_is_gone_is_an_error(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	const struct lab *lab = *state;
	const struct ip_addr four = address(FOUR);
	cleanup_error struct error e = {0};
	struct probe_answer answer;

	assert_done(link_delete(lab->pod, link.ifindex, &e), &e);
	assert_int_equal(probe_ask(&link, &four, 1, clock_now() + PATIENCE, &answer, &e), -ENODEV);
	assert_int_equal(e.code, ERROR_IO);
	assert_int_equal(probe_announce(&link, &four, 1, &e), -ENXIO);
}

/* --- announcing --- */

/* What the host's cache has for the address, as soon as it has what is expected. */
static void assert_learns(const char *addr, const char *expected)
{
	for (int64_t end = clock_now() + PATIENCE;; clock_pause(SECONDS / 100, end)) {
		cleanup_free char *shown = run("ip neigh show %s dev p0 2>&1", addr);

		if (strstr(shown, expected))
			return;
		if (clock_now() >= end)
			fail_msg("not %s: %s", expected, shown);
	}
}

static void neighbours_learn_from_an_announcement(void **state)
{
	struct probe_link link = bare(*state, "net1", 5);
	const struct ip_addr addrs[] = {address(FOUR), address(SIX)};
	cleanup_error struct error e = {0};

	shell("ip addr add 10.9.0.1/16 dev p0; ip addr add fd00:9::1/64 dev p0 nodad;"
	      "ip neigh replace " FOUR " lladdr 02:00:00:00:00:13 nud reachable dev p0;"
	      "ip neigh replace " SIX " lladdr 02:00:00:00:00:13 nud reachable dev p0");
	assert_learns(FOUR, "02:00:00:00:00:13");
	assert_learns(SIX, "02:00:00:00:00:13");
	assert_done(probe_announce(&link, addrs, ARRAY_SIZE(addrs), &e), &e);
	assert_learns(FOUR, "02:00:00:00:00:05");
	assert_learns(SIX, "02:00:00:00:00:05");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(free_address_is_asked_for_three_times),
		IN_LAB(nothing_is_asked_for_without_addresses),
		IN_LAB(owner_is_found_with_its_mac),
		IN_LAB(late_answer_is_heard),
		IN_LAB(who_announces_an_address_has_it),
		IN_LAB(who_sends_from_an_address_has_it),
		IN_LAB(who_asks_without_an_address_wants_it),
		IN_LAB(of_two_that_ask_at_once_one_gives_way),
		IN_LAB(macvlan_of_the_same_master_is_found),
		IN_LAB(without_carrier_nobody_can_be_asked),
		IN_LAB(carrier_is_waited_for),
		IN_LAB(lost_carrier_is_no_answer),
		IN_LAB(link_that_is_set_down_is_no_answer),
		IN_LAB(deadline_before_the_last_question_is_no_answer),
		IN_LAB(link_that_is_gone_is_an_error),
		IN_LAB(neighbours_learn_from_an_announcement),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
