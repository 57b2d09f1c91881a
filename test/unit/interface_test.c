/* plugin/interface: a link that is up before its addresses, as it is when the wire is asked for them. */
#include "plugin/interface.h"
#include "test/unit/rival.h"

/* What is announced goes out at once; a repetition would come within this time. */
#define LISTEN_MS 700

static const char ips[] = "{\"ips\":[{\"address\":\"10.9.0.5/16\"},{\"address\":\"fd00:9::5/64\"}]}";

struct interface {
	struct attachment a;
	struct run run;
	cJSON *result;
};

static void make_interface(const struct lab *lab, struct interface *ret)
{
	struct link_info link = make(lab, "net1", 5);

	*ret = (struct interface){.a = {.ifname = "net1", .made.ifindex = link.ifindex},
		.run = {.netns_fd = lab->pod_fd, .pod = lab->pod},
		.result = cJSON_Parse(ips)};
	memcpy(ret->a.made.mac, link.mac, sizeof(link.mac));
	assert_non_null(ret->result);
}

static void set_up_bare(struct interface *i)
{
	const struct ip_addr addrs[] = {address("10.9.0.5"), address("fd00:9::5")};
	cleanup_error struct error e = {0};

	assert_done(interface_up_bare(&i->a, &i->run, addrs, ARRAY_SIZE(addrs), &e), &e);
}

/* How often anybody but the rival speaks of the address within the time. */
static int mentions(int wire, const char *addr)
{
	int64_t end = clock_now() + LISTEN_MS * (SECONDS / 1000);
	uint8_t bytes[2048];
	int count = 0;

	while (await_question(wire, addr, bytes, end) > 0)
		count++;
	return count;
}

static void bare_link_is_up_and_silent(void **state)
{
	const struct lab *lab = *state;
	cleanup_close int wire = listen_on_wire(), wire6 = listen_on_wire();
	struct interface i;

	make_interface(lab, &i);
	set_up_bare(&i);

	cleanup_free char *shown = run_in_pod(lab, "ip addr show dev net1");

	assert_shows(shown, "UP");
	assert_hides(shown, "10.9.0.5");
	assert_hides(shown, "fd00:9::5");
	assert_int_equal(mentions(wire, "10.9.0.5"), 0);
	assert_int_equal(mentions(wire6, "fd00:9::5"), 0);

	cleanup_free char *settings =
		run_in_pod(lab, "sysctl -n net.ipv6.conf.net1.accept_ra net.ipv6.conf.net1.autoconf");

	assert_string_equal(settings, "0\n0\n");
	cJSON_Delete(i.result);
}

static void late_addresses_are_announced_once(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct interface i;

	make_interface(lab, &i);
	set_up_bare(&i);

	cleanup_close int wire = listen_on_wire(), wire6 = listen_on_wire();

	assert_done(interface_address(&i.a, &i.run, i.result, &e), &e);
	assert_int_equal(mentions(wire, "10.9.0.5"), 1);
	assert_int_equal(mentions(wire6, "fd00:9::5"), 1);
	assert_done(interface_check(&i.a, &i.run, i.result, &e), &e);
	cJSON_Delete(i.result);
}

/* As on the plain path: link down and up again, by whomever, and the neighbours hear of it. */
static void kernel_announces_them_when_the_link_comes_back(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};
	struct interface i;

	make_interface(lab, &i);
	set_up_bare(&i);
	assert_done(interface_address(&i.a, &i.run, i.result, &e), &e);
	shell_in_pod(lab, "ip link set net1 down");

	cleanup_close int wire = listen_on_wire(), wire6 = listen_on_wire();

	shell_in_pod(lab, "ip link set net1 up");
	assert_int_equal(mentions(wire, "10.9.0.5"), 1);
	assert_int_equal(mentions(wire6, "fd00:9::5"), 1);
	cJSON_Delete(i.result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(bare_link_is_up_and_silent),
		IN_LAB(late_addresses_are_announced_once),
		IN_LAB(kernel_announces_them_when_the_link_comes_back),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
