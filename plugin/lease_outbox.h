/* Releases that a cluster's store could not be told of: queued on this node, sent when it can be reached again. */
#pragma once

#include "plugin/run.h"

#include <time.h>

/** Queues a release for the cluster. */
int lease_queue(
	const struct etcd_config *etcd, const struct store_release *release, const struct run *run, struct error *e);

/** When the release of just this holder is queued here: sends it, and *ret is true. ERROR_TRY_AGAIN when it cannot be.
 */
int lease_send_queued(const struct store_entry *holder, struct run *run, bool *ret, struct error *e);

/** Sends what is queued here for this very container and interface, so that it cannot free what a new ADD of them is
 * given. ERROR_TRY_AGAIN when it cannot be sent. */
int lease_send_earlier(const char *network, const char *ifname, struct run *run, struct error *e);

/** Whether this node's queue is worth a try: something is in it, and nothing was put there since then (the time of
 * CLOCK_REALTIME_COARSE, by which files are dated), which would mean that its cluster is away just now. */
bool lease_outbox_waits(const struct config *config, const struct timespec *since);

/**
 * Sends what is queued, oldest first. A cluster that cannot be reached is asked once; the first error is returned, the
 * number of those that went in *ret_sent (may be NULL).
 */
int lease_drain_outbox(struct run *run, size_t *ret_sent, struct error *e);
