#include "plugin/request.h"

#include "delegate/result.h"
#include "plugin/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <strings.h>

static const char *const commands[] = {
	[VERB_ADD] = "ADD",
	[VERB_DEL] = "DEL",
	[VERB_CHECK] = "CHECK",
	[VERB_GC] = "GC",
	[VERB_STATUS] = "STATUS",
	[VERB_VERSION] = "VERSION",
};

#define POD_VERBS (1u << VERB_ADD | 1u << VERB_DEL | 1u << VERB_CHECK)

/* Which verbs need which variable (libcni's skel; CNI_PATH is its own demand, not the specification's). */
static const struct {
	const char *name;
	size_t offset;
	unsigned int needed_by;
} variables[] = {
	{"CNI_CONTAINERID", offsetof(struct request, container_id), POD_VERBS},
	{"CNI_NETNS", offsetof(struct request, netns), 1u << VERB_ADD | 1u << VERB_CHECK},
	{"CNI_IFNAME", offsetof(struct request, ifname), POD_VERBS},
	{"CNI_ARGS", offsetof(struct request, args), 0},
	{"CNI_PATH", offsetof(struct request, path), POD_VERBS | 1u << VERB_GC | 1u << VERB_STATUS},
};

/* Go's unicode.IsSpace, on UTF-8: U+0085, U+00A0, U+1680, U+2000-200A, U+2028, U+2029, U+202F, U+205F, U+3000. */
static bool has_space(const char *text)
{
	static const char *const wide[] = {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
		"\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

	if (strpbrk(text, " \t\n\v\f\r"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
		if (strstr(text, wide[i]))
			return true;
	}
	for (const char *c = strstr(text, "\xe2\x80"); c; c = strstr(c + 2, "\xe2\x80")) {
		if ((unsigned char)c[2] >= 0x80 && (unsigned char)c[2] <= 0x8a)
			return true;
	}
	return false;
}

int request_check_ifname(const char *ifname, struct error *e)
{
	if (strlen(ifname) >= IFNAMSIZ) {
		error_set(e, -EINVAL, ERROR_ENVIRONMENT, "interface name is too long");
		return error_details(e, "interface name should be less than %d characters", IFNAMSIZ);
	}
	if (strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT, "interface name is . or ..");
	if (strpbrk(ifname, "/:") || has_space(ifname))
		return error_set(
			e, -EINVAL, ERROR_ENVIRONMENT, "interface name contains / or : or whitespace characters");
	/* Not skel's: the kernel would expand it to another name. */
	if (strchr(ifname, '%'))
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT, "interface name contains %%");
	return 0;
}

/* What stands in cniDir beside the records, each of which is called as its container. */
static bool is_own_file(const char *container_id)
{
	static const char *const own[] = {
		"results", "lease", "outbox", "holds.db", "holds.db-journal", "node", "imported", "gc.json"};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (strcmp(container_id, own[i]) == 0)
			return true;
	}
	return false;
}

bool request_is_container(const char *text)
{
	return is_cni_name(text) && !is_own_file(text) && strlen(text) <= 200;
}

static int read_environment(struct request *request, struct error *e)
{
	cleanup_free char *missing = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *value = getenv(variables[i].name);

		*(const char **)(void *)((char *)request + variables[i].offset) = value ? value : "";
		if ((!value || !*value) && variables[i].needed_by & 1u << request->verb) {
			char *list =
				format_text("%s%s%s", missing ? missing : "", missing ? "," : "", variables[i].name);

			free(missing);
			missing = list;
		}
	}

	const char *override = getenv("CNI_NETNS_OVERRIDE");

	request->netns_override = override && (strcmp(override, "1") == 0 || strcasecmp(override, "true") == 0);
	if (!(POD_VERBS & 1u << request->verb))
		request->container_id = "";
	if (*request->container_id && !is_cni_name(request->container_id)) {
		error_set(e, -EINVAL, ERROR_ENVIRONMENT, "invalid characters in containerID");
		return error_details(e, "%.256s", request->container_id);
	}
	if (is_own_file(request->container_id))
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
			"CNI_CONTAINERID is %s, a name that lamina needs itself", request->container_id);
	if (strlen(request->container_id) > 200)
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT, "CNI_CONTAINERID is longer than 200 characters");
	if (POD_VERBS & 1u << request->verb && request_check_ifname(request->ifname, e) < 0)
		return e->err;
	if (missing)
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT, "required env variables [%s] missing", missing);
	return 0;
}

