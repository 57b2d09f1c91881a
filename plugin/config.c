#include "plugin/config.h"

#include "delegate/chain.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <string.h>

#define DEFAULTS_MAX ((size_t)64 << 10)
#define MAX_DELEGATES 16
#define LONGEST_TIMEOUT 600

static const struct config built_in = {
	.cni_dir = "/var/lib/cni/multus",
	.bin_dir = "/opt/cni/bin",
	.data_dir = "/run/lamina",
	.conf_dir = "/etc/cni/multus/net.d",
	.multus_namespace = "kube-system",
	.global_namespaces = "default",
	.timeout = 60,
	.reuse_delay = 60,
};

/* Ours, in the plugin's configuration or, for the whole node, in the defaults. */
static const struct json_field own_keys[] = {
	{"cniDir", JSON_STRING, offsetof(struct config, cni_dir), false},
	{"binDir", JSON_STRING, offsetof(struct config, bin_dir), false},
	{"dataDir", JSON_STRING, offsetof(struct config, data_dir), false},
	{"nodeName", JSON_STRING, offsetof(struct config, node), false},
	{"cluster", JSON_STRING, offsetof(struct config, cluster), false},
	{"domain", JSON_STRING, offsetof(struct config, domain), false},
	{"kubeconfig", JSON_STRING, offsetof(struct config, kube_config), false},
	{"conflictProbe", JSON_STRING, offsetof(struct config, conflict_probe_name), false},
	{"timeout", JSON_INTEGER, offsetof(struct config, timeout), false},
	{"reuseDelay", JSON_INTEGER, offsetof(struct config, reuse_delay), false},
	{.key = NULL},
};

static const struct json_field plugin_keys[] = {
	{"delegates", JSON_ARRAY, offsetof(struct config, delegates), false},
	{"runtimeConfig", JSON_OBJECT, offsetof(struct config, runtime_config), false},
	{"confDir", JSON_STRING, offsetof(struct config, conf_dir), false},
	{"clusterNetwork", JSON_STRING, offsetof(struct config, cluster_network), false},
	{"defaultNetworks", JSON_ARRAY, offsetof(struct config, default_networks), false},
	{"systemNamespaces", JSON_ARRAY, offsetof(struct config, system_namespaces), false},
	{"multusNamespace", JSON_STRING, offsetof(struct config, multus_namespace), false},
	{"globalNamespaces", JSON_STRING, offsetof(struct config, global_namespaces), false},
	{"namespaceIsolation", JSON_BOOL, offsetof(struct config, isolates_namespaces), false},
	{"auxiliaryCNIChainName", JSON_STRING, offsetof(struct config, auxiliary_chain), false},
	{"readinessindicatorfile", JSON_STRING, offsetof(struct config, readiness_file), false},
	{.key = NULL},
};

/* What it asks for is always so: no field of ours keeps it. */
static int check_retry(const cJSON *conf, struct error *e)
{
	static const struct json_field keys[] = {{"retryDeleteOnError", JSON_BOOL, 0, false}, {.key = NULL}};
	bool ignored;

	return json_read(conf, "", keys, &ignored, e);
}

/* What the daemon of thick multus calls the node's own file system, whose files we see without it. */
#define HOST_PREFIX "/host"

int config_read_defaults(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	size_t length = 0;

	*ret = NULL;
	if (file_read(path, DEFAULTS_MAX, &text, &length, e) < 0) {
		if (e->err != -ENOENT || strcmp(path, CONFIG_DEFAULTS) != 0)
			return e->err;
		error_clear(e);
		return 0;
	}
	if (json_parse(text, length, path, ret, e) < 0)
		e->code = ERROR_CONFIG;
	return e->err;
}

static int read_defaults(const char *path, struct config *config, struct error *e)
{
	if (config_read_defaults(path, &config->defaults, e) < 0)
		return e->err;
	if (config->defaults && json_read(config->defaults, "", own_keys, config, e) < 0)
		return error_wrap(e, "%s", path);
	return 0;
}

