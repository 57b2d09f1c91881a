#include "plugin/cli_gc.h"

#include "plugin/gc_node.h"
#include "plugin/outcome.h"

static void print_list(const cJSON *list, FILE *out)
{
	const cJSON *item;

	if (!cJSON_GetArraySize(list))
		fputc('-', out);
	cJSON_ArrayForEach(item, list)
	{
		fprintf(out, "%s%s", item == list->child ? "" : ",", item->valuestring);
	}
}

/* The addresses, of which there may be many, come last. */
static void print_table(const cJSON *items, FILE *out)
{
	const cJSON *item;

	if (!items->child) {
		fputs("nothing to collect\n", out);
		return;
	}
	fprintf(out, "%-8s %-14s %-10s %-16s %-15s %-22s %s\n", "WHAT", "CONTAINER", "INTERFACE", "NETWORK", "WHY",
		"RESULT", "ADDRESSES");
	cJSON_ArrayForEach(item, items)
	{
		const cJSON *wait = json_get(item, "waitSeconds");
		cleanup_free char *container = outcome_shown(json_text(item, "container")),
				  *interface = outcome_shown(json_text(item, "interface")),
				  *network = outcome_shown(json_text(item, "network"));
		cleanup_free char *result = wait ? format_text("waits %.0f s more", wait->valuedouble)
						 : copy_text(json_text(item, "result"));

		fprintf(out, "%-8s %-14.13s %-10s %-16s %-15s %-22s ", json_text(item, "what"), container, interface,
			network, json_text(item, "why"), result);
		print_list(json_get(item, "addresses"), out);
		fputc('\n', out);
	}
}

int cli_gc(const struct cli_gc_options *options, FILE *out, struct error *e)
{
	cleanup_json cJSON *items = NULL;

	gc_node(options->conf, options->dry_run, &items, e);
	if (items && options->json)
		outcome_print_json(items, out);
	else if (items)
		print_table(items, out);
	return e->err ? 1 : 0;
}
