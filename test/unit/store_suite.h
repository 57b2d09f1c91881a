/*
 * What every store must do, whatever keeps it: the same tests for each of them. A program gives STORE_SUITE a setup
 * that puts a struct store_fixture with an empty store into *state, and its teardown.
 */
#pragma once

#include "test/unit/store_holds.h"
#include "test/unit/store_kit.h"
#include "test/unit/store_model.h"

static void grants_what_is_free(void **state)
{
	const struct store_fixture *fixture = *state;
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	static const char *const cids[] = {"a", "b", "c", "d", "e"};
	struct ip_text got[ARRAY_SIZE(cids)];

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		got[i] = take(store, config, cids[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(got[i].s, got[j].s);
		if (fixture->rotates)
			assert_int_equal(got[i].s[7], '2' + (char)i);
	}
	expect_dynamic(store, config, "f", STORE_FULL, "");
	release(store, "a", NULL);
	expect_dynamic(store, config, "f", STORE_GRANTED, got[0].s);
	release(store, "d", NULL);
	expect_dynamic(store, config, "g", STORE_GRANTED, got[3].s);
	expect_dynamic(store, config, "h", STORE_FULL, "");
}

static void lists_by_network_and_address(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	const struct ip_addr addr = addr_of("10.0.0.6");
	struct asking asking;
	struct error e = {0};

	expect_list(store, "");
	take_at(store, config, "b", "10.0.0.2");
	ask(&asking, config, "a");
	asking.request.network = "alpha";
	asking.request.ns = NULL;
	ask_fixed(&asking, "10.0.0.3");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.3");
	expect_fixed(store, config, "c", "10.0.0.6", STORE_GRANTED);
	release(store, "c", NULL);
	take_at(store, config, "d", "10.0.0.4");
	expect_list(store, "alpha 10.0.0.3 by a -; net 10.0.0.2 by b -; net 10.0.0.4 by d -; net 10.0.0.6 - default");

	cleanup_listing struct listing alpha = {0}, at = {0}, nothing = {0};

	assert_int_equal(store->ops->list(store, "alpha", NULL, &alpha.entries, &alpha.count, &e), 0);
	assert_int_equal(alpha.count, 1);
	assert_string_equal(alpha.entries[0].value, "by a");
	assert_int_equal(store->ops->list(store, NULL, &addr, &at.entries, &at.count, &e), 0);
	assert_int_equal(at.count, 1);
	assert_string_equal(at.entries[0].hold, "default");
	assert_int_equal(store->ops->list(store, "alpha", &addr, &nothing.entries, &nothing.count, &e), 0);
	assert_int_equal(nothing.count, 0);
}

static void says_full_and_names_everybody(void **state)
{
	const struct store_fixture *fixture = *state;
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "p", "10.0.0.6", STORE_GRANTED);
	for (int i = 0; i < 4; i++) {
		char cid[2] = {(char)('a' + i), '\0'};

		take(store, config, cid);
	}
	ask(&asking, config, "x");

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_FULL);
	assert_int_equal(reply.full_set, 0);
	assert_int_equal(reply.addr_count, 0);
	assert_int_equal(reply.holder_count, 5);
	for (size_t i = 0; i < reply.holder_count; i++) {
		assert_int_equal(reply.holders[i].addr.bytes[3], 2 + i);
		assert_int_equal(strncmp(reply.holders[i].value, "by ", 3), 0);
		if (fixture->sandboxes)
			assert_string_equal(reply.holders[i].sandbox, "/run/netns/x");
	}
	assert_string_equal(reply.holders[4].value, "by p");
	assert_string_equal(reply.holders[4].hold, "default");
}

static void answers_a_repeated_claim(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct asking asking;

	ask(&asking, config, "a");

	cleanup_reply struct store_reply first = claim(store, &asking.request);

	assert_int_equal(first.answer, STORE_GRANTED);
	assert_int_equal(first.addr_count, 2);
	asking.request.value = "by a again";

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_ALREADY);
	assert_int_equal(reply.addr_count, 2);
	assert_int_equal(ip_compare(&reply.addrs[0], &first.addrs[0]), 0);
	assert_int_equal(ip_compare(&reply.addrs[1], &first.addrs[1]), 0);
	assert_string_equal(reply.value, "by a");
	asking.request.ifname = "net2";

	cleanup_reply struct store_reply other = claim(store, &asking.request);
	cleanup_listing struct listing listing = list(store);

	assert_int_equal(other.answer, STORE_GRANTED);
	assert_int_not_equal(ip_compare(&other.addrs[0], &first.addrs[0]), 0);
	assert_int_not_equal(ip_compare(&other.addrs[1], &first.addrs[1]), 0);
	assert_int_equal(listing.count, 4);
}

