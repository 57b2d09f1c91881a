/* What a runtime asks for. */
#pragma once

#include "plugin/request.h"
#include "plugin/state.h"

#include <time.h>

/**
 * Makes the pod's attachments: validates everything, records what is about to be made, makes it, records it. *ret is
 * the default network's result in the request's version, owned by the caller. A failure takes down what was made and
 * returns the first error; the pod, the node and the store are then as before.
 */
int verb_add(const struct request *request, cJSON **ret, struct error *e);

/** Takes down what is recorded of (container, CNI_IFNAME), or, where nothing is, what the configuration would have
 * made. Goes on past errors; done before is success. */
int verb_del(const struct request *request, struct error *e);

/**
 * The core of DEL, for GC too: awaits the programs of an ADD or DEL that was killed, enters the recorded namespace if
 * it is still that one, takes the record's attachments down and strikes what is gone. run is open for a request of the
 * record's container and CNI_IFNAME.
 */
int verb_take_down(struct run *run, struct record *record, struct error *e);

/** Compares what is recorded with the kernel and the store, and forwards to the delegates. */
int verb_check(const struct request *request, struct error *e);

/** What can wait until the answer is printed: releases that an earlier call could not send. Whatever comes of it is no
 * concern of the request, which began at that time. */
void verb_afterwards(const struct request *request, const struct timespec *began);

/**
 * Takes down what is recorded of this network and stands not in `cni.dev/valid-attachments` (absent: nothing; null or
 * []: everything): attachments, cached results, addresses, queued releases; forwards to the delegates. Goes on past
 * errors; the details of the first one name the others.
 */
int verb_gc(const struct request *request, struct error *e);

/** Whether an ADD could be served, as far as this node alone can tell: configuration (its own codes), masters,
 * delegates (ERROR_UNAVAILABLE). Writes nothing, asks no server. */
int verb_status(const struct request *request, struct error *e);

/**
 * ADD of lamina as the stand-alone IPAM plugin `kube-ipam`: claims addresses for somebody else's interface. A repeated
 * one gets the same answer. *ret is owned by the caller.
 */
int ipam_add(const struct request *request, cJSON **ret, struct error *e);

/** DEL of the same: releases by the record, or, without one, what the store has for (network, container, interface). */
int ipam_del(const struct request *request, struct error *e);

/** CHECK of the same: whether record and store agree. */
int ipam_check(const struct request *request, struct error *e);

/** GC of the same: addresses of that network, by their records and by the store's word. */
int ipam_gc(const struct request *request, struct error *e);

/** STATUS of the same: the configuration. */
int ipam_status(const struct request *request, struct error *e);
