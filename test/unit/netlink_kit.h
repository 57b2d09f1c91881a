/* A host and a pod for the tests of netlink/: two namespaces of their own, joined by macvlans on one leg of a veth. */
#pragma once

#include "netlink/addr.h"
#include "netlink/link.h"
#include "netlink/netns.h"
#include "netlink/route.h"
#include "netlink/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* linux/if_link.h, which may not be included here. */
#define MODE_PRIVATE 1
#define MODE_VEPA 2
#define MODE_BRIDGE 4
#define MODE_PASSTHRU 8

struct lab {
	int host_fd, pod_fd;
	struct nl *host, *pod;
	int master; /* m0, whose other end p0 is the wire */
};

/** Runs a command in our namespace; its output, both streams, is the caller's. */
static inline char *run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline char *run(const char *format, ...)
{
	char command[512], *output = allocate(1, 1 << 16);
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);

	FILE *f = popen(command, "re");

	assert_non_null(f);
	used = fread(output, 1, (1 << 16) - 1, f);
	output[used] = '\0';
	if (pclose(f) != 0)
		fail_msg("%s: %s", command, output);
	return output;
}

/** The same in the pod. */
#define run_in_pod(lab, command) run("nsenter --net=/proc/%d/fd/%d %s 2>&1", getpid(), (lab)->pod_fd, command)

/** Runs a command in our namespace that prints nothing of interest. */
static inline void shell(const char *command)
{
	free(run("(%s) 2>&1", command));
}

static inline void shell_in_pod(const struct lab *lab, const char *command)
{
	free(run_in_pod(lab, command));
}

static inline void assert_shows(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static inline void assert_hides(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in: %s", part, text);
}

/** Fails with the error's text unless r is 0. */
static inline void assert_done(int r, const struct error *e)
{
	if (r != 0)
		fail_msg("%d: %s", r, e->message ? e->message : "no message");
}

static inline struct ip_prefix prefix(const char *text)
{
	struct ip_prefix parsed;

	assert_true(ip_parse_prefix(text, &parsed));
	return parsed;
}

static inline struct ip_addr address(const char *text)
{
	struct ip_addr parsed;

	assert_true(ip_parse(text, &parsed));
	return parsed;
}

/* The namespace that was unshared last, as a file. */
static inline int new_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline int set_up_lab(void **state)
{
	struct lab *lab = allocate(1, sizeof(*lab));
	cleanup_error struct error e = {0};
	struct link_info master;

	*state = lab;
	lab->pod_fd = new_namespace();
	lab->host_fd = new_namespace();
	if (lab->pod_fd < 0 || lab->host_fd < 0)
		return -1;
	shell("ip link set lo up; ip link add m0 type veth peer name p0; ip link set m0 up; ip link set p0 up");
	if (nl_open(-1, &lab->host, &e) < 0 || nl_open(lab->pod_fd, &lab->pod, &e) < 0 ||
		link_get(lab->host, "m0", &master, &e) < 0)
		return -1;
	lab->master = master.ifindex;
	return 0;
}

static inline int tear_down_lab(void **state)
{
	struct lab *lab = *state;

	unsetenv("LAMINA_FAULT");
	nl_free(lab->host);
	nl_free(lab->pod);
	close(lab->host_fd);
	close(lab->pod_fd);
	free(lab);
	return 0;
}

/** A specification that works: bridge mode, the last byte of its MAC is n. */
static inline struct macvlan_spec spec(const struct lab *lab, const char *name, uint8_t n)
{
	return (struct macvlan_spec){.name = name,
		.master = lab->master,
		.netns_fd = lab->pod_fd,
		.mode = MODE_BRIDGE,
		.mac = {2, 0, 0, 0, 0, n}};
}

static inline struct link_info make(const struct lab *lab, const char *name, uint8_t n)
{
	struct macvlan_spec s = spec(lab, name, n);
	cleanup_error struct error e = {0};
	struct link_info link;

	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &link, &e), &e);
	return link;
}

/** A macvlan that is up, with the addresses: up to the NULL. */
static inline struct link_info make_with(
	const struct lab *lab, const char *name, uint8_t n, const char *const addresses[])
{
	struct link_info link = make(lab, name, n);
	cleanup_error struct error e = {0};

	assert_done(link_prepare_ipv6(lab->pod_fd, name, true, &e), &e);
	for (size_t i = 0; addresses[i]; i++) {
		struct ip_prefix addr = prefix(addresses[i]);

		assert_done(addr_add(lab->pod, link.ifindex, &addr, &e), &e);
	}
	assert_done(link_set_up(lab->pod, link.ifindex, &e), &e);
	return link;
}

#define IN_LAB(test) cmocka_unit_test_setup_teardown(test, set_up_lab, tear_down_lab)

/** To be called first: without the right to unshare there is nothing to test. The process leaves its namespace. */
static inline int has_rights(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return 1;
	puts("1..0 # SKIP needs CAP_SYS_ADMIN and CAP_NET_ADMIN");
	return 0;
}