static int keep_arg(struct request_args *args, const char *key, const char *value, struct error *e)
{
	const struct {
		const char *key;
		char **field;
	} known[] = {
		{"K8S_POD_NAMESPACE", &args->ns},
		{"K8S_POD_NAME", &args->pod},
		{"K8S_POD_UID", &args->uid},
		{"K8S_POD_INFRA_CONTAINER_ID", &args->sandbox},
		{"IP", &args->ip},
		{"MAC", &args->mac},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(key, known[i].key) != 0)
			continue;
		/* These end up in records, tables and errors. */
		for (const char *c = value; *c; c++) {
			if (iscntrl((unsigned char)*c) || c - value > 1024)
				return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
					"CNI_ARGS: %s is too long or contains control characters", key);
		}
		free(*known[i].field);
		*known[i].field = *value ? copy_text(value) : NULL;
	}
	return 0;
}

/* More lenient than Go's LoadArgs: unknown keys, empty pairs and '=' in a value are what real runtimes send. */
int request_read_args(const char *args, struct request_args *ret, struct error *e)
{
	cleanup_free char *list = copy_text(args);
	char *rest = list;

	for (char *pair = strsep(&rest, ";"); pair; pair = strsep(&rest, ";")) {
		char *value = strchr(pair, '=');

		if (!*pair)
			continue;
		if (!value)
			return error_set(e, -EINVAL, ERROR_ENVIRONMENT,
				"CNI_ARGS: invalid pair \"%.100s\": it must be KEY=VALUE", pair);
		*value++ = '\0';
		if (keep_arg(ret, pair, value, e) < 0)
			return e->err;
	}
	return 0;
}

static int read_stdin(struct request *request, int fd, struct error *e)
{
	cleanup_free char *bytes = NULL;
	size_t length = 0;

	if (file_read_fd(fd, "stdin", JSON_MAX_BYTES, &bytes, &length, e) < 0) {
		if (e->err == -EFBIG)
			e->code = ERROR_DECODE;
		return e->err;
	}
	if (json_parse(bytes, length, "error unmarshall network config", &request->conf, e) < 0)
		return e->err;
	if (!cJSON_IsObject(request->conf) && !cJSON_IsNull(request->conf))
		return error_set(e, -EINVAL, ERROR_DECODE, "error unmarshall network config: it is not a JSON object");

	const cJSON *name = json_get(request->conf, "name"), *version = json_get(request->conf, "cniVersion");

	if (version && !cJSON_IsString(version))
		return error_set(
			e, -EINVAL, ERROR_DECODE, "decoding version from network config: cniVersion is not a string");
	request->version = version && *version->valuestring ? version->valuestring : "0.1.0";
	if (name && !cJSON_IsString(name))
		return error_set(e, -EINVAL, ERROR_DECODE, "error unmarshall network config: name is not a string");
	request->network = name ? name->valuestring : "";
	return 0;
}

static int check_name(const struct request *request, struct error *e)
{
	if (!*request->network)
		return error_set(e, -EINVAL, ERROR_CONFIG, "missing network name");
	if (!is_cni_name(request->network)) {
		error_set(e, -EINVAL, ERROR_CONFIG, "invalid characters found in network name");
		return error_details(e, "%.256s", request->network);
	}
	return 0;
}

static int check_version(const struct request *request, struct error *e)
{
	static const char *const since[] = {[VERB_ADD] = "0.1.0",
		[VERB_DEL] = "0.1.0",
		[VERB_CHECK] = "0.4.0",
		[VERB_GC] = "1.1.0",
		[VERB_STATUS] = "1.1.0",
		[VERB_VERSION] = "0.1.0"};

	if (!cni_version_known(request->version)) {
		error_set(e, -EINVAL, ERROR_VERSION, "incompatible CNI versions");
		return error_details(e,
			"config is \"%.64s\", plugin supports [\"0.1.0\" \"0.2.0\" \"0.3.0\" \"0.3.1\" \"0.4.0\" "
			"\"1.0.0\" \"1.1.0\"]",
			request->version);
	}
	if (!cni_version_at_least(request->version, since[request->verb]))
		return error_set(e, -EINVAL, ERROR_VERSION, "config version does not allow %s", request->command);
	return 0;
}

