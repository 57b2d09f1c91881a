/* The configuration as the runtime finds it, and what of it depends on the node. */
#include "delegate/chain.h"
#include "plugin/cli_conf.h"
#include "plugin/doctor_checks.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* All that waits for a server has less; this is for the node's own store. */
#define ALL_SECONDS 20

static const char *type_of(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return type ? type : "";
}

/* --- reading --- */

static char *conf_path(const cJSON *name)
{
	return format_text(CLI_CONF_FOLDER "/%s", name->valuestring);
}

/* The first one that is ours, or else would be if it could be read: what is wrong with it is what counts. */
static void choose_file(struct doctor *doctor)
{
	const cJSON *name;

	doctor->names = cli_conf_names();
	if (doctor->options->conf) {
		doctor->file = copy_text(doctor->options->conf);
		cli_conf_read(doctor->file, &doctor->conf, &doctor->conf_error);
		return;
	}
	cJSON_ArrayForEach(name, doctor->names)
	{
		cleanup_free char *path = conf_path(name);
		cleanup_json cJSON *conf = NULL;
		cleanup_error struct error e = {0};

		if (cli_conf_read(path, &conf, &e) < 0)
			error_keep_first(&doctor->conf_error, &e);
		else if (!doctor->conf && chain_is_own_type(type_of(conf))) {
			doctor->conf = steal_ptr(conf);
			doctor->file = copy_text(path);
		}
	}
	if (doctor->conf)
		error_clear(&doctor->conf_error);
}

/* The file that is read for the node's own keys. */
static const char *defaults_file(const struct doctor *doctor)
{
	return doctor->options->defaults ? doctor->options->defaults : CONFIG_DEFAULTS;
}

static void read_defaults(struct doctor *doctor)
{
	struct error *e = &doctor->defaults_error;

	if (config_read_defaults(defaults_file(doctor), &doctor->defaults, e) == 0 && doctor->defaults &&
		config_check_defaults(doctor->defaults, e) < 0)
		error_wrap(e, "%s", defaults_file(doctor));
}

/* The site's own name for this node, which an ADD goes by whatever else says one; NULL: it has none, or none that can
 * be. */
static const char *site_name(const struct doctor *doctor)
{
	const char *name = json_text(doctor->stores.conf, "nodeName");

	return same_text(name, doctor->stores.config.node) ? name : NULL;
}

/* What the node is called in this run. */
static void rename_node(struct cli_stores *stores, const char *name)
{
	stores->config.node = name;
	free(stores->run.node);
	stores->run.node = copy_text(name);
	stores->run.node_guessed = false;
}

void doctor_read(struct doctor *doctor)
{
	const char *node = doctor->options->node;

	read_defaults(doctor);
	choose_file(doctor);
	if (!doctor->conf)
		return;
	doctor->planned = cli_conf_plan(doctor->conf, defaults_file(doctor), &doctor->request, &doctor->config,
				  &doctor->plan, &doctor->conf_error) == 0;
	cli_stores_open_with(
		doctor->file, defaults_file(doctor), true, ALL_SECONDS, &doctor->stores, &doctor->stores_error);
	/* A store that cannot be opened is one finding, and no reason to look at nothing else. */
	doctor->opened = doctor->stores.run.host;
	if (doctor->opened && node && !site_name(doctor))
		rename_node(&doctor->stores, node);
}

void doctor_done(struct doctor *doctor)
{
	plan_clear(&doctor->plan);
	config_clear(&doctor->config);
	cli_stores_close(&doctor->stores);
	cJSON_Delete(doctor->names);
	cJSON_Delete(doctor->defaults);
	cJSON_Delete(doctor->conf);
	error_clear(&doctor->conf_error);
	error_clear(&doctor->defaults_error);
	error_clear(&doctor->stores_error);
	free(doctor->file);
}

/* --- which file is read --- */

static void check_first(struct doctor *doctor)
{
	const cJSON *first = doctor->names->child;
	cleanup_free char *path = conf_path(first);
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error e = {0};

	if (doctor->file && strcmp(path, doctor->file) == 0)
		return;
	if (cli_conf_read(path, &conf, &e) < 0 && e.err != -ENOENT)
		doctor_bad(doctor, "configuration", "correct it, or take it out of the folder",
			"the runtime reads %s first, which it cannot: %s", path, e.message);
	else
		doctor_bad(doctor, "configuration",
			doctor->file ? "take it out of the folder, or give it a name that comes later"
				     : "put lamina's configuration there, under a name that comes first",
			"the runtime reads %s first, which is not lamina's (type %s)%s%s", path,
			conf ? type_of(conf) : "of its plugins", doctor->file ? "; lamina's is " : "",
			doctor->file ? doctor->file : "");
}

static void note_others(struct doctor *doctor)
{
	cleanup_free char *others = copy_text("");
	const cJSON *name;

	for (name = doctor->names->child ? doctor->names->child->next : NULL; name; name = name->next)
		append_item(&others, name->valuestring);
	if (*others)
		doctor_note(doctor, "configuration",
			"behind the first file %s has others, which the runtime does not read: %s", CLI_CONF_FOLDER,
			others);
}

static char *list_networks(const struct plan *plan)
{
	char *text = copy_text("");

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		const char *type = json_text(a->conf, "type");
		cleanup_free char *item = format_text("%s %s (%s)", a->ifname, a->network, type ? type : "a list");

		append_item(&text, item);
	}
	return text;
}

