/* A record that is lost, or that nobody can read, from libcni's cache: each answer stands beside the configuration that
 * it was given to. */
#include "plugin/results.h"
#include "plugin/state.h"
#include "plugin/state_element.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

/* More than a pod has networks. */
#define BEHIND_ALL 1000

/* The file must be the one that the answer would be written to: by that name it is removed. */
static bool is_of(const cJSON *cache, const char *file, const char *container_id, const char *ifname)
{
	const char *network = json_text(cache, "networkName"), *interface = json_text(cache, "ifName"),
		   *owner = json_text(json_get(cache, "lamina"), "for");
	cleanup_error struct error ignored = {0};

	if (!same_text(json_text(cache, "containerId"), container_id) || !network || !interface ||
		!is_cni_name(network) || request_check_ifname(interface, &ignored) < 0)
		return false;

	cleanup_free char *name = format_text("%s-%s-%s", network, container_id, interface);

	return *interface && strcmp(name, file) == 0 && (!owner || strcmp(owner, ifname) == 0);
}

/* Which of the pod's networks it was: ours say it, else the interface does; one that nobody knows comes behind all. */
static unsigned int find_index(const cJSON *cache, const char *ifname)
{
	const char *interface = json_text(cache, "ifName");
	const unsigned int number = attachment_index(interface);
	const bool is_default = strcmp(interface, ifname) == 0;

	return element_index(cache, is_default ? 0 : number > 0 ? number : BEHIND_ALL);
}

static void ask_for_same(struct attachment *a, const cJSON *capabilities)
{
	struct network_element asked = {0};

	asked.mac = copy_text(json_text(capabilities, "mac"));
	asked.infiniband_guid = copy_text(json_text(capabilities, "infinibandGUID"));
	asked.device_id = copy_text(json_text(capabilities, "deviceID"));
	network_recall_ips(&asked, json_get(capabilities, "ips"));
	if (asked.mac || asked.infiniband_guid || asked.device_id || asked.ip_count > 0)
		attachment_ask(a, &asked);
}

static struct attachment *read_attachment(const cJSON *cache, const char *ifname)
{
	const char *name = json_text(json_get(cache, "lamina"), "name");
	cleanup_json cJSON *conf = results_read_conf(cache, "config");
	struct attachment *a;

	if (!conf || !same_text(json_text(conf, "name"), json_text(cache, "networkName")))
		return NULL;
	a = attachment_new(conf, find_index(cache, ifname), ifname);
	if (a->index > 0)
		ask_for_same(a, json_get(cache, "capabilityArgs"));
	if (name && *name) {
		free(a->name);
		a->name = copy_text(name);
	}
	snprintf(a->ifname, sizeof(a->ifname), "%s", json_text(cache, "ifName"));
	made_assume(&a->made);
	return a;
}

static void add_cached(
	const char *folder, const char *file, const char *container_id, const char *ifname, struct record *ret)
{
	cleanup_free char *path = format_text("%s/%s", folder, file);
	cleanup_json cJSON *cache = results_read_file(path);
	struct attachment *a = is_of(cache, file, container_id, ifname) ? read_attachment(cache, ifname) : NULL;

	if (!a)
		return;
	plan_append(&ret->plan, a);
	if (!ret->network)
		ret->network = copy_text(json_text(json_get(cache, "lamina"), "network"));
}

static int compare(const void *left, const void *right)
{
	const struct attachment *const *a = left, *const *b = right;

	if ((*a)->index != (*b)->index)
		return (*a)->index < (*b)->index ? -1 : 1;
	return strcmp((*a)->ifname, (*b)->ifname);
}

static void read_cache(const char *cni_dir, const char *container_id, const char *ifname, struct record *ret)
{
	cleanup_free char *folder = format_text("%s/results", cni_dir), *part = format_text("-%s-", container_id);
	cleanup_dir DIR *dir = opendir(folder);
	struct dirent *file;

	while (dir && (file = readdir(dir))) {
		/* There may be hundreds of thousands of them: only the container's are opened. */
		if (file->d_name[0] != '.' && strstr(file->d_name, part))
			add_cached(folder, file->d_name, container_id, ifname, ret);
	}
	if (ret->plan.count == 0)
		return;
	qsort(ret->plan.attachments, ret->plan.count, sizeof(*ret->plan.attachments), compare);
	for (size_t i = 0; i < ret->plan.count; i++)
		results_load(ret->plan.attachments[i], cni_dir, container_id);
}

static bool has_attachment(const struct plan *plan, const struct attachment *a)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *other = plan->attachments[i];

		if (strcmp(other->network, a->network) == 0 && strcmp(other->ifname, a->ifname) == 0)
			return true;
	}
	return false;
}

static void assume_others(struct plan *plan, const struct request *request, const struct config *config)
{
	cleanup_plan struct plan others = {0};

	plan_assume(&others, request, config);
	for (size_t i = 0; i < others.count; i++) {
		struct attachment *a = others.attachments[i];

		if (has_attachment(plan, a)) {
			attachment_free(a);
			continue;
		}
		made_assume(&a->made);
		plan_append(plan, a);
	}
	others.count = 0;
}

bool state_recall(const struct request *request, const struct config *config, bool damaged, struct record *ret)
{
	cleanup_free char *record = format_text("%s/%s", config->cni_dir, request->container_id);

	*ret = (struct record){.done = !damaged};
	/* A record without this interface is of another ADD of the container's, and so is what the cache has. */
	if (!damaged && access(record, F_OK) == 0)
		return false;
	read_cache(config->cni_dir, request->container_id, request->ifname, ret);
	if (ret->plan.count == 0)
		return false;
	if (damaged)
		assume_others(&ret->plan, request, config);
	return true;
}

void state_complete_versions(struct record *record, const struct request *request)
{
	const char *version = json_text(request->conf, "cniVersion");

	for (size_t i = 0; version && i < record->plan.count; i++) {
		cJSON *conf = record->plan.attachments[i]->conf;
		const char *type = json_text(conf, "type"), *own = json_text(conf, "cniVersion");

		if ((!type || !*type) && (!own || !*own) && !json_get(conf, "cniVersions"))
			json_put_text(conf, "cniVersion", version);
	}
}
