#include "plugin/import.h"

#include "ipam/range.h"
#include "netlink/netns.h"
#include "plugin/addressing.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/import_read.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"
#include "plugin/nonce.h"
#include "plugin/outcome.h"
#include "plugin/sandbox.h"
#include "plugin/state.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define PLACEHOLDER "pod-"

/* What stands in the store under one attachment's addresses. */
struct look {
	struct store_entry *entries; /* of all of them, owned */
	size_t count;
	struct store_entry evict[MAX_FIXED]; /* borrows from entries */
	size_t evict_count;
	size_t raw;  /* addresses that kube-ipam recorded itself: dynamic ones */
	size_t ours; /* that lamina has for this very interface */
	const char *reservation;
	bool kept;                         /* one is kept for the pod's namespace */
	const struct store_entry *blocker; /* somebody else's; borrowed */
};

static void look_clear(struct look *look)
{
	store_entries_free(look->entries, look->count);
}

struct importing {
	struct run *run;
	bool dry_run;
	struct import_summary *summary;
};

/* One live attachment. */
struct found {
	struct cached cached;
	char *sandbox;
	struct ipam_config *config;
	struct look look;
	bool fixed;
};

static void found_clear(struct found *found)
{
	cached_clear(&found->cached);
	free(found->sandbox);
	ipam_config_free_cleanup(&found->config);
	look_clear(&found->look);
}

#define cleanup_found CLEANUP(found_clear)

bool import_is_placeholder(const struct ipam_record *record)
{
	return record->cid && record->uid && strncmp(record->cid, PLACEHOLDER, strlen(PLACEHOLDER)) == 0 &&
	       strcmp(record->cid + strlen(PLACEHOLDER), record->uid) == 0;
}

char *import_placeholder(const char *uid)
{
	return format_text(PLACEHOLDER "%s", uid);
}

const cJSON *import_own_conf(const cJSON *conf)
{
	const cJSON *plugin;

	if (addressing_is_own(conf))
		return conf;
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		if (addressing_is_own(plugin))
			return plugin;
	}
	return NULL;
}

int import_read_ipam(
	const cJSON *conf, const char *path, const struct config *config, struct ipam_config **ret, struct error *e)
{
	struct addressing addressing;
	int r = addressing_read(import_own_conf(conf), path, config, &addressing, e);

	if (r >= 0)
		*ret = steal_ptr(addressing.config);
	addressing_clear(&addressing);
	return r;
}

/* The node's configuration decides; of a network that it does not have, the one that the attachment was made by. */
static int read_network(const struct run *run, const struct cached *cached, struct ipam_config **ret, struct error *e)
{
	const cJSON *delegate;
	unsigned int index = 0;

	cJSON_ArrayForEach(delegate, run->config->delegates)
	{
		cleanup_free char *path = format_text("delegates[%u]", index++);

		if (import_own_conf(delegate) && same_text(json_text(delegate, "name"), cached->network))
			return import_read_ipam(delegate, path, run->config, ret, e);
	}
	return import_read_ipam(cached->conf, "", run->config, ret, e);
}

static bool is_recorded(const struct run *run, const struct cached *cached)
{
	const char *cni_dir = run->config->cni_dir;
	cleanup_free char *lease = lease_file_path_of(cni_dir, cached->cid, cached->ifname);
	cleanup_record struct record record = {0};
	cleanup_error struct error ignored = {0};

	if (access(lease, F_OK) == 0)
		return true;
	if (state_load(cni_dir, cached->cid, NULL, &record, &ignored) < 0 || !record.ours)
		return false;
	for (size_t i = 0; i < record.plan.count; i++) {
		if (strcmp(record.plan.attachments[i]->ifname, cached->ifname) == 0)
			return true;
	}
	return false;
}

/* The sandbox as a store keeps it; NULL when it is gone. */
static char *find_sandbox(const struct run *run, const struct cached *cached)
{
	cleanup_close int fd = -1;
	cleanup_error struct error ignored = {0};
	struct netns_id id;

	if (netns_open(cached->netns, &fd, &ignored) < 0 || netns_identify(fd, &id, &ignored) < 0)
		return NULL;

	cleanup_sandbox struct sandbox sandbox = {
		.path = copy_text(cached->netns), .id = id, .boot_id = copy_text(run->boot_id)};

	return sandbox_text(&sandbox);
}

static void look_at_hold(struct look *look, const struct store_entry *entry, const struct cached *cached)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!entry->hold)
		return;
	if (same_text(entry->hold, cached->ns)) {
		look->kept = true;
		return;
	}
	if (ipam_value_parse(entry->hold, &value, &ignored) == 0 && same_text(value.record.ns, cached->ns) &&
		same_text(value.record.pod, cached->pod)) {
		look->reservation = entry->hold;
		return;
	}
	look->blocker = entry;
}

