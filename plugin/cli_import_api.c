#include "plugin/cli_import_api.h"

#include "ipam/range.h"
#include "ipam/record.h"
#include "ipam/store_etcd.h"
#include "plugin/annotations.h"
#include "plugin/base/log.h"
#include "plugin/cli_holder.h"
#include "plugin/import.h"
#include "plugin/nonce.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define STORE_SECONDS 10

struct importing {
	struct cli_stores *stores;
	bool dry_run;
	cJSON *outcomes;
};

/* One pod's addresses of one network. */
struct placed {
	const struct kube_pod *pod;
	const struct cli_network *network;
	struct ip_addr addrs[MAX_FIXED];
	size_t count;
};

static const char *annotation(const struct kube_pod *pod)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(pod->annotations, ANNOTATION_ADDRESS);

	return cJSON_GetStringValue(value);
}

static bool is_running(const struct kube_pod *pod)
{
	return pod->ns && pod->name && pod->uid && pod->node && *pod->node &&
	       cli_holder_is(pod, &(struct ipam_record){0});
}

static void report(const struct importing *im, const struct placed *placed, const char *what, const char *why)
{
	const struct kube_pod *pod = placed->pod;
	cleanup_free char *node = outcome_shown(pod->node);

	for (size_t i = 0; i < placed->count; i++) {
		cJSON *outcome = outcome_add(im->outcomes, what, placed->network->name, &placed->addrs[i],
			"pod %s/%s on node %s%s%s", pod->ns, pod->name, node, why ? ": " : "", why ? why : "");

		json_put_text(outcome, "namespace", pod->ns);
		json_put_text(outcome, "pod", pod->name);
		json_put_text(outcome, "node", pod->node);
	}
}

static void report_holder(const struct importing *im, const struct placed *placed, const struct store_entry *holder)
{
	cleanup_free char *who = holder->value ? ipam_value_describe(holder->value) : outcome_hold(holder->hold);
	cleanup_free char *why =
		format_text("%s is %s %s", ip_text(&holder->addr).s, holder->value ? "held by" : "kept for", who);

	report(im, placed, "conflict", why);
}

/* Its attachment key stands under the pod's node, for that node to find. */
static int open_store_of(const struct importing *im, const struct placed *placed, struct store **ret, struct error *e)
{
	struct http *http = NULL;
	int r = run_http(&im->stores->run, &http, e);

	if (r < 0)
		return r;

	const struct store_etcd_options options = {
		.config = placed->network->config->etcd,
		.http = http,
		.node = placed->pod->node,
		.data_dir = im->stores->config.data_dir,
		.deadline = clock_now() + STORE_SECONDS * SECONDS,
	};

	return store_etcd_open(&options, ret, e);
}

static bool is_of_pod(const char *text, const struct kube_pod *pod)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	return text && ipam_value_parse(text, &value, &ignored) == 0 && value.record.ns && value.record.pod &&
	       strcmp(value.record.ns, pod->ns) == 0 && strcmp(value.record.pod, pod->name) == 0 &&
	       (value.record.reserved || (value.record.uid && strcmp(value.record.uid, pod->uid) == 0));
}

/* What stands under one address: 1 when it is this pod's already, -EBUSY when it is somebody else's (reported). */
static int look_at(const struct importing *im, const struct placed *placed, struct store *store,
	const struct ip_addr *addr, char **ret_reservation, struct error *e)
{
	struct store_entry *entries = NULL;
	size_t count = 0;
	int r = store->ops->list(store, placed->network->name, addr, &entries, &count, e);

	for (size_t i = 0; r == 0 && i < count; i++) {
		const struct store_entry *entry = &entries[i];

		if (is_of_pod(entry->value, placed->pod)) {
			r = 1;
		} else if (entry->value || (entry->hold && strcmp(entry->hold, placed->pod->ns) != 0 &&
						   !is_of_pod(entry->hold, placed->pod))) {
			report_holder(im, placed, entry);
			r = -EBUSY;
		} else if (is_of_pod(entry->hold, placed->pod) && !*ret_reservation) {
			*ret_reservation = copy_text(entry->hold);
		}
	}
	store_entries_free(entries, count);
	return r;
}

static char *print_record(const struct importing *im, const struct placed *placed, const char *cid,
	const struct nonce *nonce, const char *ifname)
{
	const struct kube_pod *pod = placed->pod;
	const struct ipam_record record = {
		.fixed = true,
		.cluster = im->stores->config.cluster,
		.ns = pod->ns,
		.pod = pod->name,
		.uid = pod->uid,
		.cid = cid,
		.ifname = ifname,
		.node = pod->node,
		.nonce = nonce->text,
		.time = time(NULL),
	};

	return ipam_record_print(&record);
}

static int claim(const struct importing *im, const struct placed *placed, struct store *store, const char *reservation,
	struct error *e)
{
	cleanup_free char *cid = import_placeholder(placed->pod->uid);
	cleanup_free char *ifname =
		placed->network->index ? format_text("net%u", placed->network->index) : copy_text("eth0");
	cleanup_reply struct store_reply reply = {0};
	struct nonce nonce;

