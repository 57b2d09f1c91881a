/* The handles of one run: what the steps of a verb need beside their own attachment. */
#pragma once

#include "delegate/call.h"
#include "ipam/store.h"
#include "netlink/socket.h"
#include "plugin/config.h"

#include <stdint.h>

struct run {
	const struct request *request;
	const struct config *config;
	char *path;              /* CNI_PATH with binDir in front */
	char *node;              /* this node's name */
	bool node_guessed;       /* it is the host's own name */
	char boot_id[40];        /* /proc/sys/kernel/random/boot_id */
	int netns_fd;            /* the pod's namespace; -1: gone, or not needed */
	const char *netns_path;  /* where it was opened; borrowed */
	const char *call_netns;  /* CNI_NETNS for other programs; borrowed */
	struct netns_id sandbox; /* of netns_fd */
	struct nl *host;         /* a socket in our own namespace */
	struct nl *pod;          /* a socket in the pod's; NULL: gone */
	int64_t deadline;        /* of the verb, or of its rollback (clock_now) */
	int64_t call_deadline;   /* of one delegate */
	struct store *store;     /* opened on first use, by lease.c */
	int *doomed;             /* links of the pod that a teardown deletes, all in one message */
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

/** The parameters of a call of another program for one of the container's interfaces. Borrows from run and ifname. */
struct call_params run_call(const struct run *run, const char *command, const char *ifname);

/** Sets new deadlines, counted from now: a rollback has its own. */
void run_extend(struct run *run, int64_t seconds);

void run_close(struct run *run);
#define cleanup_run CLEANUP(run_close)