static void gives_other_addresses_than_it_had(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	ask(&asking, config, "a");
	asking.request.value = "by a, moved";
	ask_fixed(&asking, "10.0.0.5");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.5");
	expect_list(store, "net 10.0.0.4 - default; net 10.0.0.5 by a, moved default");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.value = "by a, with both";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.5");
	expect_list(store, "net 10.0.0.4 by a, with both default; net 10.0.0.5 by a, with both default");

	/* It keeps what it has when it cannot have what it asks for. */
	expect_fixed(store, config, "b", "10.0.0.6", STORE_GRANTED);
	ask(&asking, config, "a");
	asking.request.value = "by a, at last";
	ask_fixed(&asking, "10.0.0.6");
	expect(store, &asking.request, STORE_HELD, "");
	expect_list(store,
		"net 10.0.0.4 by a, with both default; net 10.0.0.5 by a, with both default; net 10.0.0.6 by b "
		"default");
}

static void keeps_a_fixed_address_from_others(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.value = "by a again";
	expect(store, &asking.request, STORE_ALREADY, "10.0.0.4");
	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.4");

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_HELD);
	assert_int_equal(reply.addr_count, 0);
	assert_int_equal(reply.holder_count, 1);
	assert_string_equal(reply.holders[0].network, "net");
	assert_string_equal(ip_text(&reply.holders[0].addr).s, "10.0.0.4");
	assert_string_equal(reply.holders[0].value, "by a");
	assert_string_equal(reply.holders[0].hold, "default");
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

static void releases_only_what_it_is_told(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	cleanup_free char *expected = format_text("net %s by a -", take(store, config, "a").s);

	release(store, "a", "by A");
	release(store, "a", "by a ");
	release(store, "a", "by");
	release(store, "a", "");
	release(store, "b", NULL);
	expect_list(store, expected);
	release(store, "a", "by a");
	expect_list(store, "");
	release(store, "a", "by a");
	take(store, config, "a");
	release(store, "a", NULL);
	expect_list(store, "");
}

static void never_frees_a_successor(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	const struct ip_addr addr = addr_of("10.0.0.2");
	struct error e = {0};
	struct asking asking;

	ask(&asking, config, "a");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	release(store, "a", "by a");
	asking.request.value = "by a, second life";
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	release(store, "a", "by a");
	assert_int_equal(store->ops->release(store,
				 &(struct store_release){.network = "net",
					 .domain = "default",
					 .cid = "a",
					 .ifname = "net1",
					 .value = "by a",
					 .addrs = &addr,
					 .addr_count = 1},
				 &e),
		0);
	expect_list(store, "net 10.0.0.2 by a, second life -");
	release(store, "a", NULL);

	/* Nor one of another container. */
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.2");
	release(store, "a", "by a");
	release(store, "a", NULL);
	assert_int_equal(store->ops->release(store,
				 &(struct store_release){.network = "net",
					 .domain = "default",
					 .cid = "a",
					 .ifname = "net1",
					 .addrs = &addr,
					 .addr_count = 1},
				 &e),
		0);
	expect_list(store, "net 10.0.0.2 by b -");
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

	take(store, config, "a");
	take(store, config, "b");
	ask(&asking, config, "c");

	cleanup_reply struct store_reply full = claim(store, &asking.request);
	cleanup_free char *expected = NULL;

	assert_int_equal(full.answer, STORE_FULL);
	expected = format_text("net 10.0.0.5 %s -; net 10.0.0.6 by c -", full.holders[0].value);
	asking.request.evict = &full.holders[1];
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.6");
	expect_list(store, expected);

	/* Once only: by now it is another's. */
	ask(&asking, config, "d");
	asking.request.evict = &full.holders[1];
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_FULL, "");
}

static void gives_fresh_releases_last(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	static const char *const cids[] = {"a", "b", "c", "d", "e"};
	struct ip_text got[ARRAY_SIZE(cids)];
	struct asking asking;

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++)
		got[i] = take(store, config, cids[i]);
	release(store, "c", NULL);
	release(store, "a", NULL);
	ask(&asking, config, "f");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, got[2].s);
	ask(&asking, config, "g");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, got[0].s);
	release(store, "e", NULL);
	release(store, "b", NULL);
	ask(&asking, config, "h");
	asking.request.reuse_delay = INT64_MAX;
	expect(store, &asking.request, STORE_GRANTED, got[4].s);
	expect_dynamic(store, config, "i", STORE_GRANTED, got[1].s);
	expect_dynamic(store, config, "j", STORE_FULL, "");
}

