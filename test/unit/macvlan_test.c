/* netlink/: macvlans made, renamed, prepared and deleted, against the real kernel. */
#include "test/unit/netlink_kit.h"

#include <sys/wait.h>

static void makes_every_mode(void **state)
{
	static const struct {
		const char *name;
		uint32_t mode;
	} modes[] = {
		{"private", MODE_PRIVATE}, {"vepa", MODE_VEPA}, {"bridge", MODE_BRIDGE}, {"passthru", MODE_PASSTHRU}};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct link_info link, read;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct macvlan_spec s = spec(lab, "net1", 7);
		cleanup_free char *expected = format_text("macvlan mode %s", modes[i].name);

		s.mode = modes[i].mode;
		assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);

		cleanup_free char *shown = run_in_pod(lab, "ip -d -o link show net1");

		assert_shows(shown, expected);
		assert_done(link_get(lab->pod, "net1", &read, &e), &e);
		assert_memory_equal(&read, &link, sizeof(link));
		assert_int_equal(link.macvlan_mode, modes[i].mode);
		assert_string_equal(link.kind, "macvlan");
		assert_int_equal(link.parent, lab->master);
		assert_done(link_delete(lab->pod, link.ifindex, &e), &e);
	}
}

static void makes_what_was_specified(void **state)
{
	const struct lab *lab = *state;
	struct macvlan_spec s = spec(lab, "net1", 0x2a);
	cleanup_error struct error e = {0};
	struct link_info link;

	s.mtu = 1280;
	s.bcqueuelen = 4321;
	shell("ip link set m0 mtu 1400");
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	assert_string_equal(link.name, "net1");
	assert_memory_equal(link.mac, s.mac, MAC_BYTES);
	assert_int_equal(link.mtu, 1280);
	assert_false(link.up);

	cleanup_free char *shown = run_in_pod(lab, "ip -d -o link show net1");

	assert_shows(shown, "bcqueuelen 4321 ");
	assert_shows(shown, "link/ether 02:00:00:00:00:2a");
	assert_shows(shown, "mtu 1280");
	assert_hides(shown, "UP");

	/* Nothing given: the master's mtu, the kernel's queue, a MAC by chance. */
	s = spec(lab, "net2", 0);
	s.mac[0] = 0;
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	assert_int_equal(link.mtu, 1400);
	assert_int_equal(link.mac[0] & 3, 2);

	cleanup_free char *second = run_in_pod(lab, "ip -d -o link show net2");

	assert_shows(second, "bcqueuelen 1000 ");
}

static void finds_a_macvlan_by_its_mac(void **state)
{
	static const uint8_t absent[MAC_BYTES] = {2, 0, 0, 0, 0, 9};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct link_info link = make(lab, "net1", 1), found;

	make(lab, "net2", 2);
	/* Not a macvlan, whatever its MAC. */
	shell_in_pod(lab, "ip link add v0 address 02:00:00:00:00:09 type veth");
	shell_in_pod(lab, "ip link set net1 name renamed");
	assert_done(link_find_macvlan(lab->pod, link.mac, &found, &e), &e);
	assert_int_equal(found.ifindex, link.ifindex);
	assert_string_equal(found.name, "renamed");
	assert_int_equal(link_find_macvlan(lab->pod, absent, &found, &e), -ENODEV);
	assert_shows(e.message, "02:00:00:00:00:09");
	assert_int_equal(link_find_macvlan(lab->host, link.mac, &found, &e), -ENODEV);
}

static void says_why_it_cannot_be_made(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct link_info link, port;

	shell("ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master br0");
	assert_done(link_get(lab->host, "v0", &port, &e), &e);
	make(lab, "net0", 1);

	const struct {
		int err;
		const char *part;
		struct macvlan_spec spec;
	} cases[] = {
		{-EINVAL, "mtu 9000", {.name = "net1", .master = lab->master, .mode = MODE_BRIDGE, .mtu = 9000}},
		{-EINVAL, "mtu less than device minimum",
			{.name = "net1", .master = lab->master, .mode = MODE_BRIDGE, .mtu = 60}},
		{-EINVAL, "mode passthru", {.name = "net1", .master = lab->master, .mode = MODE_PASSTHRU}},
		{-ENODEV, "the master is gone", {.name = "net1", .master = 4711, .mode = MODE_BRIDGE}},
		{-EBUSY, "port of a bridge", {.name = "net1", .master = port.ifindex, .mode = MODE_BRIDGE}},
		{-EADDRNOTAVAIL, "unicast",
			{.name = "net1", .master = lab->master, .mode = MODE_BRIDGE, .mac = {1, 0, 0, 0, 0, 1}}},
		{-EINVAL, "is no name", {.name = "net%d", .master = lab->master, .mode = MODE_BRIDGE}},
		{-EINVAL, "is no name", {.name = "", .master = lab->master, .mode = MODE_BRIDGE}},
		{-EINVAL, "is no name", {.name = "sixteen-bytes-12", .master = lab->master, .mode = MODE_BRIDGE}},
		{-EINVAL, "a/b", {.name = "a/b", .master = lab->master, .mode = MODE_BRIDGE}},
		{-EEXIST, "net0", {.name = "net0", .master = lab->master, .mode = MODE_BRIDGE}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct macvlan_spec s = cases[i].spec;

		s.netns_fd = lab->pod_fd;
		assert_int_equal(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), cases[i].err);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_shows(e.message, cases[i].part);
	}

	cleanup_free char *shown = run_in_pod(lab, "ip -o link");

	assert_shows(shown, "net0@");
	assert_hides(shown, "net1");
	assert_hides(shown, "lm0");
}

