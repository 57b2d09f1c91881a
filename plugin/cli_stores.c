#include "plugin/cli_stores.h"

#include "plugin/base/log.h"
#include "plugin/cli_conf.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/state_list.h"

#include <errno.h>
#include <string.h>

static int open_store(struct cli_stores *stores, const struct etcd_config *etcd, struct store **ret, struct error *e)
{
	struct run *run = &stores->run;
	int r = 0;

	if (etcd || !stores->looking)
		return lease_store(run, etcd, ret, e);
	if (!run->store)
		r = lease_open_store_readonly(run, e);
	*ret = run->store;
	return r;
}

static int add_store(struct cli_stores *stores, const struct etcd_config *etcd, struct store **ret, struct error *e)
{
	if (open_store(stores, etcd, ret, e) < 0)
		return e->err;
	for (size_t i = 0; i < stores->count; i++) {
		if (stores->list[i].store == *ret)
			return 0;
	}
	stores->list = reallocate(stores->list, stores->count + 1, sizeof(*stores->list));
	stores->list[stores->count++] = (struct cli_store){.store = *ret, .etcd = etcd};
	return 0;
}

/* conf: a delegate, at that path of the configuration, or a plugin's own with us as its IPAM (""). */
static int add_network(
	struct cli_stores *stores, const cJSON *conf, const char *path, unsigned int index, struct error *e)
{
	const char *name = json_text(conf, "name");
	struct cli_network *network;

	if (!import_own_conf(conf) || !name || !is_cni_name(name))
		return 0;
	stores->networks = reallocate(stores->networks, stores->network_count + 1, sizeof(*stores->networks));
	network = &stores->networks[stores->network_count++];
	*network = (struct cli_network){.name = name, .index = index};
	if (import_read_ipam(conf, path, &stores->config, &network->config, e) < 0)
		return e->err;
	return add_store(stores, network->config->etcd, &network->store, e);
}

/* What a pod once asked for may be usable no more: that is no reason to show nothing. This node's own store is one. */
static int add_cached(struct cli_stores *stores, struct error *e)
{
	const cJSON *conf;

	stores->cached = cached_networks(stores->config.cni_dir, stores->config.delegates);
	cJSON_ArrayForEach(conf, stores->cached)
	{
		const size_t known = stores->network_count;
		const struct ipam_config *config;

		if (add_network(stores, conf, "", 1, e) == 0)
			continue;
		config = stores->network_count > known ? stores->networks[known].config : NULL;
		if (config && !config->etcd)
			return e->err;
		log_write(LOG_WARNING, "network %s is left out: %s", json_text(conf, "name"), e->message);
		error_clear(e);
		if (stores->network_count > known)
			ipam_config_free_cleanup(&stores->networks[--stores->network_count].config);
	}
	return 0;
}

int cli_stores_open_with(
	const char *path, const char *defaults, bool looking, int64_t seconds, struct cli_stores *ret, struct error *e)
{
	const cJSON *delegate;
	unsigned int index = 0;
	struct store *own;

	*ret = (struct cli_stores){
		.run.netns_fd = -1,
		.looking = looking,
		.request = {.path = "", .container_id = "", .ifname = "", .netns = "", .args = ""},
	};
	if (cli_conf_find(path, &ret->conf, e) < 0)
		return e->err;
	config_read_folders_with(ret->conf, defaults, &ret->config);
	if (json_text(ret->conf, "domain"))
		ret->config.domain = json_text(ret->conf, "domain");
	ret->request.conf = ret->conf;
	if (run_open(&ret->run, &ret->request, &ret->config, seconds, e) < 0)
		return e->err;
	ret->run.only_looks = looking;
	if (!ret->config.delegates && add_network(ret, ret->conf, "", 0, e) < 0)
		return e->err;
	cJSON_ArrayForEach(delegate, ret->config.delegates)
	{
		cleanup_free char *place = format_text("delegates[%u]", index);

		if (add_network(ret, delegate, place, index++, e) < 0)
			return e->err;
	}
	if (!import_own_conf(ret->conf) && add_cached(ret, e) < 0)
		return e->err;
	return ret->count ? 0 : add_store(ret, NULL, &own, e);
}

int cli_stores_open(const char *path, bool looking, int64_t seconds, struct cli_stores *ret, struct error *e)
{
	return cli_stores_open_with(path, CONFIG_DEFAULTS, looking, seconds, ret, e);
}

bool cli_stores_have_cluster(const struct cli_stores *stores)
{
	for (size_t i = 0; i < stores->count; i++) {
		if (stores->list[i].etcd)
			return true;
	}
	return false;
}

const struct cli_network *cli_stores_network(const struct cli_stores *stores, const char *name)
{
	for (size_t i = 0; i < stores->network_count; i++) {
		if (strcmp(stores->networks[i].name, name) == 0)
			return &stores->networks[i];
	}
	return NULL;
}

void cli_stores_set_kubeconfig(struct cli_stores *stores, const char *path)
{
	if (path)
		stores->config.kube_config = path;
}

int cli_stores_kube(struct cli_stores *stores, struct kube **ret, struct error *e)
{
	if (run_kube(&stores->run, ret, e) < 0)
		return e->err;
	if (!*ret)
		return error_set(e, -ENOENT, ERROR_CONFIG,
			"no API server is configured, which knows what pods there are: set kubeConfig in the network's "
			"ipam section");
	return 0;
}

int cli_stores_pods(struct kube *kube, struct kube_pod **ret, size_t *ret_count, struct error *e)
{
	int r = kube_pods(kube, NULL, ret, ret_count, e);

	/* The configuration's user is the node's, who is to have no such right. */
	if (r == -EACCES)
		return error_set(e, r, e->code, "%s, or name another user's file with --kubeconfig", e->message);
	return r;
}

void cli_stores_close(struct cli_stores *stores)
{
	run_close(&stores->run);
	for (size_t i = 0; i < stores->network_count; i++)
		ipam_config_free_cleanup(&stores->networks[i].config);
	free(stores->networks);
	free(stores->list);
	config_clear(&stores->config);
	cJSON_Delete(stores->cached);
	cJSON_Delete(stores->conf);
}
