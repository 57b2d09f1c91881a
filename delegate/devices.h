/* Which devices the kubelet has given to a pod, from the checkpoint of its device manager. */
#pragma once

#include "plugin/base/json.h"

#define DEVICES_CHECKPOINT "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"

/** What the checkpoint says of one pod. Owned. */
struct pod_devices {
	char *path, *pod_uid;
	cJSON *entries; /* NULL: not read */
};

/**
 * Reads it; pod_uid is the one that the kubelet knows. The file has all pods of the node: it is read once for all
 * resources. Where there is none, the pod has no devices. A file that cannot be read is the error of file_read_regular;
 * one that says something else than a kubelet does ERROR_CONFIG. Both name it. Cleared with pod_devices_clear.
 */
int devices_read(const char *path, const char *pod_uid, struct pod_devices *ret, struct error *e);

void pod_devices_clear(struct pod_devices *pod);
#define cleanup_pod_devices CLEANUP(pod_devices_clear)

/** Owned. */
struct devices {
	char **ids;
	size_t count;
};

/**
 * The IDs of a resource's devices that the pod has: container by container as the checkpoint lists them, and in each by
 * NUMA node, as listed there (multus takes the nodes in any order), each once. None is success. What no kubelet writes
 * is ERROR_CONFIG. Cleared with devices_clear.
 */
int devices_find(const struct pod_devices *pod, const char *resource, struct devices *ret, struct error *e);

void devices_clear(struct devices *devices);
#define cleanup_devices CLEANUP(devices_clear)
