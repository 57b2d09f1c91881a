#include "plugin/base/http_call.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define REASON_MAX 300

/* One line, without what could fool a terminal or a log. */
static void set_reason(struct http_call *call, const char *text)
{
	char *reason = format_text("%s: %.*s", call->place, REASON_MAX, text);

	for (char *c = reason; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	free(call->reply.reason);
	call->reply.reason = reason;
}

void http_end_as(struct http_call *call, enum http_failure failure, const char *text)
{
	call->reply.failure = failure;
	set_reason(call, text);
	call->done = true;
}

void http_end_own(struct http_call *call, enum http_own own, const char *text)
{
	call->reply.own = own;
	http_end_as(call, HTTP_OWN, text);
}

/* The alerts (RFC 8446 6.2) by which a server says that it does not want us. */
static const struct {
	int number;
	const char *name; /* as OpenSSL says it */
} rejections[] = {
	{40, "handshake failure"},
	{42, "bad certificate"},
	{43, "unsupported certificate"},
	{44, "certificate revoked"},
	{45, "certificate expired"},
	{46, "certificate unknown"},
	{48, "unknown ca"},
	{49, "access denied"},
	{116, "certificate required"},
};

/* Which of them the server sent; NULL: none. */
static const char *find_rejection(const struct http_call *call)
{
	const char *alert = strstr(call->said, "alert ");
	int number = http_tls_alert(call->tls);

	for (size_t i = 0; i < ARRAY_SIZE(rejections); i++) {
		const char *name = rejections[i].name;

		if (number == rejections[i].number)
			return name;
		if (alert && strncmp(alert + strlen("alert "), name, strlen(name)) == 0)
			return name;
	}
	return NULL;
}

static bool is_new_connection(const struct http_call *call)
{
	long connections = 0;

	curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connections);
	return connections > 0;
}

bool http_wants_again(const struct http_call *call, CURLcode code)
{
	long bytes = 0;

	if (code == CURLE_SSL_CONNECT_ERROR && !call->again && http_tls_forget(call->tls))
		return true;
	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &bytes);
	return code == CURLE_SEND_ERROR && bytes == 0 && !call->again && is_new_connection(call) &&
	       !find_rejection(call);
}

/* The time of a lookup that has ended is never 0. */
static bool is_resolved(const struct http_call *call)
{
	curl_off_t time = 0;

	curl_easy_getinfo(call->easy, CURLINFO_NAMELOOKUP_TIME_T, &time);
	return time > 0;
}

static enum http_failure classify(const struct http_call *call, CURLcode code)
{
	const char *said = call->said;

	if (http_tls_own(call->tls))
		return HTTP_OWN;
	if (find_rejection(call))
		return HTTP_REJECTED;
	/* Only what is asked for counts: other codes are a connection that was lost in some way. */
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_NAME;
	case CURLE_COULDNT_CONNECT:
		return HTTP_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return is_resolved(call) ? HTTP_TIMEOUT : HTTP_NAME;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_ISSUER_ERROR:
		return HTTP_PEER;
	case CURLE_SSL_CACERT_BADFILE:
		return HTTP_OWN;
	case CURLE_FILESIZE_EXCEEDED:
		return HTTP_TOO_LARGE;
	case CURLE_UNSUPPORTED_PROTOCOL: /* an answer without a status line would be HTTP/0.9 */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_TOO_MANY_REDIRECTS:
		return HTTP_GARBAGE;
	case CURLE_SSL_CONNECT_ERROR:
		return strstr(said, "wrong version number") || strstr(said, "packet length too long") ? HTTP_GARBAGE
												      : HTTP_LOST;
	default:
		return HTTP_LOST;
	}
}

/* Whether a byte of the request may have left. A server that refuses our certificate never reads what came behind it,
 * on the connection that this call opened. */
