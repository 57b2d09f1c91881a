/* GC: the runtime says which attachments there are; what is recorded beside them is taken down. */
#include "plugin/gc.h"

#include "delegate/exec.h"
#include "plugin/addressing.h"
#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/readiness.h"
#include "plugin/selection.h"
#include "plugin/verbs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define GC_SHARE 2

struct gc {
	struct request request; /* of nobody: no container, no pod */
	struct config config;
	struct gc_valid valid;
	struct gc_scope scope;
	struct plan plan; /* of the configuration, for the delegates' names and calls */
	cJSON *cached;    /* networks that pods ask for, as they were before anything is removed */
	struct state_entry *records;
	size_t record_count;
	struct cached_result *results;
	size_t result_count;
};

static void forget_lists(struct gc *gc)
{
	state_entries_free(gc->records, gc->record_count);
	cached_results_free(gc->results, gc->result_count);
	gc->records = NULL;
	gc->results = NULL;
	gc->record_count = gc->result_count = 0;
}

static void gc_clear(struct gc *gc)
{
	forget_lists(gc);
	plan_clear(&gc->plan);
	cJSON_Delete(gc->cached);
	config_clear(&gc->config);
}

#define cleanup_gc CLEANUP(gc_clear)

static int read_request(const struct request *request, bool as_ipam, struct gc *gc, struct error *e)
{
	gc->request = *request;
	gc->request.pod = (struct request_args){0};
	gc->request.netns = gc->request.ifname = gc->request.args = "";
	if (config_read(request->conf, as_ipam, &gc->config, e) < 0 || gc_read_valid(request->conf, &gc->valid, e) < 0)
		return e->err;
	gc->scope = (struct gc_scope){
		.request = &gc->request,
		.config = &gc->config,
		.valid = &gc->valid,
		.deadline = clock_now() + (1 + gc->config.timeout / GC_SHARE) * SECONDS,
	};
	process_adopt_orphans();
	if (!gc->valid.given)
		log_write(LOG_WARNING, "GC without cni.dev/valid-attachments: nothing is removed");
	return 0;
}

static int read_lists(struct gc *gc, struct error *e)
{
	forget_lists(gc);
	if (state_list(gc->config.cni_dir, &gc->records, &gc->record_count, e) < 0)
		return e->err;
	return cached_results_list(gc->config.cni_dir, &gc->results, &gc->result_count, e);
}

/* What the configuration only names: a definition that is away now is no reason to leave everything else. */
static void plan_cluster_network(struct gc *gc, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error failed = {0};
	const struct pod nobody = {.source = POD_NONE};

	if (run_open(&run, &gc->request, &gc->config, 1 + gc_share(gc->scope.deadline, 1), &failed) == 0)
		selection_complete(&gc->plan, &nobody, &run, &failed);
	error_add(e, &failed);
}

/* A delegate that no ADD would accept is an error, and the others' turn comes all the same. */
static void plan_delegates(struct gc *gc, struct error *e)
{
	const cJSON *delegate;
	unsigned int index = 0;

	cJSON_ArrayForEach(delegate, gc->config.delegates)
	{
		cleanup_error struct error failed = {0};
		cleanup_attachment struct attachment *a = attachment_new(delegate, index++, "");

		if (!cJSON_IsObject(delegate))
			error_set(&failed, -EINVAL, ERROR_CONFIG, "delegates[%u] is not an object", index - 1);
		else if (a->ops->plan(a, &gc->request, &gc->config, &failed) == 0)
			plan_append(&gc->plan, steal_ptr(a));
		error_add(e, &failed);
	}
	if (gc->config.cluster_network)
		plan_cluster_network(gc, e);
}

static const struct attachment *find_delegate(const struct gc *gc, const char *network)
{
	for (size_t i = 0; i < gc->plan.count; i++) {
		if (strcmp(gc->plan.attachments[i]->network, network) == 0)
			return gc->plan.attachments[i];
	}
	return NULL;
}

/* multus notes neither the outer network nor the namespace, and a damaged record nothing: it goes only where its cached
 * results name a network of ours and a namespace that is not there any more. */
static bool is_orphan(const struct gc *gc, const struct state_entry *entry)
{
	bool ours = false;

	if (gc_is_valid(&gc->valid, entry->container_id, NULL))
		return false;
	for (size_t i = 0; i < gc->result_count; i++) {
		const struct cached_result *cached = &gc->results[i];

		if (strcmp(cached->container_id, entry->container_id) != 0)
			continue;
		if (!*cached->netns || access(cached->netns, F_OK) == 0 || errno != ENOENT)
			return false;
		/* The others are those that its annotation asked for. */
		ours |= find_delegate(gc, cached->network) != NULL;
	}
	return ours;
}

static bool is_stale(const struct gc *gc, const struct state_entry *entry)
{
	if (entry->damaged || !entry->ifname)
		return is_orphan(gc, entry);
	return entry->network && strcmp(entry->network, gc->request.network) == 0 &&
	       !gc_is_valid(&gc->valid, entry->container_id, entry->ifname);
}

