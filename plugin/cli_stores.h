/* What the command line works on: the networks of a configuration, the stores that keep their addresses, and the API
 * server that knows their pods. */
#pragma once

#include "delegate/kube.h"
#include "ipam/store.h"
#include "plugin/run.h"

/** A network whose addresses we give out. */
struct cli_network {
	const char *name;           /* borrowed from the configuration */
	struct ipam_config *config; /* owned */
	struct store *store;        /* borrowed from run */
	unsigned int index;         /* its place among the delegates */
};

struct cli_store {
	struct store *store;            /* borrowed from run */
	const struct etcd_config *etcd; /* NULL: this node's own; borrowed from the first network that has it */
};

struct cli_stores {
	cJSON *conf;
	struct config config;
	struct request request;
	struct run run;
	cJSON *cached; /* networks that pods ask for (cached_networks) */
	struct cli_network *networks;
	size_t network_count;
	bool looking;
	struct cli_store *list; /* each one once; at least one */
	size_t count;
};

/**
 * Opens them, and those of networks that pods of this node have asked for: those of the file, or of the first one of
 * lamina or multus in /etc/cni/net.d; a configuration without networks of ours has this node's store. looking: this
 * node's store is not made when it is not there, and no file is written. seconds bound all of it. cli_stores_close is
 * needed after failure too.
 */
int cli_stores_open(const char *path, bool looking, int64_t seconds, struct cli_stores *ret, struct error *e);

/** cli_stores_open with the keys of another file in place of CONFIG_DEFAULTS. */
int cli_stores_open_with(
	const char *path, const char *defaults, bool looking, int64_t seconds, struct cli_stores *ret, struct error *e);

/** Whether a cluster keeps the addresses of any network. */
bool cli_stores_have_cluster(const struct cli_stores *stores);

/** The configuration's network of that name; NULL if there is none. */
const struct cli_network *cli_stores_network(const struct cli_stores *stores, const char *name);

/** The API server is asked as the user of this kubeconfig, which is borrowed; NULL: the configuration's. */
void cli_stores_set_kubeconfig(struct cli_stores *stores, const char *path);

/** The API server; asks nothing yet. None is configured: ERROR_CONFIG. */
int cli_stores_kube(struct cli_stores *stores, struct kube **ret, struct error *e);

/** All pods of the cluster, as kube_pods has them. Where the user may not, --kubeconfig is named as a way out. */
int cli_stores_pods(struct kube *kube, struct kube_pod **ret, size_t *ret_count, struct error *e);

void cli_stores_close(struct cli_stores *stores);
#define cleanup_stores CLEANUP(cli_stores_close)
