/* The embedded store as this node's pods need it: opened on first use, made anew from their records when its file is
 * missing. */
#include "ipam/store_etcd.h"
#include "ipam/store_sqlite.h"
#include "plugin/base/log.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"
#include "plugin/state.h"

#include <errno.h>
#include <string.h>

/* How long a cluster is waited for. */
#define ADD_SECONDS 10
#define OTHER_SECONDS 3

struct seeds {
	struct store_seed *list;
	size_t count;
	const struct run *run;
	cJSON *texts; /* keeps the seeds' strings alive */
};

static const char *keep(struct seeds *seeds, const char *text)
{
	cJSON *item = cJSON_CreateString(text ? text : "");

	cJSON_AddItemToArray(seeds->texts, item);
	return item->valuestring;
}

static void add_seeds(struct seeds *seeds, const char *container_id, const char *ifname, const struct made *made,
	const struct sandbox *sandbox)
{
	if (made->lease != MADE_DONE || !made->lease_network || !made->lease_value ||
		sandbox_is_gone(sandbox, seeds->run->boot_id))
		return;

	cleanup_free char *text = sandbox_text(sandbox);

	for (size_t i = 0; i < made->addr_count; i++) {
		seeds->list = reallocate(seeds->list, seeds->count + 1, sizeof(*seeds->list));
		seeds->list[seeds->count++] = (struct store_seed){
			.network = keep(seeds, made->lease_network),
			.domain = keep(seeds, made->lease_domain),
			.cid = keep(seeds, container_id),
			.ifname = keep(seeds, ifname),
			.value = keep(seeds, made->lease_value),
			.sandbox = keep(seeds, text),
			.addr = made->addrs[i],
		};
	}
}

static void collect_container(struct seeds *seeds, const char *cni_dir, const char *name)
{
	cleanup_record struct record record = {0};
	cleanup_error struct error ignored = {0};

	if (!is_cni_name(name) || state_load(cni_dir, name, NULL, &record, &ignored) < 0)
		return;
	for (size_t i = 0; i < record.plan.count; i++) {
		const struct attachment *a = record.plan.attachments[i];

		add_seeds(seeds, name, a->ifname, &a->made, &record.sandbox);
	}
}

static void collect_lease(struct seeds *seeds, const char *folder, const char *name)
{
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error ignored = {0};
	cleanup_free char *path = format_text("%s/%s", folder, name);

	if (lease_file_read(path, &file, &ignored) == 0)
		add_seeds(seeds, file.container_id, file.ifname, &file.made, &file.sandbox);
}

static void each_file(struct seeds *seeds, const char *folder,
	void (*collect)(struct seeds *seeds, const char *folder, const char *name))
{
	cleanup_dir DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR)
			collect(seeds, folder, entry->d_name);
	}
}

static int rebuild(const struct store_sqlite_paths *paths, const struct run *run, struct error *e)
{
	struct seeds seeds = {.run = run, .texts = cJSON_CreateArray()};
	cleanup_free char *leases = format_text("%s/lease", run->config->cni_dir);

	each_file(&seeds, run->config->cni_dir, collect_container);
	each_file(&seeds, leases, collect_lease);

	int r = store_sqlite_create(paths, seeds.list, seeds.count, run->deadline, e);

	free(seeds.list);
	cJSON_Delete(seeds.texts);
	return r;
}

static char *claims_path(const struct run *run)
{
	return format_text("%s/%s.db", run->config->data_dir, run->boot_id);
}

static char *holds_path(const struct run *run)
{
	return format_text("%s/holds.db", run->config->cni_dir);
}

int lease_open_store_readonly(struct run *run, struct error *e)
{
	cleanup_free char *claims = claims_path(run), *holds = holds_path(run);
	const struct store_sqlite_paths paths = {.claims = claims, .holds = holds};

	return store_sqlite_open_readonly(&paths, run->deadline, &run->store, e);
}

static int open_own(struct run *run, struct error *e)
{
	if (run->store)
		return 0;

	cleanup_free char *claims = claims_path(run), *holds = holds_path(run);
	const struct store_sqlite_paths paths = {.claims = claims, .holds = holds};

	if (store_sqlite_open(&paths, run->deadline, &run->store, e) == -ENOENT) {
		error_clear(e);
		if (rebuild(&paths, run, e) < 0 || store_sqlite_open(&paths, run->deadline, &run->store, e) < 0)
			return e->err;
	}
	if (run->store)
		trace_step("store opened");
	return e->err;
}

