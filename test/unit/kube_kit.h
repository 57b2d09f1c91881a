/* An API server that fails as it is told (test/lab/api.py), in a network namespace of the test's own. */
#pragma once

#include "delegate/kube.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define META(more) "\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":\"uid-1\"" more "}"
#define POD "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," META("") "}"
#define ITEM(name) "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"u-" name "\"}}"
#define LIST(next, items) \
	"{\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"continue\":\"" next \
	"\"},\"items\":[" items "]}}"
#define STATUS(code, reason, message) \
	"{\"status\":" code \
	",\"json\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"reason\":\"" reason \
	"\",\"message\":\"" message "\"}}"
#define NOT_FOUND(kind, name) \
	"{\"status\":404,\"json\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"reason\":\"NotFound\",\"message\":" \
	"\"m\"," \
	"\"details\":{\"kind\":\"" kind "\",\"name\":\"" name "\"}}}"

struct api {
	char *folder, *ca_file, *token_file;
	pid_t pid;
	int input; /* closed: the server ends */
	cJSON *ports;

	/* What a test asks with; fresh for each. */
	struct kubeconfig config;
	struct http *http;
	struct kube *kube;
};

static inline void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void shell(const char *format, ...)
{
	va_list args;
	char *command = NULL;

	va_start(args, format);
	if (vasprintf(&command, format, args) < 0)
		abort();
	va_end(args);
	if (system(command) != 0) /* NOLINT(cert-env33-c): a test's own words */
		fail_msg("%s", command);
	free(command);
}

static inline char *api_path(const struct api *api, const char *name)
{
	return format_text("%s/%s", api->folder, name);
}

static inline void api_write(const struct api *api, const char *name, const char *text)
{
	cleanup_free char *path = api_path(api, name);
	struct error e = {0};

	if (file_write(path, 0600, text, strlen(text), &e) < 0)
		fail_msg("%s", e.message);
}

/** From now on these are the answers: {KEY: [ANSWER, ...]}, see api.py. Forgets what was asked. */
static inline void play(const struct api *api, const char *script)
{
	cleanup_free char *log = api_path(api, "log");

	unlink(log);
	api_write(api, "script.json", script);
}

/** The requests since play, as an array; the caller's. */
static inline cJSON *asked(const struct api *api)
{
	cleanup_free char *path = api_path(api, "log"), *text = NULL;
	struct error e = {0};
	cJSON *list = cJSON_CreateArray();

	if (file_read(path, (size_t)1 << 20, &text, NULL, &e) < 0) {
		error_clear(&e);
		return list;
	}
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;)
		cJSON_AddItemToArray(list, cJSON_Parse(line));
	return list;
}

static inline int times_asked(const struct api *api)
{
	cleanup_json cJSON *list = asked(api);

	return cJSON_GetArraySize(list);
}

/** A field of the nth request, counted from 0. */
static inline void assert_asked(const struct api *api, int n, const char *field, const char *value)
{
	cleanup_json cJSON *list = asked(api);
	const char *its = json_text(cJSON_GetArrayItem(list, n), field);

	if (!its || strcmp(its, value) != 0)
		fail_msg("request %d has %s \"%s\", not \"%s\"", n, field, its ? its : "(none)", value);
}

/** What the test's kubeconfig says of the server: one of api.py's ports. */
static inline void use_port(struct api *api, const char *name)
{
	int port = (int)cJSON_GetNumberValue(json_get(api->ports, name));

	free(api->config.server);
	api->config.server = format_text("%s://127.0.0.1:%d", strcmp(name, "plain") == 0 ? "http" : "https", port);
}

static inline void assert_message(const struct error *e, unsigned int code, const char *part)
{
	if (e->code != code || !strstr(e->message, part))
		fail_msg("code %u and \"%s\" were expected: %u %s", code, part, e->code, e->message);
	assert_null(strstr(e->message, "t0ken"));
}

