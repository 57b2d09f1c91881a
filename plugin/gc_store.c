/* Addresses that nobody remembers: what lease files and stores still have of networks that lamina keeps. */
#include "delegate/exec.h"
#include "ipam/record.h"
#include "plugin/base/log.h"
#include "plugin/gc.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Without a record nobody knows of which ADD it is, unless the interface is called as the ADD was. */
static bool keeps(const struct gc_scope *scope, unsigned int index, const char *container_id, const char *ifname)
{
	if (gc_is_valid(scope->valid, container_id, ifname))
		return true;
	return scope->config->delegates && (index > 0 || attachment_index(ifname) > 0) &&
	       gc_is_valid(scope->valid, container_id, NULL);
}

static bool record_names(const char *cni_dir, const struct store_attachment *attachment)
{
	cleanup_record struct record record = {0};
	cleanup_error struct error e = {0};

	if (state_load(cni_dir, attachment->cid, NULL, &record, &e) < 0)
		return e.err != -ENOENT;
	for (size_t i = 0; i < record.plan.count; i++) {
		const struct attachment *a = record.plan.attachments[i];

		/* multus notes no name for the first interface. */
		if (strcmp(a->network, attachment->network) == 0 &&
			(!*a->ifname || strcmp(a->ifname, attachment->ifname) == 0))
			return true;
	}
	return false;
}

/* What an import wrote for a running pod whose container nobody knew. It is replaced by the pod's own node. */
static bool is_placeholder(const struct store_attachment *attachment)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	return attachment->value && ipam_value_parse(attachment->value, &value, &ignored) == 0 &&
	       import_is_placeholder(&value.record);
}

bool gc_is_recorded(const char *cni_dir, const struct store_attachment *attachment)
{
	cleanup_error struct error ignored = {0};

	if (is_placeholder(attachment))
		return true;
	if (!request_is_container(attachment->cid) || request_check_ifname(attachment->ifname, &ignored) < 0)
		return false;

	cleanup_free char *path = lease_file_path_of(cni_dir, attachment->cid, attachment->ifname);

	return access(path, F_OK) == 0 || record_names(cni_dir, attachment) ||
	       cached_result_lives(cni_dir, attachment->network, attachment->cid, attachment->ifname);
}

int gc_release(struct store *store, const struct store_attachment *attachment, struct error *e)
{
	const struct store_release release = {
		.network = attachment->network,
		.cid = attachment->cid,
		.ifname = attachment->ifname,
		.value = attachment->value,
		.addrs = attachment->addrs,
		.addr_count = attachment->addr_count,
	};

	return store->ops->release(store, &release, e);
}

static void note(struct error *failed, const char *container_id, const char *ifname, struct error *e)
{
	if (failed->err)
		error_wrap(failed, "interface %s of container %s", ifname, container_id);
	error_add(e, failed);
}

/* One file of <cniDir>/lease. What is damaged does not say whose it is, and stays. */
static void collect_file(
	const struct gc_scope *scope, const struct gc_network *network, const char *path, struct error *e)
{
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error failed = {0};

	if (lease_file_read(path, &file, &failed) < 0) {
		if (failed.err != -ENOENT)
			log_write(LOG_WARNING, "left alone: %s", failed.message);
		return;
	}
	if (!file.made.lease_network || strcmp(file.made.lease_network, network->name) != 0 ||
		keeps(scope, network->index, file.container_id, file.ifname) ||
		process_container_works(file.container_id))
		return;

	const struct store_attachment attachment = {
		.network = file.made.lease_network, .cid = file.container_id, .ifname = file.ifname};

	/* Its main plugin's DEL, which will call ours, is still to come. */
	if (record_names(scope->config->cni_dir, &attachment))
		return;
	gc_release_file(scope, path, &failed);
	note(&failed, file.container_id, file.ifname, e);
}

static void collect_files(const struct gc_scope *scope, const struct gc_network *network, struct error *e)
{
	cleanup_free char *folder = format_text("%s/lease", scope->config->cni_dir);
	cleanup_dir DIR *dir = opendir(folder);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		cleanup_free char *path = format_text("%s/%s", folder, entry->d_name);

		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR)
			collect_file(scope, network, path, e);
	}
}

static void collect_attachment(const struct gc_scope *scope, const struct gc_network *network, struct store *store,
	const struct store_attachment *attachment, struct error *e)
{
	cleanup_error struct error failed = {0};

	if (attachment->closed || keeps(scope, network->index, attachment->cid, attachment->ifname) ||
		gc_is_recorded(scope->config->cni_dir, attachment) || process_container_works(attachment->cid))
		return;
	gc_release(store, attachment, &failed);
	note(&failed, attachment->cid, attachment->ifname, e);
}

int gc_collect_network(const struct gc_scope *scope, const struct gc_network *network, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	cleanup_error struct error failed = {0};
	struct store_attachment *attachments = NULL;
	struct store *store = NULL;
	size_t count = 0;

	collect_files(scope, network, e);
	if (run_open(&run, scope->request, scope->config, 1 + gc_share(scope->deadline, 1), &failed) == 0 &&
		lease_store(&run, network->config->etcd, &store, &failed) == 0 &&
		store->ops->attachments(store, network->name, &attachments, &count, &failed) == 0) {
		for (size_t i = 0; i < count; i++)
			collect_attachment(scope, network, store, &attachments[i], e);
		store->ops->sweep(store, network->name, network->config->domain, &failed);
	}
	store_attachments_free(attachments, count);
	if (failed.err)
		error_wrap(&failed, "network %s", network->name);
	error_add(e, &failed);
	return e->err;
}
