/*
 * Which holders of an address give way, and what must be done before they are replaced. Whoever is not found to be gone
 * keeps what he has: nobody is replaced because some server was slow.
 */
#pragma once

#include "ipam/store.h"
#include "plugin/lease.h"

struct takeover {
	struct store_entry *entries; /* who gives way; owned copies */
	size_t count;
	char *reservation; /* whom the address is kept for, when that is the request's own pod; owned */
	bool ask_wire;     /* one of them is gone by what others say: the wire must agree */
};

/**
 * Judges the reply's holders. STORE_HELD: 0 when all of them give way; else ERROR_TRY_AGAIN that names holder, node,
 * age and the way out. STORE_FULL: adds those that are certainly gone, maybe none. Changes nothing yet, but for
 * releases of this node that were still queued: these are sent.
 */
int takeover_judge(struct takeover *takeover, const struct lease_request *request, const struct store_reply *reply,
	struct run *run, struct error *e);

/** Deletes the links of older sandboxes of the pod in the list, before anybody else can answer for their addresses. */
int takeover_delete_links(const struct takeover *takeover, struct run *run, struct error *e);

void takeover_clear(struct takeover *takeover);
#define cleanup_takeover CLEANUP(takeover_clear)

/* --- for takeover*.c --- */

/** What is found out about one holder. */
struct verdict {
	bool ask_wire;
	bool sent; /* its release was queued and is sent now: the store must be asked again */
};

/** Judges who holds an address now: 0 when he gives way, else ERROR_TRY_AGAIN with the reason. */
int takeover_judge_holder(const struct store_entry *holder, const struct lease_request *request, struct run *run,
	struct verdict *ret, struct error *e);

struct record;

/**
 * Loads the record on this node that wrote a holder's value, and its attachment. -ENOENT when there is none.
 * record_clear is needed after failure too.
 */
int takeover_load(
	const struct store_entry *holder, const struct run *run, struct record *record, const struct attachment **ret);
