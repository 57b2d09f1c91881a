#include "plugin/leftovers.h"

#include "plugin/addressing.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/gc.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"
#include "plugin/results.h"
#include "plugin/state_list.h"

#include <string.h>
#include <unistd.h>

#define LOOK_SECONDS 3

/* Of a lease the main plugin's DEL, which will call ours, is still to come. */
static bool is_left(const struct store_attachment *attachment, const struct run *run)
{
	cleanup_free char *lease = lease_file_path(run, attachment->ifname);

	return !attachment->closed && strcmp(attachment->cid, run->request->container_id) == 0 &&
	       access(lease, F_OK) < 0;
}

static int release_one(
	struct run *run, const struct etcd_config *etcd, const struct store_attachment *attachment, struct error *e)
{
	struct store *store = NULL;

	/* This node's own may be open for looking only. */
	if (!etcd)
		run_close_stores(run);
	if (lease_store(run, etcd, &store, e) < 0 || gc_release(store, attachment, e) < 0)
		return e->err;
	log_write(LOG_WARNING, "nothing is recorded, but network %s has interface %s of container %s: released",
		attachment->network, attachment->ifname, attachment->cid);
	return 0;
}

/* In network, or, NULL, in this node's own store. */
static int release_left(struct run *run, const struct etcd_config *etcd, const char *network, struct error *e)
{
	struct store_attachment *attachments = NULL;
	struct store *store = run->store;
	size_t count = 0;
	int r = 0;

	/* This node's own is not made for it. */
	if (etcd)
		r = lease_store(run, etcd, &store, e);
	else if (!store && (r = lease_open_store_readonly(run, e)) == 0)
		store = run->store;
	if (r == 0)
		r = store->ops->attachments(store, network, &attachments, &count, e);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (is_left(&attachments[i], run))
			r = release_one(run, etcd, &attachments[i], e);
	}
	store_attachments_free(attachments, count);
	return r;
}

static void tell(struct error *e)
{
	if (e->err)
		log_write(LOG_WARNING, "whether an address is left is not known: %s", e->message);
	error_clear(e);
}

static void release_clusters(struct run *run)
{
	cleanup_json cJSON *networks = cached_networks(run->config->cni_dir, run->config->delegates);
	const cJSON *conf;

	cJSON_ArrayForEach(conf, networks)
	{
		CLEANUP(addressing_clear) struct addressing addressing = {0};
		cleanup_error struct error e = {0};

		if (addressing_read(import_own_conf(conf), "", run->config, &addressing, &e) == 0 &&
			addressing.config && addressing.config->etcd)
			release_left(run, addressing.config->etcd, json_text(conf, "name"), &e);
		tell(&e);
	}
}

/* <network>-<container>-<interface>; part: the middle with its dashes. */
static bool may_be_of(const char *name, const char *part)
{
	const char *found = strstr(name, part);

	return *name != '.' && found && !strchr(found + strlen(part), '-');
}

static void remove_if_unreadable(const char *path)
{
	cleanup_json cJSON *cache = results_read_file(path);
	cleanup_error struct error ignored = {0};

	if (!cJSON_IsObject(cache))
		file_remove(path, &ignored);
}

/* There may be hundreds of thousands of them: only the container's are opened. */
static void remove_unreadable(const struct run *run)
{
	cleanup_free char *folder = format_text("%s/results", run->config->cni_dir);
	cleanup_free char *part = format_text("-%s-", run->request->container_id);
	cleanup_dir DIR *dir = opendir(folder);

	for (struct dirent *file; dir && (file = readdir(dir));) {
		cleanup_free char *path =
			may_be_of(file->d_name, part) ? format_text("%s/%s", folder, file->d_name) : NULL;

		if (path)
			remove_if_unreadable(path);
	}
}

void leftovers_clear(const struct record *record, struct run *run)
{
	cleanup_free char *file = format_text("%s/%s", run->config->cni_dir, run->request->container_id);
	cleanup_error struct error e = {0};

	if (!record->by_configuration || access(file, F_OK) == 0)
		return;
	run->deadline = run_within(run, LOOK_SECONDS);
	release_left(run, NULL, NULL, &e);
	tell(&e);
	release_clusters(run);
	remove_unreadable(run);
}
