#include "plugin/base/http_tls.h"

#include "plugin/base/http_call.h"
#include "plugin/base/http_tls_session.h"
#include "plugin/base/log.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

struct http_tls {
	struct http_tls *next;
	char *name; /* "host:port", for the trace */
	struct http_tls_place place;
	SSL_SESSION *offered, *fresh; /* NULL: none */
	bool begun, done;
	int alert;
};

/* To take all of it apart at the end takes as long as a connection does, and nobody has anything of it. */
void http_tls_begin(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

/* --- what a connection is bound to --- */

/* Texts have no NUL inside: with the one behind each, no two lists of texts are the same bytes. */
static void hash_texts(const char *const *texts, size_t count, unsigned char ret[HTTP_TLS_SECRET])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		abort();
	for (size_t i = 0; i < count; i++) {
		const char *text = texts[i] ? texts[i] : "";

		EVP_DigestUpdate(ctx, text, strlen(text) + 1);
	}
	EVP_DigestFinal_ex(ctx, ret, NULL);
	EVP_MD_CTX_free(ctx);
}

/* By names, so that what was made with an earlier certificate is replaced; the secret is of what lies behind them. */
static char *session_path(const struct http_call *call)
{
	const struct http_identity *names = &call->names;
	const char *texts[] = {call->place, names->server_name, names->ca_file, names->cert_file, names->key_file};
	unsigned char hash[HTTP_TLS_SECRET];
	uint64_t number;

	hash_texts(texts, ARRAY_SIZE(texts), hash);
	memcpy(&number, hash, sizeof(number));
	return format_text("%s/tls-%016llx", call->http->sessions, (unsigned long long)number);
}

/* --- what OpenSSL tells --- */

static void begin(struct http_tls *tls, SSL *ssl)
{
	cleanup_free char *step = format_text("TLS with %s begins", tls->name);

	tls->begun = true;
	trace_step(step);
	if (tls->offered)
		SSL_set_session(ssl, tls->offered);
}

static void end(struct http_tls *tls, const SSL *ssl)
{
	cleanup_free char *step = format_text(
		"%s with %s stands%s", SSL_get_version(ssl), tls->name, SSL_session_reused(ssl) ? ", resumed" : "");

	tls->done = true;
	trace_step(step);
}

static void hear(const SSL *ssl, int where, int what)
{
	struct http_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	union {
		const SSL *told;
		SSL *ours; /* it is the connection's own */
	} handle = {ssl};

	if (where == SSL_CB_READ_ALERT)
		tls->alert = what & 0xff;
	else if (where == SSL_CB_HANDSHAKE_START && !tls->begun)
		begin(tls, handle.ours);
	else if (where == SSL_CB_HANDSHAKE_DONE && !tls->done)
		end(tls, ssl);
}

/* A resumed connection gets new tickets, too: they say nothing new about who the server is. */
static int take_session(SSL *ssl, SSL_SESSION *session)
{
	struct http_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (SSL_session_reused(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return 0;
	SSL_SESSION_free(tls->fresh);
	tls->fresh = session;
	return 1;
}

/* libcurl opens a connection for this call. */
static CURLcode prepare(CURL *easy, void *ctx, void *arg)
{
	struct http_call *call = arg;
	struct http_tls *tls = allocate(1, sizeof(*tls));

	(void)easy;
	tls->name = copy_text(call->place);
	tls->next = call->http->tls;
	call->http->tls = tls;
	call->tls = tls;
	SSL_CTX_set_app_data(ctx, tls);
	SSL_CTX_set_info_callback(ctx, hear);
	if (!call->http->sessions || !call->bound)
		return CURLE_OK;
	tls->place.path = session_path(call);
	memcpy(tls->place.secret, call->secret, sizeof(tls->place.secret));
	if (!call->again)
		tls->offered = http_tls_session_read(&tls->place);
	SSL_CTX_sess_set_new_cb(ctx, take_session);
	return CURLE_OK;
}

void http_tls_prepare(struct http_call *call, const char *ca, const char *cert, const char *key)
{
	const char *texts[] = {call->place, call->names.server_name, ca, cert, key};

	_Static_assert(sizeof(call->secret) == HTTP_TLS_SECRET, "the secret is a hash");
	/* What the system trusts is no text of ours. */
	call->bound = ca != NULL;
	hash_texts(texts, ARRAY_SIZE(texts), call->secret);
	curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_FUNCTION, prepare);
	curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_DATA, call);
	/* libcurl's own memory would bring in sessions that are not ours. */
	if (call->http->sessions)
		curl_easy_setopt(call->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

int http_tls_alert(const struct http_tls *tls)
{
	return tls ? tls->alert : 0;
}

bool http_tls_forget(struct http_tls *tls)
{
	if (!tls || !tls->offered || tls->done)
		return false;
	unlink(tls->place.path);
	return true;
}

void http_tls_keep(struct http_tls *tls)
{
	if (!tls || !tls->fresh)
		return;
	http_tls_session_write(&tls->place, tls->fresh);
	SSL_SESSION_free(tls->fresh);
	tls->fresh = NULL;
}

void http_tls_free_all(struct http *http)
{
	for (struct http_tls *tls = http->tls, *next; tls; tls = next) {
		next = tls->next;
		SSL_SESSION_free(tls->offered);
		SSL_SESSION_free(tls->fresh);
		OPENSSL_cleanse(tls->place.secret, sizeof(tls->place.secret));
		free(tls->place.path);
		free(tls->name);
		free(tls);
	}
	http->tls = NULL;
}
