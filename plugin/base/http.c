#include "plugin/base/http.h"

#include "plugin/base/fault.h"
#include "plugin/base/http_call.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

/* All header lines of one answer; servers that we ask send less than 1 KiB. */
#define HEADERS_MAX ((size_t)64 << 10)

/* Milliseconds; less than any connection is waited for. */
#define NAME_SERVER_TIME "700"

DEFINE_CLEANUP(CURLU, curl_url_cleanup)
#define cleanup_url CLEANUP(curl_url_cleanup_cleanup)

int http_open(struct http **ret, struct error *e)
{
	http_tls_begin();
	/* Counted by libcurl. */
	if (fault_point("http") < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(e, -EIO, ERROR_INTERNAL, "libcurl does not start");

	struct http *http = allocate(1, sizeof(*http));

	http->multi = curl_multi_init();
	if (!http->multi)
		abort();
	*ret = http;
	return 0;
}

void http_free(struct http *http)
{
	curl_multi_cleanup(http->multi);
	curl_global_cleanup();
	http_tls_free_all(http);
	free(http->sessions);
	free(http);
}

void http_keep_sessions(struct http *http, const char *folder)
{
	free(http->sessions);
	http->sessions = copy_text(folder);
}

/* --- what comes in --- */

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	struct http_reply *reply = &call->reply;
	size_t length = size * count;

	if (length > call->max_reply - reply->length) {
		call->broken = "the answer is too large";
		call->broken_as = HTTP_TOO_LARGE;
		return 0;
	}
	/* Doubled: a large body comes in pieces of 16 KiB. */
	if (call->size < reply->length + length + 1) {
		call->size = (reply->length + length) * 2 + 1;
		reply->body = reallocate(reply->body, call->size, 1);
	}
	memcpy(reply->body + reply->length, bytes, length);
	reply->length += length;
	reply->body[reply->length] = '\0';
	return length;
}

static bool is_header(const char *line, size_t length, const char *name)
{
	return length > strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t length = size * count;

	call->header_bytes += length;
	if (call->header_bytes > HEADERS_MAX) {
		call->broken = "the answer's headers are too large";
		call->broken_as = HTTP_TOO_LARGE;
		return 0;
	}
	if (is_header(line, length, "Date:")) {
		cleanup_free char *text = format_text("%.*s", (int)length - 5, line + 5);
		time_t date = curl_getdate(text, NULL);

		call->reply.date = date > 0 ? (int64_t)date : 0;
	}
	if (is_header(line, length, "Retry-After:"))
		call->asked_to_wait = true;
	return length;
}

/* --- the body of a call that has begun without it --- */

static size_t give_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;

	if (!call->body) {
		call->stands = true;
		return CURL_READFUNC_PAUSE;
	}

	size_t left = strlen(call->body) - call->body_sent;
	size_t length = left < size * count ? left : size * count;

	memcpy(bytes, call->body + call->body_sent, length);
	call->body_sent += length;
	call->body_begun = true;
	return length;
}

/* A connection that was used before, and closed meanwhile, is replaced: all is sent again. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
	struct http_call *call = arg;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_FAIL;
	call->body_sent = 0;
	return CURL_SEEKFUNC_OK;
}

static void set_body_later(struct http_call *call)
{
	call->body_later = true;
	curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_SEEKFUNCTION, rewind_body);
	curl_easy_setopt(call->easy, CURLOPT_SEEKDATA, call);
}

/* --- the start of a call --- */

static void add_header(struct http_call *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);

	if (!longer)
		abort();
	call->headers = longer;
}

static void set_headers(struct http_call *call, const struct http_request *request)
{
	bool typed = false;

	for (const char *const *line = request->headers; line && *line; line++) {
		typed |= strncasecmp(*line, "Content-Type:", strlen("Content-Type:")) == 0;
		add_header(call, *line);
	}
	if ((request->body || request->body_later) && !typed)
		add_header(call, "Content-Type: application/json");
	add_header(call, "Expect:"); /* libcurl would wait a second for leave to send a large body */
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_security(CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static long milliseconds(int64_t microseconds)
{
	int64_t ms = (microseconds + 999) / 1000;

	return ms > INT_MAX ? INT_MAX : ms < 1 ? 1 : (long)ms;
}

static void set_transfer(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->said);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name server beyond the deadline */
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "lamina/" LAMINA_VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request->connect_time));
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_reply);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	if (request->body) {
		call->body = copy_text(request->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(call->body));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
	} else if (request->body_later) {
		set_body_later(call);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static char *url_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;

	if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return NULL;

	char *copy = copy_text(text);

	curl_free(text);
	return copy;
}

static int bad_url(const char *text, struct error *e)
{
	return error_set(e, -EINVAL, ERROR_INTERNAL, "%.200s is no http:// or https:// URL", text);
}

