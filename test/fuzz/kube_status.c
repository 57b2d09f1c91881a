/*
 * The annotation of a pod, written to an API server that answers anything: the first line is the pod's
 * "namespace/name UID", each further one an answer, "STATUS BODY" (or 1 to 9: how the transfer failed). A PUT has all
 * that the GET before it had, but for the annotation, and is of the pod that is meant; errors are one line, without the
 * token.
 */
#include "delegate/kube_status.h"
#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"
#include "plugin/base/log.h"

#include <string.h>

#define SERVER "https://10.0.0.1:6443"
#define TOKEN "secret-token"
#define KEY "k/s"
#define VALUE "[{\n    \"name\": \"<a>\"\n}]"
/* So often the pod may change meanwhile. */
#define MAX_CONFLICTS 5

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int __wrap_http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e);
void __wrap_http_await(struct http_call *call, struct http_reply *ret);
void __wrap_http_call_free(struct http_call *call);
void __wrap_clock_pause(int64_t microseconds, int64_t deadline);

/* In place of http.c's: the server, and what it has seen. */
struct http_call {
	const struct kube_target *target;
	char *rest;     /* of the script */
	char method[8]; /* of the request that is under way */
	char *uid;      /* of the pod that is meant, as far as it is known */
	cJSON *got;     /* the pod that the last GET was answered with, */
	char *got_text; /* and as it came */
	cJSON *taken;   /* what the last write was answered with */
	int conflicts;
};

void __wrap_clock_pause(int64_t microseconds, int64_t deadline)
{
	(void)microseconds;
	(void)deadline;
}

/* --- what is sent --- */

static bool is_dns_name(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0' && *name != '.' &&
	       !strstr(name, "..");
}

static void check_url(const struct http_call *call, const char *url, bool status)
{
	cleanup_free char *wanted = format_text(SERVER "/api/v1/namespaces/%s/pods/%s%s", call->target->ns,
		call->target->name, status ? "/status" : "");

	if (strcmp(url, wanted) != 0 || !is_dns_name(call->target->ns) || !is_dns_name(call->target->name))
		abort();
}

static const cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* The pod of the last GET, if it is the one that is meant; from then on its own UID says so. */
static void adopt_uid(struct http_call *call, const char *uid)
{
	const cJSON *metadata = member(call->got, "metadata");
	const char *its = cJSON_GetStringValue(member(metadata, "uid"));

	if (same_text_or_none(uid, call->uid))
		return;
	if (!call->uid || !same_text(uid, its) ||
		!same_text(call->uid, kube_kubelet_uid(its, member(metadata, "annotations"))))
		abort();
	free(call->uid);
	call->uid = copy_text(uid);
}

static void check_patch(struct http_call *call, const char *body)
{
	cleanup_json cJSON *patch = cJSON_Parse(body), *expected = cJSON_CreateObject();
	cJSON *metadata = cJSON_AddObjectToObject(expected, "metadata");
	const char *uid = cJSON_GetStringValue(member(member(patch, "metadata"), "uid"));

	adopt_uid(call, uid);
	if (uid)
		cJSON_AddStringToObject(metadata, "uid", uid);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(metadata, "annotations"), KEY, VALUE);
	if (!cJSON_Compare(patch, expected, true))
		abort();
}

static const cJSON *skip_key(const cJSON *item, bool wanted)
{
	while (wanted && item && strcmp(item->string, KEY) == 0)
		item = item->next;
	return item;
}

/* One after the other: the server may have sent two members of one name, which are both its own. */
static void check_same(const cJSON *got, const cJSON *put)
{
	const cJSON *a = got->child, *b = put->child;

	if (got->child || put->child) {
		if ((got->type & 0xff) != (put->type & 0xff))
			abort();
		for (; a && b; a = a->next, b = b->next) {
			if (!same_text_or_none(a->string, b->string))
				abort();
			check_same(a, b);
		}
		if (a || b)
			abort();
	} else if (!cJSON_Compare(got, put, true)) {
		abort();
	}
}

