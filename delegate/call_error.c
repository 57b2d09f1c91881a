#include "delegate/call_error.h"

#include "delegate/text.h"
#include "plugin/base/json.h"

#include <errno.h>
#include <math.h>

#define MAX_ERROR_TEXT ((size_t)64 << 10)

int call_add_stderr(const struct process_end *end, struct error *e)
{
	if (end->err_length > 0) {
		cleanup_free char *shown = text_clean(end->err, MAX_ERROR_TEXT);

		error_details(e, "%s", shown);
	}
	return e->err;
}

/* Whether it is an error object as Go's decoder would take it: a part of another type is no error object. */
static bool is_error_object(const cJSON *printed)
{
	const cJSON *code = json_get(printed, "code");
	const cJSON *msg = json_get(printed, "msg"), *details = json_get(printed, "details");

	if (!cJSON_IsObject(printed) || (msg && !cJSON_IsString(msg)) || (details && !cJSON_IsString(details)))
		return false;
	return !code || (cJSON_IsNumber(code) && code->valuedouble >= 0 && code->valuedouble <= UINT32_MAX &&
				code->valuedouble == floor(code->valuedouble));
}

static int take_error_object(const cJSON *printed, int exit_status, struct error *e)
{
	const cJSON *code = json_get(printed, "code");
	cleanup_free char *msg = text_clean(json_text(printed, "msg"), MAX_ERROR_TEXT);
	cleanup_free char *details = text_clean(json_text(printed, "details"), MAX_ERROR_TEXT);
	unsigned int number = code ? (unsigned int)code->valuedouble : ERROR_INTERNAL;

	if (msg && *msg)
		error_set(e, -EREMOTEIO, number, "%s", msg);
	else
		error_set(e, -EREMOTEIO, number, "netplugin failed with no error message: exit status %d", exit_status);
	if (details && *details)
		error_details(e, "%s", details);
	return e->err;
}

int call_explain_failure(const struct process_end *end, struct error *e)
{
	cleanup_json cJSON *printed = NULL;
	cleanup_error struct error why = {0};

	if (end->out_length == 0 && end->err_length == 0)
		return error_set(e, -EREMOTEIO, ERROR_INTERNAL,
			"netplugin failed with no error message: exit status %d", end->exit_status);
	if (end->out_length == 0) {
		cleanup_free char *shown = text_quote(end->err, end->err_length, MAX_ERROR_TEXT);

		return error_set(
			e, -EREMOTEIO, ERROR_INTERNAL, "netplugin failed: %s: exit status %d", shown, end->exit_status);
	}
	if (json_parse(end->out, end->out_length, "its stdout", &printed, &why) == 0) {
		if (is_error_object(printed))
			return take_error_object(printed, end->exit_status, e);
		error_set(&why, -EINVAL, ERROR_DECODE, "not a CNI error");
	}

	cleanup_free char *shown = text_quote(end->out, end->out_length, MAX_ERROR_TEXT);

	error_set(e, -EREMOTEIO, ERROR_INTERNAL, "netplugin failed but error parsing its diagnostic message %s: %s",
		shown, why.message);
	return call_add_stderr(end, e);
}
