#include "plugin/cli_ip.h"

#include "ipam/record.h"
#include "plugin/base/log.h"
#include "plugin/cli_conf.h"
#include "plugin/lease.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define STORE_SECONDS 10

struct addresses {
	cJSON *conf;
	struct config config;
	struct request request;
	struct run run;
	struct store_entry *list;
	size_t count;
};

static void addresses_clear(struct addresses *a)
{
	store_entries_free(a->list, a->count);
	run_close(&a->run);
	config_clear(&a->config);
	cJSON_Delete(a->conf);
}

#define cleanup_addresses CLEANUP(addresses_clear)

static int read_addresses(const struct cli_ip_options *options, bool readonly, struct addresses *a, struct error *e)
{
	if (cli_conf_find(options->conf, &a->conf, e) < 0)
		return e->err;
	config_read_folders(a->conf, &a->config);
	a->request = (struct request){.path = "", .container_id = "", .ifname = "", .netns = "", .args = ""};
	if (run_open(&a->run, &a->request, &a->config, STORE_SECONDS, e) < 0)
		return e->err;
	if ((readonly ? lease_open_store_readonly : lease_open_store)(&a->run, e) < 0)
		return e->err;
	return a->run.store->ops->list(a->run.store, NULL, NULL, &a->list, &a->count, e);
}

static cJSON *entry_json(const struct store_entry *entry)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};
	cJSON *out = cJSON_CreateObject();
	bool known = entry->value && ipam_value_parse(entry->value, &value, &ignored) == 0;

	json_put_text(out, "network", entry->network);
	json_put_text(out, "address", ip_text(&entry->addr).s);
	json_put_text(out, "kind",
		!entry->value        ? "kept"
		: !known             ? "unknown"
		: value.record.fixed ? "fixed"
				     : "dynamic");
	if (entry->hold)
		json_put_text(out, "keptFor", entry->hold);
	if (!known)
		return out;

	const struct {
		const char *key, *value;
	} texts[] = {
		{"namespace", value.record.ns},
		{"pod", value.record.pod},
		{"uid", value.record.uid},
		{"container", value.record.cid},
		{"interface", value.record.ifname},
		{"node", value.record.node},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].value)
			json_put_text(out, texts[i].key, texts[i].value);
	}
	json_put(out, "time", cJSON_CreateNumber((double)value.record.time));
	json_put(out, "ageSeconds", cJSON_CreateNumber((double)(time(NULL) - value.record.time)));
	return out;
}

static const char *text_or_dash(const cJSON *entry, const char *key)
{
	const char *text = json_text(entry, key);

	return text ? text : "-";
}

static void print_table(const cJSON *list, FILE *out)
{
	const cJSON *entry;

	fprintf(out, "%-16s %-18s %-8s %-32s %-14s %-10s %s\n", "NETWORK", "ADDRESS", "KIND", "POD", "CONTAINER",
		"INTERFACE", "AGE");
	cJSON_ArrayForEach(entry, list)
	{
		const char *pod = json_text(entry, "pod"), *ns = json_text(entry, "namespace"),
			   *kept = json_text(entry, "keptFor");
		const cJSON *since = json_get(entry, "time");
		struct age_text age = clock_age(since ? (int64_t)since->valuedouble : 0);

		/* Kept, and nobody has it: the namespace is all there is to say. */
		cleanup_free char *who = pod    ? format_text("%s/%s", ns ? ns : "", pod)
					 : kept ? format_text("(kept for %s)", kept)
						: copy_text("-");

		fprintf(out, "%-16s %-18s %-8s %-32s %-14.13s %-10s %s\n", json_text(entry, "network"),
			json_text(entry, "address"), json_text(entry, "kind"), who, text_or_dash(entry, "container"),
			text_or_dash(entry, "interface"), age.s);
	}
}

static void print_entries(const cJSON *list, bool json, FILE *out)
{
	cleanup_free char *text = NULL;

	if (!json) {
		print_table(list, out);
		return;
	}
	text = json_print(list);
	fprintf(out, "%s\n", text);
}

/* Those with the address; a NULL address: all. */
static cJSON *pick(const struct addresses *a, const struct ip_addr *addr)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < a->count; i++) {
		if (!addr || ip_compare(addr, &a->list[i].addr) == 0)
			cJSON_AddItemToArray(list, entry_json(&a->list[i]));
	}
	return list;
}

static int parse_address(const struct cli_ip_options *options, struct ip_addr *ret, struct error *e)
{
	if (ip_parse(options->address, ret))
		return 0;
	error_set(e, -EINVAL, ERROR_ENVIRONMENT, "\"%.64s\" is not an IP address", options->address);
	return 2;
}

static int not_found(const struct ip_addr *addr, struct error *e)
{
	error_set(e, -ENOENT, ERROR_IO, "nobody has %s", ip_text(addr).s);
	return 3;
}

int cli_ip_list(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_addresses struct addresses a = {.run.netns_fd = -1};

	if (read_addresses(options, true, &a, e) < 0)
		return 1;

	cleanup_json cJSON *list = pick(&a, NULL);

	print_entries(list, options->json, out);
	return 0;
}

int cli_ip_show(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_addresses struct addresses a = {.run.netns_fd = -1};
	struct ip_addr addr;

	if (parse_address(options, &addr, e) != 0)
		return 2;
	if (read_addresses(options, true, &a, e) < 0)
		return 1;

	cleanup_json cJSON *list = pick(&a, &addr);

	if (!list->child)
		return not_found(&addr, e);
	print_entries(list, options->json, out);
	return 0;
}

int cli_ip_release(const struct cli_ip_options *options, FILE *out, struct error *e)
{
	cleanup_addresses struct addresses a = {.run.netns_fd = -1};
	struct ip_addr addr;
	size_t found = 0;

	if (parse_address(options, &addr, e) != 0)
		return 2;
	if (read_addresses(options, false, &a, e) < 0)
		return 1;
	for (size_t i = 0; i < a.count; i++) {
		const struct store_entry *entry = &a.list[i];

		if (ip_compare(&addr, &entry->addr) != 0)
			continue;
		found++;
		if (entry->value && !options->force && !lease_holder_is_gone(entry, &a.run)) {
			cleanup_free char *who = ipam_value_describe(entry->value);

			error_set(e, -EBUSY, ERROR_TRY_AGAIN,
				"%s is held by %s, which lives: delete the pod, or use --force", ip_text(&addr).s, who);
			return 1;
		}
		if (a.run.store->ops->forget(a.run.store, entry, e) < 0)
			return 1;
		fprintf(out, "released %s of network %s\n", ip_text(&addr).s, entry->network);
	}
	return found ? 0 : not_found(&addr, e);
}
