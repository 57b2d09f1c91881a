/* etcd and the API server: all that can be asked at once is asked at once, and what they said is told later. */
#include "plugin/base/log.h"
#include "plugin/doctor_checks.h"
#include "plugin/selection.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define ETCD_TIME (3 * SECONDS)
#define LAST_TIME (1 * SECONDS)
#define API_TIME (5 * SECONDS)

/* Keys of nobody: no network and no domain of a configuration can be called so. */
#define PREFIX "/etcd-cni/"
#define NETWORK_KEY PREFIX "networks/.lamina-doctor"
#define DOMAIN_KEY PREFIX "domain/.lamina-doctor"

/* --- asking --- */

static void start_members(struct doctor *doctor, const struct etcd_config *config, struct http *http, int64_t deadline)
{
	for (size_t i = 0; i < config->endpoint_count; i++) {
		struct doctor_member *member;

		doctor->members = reallocate(doctor->members, doctor->member_count + 1, sizeof(*doctor->members));
		member = &doctor->members[doctor->member_count++];
		*member = (struct doctor_member){.config = config, .index = i};
		etcd_member_start(config, i, http, deadline, &member->call, &member->error);
	}
}

/* Two conditions that no key meets at once, so that nothing is written: etcd asks first whether all of it is allowed.
 */
static cJSON *harmless_transaction(void)
{
	cJSON *compare = cJSON_CreateArray(), *success = cJSON_CreateArray(), *failure = cJSON_CreateArray();

	cJSON_AddItemToArray(compare, etcd_compare_absent(NETWORK_KEY));
	cJSON_AddItemToArray(compare, etcd_compare_value(NETWORK_KEY, "nobody"));
	cJSON_AddItemToArray(success, etcd_put(NETWORK_KEY, "nobody"));
	cJSON_AddItemToArray(success, etcd_put(DOMAIN_KEY, "nobody"));
	cJSON_AddItemToArray(failure, etcd_range(PREFIX, true, ETCD_COUNT_ONLY, 0));
	return etcd_txn(compare, success, failure);
}

/* The cluster as far as its members answer: those that do not have been waited for. */
static struct etcd_config living(const struct doctor *doctor, const struct etcd_config *config)
{
	struct etcd_config part = *config;

	part.endpoints = allocate(config->endpoint_count, sizeof(*part.endpoints));
	part.endpoint_count = 0;
	for (size_t i = 0; i < doctor->member_count; i++) {
		const struct doctor_member *member = &doctor->members[i];

		/* One with an alarm is asked: what it says then is the cluster's word. */
		if (member->config == config && (!member->error.err || member->error.err == -ENOSPC))
			part.endpoints[part.endpoint_count++] = config->endpoints[member->index];
	}
	return part;
}

/* deadline: what is left of etcd's time, but when a silent member has used it up, enough for one that answers. */
static void try_access(
	struct doctor_cluster *cluster, const struct etcd_config *config, struct http *http, int64_t deadline)
{
	const int64_t least = clock_now() + LAST_TIME;
	const struct etcd_options options = {
		.config = config, .http = http, .deadline = deadline > least ? deadline : least};
	cleanup_etcd struct etcd *etcd = NULL;
	cleanup_json cJSON *body = harmless_transaction(), *reply = NULL;

	cluster->asked = config->endpoint_count > 0;
	if (cluster->asked && etcd_open(&options, &etcd, &cluster->error) == 0)
		etcd_call(etcd, "/v3/kv/txn", body, &reply, NULL, &cluster->error);
}

static void ask_clusters(struct doctor *doctor, struct http *http)
{
	const struct cli_stores *stores = &doctor->stores;
	const int64_t deadline = clock_now() + ETCD_TIME;

	for (size_t i = 0; i < stores->count; i++) {
		if (stores->list[i].etcd)
			start_members(doctor, stores->list[i].etcd, http, deadline);
	}
	for (size_t i = 0; i < doctor->member_count; i++) {
		struct doctor_member *member = &doctor->members[i];

		if (member->call)
			etcd_member_await(member->call, &member->version, &member->error);
	}
	doctor->clusters = allocate(stores->count + 1, sizeof(*doctor->clusters));
	for (size_t i = 0; i < stores->count; i++) {
		if (!stores->list[i].etcd)
			continue;

		struct etcd_config part = living(doctor, stores->list[i].etcd);

		try_access(&doctor->clusters[i], &part, http, deadline);
		free(part.endpoints);
	}
}

