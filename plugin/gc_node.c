#include "plugin/gc_node.h"

#include "delegate/exec.h"
#include "ipam/outbox.h"
#include "plugin/addressing.h"
#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/cli_conf.h"
#include "plugin/gc.h"
#include "plugin/gc_seen.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

struct node {
	cJSON *conf;
	cJSON *cached; /* networks that pods ask for, as they were before anything is removed */
	struct config config;
	struct request request; /* of nobody */
	struct gc_scope scope;
	struct run run; /* of nobody: names, this boot, the stores as they are looked at */
	struct gc_seen seen;
	bool dry_run;
	int lock;
	cJSON *items;
};

static void node_clear(struct node *node)
{
	gc_seen_clear(&node->seen);
	run_close(&node->run);
	config_clear(&node->config);
	cleanup_close_fd(&node->lock);
	cJSON_Delete(node->conf);
	cJSON_Delete(node->cached);
	cJSON_Delete(node->items);
}

#define cleanup_node CLEANUP(node_clear)

/* Two at once would do each DEL twice, at the same time. */
static int lock_node(struct node *node, struct error *e)
{
	cleanup_free char *path = format_text("%s/gc.lock", node->config.data_dir);

	if (file_make_folder(node->config.data_dir, 0700, e) < 0)
		return e->err;
	node->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (node->lock < 0)
		return error_set(e, -errno, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
	if (flock(node->lock, LOCK_EX | LOCK_NB) < 0)
		return error_set(e, -errno, ERROR_TRY_AGAIN, "another gc is at work on this node: try again later");
	return 0;
}

static int64_t seconds_each(const struct node *node)
{
	return 1 + node->config.timeout / 2;
}

static int open_node(struct node *node, const char *conf_file, struct error *e)
{
	const char *path = getenv("CNI_PATH");
	cleanup_error struct error ignored = {0};

	if (cli_conf_find(conf_file, &node->conf, e) < 0)
		return e->err;
	if (config_read(node->conf, false, &node->config, &ignored) < 0) {
		config_clear(&node->config);
		config_read_folders(node->conf, &node->config);
	}
	node->request = (struct request){
		.verb = VERB_GC,
		.command = "GC",
		.container_id = "",
		.ifname = "",
		.netns = "",
		.args = "",
		.path = path ? path : "",
		.network = "",
		.conf = node->conf,
	};
	node->scope = (struct gc_scope){.request = &node->request, .config = &node->config};
	process_adopt_orphans();
	if (run_open(&node->run, &node->request, &node->config, seconds_each(node), e) < 0 ||
		(!node->dry_run && lock_node(node, e) < 0))
		return e->err;
	gc_seen_read(&node->run, &node->seen);
	return 0;
}

static cJSON *add_item(struct node *node, const char *what, const char *container_id, const char *ifname,
	const char *network, const char *why)
{
	cJSON *item = cJSON_CreateObject();

	json_put_text(item, "what", what);
	json_put_text(item, "container", container_id);
	json_put_text(item, "interface", ifname);
	json_put_text(item, "network", network);
	json_put(item, "addresses", cJSON_CreateArray());
	json_put_text(item, "why", why);
	cJSON_AddItemToArray(node->items, item);
	return item;
}

static void add_addresses(cJSON *item, const struct ip_addr *addrs, size_t count)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(item, "addresses");

	for (size_t i = 0; i < count; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(ip_text(&addrs[i]).s));
}

/* Whether what is gone may be collected now; else the item says why not. certain: once is enough. */
static bool is_due(struct node *node, cJSON *item, const char *identity, bool certain)
{
	const char *container_id = json_text(item, "container");
	int64_t left = certain ? 0 : gc_seen_note(&node->seen, identity);

	if (process_container_works(container_id)) {
		json_put_text(item, "result", "busy");
		return false;
	}
	if (left > 0) {
		json_put_text(item, "result", "waiting");
		json_put(item, "waitSeconds", cJSON_CreateNumber((double)left));
		return false;
	}
	if (node->dry_run)
		json_put_text(item, "result", "would collect");
	return !node->dry_run;
}

