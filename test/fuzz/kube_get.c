/*
 * Any bytes as what the API server sends, before it is known to be a pod or a list: the first byte chooses how the
 * transfer ended, the second what was asked for. What is taken is of that kind; what is not is one line, and never
 * shows the token.
 */
#include "delegate/kube_get.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

#define TOKEN "secret-token"
/* What stands in /proc/sys/kernel/ostype. */
#define FILE_TOKEN "Linux"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int __wrap_http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e);
void __wrap_http_await(struct http_call *call, struct http_reply *ret);
void __wrap_http_call_free(struct http_call *call);

/* In place of http.c's: the answer that comes. */
struct http_call {
	const uint8_t *bytes;
	size_t length;
	uint8_t way;
};

int __wrap_http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e)
{
	(void)e;
	if (strncmp(request->url, "https://10.0.0.1:6443/", 22) != 0)
		abort();
	*ret = (struct http_call *)(void *)http;
	return 0;
}

void __wrap_http_await(struct http_call *call, struct http_reply *ret)
{
	static const int statuses[] = {200, 200, 200, 404, 401, 403, 410, 429, 503, 301, 400, 201, 409, 422};
	/* Each status, then each failure. */
	size_t way = call->way % (ARRAY_SIZE(statuses) + HTTP_GARBAGE);

	*ret = (struct http_reply){.retry_after = -1, .date = 1700000000};
	ret->body = allocate(call->length + 1, 1);
	if (call->length)
		memcpy(ret->body, call->bytes, call->length);
	ret->length = call->length;
	if (way < ARRAY_SIZE(statuses)) {
		ret->status = statuses[way];
		return;
	}
	ret->failure = (enum http_failure)(way - ARRAY_SIZE(statuses) + 1);
	ret->own = (enum http_own)(call->length % 4);
	ret->reason = copy_text("10.0.0.1:6443: it failed");
}

void __wrap_http_call_free(struct http_call *call)
{
	(void)call;
}

static void check_error(const struct error *e, const char *token)
{
	if ((e->code != ERROR_TRY_AGAIN && e->code != ERROR_CONFIG) || !e->message || strpbrk(e->message, "\r\n\x1b") ||
		(token && strstr(e->message, token)) || strlen(e->message) > 4096)
		abort();
}

/* change NULL: a GET. */
static void ask(struct kube *kube, const struct kube_query *query, const struct kube_change *change)
{
	cleanup_kube_get struct kube_get *get = NULL;
	cleanup_error struct error e = {0};
	struct kube_answer answer;

	if ((change ? kube_send_start(kube, query, change, &get, &e) : kube_get_start(kube, query, &get, &e)) < 0)
		abort();
	if (kube_get_await(get, &answer, &e) < 0)
		check_error(&e, kube->config->token_file ? FILE_TOKEN : kube->config->token);
	else if (answer.json ? strcmp(json_text(answer.json, "kind"), query->kind) != 0 : !query->name)
		abort();
	cJSON_Delete(answer.json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct kube_query queries[] = {
		{"pod default/web-0", "/api/v1/namespaces/default/pods/web-0", "pods", "web-0", "Pod", 4096},
		{"pods", "/api/v1/pods", "pods", NULL, "PodList", 1 << 20},
		{"NetworkAttachmentDefinition default/n",
			"/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/n",
			"network-attachment-definitions.k8s.cni.cncf.io", "n", "NetworkAttachmentDefinition", 4096},
	};
	static const struct kube_change change = {
		.method = "PATCH", .type = "application/merge-patch+json", .body = "{}", .right = "patch pods/status"};
	static char path[] = "/kubeconfig", server[] = "https://10.0.0.1:6443", token[] = TOKEN,
		    file[] = "/proc/sys/kernel/ostype";
	static const struct kubeconfig configs[] = {
		{.path = path, .server = server, .token = token},
		{.path = path, .server = server, .cert_file = file, .key_file = file},
		{.path = path, .server = server, .token_file = file},
		{.path = path, .server = server},
	};

	if (length < 2)
		return 0;

	struct http_call call = {.bytes = bytes + 2, .length = length - 2, .way = bytes[0]};
	/* Too little time for a second try, but for one without a pause. */
	struct kube kube = {.config = &configs[bytes[1] / 2 % ARRAY_SIZE(configs)],
		.http = (struct http *)(void *)&call,
		.deadline = clock_now() + SECONDS / 50};

	log_open(LOG_ERROR, false);
	ask(&kube, &queries[bytes[1] & 0x40 ? 2 : bytes[1] & 1], bytes[1] & 0x20 ? &change : NULL);
	return 0;
}
