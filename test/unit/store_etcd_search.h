/* The etcd store's search for free addresses. */
#pragma once

#include "ipam/range.h"
#include "test/unit/store_etcd_kit.h"

#define PUTS_AT_ONCE 120

/* Puts used/<ip> of all of 10.0.0.0/16 but some, as kube-ipam does. */
static inline void fill_sixteen(const struct ip_addr *but, size_t but_count)
{
	cJSON *operations = cJSON_CreateArray();

	for (int i = 2; i < 65535; i++) {
		const struct ip_addr addr = {.family = AF_INET, .bytes = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
		cleanup_free char *used = format_text("/etcd-cni/networks/net/used/%s", ip_text(&addr).s);
		bool left_out = false;

		for (size_t j = 0; j < but_count; j++)
			left_out = left_out || ip_compare(&but[j], &addr) == 0;
		if (!left_out)
			cJSON_AddItemToArray(operations, etcd_put(used, "by somebody"));
		if (cJSON_GetArraySize(operations) < PUTS_AT_ONCE && i < 65534)
			continue;

		cleanup_json cJSON *body = etcd_txn(NULL, operations, NULL);
		cJSON_Delete(ask_etcd_on(&server.filling, "/v3/kv/txn", body));

		operations = cJSON_CreateArray();
	}
	cJSON_Delete(operations);
}

static void finds_the_last_free_address(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	const struct ip_addr left = addr_of("10.0.217.44");
	struct asking asking;
	struct error e = {0};

	fill_sixteen(&left, 1);
	calls.count = 0;
	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.217.44");
	fprintf(stderr, "# the last free address of a /16: %d round trips\n", calls.count);
	assert_in_range(calls.count, 1, 6);
	calls.count = 0;
	ask(&asking, config, "b");

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	assert_int_equal(full.answer, STORE_FULL);
	assert_int_equal(full.holder_count, 65533);
	fprintf(stderr, "# a full /16: %d round trips\n", calls.count);
	assert_in_range(calls.count, 1, 5);

	/* At the edges, too, and where only another network has it, or only a hold. */
	delete_key("/etcd-cni/networks/net/used/10.0.255.254");
	expect_dynamic(store, config, "c", STORE_GRANTED, "10.0.255.254");
	delete_key("/etcd-cni/networks/net/used/10.0.0.2");
	expect_dynamic(store, config, "d", STORE_GRANTED, "10.0.0.2");
	delete_key("/etcd-cni/networks/net/used/10.0.100.0");
	put_key("/etcd-cni/domain/default/10.0.100.0", "second");
	expect_dynamic(store, config, "e", STORE_FULL, "");
	delete_key("/etcd-cni/networks/net/used/10.0.101.0");
	put_key("/etcd-cni/networks/net/fixed/10.0.101.0", "default");
	expect_dynamic(store, config, "e", STORE_FULL, "");
	release(store, "a", NULL);

	/* Released just now: it comes last, and there is nothing else. */
	ask(&asking, config, "f");
	asking.request.reuse_delay = 3600;
	expect(store, &asking.request, STORE_GRANTED, "10.0.217.44");
	error_clear(&e);
}

static void goes_on_with_what_it_found(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	struct ip_addr left[30];
	bool looked = false;

	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		left[i] = (struct ip_addr){.family = AF_INET, .bytes = {10, 0, 77, (uint8_t)(100 + i)}};
	fill_sixteen(left, ARRAY_SIZE(left));
	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		cleanup_free char *cid = format_text("c%zu", i);

		calls.count = 0;
		take(store, config, cid);
		/* Until one looks, luck may find some with its two guesses; from then on they are known. */
		if (looked)
			assert_int_equal(calls.count, 1);
		looked = looked || calls.count > 2;
	}
	assert_true(looked);
	expect_dynamic(store, config, "x", STORE_FULL, "");
}

static void looks_through_ipv6(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config,
		"{\"subnet\":\"2001:db8::/64\",\"rangeStart\":\"2001:db8::fe\",\"rangeEnd\":\"2001:db8::13f\"}");
	WITH_CONFIG(large, "{\"subnet\":\"2001:db8:0:1::/64\"}");
	struct ip_text last = {""};
	struct asking asking;

	for (int i = 0xfe; i <= 0x13f; i++) {
		cleanup_free char *cid = format_text("c%d", i);

		last = take(store, config, cid);
	}
	ask(&asking, config, "x");

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	assert_int_equal(full.answer, STORE_FULL);
	assert_int_equal(full.holder_count, 0x13f - 0xfe + 1);
	release(store, "c319", NULL);
	expect_dynamic(store, config, "x", STORE_GRANTED, last.s);
	calls.count = 0;
	take(store, large, "y");
	assert_int_equal(calls.count, 1);
}

static void claims_from_many_sets(void **state)
{
	WITH_STORE(store, state);
	cleanup_free char *text = copy_text("{\"ranges\":[");
	cleanup_ipam_config struct ipam_config *config = NULL;
	struct asking asking;

	for (int i = 0; i < 40; i++) {
		cleanup_free char *before = text;

		text = format_text("%s%s[{\"subnet\":\"10.%d.0.0/24\"}]", before, i ? "," : "", i);
	}
	{
		cleanup_free char *before = text;

		text = format_text("%s]}", before);
	}
	config = config_of(text);
	ask(&asking, config, "a");
	calls.count = 0;

	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(calls.count, 1);
	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.addr_count, 40);
	for (size_t i = 0; i < reply.addr_count; i++)
		assert_int_equal(reply.addrs[i].bytes[1], i);
	release(store, "a", "by a");
	expect_list(store, "");
}

static void puts_many_levels_into_one_transaction(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/20\"}");
	cJSON *compare = NULL;
	struct asking asking;
	int depth = 0;

	for (int i = 2; i < 4095; i += 100) {
		cJSON *operations = cJSON_CreateArray();

		for (int j = i; j < i + 100 && j < 4095; j++) {
			const struct ip_addr addr = {
				.family = AF_INET, .bytes = {10, 0, (uint8_t)(j >> 8), (uint8_t)j}};
			cleanup_free char *used = format_text("/etcd-cni/networks/net/used/%s", ip_text(&addr).s);

			cJSON_AddItemToArray(operations, etcd_put(used, "by somebody"));
		}

		cleanup_json cJSON *body = etcd_txn(compare, operations, NULL);
		cJSON_Delete(ask_etcd("/v3/kv/txn", body));
	}
	ask(&asking, config, "a");
	calls.deepest = 0;

	cleanup_reply struct store_reply full = claim(store, &asking.request);

	depth = calls.deepest;
	assert_int_equal(full.answer, STORE_FULL);
	/* etcd took the longest chain, which is all of its budget. */
	assert_in_range(depth, 38, 42);
}