static void look_at_claim(
	struct look *look, const struct store_entry *entry, const struct cached *cached, const struct run *run)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};
	bool known, evict;

	if (!entry->value)
		return;
	known = ipam_value_parse(entry->value, &value, &ignored) == 0;
	if (known && same_text(value.record.cid, cached->cid) && same_text(value.record.ifname, cached->ifname)) {
		look->ours++;
		return;
	}
	evict = known ? import_is_placeholder(&value.record) && same_text(value.record.uid, cached->uid)
		      : same_text(entry->value, cached->cid);
	look->raw += evict && !known;
	if (!evict && !lease_holder_is_gone(entry, run))
		look->blocker = entry;
	else if (look->evict_count < MAX_FIXED)
		look->evict[look->evict_count++] = *entry;
}

static int look_at(
	struct look *look, struct store *store, const struct cached *cached, const struct run *run, struct error *e)
{
	for (size_t i = 0; i < cached->addr_count; i++) {
		struct store_entry *entries = NULL;
		size_t count = 0;

		if (store->ops->list(store, cached->network, &cached->addrs[i], &entries, &count, e) < 0)
			return e->err;
		look->entries = reallocate(look->entries, look->count + count + 1, sizeof(*entries));
		for (size_t j = 0; j < count; j++)
			look->entries[look->count++] = entries[j];
		free(entries);
	}
	for (size_t i = 0; i < look->count; i++) {
		look_at_hold(look, &look->entries[i], cached);
		look_at_claim(look, &look->entries[i], cached, run);
	}
	return 0;
}

/* kube-ipam recorded its dynamic addresses, and no fixed one. This node's store has nothing of it: there the range
 * decides. */
static bool is_fixed(const struct cached *cached, const struct ipam_config *config, const struct look *look)
{
	if (config->etcd)
		return look->raw < cached->addr_count;
	for (size_t i = 0; i < cached->addr_count; i++) {
		bool allowed = false;

		for (size_t j = 0; j < config->set_count && !allowed; j++)
			allowed = ipam_set_allows(&config->sets[j], &cached->addrs[i]);
		if (!allowed)
			return true;
	}
	return false;
}

static char *describe_owner(const struct cached *cached)
{
	if (!cached->pod)
		return format_text("%s of container %s", cached->ifname, cached->cid);

	cleanup_free char *ns = outcome_shown(cached->ns), *pod = outcome_shown(cached->pod);

	return format_text("%s of pod %s/%s, container %s", cached->ifname, ns, pod, cached->cid);
}

static void report(struct import_summary *summary, const struct cached *cached, const char *what, const char *why)
{
	cleanup_free char *owner = describe_owner(cached);

	for (size_t i = 0; i < cached->addr_count; i++) {
		cJSON *outcome = outcome_add(summary->outcomes, what, cached->network, &cached->addrs[i], "%s%s%s",
			owner, why ? ": " : "", why ? why : "");

		json_put_text(outcome, "container", cached->cid);
		json_put_text(outcome, "interface", cached->ifname);
		json_put_text(outcome, "namespace", cached->ns);
		json_put_text(outcome, "pod", cached->pod);
	}
}

static void report_conflict(
	struct import_summary *summary, const struct cached *cached, const struct store_entry *holder)
{
	cleanup_free char *who = holder && holder->value ? ipam_value_describe(holder->value)
				 : holder                ? outcome_hold(holder->hold)
							 : copy_text("somebody else");
	cleanup_free char *why = format_text("%s is %s %s", holder ? ip_text(&holder->addr).s : "it",
		holder && !holder->value ? "kept for" : "held by", who);

	summary->conflicts++;
	report(summary, cached, "conflict", why);
}

static char *print_record(const struct cached *cached, bool fixed, const struct run *run, const struct nonce *nonce)
{
	const struct ipam_record record = {
		.fixed = fixed,
		.cluster = run->config->cluster,
		.ns = cached->ns,
		.pod = cached->pod,
		.uid = cached->uid,
		.cid = cached->cid,
		.ifname = cached->ifname,
		.node = run->node,
		.node_guessed = run->node_guessed,
		.nonce = nonce->text,
		.time = cached->since ? cached->since : time(NULL),
	};

	return ipam_record_print(&record);
}

