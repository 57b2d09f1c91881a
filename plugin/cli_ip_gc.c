/* lamina ip gc: what pods left behind that are gone with their nodes. Addresses are read first, pods second and
 * linearizably: a pod that is made in between is in neither list or in the second. No clock decides. */
#include "plugin/cli_holder.h"
#include "plugin/cli_ip.h"
#include "plugin/lease.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <string.h>

/* Reading all pods of a large cluster takes a while. */
#define GC_SECONDS 300

struct listing {
	struct store_entry *entries;
	size_t count;
	bool *done; /* belongs to an attachment that was decided about already */
};

/* What is known of one node; asked for once. */
struct known_node {
	char *name;
	struct kube_node node;
	char *error; /* NULL: known */
};

struct gc {
	const struct cli_ip_options *options;
	struct cli_stores stores;
	struct kube *kube;
	struct listing *listings; /* one for each store */
	struct kube_pod *pods;    /* ordered by namespace and name */
	size_t pod_count;
	struct known_node *nodes;
	size_t node_count;
	cJSON *outcomes;
	bool failed;
};

static void gc_clear(struct gc *gc)
{
	for (size_t i = 0; gc->listings && i < gc->stores.count; i++) {
		store_entries_free(gc->listings[i].entries, gc->listings[i].count);
		free(gc->listings[i].done);
	}
	free(gc->listings);
	kube_pods_free(gc->pods, gc->pod_count);
	for (size_t i = 0; i < gc->node_count; i++) {
		free(gc->nodes[i].name);
		free(gc->nodes[i].error);
	}
	free(gc->nodes);
	cJSON_Delete(gc->outcomes);
	cli_stores_close(&gc->stores);
}

#define cleanup_gc CLEANUP(gc_clear)

static int compare_names(const char *ns, const char *name, const struct kube_pod *pod)
{
	int order = strcmp(ns ? ns : "", pod->ns ? pod->ns : "");

	return order ? order : strcmp(name ? name : "", pod->name ? pod->name : "");
}

static int compare_pods(const void *a, const void *b)
{
	const struct kube_pod *pod = a;

	return compare_names(pod->ns, pod->name, b);
}

static int compare_record(const void *key, const void *pod)
{
	const struct ipam_record *record = key;

	return compare_names(record->ns, record->pod, pod);
}

static int read_addresses(struct gc *gc, struct error *e)
{
	gc->listings = allocate(gc->stores.count + 1, sizeof(*gc->listings));
	for (size_t i = 0; i < gc->stores.count; i++) {
		const struct cli_store *store = &gc->stores.list[i];
		struct listing *listing = &gc->listings[i];

		if (!store->etcd)
			continue;
		if (store->store->ops->list(
			    store->store, gc->options->network, NULL, &listing->entries, &listing->count, e) < 0)
			return e->err;
		listing->done = allocate(listing->count + 1, sizeof(*listing->done));
	}
	return 0;
}

static int read_pods(struct gc *gc, struct error *e)
{
	if (cli_stores_pods(gc->kube, &gc->pods, &gc->pod_count, e) < 0)
		return e->err;
	if (gc->pod_count)
		qsort(gc->pods, gc->pod_count, sizeof(*gc->pods), compare_pods);
	return 0;
}

static bool lives(const struct gc *gc, const struct ipam_record *record)
{
	const struct kube_pod *pod =
		gc->pod_count ? bsearch(record, gc->pods, gc->pod_count, sizeof(*pod), compare_record) : NULL;

	return pod && cli_holder_is(pod, record);
}

static const struct known_node *ask_node(struct gc *gc, const char *name)
{
	cleanup_error struct error e = {0};
	struct known_node *known;

	for (size_t i = 0; i < gc->node_count; i++) {
		if (strcmp(gc->nodes[i].name, name) == 0)
			return &gc->nodes[i];
	}
	gc->nodes = reallocate(gc->nodes, gc->node_count + 1, sizeof(*gc->nodes));
	known = &gc->nodes[gc->node_count++];
	*known = (struct known_node){.name = copy_text(name)};
	if (kube_node(gc->kube, name, &known->node, &e) < 0) {
		/* Whole: what is missing, and where, stands at its end. What servers say was cleaned already. */
		known->error = copy_text(e.message);
		gc->failed = true;
	}
	return known;
}

/* NULL: its pod is gone, and nobody on its node can use it any more. Else why it stays; owned by the caller. */
static char *why_left(struct gc *gc, const struct ipam_record *record)
{
	const struct known_node *known;
	cleanup_free char *name = outcome_shown(record->node);

	if (!cli_holder_is_of_cluster(record, &gc->stores.config))
		return copy_text("of another cluster");
	if (!record->ns || !record->pod)
		return copy_text("names no pod");
	if (!record->node)
		return copy_text("its pod is gone, and it names no node");
	known = ask_node(gc, record->node);
	if (known->error)
		return format_text("its pod is gone, and its node %s is not known: %s", name, known->error);
	if (known->node.alive)
		return format_text("its pod is gone: left to its node %s, which lives", name);
	if (known->node.out_of_service || (!known->node.found && !record->node_guessed))
		return NULL;
	if (!known->node.found)
		return format_text("its pod is gone, and its node %s is only a host's name", name);
	return format_text("its pod is gone, but its node %s does not answer and may still run it: if it is off, taint "
			   "it node.kubernetes.io/out-of-service",
		name);
}