static void close_item(struct node *node, cJSON *item, const char *identity, struct error *failed, struct error *e)
{
	json_put_text(item, "result", failed->err ? "failed" : "collected");
	if (failed->err) {
		const char *container_id = json_text(item, "container");

		json_put_text(item, "error", failed->message);
		error_wrap(failed, "%s of container %s", json_text(item, "what"), container_id ? container_id : "?");
		error_add(e, failed);
	} else {
		gc_seen_forget(&node->seen, identity);
	}
	fault_point("collected");
}

static bool is_of_earlier_boot(const struct node *node, const struct sandbox *sandbox)
{
	return sandbox->boot_id && *sandbox->boot_id && strcmp(sandbox->boot_id, node->run.boot_id) != 0;
}

static const char *why_gone(const struct node *node, const struct sandbox *sandbox)
{
	return is_of_earlier_boot(node, sandbox) ? "earlier boot" : "namespace gone";
}

static char *identify(const char *what, const char *container_id, const char *ifname, const struct sandbox *sandbox)
{
	cleanup_free char *text = sandbox_text(sandbox);

	return format_text("%s %s %s %s", what, container_id, ifname, text);
}

static void describe_record(const struct node *node, const struct state_entry *entry, cJSON *item)
{
	cleanup_record struct record record = {0};
	cleanup_error struct error ignored = {0};

	if (state_load(node->config.cni_dir, entry->container_id, entry->ifname, &record, &ignored) < 0)
		return;
	for (size_t i = 0; i < record.plan.count; i++)
		add_addresses(
			item, record.plan.attachments[i]->made.addrs, record.plan.attachments[i]->made.addr_count);
}

static void collect_record(struct node *node, const struct state_entry *entry, const struct cached_result *results,
	size_t count, struct error *e)
{
	cleanup_free char *identity = identify("record", entry->container_id, entry->ifname, &entry->sandbox);
	cleanup_error struct error failed = {0};
	cJSON *item = add_item(
		node, "record", entry->container_id, entry->ifname, entry->network, why_gone(node, &entry->sandbox));

	describe_record(node, entry, item);
	if (!is_due(node, item, identity, is_of_earlier_boot(node, &entry->sandbox)))
		return;
	/* Others were taken down since it was read, which takes its time. */
	if (!state_is_unchanged(node->config.cni_dir, entry)) {
		json_put_text(item, "result", "busy");
		return;
	}
	gc_take_down(&node->scope, entry, results, count, seconds_each(node), &failed);
	close_item(node, item, identity, &failed, e);
}

static void collect_records(struct node *node, struct error *e)
{
	struct state_entry *entries = NULL;
	struct cached_result *results = NULL;
	size_t count = 0, result_count = 0;
	cleanup_error struct error failed = {0};

	if (state_list(node->config.cni_dir, &entries, &count, &failed) == 0)
		cached_results_list(node->config.cni_dir, &results, &result_count, &failed);
	for (size_t i = 0; i < count; i++) {
		const struct state_entry *entry = &entries[i];

		if (entry->damaged)
			log_write(LOG_WARNING, "%s/%s is damaged, and left alone: its DEL goes by the configuration",
				node->config.cni_dir, entry->container_id);
		/* multus's say nothing of boot or namespace. */
		else if (entry->ifname && sandbox_is_gone(&entry->sandbox, node->run.boot_id))
			collect_record(node, entry, results, result_count, e);
	}
	state_entries_free(entries, count);
	cached_results_free(results, result_count);
	error_add(e, &failed);
}

