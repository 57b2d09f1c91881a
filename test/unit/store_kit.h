/* What the tests of the stores share: a store to try, requests, and short ways to claim and to look. */
#pragma once

#include "ipam/range.h"
#include "ipam/store.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SMALL "{\"subnet\":\"10.0.0.0/29\"}" /* five dynamic addresses: .2 to .6 */
#define DUAL \
	"{\"ranges\":[[{\"subnet\":\"10.0.0.0/29\"}],[{\"subnet\":\"2001:db8::/120\",\"rangeEnd\":\"2001:db8::3\"}]]}"

/** A store to try: a setup makes one and puts it into *state. */
struct store_fixture {
	/** Opens the same store once more, as another process would; fails the test when that does not work. */
	struct store *(*open)(const struct store_fixture *fixture);
	char *folder;
	bool rotates;   /* dynamic addresses are given in turn */
	bool sandboxes; /* entries show the claim's sandbox text */
};

/** Ends a child that found something wrong: cmocka's own asserts only work in the parent. */
#define CHILD_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1); \
		} \
	} while (0)

/** The same for what must work: says why it did not. */
#define CHILD_WORKS(r, e) \
	do { \
		if ((r) < 0) { \
			fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, (e).message); \
			_exit(1); \
		} \
	} while (0)

static inline cJSON *parse_json(const char *text)
{
	struct error e = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &e) < 0)
		fail_msg("%s", e.message);
	return json;
}

static inline struct ipam_config *config_of(const char *text)
{
	cleanup_json cJSON *json = parse_json(text);
	struct ipam_config *config = NULL;
	struct error e = {0};

	if (ipam_config_parse(json, NULL, "ipam", &config, &e) < 0)
		fail_msg("%s", e.message);
	return config;
}

static inline struct ip_addr addr_of(const char *text)
{
	struct ip_addr addr = {0};

	if (!ip_parse(text, &addr))
		fail_msg("%s", text);
	return addr;
}

/** A dynamic claim of network "net" by a pod of namespace "default"; its value is "by <cid>". */
struct asking {
	struct store_request request;
	char value[80];
	struct ip_addr fixed[4];
};

static inline void ask(struct asking *ret, const struct ipam_config *config, const char *cid)
{
	*ret = (struct asking){.request = {
				       .network = "net",
				       .config = config,
				       .ns = "default",
				       .cid = cid,
				       .ifname = "net1",
				       .sandbox = "/run/netns/x",
			       }};
	snprintf(ret->value, sizeof(ret->value), "by %s", cid);
	ret->request.value = ret->value;
}

static inline void ask_fixed(struct asking *asking, const char *addr)
{
	asking->fixed[asking->request.fixed_count++] = addr_of(addr);
	asking->request.fixed = asking->fixed;
}

static inline struct store_reply claim(struct store *store, const struct store_request *request)
{
	struct store_reply reply = {0};
	struct error e = {0};

	if (store->ops->claim(store, request, &reply, &e) < 0)
		fail_msg("%s", e.message);
	return reply;
}

/** Claims, and wants that answer with that address first; "" when there must be none. */
static inline void expect(
	struct store *store, const struct store_request *request, enum store_answer answer, const char *addr)
{
	cleanup_reply struct store_reply reply = claim(store, request);

	assert_int_equal(reply.answer, answer);
	assert_string_equal(reply.addr_count ? ip_text(&reply.addrs[0]).s : "", addr);
	if (answer == STORE_GRANTED)
		assert_string_equal(reply.value, request->value);
}

/** A dynamic claim in one line: what cid gets. */
static inline void expect_dynamic(struct store *store, const struct ipam_config *config, const char *cid,
	enum store_answer answer, const char *addr)
{
	struct asking asking;

	ask(&asking, config, cid);
	expect(store, &asking.request, answer, addr);
}

/** A dynamic claim that must be granted: its first address. */
static inline struct ip_text take(struct store *store, const struct ipam_config *config, const char *cid)
{
	struct asking asking;

	ask(&asking, config, cid);

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_string_equal(reply.value, asking.request.value);
	assert_true(ipam_set_allows(&config->sets[0], &reply.addrs[0]));
	return ip_text(&reply.addrs[0]);
}

/** A claim of just that address that keeps nothing: for tests that need to know what a dynamic claim got. */
static inline void take_at(struct store *store, const struct ipam_config *config, const char *cid, const char *addr)
{
	struct asking asking;

	ask(&asking, config, cid);
	ask_fixed(&asking, addr);
	asking.request.ns = NULL;
	expect(store, &asking.request, STORE_GRANTED, addr);
}

/** A fixed claim in one line. */
static inline void expect_fixed(struct store *store, const struct ipam_config *config, const char *cid,
	const char *addr, enum store_answer answer)
{
	struct asking asking;

	ask(&asking, config, cid);
	ask_fixed(&asking, addr);
	expect(store, &asking.request, answer, answer <= STORE_ALREADY ? addr : "");
}

static inline void release(struct store *store, const char *cid, const char *value)
{
	const struct store_release release = {.network = "net", .cid = cid, .ifname = "net1", .value = value};
	struct error e = {0};

	if (store->ops->release(store, &release, &e) < 0)
		fail_msg("%s", e.message);
}

/** Everything in the store. */
struct listing {
	struct store_entry *entries;
	size_t count;
};

static inline void listing_clear(struct listing *listing)
{
	store_entries_free(listing->entries, listing->count);
}

#define cleanup_listing CLEANUP(listing_clear)

static inline struct listing list(struct store *store)
{
	struct listing listing = {0};
	struct error e = {0};

	if (store->ops->list(store, NULL, NULL, &listing.entries, &listing.count, &e) < 0)
		fail_msg("%s", e.message);
	return listing;
}

/** "net 10.0.0.2 by a default; ..." for each entry: network, address, value, hold; "-" for none. */
static inline void expect_list(struct store *store, const char *expected)
{
	cleanup_listing struct listing listing = list(store);
	cleanup_free char *text = copy_text("");

	for (size_t i = 0; i < listing.count; i++) {
		const struct store_entry *entry = &listing.entries[i];
		cleanup_free char *before = text;

		text = format_text("%s%s%s %s %s %s", before, i ? "; " : "", entry->network, ip_text(&entry->addr).s,
			entry->value ? entry->value : "-", entry->hold ? entry->hold : "-");
	}
	assert_string_equal(text, expected);
}

/** fork(2); the child ends with us, also when it is stopped or hangs because a test failed. */
static inline pid_t fork_child(void)
{
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

/** Waits for a child; what it exited with, or minus the signal that ended it. */
static inline int await_child(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define WITH_STORE(name, state) cleanup_store struct store *name = open_fixture(state)
#define WITH_CONFIG(name, text) cleanup_ipam_config struct ipam_config *name = config_of(text)

/** The fixture's store. */
static inline struct store *open_fixture(void **state)
{
	const struct store_fixture *fixture = *state;

	return fixture->open(fixture);
}
