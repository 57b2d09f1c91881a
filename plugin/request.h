/* What the runtime asks for: the environment and the configuration on stdin, checked as the reference's skel checks
 * them. */
#pragma once

#include "plugin/base/json.h"

#include <stdbool.h>

enum verb { VERB_ADD, VERB_DEL, VERB_CHECK, VERB_GC, VERB_STATUS, VERB_VERSION };

/** CNI_ARGS as the kubelet's runtimes and people fill it. Owned strings, NULL when absent or empty. */
struct request_args {
	char *ns, *pod, *uid; /* K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID */
	char *sandbox;        /* K8S_POD_INFRA_CONTAINER_ID */
	char *ip;             /* IP: comma list */
	char *mac;            /* MAC */
};

/** Environment strings are borrowed and never NULL ("" when absent); the rest is owned. */
struct request {
	enum verb verb;
	const char *command, *container_id, *netns, *ifname, *args, *path;
	bool netns_override; /* CNI_NETNS_OVERRIDE: our own namespace is meant */
	struct request_args pod;
	cJSON *conf;         /* NULL for VERSION with anything but JSON on stdin */
	const char *network; /* conf's name */
	const char *version; /* conf's cniVersion, "0.1.0" when absent */
};

/**
 * Reads and validates one request, in the order of skel (reference cni.md 2): an invalid variable, missing ones, stdin,
 * the name, the verb, the version. Texts and codes are skel's. request_clear is needed after failure too: .version is
 * then what an error should state, where it was readable.
 */
int request_read(struct request *ret, int stdin_fd, struct error *e);

/** The pod's namespace; "default" where the runtime names none. Borrowed. */
const char *request_namespace(const struct request *request);

/**
 * CNI_ARGS as multus gives it to its delegates (newCNIRuntimeConf): IgnoreUnknown, the pod's namespace, name, sandbox
 * and UID, then every pair of the runtime's own, which fills a value that is still empty, else is appended. So a pod's
 * pairs stand there twice, as plugins know it from multus. Owned by the caller.
 */
char *request_delegate_args(const struct request *request);

/** What the runtime itself had given when that became of it; other lists are the runtime's own. Borrowed. */
const char *request_own_args(const char *delegate_args);

/** Reads CNI_ARGS. ERROR_ENVIRONMENT. request_args_clear is needed after failure too. */
int request_read_args(const char *args, struct request_args *ret, struct error *e);

void request_args_clear(struct request_args *args);
#define cleanup_request_args CLEANUP(request_args_clear)

/** Checks name and version of a request that was not read from a runtime, as request_read does. */
int request_check(const struct request *request, struct error *e);

void request_clear(struct request *request);
#define cleanup_request CLEANUP(request_clear)

/** Whether it can be a container's ID here: such a name, and none of lamina's own files in cniDir. */
bool request_is_container(const char *text);

/** Whether it can be an interface's name; the reason, when not, is ERROR_ENVIRONMENT in skel's words. */
int request_check_ifname(const char *ifname, struct error *e);
