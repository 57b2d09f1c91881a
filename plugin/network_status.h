/* The annotation k8s.v1.cni.cncf.io/network-status: what a pod has, for people and for other programs (KubeVirt,
 * Services on secondary networks, certsuite ...), in multus's very bytes. delegate/kube_status.h writes it. */
#pragma once

#include "plugin/base/json.h"

/** One attachment that was made. Borrowed. */
struct network_status {
	const char *name;    /* "namespace/name" of its NetworkAttachmentDefinition, else the configuration's name */
	const cJSON *result; /* the inner shape of delegate/result.h; NULL: nobody knows it, and nothing is said */
	bool is_default;     /* the default network */
	const cJSON *device; /* what its device-info file says; NULL: none */
};

/**
 * The text, of all attachments in their order. An attachment has an entry for each interface of its result that has a
 * sandbox, or a single one for a single interface; none where the result names no interface. NULL where there is no
 * entry at all: multus then writes nothing. Owned by the caller.
 */
char *network_status_print(const struct network_status *attachments, size_t count);
