#include "plugin/cli_ip.h"

#include "ipam/record.h"
#include "plugin/base/log.h"
#include "plugin/cli_stores.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define STORE_SECONDS 10

static void put_texts(cJSON *out, const struct ipam_record *record)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{"cluster", record->cluster},
		{"namespace", record->ns},
		{"pod", record->pod},
		{"uid", record->uid},
		{"container", record->cid},
		{"interface", record->ifname},
		{"node", record->node},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].value)
			json_put_text(out, texts[i].key, texts[i].value);
	}
}

static void put_time(cJSON *out, int64_t since)
{
	json_put(out, "time", cJSON_CreateNumber((double)since));
	json_put(out, "ageSeconds", cJSON_CreateNumber((double)(time(NULL) - since)));
}

/* Whom it is kept for: a namespace, or what a reservation says. */
static void put_hold(cJSON *out, const char *hold, bool claimed)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (*hold != '{') {
		json_put_text(out, "keptFor", hold);
		return;
	}

	bool known = ipam_value_parse(hold, &value, &ignored) == 0 && value.record.reserved;

	if (!claimed)
		json_put_text(out, "kind", known ? "reserved" : "unknown");
	if (!known)
		return;
	if (value.record.pod) {
		cleanup_free char *pod = format_text("%s/%s", value.record.ns ? value.record.ns : "", value.record.pod);

		json_put_text(out, "reservedFor", pod);
	}
	if (value.record.note)
		json_put_text(out, "note", value.record.note);
	if (!claimed)
		put_time(out, value.record.time);
}

static cJSON *entry_json(const struct store_entry *entry)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};
	cJSON *out = cJSON_CreateObject();
	bool known = entry->value && ipam_value_parse(entry->value, &value, &ignored) == 0;
	/* kube-ipam writes a container ID, and nothing else. */
	bool raw = entry->value && !known && is_cni_name(entry->value);

	json_put_text(out, "network", entry->network);
	json_put_text(out, "address", ip_text(&entry->addr).s);
	json_put_text(out, "kind",
		!entry->value        ? "kept"
		: raw                ? "kube-ipam"
		: !known             ? "unknown"
		: value.record.fixed ? "fixed"
				     : "dynamic");
	if (entry->hold)
		put_hold(out, entry->hold, entry->value != NULL);
	if (raw)
		json_put_text(out, "container", entry->value);
	if (!known)
		return out;
	put_texts(out, &value.record);
	put_time(out, value.record.time);
	return out;
}

/* The one column that says who it is: the pod, or whom nobody's address is kept for. */
static char *who(const cJSON *entry)
{
	const char *pod = json_text(entry, "pod"), *kept = json_text(entry, "keptFor"),
		   *reserved = json_text(entry, "reservedFor"), *note = json_text(entry, "note");
	cleanup_free char *ns = outcome_shown(json_text(entry, "namespace"));
	cleanup_free char *shown = outcome_shown(pod ? pod : reserved ? reserved : note ? note : kept);

	if (pod)
		return format_text("%s/%s", ns, shown);
	if (strcmp(json_text(entry, "kind"), "reserved") == 0)
		return format_text("(reserved%s %s)", reserved ? " for" : ":", shown);
	if (strcmp(json_text(entry, "kind"), "kept") == 0)
		return format_text("(kept for %s)", shown);
	return copy_text("-");
}

static void print_table(const cJSON *list, FILE *out)
{
	const cJSON *entry;

	fprintf(out, "%-16s %-18s %-9s %-32s %-16s %-14s %-10s %s\n", "NETWORK", "ADDRESS", "KIND", "POD", "NODE",
		"CONTAINER", "INTERFACE", "AGE");
	cJSON_ArrayForEach(entry, list)
	{
		const cJSON *since = json_get(entry, "time");
		struct age_text age = clock_age(since ? (int64_t)since->valuedouble : 0);
		cleanup_free char *pod = who(entry);
		cleanup_free char *network = outcome_shown(json_text(entry, "network"));
		cleanup_free char *node = outcome_shown(json_text(entry, "node"));
		cleanup_free char *container = outcome_shown(json_text(entry, "container"));
		cleanup_free char *interface = outcome_shown(json_text(entry, "interface"));

		fprintf(out, "%-16s %-18s %-9s %-32s %-16s %-14.13s %-10s %s\n", network, json_text(entry, "address"),
			json_text(entry, "kind"), pod, node, container, interface, age.s);
	}
}

static void print_entries(const cJSON *list, bool json, FILE *out)
{
	if (json)
		outcome_print_json(list, out);
	else
		print_table(list, out);
}

/* From all stores, of that network and that address (NULL: of all). */
static int read_entries(const struct cli_ip_options *options, const struct ip_addr *addr, cJSON *list, struct error *e)
{
	cleanup_stores struct cli_stores stores = {.run.netns_fd = -1};

	if (cli_stores_open(options->conf, true, STORE_SECONDS, &stores, e) < 0)
		return e->err;
	for (size_t i = 0; i < stores.count; i++) {
		struct store *store = stores.list[i].store;
		struct store_entry *entries = NULL;
		size_t count = 0;

		if (store->ops->list(store, options->network, addr, &entries, &count, e) < 0)
			return e->err;
		for (size_t j = 0; j < count; j++)
			cJSON_AddItemToArray(list, entry_json(&entries[j]));
		store_entries_free(entries, count);
	}
	return 0;
}

int cli_ip_address(const struct cli_ip_options *options, struct ip_addr *ret, struct error *e)
{
	if (ip_parse(options->address, ret))
		return 0;
	error_set(e, -EINVAL, ERROR_ENVIRONMENT, "\"%.64s\" is not an IP address", options->address);
	return CLI_WRONG_CALL;
}

int cli_ip_list(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_json cJSON *list = cJSON_CreateArray();

	if (read_entries(options, NULL, list, e) < 0)
		return CLI_FAILED;
	print_entries(list, options->json, out);
	return CLI_DONE;
}

int cli_ip_show(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_json cJSON *list = cJSON_CreateArray();
	struct ip_addr addr;

	if (cli_ip_address(options, &addr, e) != 0)
		return CLI_WRONG_CALL;
	if (read_entries(options, &addr, list, e) < 0)
		return CLI_FAILED;
	if (!list->child) {
		error_set(e, -ENOENT, ERROR_IO, "nobody has %s", ip_text(&addr).s);
		return CLI_NOTHING;
	}
	print_entries(list, options->json, out);
	return CLI_DONE;
}
