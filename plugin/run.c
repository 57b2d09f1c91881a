#include "plugin/run.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static void read_boot_id(char boot_id[40])
{
	cleanup_free char *text = NULL;
	cleanup_error struct error ignored = {0};

	boot_id[0] = '\0';
	if (file_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL, &ignored) == 0)
		snprintf(boot_id, 40, "%.36s", text);
	boot_id[strcspn(boot_id, "\n")] = '\0';
}

static void name_node(struct run *run)
{
	char host[HOST_NAME_MAX + 1] = "";

	if (run->config->node) {
		run->node = copy_text(run->config->node);
		return;
	}
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

struct call_params run_call(const struct run *run, const char *command, const char *ifname)
{
	return (struct call_params){
		.command = command,
		.container_id = run->request->container_id,
		.netns = run->call_netns,
		.ifname = ifname,
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
	store_close(run->store);
	nl_free(run->pod);
	nl_free(run->host);
	cleanup_close_fd(&run->netns_fd);
	free(run->path);
	free(run->node);
	free(run->doomed);
	*run = (struct run){.netns_fd = -1};
}
