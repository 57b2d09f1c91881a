/*
 * What every store must do, whatever keeps it: the same tests for each of them. A program gives STORE_SUITE a setup
 * that puts a struct store_fixture with an empty store into *state, and its teardown.
 */
#pragma once

#include "test/unit/store_kit.h"
#include "test/unit/store_model.h"

static void grants_in_rotation(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);

	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.3");
	release(store, "a", NULL);
	expect_dynamic(store, config, "c", STORE_GRANTED, "10.0.0.4");
	expect_dynamic(store, config, "d", STORE_GRANTED, "10.0.0.5");
	expect_dynamic(store, config, "e", STORE_GRANTED, "10.0.0.6");
	expect_dynamic(store, config, "f", STORE_GRANTED, "10.0.0.2");
	release(store, "d", NULL);
	expect_dynamic(store, config, "g", STORE_GRANTED, "10.0.0.5");
	expect_list(store, "net 10.0.0.2 by f -; net 10.0.0.3 by b -; net 10.0.0.4 by c -; net 10.0.0.5 by g -; net "
			   "10.0.0.6 by e -");
}

static void lists_by_network_and_address(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_list(store, "");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.2");
	ask(&asking, config, "a");
	asking.request.network = "alpha";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.3");
	expect_fixed(store, config, "c", "10.0.0.6", STORE_GRANTED);
	release(store, "c", NULL);
	expect_dynamic(store, config, "d", STORE_GRANTED, "10.0.0.4");
	expect_list(store, "alpha 10.0.0.3 by a -; net 10.0.0.2 by b -; net 10.0.0.4 by d -; net 10.0.0.6 - default");
}

static void says_full_and_names_everybody(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	for (int i = 0; i < 4; i++) {
		char cid[2] = {(char)('a' + i), '\0'};
		cleanup_reply struct store_reply reply = {0};

		ask(&asking, config, cid);
		reply = claim(store, &asking.request);
		assert_int_equal(reply.answer, STORE_GRANTED);
	}
	expect_fixed(store, config, "p", "10.0.0.6", STORE_GRANTED);
	ask(&asking, config, "x");

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_FULL);
	assert_int_equal(reply.full_set, 0);
	assert_int_equal(reply.addr_count, 0);
	assert_int_equal(reply.holder_count, 5);
	assert_string_equal(reply.holders[0].value, "by a");
	assert_string_equal(reply.holders[0].sandbox, "/run/netns/x");
	assert_string_equal(reply.holders[4].hold, "default");
}

static void answers_a_repeated_claim(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct asking asking;

	ask(&asking, config, "a");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	asking.request.value = "by a again";

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_ALREADY);
	assert_int_equal(reply.addr_count, 2);
	assert_string_equal(ip_text(&reply.addrs[0]).s, "10.0.0.2");
	assert_string_equal(ip_text(&reply.addrs[1]).s, "2001:db8::2");
	assert_string_equal(reply.value, "by a");
	asking.request.ifname = "net2";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.3");
	expect_list(store, "net 10.0.0.2 by a -; net 10.0.0.3 by a again -; net 2001:db8::2 by a -; "
			   "net 2001:db8::3 by a again -");
}

static void keeps_a_fixed_address_from_others(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	expect_fixed(store, config, "a", "10.0.0.4", STORE_ALREADY);
	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.4");

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_HELD);
	assert_int_equal(reply.addr_count, 0);
	assert_int_equal(reply.holder_count, 1);
	assert_string_equal(reply.holders[0].network, "net");
	assert_string_equal(ip_text(&reply.holders[0].addr).s, "10.0.0.4");
	assert_string_equal(reply.holders[0].value, "by a");
	assert_string_equal(reply.holders[0].sandbox, "/run/netns/x");
	assert_string_equal(reply.holders[0].hold, "default");
}

static void keeps_a_hold_between_two_lives(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	struct asking asking;

	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.2");

	cleanup_reply struct store_reply first = claim(store, &asking.request);

	assert_int_equal(first.kept_count, 1);
	assert_string_equal(ip_text(&first.kept[0]).s, "10.0.0.2");
	release(store, "a", "by a");
	expect_list(store, "net 10.0.0.2 - default");
	expect_dynamic(store, config, "d", STORE_FULL, "");

	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.2");
	asking.request.ns = "other";

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_HELD);
	assert_int_equal(reply.holder_count, 1);
	assert_null(reply.holders[0].value);
	assert_string_equal(reply.holders[0].hold, "default");
	asking.request.ns = NULL;
	expect(store, &asking.request, STORE_HELD, "");
	asking.request.ns = "default";

	cleanup_reply struct store_reply next = claim(store, &asking.request);

	assert_int_equal(next.answer, STORE_GRANTED);
	assert_int_equal(next.kept_count, 0);
	expect_list(store, "net 10.0.0.2 by b default");
}

