/* What is undone of one container: as its DEL would have done it. */
#include "delegate/exec.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/gc.h"
#include "plugin/lease.h"
#include "plugin/lease_file.h"
#include "plugin/lease_outbox.h"
#include "plugin/verbs.h"

#include <errno.h>
#include <string.h>

/* The DEL that nobody sent. Its namespace is the recorded one. args and pod are what the ADD was called with, and what
 * is read from that; borrowed. */
static struct request del_request(const struct gc_scope *scope, const char *container_id, const char *ifname,
	const char *args, const struct request_args *pod)
{
	struct request request = *scope->request;

	request.verb = VERB_DEL;
	request.command = "DEL";
	request.container_id = container_id;
	request.ifname = ifname;
	request.netns = "";
	request.args = args;
	request.pod = *pod;
	return request;
}

/* multus notes no CNI_IFNAME: the interface that is not called as it calls its further ones. */
static bool is_first(const struct cached_result *result, const struct state_entry *entry)
{
	return entry->ifname ? strcmp(result->ifname, entry->ifname) == 0 : attachment_index(result->ifname) == 0;
}

/* The default network's answer: what the runtime gave stands there, and nothing that the pod asks of another network.
 */
static const struct cached_result *find_result(
	const struct state_entry *entry, const struct cached_result *results, size_t count)
{
	const struct cached_result *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(results[i].container_id, entry->container_id) == 0 &&
			(!found || is_first(&results[i], entry)))
			found = &results[i];
	}
	return found;
}

/* Of a record that is lost, or that nobody can read, there is libcni's cache. */
static int load_record(
	const struct request *request, const struct config *config, struct record *record, struct error *e)
{
	if (state_load(config->cni_dir, request->container_id, request->ifname, record, e) == 0)
		return 0;
	if (e->err == -EBADMSG || e->err == -ENOENT) {
		record_clear(record);
		if (state_recall(request, config, e->err == -EBADMSG, record))
			error_clear(e);
	}
	return e->err;
}

int gc_take_down(const struct gc_scope *scope, const struct state_entry *entry, const struct cached_result *results,
	size_t count, int64_t seconds, struct error *e)
{
	const struct cached_result *cached = find_result(entry, results, count);
	const char *ifname = entry->ifname ? entry->ifname : cached ? cached->ifname : "eth0";
	const char *args = cached ? cached->args : "";
	cleanup_error struct error ignored = {0};
	cleanup_request_args struct request_args pod = {0};
	struct config config = *scope->config;
	cleanup_record struct record record = {0};
	cleanup_run struct run run = {.netns_fd = -1};
	size_t seen = 0;

	if (seconds <= 0)
		return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "no time was left: the next GC goes on");
	request_read_args(args, &pod, &ignored);

	struct request request = del_request(scope, entry->container_id, ifname, request_own_args(args), &pod);

	config.runtime_config = cached ? cached->capabilities : NULL;
	if (run_open(&run, &request, &config, seconds, e) < 0)
		return e->err;
	/* Before the record is read: an ADD that is still at work writes it. */
	if ((!entry->done || entry->going) &&
		process_await_container(entry->container_id, clock_now() + seconds * SECONDS / 2, &seen, e) < 0)
		return e->err;
	if (load_record(&request, &config, &record, e) < 0) {
		if (e->err == -ENOENT)
			error_clear(e);
		return e->err;
	}
	return verb_take_down(&run, &record, e);
}

int gc_release_file(const struct gc_scope *scope, const char *path, struct error *e)
{
	cleanup_lease_file struct lease_file file = {0};
	cleanup_run struct run run = {.netns_fd = -1};
	int64_t seconds = gc_share(scope->deadline, 1);

	if (lease_file_read(path, &file, e) < 0) {
		if (e->err == -ENOENT)
			error_clear(e);
		return e->err;
	}

	const struct request_args nobody = {0};
	struct request request = del_request(scope, file.container_id, file.ifname, "", &nobody);

	if (seconds <= 0)
		return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "no time was left: the next GC goes on");
	if (run_open(&run, &request, scope->config, seconds, e) < 0 ||
		lease_release(file.etcd, file.ifname, &run, &file.made, e) < 0)
		return e->err;
	return file_remove(path, e);
}

int gc_drain(const struct gc_scope *scope, struct error *e)
{
	cleanup_run struct run run = {.netns_fd = -1};
	int64_t seconds = gc_share(scope->deadline, 0);

	if (run_open(&run, scope->request, scope->config, seconds > 0 ? seconds : 1, e) < 0)
		return e->err;
	return lease_drain_outbox(&run, NULL, e);
}
