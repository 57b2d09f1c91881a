#include "plugin/lease_outbox.h"

#include "ipam/outbox.h"
#include "ipam/record.h"
#include "plugin/base/log.h"
#include "plugin/lease.h"

#include <string.h>
#include <sys/stat.h>

struct queue {
	struct outbox_entry *entries;
	size_t count;
};

static void clear_queue(struct queue *queue)
{
	outbox_entries_free(queue->entries, queue->count);
}

#define cleanup_queue CLEANUP(clear_queue)

static char *folder_of(const struct config *config)
{
	return format_text("%s/outbox", config->cni_dir);
}

int lease_queue(
	const struct etcd_config *etcd, const struct store_release *release, const struct run *run, struct error *e)
{
	cleanup_free char *folder = folder_of(run->config);
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	/* The node may be called otherwise by now than when this was claimed. */
	if (release->value)
		ipam_value_parse(release->value, &value, &ignored);
	return outbox_put(folder, release, value.record.node ? value.record.node : run->node, etcd, e);
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

bool lease_outbox_waits(const struct config *config, const struct timespec *since)
{
	cleanup_free char *folder = folder_of(config);
	cleanup_queue struct queue queue = {0};
	cleanup_error struct error ignored = {0};

	if (outbox_is_empty(folder) || outbox_read(folder, &queue.entries, &queue.count, &ignored) < 0)
		return false;
	for (size_t i = 0; i < queue.count; i++) {
		struct stat about;

		if (stat(queue.entries[i].file, &about) == 0 && !is_before(&about.st_mtim, since))
			return false;
	}
	return queue.count > 0;
}

static int send_entry(const struct outbox_entry *entry, struct run *run, struct error *e)
{
	const struct store_release release = outbox_release(entry);
	struct store *store;

	if (lease_store(run, entry->etcd, &store, e) < 0 || store->ops->release(store, &release, e) < 0)
		return e->err;
	return outbox_remove(entry, e);
}

static bool is_of(const struct outbox_entry *entry, const struct store_entry *holder)
{
	if (!entry->value || !holder->value || strcmp(entry->value, holder->value) != 0)
		return false;
	return strcmp(entry->network, holder->network) == 0;
}

int lease_send_queued(const struct store_entry *holder, struct run *run, bool *ret, struct error *e)
{
	cleanup_free char *folder = folder_of(run->config);
	cleanup_queue struct queue queue = {0};

	*ret = false;
	if (outbox_is_empty(folder))
		return 0;
	if (outbox_read(folder, &queue.entries, &queue.count, e) < 0)
		return e->err;
	for (size_t i = 0; i < queue.count; i++) {
		if (!is_of(&queue.entries[i], holder))
			continue;
		if (send_entry(&queue.entries[i], run, e) < 0)
			return e->err;
		*ret = true;
	}
	return 0;
}

int lease_send_earlier(const char *network, const char *ifname, struct run *run, struct error *e)
{
	cleanup_free char *folder = folder_of(run->config);
	cleanup_queue struct queue queue = {0};

	if (outbox_is_empty(folder))
		return 0;
	if (outbox_read(folder, &queue.entries, &queue.count, e) < 0)
		return e->err;
	for (size_t i = 0; i < queue.count; i++) {
		const struct outbox_entry *entry = &queue.entries[i];

		if (strcmp(entry->network, network) != 0 || strcmp(entry->cid, run->request->container_id) != 0 ||
			strcmp(entry->ifname, ifname) != 0)
			continue;
		if (send_entry(entry, run, e) < 0)
			return error_wrap(
				e, "interface %s of this container was deleted, and its release waits", ifname);
	}
	return 0;
}

static bool same_cluster(const struct outbox_entry *a, const struct outbox_entry *b)
{
	cleanup_json cJSON *first = etcd_config_print(a->etcd), *second = etcd_config_print(b->etcd);

	return cJSON_Compare(first, second, true);
}

int lease_drain_outbox(struct run *run, size_t *ret_sent, struct error *e)
{
	cleanup_free char *folder = folder_of(run->config);
	cleanup_queue struct queue queue = {0};
	const struct outbox_entry *away = NULL;

	if (ret_sent)
		*ret_sent = 0;
	if (outbox_read(folder, &queue.entries, &queue.count, e) < 0)
		return e->err;
	for (size_t i = 0; i < queue.count; i++) {
		cleanup_error struct error now = {0};

		if (away && same_cluster(away, &queue.entries[i]))
			continue;
		if (send_entry(&queue.entries[i], run, &now) < 0) {
			away = &queue.entries[i];
			error_keep_first(e, &now);
		} else if (ret_sent) {
			(*ret_sent)++;
		}
	}
	return e->err;
}
