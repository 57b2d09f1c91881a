/* What every store must do with what is kept: holds, reservations, attachments, claims that never ended. */
#pragma once

#include "test/unit/store_kit.h"

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

#define FOR_WEB "{\"v\":1,\"kind\":\"reserved\",\"ns\":\"default\",\"pod\":\"web\"}"

/* Reserves 10.0.0.4 of "net" in "default" for the hold, wanting that answer. */
static inline void reserve(struct store *store, const char *hold, const char *ns, enum store_answer answer)
{
	cleanup_free char *text = copy_text(hold);
	struct store_entry entry = {.network = (char[]){"net"}, .addr = addr_of("10.0.0.4"), .hold = text};
	cleanup_reply struct store_reply reply = {0};
	struct error e = {0};

	if (store->ops->reserve(store, &entry, "default", ns, &reply, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(reply.answer, answer);
	assert_int_equal(reply.holder_count, answer == STORE_HELD ? 1 : 0);
}

static void reserves_an_address_for_one_pod(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/29\",\"rangeStart\":\"10.0.0.4\",\"rangeEnd\":\"10.0.0.4\"}");
	struct asking asking;

	reserve(store, FOR_WEB, "default", STORE_GRANTED);
	reserve(store, FOR_WEB, "default", STORE_ALREADY);
	expect_list(store, "net 10.0.0.4 - " FOR_WEB);
	expect_dynamic(store, config, "a", STORE_FULL, "");
	expect_fixed(store, config, "a", "10.0.0.4", STORE_HELD);
	ask(&asking, config, "b");
	ask_fixed(&asking, "10.0.0.4");
	asking.request.reservation = "{}";
	expect(store, &asking.request, STORE_HELD, "");
	asking.request.reservation = FOR_WEB;

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.kept_count, 0);
	expect_list(store, "net 10.0.0.4 by b " FOR_WEB);
	release(store, "b", "by b");
	expect_list(store, "net 10.0.0.4 - " FOR_WEB);
}

static void reserves_nothing_that_others_have(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;
	char record[] = "{\"v\":1,\"kind\":\"fixed\",\"ns\":\"default\",\"pod\":\"web\",\"cid\":\"a\",\"ifname\":"
			"\"net1\",\"nonce\":\"1\"}";

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	reserve(store, FOR_WEB, "default", STORE_HELD);
	release(store, "a", NULL);
	/* Kept for another namespace, then for the one that is meant. */
	reserve(store, FOR_WEB, "other", STORE_HELD);
	reserve(store, FOR_WEB, NULL, STORE_HELD);
	ask(&asking, config, "a");
	asking.request.value = record;
	ask_fixed(&asking, "10.0.0.4");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	reserve(store, FOR_WEB, "other", STORE_HELD);
	reserve(store, FOR_WEB, "default", STORE_GRANTED);
	release(store, "a", record);
	expect_list(store, "net 10.0.0.4 - " FOR_WEB);
	reserve(store, "{\"v\":1}", "default", STORE_HELD);
}

static void forgets_no_hold_that_changed(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct error e = {0};

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	release(store, "a", NULL);

	cleanup_listing struct listing seen = list(store);

	reserve(store, FOR_WEB, "default", STORE_GRANTED);
	assert_int_equal(store->ops->forget(store, &seen.entries[0], &e), -ESTALE);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	error_clear(&e);
	expect_list(store, "net 10.0.0.4 - " FOR_WEB);
}

static void knows_what_its_containers_hold(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct store_attachment *found = NULL, *none = NULL;
	struct error e = {0};
	size_t count = 0, none_count = 0;

	expect_fixed(store, config, "b", "10.0.0.5", STORE_GRANTED);
	take(store, config, "a");
	assert_int_equal(store->ops->attachments(store, NULL, &found, &count, &e), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		bool first = strcmp(found[i].cid, "a") == 0;

		assert_string_equal(found[i].network, "net");
		assert_string_equal(found[i].ifname, "net1");
		assert_string_equal(found[i].cid, first ? "a" : "b");
		assert_int_equal(found[i].addr_count, first ? 2 : 1);
		assert_false(found[i].closed);
		assert_string_equal(found[i].value, first ? "by a" : "by b");
	}
	store_attachments_free(found, count);
	release(store, "a", NULL);
	release(store, "b", NULL);
	assert_int_equal(store->ops->attachments(store, "net", &none, &none_count, &e), 0);
	assert_int_equal(none_count, 0);
	store_attachments_free(none, none_count);
}

/* As a DEL does whose ADD was killed: nobody knows what became of the claim. */
static inline void release_unfinished(struct store *store, const char *cid, const char *value)
{
	const struct store_release release = {.network = "net",
		.domain = "default",
		.cid = cid,
		.ifname = "net1",
		.value = value,
		.unfinished = true};
	struct error e = {0};

	if (store->ops->release(store, &release, &e) < 0)
		fail_msg("%s", e.message);
}

static void leaves_nothing_of_an_unfinished_claim(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	release(store, "a", NULL);
	expect_fixed(store, config, "b", "10.0.0.4", STORE_GRANTED);
	/* What was kept before stays, what this claim began goes. */
	release_unfinished(store, "b", "by b");
	expect_list(store, "net 10.0.0.4 - default");
	expect_fixed(store, config, "c", "10.0.0.5", STORE_GRANTED);
	release_unfinished(store, "c", "by c");
	expect_list(store, "net 10.0.0.4 - default");
	release_unfinished(store, "c", "by c");
	release_unfinished(store, "nobody", "by nobody");

	/* A new ADD of the same container is another one. */
	ask(&asking, config, "c");
	asking.request.value = "by c, second life";
	ask_fixed(&asking, "10.0.0.5");

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.kept_count, 1);
	expect_list(store, "net 10.0.0.4 - default; net 10.0.0.5 by c, second life default");
	release_unfinished(store, "c", "by c, second life");
	expect_list(store, "net 10.0.0.4 - default");
}
