/* The etcd store: what every store must do, and what only a cluster has, on a real etcd. */
#include "ipam/record.h"
#include "test/unit/store_etcd_kit.h"
#include "test/unit/store_etcd_lost.h"
#include "test/unit/store_etcd_search.h"
#include "test/unit/store_suite.h"

#include <time.h>

#define NET "/etcd-cni/networks/net/"

/* --- keys, and what others write there --- */

static void writes_the_keys_that_kube_ipam_reads(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, DUAL);
	struct asking asking;

	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.4");
	ask_fixed(&asking, "2001:db8:0:0::3");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	expect_keys("/etcd-cni/",
		"/etcd-cni/domain/default/10.0.0.4=net; /etcd-cni/domain/default/2001:db8::3=net; " NET
		"attachment/node-1/a.net1={\"v\":1,\"nonce\":\"by a\",\"domain\":\"default\",\"addrs\":[\"10.0.0.4\","
		"\"2001:db8::3\"]}; " NET "fixed/10.0.0.4=default; " NET "fixed/2001:db8::3=default; " NET
		"used/10.0.0.4=by a; " NET "used/2001:db8::3=by a");
	release(store, "a", "by a");
	expect_keys("/etcd-cni/",
		"/etcd-cni/domain/default/10.0.0.4=net; /etcd-cni/domain/default/2001:db8::3=net; " NET
		"fixed/10.0.0.4=default; " NET "fixed/2001:db8::3=default");
	ask(&asking, config, "b");
	asking.request.network = "other";

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	release(store, "b", NULL);
}

static void takes_kube_ipams_keys_for_held(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	const struct ip_addr addr = addr_of("10.0.0.2");
	const struct store_release release = {
		.network = "net", .cid = "0123abcd", .ifname = "net1", .addrs = &addr, .addr_count = 1};
	struct asking asking;
	struct error e = {0};

	put_key("/etcd-cni/networks/net", "[{\"subnet\":\"10.0.0.0/30\"}]");
	put_key(NET "lastReserved/0", "10.0.0.2");
	put_key(NET "used/10.0.0.2", "0123abcd");
	ask(&asking, config, "a");
	{
		cleanup_reply struct store_reply full = claim(store, &asking.request);

		assert_int_equal(full.answer, STORE_FULL);
		assert_int_equal(full.holder_count, 1);
		assert_string_equal(full.holders[0].value, "0123abcd");
	}
	ask_fixed(&asking, "10.0.0.2");
	{
		cleanup_reply struct store_reply held = claim(store, &asking.request);

		assert_int_equal(held.answer, STORE_HELD);
		assert_string_equal(held.holders[0].value, "0123abcd");
	}
	expect_list(store, "net 10.0.0.2 0123abcd -");

	/* Its own DEL, from our node, frees it; a stranger's does not. */
	assert_int_equal(
		store->ops->release(store,
			&(struct store_release){
				.network = "net", .cid = "0123", .ifname = "net1", .addrs = &addr, .addr_count = 1},
			&e),
		0);
	expect_list(store, "net 10.0.0.2 0123abcd -");
	assert_int_equal(store->ops->release(store, &release, &e), 0);
	expect_keys(NET "used/", "");

	/* As a holder that is gone, it may be replaced. */
	put_key(NET "used/10.0.0.2", "0123abcd");

	cleanup_listing struct listing seen = list(store);

	ask(&asking, config, "b");
	asking.request.evict = seen.entries;
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	put_key(NET "used/10.0.0.2", "4567");
	delete_key("/etcd-cni/domain/default/10.0.0.2");

	cleanup_listing struct listing again = list(store);

	ask(&asking, config, "c");
	ask_fixed(&asking, "10.0.0.2");
	asking.request.evict = again.entries;
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	expect_keys("/etcd-cni/domain/", "/etcd-cni/domain/default/10.0.0.2=net");
}