static void makes_a_name_that_the_host_has(void **state)
{
	const struct lab *lab = *state;
	struct macvlan_spec s = spec(lab, "m0", 1);
	cleanup_error struct error e = {0};
	struct link_info link, master;

	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	assert_string_equal(link.name, "m0");
	assert_done(link_get(lab->host, "m0", &master, &e), &e);
	assert_int_equal(master.ifindex, lab->master);
	assert_string_equal(master.kind, "veth");
}

#ifdef LAMINA_FAULT_POINTS
static void renames_when_the_name_collides(void **state)
{
	const struct lab *lab = *state;
	struct macvlan_spec s = spec(lab, "net1", 1);
	cleanup_error struct error e = {0};
	struct link_info link, second;

	setenv("LAMINA_FAULT", "macvlan_name:fail", 1);
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	assert_string_equal(link.name, "net1");
	assert_memory_equal(link.mac, s.mac, MAC_BYTES);

	/* Taken in the pod itself: an error, and the one that is there stays. */
	s = spec(lab, "net1", 2);
	assert_int_equal(link_add_macvlan(lab->host, lab->pod, &s, &second, &e), -EEXIST);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_shows(e.message, "net1");
	assert_done(link_get_index(lab->pod, link.ifindex, &second, &e), &e);
	assert_memory_equal(&second, &link, sizeof(link));

	/* Made, but the kernel does not take the name: deleted again. */
	s = spec(lab, "a/b", 3);
	assert_int_equal(link_add_macvlan(lab->host, lab->pod, &s, &second, &e), -EINVAL);
	assert_shows(e.message, "a/b");
	s = spec(lab, "net2", 0);
	s.mac[0] = 0;
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &second, &e), &e);

	cleanup_free char *in_pod = run_in_pod(lab, "ip -o link"), *in_host = run("ip -o link");

	assert_hides(in_pod, "lm");
	assert_hides(in_host, "lm");
}
#endif

static void deletes_links(void **state)
{
	const struct lab *lab = *state;
	struct link_info one = make(lab, "net1", 1), two = make(lab, "net2", 2), three = make(lab, "net3", 3),
			 four = make(lab, "net4", 4);
	const int pair[] = {two.ifindex, 4711, three.ifindex, 0};
	cleanup_error struct error e = {0};
	struct link_info link;

	assert_done(link_delete(lab->pod, one.ifindex, &e), &e);
	assert_done(link_delete(lab->pod, one.ifindex, &e), &e);
	assert_done(link_delete(lab->pod, 0, &e), &e);
	assert_null(e.message);
	assert_int_equal(link_get(lab->pod, "net1", &link, &e), -ENODEV);
	error_clear(&e);

	assert_done(link_delete_all(lab->pod, pair, ARRAY_SIZE(pair), &e), &e);
	assert_done(link_delete_all(lab->pod, pair, ARRAY_SIZE(pair), &e), &e);
	assert_done(link_delete_all(lab->pod, NULL, 0, &e), &e);
	assert_null(e.message);

	cleanup_free char *shown = run_in_pod(lab, "ip -o link");

	assert_hides(shown, "net2");
	assert_hides(shown, "net3");
	assert_shows(shown, "net4");
	assert_done(link_delete_all(lab->pod, &four.ifindex, 1, &e), &e);
	assert_int_equal(link_get(lab->pod, "net4", &link, &e), -ENODEV);
}

static void deletes_a_group_in_one_message(void **state)
{
	const struct lab *lab = *state;
	struct link_info one = make(lab, "net1", 1), two = make(lab, "net2", 2);
	const int both[] = {one.ifindex, two.ifindex};
	cleanup_error struct error e = {0};

	/* Deleted at once the links' notifications come behind both: a message each would put a pause between. */
	cleanup_free char *command =
		format_text("nsenter --net=/proc/%d/fd/%d timeout 2 ip -ts -o monitor link", getpid(), lab->pod_fd);
	FILE *monitor = popen(command, "re");
	char line[1024];
	double times[2] = {0};
	int deleted = 0;

	assert_non_null(monitor);
	usleep(300000);
	assert_done(link_delete_all(lab->pod, both, 2, &e), &e);
	while (fgets(line, sizeof(line), monitor)) {
		int minute = 0;
		double second = 0;

		if (!strstr(line, "Deleted") || deleted == 2 ||
			sscanf(line, "[%*d-%*d-%*dT%*d:%d:%lf]", &minute, &second) != 2)
			continue;
		times[deleted++] = minute * 60 + second;
	}
	pclose(monitor);
	assert_int_equal(deleted, 2);
	if (times[1] - times[0] > 0.005)
		fail_msg("%.1f ms between two deletions", (times[1] - times[0]) * 1e3);
}

