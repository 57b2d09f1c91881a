#include "plugin/lease.h"

#include "ipam/range.h"
#include "ipam/record.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"
#include "plugin/lease_outbox.h"
#include "plugin/nonce.h"
#include "plugin/sandbox.h"
#include "plugin/takeover.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Each round lost to another process is a claim won by somebody. */
#define MAX_ROUNDS 5

int lease_prepare(const struct lease_request *request, const struct run *run, struct made *made, struct error *e)
{
	const struct request_args *pod = &run->request->pod;
	struct nonce nonce;

	if (nonce_draw(&nonce, e) < 0)
		return e->err;

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
		.nonce = nonce.text,
		.time = time(NULL),
	};

	made->lease_network = copy_text(request->network);
	made->lease_domain = copy_text(request->config->domain);
	made->lease_value = ipam_record_print(&record);
	return 0;
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

/* What a lost request may have done is for the way down. */
static int fail(const struct store_reply *reply, struct made *made, struct error *e)
{
	if (reply->unknown)
		made->lease = MADE_INTENDED;
	return e->err;
}

/* What must be done before those that give way are replaced. */
static int prepare_takeover(
	const struct lease_request *request, const struct takeover *takeover, struct run *run, struct error *e)
{
	if (takeover_delete_links(takeover, run, e) < 0)
		return e->err;
	if (!takeover->ask_wire || !request->ask_wire)
		return 0;
	if (request->ask_wire(request->ask_wire_arg, request->fixed, request->fixed_count, e) < 0)
		return e->err;
	trace_step("wire asked");
	return 0;
}

/* One try: 1 when it is claimed, 0 when those that give way are known now. */
static int try_claim(const struct lease_request *request, struct store_request *claim, struct takeover *takeover,
	struct run *run, struct made *made, struct error *e)
{
	cleanup_reply struct store_reply reply = {0};
	const size_t before = takeover->count;
	struct store *store;

	if (lease_store(run, request->config->etcd, &store, e) < 0)
		return e->err;
	claim->evict = takeover->entries;
	claim->evict_count = takeover->count;
	claim->reservation = takeover->reservation;
	if (store->ops->claim(store, claim, &reply, e) < 0)
		return fail(&reply, made, e);
	trace_step("address claimed");
	if (reply.answer == STORE_GRANTED || reply.answer == STORE_ALREADY) {
		keep_reply(&reply, made);
		return 1;
	}
	if (takeover_judge(takeover, request, &reply, run, e) < 0)
		return e->err;
	if (reply.answer == STORE_FULL && takeover->count == before)
		return refuse_full(request, &reply, e);
	return prepare_takeover(request, takeover, run, e);
}

int lease_claim(const struct lease_request *request, struct run *run, struct made *made, struct error *e)
{
	cleanup_sandbox struct sandbox where = sandbox_of(run);
	cleanup_free char *sandbox = sandbox_text(&where);
	struct store_request claim = claim_request(request, run, made);
	cleanup_takeover struct takeover takeover = {0};

	claim.sandbox = sandbox;
	if (request->config->etcd && lease_send_earlier(request->network, request->ifname, run, e) < 0)
		return e->err;
	for (int round = 0; round < MAX_ROUNDS; round++) {
		int r = try_claim(request, &claim, &takeover, run, made, e);

		if (r < 0)
			return r;
		if (r > 0)
			return fault_point("claimed") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: claimed") : 0;
	}
	return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "the addresses of network %s change too fast: try again",
		request->network);
}

/* A cluster that is away must not let a pod hang: what is left to do is queued. */
static int release_or_queue(
	const struct etcd_config *etcd, const struct store_release *release, struct run *run, struct error *e)
{
	cleanup_error struct error away = {0};
	struct store *store;

	if (lease_store(run, etcd, &store, &away) == 0 && store->ops->release(store, release, &away) == 0)
		return 0;
	if (!etcd) {
		error_keep_first(e, &away);
		return e->err;
	}
	log_write(LOG_WARNING, "the release of network %s is queued: %s", release->network, away.message);
	return lease_queue(etcd, release, run, e);
}

int lease_release(
	const struct etcd_config *etcd, const char *ifname, struct run *run, struct made *made, struct error *e)
{
	if (made->lease == MADE_NOTHING)
		return 0;

	const struct store_release release = {
		.network = made->lease_network,
		.domain = made->lease_domain,
		.cid = run->request->container_id,
		.ifname = ifname,
		.value = made->lease_value,
		.addrs = made->addrs,
		.addr_count = made->addr_count,
		/* An ADD that never ended, or one that failed and had begun to keep addresses for its namespace. */
		.unfinished = made->lease_value && (made->lease != MADE_DONE || made->kept_count > 0),
	};

	if (fault_point("before_release") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault: before_release");
	if (release_or_queue(etcd, &release, run, e) < 0)
		return e->err;
	made->lease = MADE_NOTHING;
	trace_step("address released");
	return fault_point("released") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: released") : 0;
}