static bool was_sent(const struct http_call *call, CURLcode code, enum http_failure failure)
{
	long bytes = 0;
	curl_off_t began = 0;

	if (call->body_later && !call->body_begun)
		return false;
	if (code == CURLE_OK)
		return true;
	curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &bytes);
	curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &began);
	if (failure == HTTP_REJECTED && is_new_connection(call))
		return false;
	return bytes > 0 || began > 0;
}

static void set_own_reason(struct http_call *call)
{
	static const char *const reasons[] = {
		[HTTP_OWN_CA] = "there is no CA certificate in it",
		[HTTP_OWN_CERT] = "it is no PEM certificate, or too weak",
		[HTTP_OWN_KEY] = "it is no PEM key, or does not belong to the certificate",
	};
	static const char *const kinds[] = {
		[HTTP_OWN_CA] = "CA certificates", [HTTP_OWN_CERT] = "certificate", [HTTP_OWN_KEY] = "key"};
	const struct http_identity *names = &call->names;
	/* The rest has been loaded by us: libcurl loads nothing but the system's list. */
	enum http_own own = http_tls_own(call->tls) ? http_tls_own(call->tls) : HTTP_OWN_CA;
	const char *file = own == HTTP_OWN_CA                       ? names->ca_file
			   : own == HTTP_OWN_KEY && names->key_file ? names->key_file
								    : names->cert_file;
	cleanup_free char *text = format_text(
		"our own %s%s%s cannot be used: %s", kinds[own], file ? " in " : "", file ? file : "", reasons[own]);

	http_end_own(call, own, text);
}

static const char *failure_text(const struct http_call *call, CURLcode code, enum http_failure failure, bool sent)
{
	long os = 0;

	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os);
	switch (failure) {
	case HTTP_NAME:
		return code == CURLE_OPERATION_TIMEDOUT ? "the name was not resolved in time"
							: "the name cannot be resolved";
	case HTTP_REFUSED:
		return os == ECONNREFUSED ? "connection refused" : os > 0 ? strerror((int)os) : "no connection";
	case HTTP_TIMEOUT:
		return sent ? "no answer in time" : "no connection in time";
	case HTTP_TOO_LARGE:
		return "the answer is too large";
	case HTTP_LOST:
		if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE)
			return "the connection was closed before the whole answer";
		if (os == ECONNRESET)
			return "the connection was reset";
		break;
	case HTTP_GARBAGE:
		return "the answer is not HTTP (or, with https, not TLS)";
	case HTTP_REJECTED:
	case HTTP_OK:
	case HTTP_PEER:
	case HTTP_OWN:
		break;
	}
	return *call->said ? call->said : curl_easy_strerror(code);
}

static void finish_ok(struct http_call *call)
{
	struct http_reply *reply = &call->reply;
	long status = 0;
	curl_off_t wait = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &wait);
	if (call->asked_to_wait)
		reply->retry_after = wait > INT_MAX ? INT_MAX : wait < 0 ? 0 : (int)wait;
	if (status < 100 || status > 599) {
		http_end_as(call, HTTP_GARBAGE, "the answer has no HTTP status");
		return;
	}
	reply->failure = HTTP_OK;
	reply->status = (int)status;
	call->done = true;
}

void http_end(struct http_call *call, CURLcode code)
{
	enum http_failure failure = call->broken ? call->broken_as : code == CURLE_OK ? HTTP_OK : classify(call, code);

	call->reply.sent = was_sent(call, call->broken ? CURLE_OK : code, failure);
	if (call->broken) {
		http_end_as(call, failure, call->broken);
	} else if (failure == HTTP_OK) {
		http_tls_keep(call->tls);
		finish_ok(call);
	} else if (failure == HTTP_REJECTED) {
		cleanup_free char *text = format_text("the server's TLS alert says: %s", find_rejection(call));

		http_end_as(call, failure, text);
	} else if (failure == HTTP_OWN) {
		set_own_reason(call);
	} else {
		http_end_as(call, failure, failure_text(call, code, failure, call->reply.sent));
	}
}
