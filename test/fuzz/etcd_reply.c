/* Any bytes as a member's answer: the first says its status, or what became of the call, and which user asks. What is
 * accepted must be readable as a transaction's reply. */
#include "ipam/etcd_reply.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void walk(const cJSON *reply, int depth)
{
	struct etcd_kv *kvs = NULL;
	size_t count = 0;
	cleanup_error struct error e = {0};

	(void)etcd_succeeded(reply);
	if (etcd_count(reply) < 0)
		abort();
	if (etcd_kvs(reply, &kvs, &count, &e) >= 0) {
		for (size_t i = 0; i < count; i++) {
			if (!kvs[i].key || !kvs[i].value || kvs[i].created < 0 || kvs[i].changed < 0)
				abort();
		}
		etcd_kvs_free(kvs, count);
	} else if (e.code != ERROR_DECODE) {
		abort();
	}
	for (size_t i = 0; depth < 8 && i < 8; i++) {
		const cJSON *response = etcd_response(reply, i);

		if (response)
			walk(response, depth + 1);
	}
}

static char *text_of(const uint8_t *bytes, size_t length)
{
	char *text = allocate(length + 1, 1);

	for (size_t i = 0; i < length && bytes[i] >= ' ' && bytes[i] <= '~'; i++)
		text[i] = (char)bytes[i];
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const int statuses[] = {200, 200, 200, 400, 401, 404, 429, 503};
	static char url[] = "https://192.168.122.11:2379", name[] = "lamina", file[] = "/etc/etcd/file";
	static char *urls[] = {url};
	static const struct etcd_config configs[] = {
		{0},
		{.endpoints = urls, .endpoint_count = 1, .cert_file = file, .key_file = file, .ca_file = file},
		{.endpoints = urls, .endpoint_count = 1, .username = name, .password_file = file},
	};
	cleanup_error struct error e = {0};
	cleanup_json cJSON *reply = NULL;
	struct http_reply http = {.sent = true};
	bool sent;

	if (length < 1)
		return 0;

	const struct etcd_config *config = &configs[bytes[0] / 32 % ARRAY_SIZE(configs)];
	size_t way = bytes[0] % 32 % (ARRAY_SIZE(statuses) + HTTP_GARBAGE);

	if (way < ARRAY_SIZE(statuses)) {
		http.status = statuses[way];
	} else {
		http.failure = (enum http_failure)(way - ARRAY_SIZE(statuses) + 1);
		http.own = (enum http_own)(length % 4);
		/* http.c's is one clean line: as much of what came as can be. */
		http.reason = text_of(bytes + 1, length - 1);
	}
	http.length = length - 1;
	/* A copy of exactly that length and the NUL that http.c puts there, so that the sanitizer sees a read behind
	 * it. */
	http.body = allocate(length, 1);
	memcpy(http.body, bytes + 1, length - 1);

	enum etcd_verdict verdict = etcd_reply_read(config, "https://192.168.122.11:2379", &http, &reply, &sent, &e);

	free(http.body);
	free(http.reason);
	if ((verdict == ETCD_GOOD) != (reply != NULL) || (verdict == ETCD_GOOD) != (e.err == 0))
		abort();
	if (e.err && (!e.message || strpbrk(e.message, "\r\n")))
		abort();
	/* libFuzzer knows the word, too. */
	if (e.err && strstr(e.message, "(null)") && !memmem(bytes, length, "(null)", strlen("(null)")))
		abort();
	if (reply)
		walk(reply, 0);
	return 0;
}
