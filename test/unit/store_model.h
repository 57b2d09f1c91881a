/* Every store against a simple model of one, and against many processes at once. */
#pragma once

#include "ipam/range.h"
#include "test/unit/store_kit.h"

/* A second opinion: who has 10.0.0.0 to .15 in the domain, and which namespace it is kept for (0: none). */
struct model {
	char claims[16][16];
	int holds[16];
};

static inline void model_check_dynamic(
	struct model *model, const struct ipam_config *config, const struct store_reply *reply, const char *cid)
{
	bool any = false;

	for (int host = 0; host < 16; host++) {
		struct ip_addr addr = {.family = AF_INET, .bytes = {10, 0, 0, (uint8_t)host}};

		any |= ipam_set_allows(&config->sets[0], &addr) && !model->holds[host] && !model->claims[host][0];
	}
	assert_int_equal(reply->answer, any ? STORE_GRANTED : STORE_FULL);
	if (!any)
		return;

	int host = reply->addrs[0].bytes[3];

	assert_true(ipam_set_allows(&config->sets[0], &reply->addrs[0]));
	assert_false(model->claims[host][0] || model->holds[host]);
	snprintf(model->claims[host], sizeof(model->claims[host]), "%s", cid);
}

static inline void model_check_fixed(
	struct model *model, const struct store_reply *reply, int host, int ns, const char *cid)
{
	bool held = model->claims[host][0] || (model->holds[host] && model->holds[host] != ns);

	assert_int_equal(reply->answer, held ? STORE_HELD : STORE_GRANTED);
	if (held)
		return;
	snprintf(model->claims[host], sizeof(model->claims[host]), "%s", cid);
	model->holds[host] = ns;
}

/* Forgets one entry, a claim or what is only kept. */
static inline void model_forget(struct model *model, struct store *store, unsigned int which)
{
	cleanup_listing struct listing listing = list(store);
	struct error e = {0};
	int used = 0;

	for (int host = 0; host < 16; host++)
		used += model->claims[host][0] || model->holds[host];
	assert_int_equal(listing.count, used);
	if (!used)
		return;

	const struct store_entry *entry = &listing.entries[which % listing.count];
	int host = entry->addr.bytes[3];

	assert_int_equal(!entry->value, !model->claims[host][0]);
	assert_int_equal(!entry->hold, !model->holds[host]);
	assert_int_equal(store->ops->forget(store, entry, &e), 0);
	model->claims[host][0] = '\0';
	model->holds[host] = 0;
}

static inline void model_release(struct model *model, struct store *store, const char *network, const char *cid)
{
	struct error e = {0};

	assert_int_equal(store->ops->release(
				 store, &(struct store_release){.network = network, .cid = cid, .ifname = "net1"}, &e),
		0);
	for (int host = 0; host < 16; host++) {
		if (strcmp(model->claims[host], cid) == 0)
			model->claims[host][0] = '\0';
	}
}

static void agrees_with_a_second_opinion(void **state)
{
	static const char *const networks[] = {"net", "second"}, *const namespaces[] = {NULL, "default", "other"};
	WITH_STORE(store, state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/28\",\"rangeStart\":\"10.0.0.3\",\"rangeEnd\":\"10.0.0.9\"}");
	struct model model = {0};
	unsigned int seed = 1;

	for (int i = 0; i < 1500; i++) {
		int network = rand_r(&seed) % 2, ns = 1 + rand_r(&seed) % 2, host = 2 + rand_r(&seed) % 13;
		cleanup_free char *cid = format_text("%d-%d", network, i);
		cleanup_free char *old = format_text("%d-%d", network, i - 1 - rand_r(&seed) % 12);
		struct asking asking;

		ask(&asking, config, cid);
		asking.request.network = networks[network];
		asking.request.ns = namespaces[ns];
		asking.request.reuse_delay = rand_r(&seed) % 2 * 60;
		if (rand_r(&seed) % 16 == 0) {
			asking.fixed[0] = (struct ip_addr){.family = AF_INET, .bytes = {10, 0, 0, (uint8_t)host}};
			asking.request.fixed = asking.fixed;
			asking.request.fixed_count = 1;
		}

		cleanup_reply struct store_reply reply = claim(store, &asking.request);

		if (asking.request.fixed_count)
			model_check_fixed(&model, &reply, host, ns, cid);
		else
			model_check_dynamic(&model, config, &reply, cid);
		model_release(&model, store, networks[network], old);
		if (rand_r(&seed) % 16 == 0)
			model_forget(&model, store, (unsigned int)rand_r(&seed));
	}
}

#define CHILDREN 20
#define CLAIMS_EACH 50

static inline void claim_many(const struct store_fixture *fixture, const struct ipam_config *config, int child)
{
	for (int i = 0; i < CLAIMS_EACH; i++) {
		cleanup_store struct store *store = fixture->open(fixture);
		cleanup_reply struct store_reply reply = {0};
		cleanup_free char *cid = format_text("child-%d-%d", child, i);
		struct error e = {0};
		struct asking asking;

		ask(&asking, config, cid);
		CHILD_WORKS(store->ops->claim(store, &asking.request, &reply, &e), e);
		CHILD_CHECK(reply.answer == STORE_GRANTED);
	}
	_exit(0);
}

static void never_gives_one_address_to_two_processes(void **state)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/22\",\"rangeEnd\":\"10.0.3.233\"}");
	pid_t children[CHILDREN];

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork_child();
		if (children[i] == 0)
			claim_many(*state, config, i);
	}
	for (int i = 0; i < CHILDREN; i++)
		assert_int_equal(await_child(children[i]), 0);

	/* 1,000 claims of exactly 1,000 addresses. */
	WITH_STORE(store, state);
	cleanup_listing struct listing listing = list(store);

	assert_int_equal(listing.count, CHILDREN * CLAIMS_EACH);
	for (size_t i = 1; i < listing.count; i++)
		assert_true(ip_compare(&listing.entries[i - 1].addr, &listing.entries[i].addr) < 0);
	expect_dynamic(store, config, "x", STORE_FULL, "");
}