/* All that the pod's annotations had is there, and ours is what counts: the last one of its name. */
static void check_annotations(const cJSON *got, const cJSON *put)
{
	const cJSON *a = skip_key(cJSON_IsObject(got) ? got->child : NULL, true), *b = skip_key(put->child, true);
	const cJSON *ours = NULL, *item;

	for (; a && b; a = skip_key(a->next, true), b = skip_key(b->next, true)) {
		if (strcmp(a->string, b->string) != 0)
			abort();
		check_same(a, b);
	}
	cJSON_ArrayForEach(item, put)
	{
		if (strcmp(item->string, KEY) == 0)
			ours = item;
	}
	if (a || b || !same_text(cJSON_GetStringValue(ours), VALUE))
		abort();
}

/* Two objects that are the same but for the member of that name, the first of it, for which `check` is there. */
static void check_but(
	const cJSON *got, const cJSON *put, const char *name, void (*check)(const cJSON *got, const cJSON *put))
{
	const cJSON *was = member(got, name), *is = member(put, name);
	const cJSON *a = got->child, *b = put->child;

	while (a || b) {
		/* Where it was no object, it is a new one behind all. */
		if (a && a == was && !cJSON_IsObject(was) && check == check_annotations) {
			a = a->next;
			continue;
		}
		if (b == is && !a) {
			b = b->next;
			continue;
		}
		if (!a || !b || strcmp(a->string, b->string) != 0)
			abort();
		if (b != is)
			check_same(a, b);
		a = a->next;
		b = b->next;
	}
	if (!is)
		abort();
	check(was, is);
}

static void check_metadata(const cJSON *got, const cJSON *put)
{
	check_but(got, put, "annotations", check_annotations);
}

/* No integer has become another one that a double can hold: its digits are there. With more than 20 it is none of
 * Go's. */
static void check_integers(const char *got, const char *put)
{
	bool in_string = false;

	for (const char *c = got; *c; c++) {
		const size_t digits = in_string ? 0 : strspn(c, "0123456789");

		if (*c == '"')
			in_string = !in_string;
		else if (in_string && *c == '\\')
			c++;
		if (digits == 0)
			continue;

		cleanup_free char *number = format_text("%.*s", (int)digits, c);

		c += digits - 1;
		if (digits > 15 && digits <= 20 && c[1] != '.' && c[1] != 'e' && c[1] != 'E' && !strstr(put, number))
			abort();
		/* What stands behind a point is rounded. */
		if (c[1] == '.' || c[1] == 'e' || c[1] == 'E')
			c += 1 + strspn(c + 2, "+-0123456789eE");
	}
}

static bool is_twice(const cJSON *object, const char *name)
{
	const cJSON *item;
	int count = 0;

	cJSON_ArrayForEach(item, object)
	{
		count += strcmp(item->string, name) == 0;
	}
	return count > 1;
}

static void check_put(struct http_call *call, const char *body)
{
	cleanup_json cJSON *put = NULL;
	cleanup_error struct error e = {0};

	/* With integers beyond 2^53 in the same form. */
	if (!call->got || json_parse(body, strlen(body), "what we sent", &put, &e) < 0)
		abort();
	if (call->uid)
		adopt_uid(call, cJSON_GetStringValue(member(member(put, "metadata"), "uid")));
	/* What no API server sends: which of both would be put back is nobody's question. */
	if (!is_twice(call->got, "metadata") && !is_twice(member(call->got, "metadata"), "annotations"))
		check_but(call->got, put, "metadata", check_metadata);
	check_integers(call->got_text, body);
}

int __wrap_http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e)
{
	struct http_call *call = (struct http_call *)(void *)http;
	const bool reads = strcmp(request->method, "GET") == 0;

	(void)e;
	check_url(call, request->url, !reads);
	snprintf(call->method, sizeof(call->method), "%s", request->method);
	cJSON_Delete(call->taken);
	call->taken = NULL;
	if (strcmp(request->method, "PATCH") == 0)
		check_patch(call, request->body);
	else if (strcmp(request->method, "PUT") == 0)
		check_put(call, request->body);
	else if (!reads)
		abort();
	*ret = call;
	return 0;
}

