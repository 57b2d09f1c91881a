/* The handles of one run: what the steps of a verb need beside their own attachment. */
#pragma once

#include "delegate/call.h"
#include "delegate/kube.h"
#include "ipam/store.h"
#include "netlink/socket.h"
#include "plugin/config.h"

#include <stdint.h>

/** A store that is far away. */
struct run_store {
	char *key;                /* whoever names the same cluster shares the store */
	struct etcd_config *etcd; /* a copy of our own, which the store borrows */
	struct store *store;
};

struct run {
	const struct request *request;
	const struct config *config;
	char *path;               /* CNI_PATH with binDir in front */
	char *node;               /* this node's name */
	bool node_guessed;        /* it is the host's own name */
	char boot_id[40];         /* /proc/sys/kernel/random/boot_id */
	int netns_fd;             /* the pod's namespace; -1: gone, or not needed */
	const char *netns_path;   /* where it was opened; borrowed */
	const char *call_netns;   /* CNI_NETNS for other programs; borrowed */
	struct netns_id sandbox;  /* of netns_fd */
	struct nl *host;          /* a socket in our own namespace */
	struct nl *pod;           /* a socket in the pod's; NULL: gone */
	bool going_back;          /* a failed ADD is being undone */
	bool only_looks;          /* nothing is written: no TLS sessions, no notes about servers */
	bool asks_nobody;         /* no server, only what lies on this node */
	int64_t deadline;         /* of the verb, or of its rollback (clock_now) */
	int64_t call_deadline;    /* of one delegate */
	struct store *store;      /* this node's, opened on first use by lease_store */
	struct run_store *remote; /* clusters', likewise */
	size_t remote_count;
	struct http *http; /* opened on first use, by run_http */
	struct kubeconfig *kubeconfig;
	struct kube *kube; /* opened on first use, by run_kube */
	int *doomed;       /* links of the pod that a teardown deletes, all in one message */
	size_t doomed_count;
};

/** Fills what needs no namespace: names, deadlines (seconds from now), the host's socket. run_close is needed after
 * failure too. */
int run_open(
	struct run *run, const struct request *request, const struct config *config, int64_t seconds, struct error *e);

/**
 * Opens the pod's namespace at path, which must not be our own (ERROR_NAMESPACE) unless the request overrides that.
 * path is borrowed until run_close.
 */
int run_enter(struct run *run, const char *path, struct error *e);

/** The parameters of a call of another program that is about the node, and no interface. Borrows from run. */
struct call_params run_call(const struct run *run, const char *command);

/** What all transfers of the run go through; owned by the run. */
int run_http(struct run *run, struct http **ret, struct error *e);

/** Reads the file that run_kube goes by, if there is one: what is wrong in it is known before anything is made. */
int run_read_kubeconfig(struct run *run, struct error *e);

/**
 * The API server that the configuration names (`kubeconfig`, else the first `kubeConfig` of an ipam section); owned by
 * the run. *ret is NULL, and that is success, when it names none.
 */
int run_kube(struct run *run, struct kube **ret, struct error *e);

/** Calls this node so from now on, and for all calls to come, since the API server does; it is not guessed any more. */
void run_name_node(struct run *run, const char *name);

/** Closes all stores: they are opened again with the deadline of then. */
void run_close_stores(struct run *run);

/** The deadline of something that may take that long, within the run's. */
int64_t run_within(const struct run *run, int64_t seconds);

/** Sets new deadlines, counted from now: a rollback has its own. */
void run_extend(struct run *run, int64_t seconds);

void run_close(struct run *run);
#define cleanup_run CLEANUP(run_close)