static void prefers_what_was_never_released(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	static const char *const cids[] = {"a", "b", "c"};
	struct asking asking;

	expect_fixed(store, config, "x", "10.0.0.2", STORE_GRANTED);
	take_at(store, config, "y", "10.0.0.4");
	release(store, "y", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		ask(&asking, config, cids[i]);
		asking.request.reuse_delay = 3600;

		cleanup_reply struct store_reply reply = claim(store, &asking.request);

		assert_int_equal(reply.answer, STORE_GRANTED);
		assert_string_not_equal(ip_text(&reply.addrs[0]).s, "10.0.0.4");
	}
	ask(&asking, config, "d");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
}

static void takes_all_or_nothing(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct asking asking;

	/* The second set has two addresses. */
	expect_fixed(store, config, "p", "10.0.0.5", STORE_GRANTED);
	take(store, config, "a");
	release(store, "p", NULL);
	ask(&asking, config, "b");

	cleanup_reply struct store_reply second = claim(store, &asking.request);

	ask(&asking, config, "c");

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	assert_int_equal(full.answer, STORE_FULL);
	assert_int_equal(full.full_set, 1);
	ask(&asking, config, "d");
	ask_fixed(&asking, "10.0.0.5");
	ask_fixed(&asking, ip_text(&second.addrs[1]).s);

	cleanup_reply struct store_reply held = claim(store, &asking.request);
	cleanup_listing struct listing before = list(store);

	assert_int_equal(held.answer, STORE_HELD);
	assert_int_equal(held.holder_count, 1);
	assert_int_equal(ip_compare(&held.holders[0].addr, &second.addrs[1]), 0);
	assert_int_equal(before.count, 5);
	release(store, "b", NULL);

	cleanup_reply struct store_reply both = claim(store, &asking.request);

	assert_int_equal(both.answer, STORE_GRANTED);
	assert_int_equal(both.addr_count, 2);
	assert_int_equal(ip_compare(&both.addrs[1], &second.addrs[1]), 0);
	/* One was kept already. */
	assert_int_equal(both.kept_count, 1);
	assert_int_equal(ip_compare(&both.kept[0], &second.addrs[1]), 0);
	release(store, "d", "by d");

	cleanup_listing struct listing after = list(store);

	assert_int_equal(after.count, 4);
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

	struct ip_text first = take(store, config, "a"), second = take(store, config, "b");

	assert_true(first.s[7] == '2' || first.s[7] == '5');
	assert_true(second.s[7] == '2' || second.s[7] == '5');
	assert_string_not_equal(first.s, second.s);
	expect_dynamic(store, config, "c", STORE_FULL, "");
}

#define STORE_TEST(test, setup, teardown) cmocka_unit_test_setup_teardown(test, setup, teardown)

#define STORE_SUITE(s, t) \
	STORE_TEST(grants_what_is_free, s, t), STORE_TEST(lists_by_network_and_address, s, t), \
		STORE_TEST(says_full_and_names_everybody, s, t), STORE_TEST(answers_a_repeated_claim, s, t), \
		STORE_TEST(gives_other_addresses_than_it_had, s, t), \
		STORE_TEST(keeps_a_fixed_address_from_others, s, t), STORE_TEST(keeps_a_hold_between_two_lives, s, t), \
		STORE_TEST(holds_nothing_without_a_pod, s, t), STORE_TEST(gives_an_address_once_in_a_domain, s, t), \
		STORE_TEST(keeps_holds_in_the_whole_domain, s, t), STORE_TEST(releases_only_what_it_is_told, s, t), \
		STORE_TEST(never_frees_a_successor, s, t), STORE_TEST(swaps_with_a_holder_that_may_go, s, t), \
		STORE_TEST(evicts_from_a_full_range, s, t), STORE_TEST(gives_fresh_releases_last, s, t), \
		STORE_TEST(prefers_what_was_never_released, s, t), STORE_TEST(forgets_a_claim_and_its_hold, s, t), \
		STORE_TEST(takes_all_or_nothing, s, t), STORE_TEST(refuses_an_address_twice, s, t), \
		STORE_TEST(walks_over_adjacent_ranges, s, t), STORE_TEST(reserves_an_address_for_one_pod, s, t), \
		STORE_TEST(reserves_nothing_that_others_have, s, t), STORE_TEST(forgets_no_hold_that_changed, s, t), \
		STORE_TEST(knows_what_its_containers_hold, s, t), \
		STORE_TEST(leaves_nothing_of_an_unfinished_claim, s, t), \
		STORE_TEST(agrees_with_a_second_opinion, s, t), \
		STORE_TEST(never_gives_one_address_to_two_processes, s, t)
