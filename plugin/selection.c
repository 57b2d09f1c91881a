#include "plugin/selection.h"

#include "delegate/conf.h"
#include "delegate/devices.h"
#include "delegate/events.h"
#include "delegate/nad.h"
#include "plugin/base/log.h"
#include "plugin/namespaces.h"
#include "plugin/report.h"

#include <errno.h>
#include <string.h>

/* Of all the pod's networks together, with what the pod puts into each plugin: they are kept in memory several times.
 */
#define MAX_CONFIGURATIONS ((size_t)2 << 20)

/* A network on its way into the plan. */
struct wanted_network {
	struct network_element asked; /* namespace and name; what else the annotation says */
	const char *file;             /* a path in place of a name; borrowed */
	bool of_node;                 /* the configuration names it: then confDir may have it under that name */
	bool replaces_default;
	struct nad_call *call;
	struct nad nad;
	char *resource;        /* of the device that was handed out to it; NULL: none */
	struct error unusable; /* the first file of confDir that was passed over */
	cJSON *conf;
};

struct selection {
	struct wanted_network *networks;
	size_t count;
	const struct pod *pod;
	struct run *run;
	struct pod_devices devices;
	size_t bytes; /* of the configurations that are loaded */
};

static void selection_clear(struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++) {
		struct wanted_network *network = &selection->networks[i];

		network_element_clear(&network->asked);
		if (network->call)
			nad_call_free(network->call);
		nad_clear(&network->nad);
		free(network->resource);
		error_clear(&network->unusable);
		cJSON_Delete(network->conf);
	}
	free(selection->networks);
	pod_devices_clear(&selection->devices);
}
#define cleanup_selection CLEANUP(selection_clear)

bool selection_is_wanted(const struct config *config)
{
	return config->reads_networks || config->cluster_network;
}

static struct wanted_network *add_network(struct selection *selection)
{
	selection->networks = reallocate(selection->networks, selection->count + 1, sizeof(*selection->networks));

	struct wanted_network *network = &selection->networks[selection->count++];

	*network = (struct wanted_network){0};
	return network;
}

/* --- which ones --- */

static void add_of_node(struct selection *selection, const char *name)
{
	struct wanted_network *network = add_network(selection);

	network->of_node = true;
	if (strchr(name, '/')) {
		network->file = name;
		return;
	}
	network->asked.ns = copy_text(selection->run->config->multus_namespace);
	network->asked.name = copy_text(name);
}

static void add_networks_of_node(struct selection *selection)
{
	const struct config *config = selection->run->config;
	const cJSON *name;

	if (!config->cluster_network)
		return;
	add_of_node(selection, config->cluster_network);
	if (!selection->pod || namespaces_is_system(config, selection->run->request))
		return;
	cJSON_ArrayForEach(name, config->default_networks)
	{
		add_of_node(selection, config_path(config, name->valuestring));
	}
}

static void tell_missing(const struct selection *selection, const char *ns, const char *name, const char *why)
{
	cleanup_free char *text = event_no_network_text(ns, name, why);

	report_no_network(selection->pod, selection->run, text);
}

static char *not_found(const char *name)
{
	return format_text("network-attachment-definitions.k8s.cni.cncf.io \"%s\" not found", name);
}

/* An annotation's list, its elements moved behind what is there. */
static int read_annotation(
	struct selection *selection, const char *key, const char *ns, size_t *ret_count, struct error *e)
{
	cleanup_networks struct network_list list = {0};
	const cJSON *annotations = selection->pod ? selection->pod->annotations : NULL;
	const cJSON *annotation = cJSON_GetObjectItemCaseSensitive(annotations, key);
	const char *text = annotation ? annotation->valuestring : NULL;

	*ret_count = 0;
	if (!text)
		return 0;
	if (networks_read(key, text, ns, &list, e) < 0) {
		cleanup_free char *why = list.bad_name ? not_found(list.bad_name) : NULL;

		if (why)
			tell_missing(selection, list.bad_ns, list.bad_name, why);
		return e->err;
	}
	for (size_t i = 0; i < list.count; i++) {
		add_network(selection)->asked = list.elements[i];
		list.elements[i] = (struct network_element){0};
	}
	*ret_count = list.count;
	return 0;
}

