/* The etcd store when requests and replies are lost, delayed, sent twice, or refused for want of space. */
#pragma once

#include "test/unit/store_etcd_kit.h"
#include "test/unit/store_holds.h"

#define SMALL_ATTACHMENTS "/etcd-cni/networks/net/attachment/node-1/"

/* Sends a transaction that was sent before once more, as a network does that held it back: whether it took effect. */
static inline bool send_again(const char *txn)
{
	cleanup_json cJSON *body = parse_json(txn);
	cleanup_json cJSON *reply = ask_etcd("/v3/kv/txn", body);

	return etcd_succeeded(etcd_response(reply, 0));
}

/* A claim whose request or reply is lost; the transaction that was sent, which the caller frees. */
static inline char *lose_claim(struct store *store, const struct store_request *request, int mode)
{
	cleanup_reply struct store_reply reply = {0};
	struct error e = {0};

	calls.mode = mode;
	assert_true(store->ops->claim(store, request, &reply, &e) < 0);
	assert_true(reply.unknown);
	assert_int_equal(reply.addr_count, 0);
	error_clear(&e);
	return copy_text(calls.last_txn);
}

static void knows_its_own_claim_after_a_lost_reply(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct asking asking;

	ask(&asking, config, "a");
	ask_fixed(&asking, "10.0.0.4");

	cleanup_free char *txn = lose_claim(store, &asking.request, LOSE_REPLY);
	cleanup_reply struct store_reply reply = claim(store, &asking.request);

	assert_int_equal(reply.answer, STORE_GRANTED);
	assert_int_equal(reply.kept_count, 1);
	assert_string_equal(reply.value, "by a");
	assert_false(send_again(txn));
	ask(&asking, config, "b");

	free(lose_claim(store, &asking.request, LOSE_REPLY));
	cleanup_reply struct store_reply second = claim(store, &asking.request);

	assert_int_equal(second.answer, STORE_GRANTED);

	cleanup_listing struct listing listing = list(store);

	assert_int_equal(listing.count, 2);
}

static void closes_the_way_of_a_claim_under_way(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct store_attachment *found = NULL;
	struct error e = {0};
	size_t count = 0;

	for (int fixed = 0; fixed < 2; fixed++) {
		struct asking asking;

		ask(&asking, config, "a");
		asking.request.value = fixed ? "by a, fixed" : "by a";
		if (fixed)
			ask_fixed(&asking, "10.0.0.4");

		cleanup_free char *txn = lose_claim(store, &asking.request, HOLD_BACK);

		calls.count = 0;
		release_unfinished(store, "a", asking.request.value);
		assert_int_equal(calls.count, fixed ? 2 : 1); /* in the place of the first one's marker */
		assert_false(send_again(txn));
		expect_list(store, "");
		expect_keys("/etcd-cni/domain/", "");
	}
	assert_int_equal(store->ops->attachments(store, "net", &found, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_true(found[0].closed);
	assert_string_equal(found[0].cid, "a");
	store_attachments_free(found, count);
}

static void takes_back_a_claim_that_was_carried_out_unseen(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);

	/* One namespace has had the other address before. */
	expect_fixed(store, config, "x", "10.0.0.5", STORE_GRANTED);
	release(store, "x", NULL);
	for (int fixed = 0; fixed < 2; fixed++) {
		struct asking asking;

		ask(&asking, config, "a");
		asking.request.value = fixed ? "by a, fixed" : "by a";
		if (fixed) {
			ask_fixed(&asking, "10.0.0.4");
			ask_fixed(&asking, "10.0.0.5");
		}

		cleanup_free char *txn = lose_claim(store, &asking.request, LOSE_REPLY);

		release_unfinished(store, "a", asking.request.value);
		expect_list(store, "net 10.0.0.5 - default");
		expect_keys("/etcd-cni/domain/", "/etcd-cni/domain/default/10.0.0.5=net");
		assert_false(send_again(txn));
	}
	release_unfinished(store, "a", "by a, fixed");
	expect_list(store, "net 10.0.0.5 - default");
}

static void refuses_its_claim_once_it_was_closed(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	cleanup_reply struct store_reply reply = {0};
	struct asking asking;
	struct error e = {0};

	ask(&asking, config, "a");
	release_unfinished(store, "a", "by a");
	assert_int_equal(store->ops->claim(store, &asking.request, &reply, &e), -ECANCELED);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	error_clear(&e);
	asking.request.value = "by a, second life";

	cleanup_reply struct store_reply second = claim(store, &asking.request);

	assert_int_equal(second.answer, STORE_GRANTED);
}

static void sends_a_release_twice_without_harm(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/30\"}");

	take(store, config, "a");
	release(store, "a", "by a");

	cleanup_free char *txn = copy_text(calls.last_txn);

	take(store, config, "b");
	send_again(txn);
	expect_list(store, "net 10.0.0.2 by b -");
	expect_keys("/etcd-cni/domain/", "/etcd-cni/domain/default/10.0.0.2=net");
	release(store, "b", NULL);
	expect_fixed(store, config, "c", "10.0.0.2", STORE_GRANTED);
	send_again(txn);
	expect_list(store, "net 10.0.0.2 by c default");
}