/* --- what comes back --- */

static cJSON *parse(const struct http_reply *reply)
{
	cleanup_error struct error ignored = {0};
	cJSON *json = NULL;

	json_parse(reply->body, reply->length, "an answer", &json, &ignored);
	return json;
}

static void keep_answer(struct http_call *call, const struct http_reply *reply)
{
	cJSON **kept = strcmp(call->method, "GET") == 0 ? &call->got : &call->taken;

	cJSON_Delete(*kept);
	*kept = reply->status == 200 || reply->status == 201 ? parse(reply) : NULL;
	if (kept == &call->got) {
		free(call->got_text);
		call->got_text = copy_text(reply->body);
	}
	if (kept == &call->taken && reply->status == 409 && ++call->conflicts > MAX_CONFLICTS)
		abort();
}

/* Behind the last line it is no API server, so that nobody asks for ever. */
void __wrap_http_await(struct http_call *call, struct http_reply *ret)
{
	char *line = strsep(&call->rest, "\n"), *body = line ? strchr(line, ' ') : NULL;
	const long number = line ? strtol(line, NULL, 10) : HTTP_GARBAGE;

	*ret = (struct http_reply){.retry_after = -1, .body = copy_text(body ? body + 1 : "")};
	ret->length = strlen(ret->body);
	if (number >= 100 && number < 600) {
		ret->status = (int)number;
		keep_answer(call, ret);
		return;
	}
	ret->failure = number > 0 && number <= HTTP_GARBAGE ? (enum http_failure)number : HTTP_LOST;
	ret->reason = copy_text("10.0.0.1:6443: it failed");
}

void __wrap_http_call_free(struct http_call *call)
{
	(void)call;
}

/* --- one write --- */

static void check_error(const struct error *e)
{
	if ((e->code != ERROR_TRY_AGAIN && e->code != ERROR_CONFIG && e->code != ERROR_ENVIRONMENT) ||
		strpbrk(e->message, "\r\n\x1b") || strstr(e->message, TOKEN) || strlen(e->message) > 4096)
		abort();
}

/* What the server says of the pod is what is meant. */
static void check_taken(const cJSON *taken)
{
	const char *value = cJSON_GetStringValue(member(member(member(taken, "metadata"), "annotations"), KEY));

	if (!same_text(value, VALUE))
		abort();
}

static void write_status(struct http_call *call, const struct kube_target *target)
{
	static char path[] = "/kubeconfig", server[] = SERVER, token[] = TOKEN;
	const struct kubeconfig config = {.path = path, .server = server, .token = token};
	struct kube kube = {
		.config = &config, .http = (struct http *)(void *)call, .deadline = clock_now() + 600 * SECONDS};
	cleanup_kube_status struct kube_status *status = NULL;
	cleanup_error struct error e = {0};

	if (kube_status_start(&kube, target, KEY, VALUE, &status, &e) < 0 || kube_status_await(status, &e) < 0)
		check_error(&e);
	else if (call->taken)
		check_taken(call->taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *script = allocate(length + 1, 1);
	char *rest = script;

	if (length)
		memcpy(script, bytes, length);
	log_open(LOG_ERROR, false);

	char *uid = strsep(&rest, "\n"), *name = strsep(&uid, " "), *ns = strsep(&name, "/");
	const struct kube_target target = {.ns = ns, .name = name ? name : "", .uid = uid};
	struct http_call call = {.target = &target, .rest = rest, .uid = uid && *uid ? copy_text(uid) : NULL};

	/* Who calls a pod like a token reads the name of a pod. */
	if (!strstr(ns, TOKEN) && !strstr(target.name, TOKEN))
		write_status(&call, &target);
	free(call.uid);
	free(call.got_text);
	cJSON_Delete(call.got);
	cJSON_Delete(call.taken);
	return 0;
}
