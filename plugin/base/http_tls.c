#include "plugin/base/http_tls.h"

#include "plugin/base/http_call.h"
#include "plugin/base/http_tls_session.h"
#include "plugin/base/log.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct http_tls {
	struct http_tls *next;
	char *name; /* "host:port" */
	char *ca, *cert, *key;
	enum http_own own; /* what of these cannot be used */
	struct http_tls_place place;
	SSL_SESSION *offered, *fresh; /* NULL: none */
	bool begun, done;
	int alert;
};

/* To take all of it apart at the end takes as long as a connection does, and nobody has anything of it. The old names
 * of ciphers are for encrypted keys, which are refused. */
void http_tls_begin(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_ADD_ALL_CIPHERS, NULL);
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

/* --- what is read when it is needed --- */

static int give_no_password(char *bytes, int size, int writing, void *arg)
{
	(void)bytes, (void)size, (void)writing, (void)arg;
	return -1;
}

static BIO *open_text(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);

	if (!bio)
		abort();
	return bio;
}

static bool add_authorities(const char *text, X509_STORE *store)
{
	BIO *bio = open_text(text);
	STACK_OF(X509_INFO) *list = PEM_X509_INFO_read_bio(bio, NULL, give_no_password, NULL);
	int count = 0;

	for (int i = 0; list && i < sk_X509_INFO_num(list); i++) {
		X509_INFO *info = sk_X509_INFO_value(list, i);

		count += info->x509 && X509_STORE_add_cert(store, info->x509) == 1;
	}
	sk_X509_INFO_pop_free(list, X509_INFO_free);
	BIO_free(bio);
	return count > 0;
}

/* The server has shown its certificates. */
static int verify(X509_STORE_CTX *ctx, void *arg)
{
	struct http_tls *tls = arg;

	if (add_authorities(tls->ca, X509_STORE_CTX_get0_store(ctx)))
		return X509_verify_cert(ctx);
	tls->own = HTTP_OWN_CA;
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT);
	return 0;
}

/* With all that stand behind it, up to its authority. */
static bool use_certificate(SSL *ssl, const char *text)
{
	BIO *bio = open_text(text);
	X509 *cert = PEM_read_bio_X509(bio, NULL, give_no_password, NULL);
	bool good = cert && SSL_use_certificate(ssl, cert) == 1;

	X509_free(cert);
	while (good && (cert = PEM_read_bio_X509(bio, NULL, give_no_password, NULL)))
		good = SSL_add0_chain_cert(ssl, cert) == 1;
	/* What ends the text is an error of its own; any other is one of a certificate in the chain. */
	good = good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(bio);
	ERR_clear_error();
	return good;
}

static bool use_key(SSL *ssl, const char *text)
{
	BIO *bio = open_text(text);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_no_password, NULL);
	bool good = key && SSL_use_PrivateKey(ssl, key) == 1 && SSL_check_private_key(ssl) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

/* The server wants to know who we are. */
static int show_certificate(SSL *ssl, void *arg)
{
	struct http_tls *tls = arg;

	tls->own = !use_certificate(ssl, tls->cert) ? HTTP_OWN_CERT
		   : !use_key(ssl, tls->key)        ? HTTP_OWN_KEY
						    : HTTP_OWN_NONE;
	return tls->own == HTTP_OWN_NONE;
}

/* --- a connection --- */

/* A store of its own: what else libcurl may have put into its one would be trusted, too. */
static void trust(struct http_tls *tls, SSL_CTX *ctx)
{
	X509_STORE *store = X509_STORE_new();

	if (!store)
		abort();
	X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set0_verify_cert_store(ctx, store);
	SSL_CTX_set_cert_verify_callback(ctx, verify, tls);
}

/* libcurl opens a connection for this call: the first one, or another one in its place. */
static CURLcode prepare(CURL *easy, void *ctx, void *arg)
{
	struct http_call *call = arg;
	struct http_tls *tls = call->tls;

	(void)easy;
	tls->begun = tls->done = false;
	tls->alert = 0;
	SSL_SESSION_free(tls->offered);
	tls->offered = tls->place.path && !call->again ? http_tls_session_read(&tls->place) : NULL;
	SSL_CTX_set_app_data(ctx, tls);
	SSL_CTX_set_info_callback(ctx, hear);
	if (tls->ca)
		trust(tls, ctx);
	if (tls->cert)
		SSL_CTX_set_cert_cb(ctx, show_certificate, tls);
	if (tls->place.path)
		SSL_CTX_sess_set_new_cb(ctx, take_session);
	return CURLE_OK;
}

/* libcurl does not see what our connections are bound to: it must not take one of somebody else's. */
static bool is_ambiguous(const struct http_tls *tls)
{
	for (const struct http_tls *other = tls->next; other; other = other->next) {
		if (strcasecmp(other->name, tls->name) == 0 &&
			memcmp(other->place.secret, tls->place.secret, sizeof(tls->place.secret)) != 0)
			return true;
	}
	return false;
}

void http_tls_prepare(struct http_call *call, const char *ca, const char *cert, const char *key)
{
	const char *texts[] = {call->place, call->names.server_name, ca, cert, key};
	struct http_tls *tls = allocate(1, sizeof(*tls));

	tls->name = copy_text(call->place);
	tls->ca = copy_text(ca);
	tls->cert = copy_text(cert);
	tls->key = copy_text(key);
	hash_texts(texts, ARRAY_SIZE(texts), tls->place.secret);
	/* What the system trusts is no text of ours. */
	if (call->http->sessions && ca)
		tls->place.path = session_path(call);
	tls->next = call->http->tls;
	call->http->tls = tls;
	call->tls = tls;
	curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_FUNCTION, prepare);
	curl_easy_setopt(call->easy, CURLOPT_SSL_CTX_DATA, call);
	curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, is_ambiguous(tls) ? 1L : 0L);
	/* libcurl's own memory would bring in sessions that are not ours. */
	curl_easy_setopt(call->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

enum http_own http_tls_own(const struct http_tls *tls)
{
	return tls ? tls->own : HTTP_OWN_NONE;
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
		if (tls->key)
			OPENSSL_cleanse(tls->key, strlen(tls->key));
		free(tls->ca);
		free(tls->cert);
		free(tls->key);
		SSL_SESSION_free(tls->offered);
		SSL_SESSION_free(tls->fresh);
		OPENSSL_cleanse(tls->place.secret, sizeof(tls->place.secret));
		free(tls->place.path);
		free(tls->name);
		free(tls);
	}
	http->tls = NULL;
}