/* An ADD may wait for a cluster; nothing else may let a pod hang: what is not done then is done later. */
static int64_t remote_deadline(const struct run *run)
{
	return run_within(run, run->request->verb == VERB_ADD && !run->going_back ? ADD_SECONDS : OTHER_SECONDS);
}

static int open_remote(struct run *run, const char *key, const struct etcd_config *etcd, struct error *e)
{
	cleanup_json cJSON *printed = etcd_config_print(etcd);
	cleanup_etcd_config struct etcd_config *copy = NULL;
	struct store *store = NULL;
	struct http *http;

	if (run_http(run, &http, e) < 0 || etcd_config_parse(printed, "etcdConfig", &copy, e) < 0)
		return e->err;

	const struct store_etcd_options options = {
		.config = copy,
		.http = http,
		.node = run->node,
		.data_dir = run->only_looks ? NULL : run->config->data_dir,
		.deadline = remote_deadline(run),
	};

	if (store_etcd_open(&options, &store, e) < 0)
		return e->err;
	run->remote = reallocate(run->remote, run->remote_count + 1, sizeof(*run->remote));
	run->remote[run->remote_count++] =
		(struct run_store){.key = copy_text(key), .etcd = steal_ptr(copy), .store = store};
	return 0;
}

static int find_remote(struct run *run, const struct etcd_config *etcd, struct store **ret, struct error *e)
{
	cleanup_json cJSON *printed = etcd_config_print(etcd);
	cleanup_free char *key = json_print(printed);

	for (size_t i = 0; i < run->remote_count; i++) {
		*ret = run->remote[i].store;
		if (strcmp(run->remote[i].key, key) != 0)
			continue;
		store_etcd_set_deadline(*ret, remote_deadline(run));
		store_etcd_set_node(*ret, run->node);
		return 0;
	}
	if (open_remote(run, key, etcd, e) < 0)
		return e->err;
	*ret = run->remote[run->remote_count - 1].store;
	return 0;
}

int lease_store(struct run *run, const struct etcd_config *etcd, struct store **ret, struct error *e)
{
	if (etcd)
		return find_remote(run, etcd, ret, e);
	if (open_own(run, e) < 0)
		return e->err;
	*ret = run->store;
	return 0;
}

void lease_warm(struct run *run, const struct etcd_config *etcd, bool await)
{
	cleanup_error struct error ignored = {0};
	struct store *store;

	if (etcd && find_remote(run, etcd, &store, &ignored) == 0)
		store_etcd_warm(store, await);
}

bool lease_holder_is_gone(const struct store_entry *entry, const struct run *run)
{
	cleanup_json cJSON *json = NULL;
	cleanup_sandbox struct sandbox sandbox = {0};
	cleanup_error struct error ignored = {0};

	if (!entry->sandbox || json_parse(entry->sandbox, strlen(entry->sandbox), "sandbox", &json, &ignored) < 0)
		return false;
	sandbox_read(json, &sandbox);
	return sandbox_is_gone(&sandbox, run->boot_id);
}

static bool holds(const struct store_entry *entry, const struct ip_addr *addr, const struct made *made)
{
	return entry->value && strcmp(entry->network, made->lease_network) == 0 &&
	       ip_compare(&entry->addr, addr) == 0 &&
	       (!made->lease_value || strcmp(entry->value, made->lease_value) == 0);
}

static int check_address(
	struct store *store, const struct ip_addr *addr, const char *ifname, const struct made *made, struct error *e)
{
	struct store_entry *entries = NULL;
	size_t count = 0;
	bool found = false;

	if (store->ops->list(store, made->lease_network, addr, &entries, &count, e) < 0)
		return e->err;
	for (size_t i = 0; i < count && !found; i++)
		found = holds(&entries[i], addr, made);
	store_entries_free(entries, count);
	if (found)
		return 0;
	return error_set(e, -ENOENT, ERROR_IO, "address %s of %s is not recorded as this pod's any more",
		ip_text(addr).s, ifname);
}

int lease_check(
	const struct etcd_config *etcd, const char *ifname, struct run *run, const struct made *made, struct error *e)
{
	struct store *store;

	if (lease_store(run, etcd, &store, e) < 0)
		return e->err;
	for (size_t i = 0; i < made->addr_count; i++) {
		if (check_address(store, &made->addrs[i], ifname, made, e) < 0)
			return e->err;
	}
	return 0;
}
