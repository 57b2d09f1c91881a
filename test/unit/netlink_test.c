/* netlink/: namespaces, sockets, links and addresses, against the real kernel. */
#include "test/unit/netlink_kit.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- namespaces --- */

static void opens_namespaces_only(void **state)
{
	static const struct {
		const char *path;
		int err;
		unsigned int code;
	} cases[] = {
		{"/run/netns/there-is-none", -ENOENT, ERROR_NO_NAMESPACE},
		{"/proc/999999999/ns/net", -ENOENT, ERROR_NO_NAMESPACE},
		{"/etc/passwd/net", -ENOENT, ERROR_NO_NAMESPACE},
		{"", -ENOENT, ERROR_NO_NAMESPACE},
		{"/etc/passwd", -EINVAL, ERROR_NAMESPACE},
		{"/proc/self/ns/pid", -EINVAL, ERROR_NAMESPACE},
		{"/tmp", -EINVAL, ERROR_NAMESPACE},
	};
	cleanup_error struct error e = {0};
	char fifo[] = "/tmp/netlink_test.XXXXXX";
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(netns_open(cases[i].path, &fd, &e), cases[i].err);
		assert_int_equal(e.code, cases[i].code);
		assert_shows(e.message, cases[i].path);
		assert_int_equal(fd, -1);
	}

	/* A FIFO without a writer must not hold us: the alarm would end the program. */
	assert_non_null(mkdtemp(fifo));
	cleanup_free char *path = format_text("%s/fifo", fifo);

	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10);
	assert_int_equal(netns_open(path, &fd, &e), -EINVAL);
	alarm(0);
	unlink(path);
	rmdir(fifo);
}

static void tells_namespaces_apart(void **state)
{
	const struct lab *lab = *state;
	cleanup_free char *path = format_text("/proc/self/fd/%d", lab->pod_fd);
	cleanup_error struct error e = {0};
	struct netns_id pod, again, host, own;
	cleanup_close int fd = -1;

	assert_done(netns_open(path, &fd, &e), &e);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_done(netns_identify(lab->pod_fd, &pod, &e), &e);
	assert_done(netns_identify(fd, &again, &e), &e);
	assert_done(netns_identify(lab->host_fd, &host, &e), &e);
	assert_done(netns_identify(-1, &own, &e), &e);
	assert_memory_equal(&pod, &again, sizeof(pod));
	assert_memory_equal(&host, &own, sizeof(host));
	assert_true(pod.cookie && pod.device && pod.inode);
	assert_true(pod.cookie != host.cookie && pod.inode != host.inode);
	assert_true(netns_same(&pod, &again));
	assert_false(netns_same(&pod, &host));

	/* A socket tells its namespace, wherever it is asked from. */
	assert_memory_equal(nl_namespace(lab->pod), &pod, sizeof(pod));
	assert_memory_equal(nl_namespace(lab->host), &host, sizeof(host));
	assert_true(netns_is_own(lab->host_fd));
	assert_false(netns_is_own(fd));
}

static void compares_by_cookie_first(void **state)
{
	struct netns_id a = {.cookie = 7, .device = 4, .inode = 100}, b = a;

	(void)state;
	b.cookie = 8; /* a new namespace with a used inode number */
	assert_false(netns_same(&a, &b));
	b.cookie = 0; /* written by an older kernel */
	assert_true(netns_same(&a, &b));
	b.inode = 101;
	assert_false(netns_same(&a, &b));
	b = (struct netns_id){.cookie = 0, .device = 5, .inode = 100};
	assert_false(netns_same(&a, &b));
}

struct visit {
	const struct lab *lab;
	int result;
	bool was_inside;
};

static int look_around(void *arg, struct error *e)
{
	struct visit *visit = arg;

	visit->was_inside = netns_is_own(visit->lab->pod_fd);
	return visit->result < 0 ? error_set(e, visit->result, ERROR_IO, "not here") : visit->result;
}