static void collect_file(struct node *node, const char *path, struct error *e)
{
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error failed = {0};

	if (lease_file_read(path, &file, &failed) < 0) {
		if (failed.err != -ENOENT)
			log_write(LOG_WARNING, "left alone: %s", failed.message);
		return;
	}
	if (!sandbox_is_gone(&file.sandbox, node->run.boot_id))
		return;

	cleanup_free char *identity = identify("lease", file.container_id, file.ifname, &file.sandbox);
	cJSON *item = add_item(
		node, "lease", file.container_id, file.ifname, file.made.lease_network, why_gone(node, &file.sandbox));

	add_addresses(item, file.made.addrs, file.made.addr_count);
	if (!is_due(node, item, identity, is_of_earlier_boot(node, &file.sandbox)))
		return;
	node->scope.deadline = clock_now() + 2 * seconds_each(node) * SECONDS;
	gc_release_file(&node->scope, path, &failed);
	close_item(node, item, identity, &failed, e);
}

static void collect_files(struct node *node, struct error *e)
{
	cleanup_free char *folder = format_text("%s/lease", node->config.cni_dir);
	cleanup_dir DIR *dir = opendir(folder);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		cleanup_free char *path = format_text("%s/%s", folder, entry->d_name);

		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR)
			collect_file(node, path, e);
	}
}

/* A record may lie where another configuration has it: a claim of this node whose namespace is there still is
 * somebody's. */
static bool lives(const struct node *node, struct store *store, const struct store_attachment *attachment)
{
	struct store_entry *entries = NULL;
	size_t count = 0;
	cleanup_error struct error ignored = {0};
	bool found = false;

	for (size_t i = 0; i < attachment->addr_count && !found; i++) {
		if (store->ops->list(store, attachment->network, &attachment->addrs[i], &entries, &count, &ignored) < 0)
			return true;
		for (size_t j = 0; j < count; j++)
			found |= entries[j].sandbox && entries[j].value && attachment->value &&
				 strcmp(entries[j].value, attachment->value) == 0 &&
				 !lease_holder_is_gone(&entries[j], &node->run);
		store_entries_free(entries, count);
	}
	return found;
}

static int release(
	struct node *node, const struct etcd_config *etcd, const struct store_attachment *attachment, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	struct store *store = NULL;

	if (run_open(&run, &node->request, &node->config, seconds_each(node), e) < 0 ||
		lease_store(&run, etcd, &store, e) < 0)
		return e->err;
	return gc_release(store, attachment, e);
}

static void collect_attachment(struct node *node, struct store *store, const struct etcd_config *etcd,
	const struct store_attachment *attachment, struct error *e)
{
	if (attachment->closed || gc_is_recorded(node->config.cni_dir, attachment) || lives(node, store, attachment))
		return;

	cleanup_free char *identity = format_text("address %s %s %s %s", attachment->network, attachment->cid,
		attachment->ifname, attachment->value ? attachment->value : "");
	cleanup_error struct error failed = {0};
	cJSON *item = add_item(node, "address", attachment->cid, attachment->ifname, attachment->network, "no record");

	add_addresses(item, attachment->addrs, attachment->addr_count);
	if (!is_due(node, item, identity, false))
		return;
	release(node, etcd, attachment, &failed);
	close_item(node, item, identity, &failed, e);
}

/* network NULL: all of this node's. */
static void collect_store(
	struct node *node, struct store *store, const struct etcd_config *etcd, const char *network, struct error *e)
{
	struct store_attachment *attachments = NULL;
	cleanup_error struct error failed = {0};
	size_t count = 0;

	store->ops->attachments(store, network, &attachments, &count, &failed);
	for (size_t i = 0; i < count; i++)
		collect_attachment(node, store, etcd, &attachments[i], e);
	store_attachments_free(attachments, count);
	error_add(e, &failed);
}

/* Looked at without making it: a node without addresses keeps none. */
static void collect_embedded(struct node *node, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error failed = {0};

	if (run_open(&run, &node->request, &node->config, seconds_each(node), &failed) == 0 &&
		lease_open_store_readonly(&run, &failed) == 0)
		collect_store(node, run.store, NULL, NULL, e);
	error_add(e, &failed);
}