/* With a server name the URL says that, and the connection goes where the URL would have gone. */
static int set_url(struct http_call *call, const char *text, const char *server_name, struct error *e)
{
	cleanup_url CURLU *url = curl_url();

	if (curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) != CURLUE_OK)
		return bad_url(text, e);

	cleanup_free char *scheme = url_part(url, CURLUPART_SCHEME);
	cleanup_free char *host = url_part(url, CURLUPART_HOST);
	cleanup_free char *port = url_part(url, CURLUPART_PORT);

	if (!scheme || !host || !port || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return bad_url(text, e);
	call->place = format_text("%s:%s", host, port);
	if (server_name) {
		cleanup_free char *way = format_text("%s:%s:%s:%s", server_name, port, host, port);
		cleanup_free char *header = format_text("Host: %s:%s", host, port);

		if (curl_url_set(url, CURLUPART_HOST, server_name, 0) != CURLUE_OK)
			return error_set(e, -EINVAL, ERROR_INTERNAL, "%.200s is no name of a server", server_name);
		call->connect_to = curl_slist_append(NULL, way);
		curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
		add_header(call, header);
	}

	cleanup_free char *whole = url_part(url, CURLUPART_URL);

	if (!whole || curl_easy_setopt(call->easy, CURLOPT_URL, whole) != CURLE_OK)
		return bad_url(text, e);
	return 0;
}

/* libcurl counts from the start of the transfer. */
static void set_deadline(struct http_call *call, int64_t deadline)
{
	call->deadline = deadline;
	curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, milliseconds(deadline - call->began));
}

bool http_begin(struct http_call *call)
{
	call->began = clock_now();
	set_deadline(call, call->deadline);
	return curl_multi_add_handle(call->http->multi, call->easy) == CURLM_OK;
}

static bool start_again(struct http_call *call)
{
	if (clock_left(call->deadline) == 0)
		return false;
	call->again = true;
	call->body_sent = 0;
	curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
	return http_begin(call);
}

static void perform(struct http *http)
{
	int n;
	const CURLMsg *message;

	curl_multi_perform(http->multi, &n);
	while ((message = curl_multi_info_read(http->multi, &n))) {
		struct http_call *call = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		curl_multi_remove_handle(http->multi, call->easy);
		if (http_wants_again(call, code) && start_again(call))
			continue;
		http_end(call, code);
		http_share_leave(call);
	}
}

void http_progress(struct http *http)
{
	do
		perform(http);
	while (http_share_begin(http));
}

/*
 * c-ares waits 5 seconds for a name server before it asks the next one: by then a try is over. It looks for something
 * else where a handle is made, and only there; it has no threads that the variable could disturb, and no program that
 * we start sees it.
 */
static CURL *new_handle(void)
{
	const bool patient = curl_version_info(CURLVERSION_NOW)->ares && !getenv("RES_OPTIONS");

	if (patient)
		setenv("RES_OPTIONS", "retrans:" NAME_SERVER_TIME, 1);

	CURL *easy = curl_easy_init();

	if (patient)
		unsetenv("RES_OPTIONS");
	return easy;
}

int http_start(struct http *http, const struct http_request *request, struct http_call **ret, struct error *e)
{
	cleanup_http_call struct http_call *call = allocate(1, sizeof(*call));
	const struct http_identity *identity = request->identity;

	call->http = http;
	call->reply.retry_after = -1;
	call->max_reply = request->max_reply;
	call->began = clock_now();
	call->easy = new_handle();
	if (!call->easy)
		return error_set(e, -ENOMEM, ERROR_INTERNAL, "libcurl gives no handle");

	int r = set_url(call, request->url, identity ? identity->server_name : NULL, e);

	if (r < 0)
		return r;
	if (clock_left(request->deadline) == 0) {
		http_end_as(call, HTTP_TIMEOUT, "no time is left");
	} else if (http_set_identity(call, request->url, identity)) {
		set_security(call->easy);
		set_headers(call, request);
		set_transfer(call, request);
		call->deadline = request->deadline;
		if (request->shares)
			http_share_join(call);
		else if (!http_begin(call))
			return error_set(e, -EIO, ERROR_INTERNAL, "libcurl does not take the call");
		http_progress(http);
	}
	*ret = steal_ptr(call);
	return 0;
}

bool http_send(struct http_call *call, const char *body, int64_t deadline)
{
	if (call->done)
		return false;
	call->body = copy_text(body);
	set_deadline(call, deadline);
	curl_easy_pause(call->easy, CURLPAUSE_CONT);
	return true;
}

/* Until it has ended or, where that is enough, its connection stands. */
static void advance(struct http_call *call, bool until_it_stands)
{
	while (!call->done && !(until_it_stands && call->stands)) {
		http_progress(call->http);
		if (!call->done && !(until_it_stands && call->stands))
			curl_multi_poll(call->http->multi, NULL, 0, clock_left(call->deadline) + 1, NULL);
	}
}

void http_stand(struct http_call *call)
{
	advance(call, true);
}

void http_await(struct http_call *call, struct http_reply *ret)
{
	advance(call, false);
	*ret = call->reply;
	call->reply = (struct http_reply){0};
}

void http_call_free(struct http_call *call)
{
	http_share_leave(call);
	if (call->easy) {
		curl_multi_remove_handle(call->http->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->connect_to);
	free(call->body);
	free(call->place);
	http_reply_clear(&call->reply);
	free(call);
}

void http_reply_clear(struct http_reply *reply)
{
	free(reply->body);
	free(reply->reason);
	*reply = (struct http_reply){0};
}