static void comes_back_from_a_namespace(void **state)
{
	const struct lab *lab = *state;
	struct visit visit = {.lab = lab};
	cleanup_error struct error e = {0};
	cleanup_close int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(netns_run(lab->pod_fd, look_around, &visit, &e), 0);
	assert_true(visit.was_inside);
	assert_true(netns_is_own(lab->host_fd));

	visit.result = -EIO;
	assert_int_equal(netns_run(lab->pod_fd, look_around, &visit, &e), -EIO);
	assert_string_equal(e.message, "not here");
	assert_true(visit.was_inside);
	assert_true(netns_is_own(lab->host_fd));

	visit.result = 0;
	assert_int_equal(netns_run(-1, look_around, &visit, &e), 0);
	assert_false(visit.was_inside);
	assert_int_equal(netns_run(file, look_around, &visit, &e), -EINVAL);
	assert_int_equal(e.code, ERROR_NAMESPACE);
	assert_true(netns_is_own(lab->host_fd));
}

/* How many descriptors are open, and how many of them an exec'd program would inherit. */
static void count_fds(int *open_fds, int *inherited)
{
	*open_fds = *inherited = 0;
	for (int fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		*open_fds += flags >= 0;
		*inherited += flags >= 0 && !(flags & FD_CLOEXEC);
	}
}

static void leaves_no_descriptor_behind(void **state)
{
	int before, inherited_before, during, inherited_during, after, inherited_after;
	void *lab = NULL;

	(void)state;
	count_fds(&before, &inherited_before);
	assert_int_equal(set_up_lab(&lab), 0);
	count_fds(&during, &inherited_during);
	assert_int_equal(tear_down_lab(&lab), 0);
	count_fds(&after, &inherited_after);
	assert_int_equal(during, before + 4);
	assert_int_equal(inherited_during, inherited_before);
	assert_int_equal(after, before);
}

/* --- links --- */

static void reads_links(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct link_info link, other;

	shell("ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master br0;"
	      "ip link property add dev v0 altname a-rather-long-name-for-a-link; ip link set v0 mtu 1444");
	assert_done(link_get(lab->host, "v0", &link, &e), &e);
	assert_string_equal(link.name, "v0");
	assert_string_equal(link.kind, "veth");
	assert_int_equal(link.mtu, 1444);
	assert_true(link.bridge_port);
	assert_false(link.up || link.running || link.loopback);

	assert_done(link_get(lab->host, "a-rather-long-name-for-a-link", &other, &e), &e);
	assert_memory_equal(&other, &link, sizeof(link));
	assert_done(link_get_index(lab->host, link.ifindex, &other, &e), &e);
	assert_memory_equal(&other, &link, sizeof(link));

	assert_done(link_get(lab->host, "m0", &link, &e), &e);
	assert_true(link.up && link.running && !link.bridge_port);
	assert_int_equal(link.macvlan_mode, 0);
	assert_done(link_get(lab->host, "lo", &link, &e), &e);
	assert_true(link.loopback);
	assert_string_equal(link.kind, "");
	assert_done(link_get(lab->host, "br0", &link, &e), &e);
	assert_string_equal(link.kind, "bridge");

	/* No carrier is not the same as down. */
	shell("ip link set p0 down");
	assert_done(link_get(lab->host, "m0", &link, &e), &e);
	assert_true(link.up && !link.running);
}

static void misses_absent_links(void **state)
{
	static const char *const names[] = {"absent", "", "sixteen-bytes-12", "m0 "};
	const struct lab *lab = *state;
	char long_name[300];
	cleanup_error struct error e = {0};
	struct link_info link;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *message = format_text("link \"%s\" does not exist", names[i]);

		assert_int_equal(link_get(lab->host, names[i], &link, &e), -ENODEV);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_string_equal(e.message, message);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(link_get(lab->host, long_name, &link, &e), -ENODEV);
	assert_int_equal(link_get_index(lab->host, 4711, &link, &e), -ENODEV);
	assert_shows(e.message, "4711");
	/* The socket of the pod sees the pod. */
	assert_int_equal(link_get(lab->pod, "m0", &link, &e), -ENODEV);
}

