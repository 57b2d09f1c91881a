#include "plugin/run.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* How long the API server is waited for. */
#define API_SECONDS 20

/* Kubernetes allows a node 253. */
#define NODE_MAX 253

static void read_boot_id(char boot_id[40])
{
	cleanup_free char *text = NULL;
	cleanup_error struct error ignored = {0};

	boot_id[0] = '\0';
	if (file_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL, &ignored) == 0)
		snprintf(boot_id, 40, "%.36s", text);
	boot_id[strcspn(boot_id, "\n")] = '\0';
}

/* Where a name that the API server once said is noted: calls that do not ask it must find the same keys. */
static char *node_path(const struct run *run)
{
	return format_text("%s/node", run->config->cni_dir);
}

static char *read_noted_node(const struct run *run)
{
	cleanup_free char *path = node_path(run), *text = NULL;
	cleanup_error struct error ignored = {0};

	if (file_read(path, NODE_MAX, &text, NULL, &ignored) < 0 || !is_cni_name(text))
		return NULL;
	return steal_ptr(text);
}

static void name_node(struct run *run)
{
	char host[HOST_NAME_MAX + 1] = "";

	run->node = run->config->node ? copy_text(run->config->node) : read_noted_node(run);
	if (run->node)
		return;
	gethostname(host, sizeof(host) - 1);
	run->node = copy_text(host);
	run->node_guessed = true;
}

int run_open(
	struct run *run, const struct request *request, const struct config *config, int64_t seconds, struct error *e)
{
	const char *path = request->path;

	*run = (struct run){.request = request, .config = config, .netns_fd = -1, .call_netns = request->netns};
	run->path = *path ? format_text("%s:%s", config->bin_dir, path) : copy_text(config->bin_dir);
	name_node(run);
	read_boot_id(run->boot_id);
	if (!*run->boot_id)
		return error_set(e, -EIO, ERROR_IO, "cannot read /proc/sys/kernel/random/boot_id");
	run_extend(run, seconds);
	return nl_open(-1, &run->host, e);
}

int run_enter(struct run *run, const char *path, struct error *e)
{
	if (netns_open(path, &run->netns_fd, e) < 0)
		return e->err;
	if (netns_is_own(run->netns_fd) && !run->request->netns_override)
		return error_set(
			e, -EINVAL, ERROR_NAMESPACE, "plugin's netns and netns from CNI_NETNS should not be the same");
	if (nl_open(run->netns_fd, &run->pod, e) < 0)
		return e->err;
	run->sandbox = *nl_namespace(run->pod);
	run->netns_path = path;
	return 0;
}

void run_name_node(struct run *run, const char *name)
{
	cleanup_error struct error ignored = {0};
	cleanup_free char *path = node_path(run);

	if (run->config->node || !name || !is_cni_name(name) || strlen(name) > NODE_MAX)
		return;
	run->node_guessed = false;
	if (strcmp(run->node, name) == 0)
		return;
	free(run->node);
	run->node = copy_text(name);
	if (file_write(path, 0600, name, strlen(name), &ignored) < 0)
		log_write(LOG_WARNING, "%s", ignored.message);
}

int64_t run_within(const struct run *run, int64_t seconds)
{
	const int64_t deadline = clock_now() + seconds * SECONDS;

	return deadline < run->deadline ? deadline : run->deadline;
}

int run_http(struct run *run, struct http **ret, struct error *e)
{
	if (!run->http) {
		if (http_open(&run->http, e) < 0)
			return e->err;
		if (!run->only_looks)
			http_keep_sessions(run->http, run->config->data_dir);
	}
	*ret = run->http;
	return 0;
}

int run_read_kubeconfig(struct run *run, struct error *e)
{
	if (!run->kubeconfig && run->config->in_cluster)
		return kubeconfig_in_cluster(&run->kubeconfig, e);
	if (run->kubeconfig || !run->config->kube_config)
		return 0;
	return kubeconfig_read(run->config->kube_config, &run->kubeconfig, e);
}

int run_kube(struct run *run, struct kube **ret, struct error *e)
{
	struct http *http = NULL;

	*ret = run->kube;
	if (run->kube || (!run->config->kube_config && !run->config->in_cluster))
		return 0;
	if (run_read_kubeconfig(run, e) < 0 || run_http(run, &http, e) < 0 ||
		kube_open(run->kubeconfig, http, run_within(run, API_SECONDS), &run->kube, e) < 0)
		return e->err;
	*ret = run->kube;
	return 0;
}

static void close_remote(struct run *run)
{
	for (size_t i = 0; i < run->remote_count; i++) {
		store_close(run->remote[i].store);
		etcd_config_free(run->remote[i].etcd);
		free(run->remote[i].key);
	}
	free(run->remote);
	run->remote = NULL;
	run->remote_count = 0;
}

void run_close_stores(struct run *run)
{
	close_remote(run);
	store_close(run->store);
	run->store = NULL;
}

struct call_params run_call(const struct run *run, const char *command)
{
	return (struct call_params){
		.command = command,
		.container_id = run->request->container_id,
		.netns = run->call_netns,
		.ifname = "",
		.args = run->request->args,
		.path = run->path,
	};
}

void run_extend(struct run *run, int64_t seconds)
{
	run->deadline = clock_now() + seconds * SECONDS;
	/* What is left is for what follows the slowest delegate. */
	run->call_deadline = run->deadline - seconds * SECONDS / 4;
}

void run_close(struct run *run)
{
	run_close_stores(run);
	if (run->kube)
		kube_free(run->kube);
	if (run->kubeconfig)
		kubeconfig_free(run->kubeconfig);
	if (run->http)
		http_free(run->http);
	nl_free(run->pod);
	nl_free(run->host);
	cleanup_close_fd(&run->netns_fd);
	free(run->path);
	free(run->node);
	free(run->doomed);
	*run = (struct run){.netns_fd = -1};
}
