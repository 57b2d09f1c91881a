/*
 * The store of claimed addresses: one interface, whatever keeps it. It never asks anybody who lives: it says who holds
 * what, and the caller decides.
 */
#pragma once

#include "ipam/config.h"

enum store_answer {
	STORE_GRANTED, /* claimed now */
	STORE_ALREADY, /* this container and interface had it: the same addresses, the value that stands there; it goes
			  on for the request's sandbox */
	STORE_HELD,    /* somebody else has one of the fixed addresses: .holders */
	STORE_FULL,    /* no dynamic address is free in the set .full_set */
};

/** One address in use, or kept for a namespace. */
struct store_entry {
	char *network;
	struct ip_addr addr;
	char *value;          /* the holder's record, as it stands there; NULL: only kept for hold_namespace */
	char *sandbox;        /* the claim's sandbox text; NULL if none */
	char *hold_namespace; /* namespace that a fixed address is kept for; NULL: none */
};

struct store_request {
	const char *network; /* the delegate's name */
	const struct ipam_config *config;
	const struct ip_addr *fixed; /* exactly these, or, with fixed_count 0, one dynamic address of each range set */
	size_t fixed_count;
	const char *ns; /* of the pod, for holds; NULL: no pod (then no fixed address is held) */
	const char *cid, *ifname;
	const char *value;   /* the record to write */
	const char *sandbox; /* opaque to the store: how the caller finds out later whether the holder is gone */
	int64_t reuse_delay; /* seconds: an address released less than this ago is given last */
	const struct store_entry *evict; /* holders that may be replaced: when their value is still exactly this */
	size_t evict_count;
};

struct store_reply {
	enum store_answer answer;
	struct ip_addr *addrs; /* GRANTED, ALREADY: in the order of fixed, or one for each set */
	size_t addr_count;
	struct ip_addr *kept; /* GRANTED: those that are kept for the namespace only since this claim */
	size_t kept_count;
	char *value;                 /* GRANTED, ALREADY: what now stands there; a release needs it */
	struct store_entry *holders; /* HELD: who; FULL: everybody of that network and its domain */
	size_t holder_count;
	size_t full_set;
};

struct store;

struct store_ops {
	/** Claims all or nothing, in one transaction; two claims never get one address of one domain. An error means
	 * nothing. */
	int (*claim)(
		struct store *store, const struct store_request *request, struct store_reply *ret, struct error *e);

	/** Frees what (network, cid, ifname) holds with exactly this value (NULL: whatever it is). Nothing there is
	 * success. Holds stay. */
	int (*release)(struct store *store, const char *network, const char *cid, const char *ifname, const char *value,
		struct error *e);

	/** Takes back what the claim that wrote this value began to keep for its namespace: for an ADD that never
	 * ended. */
	int (*unkeep)(struct store *store, const char *value, struct error *e);

	/** Frees one entry (if its value is still the same) together with its hold: "lamina ip release". */
	int (*forget)(struct store *store, const struct store_entry *entry, struct error *e);

	/** Every claim and every hold; *ret is freed with store_entries_free. */
	int (*list)(struct store *store, struct store_entry **ret, size_t *ret_count, struct error *e);

	void (*close)(struct store *store);
};

/** What every implementation begins with. */
struct store {
	const struct store_ops *ops;
};

void store_entries_free(struct store_entry *entries, size_t count);
void store_reply_clear(struct store_reply *reply);
void store_close(struct store *store);

#define cleanup_reply CLEANUP(store_reply_clear)
DEFINE_CLEANUP(struct store, store_close)
#define cleanup_store CLEANUP(store_close_cleanup)
