/* lamina ip release, lamina ip reserve. */
#include "delegate/kube_pod.h"
#include "ipam/range.h"
#include "plugin/cli_holder.h"
#include "plugin/cli_ip.h"
#include "plugin/nonce.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define STORE_SECONDS 10
#define NOTE_BYTES 200

static int refuse(struct error *e, const struct store_entry *entry, const char *why, const char *remedy)
{
	cleanup_free char *who = entry->value ? ipam_value_describe(entry->value) : outcome_hold(entry->hold);

	error_set(e, -EBUSY, ERROR_TRY_AGAIN, "%s is %s %s%s%s: %s", ip_text(&entry->addr).s,
		entry->value ? "held by" : "kept for", who, why ? ", " : "", why ? why : "", remedy);
	return CLI_REFUSED;
}

static int release_entry(struct cli_stores *stores, const struct cli_store *store, const struct store_entry *entry,
	bool force, cJSON *outcomes, struct error *e)
{
	cleanup_free char *why = NULL, *who = NULL;

	if (cli_holder_ask(stores, store, entry, &why) != HOLDER_GONE) {
		if (!force)
			return refuse(e, entry, why, "delete the pod, or use --force");
		who = ipam_value_describe(entry->value);
	}
	if (store->store->ops->forget(store->store, entry, e) < 0)
		return CLI_FAILED;
	if (who)
		outcome_add(outcomes, "released", entry->network, &entry->addr, "by force from %s, %s", who, why);
	else
		outcome_add(outcomes, "released", entry->network, &entry->addr, NULL);
	return CLI_DONE;
}

static int release_from(struct cli_stores *stores, const struct cli_store *store, const struct ip_addr *addr,
	const struct cli_ip_options *options, cJSON *outcomes, struct error *e)
{
	struct store_entry *entries = NULL;
	size_t count = 0;
	int status = CLI_DONE;

	if (store->store->ops->list(store->store, options->network, addr, &entries, &count, e) < 0)
		return CLI_FAILED;
	for (size_t i = 0; i < count && status == CLI_DONE; i++)
		status = release_entry(stores, store, &entries[i], options->force, outcomes, e);
	store_entries_free(entries, count);
	return status;
}

int cli_ip_release(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};
	cleanup_json cJSON *outcomes = cJSON_CreateArray();
	struct ip_addr addr;
	int status = CLI_DONE;

	if (cli_ip_address(options, &addr, e) != 0)
		return CLI_WRONG_CALL;
	if (cli_stores_open(options->conf, false, STORE_SECONDS, &stores, e) < 0)
		return CLI_FAILED;
	cli_stores_set_kubeconfig(&stores, options->kubeconfig);
	for (size_t i = 0; i < stores.count && status == CLI_DONE; i++)
		status = release_from(&stores, &stores.list[i], &addr, options, outcomes, e);
	if (outcomes->child)
		outcomes_print(outcomes, options->json, out);
	if (status == CLI_DONE && !outcomes->child) {
		error_set(e, -ENOENT, ERROR_IO, "nobody has %s", ip_text(&addr).s);
		return CLI_NOTHING;
	}
	return status;
}

/* A reservation that was asked for, and where. */
struct wish {
	struct ip_addr addr;
	char *ns, *pod; /* NULL: note */
	const char *note;
	const struct cli_network *network;
	struct cli_store store;
};

static void wish_clear(struct wish *wish)
{
	free(wish->ns);
	free(wish->pod);
}

#define cleanup_wish CLEANUP(wish_clear)

static int wrong(struct error *e, const char *what)
{
	error_set(e, -EINVAL, ERROR_ENVIRONMENT, "%s (lamina --help)", what);
	return CLI_WRONG_CALL;
}

static bool is_note(const char *note)
{
	cleanup_free char *shown = outcome_shown(note);

	return *note && strlen(note) <= NOTE_BYTES && strcmp(shown, note) == 0;
}

static int read_wish(const struct cli_ip_options *options, struct wish *wish, struct error *e)
{
	const char *slash = options->pod ? strchr(options->pod, '/') : NULL;

	if (cli_ip_address(options, &wish->addr, e) != 0)
		return CLI_WRONG_CALL;
	if (!options->pod == !options->note)
		return wrong(e, "reserve wants either --for NAMESPACE/NAME or --note TEXT");
	if (options->note) {
		wish->note = options->note;
		return is_note(options->note)
			       ? 0
			       : wrong(e, "--note wants 1 to 200 bytes of text without control characters");
	}
	if (slash) {
		wish->ns = format_text("%.*s", (int)(slash - options->pod), options->pod);
		wish->pod = copy_text(slash + 1);
	}
	if (!slash || !kube_is_name(wish->ns, false) || !kube_is_name(wish->pod, true))
		return wrong(e, "--for wants NAMESPACE/NAME of a pod");
	return 0;
}