static int add_default_network(struct selection *selection, struct error *e)
{
	const size_t before = selection->count;
	size_t count;

	if (read_annotation(
		    selection, ANNOTATION_DEFAULT_NETWORK, selection->run->config->multus_namespace, &count, e) < 0)
		return e->err;
	if (count > 1)
		return error_set(e, -E2BIG, ERROR_CONFIG,
			ANNOTATION_DEFAULT_NETWORK " names %zu networks: a pod has one "
						   "default network",
			count);
	if (count == 1)
		selection->networks[before].replaces_default = true;
	return 0;
}

static int check_isolation(const struct selection *selection, size_t first, struct error *e)
{
	for (size_t i = first; i < selection->count; i++) {
		const struct wanted_network *network = &selection->networks[i];

		if (namespaces_check(selection->run->config, selection->run->request, network->asked.ns,
			    network->replaces_default, e) < 0)
			return e->err;
	}
	return 0;
}

static int add_networks_of_pod(struct selection *selection, struct error *e)
{
	const size_t first = selection->count;
	size_t count;

	if (add_default_network(selection, e) < 0 || read_annotation(selection, ANNOTATION_NETWORKS,
							     request_namespace(selection->run->request), &count, e) < 0)
		return e->err;
	return check_isolation(selection, first, e);
}

/* A network of its own behind all others: multus's passthru, which makes nothing, and the plugins that a vendor has put
 * into the chain's folder beside the file of clusterNetwork. Without any, or where one cannot be read, there is no such
 * network. */
static void add_auxiliary_chain(struct selection *selection)
{
	cleanup_error struct error broken = {0};
	const struct config *config = selection->run->config;
	const char *version = json_text(selection->run->request->conf, "cniVersion");
	cleanup_json cJSON *list = cJSON_CreateObject();
	cJSON *plugins = cJSON_CreateArray(), *passthru = cJSON_CreateObject();

	json_put_text(list, "cniVersion", version ? version : "");
	json_put_text(list, "name", config->auxiliary_chain);
	json_put_text(passthru, "type", "passthru");
	json_put_text(passthru, "name", "passthru-cni");
	cJSON_AddItemToArray(plugins, passthru);
	json_put(list, "plugins", plugins);
	if (conf_add_chained(list, config->cluster_network, &broken) < 0)
		log_write(LOG_WARNING, "auxiliaryCNIChainName: the whole chain is left out: %s", broken.message);
	if (cJSON_GetArraySize(json_get(list, "plugins")) < 2)
		return;

	struct wanted_network *network = add_network(selection);

	network->file = "auxiliaryCNIChainName";
	network->conf = steal_ptr(list);
}

/* --- their configurations --- */

static int ask_for_all(struct selection *selection, struct error *e)
{
	struct kube *kube = NULL;

	/* ipam.kubeConfig reads kube-ipam's annotations, and nothing else. */
	if (selection->run->asks_nobody || !selection->run->config->reads_networks)
		return 0;
	for (size_t i = 0; i < selection->count; i++) {
		struct wanted_network *network = &selection->networks[i];

		if (network->file || (network->of_node && !nad_is_name(network->asked.name)))
			continue;
		if (!kube && run_kube(selection->run, &kube, e) < 0)
			return e->err;
		/* Without an API server there are the files. */
		if (kube && nad_start(kube, network->asked.ns, network->asked.name, &network->call, e) < 0)
			return e->err;
	}
	return 0;
}

static int refuse_missing(const struct selection *selection, const struct wanted_network *network, struct error *e)
{
	const char *annotation = network->replaces_default ? ANNOTATION_DEFAULT_NETWORK : ANNOTATION_NETWORKS;
	cleanup_free char *why = not_found(network->asked.name);
	cleanup_free char *text = event_no_network_text(network->asked.ns, network->asked.name, why);

	tell_missing(selection, network->asked.ns, network->asked.name, why);
	return error_set(
		e, -ENOENT, ERROR_CONFIG, "%s: create it, or correct the pod's annotation %s", text, annotation);
}

