/*
 * One interface of one pod on one network, whoever makes it. A kind of attachment is one file that ends in one
 * struct attachment_ops; plan.c has the table of them.
 */
#pragma once

#include "delegate/networks.h"
#include "plugin/annotations.h"
#include "plugin/run.h"

#include <net/if.h>

/** A thing is made in two steps, so that a record written before the first step tells what may be there. */
enum made_state { MADE_NOTHING, MADE_INTENDED, MADE_DONE };

/** What an attachment has put into the world; kept in the record, and all that its way down goes by. */
struct made {
	enum made_state exec; /* other programs were called: they must be called again for DEL */
	enum made_state link;
	uint8_t mac[6];        /* of the link, known before it is created */
	int ifindex;           /* MADE_DONE */
	enum made_state rules; /* rules that lead to .table */
	uint32_t table;
	struct ip_addr gateways[2]; /* of the pod's default route, where it was asked for over this link: IPv4, IPv6;
				       family 0: not */
	enum made_state lease;
	char *lease_network, *lease_domain;
	char *lease_value; /* the exact value in the store; NULL: whatever stands there for this container and interface
			    */
	struct ip_addr *addrs; /* MADE_DONE: what was claimed */
	size_t addr_count;
	struct ip_addr *kept; /* not recorded: those that nobody kept for the pod's namespace before this ADD */
	size_t kept_count;
};

/** The part of `made` as it stands in a record; done says whether the ADD was completed (else everything is intended).
 */
cJSON *made_print(const struct made *made, bool done);

/** Reads it back; members that are absent or malformed count as intended and unknown. */
void made_read(const cJSON *json, bool done, struct made *ret);

/** Of what nobody recorded, all may be there. */
void made_assume(struct made *made);

void made_clear(struct made *made);

struct attachment_ops;

struct attachment {
	const struct attachment_ops *ops;
	unsigned int index; /* among the pod's networks: 0 is the default one */
	char *path;         /* "delegates[1]", "db/vlan7 spec.config": for errors */
	char *network;      /* the name in its configuration */
	char *name; /* what other programs read: "<namespace>/<name>" of its NetworkAttachmentDefinition, else network
		     */
	struct network_element *asked; /* what the pod's annotation says of it, owned; NULL: it does not name it */
	char *resource; /* resourceName of its NetworkAttachmentDefinition, whose device it has; NULL: none */
	char ifname[IFNAMSIZ];
	bool independent; /* needs no other attachment: may be made while the default network is under way */
	cJSON *conf;      /* the delegate's configuration, owned */
	struct made made;
	cJSON *result; /* what is installed (delegate/result.h); NULL until then, or when nobody remembers */
	char *args;    /* CNI_ARGS of the call that is under way */
	void *private; /* the kind's own */
};

struct attachment_ops {
	const char *kind;

	/** Whether this kind makes an attachment of that configuration. The first one in the table that does is taken.
	 */
	bool (*serves)(const cJSON *conf);

	/** Reads and validates the configuration alone: no kernel, no files, no store. ADD, CHECK and `lamina plan`. */
	int (*plan)(struct attachment *a, const struct request *request, const struct config *config, struct error *e);

	/** Offers an address that was asked for; *ret: whether this attachment takes it. NULL: takes none. */
	int (*offer)(struct attachment *a, const struct annotations *annotations, const struct ip_addr *addr,
		const char *source, bool *ret, struct error *e);

	/** Looks whether the plan can be carried out on this node: master, binaries. Changes nothing. Fills what `made`
	 * must say before the start. */
	int (*inspect)(struct attachment *a, struct run *run, struct error *e);

	/** Fills what `made` must say of a claim before it is made; the addresses are placed. NULL: nothing. */
	int (*prepare)(struct attachment *a, struct run *run, struct error *e);

	/** Opens the connection that a claim or a release will need, while others are at work. await: comes back when
	 * it stands, or cannot. NULL: needs none. */
	void (*warm)(struct attachment *a, struct run *run, bool await);

	/** Makes what does not depend on other attachments; may leave programs running for finish. */
	int (*start)(struct attachment *a, struct run *run, struct error *e);

	/** Completes it; the attachments before this one are complete. Sets .result. */
	int (*finish)(struct attachment *a, struct run *run, struct error *e);

	/** Whether lamina makes it itself: the way down starts the other ones first, since they take longest. */
	bool in_process;

	/** Awaits programs that start left running, after a failed ADD, whatever they answer. */
	void (*settle)(struct attachment *a);

	/** The one way down, for a failed ADD, DEL and GC: goes by .made and .conf alone; what is gone is success. */
	int (*del_start)(struct attachment *a, struct run *run, struct error *e);
	bool (*del_ends)(
		struct attachment *a, int64_t deadline); /* whether del_finish will not have to wait; may be NULL
							  */
	int (*del_finish)(struct attachment *a, struct run *run, struct error *e);

	/** Compares kernel, store and what was recorded; calls CHECK of other programs. */
	int (*check)(struct attachment *a, struct run *run, struct error *e);

	/** Whether this node could make one now, by what lies on it alone; forwards STATUS. Planned before, nothing
	 * else.
	 */
	int (*status)(struct attachment *a, struct run *run, struct error *e);

	/** Forwards GC: valid ([{containerID, ifname}], in this attachment's interface names) is what stays. Planned
	 * before, nothing else. */
	int (*gc)(struct attachment *a, struct run *run, const cJSON *valid, struct error *e);

	/** Adds the kind's own members to the plan that people read. */
	void (*describe)(const struct attachment *a, cJSON *out);

	/** Frees .private. */
	void (*free)(struct attachment *a);
};

extern const struct attachment_ops attach_exec;
extern const struct attachment_ops attach_macvlan;

/** A new attachment of a delegate's configuration (copied), with the kind that serves it. ifname is the runtime's: the
 * default network's name; all others are net<index>. */
struct attachment *attachment_new(const cJSON *conf, unsigned int index, const char *ifname);

/** Which network has that interface where nobody chose its name ("net<index>"); 0: it is called otherwise. */
unsigned int attachment_index(const char *ifname);

/** Notes what the pod's annotation says of it; the contents of asked are taken, an interface name among them counts. */
void attachment_ask(struct attachment *a, struct network_element *asked);

/**
 * The runtimeConfig that its plugins may be given, each what it declares: the runtime's, with what the pod's annotation
 * asks for in its place (not for the default network: multus's rule). multus's seven members are spelled, filled and
 * left out as multus does; those that it would drop stay. Owned by the caller; NULL: nothing.
 */
cJSON *attachment_runtime_config(
	const struct attachment *a, const struct request *request, const struct config *config);

/** CNI_ARGS of a call for this attachment, as multus gives it to its delegates: request_delegate_args, for ADD with the
 * MAC and IP that the pod asks for. Owned by the caller. */
char *attachment_args(const struct attachment *a, const struct request *request, const char *command);

/** The parameters of a call of another program for this attachment. Borrows from run and the attachment. */
struct call_params attachment_call(struct attachment *a, const struct run *run, const char *command);

/** Whether a program's DEL failed for want of a namespace that is gone: it would in every retry, and nothing is left
 * there to take down. Then a warning says so. */
bool attachment_gone_with_namespace(const struct run *run, const struct error *e);

/** Whether its addresses are claimed by lamina, here or as its plugins' IPAM, so that one that the pod asks for may be
 * meant for it. */
bool attachment_claims(const struct attachment *a);

void attachment_free(struct attachment *a);

DEFINE_CLEANUP(struct attachment, attachment_free)
#define cleanup_attachment CLEANUP(attachment_free_cleanup)
