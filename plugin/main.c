/* The front door: which role and verb, and the only place that prints. */
#include "delegate/chain.h"
#include "delegate/result.h"
#include "delegate/text.h"
#include "plugin/addressing.h"
#include "plugin/base/log.h"
#include "plugin/cli.h"
#include "plugin/log_keys.h"
#include "plugin/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_TEXT ((size_t)64 << 10)

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* stdout is the answer: what cannot be written there is a failure, whatever was done. */
static int print_json(const cJSON *json)
{
	cleanup_free char *text = json_print(json);

	return fputs(text, stdout) < 0 || fputs("\n", stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
}

static int print_error(const struct error *e, const char *version)
{
	cleanup_json cJSON *out = cJSON_CreateObject();

	json_put_text(out, "cniVersion", cni_version_known(version) ? version : "1.1.0");
	json_put(out, "code", cJSON_CreateNumber(e->code));
	/* Strangers' bytes may stand in them: stdout must be JSON for strict readers, too. */
	cleanup_free char *message = text_clean(e->message, MAX_TEXT);
	cleanup_free char *details = text_clean(e->details, MAX_TEXT);

	json_put_text(out, "msg", message);
	json_put_text(out, "details", details);
	print_json(out);
	return 1;
}

static int print_versions(const char *version)
{
	cleanup_json cJSON *out = cJSON_CreateObject();
	cJSON *list = cJSON_CreateArray();

	for (const char *const *known = cni_versions; *known; known++)
		cJSON_AddItemToArray(list, cJSON_CreateString(*known));
	json_put_text(out, "cniVersion", version);
	json_put(out, "supportedVersions", list);
	return print_json(out);
}

/* Called by that name, or by another plugin whose configuration names us as its IPAM. */
static bool is_ipam(const char *name, const struct request *request)
{
	const char *type = json_text(request->conf, "type");

	if (strcmp(name, OWN_IPAM) == 0)
		return true;
	return type && !chain_is_own_type(type) && addressing_is_own(request->conf);
}

static int answer(const struct request *request, bool ipam, const cJSON *result, struct error *e)
{
	if (e->err) {
		log_note(LOG_ERROR, "%s of container %s: %s%s%s", request->command, request->container_id, e->message,
			e->details && *e->details ? ": " : "", e->details ? e->details : "");
		return print_error(e, request->version);
	}
	if (!result || print_json(result) == 0)
		return 0;
	/* Nobody has heard of what was made: it goes again. */
	(ipam ? ipam_del : verb_del)(request, e);
	return 1;
}

static int serve(const char *name)
{
	cleanup_request struct request request = {0};
	cleanup_error struct error e = {0};
	cleanup_json cJSON *result = NULL;
	struct timespec began;

	/* The clock that files are dated by. */
	clock_gettime(CLOCK_REALTIME_COARSE, &began);
	if (request_read(&request, STDIN_FILENO, &e) < 0)
		return print_error(&e, request.version);
	trace_step("request read");
	log_keys_follow(request.conf);

	bool ipam = is_ipam(name, &request);

	switch (request.verb) {
	case VERB_ADD:
		(ipam ? ipam_add : verb_add)(&request, &result, &e);
		break;
	case VERB_DEL:
		(ipam ? ipam_del : verb_del)(&request, &e);
		break;
	case VERB_CHECK:
		(ipam ? ipam_check : verb_check)(&request, &e);
		break;
	case VERB_VERSION:
		return print_versions(request.version);
	case VERB_GC:
		(ipam ? ipam_gc : verb_gc)(&request, &e);
		break;
	case VERB_STATUS:
		(ipam ? ipam_status : verb_status)(&request, &e);
		break;
	}
	trace_step("done");

	int status = answer(&request, ipam, result, &e);

	/* STATUS asks nobody, and GC has sent what is queued. */
	if (request.verb != VERB_STATUS && request.verb != VERB_GC)
		verb_afterwards(&request, &began);
	return status;
}

static int serve_person(int argc, char *argv[])
{
	cleanup_free char *text = NULL;
	cleanup_error struct error e = {0};
	int status = cli_run(argc, argv, &text, &e);

	if (text)
		fputs(text, stdout);
	if (e.err)
		fprintf(stderr, "lamina: %s%s%s\n", e.message, e.details ? ": " : "", e.details ? e.details : "");
	return fflush(stdout) != 0 ? 1 : status;
}

int main(int argc, char *argv[])
{
	const char *trace = getenv("LAMINA_TRACE");

	log_open(LOG_WARNING, trace && strcmp(trace, "1") == 0);
	trace_step("main");
	/* A reader that went away is an error of write(2), not the end of a half-made pod. */
	signal(SIGPIPE, SIG_IGN);
	const char *command = getenv("CNI_COMMAND");

	if (command && *command)
		return serve(base_name(argv[0]));
	if (argc > 1)
		return serve_person(argc, argv);
	fprintf(stderr, "CNI plugin lamina " LAMINA_VERSION "\nCNI protocol versions supported: ");
	for (const char *const *known = cni_versions; *known; known++)
		fprintf(stderr, "%s%s", *known, known[1] ? ", " : "\n");
	return 0;
}