static int await_definition(struct selection *selection, struct wanted_network *network, struct error *e)
{
	struct nad_call *call = steal_ptr(network->call);

	if (!call)
		return 0;

	int r = nad_await(call, &network->nad, e);

	nad_call_free(call);
	if (r < 0 && !network->of_node)
		tell_missing(selection, network->asked.ns, network->asked.name, e->message);
	if (r < 0)
		return error_wrap(e, "network %s/%s", network->asked.ns, network->asked.name);
	return network->nad.found || network->of_node ? 0 : refuse_missing(selection, network, e);
}

/* multus's rule for networks of the node: whatever the API server says, a file will do. */
static int find_file(struct wanted_network *network, const struct config *config, struct error *e)
{
	cleanup_error struct error ignored = {0};

	if (conf_find(config->conf_dir, network->asked.name, &network->conf, &network->unusable, &ignored) < 0)
		return e->err;
	error_clear(e);
	return 0;
}

static int load_definition(struct wanted_network *network, const struct config *config, struct error *e)
{
	const char *name = network->asked.name;
	cleanup_free char *what = format_text("NetworkAttachmentDefinition %s/%s", network->asked.ns, name);

	if (!network->nad.found || !*network->nad.config) {
		if (conf_find(config->conf_dir, name, &network->conf, &network->unusable, e) < 0)
			return error_wrap(
				e, "%s%s", what, network->nad.found ? " has no spec.config" : " does not exist");
		return 0;
	}

	cleanup_free char *text = steal_ptr(network->nad.config);

	if (conf_parse(text, what, &network->conf, e) < 0)
		return e->err;
	conf_name(network->conf, name);
	return 0;
}

/* Whether the pod's own default network comes in its place. */
static bool is_replaced(const struct selection *selection, size_t index)
{
	bool replaced = false;

	for (size_t i = 1; index == 0 && i < selection->count; i++)
		replaced |= selection->networks[i].replaces_default;
	return replaced && selection->networks[0].of_node;
}

/* Devices of one resource are handed out in their order, each once; but for the pod's own default network, which is
 * looked up apart from the others, as multus does it: it has the first one. */
static int choose_device(struct selection *selection, size_t index, struct error *e)
{
	struct wanted_network *network = &selection->networks[index];
	const char *resource = network->nad.resource, *uid = selection->run->request->pod.uid;
	cleanup_devices struct devices devices = {0};
	size_t taken = 0;

	if (!resource || !selection->pod)
		return 0;
	if (selection->pod->object.uid)
		uid = selection->pod->object.uid;
	if (!uid)
		return 0;
	if ((!selection->devices.entries && devices_read(DEVICES_CHECKPOINT, uid, &selection->devices, e) < 0) ||
		devices_find(&selection->devices, resource, &devices, e) < 0)
		return error_wrap(e, "network %s/%s: resource %s", network->asked.ns, network->asked.name, resource);
	for (size_t i = 0; !network->replaces_default && i < index; i++) {
		const struct wanted_network *before = &selection->networks[i];

		taken += !before->replaces_default && same_text(before->nad.resource, resource);
	}
	if (taken >= devices.count) {
		if (!is_replaced(selection, index))
			log_write(LOG_WARNING,
				"network %s/%s: the pod has %zu devices of resource %s, and needs one more",
				network->asked.ns, network->asked.name, devices.count, resource);
		return 0;
	}
	network->resource = copy_text(resource);
	free(network->asked.device_id);
	network->asked.device_id = copy_text(devices.ids[taken]);
	conf_put_device(network->conf, devices.ids[taken]);
	return 0;
}

static int read_conf(struct selection *selection, size_t index, struct error *e)
{
	struct wanted_network *network = &selection->networks[index];

	if (network->conf)
		return 0;
	if (network->file)
		return conf_read_path(network->file, &network->conf, e);
	if (await_definition(selection, network, e) < 0)
		return network->of_node ? find_file(network, selection->run->config, e) : e->err;
	return load_definition(network, selection->run->config, e) < 0 ? e->err : choose_device(selection, index, e);
}