static void holds_nothing_without_a_pod(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.ns = NULL;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	release(store, "a", "by a");
	expect_list(store, "");
}

static void gives_an_address_once_in_a_domain(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	WITH_CONFIG(elsewhere, "{\"subnet\":\"10.0.0.0/30\",\"domain\":\"rack-2\"}");
	struct asking asking;

	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");

	ask(&asking, config, "b");
	asking.request.network = "second";
	expect(store, &asking.request, STORE_FULL, "");
	ask_fixed(&asking, "10.0.0.2");
	expect(store, &asking.request, STORE_HELD, "");

	/* One network whose domain was changed while pods run. */
	expect_dynamic(store, elsewhere, "c", STORE_FULL, "");

	ask(&asking, elsewhere, "d");
	asking.request.network = "second";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	expect_list(store, "net 10.0.0.2 by a -; second 10.0.0.2 by d -");
}

static void keeps_holds_in_the_whole_domain(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.2", STORE_GRANTED);
	release(store, "a", NULL);
	ask(&asking, config, "b");
	asking.request.network = "second";
	expect(store, &asking.request, STORE_FULL, "");
	ask_fixed(&asking, "10.0.0.2");
	asking.request.ns = "other";
	expect(store, &asking.request, STORE_HELD, "");
	asking.request.ns = "default";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
}

static void releases_only_what_it_is_told(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);

	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
	release(store, "a", "by A");
	release(store, "a", "by a ");
	release(store, "a", "by");
	release(store, "a", "");
	release(store, "b", NULL);
	expect_list(store, "net 10.0.0.2 by a -");
	release(store, "a", "by a");
	expect_list(store, "");
	release(store, "a", "by a");
	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.3");
	release(store, "a", NULL);
	expect_list(store, "");
}

static void never_frees_a_successor(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	ask(&asking, config, "a");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	release(store, "a", "by a");
	asking.request.value = "by a, second life";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.3");
	release(store, "a", "by a");
	expect_list(store, "net 10.0.0.3 by a, second life -");
}

static void swaps_with_a_holder_that_may_go(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);

	cleanup_listing struct listing seen = list(store);

	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.evict = seen.entries;
	asking.request.evict_count = 1;
	release(store, "a", NULL);
	expect_fixed(store, config, "c", "10.0.0.4", STORE_GRANTED);
	expect(store, &asking.request, STORE_HELD, "");
	release(store, "c", NULL);
	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	expect_list(store, "net 10.0.0.4 by b default");
	release(store, "a", "by a");
	expect_list(store, "net 10.0.0.4 by b default");

	/* An eviction does not break a hold of another namespace. */
	cleanup_listing struct listing now = list(store);

	ask(&asking, config, "d");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.ns = "other";
	asking.request.evict = now.entries;
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_HELD, "");
	expect_list(store, "net 10.0.0.4 by b default");
}

static void evicts_from_a_full_range(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/29\",\"rangeStart\":\"10.0.0.5\"}");
	struct asking asking;

	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.5");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.6");
	ask(&asking, config, "c");

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	assert_int_equal(full.answer, STORE_FULL);
	asking.request.evict = &full.holders[1];
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.6");
	expect_list(store, "net 10.0.0.5 by a -; net 10.0.0.6 by c -");
}

static void gives_fresh_releases_last(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	static const char *const cids[] = {"a", "b", "c", "d", "e"};
	struct asking asking;

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		ask(&asking, config, cids[i]);

		cleanup_reply struct store_reply reply = claim(store, &asking.request);

		assert_int_equal(reply.answer, STORE_GRANTED);
	}
	release(store, "c", NULL); /* 10.0.0.4 */
	release(store, "a", NULL); /* 10.0.0.2 */
	ask(&asking, config, "f");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	ask(&asking, config, "g");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	release(store, "e", NULL); /* 10.0.0.6 */
	release(store, "b", NULL); /* 10.0.0.3, which is next in turn */
	ask(&asking, config, "h");
	asking.request.reuse_delay = INT64_MAX;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.6");
	expect_dynamic(store, config, "i", STORE_GRANTED, "10.0.0.3");
	expect_dynamic(store, config, "j", STORE_FULL, "");
}

static void prefers_what_was_never_released(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "x", "10.0.0.2", STORE_GRANTED);
	ask(&asking, config, "a");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.3");
	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.ns = NULL;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	release(store, "b", NULL);
	ask(&asking, config, "c");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.5");
}