static void takes_every_unknown_value_for_held(void **state)
{
	static const char *const values[] = {"hello", "", "{\"v\":2}", "{", "null", "\xff\x01"};
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	struct error e = {0};
	struct store_reply reply = {0};
	struct asking asking;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		put_key(NET "used/10.0.0.2", values[i]);
		expect_dynamic(store, config, "a", STORE_FULL, "");
		expect_fixed(store, config, "a", "10.0.0.2", STORE_HELD);
		release(store, "a", NULL);

		cleanup_listing struct listing listing = list(store);

		assert_int_equal(listing.count, 1);
		assert_string_equal(listing.entries[0].value, values[i]);
	}
	delete_key(NET "used/10.0.0.2");
	put_key("/etcd-cni/domain/default/10.0.0.2", "nobody");
	expect_dynamic(store, config, "a", STORE_FULL, "");
	delete_key("/etcd-cni/domain/default/10.0.0.2");
	put_key(NET "fixed/10.0.0.2", "");
	expect_dynamic(store, config, "a", STORE_FULL, "");
	expect_fixed(store, config, "a", "10.0.0.2", STORE_HELD);
	delete_key(NET "fixed/10.0.0.2");

	/* Under the key of our own attachment it cannot be told what it means. */
	put_key(NET "attachment/node-1/a.net1", "hello");
	ask(&asking, config, "a");
	assert_int_equal(store->ops->claim(store, &asking.request, &reply, &e), -EUCLEAN);
	assert_non_null(strstr(e.message, NET "attachment/node-1/a.net1"));
	error_clear(&e);
	expect_keys(NET "used/", "");
}

static void waits_for_kube_ipams_lock(void **state)
{
	const struct store_fixture *fixture = *state;
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct asking asking;

	put_key(NET "lock", "7587862094934528");
	ask(&asking, config, "a");
	{
		cleanup_store struct store *store = open_etcd_until(fixture->folder, clock_now() + SECONDS / 2);

		assert_int_equal(store->ops->claim(store, &asking.request, &reply, &e), -EAGAIN);
		assert_int_equal(e.code, ERROR_TRY_AGAIN);
		assert_non_null(strstr(e.message, NET "lock"));
		assert_false(reply.unknown);
		error_clear(&e);
		expect_keys(NET "used/", "");
	}
	/* The other node is done while we wait. */
	WITH_STORE(store, state);

	calls.count = 0;
	calls.delete_at = 3;
	calls.delete_key = NET "lock";
	ask_fixed(&asking, "10.0.0.4");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.4");
	assert_int_equal(calls.count, 3);
}

/* --- round trips --- */

static void takes_one_round_trip(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	const struct ip_addr addr = addr_of("10.0.7.7");
	const struct store_release release = {.network = "net",
		.domain = "default",
		.cid = "a",
		.ifname = "net1",
		.value = "by a",
		.addrs = &addr,
		.addr_count = 1};
	struct error e = {0};

	calls.count = 0;
	expect_fixed(store, config, "a", "10.0.7.7", STORE_GRANTED);
	assert_int_equal(calls.count, 1);
	assert_int_equal(store->ops->release(store, &release, &e), 0);
	assert_int_equal(calls.count, 2);
	expect_list(store, "net 10.0.7.7 - default");
	calls.count = 0;
	expect_fixed(store, config, "a", "10.0.7.7", STORE_GRANTED);
	assert_int_equal(calls.count, 1);
	take(store, config, "b");
	assert_int_equal(calls.count, 2);
	expect_fixed(store, config, "c", "10.0.7.7", STORE_HELD);
	assert_int_equal(calls.count, 3);
}

