#include "plugin/lease.h"

#include "ipam/range.h"
#include "ipam/record.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"
#include "plugin/evict.h"
#include "plugin/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Each round lost to another process is a claim won by somebody. */
#define MAX_ROUNDS 5

int lease_prepare(const struct lease_request *request, const struct run *run, struct made *made, struct error *e)
{
	const struct request_args *pod = &run->request->pod;
	char nonce[17];
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_set(e, -EIO, ERROR_IO, "getrandom: %s", strerror(errno));
	snprintf(nonce, sizeof(nonce), "%016" PRIx64, random);

	const struct ipam_record record = {
		.fixed = request->fixed_count > 0,
		.cluster = run->config->cluster,
		.ns = pod->ns,
		.pod = pod->pod,
		.uid = pod->uid,
		.cid = run->request->container_id,
		.ifname = request->ifname,
		.node = run->node,
		.node_guessed = run->node_guessed,
		.nonce = nonce,
		.time = time(NULL),
	};

	made->lease_network = copy_text(request->network);
	made->lease_domain = copy_text(request->config->domain);
	made->lease_value = ipam_record_print(&record);
	return 0;
}

static int refuse_held(const struct store_entry *holder, struct error *e)
{
	struct ip_text addr = ip_text(&holder->addr);

	if (!holder->value)
		return error_set(e, -EBUSY, ERROR_TRY_AGAIN,
			"address %s is kept for namespace %.253s, whose pod had it: `lamina ip release %s` frees it",
			addr.s, holder->hold ? holder->hold : "", addr.s);

	cleanup_free char *who = ipam_value_describe(holder->value);

	return error_set(e, -EBUSY, ERROR_TRY_AGAIN,
		"address %s is held by %s: delete that pod first, or give this one another address", addr.s, who);
}

static int refuse_full(const struct lease_request *request, const struct store_reply *reply, struct error *e)
{
	const struct ipam_range_set *set = &request->config->sets[reply->full_set];
	size_t used = 0;

	/* The holders are everybody's of the network and its domain. */
	for (size_t i = 0; i < reply->holder_count; i++)
		used += ipam_set_allows(set, &reply->holders[i].addr);

	return error_set(e, -ENOSPC, ERROR_TRY_AGAIN,
		"no free address in %s-%s of network %s: %zu are in use or kept; widen rangeEnd, or see `lamina ip ls`",
		ip_text(&set->ranges[0].start).s, ip_text(&set->ranges[0].end).s, request->network, used);
}

/* Takes over what the claim was given. */
static void keep_reply(struct store_reply *reply, struct made *made)
{
	free(made->lease_value);
	free(made->addrs);
	free(made->kept);
	made->lease_value = steal_ptr(reply->value);
	made->addrs = steal_ptr(reply->addrs);
	made->addr_count = reply->addr_count;
	made->kept = steal_ptr(reply->kept);
	made->kept_count = reply->kept_count;
	made->lease = MADE_DONE;
}

static struct store_request claim_request(
	const struct lease_request *request, const struct run *run, const struct made *made)
{
	return (struct store_request){
		.network = request->network,
		.config = request->config,
		.fixed = request->fixed,
		.fixed_count = request->fixed_count,
		.ns = run->request->pod.ns,
		.cid = run->request->container_id,
		.ifname = request->ifname,
		.value = made->lease_value,
		.reuse_delay = run->config->reuse_delay,
	};
}

int lease_claim(const struct lease_request *request, struct run *run, struct made *made, struct error *e)
{
	cleanup_sandbox struct sandbox where = sandbox_of(run);
	cleanup_free char *sandbox = sandbox_text(&where);
	struct store_request claim = claim_request(request, run, made);
	cleanup_eviction struct eviction eviction = {0};

	if (lease_open_store(run, e) < 0)
		return e->err;
	claim.sandbox = sandbox;
	for (int round = 0; round < MAX_ROUNDS; round++) {
		cleanup_reply struct store_reply reply = {0};
		size_t before = eviction.count;

		claim.evict = eviction.entries;
		claim.evict_count = eviction.count;
		if (run->store->ops->claim(run->store, &claim, &reply, e) < 0)
			return e->err;
		trace_step("address claimed");
		if (reply.answer == STORE_GRANTED || reply.answer == STORE_ALREADY) {
			keep_reply(&reply, made);
			return fault_point("claimed") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: claimed") : 0;
		}
		eviction_extend(&eviction, &reply, run);
		if (eviction.count == before && reply.answer == STORE_FULL)
			return refuse_full(request, &reply, e);
		if (eviction.count - before < reply.holder_count && reply.answer == STORE_HELD)
			return refuse_held(eviction_first_refused(&eviction, &reply), e);
		if (eviction_delete_links(&eviction, run, e) < 0)
			return e->err;
	}
	return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "the addresses of network %s change too fast: try again",
		request->network);
}

/* An ADD that failed leaves no address kept for a namespace that had none. DEL knows of none to take back. */
static void take_back_kept(struct run *run, const struct made *made)
{
	for (size_t i = 0; i < made->kept_count; i++) {
		cleanup_error struct error e = {0};
		struct store_entry entry = {
			.network = made->lease_network,
			.addr = made->kept[i],
			.value = made->lease_value,
			.hold = run->request->pod.ns,
		};

		if (run->store->ops->forget(run->store, &entry, &e) < 0)
			log_write(LOG_WARNING, "%s", e.message);
	}
}

int lease_release(const char *ifname, struct run *run, struct made *made, struct error *e)
{
	if (made->lease == MADE_NOTHING)
		return 0;
	if (lease_open_store(run, e) < 0)
		return e->err;
	take_back_kept(run, made);

	const struct store_release release = {
		.network = made->lease_network,
		.domain = made->lease_domain,
		.cid = run->request->container_id,
		.ifname = ifname,
		.value = made->lease_value,
		.addrs = made->addrs,
		.addr_count = made->addr_count,
		.unfinished = made->lease != MADE_DONE,
	};

	if (run->store->ops->release(run->store, &release, e) < 0)
		return e->err;
	made->lease = MADE_NOTHING;
	trace_step("address released");
	return 0;
}