static void collect_etcd(struct node *node, const cJSON *delegate, const cJSON *plugin, struct error *e)
{
	const char *network = json_text(delegate, "name");
	CLEANUP(addressing_clear) struct addressing addressing = {0};
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error failed = {0};
	struct store *store = NULL;

	if (!network || addressing_read(plugin, network, &node->config, &addressing, &failed) < 0 ||
		!addressing.config->etcd) {
		error_add(e, &failed);
		return;
	}
	if (run_open(&run, &node->request, &node->config, seconds_each(node), &failed) == 0 &&
		lease_store(&run, addressing.config->etcd, &store, &failed) == 0) {
		collect_store(node, store, addressing.config->etcd, network, e);
		if (!node->dry_run)
			store->ops->sweep(store, network, addressing.config->domain, &failed);
	}
	if (failed.err)
		error_wrap(&failed, "network %s", network);
	error_add(e, &failed);
}

static void collect_all_etcd(struct node *node, const cJSON *confs, struct error *e)
{
	const cJSON *conf;

	cJSON_ArrayForEach(conf, confs)
	{
		const cJSON *plugin = import_own_conf(conf);

		if (plugin)
			collect_etcd(node, conf, plugin, e);
	}
}

static void collect_addresses(struct node *node, struct error *e)
{
	collect_embedded(node, e);
	collect_all_etcd(node, node->config.delegates, e);
	collect_all_etcd(node, node->cached, e);
}

static bool is_queued(const struct outbox_entry *entries, size_t count, const char *file)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].file, file) == 0)
			return true;
	}
	return false;
}

static void send_queued(
	struct node *node, const char *folder, const struct outbox_entry *queued, size_t count, struct error *e)
{
	struct outbox_entry *left = NULL;
	size_t left_count = 0;
	cleanup_error struct error failed = {0};

	if (!node->dry_run) {
		node->scope.deadline = clock_now() + seconds_each(node) * SECONDS;
		gc_drain(&node->scope, &failed);
		outbox_read(folder, &left, &left_count, &failed);
	}
	for (size_t i = 0; i < count; i++) {
		const struct outbox_entry *entry = &queued[i];
		cJSON *item = add_item(node, "release", entry->cid, entry->ifname, entry->network, "queued");
		bool stays = is_queued(left, left_count, entry->file);

		add_addresses(item, entry->addrs, entry->addr_count);
		json_put_text(item, "result", node->dry_run ? "would collect" : stays ? "failed" : "collected");
		if (stays)
			json_put_text(item, "error", failed.err ? failed.message : "its store is away");
	}
	if (!failed.err && left_count > 0)
		error_set(&failed, -EAGAIN, ERROR_TRY_AGAIN, "%zu queued releases could not be sent", left_count);
	outbox_entries_free(left, left_count);
	error_add(e, &failed);
}

static void collect_queue(struct node *node, struct error *e)
{
	cleanup_free char *folder = format_text("%s/outbox", node->config.cni_dir);
	struct outbox_entry *queued = NULL;
	size_t count = 0;
	cleanup_error struct error failed = {0};

	if (outbox_is_empty(folder))
		return;
	if (outbox_read(folder, &queued, &count, &failed) == 0)
		send_queued(node, folder, queued, count, e);
	outbox_entries_free(queued, count);
	error_add(e, &failed);
}

int gc_node(const char *conf_file, bool dry_run, cJSON **ret, struct error *e)
{
	cleanup_node struct node node = {.dry_run = dry_run, .lock = -1, .run.netns_fd = -1};

	*ret = NULL;
	node.items = cJSON_CreateArray();
	if (open_node(&node, conf_file, e) < 0)
		return e->err;
	node.cached = cached_networks(node.config.cni_dir, node.config.delegates);
	collect_records(&node, e);
	collect_files(&node, e);
	collect_addresses(&node, e);
	collect_queue(&node, e);
	if (!dry_run) {
		cleanup_error struct error failed = {0};

		gc_seen_write(&node.seen, &failed);
		error_add(e, &failed);
	}
	*ret = steal_ptr(node.items);
	return e->err;
}