static void takes_two_round_trips_in_mixed_states(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	struct ip_addr addrs[20];
	struct asking asking;

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		addrs[i] = (struct ip_addr){.family = AF_INET, .bytes = {10, 0, 1, (uint8_t)i}};
	ask(&asking, config, "a");
	asking.request.fixed = addrs;
	asking.request.fixed_count = 10;
	calls.count = 0;
	expect(store, &asking.request, STORE_GRANTED, "10.0.1.0");
	assert_int_equal(calls.count, 1);
	release(store, "a", NULL);
	ask(&asking, config, "b");
	asking.request.fixed = addrs;
	asking.request.fixed_count = 20;
	calls.count = 0;

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(calls.count, 2);
	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.addr_count, 20);
	assert_int_equal(reply.kept_count, 10);
	assert_int_equal(reply.kept[0].bytes[3], 10);
}

/* --- two networks on one wire --- */

static void moves_a_hold_between_networks(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	ask(&asking, config, "b");
	asking.request.network = "second";
	ask_fixed(&asking, "10.0.0.4");
	{
		cleanup_reply struct store_reply held = claim(store, &asking.request);

		assert_int_equal(held.answer, STORE_HELD);
		assert_int_equal(held.holder_count, 1);
		assert_string_equal(held.holders[0].network, "net");
		assert_string_equal(held.holders[0].value, "by a");
	}
	cleanup_listing struct listing seen = list(store);

	asking.request.evict = seen.entries;
	asking.request.evict_count = 1;

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.kept_count, 0);
	expect_list(store, "second 10.0.0.4 by b default");
	expect_keys("/etcd-cni/domain/", "/etcd-cni/domain/default/10.0.0.4=second");
	/* The one that was replaced frees nothing any more. */
	release(store, "a", "by a");
	expect_list(store, "second 10.0.0.4 by b default");
}

static void evicts_in_another_network(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");
	struct asking asking;

	take(store, config, "a");

	cleanup_listing struct listing seen = list(store);

	ask(&asking, config, "b");
	asking.request.network = "second";
	expect(store, &asking.request, STORE_FULL, "");
	asking.request.evict = seen.entries;
	asking.request.evict_count = 1;
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	expect_list(store, "second 10.0.0.2 by b -");
	expect_keys("/etcd-cni/domain/", "/etcd-cni/domain/default/10.0.0.2=second");
}

/* --- what people and gc do --- */

static void sweeps_what_nobody_holds(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct error e = {0};
	cleanup_free char *fresh = format_text("{\"v\":1,\"closed\":%lld,\"nonce\":\"1\"}", (long long)time(NULL));
	cleanup_free char *expected = format_text("%sattachment/node-1/new.net1=%s; %sattachment/node-2/old.net1="
						  "{\"v\":1,\"closed\":1,\"nonce\":\"1\"}",
		NET, fresh, NET);

	take_at(store, config, "a", "10.0.0.2");
	expect_fixed(store, config, "b", "10.0.0.3", STORE_GRANTED);
	release(store, "b", NULL);
	take_at(store, config, "lost", "10.0.0.4");
	put_key(NET "used/10.0.0.4", "by another");
	put_key("/etcd-cni/domain/default/10.0.0.5", "net");
	put_key("/etcd-cni/domain/default/10.0.0.6", "second");
	put_key(NET "attachment/node-1/old.net1", "{\"v\":1,\"closed\":1,\"nonce\":\"1\"}");
	put_key(NET "attachment/node-2/old.net1", "{\"v\":1,\"closed\":1,\"nonce\":\"1\"}");
	put_key(NET "attachment/node-1/new.net1", fresh);
	assert_int_equal(store->ops->sweep(store, "net", "default", &e), 0);
	expect_keys("/etcd-cni/domain/default/10.0.0.", "/etcd-cni/domain/default/10.0.0.2=net; "
							"/etcd-cni/domain/default/10.0.0.3=net; "
							"/etcd-cni/domain/default/10.0.0.4=net; "
							"/etcd-cni/domain/default/10.0.0.6=second");
	release(store, "a", NULL);
	expect_keys(NET "attachment/", expected);
}