/* Fills the etcd of that configuration until it takes no more. */
static inline void fill_space(const struct etcd_config *config)
{
	const struct etcd_options options = {.config = config, .http = new_http(), .deadline = soon()};
	cleanup_etcd struct etcd *etcd = NULL;
	char *block = allocate(1, 1 << 20);
	struct error e = {0};
	int r = etcd_open(&options, &etcd, &e);

	memset(block, 'x', (1 << 20) - 1);
	for (int i = 0; i < 64 && r >= 0; i++) {
		cleanup_free char *key = format_text("/filler/%d", i);
		cleanup_json cJSON *body = txn_of(etcd_put(key, block)), *reply = NULL;

		r = etcd_call(etcd, "/v3/kv/txn", body, &reply, NULL, &e);
	}
	/* The alarm takes a moment: until then, what is small still fits. */
	block[1] = '\0';
	for (int i = 0; i < 1000 && r == -ENOSPC; i++) {
		cleanup_json cJSON *body = txn_of(etcd_put("/filler/last", block)), *reply = NULL;

		error_clear(&e);
		r = etcd_call(etcd, "/v3/kv/txn", body, &reply, NULL, &e);
		if (r < 0)
			break;
		r = -ENOSPC;
		clock_pause(10000, soon());
	}
	free(block);
	assert_int_equal(r, -ENOSPC);
	error_clear(&e);
}

static void releases_without_space(void **state)
{
	const struct store_fixture *fixture = *state;
	WITH_CONFIG(config, SMALL);
	cleanup_free char *folder = format_text("%s/small", server.folder);
	struct etcd_config *own = server.config;
	cleanup_etcd_config struct etcd_config *small = config_for("http://127.0.0.1:2389");
	cleanup_reply struct store_reply reply = {0};
	struct asking asking;
	struct error e = {0};

	assert_int_equal(mkdir(folder, 0700), 0);

	pid_t child = start_etcd(folder, 2389, "8000000");

	server.config = small;
	{
		cleanup_store struct store *store = open_etcd_at(small, fixture->folder);

		take_at(store, config, "a", "10.0.0.2");
		expect_fixed(store, config, "b", "10.0.0.3", STORE_GRANTED);
		take_at(store, config, "c", "10.0.0.4");
		ask(&asking, config, "d");
		asking.request.value = "by d";
		ask_fixed(&asking, "10.0.0.5");

		free(lose_claim(store, &asking.request, LOSE_REPLY));

		fill_space(small);
		ask(&asking, config, "x");
		assert_int_equal(store->ops->claim(store, &asking.request, &reply, &e), -ENOSPC);
		assert_int_equal(e.code, ERROR_TRY_AGAIN);
		error_clear(&e);
		release(store, "a", "by a");
		release(store, "b", NULL);
		release_unfinished(store, "d", "by d");
		release_unfinished(store, "x", "by x");
		expect_list(store, "net 10.0.0.3 - default; net 10.0.0.4 by c -");
		expect_keys(SMALL_ATTACHMENTS,
			SMALL_ATTACHMENTS "c.net1={\"v\":1,\"nonce\":\"by c\",\"domain\":\"default\","
					  "\"addrs\":[\"10.0.0.4\"]}");
	}
	server.config = own;
	stop_etcd(child);
}