static void collect_records(struct gc *gc, struct error *e)
{
	cleanup_free bool *stale = allocate(gc->record_count, sizeof(*stale));
	size_t left = 0;

	for (size_t i = 0; i < gc->record_count; i++)
		left += stale[i] = is_stale(gc, &gc->records[i]);
	for (size_t i = 0; i < gc->record_count; i++) {
		const struct state_entry *entry = &gc->records[i];
		cleanup_error struct error failed = {0};

		if (entry->damaged && !stale[i])
			log_write(LOG_WARNING, "%s/%s is damaged, and left alone: its DEL goes by the configuration",
				gc->config.cni_dir, entry->container_id);
		if (!stale[i])
			continue;
		gc_take_down(&gc->scope, entry, gc->results, gc->result_count, gc_share(gc->scope.deadline, left--),
			&failed);
		if (failed.err)
			error_wrap(&failed, "interface %s of container %s", entry->ifname ? entry->ifname : "eth0",
				entry->container_id);
		error_add(e, &failed);
		if (fault_point("collected") < 0)
			return;
	}
}

/* Of a delegate's network, for (container, CNI_IFNAME): whether the interface may be a valid one's, by any delegate of
 * that name. */
static bool may_be_valid(const struct gc *gc, const struct cached_result *cached)
{
	for (size_t i = 0; i < gc->plan.count; i++) {
		const struct attachment *delegate = gc->plan.attachments[i];

		if (strcmp(delegate->network, cached->network) == 0 &&
			gc_is_valid(&gc->valid, cached->container_id, delegate->index > 0 ? NULL : cached->ifname))
			return true;
	}
	return false;
}

/* Of an ADD of which nothing else is recorded: as is_stale has it. */
static bool is_left(const struct gc *gc, const struct cached_result *cached, const struct state_entry *lost)
{
	cleanup_free char *record = format_text("%s/%s", gc->config.cni_dir, cached->container_id);

	/* The DEL of one takes its container's others along. */
	if (!find_delegate(gc, cached->network) || access(cached->path, F_OK) < 0 || access(record, F_OK) == 0 ||
		errno != ENOENT || may_be_valid(gc, cached))
		return false;
	return cached->outer ? strcmp(cached->outer, gc->request.network) == 0 : is_orphan(gc, lost);
}

/* Answers that are cached beside no record: a DEL that was cut off leaves them, and what its plugins have made. */
static void collect_results(const struct gc *gc, struct error *e)
{
	for (size_t i = 0; i < gc->result_count && gc_share(gc->scope.deadline, 1) > 0; i++) {
		const struct cached_result *cached = &gc->results[i];
		const struct state_entry lost = {.container_id = cached->container_id, .done = true};
		cleanup_error struct error failed = {0};

		if (!is_left(gc, cached, &lost))
			continue;
		if (gc_take_down(&gc->scope, &lost, gc->results, gc->result_count,
			    gc_share(gc->scope.deadline, gc->result_count - i), &failed) == 0)
			file_remove(cached->path, &failed);
		error_add(e, &failed);
	}
}

static void collect_network(
	const struct gc *gc, const cJSON *conf, const char *path, unsigned int index, struct error *e)
{
	const cJSON *plugin = import_own_conf(conf);
	CLEANUP(addressing_clear) struct addressing addressing = {0};
	cleanup_error struct error failed = {0};

	if (!plugin)
		return;
	if (addressing_read(plugin, path, &gc->config, &addressing, &failed) < 0) {
		error_add(e, &failed);
		return;
	}

	const struct gc_network network = {
		.name = json_text(conf, "name"), .config = addressing.config, .index = index};

	gc_collect_network(&gc->scope, &network, e);
}

static void collect_addresses(const struct gc *gc, struct error *e)
{
	const cJSON *conf;

	for (size_t i = 0; i < gc->plan.count; i++) {
		const struct attachment *a = gc->plan.attachments[i];

		collect_network(gc, a->conf, a->path, a->index, e);
	}
	cJSON_ArrayForEach(conf, gc->cached)
	{
		const char *name = json_text(conf, "name");

		if (!find_delegate(gc, name))
			collect_network(gc, conf, name, 1, e);
	}
}

static void list_valid(cJSON *list, const char *container_id, const char *ifname)
{
	cJSON *element = cJSON_CreateObject();

	json_put_text(element, "containerID", container_id);
	json_put_text(element, "ifname", ifname);
	cJSON_AddItemToArray(list, element);
}

/* multus calls an ADD's first interface as the ADD was called, which only its cached results say. */
static const char *first_ifname(const struct gc *gc, const char *container_id, const char *network)
{
	const char *found = "eth0";

	for (size_t i = 0; i < gc->result_count; i++) {
		const struct cached_result *cached = &gc->results[i];

		if (strcmp(cached->container_id, container_id) != 0 || strcmp(cached->network, network) != 0)
			continue;
		found = cached->ifname;
		/* The name of another delegate's interface, where two are of one network. */
		if (attachment_index(found) == 0)
			break;
	}
	return found;
}