static int check_folder(const char *key, const char *value, struct error *e)
{
	if (value[0] != '/' || strlen(value) > 200)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is \"%.220s\": it must be an absolute path of at most 200 characters", key, value);
	return 0;
}

static int check_number(const char *key, int64_t value, int64_t least, int64_t most, struct error *e)
{
	if (value < least || value > most)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is %lld: it must be between %lld and %lld seconds", key,
			(long long)value, (long long)least, (long long)most);
	return 0;
}

static int check_name(const char *key, const char *value, struct error *e)
{
	if (value && (!is_cni_name(value) || strlen(value) > 253))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is \"%.260s\": it must be a name of letters, digits, '.', '-' and '_'", key, value);
	return 0;
}

static const char *host_path(const char *path)
{
	const size_t length = strlen(HOST_PREFIX);

	return path && strncmp(path, HOST_PREFIX "/", length + 1) == 0 ? path + length : path;
}

static const char *none_if_empty(const char *text)
{
	return text && *text ? text : NULL;
}

const char *config_path(const struct config *config, const char *path)
{
	return config->is_shim ? host_path(path) : path;
}

static bool is_shim(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return type && strcmp(type, "multus-shim") == 0;
}

/* multus takes an empty value for an absent one, and its shim's paths are those that its daemon sees. */
static void adapt_multus_keys(const cJSON *conf, struct config *config)
{
	const char **const paths[] = {&config->cluster_network, &config->readiness_file, &config->conf_dir,
		&config->cni_dir, &config->bin_dir};

	config->is_shim = is_shim(conf);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		*paths[i] = config_path(config, *paths[i]);
	config->cluster_network = none_if_empty(config->cluster_network);
	config->auxiliary_chain = none_if_empty(config->auxiliary_chain);
	config->readiness_file = none_if_empty(config->readiness_file);
	if (!*config->global_namespaces)
		config->global_namespaces = built_in.global_namespaces;
}

static int check_list_of_texts(const char *key, const cJSON *list, struct error *e)
{
	const cJSON *item;
	int index = 0;

	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item))
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s[%d] must be a string", key, index);
		index++;
	}
	return 0;
}

static int check_networks(const struct config *config, struct error *e)
{
	if (check_list_of_texts("defaultNetworks", config->default_networks, e) < 0 ||
		check_list_of_texts("systemNamespaces", config->system_namespaces, e) < 0)
		return e->err;

	const int count = cJSON_GetArraySize(config->default_networks);

	if (count > MAX_DELEGATES)
		return error_set(e, -EINVAL, ERROR_CONFIG, "defaultNetworks has %d elements: at most %d are served",
			count, MAX_DELEGATES);
	if (config->auxiliary_chain && (!config->cluster_network || config->cluster_network[0] != '/'))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"auxiliaryCNIChainName is \"%.64s\", but clusterNetwork is %.200s: its path says where the "
			"chain's "
			"plugins lie",
			config->auxiliary_chain, config->cluster_network ? config->cluster_network : "missing");
	if (config->auxiliary_chain && !is_cni_name(config->auxiliary_chain))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"auxiliaryCNIChainName is \"%.64s\": it must be a name of letters, digits, '.', '-' and '_'",
			config->auxiliary_chain);
	return 0;
}

static int check_delegates(const cJSON *conf, struct config *config, struct error *e)
{
	const char *type = json_text(conf, "type");
	int count = cJSON_GetArraySize(config->delegates);

	if (!type || !chain_is_own_type(type) || strcmp(type, "kube-ipam") == 0)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"type is %.64s: it must be lamina, multus-cni, multus or multus-shim", type ? type : "missing");
	if (check_networks(config, e) < 0)
		return e->err;
	if (config->cluster_network) {
		/* multus's rule: they are not looked at. */
		config->delegates = config->no_delegates = cJSON_CreateArray();
		return 0;
	}
	if (count == 0)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"delegates is missing or empty: it must list the pod's networks, the default one first, or "
			"clusterNetwork name it");
	if (count > MAX_DELEGATES)
		return error_set(e, -EINVAL, ERROR_CONFIG, "delegates has %d elements: at most %d are served", count,
			MAX_DELEGATES);
	return 0;
}

