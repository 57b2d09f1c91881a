/* lamina's own configuration: multus's keys and ours. What stands in `delegates` is read by the plan. */
#pragma once

#include "plugin/request.h"

#include <stdint.h>

/** When the wire is asked whether somebody answers for an address. */
enum conflict_probe { PROBE_TAKEOVER, PROBE_ALWAYS, PROBE_OFF };

/** Strings are borrowed from the request's configuration or from .defaults. */
struct config {
	const char *cni_dir;  /* state: /var/lib/cni/multus */
	const char *bin_dir;  /* looked in before CNI_PATH: /opt/cni/bin */
	const char *data_dir; /* the embedded store: /run/lamina */
	const char *node;     /* nodeName; NULL: the host's name is taken */
	const char *cluster;  /* NULL: not named */
	const char *domain;   /* of ipam sections that name none; NULL: not named */
	enum conflict_probe conflict_probe;
	const char *conflict_probe_name; /* as it was given */
	const char *kube_config;         /* how to reach the API server: `kubeconfig`, else the first ipam section's
					    `kubeConfig`; NULL: not, unless in_cluster */
	bool reads_networks;             /* it is `kubeconfig`, or in_cluster: the pod's networks annotation counts, and
					    its network-status is written */
	int64_t timeout;                 /* seconds for an ADD, 1-600, default 60 */
	int64_t reuse_delay;             /* seconds, default 60 */
	const char *conf_dir;            /* confDir: where networks are looked for by name */
	const char *cluster_network;     /* clusterNetwork, the default network in place of delegates; NULL: none */
	const cJSON *default_networks;   /* defaultNetworks: names, behind clusterNetwork; NULL: none */
	const cJSON *system_namespaces;  /* whose pods get no defaultNetworks; NULL: kube-system */
	const char
		*multus_namespace; /* where clusterNetwork, defaultNetworks and a pod's default network are defined */
	const char *global_namespaces; /* comma list: with namespaceIsolation all pods may use what is defined there */
	bool isolates_namespaces;      /* namespaceIsolation */
	const char *auxiliary_chain;   /* auxiliaryCNIChainName; NULL: none */
	const char *readiness_file;    /* readinessindicatorfile; NULL: none */
	bool is_shim;                  /* type multus-shim: see config_path */
	bool in_cluster;               /* the API server is the one that a pod finds in its environment */
	const cJSON *delegates;        /* array; NULL as the kube-ipam plugin; empty with clusterNetwork */
	const cJSON *runtime_config;   /* NULL when absent */
	bool declares_annotations;     /* capabilities["io.kubernetes.cri.pod-annotations"] is true */
	cJSON *defaults;               /* owned: /etc/lamina/defaults.json */
	cJSON *no_delegates;           /* owned: an empty array */
};

/** The capability through which a runtime hands over the pod's annotations (containerd >= 1.5, CRI-O >= 1.29). */
#define ANNOTATIONS_CAPABILITY "io.kubernetes.cri.pod-annotations"

/** Where a node has keys of ours for a site's file that stays as it is. */
#define CONFIG_DEFAULTS "/etc/lamina/defaults.json"

/** That file, or another in its place, as it stands; *ret is owned by the caller, and NULL when there is no
 * CONFIG_DEFAULTS. Errors name the file: another one has to be there. */
int config_read_defaults(const char *path, cJSON **ret, struct error *e);

/** Whether config_read takes these as defaults: ERROR_CONFIG names key and value. */
int config_check_defaults(const cJSON *defaults, struct error *e);

/** The keys that may stand there; the list ends with a row without key. */
const struct json_field *config_own_keys(void);

/**
 * Reads the configuration of a request; conf must outlive *ret. as_ipam: it is another plugin's, of which we are the
 * IPAM (no delegates). Keys of ours that are absent come from /etc/lamina/defaults.json when that exists. Errors are
 * ERROR_CONFIG and name the key path. config_clear is needed after failure too.
 */
int config_read(const cJSON *conf, bool as_ipam, struct config *ret, struct error *e);

/** config_read with the keys of another file in place of CONFIG_DEFAULTS. */
int config_read_with(const cJSON *conf, bool as_ipam, const char *defaults, struct config *ret, struct error *e);

/** What a DEL needs to find its record: the folders, and the timeout, with defaults in place of values that cannot be
 * read. Never fails.
 */
void config_read_folders(const cJSON *conf, struct config *ret);

/** config_read_folders with the keys of another file in place of CONFIG_DEFAULTS. */
void config_read_folders_with(const cJSON *conf, const char *defaults, struct config *ret);

/** A path of the configuration: multus's shim has those that its daemon sees (/host/...), which are the node's own
 * without that. Borrowed from path. */
const char *config_path(const struct config *config, const char *path);

/** Takes the API server of a network that the configuration only named (`ipam.kubeConfig`), where there is none yet.
 * Borrows from conf. */
void config_adopt_kube_config(struct config *config, const cJSON *conf);

void config_clear(struct config *config);
#define cleanup_config CLEANUP(config_clear)