/* What the records that stay have of the delegate's network, also for another outer network. */
static void list_recorded(const struct gc *gc, const struct attachment *delegate, cJSON *list)
{
	for (size_t i = 0; i < gc->record_count; i++) {
		const struct state_entry *entry = &gc->records[i];
		cleanup_record struct record record = {0};
		cleanup_error struct error ignored = {0};

		if (is_stale(gc, entry) ||
			state_load(gc->config.cni_dir, entry->container_id, entry->ifname, &record, &ignored) < 0)
			continue;
		for (size_t j = 0; j < record.plan.count; j++) {
			const struct attachment *a = record.plan.attachments[j];

			if (strcmp(a->network, delegate->network) == 0)
				list_valid(list, entry->container_id,
					*a->ifname ? a->ifname : first_ifname(gc, entry->container_id, a->network));
		}
	}
}

static bool is_recorded(const struct gc *gc, const char *container_id, const char *ifname)
{
	for (size_t i = 0; i < gc->record_count; i++) {
		const struct state_entry *entry = &gc->records[i];

		if (!entry->damaged && strcmp(entry->container_id, container_id) == 0 &&
			(!entry->ifname || strcmp(entry->ifname, ifname) == 0))
			return true;
	}
	return false;
}

/* What each delegate of that network calls its interface of a pod: not always as the ADD was. */
static void list_called(
	const struct gc *gc, const char *network, const char *container_id, const char *ifname, cJSON *list)
{
	for (size_t i = 0; i < gc->plan.count; i++) {
		const struct attachment *a = gc->plan.attachments[i];

		if (strcmp(a->network, network) == 0)
			list_valid(list, container_id, a->index > 0 ? a->ifname : ifname);
	}
}

/* The runtime's list, in the words of the delegate's network. */
static cJSON *rewrite_valid(const struct gc *gc, const struct attachment *delegate)
{
	cJSON *list = cJSON_CreateArray();
	const cJSON *element;

	list_recorded(gc, delegate, list);
	cJSON_ArrayForEach(element, gc->valid.list)
	{
		const char *container_id = json_text(element, "containerID"), *ifname = json_text(element, "ifname");

		if (!is_recorded(gc, container_id, ifname))
			list_called(gc, delegate->network, container_id, ifname, list);
	}
	return list;
}

static void forward(struct gc *gc, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error unopened = {0};

	if (read_lists(gc, &unopened) < 0 ||
		run_open(&run, &gc->request, &gc->config, 1 + gc_share(gc->scope.deadline, 0), &unopened) < 0) {
		error_add(e, &unopened);
		return;
	}

	for (size_t i = 0; i < gc->plan.count; i++) {
		struct attachment *a = gc->plan.attachments[i];
		cleanup_json cJSON *valid = rewrite_valid(gc, a);
		cleanup_error struct error failed = {0};

		run.call_deadline = clock_share(gc->scope.deadline, gc->plan.count - i);
		a->ops->gc(a, &run, valid, &failed);
		error_add(e, &failed);
	}
}

int verb_gc(const struct request *request, struct error *e)
{
	cleanup_gc struct gc gc = {0};

	if (read_request(request, false, &gc, e) < 0)
		return e->err;
	readiness_note(&gc.config);
	if (!gc.valid.given)
		return gc_drain(&gc.scope, e);
	plan_delegates(&gc, e);
	gc.cached = cached_networks(gc.config.cni_dir, gc.config.delegates);

	cleanup_error struct error listing = {0}, draining = {0};

	if (read_lists(&gc, &listing) == 0)
		collect_records(&gc, e);
	error_add(e, &listing);
	collect_addresses(&gc, e);
	gc_drain(&gc.scope, &draining);
	error_add(e, &draining);
	forward(&gc, e);
	/* Last, since a node that had another plugin before may have hundreds of thousands: the next GC goes on. */
	collect_results(&gc, e);
	return e->err;
}

int ipam_gc(const struct request *request, struct error *e)
{
	cleanup_gc struct gc gc = {0};
	CLEANUP(addressing_clear) struct addressing addressing = {0};
	cleanup_error struct error draining = {0};

	if (read_request(request, true, &gc, e) < 0 ||
		addressing_read(request->conf, "", &gc.config, &addressing, e) < 0)
		return e->err;
	if (addressing.kind != ADDRESSING_LEASE)
		return error_set(e, -EINVAL, ERROR_CONFIG, "ipam.type must be " OWN_IPAM);
	if (gc.valid.given) {
		const struct gc_network network = {.name = gc.request.network, .config = addressing.config};

		gc_collect_network(&gc.scope, &network, e);
	}
	gc_drain(&gc.scope, &draining);
	error_add(e, &draining);
	return e->err;
}