void doctor_ask(struct doctor *doctor)
{
	struct run *run = &doctor->stores.run;
	cleanup_error struct error said = {0};
	struct http *http;

	if (!doctor->opened)
		return;
	/* Without it no cluster's store could be opened, which has been said, and run_kube says so, too. */
	if (run_http(run, &http, &said) == 0)
		ask_clusters(doctor, http);
	if (run_kube(run, &doctor->kube, &doctor->kube_error) < 0 || !doctor->kube)
		return;
	kube_set_deadline(doctor->kube, clock_now() + API_TIME);
	kube_look(doctor->kube, run->node, &doctor->look);
	if (run->config->reads_networks)
		kube_look_networks(doctor->kube, &doctor->networks);
}

void doctor_forget_answers(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->member_count; i++) {
		etcd_member_free_cleanup(&doctor->members[i].call);
		free(doctor->members[i].version);
		error_clear(&doctor->members[i].error);
	}
	for (size_t i = 0; doctor->clusters && i < doctor->stores.count; i++)
		error_clear(&doctor->clusters[i].error);
	free(doctor->members);
	free(doctor->clusters);
	error_clear(&doctor->kube_error);
	kube_look_clear(&doctor->look);
	kube_look_networks_clear(&doctor->networks);
}

/* --- telling: etcd --- */

static void count_members(
	const struct doctor *doctor, const struct etcd_config *config, size_t *ret_all, size_t *ret_good)
{
	*ret_all = *ret_good = 0;
	for (size_t i = 0; i < doctor->member_count; i++) {
		if (doctor->members[i].config != config)
			continue;
		(*ret_all)++;
		*ret_good += !doctor->members[i].error.err;
	}
}

static void tell_member(struct doctor *doctor, const struct doctor_member *member)
{
	const char *url = member->config->endpoints[member->index];
	const char *place = etcd_member_place(member->config, member->index);
	const bool named = member->error.err && strstr(member->error.message, place);
	const bool tls = strncasecmp(url, "https:", strlen("https:")) == 0;
	const char *fix = member->error.err == -EHOSTUNREACH
				  ? "start etcd there and see its log, or look for what is between (routes, a firewall)"
				  : NULL;
	size_t all, good;

	/* An alarm is the cluster's, whichever member tells of it. */
	count_members(doctor, member->config, &all, &good);
	if (!member->error.err)
		doctor_ok(doctor, "etcd", "%s answers, version %s, %s", place, member->version,
			tls ? "TLS verified" : "without TLS");
	else if (good > all / 2 && member->error.err != -ENOSPC)
		doctor_note(doctor, "etcd", "%s%s%s%s%s (pods start nevertheless, by the other members)",
			named ? "" : place, named ? "" : ": ", member->error.message, fix ? "; " : "", fix ? fix : "");
	else
		doctor_bad(doctor, "etcd", fix, "%s%s%s", named ? "" : place, named ? "" : ": ", member->error.message);
}

void doctor_check_members(struct doctor *doctor)
{
	const bool none = doctor->opened && doctor->planned && !cli_stores_have_cluster(&doctor->stores);

	if (none && doctor->stores_error.err)
		doctor_note(doctor, "etcd", "not asked before all that keeps addresses can be opened (folders)");
	else if (none)
		doctor_ok(doctor, "etcd", "not used: this node keeps its own addresses");
	for (size_t i = 0; i < doctor->member_count; i++)
		tell_member(doctor, &doctor->members[i]);
}

void doctor_check_access(struct doctor *doctor)
{
	const struct cli_stores *stores = &doctor->stores;

	for (size_t i = 0; doctor->clusters && i < stores->count; i++) {
		const struct etcd_config *config = stores->list[i].etcd;
		const struct doctor_cluster *cluster = &doctor->clusters[i];

		if (!config)
			continue;
		if (!cluster->asked)
			doctor_note(doctor, "etcd-access", "not tried: no member answers that has a leader");
		else if (cluster->error.err)
			doctor_bad(doctor, "etcd-access", NULL, "%s", cluster->error.message);
		else
			doctor_ok(doctor, "etcd-access",
				"all keys that begin with " PREFIX " may be read and written%s%s",
				config->username ? " by user " : "", config->username ? config->username : "");
	}
}

/* --- telling: the API server --- */

bool doctor_knows_node(const struct doctor *doctor)
{
	return doctor->kube && !doctor->look.nodes.err;
}

static bool is_refused(const struct error *e)
{
	return e->err == -EACCES && strstr(e->message, "HTTP 403");
}

#define RIGHTS "the release's rbac.yaml has all that a node needs"

/* A kubelet's credential, which many configurations lend to plugins: the Node authorizer lets it read what belongs to
 * its node, and answers 403 for the rest, with this reason. */
static bool is_kubelet(const struct error *e)
{
	return strstr(e->message, "User \"system:node:") && strstr(e->message, "no relationship found between node");
}