/* Somebody else's links come and go: the kernel calls such a dump interrupted, and it is read again. */
static void reads_while_others_change(void **state)
{
	enum { LINKS = 200, ROUNDS = 200 };
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct link_info link = {0}, found;
	char name[IFNAMSIZ];
	int status = 0;

	for (int i = 0; i < LINKS; i++) {
		snprintf(name, sizeof(name), "net%d", i);
		link = make(lab, name, (uint8_t)i);
	}

	pid_t child = fork();

	if (child == 0) {
		struct macvlan_spec s = spec(lab, "coming", 255);
		struct nl *creator = NULL, *pod = NULL;

		/* It goes with the test, also when that fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (nl_open(-1, &creator, &e) < 0 || nl_open(lab->pod_fd, &pod, &e) < 0)
			_exit(1);
		while (link_add_macvlan(creator, pod, &s, &found, &e) == 0 && link_delete(pod, found.ifindex, &e) == 0)
			;
		_exit(1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		assert_done(link_find_macvlan(lab->pod, link.mac, &found, &e), &e);
		assert_int_equal(found.ifindex, link.ifindex);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
}

/* --- addresses --- */

static void adds_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *shown;
	} cases[] = {
		{"10.9.0.5/16", "inet 10.9.0.5/16 brd 10.9.255.255 scope global net1"},
		{"10.8.0.129/25", "inet 10.8.0.129/25 brd 10.8.0.255 scope global net1"},
		{"10.7.1.1/30", "inet 10.7.1.1/30 brd 10.7.1.3 scope global net1"},
		{"10.7.0.2/31", "inet 10.7.0.2/31 scope global net1"},
		{"10.6.0.1/32", "inet 10.6.0.1/32 scope global net1"},
		{"fd00:9::5/64", "inet6 fd00:9::5/64 scope global nodad"},
		{"fd00:8::5/128", "inet6 fd00:8::5/128 scope global nodad"},
	};
	const struct lab *lab = *state;
	struct link_info link = make(lab, "net1", 1), other = make(lab, "net2", 2);
	cleanup_error struct error e = {0};
	cleanup_free struct ip_prefix *list = NULL, *empty = NULL;
	size_t count = 0;
	struct ip_prefix addr = prefix("10.5.0.1/16");

	assert_done(link_prepare_ipv6(lab->pod_fd, "net1", true, &e), &e);
	assert_done(addr_list(lab->pod, link.ifindex, &empty, &count, &e), &e);
	assert_int_equal(count, 0);
	assert_done(addr_add(lab->pod, other.ifindex, &addr, &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		addr = prefix(cases[i].text);
		assert_done(addr_add(lab->pod, link.ifindex, &addr, &e), &e);

		cleanup_free char *shown = run_in_pod(lab, "ip -d addr show net1");

		assert_shows(shown, cases[i].shown);
		assert_hides(shown, "tentative");
	}

	assert_done(addr_list(lab->pod, link.ifindex, &list, &count, &e), &e);
	assert_int_equal(count, ARRAY_SIZE(cases));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = false;

		for (size_t j = 0; j < count; j++)
			found = found || strcmp(ip_prefix_text(&list[j]).s, cases[i].text) == 0;
		if (!found)
			fail_msg("%s is not listed", cases[i].text);
	}
}

static void says_why_an_address_cannot_be_added(void **state)
{
	const struct lab *lab = *state;
	struct link_info link = make(lab, "net1", 1);
	struct ip_prefix four = prefix("10.9.0.5/16"), six = prefix("fd00:9::5/64");
	cleanup_error struct error e = {0};

	assert_done(addr_add(lab->pod, link.ifindex, &four, &e), &e);
	assert_int_equal(addr_add(lab->pod, link.ifindex, &four, &e), -EEXIST);
	/* The kernel's own sentence, and the errno that libnl loses. */
	assert_string_equal(e.message, "cannot add address 10.9.0.5/16: ipv4: Address already assigned");
	assert_int_equal(addr_add(lab->pod, 4711, &four, &e), -ENODEV);
	assert_int_equal(e.code, ERROR_IO);

	shell_in_pod(lab, "sysctl -q -w net.ipv6.conf.net1.disable_ipv6=1");
	assert_int_equal(addr_add(lab->pod, link.ifindex, &six, &e), -EACCES);
	assert_int_equal(e.code, ERROR_CONFIG);
}