static inline int api_await(struct api *api)
{
	cleanup_free char *path = api_path(api, "ports"), *text = NULL;
	struct error e = {0};

	for (int i = 0; i < 3000 && access(path, R_OK) < 0; i++)
		clock_pause(10000, INT64_MAX);
	if (file_read(path, 4096, &text, NULL, &e) < 0) {
		print_error("%s\n", e.message);
		return -1;
	}
	api->ports = cJSON_Parse(text);
	return 0;
}

static inline int api_start(void **state)
{
	struct api *api = allocate(1, sizeof(*api));
	int ends[2];

	api->folder = copy_text("/tmp/kube_test.XXXXXX");
	if (!mkdtemp(api->folder) || pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*state = api;
	api->ca_file = api_path(api, "ca.pem");
	api->token_file = api_path(api, "token");
	shell("ip link set lo up && bash -c '. %s/certs.sh && certs_odd %s'", LAB_FOLDER, api->folder);
	api->pid = fork();
	if (api->pid == 0) {
		dup2(ends[0], STDIN_FILENO);
		execl("/usr/bin/env", "env", "python3", LAB_FOLDER "/api.py", api->folder, NULL);
		_exit(127);
	}
	close(ends[0]);
	api->input = ends[1];
	return api_await(api);
}

static inline int api_end(void **state)
{
	struct api *api = *state;

	close(api->input);
	waitpid(api->pid, NULL, 0);
	shell("rm -r %s", api->folder);
	cJSON_Delete(api->ports);
	free(api->folder);
	free(api->ca_file);
	free(api->token_file);
	free(api);
	return 0;
}

static inline int api_open(void **state)
{
	struct api *api = *state;
	struct error e = {0};

	memset(&api->config, 0, sizeof(api->config));
	api->config.path = copy_text("/etc/cni/kubeconfig");
	api->config.ca_file = copy_text(api->ca_file);
	use_port(api, "tls");
	return http_open(&api->http, &e) < 0 ||
			       kube_open(&api->config, api->http, clock_now() + 20 * SECONDS, &api->kube, &e) < 0
		       ? -1
		       : 0;
}

static inline int api_close(void **state)
{
	struct api *api = *state;

	kube_free(api->kube);
	http_free(api->http);
	free(api->config.path);
	free(api->config.server);
	free(api->config.ca_file);
	free(api->config.cert_file);
	free(api->config.key_file);
	free(api->config.token);
	free(api->config.token_file);
	return 0;
}

#define WITH_API(test) cmocka_unit_test_setup_teardown(test, api_open, api_close)

/* Asks for default/web-1 and expects it. */
static inline void read_pod(struct api *api, struct kube_pod *ret)
{
	cleanup_error struct error e = {0};

	if (kube_pod(api->kube, "default", "web-1", ret, &e) < 0)
		fail_msg("%s", e.message);
}

static inline void assert_pod_found(struct api *api)
{
	cleanup_kube_pod struct kube_pod pod = {0};

	read_pod(api, &pod);
	assert_true(pod.found);
	assert_string_equal(pod.uid, "uid-1");
}

/* The answers to "*" in a row; the last is repeated. */
static inline void play_all(struct api *api, const char *answers)
{
	cleanup_free char *script = format_text("{\"*\":[%s]}", answers);

	play(api, script);
}

static inline void assert_pod_fails(struct api *api, unsigned int code, const char *part)
{
	cleanup_kube_pod struct kube_pod pod = {0};
	cleanup_error struct error e = {0};

	if (kube_pod(api->kube, "default", "web-1", &pod, &e) == 0)
		fail_msg("answered, \"%s\" was expected", part);
	assert_false(pod.found);
	assert_null(pod.uid);
	assert_message(&e, code, part);
}

#define api_run(tests) \
	(unshare(CLONE_NEWNET) == 0 ? cmocka_run_group_tests(tests, api_start, api_end) \
				    : puts("1..0 # SKIP needs CAP_SYS_ADMIN and CAP_NET_ADMIN") < 0)