/* The attachments of placeholders that gave way. What fails here is collected by GC. */
static void drop_placeholders(const struct look *look, struct store *store)
{
	for (size_t i = 0; i < look->evict_count; i++) {
		const struct store_entry *entry = &look->evict[i];
		cleanup_value struct ipam_value value = {0};
		cleanup_error struct error failed = {0};

		if (ipam_value_parse(entry->value, &value, &failed) < 0 || !import_is_placeholder(&value.record))
			continue;

		const struct store_release release = {
			.network = entry->network,
			.cid = value.record.cid,
			.ifname = value.record.ifname ? value.record.ifname : "",
			.value = entry->value,
			.addrs = &entry->addr,
			.addr_count = 1,
		};

		if (store->ops->release(store, &release, &failed) < 0)
			log_write(LOG_DEBUG, "%s of %s stays: %s", value.record.cid, entry->network, failed.message);
	}
}

static int claim(const struct importing *im, struct store *store, const struct found *found, struct error *e)
{
	const struct cached *cached = &found->cached;
	const struct look *look = &found->look;
	cleanup_reply struct store_reply reply = {0};
	struct nonce nonce;

	if (nonce_draw(&nonce, e) < 0)
		return e->err;

	cleanup_free char *value = print_record(cached, found->fixed, im->run, &nonce);
	const struct store_request request = {
		.network = cached->network,
		.config = found->config,
		.fixed = cached->addrs,
		.fixed_count = cached->addr_count,
		.ns = found->fixed || look->kept ? cached->ns : NULL,
		.reservation = look->reservation,
		.cid = cached->cid,
		.ifname = cached->ifname,
		.value = value,
		.sandbox = found->sandbox,
		.evict = look->evict,
		.evict_count = look->evict_count,
	};

	if (store->ops->claim(store, &request, &reply, e) < 0)
		return e->err;
	if (reply.answer == STORE_HELD) {
		report_conflict(im->summary, cached, reply.holder_count ? reply.holders : NULL);
		return 0;
	}
	drop_placeholders(look, store);
	im->summary->imported++;
	report(im->summary, cached, "imported", found->fixed ? "fixed" : "dynamic");
	return 0;
}

static int open_store(const struct importing *im, const struct ipam_config *config, struct store **ret, struct error *e)
{
	int r = 0;

	if (config->etcd || !im->dry_run)
		return lease_store(im->run, config->etcd, ret, e);
	if (!im->run->store)
		r = lease_open_store_readonly(im->run, e);
	*ret = im->run->store;
	return r;
}

/* A live one without a record. */
static int import_attachment(const struct importing *im, struct found *found, struct error *e)
{
	const struct cached *cached = &found->cached;
	cleanup_error struct error bad = {0};
	struct store *store = NULL;

	if (read_network(im->run, cached, &found->config, &bad) < 0) {
		im->summary->skipped++;
		report(im->summary, cached, "skipped", bad.message);
		return 0;
	}
	if (open_store(im, found->config, &store, e) < 0 || look_at(&found->look, store, cached, im->run, e) < 0)
		return e->err;
	found->fixed = is_fixed(cached, found->config, &found->look);
	if (found->look.ours == cached->addr_count) {
		im->summary->present++;
		report(im->summary, cached, "present", NULL);
		return 0;
	}
	if (found->look.blocker) {
		report_conflict(im->summary, cached, found->look.blocker);
		return 0;
	}
	if (!im->dry_run)
		return claim(im, store, found, e);
	im->summary->imported++;
	report(im->summary, cached, "imported", found->fixed ? "fixed" : "dynamic");
	return 0;
}

static int import_file(const struct importing *im, const char *folder, const char *name, struct error *e)
{
	cleanup_found struct found found = {0};
	cleanup_error struct error bad = {0};
	int r = cached_read(folder, name, &found.cached, &bad);

	if (r < 0) {
		log_write(LOG_WARNING, "not imported: %s", bad.message);
		im->summary->skipped++;
	}
	if (r <= 0 || is_recorded(im->run, &found.cached))
		return 0;
	found.sandbox = find_sandbox(im->run, &found.cached);
	return found.sandbox ? import_attachment(im, &found, e) : 0;
}

int import_node(struct run *run, bool dry_run, struct import_summary *ret, struct error *e)
{
	const struct importing im = {.run = run, .dry_run = dry_run, .summary = ret};
	cleanup_free char *folder = format_text("%s/results", run->config->cni_dir);
	cleanup_dir DIR *dir = opendir(folder);
	struct dirent *entry;

	*ret = (struct import_summary){.outcomes = cJSON_CreateArray()};
	if (!dir && errno != ENOENT)
		return error_set(e, -errno, ERROR_IO, "%s: %s", folder, strerror(errno));
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR &&
			import_file(&im, folder, entry->d_name, e) < 0)
			return error_wrap(e, "import of kube-ipam's addresses (%s)", entry->d_name);
	}
	return 0;
}

void import_summary_clear(struct import_summary *summary)
{
	cJSON_Delete(summary->outcomes);
	*summary = (struct import_summary){0};
}