static const char *domain_of(const struct gc *gc, const char *network)
{
	const struct cli_network *known = cli_stores_network(&gc->stores, network);

	return known ? known->config->domain : NULL;
}

/* Marks all addresses of an attachment. Returns how many there are; addrs has room for all of the listing. */
static size_t gather(struct listing *listing, size_t at, struct ip_addr *addrs)
{
	const struct store_entry *first = &listing->entries[at];
	size_t count = 0;

	for (size_t i = at; i < listing->count; i++) {
		const struct store_entry *entry = &listing->entries[i];

		if (strcmp(entry->network, first->network) != 0 || !same_text(entry->value, first->value))
			continue;
		listing->done[i] = true;
		addrs[count++] = entry->addr;
	}
	return count;
}

static int release(struct gc *gc, size_t store, const struct store_release *what, struct error *e)
{
	struct store *handle = NULL;
	int r = 0;

	if (gc->options->dry_run)
		return 0;
	/* The time for the pods was not the store's. */
	r = lease_store(&gc->stores.run, gc->stores.list[store].etcd, &handle, e);
	return r < 0 ? r : handle->ops->release(handle, what, e);
}

/* All addresses of the attachment at once, if its value still stands there. What it is kept for stays. */
static int free_attachment(struct gc *gc, size_t store, size_t at, const struct ipam_record *record, struct error *e)
{
	struct listing *listing = &gc->listings[store];
	const struct store_entry *first = &listing->entries[at];
	cleanup_free struct ip_addr *addrs = allocate(listing->count, sizeof(*addrs));
	cleanup_free char *who = ipam_value_describe(first->value);
	size_t count = gather(listing, at, addrs);
	const struct store_release what = {
		.network = first->network,
		.node = record->node,
		.domain = domain_of(gc, first->network),
		.cid = record->cid,
		.ifname = record->ifname,
		.value = first->value,
		.addrs = addrs,
		.addr_count = count,
	};

	if (release(gc, store, &what, e) < 0)
		return e->err;
	for (size_t i = 0; i < count; i++)
		outcome_add(gc->outcomes, "freed", first->network, &addrs[i], "%s: gone with its node", who);
	return 0;
}

static int decide(struct gc *gc, size_t store, size_t at, struct error *e)
{
	const struct store_entry *entry = &gc->listings[store].entries[at];
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};
	cleanup_free char *why = NULL;

	if (!entry->value || gc->listings[store].done[at])
		return 0;
	if (ipam_value_parse(entry->value, &value, &ignored) < 0) {
		cleanup_free char *who = ipam_value_describe(entry->value);

		outcome_add(gc->outcomes, "left", entry->network, &entry->addr, "%s", who);
		return 0;
	}
	if (cli_holder_is_of_cluster(&value.record, &gc->stores.config) && value.record.ns && value.record.pod &&
		lives(gc, &value.record))
		return 0;
	why = why_left(gc, &value.record);
	if (!why && value.record.cid && value.record.ifname)
		return free_attachment(gc, store, at, &value.record, e);

	cleanup_free char *who = ipam_value_describe(entry->value);

	outcome_add(
		gc->outcomes, "left", entry->network, &entry->addr, "%s: %s", who, why ? why : "names no container");
	return 0;
}

static int collect(struct gc *gc, struct error *e)
{
	if (cli_stores_kube(&gc->stores, &gc->kube, e) < 0 || read_addresses(gc, e) < 0 || read_pods(gc, e) < 0)
		return e->err;
	for (size_t i = 0; i < gc->stores.count; i++) {
		for (size_t j = 0; j < gc->listings[i].count; j++) {
			if (decide(gc, i, j, e) < 0)
				return e->err;
		}
	}
	return 0;
}

int cli_ip_gc(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_gc struct gc gc = {.options = options, .stores.run.netns_fd = -1, .outcomes = cJSON_CreateArray()};

	if (cli_stores_open(options->conf, true, GC_SECONDS, &gc.stores, e) < 0)
		return CLI_FAILED;
	cli_stores_set_kubeconfig(&gc.stores, options->kubeconfig);
	if (!cli_stores_have_cluster(&gc.stores)) {
		error_set(e, -ENOENT, ERROR_CONFIG,
			"no cluster keeps addresses here (etcdConfig): `lamina gc` on a node collects what its own "
			"store has");
		return CLI_NOTHING;
	}

	int r = collect(&gc, e);

	outcomes_print(gc.outcomes, options->json, out);
	if (r >= 0 && gc.failed)
		error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "not every node is known: see above");
	return e->err ? CLI_FAILED : CLI_DONE;
}