static void hands_a_claim_back_to_kube_ipam(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/29\",\"rangeEnd\":\"10.0.0.3\"}");
	const struct ipam_record record = {
		.cid = "0123abcd", .ifname = "net1", .node = "node-1", .nonce = "0123456789abcdef"};
	cleanup_free char *value = ipam_record_print(&record);
	struct error e = {0};
	struct asking asking;

	ask(&asking, config, "0123abcd");
	asking.request.value = value;

	cleanup_reply struct store_reply reply = claim(store, &asking.request);
	cleanup_listing struct listing seen = list(store);
	cleanup_free char *expected = format_text(NET "used/%s=0123abcd", ip_text(&reply.addrs[0]).s);

	assert_int_equal(store_etcd_hand_back(store, &seen.entries[0], &e), 0);
	expect_keys("/etcd-cni/", expected);
	assert_int_equal(store_etcd_hand_back(store, &seen.entries[0], &e), 0);
	put_key(NET "used/10.0.0.4", "4567");

	/* What it does not know, it cannot have. */
	expect_fixed(store, config, "b", "10.0.0.5", STORE_GRANTED);

	cleanup_listing struct listing now = list(store);

	for (size_t i = 0; i < now.count; i++) {
		if (strncmp(now.entries[i].value, "by ", 3) != 0)
			continue;
		assert_int_equal(store_etcd_hand_back(store, &now.entries[i], &e), -EINVAL);
		error_clear(&e);
	}
}

static void keeps_nodes_apart(void **state)
{
	WITH_CONFIG(config, SMALL);
	struct store_attachment *found = NULL;
	struct error e = {0};
	size_t count = 0;
	char *own = server.node;

	{
		WITH_STORE(store, state);

		take(store, config, "a");
	}
	server.node = (char[]){"node-2"};
	{
		WITH_STORE(store, state);

		take(store, config, "b");
		assert_int_equal(store->ops->attachments(store, NULL, &found, &count, &e), 0);
		assert_int_equal(count, 1);
		assert_string_equal(found[0].cid, "b");
		/* The node may be named: gc of a node that goes by another name now. */
		assert_int_equal(store->ops->release(store,
					 &(struct store_release){
						 .network = "net", .node = "node-1", .cid = "a", .ifname = "net1"},
					 &e),
			0);
	}
	server.node = own;
	store_attachments_free(found, count);
	expect_keys(NET "attachment/node-1/", "");
}

#define ETCD_TEST(test) STORE_TEST(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_SUITE(setup, teardown),
		ETCD_TEST(writes_the_keys_that_kube_ipam_reads),
		ETCD_TEST(takes_kube_ipams_keys_for_held),
		ETCD_TEST(takes_every_unknown_value_for_held),
		ETCD_TEST(waits_for_kube_ipams_lock),
		ETCD_TEST(takes_one_round_trip),
		ETCD_TEST(takes_two_round_trips_in_mixed_states),
		ETCD_TEST(moves_a_hold_between_networks),
		ETCD_TEST(evicts_in_another_network),
		ETCD_TEST(sweeps_what_nobody_holds),
		ETCD_TEST(hands_a_claim_back_to_kube_ipam),
		ETCD_TEST(keeps_nodes_apart),
		ETCD_TEST(knows_its_own_claim_after_a_lost_reply),
		ETCD_TEST(closes_the_way_of_a_claim_under_way),
		ETCD_TEST(takes_back_a_claim_that_was_carried_out_unseen),
		ETCD_TEST(refuses_its_claim_once_it_was_closed),
		ETCD_TEST(sends_a_release_twice_without_harm),
		ETCD_TEST(releases_without_space),
		ETCD_TEST(finds_the_last_free_address),
		ETCD_TEST(goes_on_with_what_it_found),
		ETCD_TEST(looks_through_ipv6),
		ETCD_TEST(claims_from_many_sets),
		ETCD_TEST(puts_many_levels_into_one_transaction),
	};

	if (access(etcd_program(), X_OK) < 0) {
		printf("1..0 # SKIP there is no %s\n", etcd_program());
		return 0;
	}
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