static void deletes_links_aside(void **state)
{
	const struct lab *lab = *state;
	struct link_info one = make(lab, "net1", 1), two = make(lab, "net2", 2), three = make(lab, "net3", 3);
	const int pair[] = {one.ifindex, 4711, 0, two.ifindex};
	cleanup_error struct error e = {0};

	assert_done(link_delete_aside(lab->pod, lab->pod_fd, pair, ARRAY_SIZE(pair), &e), &e);
	assert_null(e.message);

	cleanup_free char *shown = run_in_pod(lab, "ip -o link");

	assert_hides(shown, "net1");
	assert_hides(shown, "net2");
	assert_shows(shown, "net3");
	assert_done(link_delete_aside(lab->pod, lab->pod_fd, pair, ARRAY_SIZE(pair), &e), &e);
	assert_done(link_delete_aside(lab->pod, lab->pod_fd, NULL, 0, &e), &e);
	assert_null(e.message);

	/* The process beside cannot (that is no namespace): then it is done here. */
	cleanup_close int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_free char *after = NULL;

	assert_done(link_delete_aside(lab->pod, other, &three.ifindex, 1, &e), &e);
	after = run_in_pod(lab, "ip -o link");
	assert_hides(after, "net3");
	/* None of them is left behind. */
	while (wait(NULL) > 0)
		;
}

/* Who reads what a plugin prints reads to the end of the stream, and must not wait for the kernel there. */
static void keeps_no_stream_open(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	bool seen = false;

	for (int tries = 0; tries < 50 && !seen; tries++) {
		struct link_info link = make(lab, "net1", 1);
		int ends[2];
		char byte;

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_done(link_delete_aside(lab->pod, lab->pod_fd, &link.ifindex, 1, &e), &e);
		close(ends[1]);
		/* With the other process at work, or it says nothing. */
		assert_int_equal(read(ends[0], &byte, 1), 0);
		seen = waitpid(-1, NULL, WNOHANG) == 0;
		close(ends[0]);
		while (wait(NULL) > 0)
			;
	}
	assert_true(seen);
}

/* --- IPv6's settings --- */

static char *read_setting(const struct lab *lab, const char *link, const char *key)
{
	cleanup_free char *command = format_text("cat /proc/sys/net/ipv6/conf/%s/%s", link, key);

	return run_in_pod(lab, command);
}

static void prepares_ipv6(void **state)
{
	static const struct {
		const char *key, *before, *unwanted, *wanted;
	} settings[] = {
		{"accept_ra", "1\n", "0\n", "0\n"},
		{"autoconf", "1\n", "0\n", "0\n"},
		{"disable_ipv6", "1\n", "1\n", "0\n"},
		{"ndisc_notify", "0\n", "0\n", "1\n"},
		{"keep_addr_on_down", "0\n", "0\n", "1\n"},
	};
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};

	make(lab, "net1", 1);
	shell_in_pod(lab, "sysctl -q -w net.ipv6.conf.net1.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1");
	for (int round = 0; round < 3; round++) {
		if (round > 0)
			assert_done(link_prepare_ipv6(lab->pod_fd, "net1", round == 2, &e), &e);
		for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
			cleanup_free char *value = read_setting(lab, "net1", settings[i].key);

			assert_string_equal(value, round == 0   ? settings[i].before
						   : round == 1 ? settings[i].unwanted
								: settings[i].wanted);
		}
	}

	cleanup_free char *loopback = read_setting(lab, "lo", "disable_ipv6");

	assert_string_equal(loopback, "0\n");
	assert_true(netns_is_own(lab->host_fd));

	/* No such folder: a kernel without IPv6, or a link too narrow for it. */
	shell_in_pod(lab, "ip link set net1 mtu 1200");
	assert_done(link_prepare_ipv6(lab->pod_fd, "net1", false, &e), &e);
	assert_null(e.message);
	assert_int_equal(link_prepare_ipv6(lab->pod_fd, "net1", true, &e), -ENOENT);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_shows(e.message, "1280");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(makes_every_mode),
		IN_LAB(makes_what_was_specified),
		IN_LAB(finds_a_macvlan_by_its_mac),
		IN_LAB(says_why_it_cannot_be_made),
		IN_LAB(makes_a_name_that_the_host_has),
#ifdef LAMINA_FAULT_POINTS
		IN_LAB(renames_when_the_name_collides),
#endif
		IN_LAB(deletes_links),
		IN_LAB(deletes_a_group_in_one_message),
		IN_LAB(deletes_links_aside),
		IN_LAB(keeps_no_stream_open),
		IN_LAB(prepares_ipv6),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