/* Before the arguments are there: they would be copied into each plugin. */
static int check_size(struct selection *selection, const struct wanted_network *network, struct error *e)
{
	const struct network_element *asked = &network->asked;
	cleanup_free char *conf = json_print(network->conf),
			  *args = asked->cni_args ? json_print(asked->cni_args) : NULL;

	selection->bytes += strlen(conf) + (args ? strlen(args) * conf_count_plugins(network->conf) : 0);
	if (selection->bytes <= MAX_CONFIGURATIONS)
		return 0;
	return error_set(e, -E2BIG, ERROR_CONFIG,
		"the configurations of the pod's networks, up to %s%s%s, have more than %zu bytes together with the "
		"pod's cni-args: make them smaller, or ask for fewer networks",
		network->file ? network->file : asked->ns, network->file ? "" : "/", network->file ? "" : asked->name,
		MAX_CONFIGURATIONS);
}

static int load(struct selection *selection, size_t index, struct error *e)
{
	struct wanted_network *network = &selection->networks[index];

	if (read_conf(selection, index, e) < 0 || check_size(selection, network, e) < 0)
		return e->err;
	if (network->asked.cni_args)
		conf_put_args(network->conf, network->asked.cni_args);
	return 0;
}

/* Once, whatever number of networks is looked for there. */
static void tell_unusable_file(const struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++) {
		const struct wanted_network *network = &selection->networks[i];

		if (network->unusable.err) {
			log_write(LOG_WARNING, "passed over in the search for networks: %s", network->unusable.message);
			return;
		}
	}
}

static int load_all(struct selection *selection, struct error *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < selection->count; i++)
		r = load(selection, i, e);
	tell_unusable_file(selection);
	return r;
}

/* --- into the plan --- */

static void name_attachment(struct attachment *a, struct wanted_network *network)
{
	free(a->path);
	if (network->file) {
		a->path = copy_text(network->file);
	} else if (network->nad.found) {
		a->path = format_text("%s/%s spec.config", network->asked.ns, network->asked.name);
		free(a->name);
		a->name = format_text("%s/%s", network->asked.ns, network->asked.name);
		a->resource = steal_ptr(network->resource);
	} else {
		a->path = format_text("%s in confDir", network->asked.name);
	}
	/* Of the node's own networks nobody asks for anything but the device that they have. */
	if (!network->of_node || network->asked.device_id)
		attachment_ask(a, &network->asked);
}

/* Plugins get the name as it is, and a record is found by it. */
static int check_ifname(const struct attachment *a, struct error *e)
{
	if (request_check_ifname(a->ifname, e) == 0)
		return 0;
	e->code = ERROR_CONFIG;
	return error_wrap(e, "the pod's annotation asks for interface %s of network %s", a->ifname, a->name);
}

static int plan_network(struct plan *plan, struct wanted_network *network, const struct run *run, struct error *e)
{
	const unsigned int index = network->replaces_default ? 0 : (unsigned int)plan->count;
	cleanup_attachment struct attachment *a = attachment_new(network->conf, index, run->request->ifname);

	/* It has a copy. */
	cJSON_Delete(steal_ptr(network->conf));
	name_attachment(a, network);
	if ((*a->ifname && check_ifname(a, e) < 0) || a->ops->plan(a, run->request, run->config, e) < 0)
		return e->err;
	if (network->replaces_default && plan->count > 0) {
		attachment_free(plan->attachments[0]);
		plan->attachments[0] = steal_ptr(a);
	} else {
		plan_append(plan, steal_ptr(a));
	}
	return 0;
}

int selection_complete(struct plan *plan, const struct pod *pod, struct run *run, struct error *e)
{
	cleanup_selection struct selection selection = {.pod = pod, .run = run};

	add_networks_of_node(&selection);
	if (run->config->reads_networks && add_networks_of_pod(&selection, e) < 0)
		return e->err;
	if (run->config->auxiliary_chain && pod)
		add_auxiliary_chain(&selection);
	if (ask_for_all(&selection, e) < 0 || load_all(&selection, e) < 0)
		return e->err;
	trace_step("networks known");
	for (size_t i = 0; i < selection.count; i++) {
		if (plan_network(plan, &selection.networks[i], run, e) < 0)
			return e->err;
	}
	return plan_check(plan, e);
}