static int read_probe(struct config *config, struct error *e)
{
	static const char *const names[] = {
		[PROBE_TAKEOVER] = "takeover", [PROBE_ALWAYS] = "always", [PROBE_OFF] = "off"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (config->conflict_probe_name && strcmp(config->conflict_probe_name, names[i]) == 0)
			config->conflict_probe = (enum conflict_probe)i;
	}
	if (config->conflict_probe_name && strcmp(config->conflict_probe_name, names[config->conflict_probe]) != 0)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"conflictProbe is \"%.64s\": it must be takeover, always or off", config->conflict_probe_name);
	return 0;
}

/* The first one of an ipam section: they are one cluster's. */
static const char *find_kube_config(const cJSON *conf, const struct config *config)
{
	const char *path = json_text(json_get(conf, "ipam"), "kubeConfig");
	const cJSON *delegate;

	cJSON_ArrayForEach(delegate, config->delegates)
	{
		if (!path || !*path)
			path = json_text(json_get(delegate, "ipam"), "kubeConfig");
	}
	return path && *path ? path : NULL;
}

void config_adopt_kube_config(struct config *config, const cJSON *conf)
{
	const char *path = json_text(json_get(conf, "ipam"), "kubeConfig");

	if (!config->kube_config && !config->in_cluster)
		config->kube_config = none_if_empty(path);
}

/* multus's rule: without a file, what the environment of a pod says; runtimes on a node have none of it. */
static bool is_in_cluster(void)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

	return host && *host && port && *port;
}

static void read_kube_config(const cJSON *conf, struct config *config)
{
	const char *own = none_if_empty(json_text(conf, "kubeconfig")), *type = json_text(conf, "type");
	const bool is_ours = type && chain_is_own_type(type);

	if (!own)
		own = none_if_empty(json_text(config->defaults, "kubeconfig"));
	own = config_path(config, own);
	config->in_cluster = is_ours && !own && is_in_cluster();
	config->reads_networks = is_ours && (own || config->in_cluster);
	if (config->in_cluster)
		config->kube_config = NULL;
	else
		config->kube_config = own ? own : find_kube_config(conf, config);
}

static int check_kube_config(const struct config *config, struct error *e)
{
	if (config->kube_config && config->kube_config[0] != '/')
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is \"%.200s\": it must be an absolute path",
			config->reads_networks ? "kubeconfig" : "ipam.kubeConfig", config->kube_config);
	return 0;
}

static int check_own(struct config *config, struct error *e)
{
	if (check_folder("cniDir", config->cni_dir, e) < 0 || check_folder("binDir", config->bin_dir, e) < 0 ||
		check_folder("dataDir", config->data_dir, e) < 0 ||
		check_number("timeout", config->timeout, 1, LONGEST_TIMEOUT, e) < 0 ||
		check_number("reuseDelay", config->reuse_delay, 0, 86400, e) < 0 ||
		check_name("nodeName", config->node, e) < 0 || check_name("cluster", config->cluster, e) < 0 ||
		check_name("domain", config->domain, e) < 0)
		return e->err;
	return read_probe(config, e);
}

int config_check_defaults(const cJSON *defaults, struct error *e)
{
	struct config config = built_in;

	if (!cJSON_IsObject(defaults))
		return error_set(e, -EINVAL, ERROR_CONFIG, "it must be a JSON object");
	return json_read(defaults, "", own_keys, &config, e) < 0 ? e->err : check_own(&config, e);
}

