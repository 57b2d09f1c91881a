#include "plugin/cli_holder.h"

#include "plugin/lease.h"
#include "plugin/outcome.h"

#include <string.h>

static bool is_finished(const struct kube_pod *pod)
{
	return pod->phase && (strcmp(pod->phase, "Succeeded") == 0 || strcmp(pod->phase, "Failed") == 0);
}

bool cli_holder_is(const struct kube_pod *pod, const struct ipam_record *record)
{
	/* Without a UID on either side the name is all there is to go by. */
	return pod->found && !is_finished(pod) && (!record->uid || !pod->uid || strcmp(record->uid, pod->uid) == 0);
}

bool cli_holder_is_of_cluster(const struct ipam_record *record, const struct config *config)
{
	const char *theirs = record->cluster ? record->cluster : "", *ours = config->cluster ? config->cluster : "";

	return strcmp(theirs, ours) == 0;
}

/* The pod is gone. Is its node there to have taken it down? */
static enum holder_state ask_node(struct kube *kube, const struct ipam_record *record, char **ret_why)
{
	cleanup_error struct error e = {0};
	struct kube_node node;

	if (!record->node)
		return HOLDER_GONE;
	if (kube_node(kube, record->node, &node, &e) < 0) {
		*ret_why = copy_text(e.message);
		return HOLDER_UNKNOWN;
	}
	if (node.alive || node.out_of_service || (!node.found && !record->node_guessed))
		return HOLDER_GONE;

	cleanup_free char *name = outcome_shown(record->node);

	*ret_why = node.found ? format_text("its node %s does not answer, and the container may run on: if the node is "
					    "off, taint it node.kubernetes.io/out-of-service",
					name)
			      : format_text("the API server knows no node %s, which is only a host's name", name);
	return HOLDER_UNKNOWN;
}

static enum holder_state ask_api(struct cli_stores *stores, const struct ipam_record *record, char **ret_why)
{
	cleanup_kube_pod struct kube_pod pod = {0};
	cleanup_error struct error e = {0};
	struct kube *kube = NULL;

	if (cli_stores_kube(stores, &kube, &e) < 0 || kube_pod(kube, record->ns, record->pod, &pod, &e) < 0) {
		*ret_why = copy_text(e.message);
		return HOLDER_UNKNOWN;
	}
	if (cli_holder_is(&pod, record)) {
		*ret_why = copy_text("which lives");
		return HOLDER_LIVES;
	}
	return ask_node(kube, record, ret_why);
}

enum holder_state cli_holder_ask(
	struct cli_stores *stores, const struct cli_store *store, const struct store_entry *entry, char **ret_why)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	*ret_why = NULL;
	if (!entry->value)
		return HOLDER_GONE;
	if (!store->etcd) {
		if (lease_holder_is_gone(entry, &stores->run))
			return HOLDER_GONE;
		*ret_why = copy_text("which lives");
		return HOLDER_LIVES;
	}
	if (ipam_value_parse(entry->value, &value, &ignored) < 0 || !value.record.ns || !value.record.pod) {
		*ret_why = copy_text("which names no pod that could be asked for");
		return HOLDER_UNKNOWN;
	}
	if (!cli_holder_is_of_cluster(&value.record, &stores->config)) {
		*ret_why = copy_text("which is a pod of another cluster");
		return HOLDER_UNKNOWN;
	}
	return ask_api(stores, &value.record, ret_why);
}
