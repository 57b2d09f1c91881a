#include "plugin/base/file.h"
#include "plugin/base/http_call.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A certificate with its whole chain has a few KiB; a system's bundle of CAs has 200. */
#define PEM_MAX ((size_t)1 << 20)

/* Where distributions keep theirs (Go's crypto/x509 looks there, too). */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
	"/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL */
	"/etc/ssl/ca-bundle.pem",                            /* SUSE */
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL 7 and later */
	"/etc/ssl/cert.pem",                                 /* Alpine */
};

/* A PEM text: given, or read from its file. False when the call has ended because of it. */
static bool load_pem(struct http_call *call, enum http_own own, const char *pem, const char *file, char **ret)
{
	static const char *const kinds[] = {
		[HTTP_OWN_CA] = "CA certificate", [HTTP_OWN_CERT] = "certificate", [HTTP_OWN_KEY] = "private key"};
	cleanup_error struct error e = {0};
	cleanup_free char *text = copy_text(pem);
	cleanup_free char *why = NULL;

	if (!text && file && file_read(file, PEM_MAX, &text, NULL, &e) < 0)
		why = copy_text(e.message);
	else if (text && own == HTTP_OWN_KEY && strstr(text, "ENCRYPTED"))
		why = format_text("the private key%s%s is encrypted: decrypt it (openssl pkey), nobody is here to type "
				  "its pass phrase",
			file ? " in " : "", file ? file : "");
	else if (text && !strstr(text, own == HTTP_OWN_KEY ? "PRIVATE KEY-----" : "CERTIFICATE-----"))
		why = format_text("there is no PEM %s%s%s", kinds[own], file ? " in " : "", file ? file : "");
	if (why) {
		http_end_own(call, own, why);
		return false;
	}
	*ret = steal_ptr(text);
	return true;
}

/* The system's, whichever distribution it is, and whichever one libcurl was built for. */
static bool set_system_ca(struct http_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(bundles); i++) {
		if (access(bundles[i], R_OK) < 0)
			continue;
		curl_easy_setopt(call->easy, CURLOPT_CAINFO, bundles[i]);
		curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
		return true;
	}

	cleanup_free char *text =
		format_text("no CA certificate is given, and this system has none (%s, ...)", bundles[0]);

	http_end_own(call, HTTP_OWN_CA, text);
	return false;
}

static bool is_https(const char *url)
{
	return strncasecmp(url, "https:", strlen("https:")) == 0;
}

/* Files are read here, not by libcurl: it would name none of them. What is in them is used when it is needed. */
bool http_set_identity(struct http_call *call, const char *url, const struct http_identity *identity)
{
	static const struct http_identity nobody = {0};
	cleanup_free char *ca = NULL, *cert = NULL, *key = NULL;

	if (!identity)
		identity = &nobody;

	/* A key may lie in its certificate's file. */
	bool own_key = identity->key_pem || identity->key_file;

	if (!load_pem(call, HTTP_OWN_CA, identity->ca_pem, identity->ca_file, &ca) ||
		!load_pem(call, HTTP_OWN_CERT, identity->cert_pem, identity->cert_file, &cert))
		return false;
	if (cert && !load_pem(call, HTTP_OWN_KEY, own_key ? identity->key_pem : identity->cert_pem,
			    own_key ? identity->key_file : identity->cert_file, &key))
		return false;
	if (ca) {
		/* Else the system's CAs would be good, too. */
		curl_easy_setopt(call->easy, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
	} else if (is_https(url) && !set_system_ca(call)) {
		return false;
	}
	call->names = *identity;
	if (is_https(url))
		http_tls_prepare(call, ca, cert, key);
	return true;
}