const struct json_field *config_own_keys(void)
{
	return own_keys;
}

int config_read_with(const cJSON *conf, bool as_ipam, const char *defaults, struct config *ret, struct error *e)
{
	*ret = built_in;
	if (read_defaults(defaults, ret, e) < 0 || json_read(conf, "", own_keys, ret, e) < 0 ||
		json_read(conf, "", plugin_keys, ret, e) < 0 || check_retry(conf, e) < 0 || check_own(ret, e) < 0)
		return e->err;
	adapt_multus_keys(conf, ret);
	if (as_ipam)
		ret->delegates = NULL;
	else if (check_delegates(conf, ret, e) < 0)
		return e->err;
	ret->declares_annotations = cJSON_IsTrue(json_dig(conf, "capabilities", ANNOTATIONS_CAPABILITY, NULL));
	read_kube_config(conf, ret);
	return check_kube_config(ret, e);
}

int config_read(const cJSON *conf, bool as_ipam, struct config *ret, struct error *e)
{
	return config_read_with(conf, as_ipam, CONFIG_DEFAULTS, ret, e);
}

/* An ADD refuses such a file; a DEL that went by it would look for its record where none was written. */
static void drop_unusable(struct config *config)
{
	cleanup_error struct error ignored = {0};

	if (check_folder("cniDir", config->cni_dir, &ignored) < 0)
		config->cni_dir = built_in.cni_dir;
	if (check_folder("binDir", config->bin_dir, &ignored) < 0)
		config->bin_dir = built_in.bin_dir;
	if (check_folder("dataDir", config->data_dir, &ignored) < 0)
		config->data_dir = built_in.data_dir;
	if (check_name("nodeName", config->node, &ignored) < 0)
		config->node = NULL;
	if (check_name("cluster", config->cluster, &ignored) < 0)
		config->cluster = NULL;
	if (check_name("domain", config->domain, &ignored) < 0)
		config->domain = NULL;
	if (check_number("timeout", config->timeout, 1, LONGEST_TIMEOUT, &ignored) < 0)
		config->timeout = built_in.timeout;
}

void config_read_folders_with(const cJSON *conf, const char *defaults, struct config *ret)
{
	cleanup_error struct error ignored = {0};
	const struct {
		const char *key;
		const char **folder;
	} folders[] = {{"cniDir", &ret->cni_dir}, {"binDir", &ret->bin_dir}, {"dataDir", &ret->data_dir}};

	*ret = built_in;
	ret->is_shim = is_shim(conf);
	read_defaults(defaults, ret, &ignored);
	drop_unusable(ret);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *value = json_text(conf, folders[i].key);

		if (value && check_folder(folders[i].key, value, &ignored) == 0)
			*folders[i].folder = config_path(ret, value);
	}

	const char *node = json_text(conf, "nodeName"), *cluster = json_text(conf, "cluster");

	if (node && check_name("nodeName", node, &ignored) == 0)
		ret->node = node;
	if (cluster && check_name("cluster", cluster, &ignored) == 0)
		ret->cluster = cluster;
	ret->delegates = json_get(conf, "delegates");
	ret->readiness_file = config_path(ret, none_if_empty(json_text(conf, "readinessindicatorfile")));
	read_kube_config(conf, ret);

	const cJSON *timeout = json_get(conf, "timeout");

	if (cJSON_IsNumber(timeout) && timeout->valuedouble >= 1 && timeout->valuedouble <= LONGEST_TIMEOUT)
		ret->timeout = (int64_t)timeout->valuedouble;
}

void config_read_folders(const cJSON *conf, struct config *ret)
{
	config_read_folders_with(conf, CONFIG_DEFAULTS, ret);
}

void config_clear(struct config *config)
{
	cJSON_Delete(config->defaults);
	cJSON_Delete(config->no_delegates);
	*config = (struct config){0};
}
