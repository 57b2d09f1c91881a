/*
 * The store of claimed addresses: one interface, whatever keeps it. It never asks anybody who lives: it says who holds
 * what, and the caller decides. Whom a free address is kept for is its hold: a namespace, or a reservation's record
 * (ipam/record.h), which begins with '{' as no namespace does.
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
	char *value;   /* the holder's record, as it stands there; NULL: only kept */
	char *sandbox; /* the claim's sandbox text; NULL if none */
	char *hold;    /* whom it is kept for; NULL: nobody */
};

struct store_request {
	const char *network; /* the delegate's name */
	const struct ipam_config *config;
	const struct ip_addr *fixed; /* exactly these, or, with fixed_count 0, one dynamic address of each range set */
	size_t fixed_count;
	const char *ns; /* of the pod: fixed addresses are kept for it, and it may have what is kept for it. NULL: no
			   pod, nothing is kept */
	const char *
		reservation; /* a hold that is this pod's too, exactly as it stands in an entry; NULL: none. It stays */
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
	bool unknown; /* set on failure too: nobody knows whether a request was carried out, or still will be. Then only
			 a release with .unfinished is sure to leave nothing */
};

/** What is given back: all that (network, node, cid, ifname) holds. */
struct store_release {
	const char *network, *cid, *ifname;
	const char *node;            /* NULL: the store's own */
	const char *domain;          /* NULL: looked up where it is needed */
	const char *value;           /* only what has exactly this value; NULL: whatever is there */
	const struct ip_addr *addrs; /* as recorded, so that nothing need be looked up; addr_count 0: unknown */
	size_t addr_count;
	bool unfinished; /* the claim may be under way still: its way is closed, and what it began to keep for its
			    namespace goes too */
};

/** What one interface of one container holds. */
struct store_attachment {
	char *network, *cid, *ifname;
	char *value; /* of its addresses; NULL: not known */
	struct ip_addr *addrs;
	size_t addr_count;
	bool closed; /* nothing: the way of a lost claim is closed here */
};

struct store;

struct store_ops {
	/** Claims all or nothing, in one transaction; two claims never get one address of one domain. An error means
	 * nothing. */
	int (*claim)(
		struct store *store, const struct store_request *request, struct store_reply *ret, struct error *e);

	/** Gives back. Nothing there, or already another's, is success. Holds stay (but see .unfinished). */
	int (*release)(struct store *store, const struct store_release *release, struct error *e);

	/**
	 * Frees one entry, the claim (if its value is still the same) together with its hold (if that is the same):
	 * "lamina ip release". Holders that changed: -ESTALE, ERROR_TRY_AGAIN.
	 */
	int (*forget)(struct store *store, const struct store_entry *entry, struct error *e);

	/**
	 * Keeps entry's address of entry's network for entry's hold, unless somebody else has it or it is kept for
	 * somebody else: then ret->answer is STORE_HELD with the holders. Kept already for just this hold:
	 * STORE_ALREADY. A claim of the namespace that is meant (ns; NULL: none) is no hindrance. "lamina ip reserve".
	 */
	int (*reserve)(struct store *store, const struct store_entry *entry, const char *domain, const char *ns,
		struct store_reply *ret, struct error *e);

	/** Every claim and every hold, of that network (NULL: of all), of that address (NULL: of all); *ret is freed
	 * with store_entries_free. */
	int (*list)(struct store *store, const char *network, const struct ip_addr *addr, struct store_entry **ret,
		size_t *ret_count, struct error *e);

	/** What this node's containers hold in that network (NULL: in all), by the store's word; freed with
	 * store_attachments_free. */
	int (*attachments)(struct store *store, const char *network, struct store_attachment **ret, size_t *ret_count,
		struct error *e);

	/** Clears away what lost requests may have left and nobody holds. For gc. */
	int (*sweep)(struct store *store, const char *network, const char *domain, struct error *e);

	void (*close)(struct store *store);
};

/** What every implementation begins with. */
struct store {
	const struct store_ops *ops;
};

void store_entries_free(struct store_entry *entries, size_t count);
void store_attachments_free(struct store_attachment *attachments, size_t count);
void store_reply_clear(struct store_reply *reply);
void store_close(struct store *store);

#define cleanup_reply CLEANUP(store_reply_clear)
DEFINE_CLEANUP(struct store, store_close)
#define cleanup_store CLEANUP(store_close_cleanup)