int request_check(const struct request *request, struct error *e)
{
	return check_name(request, e) < 0 ? e->err : check_version(request, e);
}

/* VERSION answers whatever stands on stdin, and says the version that it finds there. */
static void read_version_request(struct request *request, int fd)
{
	cleanup_error struct error ignored = {0};

	if (read_stdin(request, fd, &ignored) < 0 || !cni_version_known(request->version))
		request->version = "1.1.0";
}

int request_read(struct request *ret, int stdin_fd, struct error *e)
{
	bool known = false;

	*ret = (struct request){.command = getenv("CNI_COMMAND"), .version = "1.1.0", .network = ""};
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(ret->command, commands[i]) == 0) {
			ret->verb = (enum verb)i;
			known = true;
		}
	}
	if (known && ret->verb == VERB_VERSION) {
		read_version_request(ret, stdin_fd);
		return 0;
	}
	if (known && read_environment(ret, e) < 0)
		return e->err;
	if (read_stdin(ret, stdin_fd, e) < 0 || check_name(ret, e) < 0)
		return e->err;
	if (!known)
		return error_set(e, -EINVAL, ERROR_ENVIRONMENT, "unknown CNI_COMMAND: %.64s", ret->command);
	if (check_version(ret, e) < 0)
		return e->err;
	return request_read_args(ret->args, &ret->pod, e);
}

const char *request_namespace(const struct request *request)
{
	return request->pod.ns ? request->pod.ns : "default";
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

/* Appends ";key=value", or fills the value of that key where it is empty. */
static void merge_arg(char **args, const char *key, const char *value)
{
	cleanup_free char *before = *args;
	cleanup_free char *empty = format_text(";%s=;", key);
	char *place = *value ? strstr(before, empty) : NULL;

	if (place) {
		place += strlen(empty) - 1;
		*args = format_text("%.*s%s%s", (int)(place - before), before, value, place);
	} else {
		*args = format_text("%s%s=%s;", before, key, value);
	}
}

char *request_delegate_args(const struct request *request)
{
	const struct request_args *pod = &request->pod;
	cleanup_free char *list = copy_text(request->args);
	char *rest = list;
	/* With a separator at both ends while it grows. */
	cleanup_free char *args = format_text(";IgnoreUnknown=true;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;"
					      "K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s;",
		text_or_empty(pod->ns), text_or_empty(pod->pod), text_or_empty(pod->sandbox), text_or_empty(pod->uid));

	for (char *pair = strsep(&rest, ";"); pair; pair = strsep(&rest, ";")) {
		char *value = strchr(pair, '=');

		if (!value)
			continue;
		*value++ = '\0';
		merge_arg(&args, pair, value);
	}
	args[strlen(args) - 1] = '\0';
	return copy_text(args + 1);
}

const char *request_own_args(const char *delegate_args)
{
	static const char *const keys[] = {"IgnoreUnknown=true;",
		"K8S_POD_NAMESPACE=", "K8S_POD_NAME=", "K8S_POD_INFRA_CONTAINER_ID=", "K8S_POD_UID="};
	const char *rest = delegate_args;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strncmp(rest, keys[i], strlen(keys[i])) != 0)
			return delegate_args;
		rest += strcspn(rest, ";");
		rest += *rest == ';';
	}
	return rest;
}

void request_args_clear(struct request_args *args)
{
	free(args->ns);
	free(args->pod);
	free(args->uid);
	free(args->sandbox);
	free(args->ip);
	free(args->mac);
	*args = (struct request_args){0};
}

void request_clear(struct request *request)
{
	request_args_clear(&request->pod);
	cJSON_Delete(request->conf);
	*request = (struct request){0};
}