static void tell_pods(struct doctor *doctor, const struct error *e)
{
	if (is_kubelet(e))
		doctor_bad(doctor, "api",
			"or rather give lamina a user of its own, by the release's rbac.yaml and kubeconfig.sh",
			"a kubelet's own user may read only pods that are bound to its node: these start, but whether "
			"another pod is gone nobody says, and its address is not taken over, but waits: %s",
			e->message);
	else
		doctor_bad(doctor, "api", RIGHTS,
			"a pod whose annotations are asked of the API server does not start, and an address whose pod "
			"is gone is not taken over: %s",
			e->message);
}

/* Nodes and leases decide whether an address is taken over; multus's own role has no right to them. */
static bool keeps_addresses(const struct doctor *doctor)
{
	return !doctor->planned || plan_claims(&doctor->plan);
}

static void tell_kind(struct doctor *doctor, const char *what, const struct error *own, const struct error *others)
{
	if (!keeps_addresses(doctor))
		doctor_note(doctor, "api",
			"without the right to it no address of a network with kube-ipam is taken over, of which this "
			"configuration has none: %s",
			own->err ? own->message : others->message);
	else if (own->err)
		doctor_bad(doctor, "api", RIGHTS, "%s", own->message);
	else
		doctor_bad(doctor, "api", RIGHTS,
			"only this node's own %s may be read: an address whose pod was on another node is not "
			"taken over, but waits: %s",
			what, others->message);
}

static void tell_rights(struct doctor *doctor)
{
	const struct kube_look *look = &doctor->look;

	if (look->pods.err)
		tell_pods(doctor, &look->pods);
	if (look->nodes.err || look->other_nodes.err)
		tell_kind(doctor, "Node", &look->nodes, &look->other_nodes);
	if (look->leases.err || look->other_leases.err)
		tell_kind(doctor, "Lease", &look->leases, &look->other_leases);
}

static void tell_look(struct doctor *doctor)
{
	const struct kube_look *look = &doctor->look;
	const struct error *errors[] = {
		&look->pods, &look->nodes, &look->leases, &look->other_nodes, &look->other_leases};
	size_t good = 0;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		good += !errors[i]->err;
		/* What keeps one from being read keeps all: it is said once. */
		if (errors[i]->err && !is_refused(errors[i])) {
			doctor_bad(doctor, "api",
				errors[i]->err == -EAGAIN ? "start it, or look for what is between (routes, a firewall)"
							  : NULL,
				"%s", errors[i]->message);
			return;
		}
	}
	if (good == ARRAY_SIZE(errors))
		doctor_ok(doctor, "api", "%s answers; pods, nodes and leases in kube-node-lease may be read, by %s",
			doctor->stores.run.kubeconfig->server, doctor->stores.run.kubeconfig->path);
	else
		tell_rights(doctor);
}

void doctor_check_api(struct doctor *doctor)
{
	if (!doctor->opened)
		return;
	if (doctor->kube_error.err)
		doctor_bad(doctor, "api", NULL, "%s", doctor->kube_error.message);
	else if (doctor->kube)
		tell_look(doctor);
	else if (cli_stores_have_cluster(&doctor->stores))
		doctor_note(doctor, "api",
			"no kubeConfig: an address whose pod is gone from another node is not taken over, but waits "
			"for "
			"lamina ip release");
	else
		doctor_ok(doctor, "api", "not used: no kubeConfig");
}

static void tell_writing(struct doctor *doctor)
{
	const struct kube_look_networks *look = &doctor->networks;

	if (look->rights.err)
		doctor_note(doctor, "networks", "nobody says whether network-status and events may be written: %s",
			look->rights.message);
	else if (!look->writes_status || !look->writes_events)
		doctor_note(doctor, "networks",
			"pods start, but no %s%s%s is written: the user of %s lacks the right to %s; " RIGHTS,
			look->writes_status ? "" : "network-status",
			look->writes_status || look->writes_events ? "" : " and no ",
			look->writes_events ? "" : "event", doctor->stores.run.kubeconfig->path,
			look->writes_status ? "create events" : "patch or update pods/status");
}

void doctor_check_networks(struct doctor *doctor)
{
	const struct kube_look_networks *look = &doctor->networks;
	const struct run *run = &doctor->stores.run;

	/* A server that cannot be asked has been told of. */
	if (!doctor->opened || !doctor->kube || !run->config->reads_networks || doctor->look.pods.err == -EAGAIN)
		return;
	if (look->definitions.err)
		doctor_bad(doctor, "networks", is_refused(&look->definitions) ? RIGHTS : NULL,
			"a pod whose annotation asks for networks does not start: %s", look->definitions.message);
	else
		doctor_ok(doctor, "networks",
			"NetworkAttachmentDefinitions may be read, in " ANNOTATION_NETWORKS
			" and the pod's own default network");
	tell_writing(doctor);
}
