#include "plugin/doctor.h"

#include "delegate/text.h"
#include "plugin/doctor_checks.h"
#include "plugin/outcome.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define TEXT_MAX ((size_t)4 << 10)

static const char *const states[] = {[DOCTOR_OK] = "ok", [DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "bad"};

/* Servers' and configurations' bytes stand in it: one line, and nothing that a terminal obeys. */
static char *__attribute__((format(printf, 1, 0))) one_line(const char *format, va_list args)
{
	cleanup_free char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		abort();

	char *line = text_clean(text, TEXT_MAX);

	for (char *c = line; *c; c++) {
		if ((*c > 0 && *c < ' ') || *c == 0x7f)
			*c = ' ';
	}
	return line;
}

static void __attribute__((format(printf, 5, 0)))
add(struct doctor *doctor, const char *check, enum doctor_state state, const char *fix, const char *text, va_list args)
{
	cleanup_free char *line = one_line(text, args);
	cJSON *finding = cJSON_CreateObject();

	json_put_text(finding, "check", check);
	json_put_text(finding, "state", states[state]);
	json_put_text(finding, "text", line);
	json_put_text(finding, "fix", fix);
	cJSON_AddItemToArray(doctor->findings, finding);
	doctor->bad |= state == DOCTOR_BAD;
}

void doctor_ok(struct doctor *doctor, const char *check, const char *text, ...)
{
	va_list args;

	va_start(args, text);
	add(doctor, check, DOCTOR_OK, NULL, text, args);
	va_end(args);
}

void doctor_note(struct doctor *doctor, const char *check, const char *text, ...)
{
	va_list args;

	va_start(args, text);
	add(doctor, check, DOCTOR_NOTE, NULL, text, args);
	va_end(args);
}

void doctor_bad(struct doctor *doctor, const char *check, const char *fix, const char *text, ...)
{
	va_list args;

	va_start(args, text);
	add(doctor, check, DOCTOR_BAD, fix, text, args);
	va_end(args);
}

static void print(const struct doctor *doctor, FILE *out)
{
	const cJSON *finding;

	if (doctor->options->json) {
		outcome_print_json(doctor->findings, out);
		return;
	}
	cJSON_ArrayForEach(finding, doctor->findings)
	{
		const char *fix = json_text(finding, "fix");

		fprintf(out, "%-5s %s: %s%s%s\n", json_text(finding, "state"), json_text(finding, "check"),
			json_text(finding, "text"), fix ? "; " : "", fix ? fix : "");
	}
}

static void close_doctor(struct doctor *doctor)
{
	doctor_forget_answers(doctor);
	doctor_done(doctor);
	cJSON_Delete(doctor->findings);
}

#define cleanup_doctor CLEANUP(close_doctor)

/* In the order in which they are shown: what others need comes first. */
static void (*const checks[])(struct doctor *doctor) = {
	doctor_check_binary,
	doctor_check_kernel,
	doctor_check_macvlan,
	doctor_check_rights,
	doctor_check_configuration,
	doctor_check_defaults,
	doctor_check_node,
	doctor_check_masters,
	doctor_check_delegates,
	doctor_check_names,
	doctor_check_folders,
	doctor_check_members,
	doctor_check_access,
	doctor_check_certificates,
	doctor_check_api,
	doctor_check_networks,
	doctor_check_annotations,
	doctor_check_outbox,
	doctor_check_timer,
};

int doctor_examine(const struct doctor_options *options, FILE *out, struct error *e)
{
	if (options->node && !is_cni_name(options->node)) {
		error_set(e, -EINVAL, ERROR_ENVIRONMENT,
			"--node-name is \"%.100s\": it must be a name of letters, digits, '.', '-' and '_' (lamina "
			"--help)",
			options->node);
		return 2;
	}

	cleanup_doctor struct doctor doctor = {
		.options = options, .findings = cJSON_CreateArray(), .stores.run.netns_fd = -1};

	doctor_read(&doctor);
	doctor_ask(&doctor);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&doctor);
	print(&doctor, out);
	return doctor.bad ? 1 : 0;
}