void doctor_check_configuration(struct doctor *doctor)
{
	if (!doctor->options->conf && !doctor->names->child) {
		doctor_bad(doctor, "configuration", "put lamina's configuration there, as the only file",
			CLI_CONF_FOLDER " has no file that ends in .conf, .conflist or .json");
		return;
	}
	if (!doctor->options->conf) {
		check_first(doctor);
		note_others(doctor);
	}
	if (doctor->planned) {
		cleanup_free char *networks = list_networks(&doctor->plan);

		doctor_ok(doctor, "configuration", "%s: %s", doctor->file, networks);
	} else if (doctor->conf && doctor->defaults_error.err) {
		doctor_note(doctor, "configuration", "%s is not judged before %s can be read", doctor->file,
			defaults_file(doctor));
	} else if (doctor->file) {
		doctor_bad(doctor, "configuration", NULL, "%s: %s", doctor->file, doctor->conf_error.message);
	}
	if (!doctor->planned)
		doctor_note(doctor, "configuration", "what depends on %s is not checked before that is settled",
			doctor->opened ? "all of it" : "it");
}

/* --- the node's own keys --- */

static bool is_known(const char *key)
{
	for (const struct json_field *field = config_own_keys(); field->key; field++) {
		if (strcasecmp(field->key, key) == 0)
			return true;
	}
	return false;
}

void doctor_check_defaults(struct doctor *doctor)
{
	const char *file = defaults_file(doctor);
	const cJSON *member;

	if (doctor->defaults_error.err) {
		doctor_bad(doctor, "defaults",
			doctor->options->defaults ? "correct it"
						  : "correct it (lamina defaults --write KEY=VALUE does that to a "
						    "value), or remove it",
			"%s", doctor->defaults_error.message);
		return;
	}
	if (!doctor->defaults) {
		doctor_ok(doctor, "defaults", "there is no %s: every key is in the configuration, or as it is built in",
			CONFIG_DEFAULTS);
		return;
	}

	cleanup_free char *text = json_print(doctor->defaults);

	doctor_ok(doctor, "defaults", "%s: %s", file, text);
	cJSON_ArrayForEach(member, doctor->defaults)
	{
		if (!is_known(member->string))
			doctor_note(doctor, "defaults", "%s: \"%s\" is no key of lamina's: it does nothing", file,
				member->string);
	}
}

static char *name_source(const struct doctor *doctor)
{
	const struct cli_stores *stores = &doctor->stores;

	if (site_name(doctor))
		return format_text("nodeName in %s", doctor->file);
	if (doctor->options->node)
		return copy_text("--node-name");
	if (stores->config.node)
		return format_text("nodeName in %s", defaults_file(doctor));
	if (!stores->run.node_guessed)
		return format_text("the API server said so once: %s/node", stores->config.cni_dir);
	return copy_text("the host's name, since nodeName is not set");
}

/* Somebody means the node to be called otherwise than it will be. What is only meant to be set is not worth setting;
 * what stands there has been outvoted before. */
static void check_two_names(struct doctor *doctor)
{
	const struct doctor_options *options = doctor->options;
	const char *site = site_name(doctor), *kept = json_text(doctor->defaults, "nodeName");
	const char *other = options->node ? options->node : kept;

	if (!site || !other || strcmp(site, other) == 0)
		return;

	cleanup_free char *source =
		options->node ? copy_text("--node-name") : format_text("nodeName in %s", defaults_file(doctor));
	cleanup_free char *text =
		format_text("pods start under the name %s (nodeName in %s), so that %s (%s) does nothing", site,
			doctor->file, other, source);
	cleanup_free char *fix =
		format_text("take nodeName out of %s, or set it there to this node's name", doctor->file);

	if (options->node || options->defaults)
		doctor_bad(doctor, "node", fix, "%s", text);
	else
		doctor_note(doctor, "node", "%s", text);
}

void doctor_check_node(struct doctor *doctor)
{
	const char *node = doctor->stores.run.node;

	if (!doctor->opened)
		return;

	cleanup_free char *source = name_source(doctor);
	const bool asked = doctor_knows_node(doctor);

	check_two_names(doctor);
	if (asked && !doctor->look.node_found)
		doctor_bad(doctor, "node",
			site_name(doctor)
				? "set nodeName there to the name that kubectl get nodes shows"
				: "set nodeName to the name that kubectl get nodes shows (lamina defaults --write "
				  "nodeName=NAME)",
			"%s (%s): the API server has no Node of that name", node, source);
	else
		doctor_ok(doctor, "node", "%s (%s)%s", node, source, asked ? ", and the API server has it" : "");
	if (asked && doctor->look.node_found && !doctor->look.leases.err && !doctor->look.lease_found)
		doctor_note(doctor, "node",
			"%s has no Lease in kube-node-lease: as long as its kubelet renews none it counts as dead, and "
			"addresses of pods that are gone from it are not given to others",
			node);
	if (!asked && doctor->stores.run.node_guessed && cli_stores_have_cluster(&doctor->stores))
		doctor_note(doctor, "node",
			"%s is a guess: where the cluster calls this node otherwise, set that (lamina defaults --write "
			"nodeName=NAME)",
			node);
}

void doctor_check_annotations(struct doctor *doctor)
{
	const struct config *config = &doctor->config;

	if (!doctor->planned)
		return;
	if (!plan_claims(&doctor->plan))
		doctor_ok(doctor, "annotations", "not needed: no network has addresses of lamina's");
	else if (config->declares_annotations)
		doctor_ok(doctor, "annotations", "the runtime hands them over (containerd >= 1.5, CRI-O >= 1.29)");
	else if (config->kube_config)
		doctor_ok(doctor, "annotations", "asked of the API server, by %s", config->kube_config);
	else
		doctor_bad(doctor, "annotations", "add one of them",
			"capabilities lacks \"" ANNOTATIONS_CAPABILITY
			"\": true, and ipam has no kubeConfig, so nobody "
			"says whether a pod has a fixed address, and none starts");
}
