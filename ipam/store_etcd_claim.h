/* One claim under way in the etcd store: what both kinds, fixed and dynamic, are built on. */
#pragma once

#include "ipam/store_etcd_keys.h"

struct etcd_claim {
	struct etcd_store *store;
	const struct store_request *request;
	struct store_reply *reply;
	char *lock_key, *attachment_key;
	char *nonce;
	char *seen;              /* the attachment's value that this claim replaces; NULL: it must be absent */
	struct store_entry *old; /* what that attachment had and this claim gives up; .hold is its domain */
	size_t old_count;
};

enum etcd_outcome {
	CLAIM_SENT,     /* the success branch was taken: look at the reply */
	CLAIM_AGAIN,    /* something was in the way and is dealt with, or changed: try again */
	CLAIM_ANSWERED, /* the store_reply is complete */
};

/**
 * Sends one transaction of a claim: under the condition that nobody has kube-ipam's lock, that the attachment is as
 * seen, and `compare`, do `success`. Takes ownership of both arrays. An enum etcd_outcome, or an error.
 */
int etcd_claim_send(struct etcd_claim *claim, cJSON *compare, cJSON *success, cJSON **ret, struct error *e);

/** {"request_put"} of the attachment's key for these addresses. */
cJSON *etcd_claim_put_attachment(const struct etcd_claim *claim, const struct ip_addr *addrs, size_t count);

/** Completes the reply: these addresses are granted. */
void etcd_claim_grant(struct etcd_claim *claim, const struct ip_addr *addrs, size_t count);

/** How many operations the outer transaction takes from the budget. */
size_t etcd_claim_outer_ops(const struct etcd_claim *claim);

/** The entry of request->evict of just that network, address and value; or NULL. */
const struct store_entry *etcd_claim_evicts(
	const struct etcd_claim *claim, const char *network, const struct ip_addr *addr, const char *value);

/** The claim of request->fixed: one round trip when all are free, or kept for this namespace; two in mixed states. */
int etcd_claim_fixed(struct etcd_claim *claim, struct error *e);

/** The claim of one address of each set: one round trip when a candidate of the chain is free. */
int etcd_claim_dynamic(struct etcd_claim *claim, struct error *e);

/** store_ops.claim */
int etcd_store_claim(
	struct store *store, const struct store_request *request, struct store_reply *ret, struct error *e);
