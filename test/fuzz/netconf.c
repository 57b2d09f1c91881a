/*
 * One call of a runtime: lines with CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME, CNI_ARGS and /etc/lamina/defaults.json,
 * then what stands on stdin. What is accepted is planned as an ADD and as a DEL do, and as the IPAM plugin of another
 * one; each interface and network has a name that leads nowhere else.
 */
#include "plugin/addressing.h"
#include "plugin/base/log.h"
#include "plugin/plan.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_error(const struct error *e)
{
	switch ((enum error_code)e->code) {
	case ERROR_VERSION:
	case ERROR_ENVIRONMENT:
	case ERROR_DECODE:
	case ERROR_CONFIG:
		break;
	case ERROR_NO_NAMESPACE:
	case ERROR_IO:
	case ERROR_NAMESPACE:
	case ERROR_TRY_AGAIN:
	case ERROR_UNAVAILABLE:
	case ERROR_RIGHTS:
	case ERROR_INTERNAL:
		abort();
	}
	if (e->err >= 0 || !e->message || !*e->message)
		abort();
}

static void check_plan(const struct plan *plan)
{
	cleanup_json cJSON *shown = plan_describe(plan);
	cleanup_free char *text = json_print(shown);
	cleanup_json cJSON *read = NULL;
	cleanup_error struct error e = {0};

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];

		if (request_check_ifname(a->ifname, &e) < 0 || (*a->network && !is_cni_name(a->network)))
			abort();
	}
	if (json_parse(text, strlen(text), "plan", &read, &e) < 0 || cJSON_GetArraySize(read) != (int)plan->count)
		abort();
}

static void make_plan(const struct request *request, const char *defaults)
{
	cleanup_config struct config config = {0};
	cleanup_plan struct plan plan = {0};
	cleanup_error struct error e = {0};

	if (config_read_with(request->conf, false, defaults, &config, &e) < 0 ||
		plan_build(&plan, request, &config, &e) < 0) {
		check_error(&e);
		return;
	}
	if (plan_place(&plan, request, &config, json_get(config.runtime_config, ANNOTATIONS_CAPABILITY), &e) < 0)
		check_error(&e);
	check_plan(&plan);
}

/* A DEL does with what it is given. */
static void assume_plan(const struct request *request, const char *defaults)
{
	cleanup_config struct config config = {0};
	cleanup_plan struct plan plan = {0};

	config_read_folders_with(request->conf, defaults, &config);
	if (*config.cni_dir != '/' || *config.bin_dir != '/' || *config.data_dir != '/' || config.timeout < 1)
		abort();
	plan_assume(&plan, request, &config);
	check_plan(&plan);
}

/* As a DEL that finds no record, and `lamina defaults --write`. */
static void read_parts(const struct request *request, const char *defaults)
{
	cleanup_etcd_config struct etcd_config *etcd = NULL;
	cleanup_json cJSON *json = NULL;
	cleanup_error struct error e = {0}, refused = {0};

	if (addressing_read_etcd(request->conf, "", &etcd, &e) < 0)
		check_error(&e);
	error_clear(&e);
	if (config_read_defaults(defaults, &json, &e) == 0 && config_check_defaults(json, &refused) < 0)
		check_error(&refused);
}

static void be_ipam(const struct request *request, const char *defaults)
{
	cleanup_config struct config config = {0};
	struct addressing addressing = {0};
	struct annotations annotations;
	cleanup_error struct error e = {0};
	bool taken;

	if (config_read_with(request->conf, true, defaults, &config, &e) < 0 ||
		addressing_read(request->conf, "", &config, &addressing, &e) < 0 ||
		annotations_read(request, &config, json_get(config.runtime_config, ANNOTATIONS_CAPABILITY), false,
			&annotations, &e) < 0) {
		check_error(&e);
		addressing_clear(&addressing);
		return;
	}
	for (size_t i = 0; i < annotations.count && addressing.kind == ADDRESSING_LEASE && !e.err; i++)
		addressing_offer(&addressing, &annotations, &annotations.wanted[i].addr, annotations.wanted[i].source,
			&taken, &e);
	if (e.err)
		check_error(&e);
	addressing_clear(&addressing);
}

/* For other programs: pairs, as ours were. */
static void check_delegate_args(const struct request *request)
{
	cleanup_free char *args = request_delegate_args(request);

	if (strncmp(args, "IgnoreUnknown=true;K8S_POD_NAMESPACE=", 37) != 0 || args[strlen(args) - 1] == ';')
		abort();
}

/* The next line, which is cut out of the input; an environment's strings have no NUL. */
static char *take_line(const uint8_t **bytes, size_t *length)
{
	const uint8_t *end = *length ? memchr(*bytes, '\n', *length) : NULL;
	size_t line = end ? (size_t)(end - *bytes) : *length, used = end ? line + 1 : line;
	char *text = allocate(line + 1, 1);

	if (line)
		memcpy(text, *bytes, line);
	*bytes += used;
	*length -= used;
	return text;
}

static int put_file(const void *bytes, size_t length)
{
	int fd = memfd_create("netconf", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const char *const names[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS"};
	cleanup_request struct request request = {0};
	cleanup_error struct error e = {0};

	log_open(LOG_ERROR, false);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *value = take_line(&bytes, &length);

		setenv(names[i], value, true);
	}
	setenv("CNI_NETNS", "/run/netns/fuzz", true);
	setenv("CNI_PATH", "/opt/cni/bin", true);

	cleanup_free char *defaults = take_line(&bytes, &length);
	cleanup_close int defaults_fd = put_file(defaults, strlen(defaults)), fd = put_file(bytes, length);
	cleanup_free char *path = format_text("/proc/self/fd/%d", defaults_fd);

	if (request_read(&request, fd, &e) < 0) {
		check_error(&e);
		return 0;
	}
	if (!request.version || !request.network || (request.verb != VERB_VERSION && !is_cni_name(request.network)))
		abort();
	if (request.verb == VERB_VERSION)
		return 0;
	/* As status.c and gc.c do. */
	if (request.verb == VERB_STATUS || request.verb == VERB_GC)
		request.ifname = "";
	check_delegate_args(&request);
	make_plan(&request, path);
	assume_plan(&request, path);
	be_ipam(&request, path);
	read_parts(&request, path);
	return 0;
}