static void forgets_a_claim_and_its_hold(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct error e = {0};

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	expect_fixed(store, config, "b", "10.0.0.5", STORE_GRANTED);

	cleanup_listing struct listing seen = list(store);

	release(store, "b", NULL);
	expect_fixed(store, config, "c", "10.0.0.5", STORE_GRANTED);
	assert_int_equal(store->ops->forget(store, &seen.entries[0], &e), 0);
	assert_int_equal(store->ops->forget(store, &seen.entries[0], &e), 0);
	assert_int_equal(store->ops->forget(store, &seen.entries[1], &e), -ESTALE);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_non_null(strstr(e.message, "10.0.0.5"));
	error_clear(&e);
	expect_list(store, "net 10.0.0.5 by c default");
	release(store, "c", NULL);

	/* What is only kept any more. */
	cleanup_listing struct listing kept = list(store);

	assert_int_equal(store->ops->forget(store, &kept.entries[0], &e), 0);
	expect_list(store, "");
}

static void takes_all_or_nothing(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct asking asking;

	/* The second set has two addresses. */
	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.3");
	ask(&asking, config, "c");

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	assert_int_equal(full.answer, STORE_FULL);
	assert_int_equal(full.full_set, 1);
	ask(&asking, config, "d");
	ask_fixed(&asking, "10.0.0.5");
	ask_fixed(&asking, "2001:db8::2");

	cleanup_reply struct store_reply held = claim(store, &asking.request);

	assert_int_equal(held.answer, STORE_HELD);
	assert_int_equal(held.holder_count, 1);
	assert_string_equal(ip_text(&held.holders[0].addr).s, "2001:db8::2");
	release(store, "b", NULL);
	expect_list(store, "net 10.0.0.2 by a -; net 2001:db8::2 by a -");
	asking.fixed[1] = addr_of("2001:db8::3");

	cleanup_reply struct store_reply both = claim(store, &asking.request);

	assert_int_equal(both.answer, STORE_GRANTED);
	assert_int_equal(both.addr_count, 2);
	assert_string_equal(ip_text(&both.addrs[1]).s, "2001:db8::3");
	release(store, "d", "by d");
	expect_list(store, "net 10.0.0.2 by a -; net 10.0.0.5 - default; net 2001:db8::2 by a -; "
			   "net 2001:db8::3 - default");
}

static void refuses_an_address_twice(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct asking asking;

	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.5");
	ask_fixed(&asking, "10.0.0.5");
	assert_int_equal(store->ops->claim(store, &asking.request, &reply, &e), -EINVAL);
	assert_int_equal(e.code, ERROR_CONFIG);
	error_clear(&e);
	expect_list(store, "");
}

static void walks_over_adjacent_ranges(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"ranges\":[[{\"subnet\":\"10.0.0.0/29\",\"rangeEnd\":\"10.0.0.3\"},"
			    "{\"subnet\":\"10.0.0.0/29\",\"rangeStart\":\"10.0.0.4\",\"rangeEnd\":\"10.0.0.5\"}]]}");

	expect_fixed(store, config, "x", "10.0.0.3", STORE_GRANTED);
	expect_fixed(store, config, "y", "10.0.0.4", STORE_GRANTED);
	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.5");
	expect_dynamic(store, config, "c", STORE_FULL, "");
}

#define STORE_TEST(test, setup, teardown) cmocka_unit_test_setup_teardown(test, setup, teardown)

#define STORE_SUITE(s, t) \
	STORE_TEST(grants_in_rotation, s, t), STORE_TEST(lists_by_network_and_address, s, t), \
		STORE_TEST(says_full_and_names_everybody, s, t), STORE_TEST(answers_a_repeated_claim, s, t), \
		STORE_TEST(keeps_a_fixed_address_from_others, s, t), STORE_TEST(keeps_a_hold_between_two_lives, s, t), \
		STORE_TEST(holds_nothing_without_a_pod, s, t), STORE_TEST(gives_an_address_once_in_a_domain, s, t), \
		STORE_TEST(keeps_holds_in_the_whole_domain, s, t), STORE_TEST(releases_only_what_it_is_told, s, t), \
		STORE_TEST(never_frees_a_successor, s, t), STORE_TEST(swaps_with_a_holder_that_may_go, s, t), \
		STORE_TEST(evicts_from_a_full_range, s, t), STORE_TEST(gives_fresh_releases_last, s, t), \
		STORE_TEST(prefers_what_was_never_released, s, t), STORE_TEST(forgets_a_claim_and_its_hold, s, t), \
		STORE_TEST(takes_all_or_nothing, s, t), STORE_TEST(refuses_an_address_twice, s, t), \
		STORE_TEST(walks_over_adjacent_ranges, s, t), STORE_TEST(agrees_with_a_second_opinion, s, t), \
		STORE_TEST(never_gives_one_address_to_two_processes, s, t)
