/* Which devices the kubelet has given to a pod, from the checkpoint of its device manager. */
#pragma once

#include "plugin/base/error.h"

#include <stddef.h>

#define DEVICES_CHECKPOINT "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"

/** Owned. */
struct devices {
	char **ids;
	size_t count;
};

void devices_clear(struct devices *devices);
#define cleanup_devices CLEANUP(devices_clear)

/**
 * The IDs of a resource's devices that a pod has: container by container as the checkpoint lists them, and in each by
 * NUMA node, as listed there (multus takes the nodes in any order), each once. None is success, and so is no file.
 * pod_uid is the one that the kubelet knows. A file that cannot be read is the error of file_read_regular; one that
 * says something else than a kubelet does ERROR_CONFIG. Both name it. Cleared with devices_clear.
 */
int devices_read(const char *path, const char *pod_uid, const char *resource, struct devices *ret, struct error *e);
