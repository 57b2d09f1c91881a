/* lamina ip import, lamina ip export: moving from kube-ipam to lamina and back. */
#include "ipam/store_etcd.h"
#include "plugin/cli_import_api.h"
#include "plugin/cli_ip.h"
#include "plugin/cli_stores.h"
#include "plugin/import.h"
#include "plugin/lease.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <string.h>

#define NODE_SECONDS 60
#define API_SECONDS 300

/* Conflicts are somebody's to settle: a program must see them. */
static int conclude(size_t conflicts, size_t skipped, struct error *e)
{
	if (!conflicts && !skipped)
		return CLI_DONE;
	error_set(e, -EBUSY, ERROR_TRY_AGAIN, "%zu with a conflict, %zu skipped: see above", conflicts, skipped);
	return CLI_FAILED;
}

static int import_here(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};
	cleanup_import_summary struct import_summary summary = {0};

	if (cli_stores_open(options->conf, options->dry_run, NODE_SECONDS, &stores, e) < 0)
		return CLI_FAILED;

	int r = import_node(&stores.run, options->dry_run, &summary, e);

	outcomes_print(summary.outcomes, options->json, out);
	if (r < 0 || (!options->dry_run && import_mark(&stores.run, &summary, e) < 0))
		return CLI_FAILED;
	return conclude(summary.conflicts, summary.skipped, e);
}

static int refuse_without_cluster(struct error *e, const char *what)
{
	error_set(
		e, -ENOENT, ERROR_CONFIG, "no cluster keeps addresses here (etcdConfig): there is nothing to %s", what);
	return CLI_NOTHING;
}

static int import_from_api(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};
	cleanup_json cJSON *outcomes = cJSON_CreateArray();

	if (cli_stores_open(options->conf, true, API_SECONDS, &stores, e) < 0)
		return CLI_FAILED;
	cli_stores_set_kubeconfig(&stores, options->kubeconfig);
	if (!cli_stores_have_cluster(&stores))
		return refuse_without_cluster(e, "import from the API server");

	int r = cli_import_api(&stores, options->dry_run, outcomes, e);

	outcomes_print(outcomes, options->json, out);
	if (r < 0)
		return CLI_FAILED;
	return conclude(outcomes_count(outcomes, "conflict"), outcomes_count(outcomes, "skipped"), e);
}

int cli_ip_import(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	return options->from_api ? import_from_api(options, out, e) : import_here(options, out, e);
}

/* Each in its own time: there may be many. */
static int hand_back(
	struct cli_stores *stores, const struct etcd_config *etcd, const struct store_entry *entry, struct error *e)
{
	struct store *store = NULL;
	int r = lease_store(&stores->run, etcd, &store, e);

	return r < 0 ? r : store_etcd_hand_back(store, entry, e);
}

/* kube-ipam takes a fixed address for taken, whatever stands there, and records none itself. */
static int export_entry(struct cli_stores *stores, const struct etcd_config *etcd, const struct store_entry *entry,
	bool dry_run, cJSON *outcomes, struct error *e)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!entry->value || ipam_value_parse(entry->value, &value, &ignored) < 0 || !value.record.node ||
		strcmp(value.record.node, stores->run.node) != 0)
		return 0;

	cleanup_free char *who = ipam_value_describe(entry->value);

	if (value.record.fixed || !value.record.cid) {
		outcome_add(outcomes, "left", entry->network, &entry->addr, "%s: fixed", who);
		return 0;
	}
	if (!dry_run && hand_back(stores, etcd, entry, e) < 0)
		return e->err;
	outcome_add(outcomes, "exported", entry->network, &entry->addr, "%s", who);
	return 0;
}

static int export_store(
	struct cli_stores *stores, const struct cli_store *store, bool dry_run, cJSON *outcomes, struct error *e)
{
	struct store_entry *entries = NULL;
	size_t count = 0;

	if (!store->etcd)
		return 0;
	if (store->store->ops->list(store->store, NULL, NULL, &entries, &count, e) < 0)
		return e->err;
	for (size_t i = 0; i < count && !e->err; i++)
		export_entry(stores, store->etcd, &entries[i], dry_run, outcomes, e);
	store_entries_free(entries, count);
	return e->err;
}

int cli_ip_export(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};
	cleanup_json cJSON *outcomes = cJSON_CreateArray();

	if (cli_stores_open(options->conf, true, NODE_SECONDS, &stores, e) < 0)
		return CLI_FAILED;
	if (!cli_stores_have_cluster(&stores))
		return refuse_without_cluster(e, "export");
	for (size_t i = 0; i < stores.count && !e->err; i++)
		export_store(&stores, &stores.list[i], options->dry_run, outcomes, e);
	/* Whoever comes back imports again. */
	if (!e->err && !options->dry_run)
		import_unmark(&stores.run, e);
	outcomes_print(outcomes, options->json, out);
	return e->err ? CLI_FAILED : CLI_DONE;
}