/* --- texts --- */

static void parses_modes(void **state)
{
	static const struct {
		const char *text;
		uint32_t mode;
	} cases[] = {{"", MODE_BRIDGE}, {"bridge", MODE_BRIDGE}, {"private", MODE_PRIVATE}, {"vepa", MODE_VEPA},
		{"passthru", MODE_PASSTHRU}, {"source", 0}, {"Bridge", 0}, {"bridge ", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t mode = 0;

		assert_int_equal(link_parse_mode(cases[i].text, &mode), cases[i].mode != 0);
		assert_int_equal(mode, cases[i].mode);
		if (mode && *cases[i].text)
			assert_string_equal(link_mode_name(mode), cases[i].text);
	}
	assert_string_equal(link_mode_name(16), "unknown");
	assert_string_equal(link_mode_name(0), "unknown");
}

static void parses_macs(void **state)
{
	static const struct {
		const char *text;
		const char *printed; /* NULL: refused */
	} cases[] = {
		{"02:00:5e:10:20:Af", "02:00:5e:10:20:af"},
		{"02-00-5E-10-20-AF", "02:00:5e:10:20:af"},
		{"0200.5e10.20af", "02:00:5e:10:20:af"},
		{"00:00:00:00:00:01", "00:00:00:00:00:01"},
		{"00:00:00:00:00:00"},
		{"01:00:5e:00:00:01"},
		{"ff:ff:ff:ff:ff:ff"},
		{"02:00:5e:10:20"},
		{"02:00:5e:10:20:af:"},
		{"02:00:5e:10:20:af:00:00"},
		{"02:00:5e:10-20-af"},
		{"02:00:5e:10:20:ag"},
		{"02:00:5e:10:2:0af"},
		{"02:00:5e:10:20: f"},
		{"02005e1020af"},
		{"02.00.5e.10.20.af"},
		{"0200:5e10:20af"},
		{"0200.5e10.20a"},
		{"0200.5e1.020af"},
		{"2:0:5e:10:20:af"},
		{""},
		{"02"},
		{"02:"},
		{"02:00:5e:10:20:a\xc3"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* On the heap, so that the sanitizer sees who reads behind the end. */
		cleanup_free char *copy = copy_text(cases[i].text);
		uint8_t mac[MAC_BYTES];
		char text[MAC_TEXT];

		if (link_parse_mac(copy, mac) != (cases[i].printed != NULL))
			fail_msg("\"%s\" is %s", copy, cases[i].printed ? "refused" : "taken");
		if (cases[i].printed)
			assert_string_equal(link_format_mac(mac, text), cases[i].printed);
	}
}

static void makes_random_macs(void **state)
{
	uint8_t one[MAC_BYTES], two[MAC_BYTES];

	(void)state;
	for (int i = 0; i < 100; i++) {
		link_random_mac(one);
		link_random_mac(two);
		assert_int_equal(one[0] & 3, 2);
		assert_memory_not_equal(one, two, MAC_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_namespaces_only),
		IN_LAB(tells_namespaces_apart),
		cmocka_unit_test(compares_by_cookie_first),
		IN_LAB(comes_back_from_a_namespace),
		cmocka_unit_test(leaves_no_descriptor_behind),
		IN_LAB(reads_links),
		IN_LAB(misses_absent_links),
		IN_LAB(reads_while_others_change),
		IN_LAB(adds_addresses),
		IN_LAB(says_why_an_address_cannot_be_added),
		cmocka_unit_test(parses_modes),
		cmocka_unit_test(parses_macs),
		cmocka_unit_test(makes_random_macs),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