	if (nonce_draw(&nonce, e) < 0)
		return e->err;

	cleanup_free char *value = print_record(im, placed, cid, &nonce, ifname);
	const struct store_request request = {
		.network = placed->network->name,
		.config = placed->network->config,
		.fixed = placed->addrs,
		.fixed_count = placed->count,
		.ns = placed->pod->ns,
		.reservation = reservation,
		.cid = cid,
		.ifname = ifname,
		.value = value,
	};

	if (store->ops->claim(store, &request, &reply, e) < 0)
		return e->err;
	if (reply.answer == STORE_HELD && reply.holder_count)
		report_holder(im, placed, &reply.holders[0]);
	else
		report(im, placed, "imported", NULL);
	return 0;
}

static int import_placed(const struct importing *im, const struct placed *placed, struct error *e)
{
	cleanup_store struct store *store = NULL;
	cleanup_free char *reservation = NULL;
	size_t present = 0;

	if (!placed->count)
		return 0;
	if (open_store_of(im, placed, &store, e) < 0)
		return e->err;
	for (size_t i = 0; i < placed->count; i++) {
		int r = look_at(im, placed, store, &placed->addrs[i], &reservation, e);

		if (e->err)
			return e->err;
		if (r == -EBUSY)
			return 0;
		present += r == 1;
	}
	if (present || im->dry_run) {
		report(im, placed, present ? "present" : "imported", NULL);
		return 0;
	}
	return claim(im, placed, store, reservation, e);
}

/* The networks of etcd only: what a node keeps itself cannot be written from here. */
static const struct cli_network *network_of(const struct cli_stores *stores, const struct ip_addr *addr)
{
	for (size_t i = 0; i < stores->network_count; i++) {
		if (stores->networks[i].config->etcd && ipam_range_of(stores->networks[i].config, addr))
			return &stores->networks[i];
	}
	return NULL;
}

static void skip(const struct importing *im, const struct kube_pod *pod, const char *text, const char *why)
{
	cleanup_free char *shown = outcome_shown(text);
	cJSON *outcome = cJSON_CreateObject();
	cleanup_free char *reason = format_text("pod %s/%s: %s", pod->ns, pod->name, why);

	json_put_text(outcome, "result", "skipped");
	json_put_text(outcome, "network", "-");
	json_put_text(outcome, "address", shown);
	json_put_text(outcome, "reason", reason);
	cJSON_AddItemToArray(im->outcomes, outcome);
}

static void place(const struct importing *im, const struct kube_pod *pod, const char *text, struct placed *placed)
{
	const struct cli_network *network;
	struct ip_addr addr;

	if (!ip_parse(text, &addr)) {
		skip(im, pod, text, "kube-ipam.ip is no address");
		return;
	}
	network = network_of(im->stores, &addr);
	if (!network) {
		skip(im, pod, text, "no network of the configuration has it in a subnet");
		return;
	}

	struct placed *mine = &placed[network - im->stores->networks];

	if (mine->count == MAX_FIXED) {
		skip(im, pod, text, "kube-ipam.ip has too many addresses");
		return;
	}
	mine->pod = pod;
	mine->network = network;
	mine->addrs[mine->count++] = addr;
}

static int import_pod(const struct importing *im, const struct kube_pod *pod, struct error *e)
{
	cleanup_free struct placed *placed = allocate(im->stores->network_count + 1, sizeof(*placed));
	cleanup_free char *list = copy_text(annotation(pod));
	char *rest = list;

	for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
		item += strspn(item, " ");
		for (size_t end = strlen(item); end > 0 && item[end - 1] == ' '; end--)
			item[end - 1] = '\0';
		place(im, pod, item, placed);
	}
	for (size_t i = 0; i < im->stores->network_count; i++) {
		if (import_placed(im, &placed[i], e) < 0)
			return e->err;
	}
	return 0;
}

/* Those that certainly have their address come first: of two pods with one address it is they that keep it. */
static int import_phase(
	const struct importing *im, const struct kube_pod *pods, size_t count, bool running, struct error *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct kube_pod *pod = &pods[i];
		bool is_up = pod->phase && strcmp(pod->phase, "Running") == 0;

		if (is_running(pod) && annotation(pod) && is_up == running && import_pod(im, pod, e) < 0)
			return e->err;
	}
	return 0;
}

int cli_import_api(struct cli_stores *stores, bool dry_run, cJSON *outcomes, struct error *e)
{
	const struct importing im = {.stores = stores, .dry_run = dry_run, .outcomes = outcomes};
	struct kube_pod *pods = NULL;
	struct kube *kube = NULL;
	size_t count = 0;

	if (cli_stores_kube(stores, &kube, e) < 0 || cli_stores_pods(kube, &pods, &count, e) < 0)
		return e->err;
	if (import_phase(&im, pods, count, true, e) == 0)
		import_phase(&im, pods, count, false, e);
	kube_pods_free(pods, count);
	return e->err;
}
