#include "plugin/outcome.h"

#include "delegate/text.h"
#include "ipam/record.h"

#include <stdarg.h>
#include <string.h>

/* The longest name in Kubernetes, and a little. */
#define SHOWN 256

char *outcome_shown(const char *text)
{
	char *shown = text_clean(text ? text : "-", SHOWN);

	for (char *c = shown; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return shown;
}

cJSON *outcome_add(
	cJSON *list, const char *what, const char *network, const struct ip_addr *addr, const char *reason, ...)
{
	cJSON *outcome = cJSON_CreateObject();
	cleanup_free char *text = NULL;
	va_list args;

	va_start(args, reason);
	if (reason && vasprintf(&text, reason, args) < 0)
		abort();
	va_end(args);
	json_put_text(outcome, "result", what);
	json_put_text(outcome, "network", network);
	json_put_text(outcome, "address", ip_text(addr).s);
	if (text)
		json_put_text(outcome, "reason", text);
	cJSON_AddItemToArray(list, outcome);
	return outcome;
}

size_t outcomes_count(const cJSON *list, const char *what)
{
	const cJSON *outcome;
	size_t count = 0;

	cJSON_ArrayForEach(outcome, list)
	{
		count += strcmp(json_text(outcome, "result"), what) == 0;
	}
	return count;
}

void outcome_print_json(const cJSON *json, FILE *out)
{
	cleanup_free char *text = json_print(json);
	/* U+FFFD takes three bytes. */
	cleanup_free char *clean = text_clean(text, 3 * strlen(text));

	fprintf(out, "%s\n", clean);
}

void outcomes_print(const cJSON *list, bool json, FILE *out)
{
	const cJSON *outcome;

	if (json) {
		outcome_print_json(list, out);
		return;
	}
	cJSON_ArrayForEach(outcome, list)
	{
		const char *reason = json_text(outcome, "reason");
		cleanup_free char *network = outcome_shown(json_text(outcome, "network"));

		fprintf(out, "%s %s of network %s%s%s\n", json_text(outcome, "result"), json_text(outcome, "address"),
			network, reason ? ": " : "", reason ? reason : "");
	}
}

char *outcome_hold(const char *hold)
{
	cleanup_value struct ipam_value value = {0};
	cleanup_error struct error ignored = {0};

	if (!hold || *hold != '{' || ipam_value_parse(hold, &value, &ignored) < 0) {
		cleanup_free char *shown = outcome_shown(hold);

		return hold && *hold != '{' ? format_text("namespace %s", shown) : steal_ptr(shown);
	}
	if (!value.record.pod)
		return outcome_shown(value.record.note);

	cleanup_free char *ns = outcome_shown(value.record.ns), *pod = outcome_shown(value.record.pod);

	return format_text("pod %s/%s", ns, pod);
}
