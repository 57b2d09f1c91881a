#include "delegate/kube_get.h"

#include "delegate/text.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

#define CONNECT_TIME (2 * SECONDS)
/* One try; a list takes the API server longer. */
#define OBJECT_TIME (5 * SECONDS)
#define LIST_TIME (15 * SECONDS)

#define FIRST_PAUSE (SECONDS / 10)
#define LONGEST_PAUSE (2 * SECONDS)

#define MAX_TOKEN ((size_t)64 << 10)
/* Of what a server says, in an error. */
#define MAX_SENTENCE ((size_t)600)
#define MAX_SHOWN ((size_t)100)

struct kube_get {
	struct kube *kube;
	struct kube_query query;
	char *method, *type, *body, *right; /* of what is written; NULL: a GET */
	char *url;
	struct http_identity identity;
	char *token; /* of the try that is under way */
	struct http_call *call;
	int64_t pause;
	int tries;
	bool asked_again; /* after a 401 */
};

/* --- one try --- */

static int refuse_token(const struct kubeconfig *config, const char *why, struct error *e)
{
	return error_set(
		e, -EINVAL, ERROR_CONFIG, "kubeconfig %s: tokenFile %s %s", config->path, config->token_file, why);
}

/* The file is read for each request: whoever wrote it replaces it before its token expires. */
static int read_token(const struct kubeconfig *config, char **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	size_t length;

	if (!config->token_file) {
		*ret = copy_text(config->token);
		return 0;
	}
	if (file_read(config->token_file, MAX_TOKEN, &text, &length, e) < 0) {
		e->err = -EINVAL;
		e->code = ERROR_CONFIG;
		return error_wrap(e, "kubeconfig %s: tokenFile", config->path);
	}
	if (strlen(text) != length)
		return refuse_token(config, "contains a NUL character", e);
	while (length > 0 && strchr(" \t\r\n", text[length - 1]))
		text[--length] = '\0';

	const char *token = text + strspn(text, " \t\r\n");

	if (!*token)
		return refuse_token(config, "is empty", e);
	for (const char *c = token; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return refuse_token(
				config, "contains white space or a control character inside of the token", e);
	}
	*ret = copy_text(token);
	return 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int start_try(struct kube_get *get, struct error *e)
{
	const struct kubeconfig *config = get->kube->config;
	cleanup_free char *authorization = NULL, *type = NULL;

	free(steal_ptr(get->token));
	if (read_token(config, &get->token, e) < 0)
		return e->err;
	if (get->token)
		authorization = format_text("Authorization: Bearer %s", get->token);

	if (get->type)
		type = format_text("Content-Type: %s", get->type);

	const char *headers[5] = {"Accept: application/json"};
	size_t count = 1;

	headers[count++] = "User-Agent: lamina/" LAMINA_VERSION;
	if (authorization)
		headers[count++] = authorization;
	if (type)
		headers[count++] = type;

	const struct http_request request = {
		.method = get->method ? get->method : "GET",
		.url = get->url,
		.headers = headers,
		.body = get->body,
		.shares = true,
		.max_reply = get->query.max,
		.connect_time = CONNECT_TIME,
		.deadline = earlier(get->kube->deadline, clock_now() + (get->query.name ? OBJECT_TIME : LIST_TIME)),
		.identity = &get->identity,
	};

	get->tries++;
	if (http_start(get->kube->http, &request, &get->call, e) < 0) {
		e->code = ERROR_CONFIG;
		return error_wrap(e, "kubeconfig %s: server %s", config->path, config->server);
	}
	return 0;
}

/* change: NULL for a GET. */
static int start(struct kube *kube, const struct kube_query *query, const struct kube_change *change,
	struct kube_get **ret, struct error *e)
{
	const struct kubeconfig *config = kube->config;
	cleanup_kube_get struct kube_get *get = allocate(1, sizeof(*get));

	if (change) {
		get->method = copy_text(change->method);
		get->type = copy_text(change->type);
		get->body = copy_text(change->body);
		get->right = copy_text(change->right);
	}
	get->kube = kube;
	get->query = *query;
	get->pause = FIRST_PAUSE;
	get->url = format_text("%s%s", config->server, query->path);
	get->identity = (struct http_identity){
		.ca_file = config->ca_file,
		.ca_pem = config->ca_pem,
		.cert_file = config->cert_file,
		.cert_pem = config->cert_pem,
		.key_file = config->key_file,
		.key_pem = config->key_pem,
		.server_name = config->server_name,
	};
	if (start_try(get, e) < 0)
		return e->err;
	*ret = steal_ptr(get);
	return 0;
}

int kube_get_start(struct kube *kube, const struct kube_query *query, struct kube_get **ret, struct error *e)
{
	return start(kube, query, NULL, ret, e);
}

int kube_send_start(struct kube *kube, const struct kube_query *query, const struct kube_change *change,
	struct kube_get **ret, struct error *e)
{
	return start(kube, query, change, ret, e);
}

/* --- what came back --- */

/* C strings end at a NUL, and JSON that has one is refused: nobody's annotation may make all pods unreadable. Returns
 * whether there was one. */
static bool replace_nuls(char *json)
{
	bool found = false;

	for (char *c = strchr(json, '\\'); c; c = strchr(c, '\\')) {
		if (strncmp(c + 1, "u0000", 5) == 0) {
			memcpy(c + 1, "ufffd", 5); /* U+FFFD, the replacement character */
			found = true;
		}
		c += c[1] ? 2 : 1;
	}
	return found;
}

static bool is_kind(const cJSON *json, const char *kind)
{
	const char *its = json_text(json, "kind");

	return its && json_text(json, "apiVersion") && strcmp(its, kind) == 0;
}

/* NULL when it is not JSON. */
static cJSON *parse(const struct kube_get *get, struct http_reply *reply, bool *ret_altered, struct error *e)
{
	cJSON *json = NULL;

	if (!reply->body)
		return NULL;
	*ret_altered = replace_nuls(reply->body);
	return json_parse_max(reply->body, reply->length, get->query.max, "the answer", &json, e) < 0 ? NULL : json;
}

/* A body may have a NUL, behind which strstr sees nothing, and of which a person is shown what follows. */
static bool has_token(const struct kube_get *get, const struct http_reply *reply, const char *message)
{
	if (!get->token)
		return false;
	return message ? strstr(message, get->token) != NULL
		       : memmem(reply->body, reply->length, get->token, strlen(get->token)) != NULL;
}

/* A Status's own sentence; else the first bytes of what came. Never our token, which some proxies show. */
static char *sentence(const struct kube_get *get, const struct http_reply *reply, const cJSON *json)
{
	const char *message = is_kind(json, "Status") ? json_text(json, "message") : NULL;

	if (reply->length == 0)
		return copy_text("nothing");
	if (has_token(get, reply, message))
		return copy_text("something that contains our token");
	if (!message)
		return text_quote(reply->body, reply->length, MAX_SHOWN);

	char *text = text_clean(message, MAX_SENTENCE);

	for (char *c = text; *c; c++) {
		if ((*c > 0 && *c < ' ') || *c == 0x7f)
			*c = ' ';
	}
	return text;
}

/* Whose fault it is decides about the code. */
static int refuse(
	struct kube_get *get, int err, unsigned int code, const char *what, const char *way_out, struct error *e)
{
	const struct kubeconfig *config = get->kube->config;

	return error_set(e, err, code, "API server %s: %s%s%s", config->server, what, way_out ? "; " : "",
		way_out ? way_out : "");
}

static bool is_custom(const char *resource)
{
	return strchr(resource, '.') != NULL;
}

static bool is_resource(const cJSON *details, const char *resource)
{
	const char *kind = json_text(details, "kind"), *group = json_text(details, "group");

	if (!is_custom(resource))
		return same_text(kind, resource);

	cleanup_free char *full = format_text("%s.%s", kind ? kind : "", group ? group : "");

	return strcmp(full, resource) == 0;
}

/* 404 of the API server itself, for that very object: a proxy's page says nothing about a pod, nor does a server that
 * does not know of such objects at all. */
static bool is_not_found(const struct kube_get *get, const cJSON *json)
{
	const cJSON *details = json_get(json, "details");

	return get->query.name && is_kind(json, "Status") && same_text(json_text(json, "reason"), "NotFound") &&
	       is_resource(details, get->query.resource) && same_text(json_text(details, "name"), get->query.name);
}

static char *rejected_credentials(const struct kubeconfig *config)
{
	const char *key = config->token_file                      ? "tokenFile"
			  : config->token                         ? "token"
			  : config->cert_file || config->cert_pem ? "client certificate"
								  : NULL;

	if (!key)
		return format_text("the user in %s has neither token nor client certificate", config->path);
	return format_text("it does not take the %s of the user in %s", key, config->path);
}

/* Overloaded, or a gateway before a server that is away: later it may be another. */
static bool may_pass(int status)
{
	return status == 429 || status >= 500;
}

static int refuse_status(struct kube_get *get, const struct http_reply *reply, const cJSON *json, struct error *e)
{
	const struct kubeconfig *config = get->kube->config;
	cleanup_free char *said = sentence(get, reply, json);
	cleanup_free char *what = format_text("HTTP %d: %s", reply->status, said);
	cleanup_free char *way_out = NULL;
	int err = -EPROTO;

	if (reply->status == 401) {
		way_out = rejected_credentials(config);
		err = -EACCES;
	} else if (reply->status == 403) {
		cleanup_free char *read = format_text("%s %s", get->query.name ? "get" : "list", get->query.resource);

		way_out = format_text(
			"give the user of %s the right to %s", config->path, get->right ? get->right : read);
		err = -EACCES;
	} else if (reply->status == 409) {
		err = -EBUSY;
	} else if (reply->status == 410) {
		err = -ESTALE;
	} else if (reply->status == 404 && is_custom(get->query.resource)) {
		way_out = format_text("install the CustomResourceDefinition %s, or correct `server` in %s",
			get->query.resource, config->path);
	} else if (!is_kind(json, "Status") && !may_pass(reply->status)) {
		way_out = format_text("this is no API server: correct `server` in %s", config->path);
	}
	return refuse(get, err, ERROR_TRY_AGAIN, what, way_out, e);
}

static const char *own_key(enum http_own own)
{
	switch (own) {
	case HTTP_OWN_CA:
		return "certificate-authority";
	case HTTP_OWN_CERT:
		return "client-certificate";
	case HTTP_OWN_KEY:
		return "client-key";
	case HTTP_OWN_NONE:
		break;
	}
	return "client-certificate and client-key";
}

static int refuse_failure(struct kube_get *get, const struct http_reply *reply, struct error *e)
{
	const struct kubeconfig *config = get->kube->config;
	const char *reason = reply->reason ? reply->reason : "no answer";
	cleanup_free char *way_out = NULL;

	switch (reply->failure) {
	case HTTP_PEER:
		way_out = format_text("correct certificate-authority, tls-server-name or server in %s", config->path);
		return refuse(get, -EINVAL, ERROR_CONFIG, reason, way_out, e);
	case HTTP_REJECTED:
	case HTTP_OWN:
		way_out = format_text("correct %s in %s", own_key(reply->own), config->path);
		return refuse(get, -EINVAL, ERROR_CONFIG, reason, way_out, e);
	case HTTP_TOO_LARGE:
		return refuse(get, -EFBIG, ERROR_TRY_AGAIN, reason, NULL, e);
	case HTTP_GARBAGE:
		way_out = format_text("this is no API server: correct `server` in %s", config->path);
		return refuse(get, -EPROTO, ERROR_TRY_AGAIN, reason, way_out, e);
	case HTTP_NAME:
		way_out = format_text("correct `server` in %s, or have the name in /etc/hosts or DNS", config->path);
		break;
	case HTTP_OK:
	case HTTP_REFUSED:
	case HTTP_TIMEOUT:
	case HTTP_LOST:
		break;
	}
	return refuse(get, -EAGAIN, ERROR_TRY_AGAIN, reason, way_out, e);
}

/* 0: that is the answer. -EAGAIN: worth another try. */
static int judge(struct kube_get *get, struct http_reply *reply, struct kube_answer *ret, struct error *e)
{
	ret->status = reply->failure == HTTP_OK ? reply->status : 0;
	if (reply->failure != HTTP_OK)
		return refuse_failure(get, reply, e);

	cleanup_error struct error malformed = {0};
	cleanup_json cJSON *json = parse(get, reply, &ret->altered, &malformed);
	bool done = reply->status == 200 || (reply->status == 201 && get->method);

	ret->date = reply->date;
	if (done && is_kind(json, get->query.kind)) {
		ret->json = steal_ptr(json);
		return 0;
	}
	if (reply->status == 404 && is_not_found(get, json))
		return 0;
	refuse_status(get, reply, json, e);
	if (reply->status == 401 && get->kube->config->token_file && !get->asked_again) {
		get->asked_again = true;
		get->pause = 0; /* the next try reads the file again */
		return -EAGAIN;
	}
	return may_pass(reply->status) ? -EAGAIN : e->err;
}

/* --- repetition --- */

/* Half of it by chance: pods of one node start together, and so do nodes. */
static int64_t next_pause(struct kube_get *get, int64_t retry_after)
{
	int64_t pause = get->pause;

	get->pause = pause == 0 ? FIRST_PAUSE : earlier(pause * 2, LONGEST_PAUSE);
	pause = pause / 2 + clock_chance(pause / 2);
	return retry_after > 0 ? retry_after + pause : pause;
}

int kube_get_await(struct kube_get *get, struct kube_answer *ret, struct error *e)
{
	*ret = (struct kube_answer){0};
	for (;;) {
		cleanup_http_reply struct http_reply reply = {0};

		http_await(get->call, &reply);
		http_call_free(steal_ptr(get->call));

		int r = judge(get, &reply, ret, e);

		if (r == 0)
			return 0;
		if (r != -EAGAIN)
			return error_wrap(e, "%s", get->query.what);

		int64_t retry_after = reply.retry_after > 0 ? reply.retry_after * SECONDS : 0;
		int64_t pause = next_pause(get, retry_after);

		if (clock_now() + pause >= get->kube->deadline) {
			error_wrap(e, "given up after %d %s", get->tries, get->tries == 1 ? "try" : "tries");
			return error_wrap(e, "%s", get->query.what);
		}
		log_write(LOG_DEBUG, "asking again in %lld ms: %s", (long long)(pause / 1000), e->message);
		clock_pause(pause, get->kube->deadline);
		error_clear(e);
		if (start_try(get, e) < 0)
			return error_wrap(e, "%s", get->query.what);
	}
}

void kube_get_free(struct kube_get *get)
{
	if (!get)
		return;
	if (get->call)
		http_call_free(get->call);
	free(get->method);
	free(get->type);
	free(get->body);
	free(get->right);
	free(get->token);
	free(get->url);
	free(get);
}
