/* lamina as the IPAM plugin `kube-ipam` of somebody else's interface: leases without attachments. */
#include "delegate/result.h"
#include "plugin/addressing.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/import.h"
#include "plugin/lease_file.h"
#include "plugin/pod.h"
#include "plugin/verbs.h"

#include <errno.h>

#define IPAM_SECONDS 30

struct ipam_run {
	struct config config;
	struct addressing addressing;
	struct run run;
};

static void ipam_run_clear(struct ipam_run *ipam)
{
	run_close(&ipam->run);
	addressing_clear(&ipam->addressing);
	config_clear(&ipam->config);
}

#define cleanup_ipam_run CLEANUP(ipam_run_clear)

static int read_addressing(const struct request *request, struct ipam_run *ipam, struct error *e)
{
	if (addressing_read(request->conf, "", &ipam->config, &ipam->addressing, e) < 0)
		return e->err;
	if (ipam->addressing.kind != ADDRESSING_LEASE)
		return error_set(e, -EINVAL, ERROR_CONFIG, "ipam.type is %.64s: it must be " OWN_IPAM,
			ipam->addressing.type ? ipam->addressing.type : "missing");
	return 0;
}

static int place_wanted(const struct request *request, struct ipam_run *ipam, struct error *e)
{
	cleanup_pod struct pod pod = {0};
	struct annotations annotations;

	if (pod_find(&pod, request, &ipam->config, e) < 0 || pod_ask(&pod, &ipam->run, e) < 0)
		return e->err;
	lease_warm(&ipam->run, ipam->addressing.config->etcd, false);
	if (pod_await(&pod, &ipam->run, e) < 0 ||
		annotations_read(request, &ipam->config, pod.annotations, false, &annotations, e) < 0)
		return e->err;
	for (size_t i = 0; i < annotations.count; i++) {
		const struct wanted *wanted = &annotations.wanted[i];
		bool taken = false;

		if (addressing_offer(&ipam->addressing, &annotations, &wanted->addr, wanted->source, &taken, e) < 0)
			return e->err;
		if (!taken)
			return error_set(e, -EINVAL, ERROR_CONFIG, "%s is %s: no subnet of network %s holds it",
				wanted->source, ip_text(&wanted->addr).s, request->network);
	}
	return 0;
}

static int open_run(const struct request *request, struct ipam_run *ipam, struct error *e)
{
	return run_open(&ipam->run, request, &ipam->config, IPAM_SECONDS, e);
}

static void release(struct ipam_run *ipam, struct made *made)
{
	cleanup_error struct error down = {0};
	cleanup_free char *path = lease_file_path(&ipam->run, ipam->run.request->ifname);

	ipam->run.going_back = true;
	run_close_stores(&ipam->run);
	if (lease_release(ipam->addressing.config->etcd, ipam->run.request->ifname, &ipam->run, made, &down) < 0 ||
		file_remove(path, &down) < 0)
		log_write(LOG_WARNING, "%s", down.message);
}

static int claim(struct ipam_run *ipam, struct made *made, struct error *e)
{
	const struct request *request = ipam->run.request;
	struct lease_request lease = addressing_lease(&ipam->addressing, request->network, request->ifname);

	if (lease_prepare(&lease, &ipam->run, made, e) < 0 ||
		lease_file_write(made, lease.config->etcd, false, &ipam->run, e) < 0)
		return e->err;
	if (lease_claim(&lease, &ipam->run, made, e) < 0 ||
		lease_file_write(made, lease.config->etcd, true, &ipam->run, e) < 0) {
		release(ipam, made);
		return e->err;
	}
	return 0;
}

/* The addresses of a complete record. */
static bool recall(struct ipam_run *ipam, struct made *made)
{
	cleanup_free char *path = lease_file_path(&ipam->run, ipam->run.request->ifname);
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error ignored = {0};

	if (lease_file_read(path, &file, &ignored) < 0 || file.made.lease != MADE_DONE)
		return false;
	*made = file.made;
	file.made = (struct made){0};
	return true;
}

/* A repeated ADD is told what it has, if record and store agree that this very sandbox has it: 1. A store that does not
 * answer does not disagree: a claim that fails would give back what a running pod has. */