static int place_wish(
	const struct cli_stores *stores, const struct cli_ip_options *options, struct wish *wish, struct error *e)
{
	for (size_t i = 0; i < stores->network_count; i++) {
		const struct cli_network *network = &stores->networks[i];

		if ((options->network && strcmp(options->network, network->name) != 0) ||
			!ipam_range_of(network->config, &wish->addr))
			continue;
		if (wish->network) {
			error_set(e, -EINVAL, ERROR_ENVIRONMENT, "%s lies in networks %s and %s: say --network which",
				ip_text(&wish->addr).s, wish->network->name, network->name);
			return CLI_WRONG_CALL;
		}
		wish->network = network;
	}
	if (!wish->network) {
		error_set(e, -ENOENT, ERROR_CONFIG, "no network%s%.253s of the configuration has %s in a subnet",
			options->network ? " " : "", options->network ? options->network : "", ip_text(&wish->addr).s);
		return CLI_FAILED;
	}
	wish->store = (struct cli_store){.store = wish->network->store, .etcd = wish->network->config->etcd};
	return ipam_range_check_fixed(wish->network->config, &wish->addr, "the address", e) < 0 ? CLI_FAILED : CLI_DONE;
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool is_wished(const struct wish *wish, const char *text, bool reserved, const struct config *config)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	return text && ipam_value_parse(text, &value, &ignored) == 0 && value.record.reserved == reserved &&
	       same(value.record.ns, wish->ns) && same(value.record.pod, wish->pod) &&
	       (!reserved || same(value.record.note, wish->note)) && cli_holder_is_of_cluster(&value.record, config);
}

/* What stands there gives way when it is the pod's own, its namespace's, or when its holder is gone. *ret_done: it is
 * reserved so already. */
static int make_room(struct cli_stores *stores, const struct wish *wish, const struct store_entry *entry,
	bool *ret_done, struct error *e)
{
	struct store *store = wish->store.store;
	cleanup_free char *why = NULL;

	*ret_done = is_wished(wish, entry->hold, true, &stores->config);
	if (*ret_done || (entry->value && wish->pod && is_wished(wish, entry->value, false, &stores->config)))
		return CLI_DONE;
	if (entry->value && cli_holder_ask(stores, &wish->store, entry, &why) != HOLDER_GONE)
		return refuse(e, entry, why, "delete the pod first, or reserve another address");
	if (entry->hold && !(wish->ns && strcmp(entry->hold, wish->ns) == 0)) {
		struct store_entry hold = {.addr = entry->addr, .hold = entry->hold};

		return refuse(e, &hold, NULL, "`lamina ip release` frees it");
	}
	return store->ops->forget(store, entry, e) < 0 ? CLI_FAILED : CLI_DONE;
}

static int clear_place(struct cli_stores *stores, const struct wish *wish, bool *ret_done, struct error *e)
{
	struct store *store = wish->store.store;
	struct store_entry *entries = NULL;
	size_t count = 0;
	int status = CLI_DONE;

	*ret_done = false;
	if (store->ops->list(store, wish->network->name, &wish->addr, &entries, &count, e) < 0)
		return CLI_FAILED;
	for (size_t i = 0; i < count && status == CLI_DONE && !*ret_done; i++)
		status = make_room(stores, wish, &entries[i], ret_done, e);
	store_entries_free(entries, count);
	return status;
}

static int reserve(const struct wish *wish, const struct config *config, struct error *e)
{
	cleanup_reply struct store_reply reply = {0};
	struct nonce nonce;

	if (nonce_draw(&nonce, e) < 0)
		return CLI_FAILED;

	const struct ipam_record record = {
		.reserved = true,
		.cluster = config->cluster,
		.ns = wish->ns,
		.pod = wish->pod,
		.note = wish->note,
		.nonce = nonce.text,
		.time = time(NULL),
	};
	cleanup_free char *hold = ipam_record_print(&record);
	cleanup_free char *network = copy_text(wish->network->name);
	struct store_entry entry = {.network = network, .addr = wish->addr, .hold = hold};
	struct store *store = wish->store.store;

	if (store->ops->reserve(store, &entry, wish->network->config->domain, wish->ns, &reply, e) < 0)
		return CLI_FAILED;
	if (reply.answer == STORE_HELD && reply.holder_count)
		return refuse(e, &reply.holders[0], NULL, "`lamina ip release` frees it once that is over");
	return CLI_DONE;
}

int cli_ip_reserve(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};
	cleanup_json cJSON *outcomes = cJSON_CreateArray();
	cleanup_wish struct wish wish = {0};
	bool done = false;
	int status = read_wish(options, &wish, e);

	if (status != CLI_DONE)
		return status;
	if (cli_stores_open(options->conf, false, STORE_SECONDS, &stores, e) < 0)
		return CLI_FAILED;
	cli_stores_set_kubeconfig(&stores, options->kubeconfig);
	status = place_wish(&stores, options, &wish, e);
	if (status == CLI_DONE)
		status = clear_place(&stores, &wish, &done, e);
	if (status == CLI_DONE && !done)
		status = reserve(&wish, &stores.config, e);
	if (status != CLI_DONE)
		return status;
	outcome_add(outcomes, "reserved", wish.network->name, &wish.addr, "%s%s%s", wish.pod ? wish.ns : wish.note,
		wish.pod ? "/" : "", wish.pod ? wish.pod : "");
	outcomes_print(outcomes, options->json, out);
	return CLI_DONE;
}