static int has_already(struct ipam_run *ipam, struct made *made, struct error *e)
{
	cleanup_free char *path = lease_file_path(&ipam->run, ipam->run.request->ifname);
	cleanup_lease_file struct lease_file file = {0};
	cleanup_error struct error ignored = {0};

	if (lease_file_read(path, &file, &ignored) < 0 || file.made.lease != MADE_DONE ||
		!sandbox_is(&file.sandbox, &ipam->run.sandbox, ipam->run.boot_id))
		return 0;
	if (lease_check(ipam->addressing.config->etcd, ipam->run.request->ifname, &ipam->run, &file.made, e) < 0) {
		if (e->err != -ENOENT || e->code != ERROR_IO)
			return e->err;
		error_clear(e);
		return 0;
	}
	*made = file.made;
	file.made = (struct made){0};
	return 1;
}

int ipam_add(const struct request *request, cJSON **ret, struct error *e)
{
	cleanup_ipam_run struct ipam_run ipam = {.run.netns_fd = -1};
	CLEANUP(made_clear) struct made made = {0};
	cleanup_json cJSON *result = NULL;
	cJSON *dns = NULL;

	if (config_read(request->conf, true, &ipam.config, e) < 0 || read_addressing(request, &ipam, e) < 0 ||
		open_run(request, &ipam, e) < 0 || place_wanted(request, &ipam, e) < 0 ||
		run_enter(&ipam.run, request->netns, e) < 0 || import_once(&ipam.run, e) < 0)
		return e->err;
	if (ipam.addressing.config->resolv_conf &&
		ipam_read_resolv_conf(ipam.addressing.config->resolv_conf, &dns, e) < 0)
		return error_wrap(e, "ipam.resolvConf");

	cleanup_json cJSON *owned = dns;

	int r = has_already(&ipam, &made, e);

	if (r < 0 || (r == 0 && claim(&ipam, &made, e) < 0))
		return e->err;
	if (addressing_result(&ipam.addressing, &made, &result, e) < 0)
		return e->err;
	if (dns)
		json_put(result, "dns", steal_ptr(owned));
	return result_convert(result, request->version, ret, e);
}

/* Without a record all may be there, where the configuration keeps addresses. One that cannot be read is no reason to
 * call for ever: its ADD was refused. */
static void assume_lease(const struct request *request, struct lease_file *file)
{
	cleanup_error struct error bad = {0};

	lease_file_clear(file);
	file->made.lease_network = copy_text(request->network);
	if (addressing_read_etcd(request->conf, "", &file->etcd, &bad) == 0)
		file->made.lease = MADE_INTENDED;
	else
		log_write(LOG_WARNING, "nothing is recorded, and nothing can be released: %s", bad.message);
}

int ipam_del(const struct request *request, struct error *e)
{
	cleanup_ipam_run struct ipam_run ipam = {.run.netns_fd = -1};
	cleanup_lease_file struct lease_file file = {0};

	config_read_folders(request->conf, &ipam.config);
	if (open_run(request, &ipam, e) < 0)
		return e->err;

	cleanup_free char *path = lease_file_path(&ipam.run, request->ifname);

	if (lease_file_read(path, &file, e) < 0) {
		if (e->err != -ENOENT && e->err != -EBADMSG)
			return e->err;
		error_clear(e);
		assume_lease(request, &file);
	}
	/* The store is the record's: the configuration may name another one by now. */
	if (lease_release(file.etcd, request->ifname, &ipam.run, &file.made, e) < 0)
		return e->err;
	return file_remove(path, e);
}

int ipam_check(const struct request *request, struct error *e)
{
	cleanup_ipam_run struct ipam_run ipam = {.run.netns_fd = -1};
	CLEANUP(made_clear) struct made made = {0};

	if (config_read(request->conf, true, &ipam.config, e) < 0 || read_addressing(request, &ipam, e) < 0 ||
		open_run(request, &ipam, e) < 0)
		return e->err;
	if (!recall(&ipam, &made))
		return error_set(e, -ENOENT, ERROR_IO, "interface %s of container %s has no recorded address",
			request->ifname, request->container_id);
	return lease_check(ipam.addressing.config->etcd, request->ifname, &ipam.run, &made, e);
}

int ipam_status(const struct request *request, struct error *e)
{
	cleanup_ipam_run struct ipam_run ipam = {.run.netns_fd = -1};

	return config_read(request->conf, true, &ipam.config, e) < 0 ? e->err : read_addressing(request, &ipam, e);
}
