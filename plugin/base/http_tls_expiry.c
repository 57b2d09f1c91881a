#include "plugin/base/http_tls_expiry.h"

#include "plugin/base/http_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

static int read_end(const X509 *cert, const char *what, int64_t *ret, struct error *e)
{
	struct tm tm = {0};

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: a certificate's end is no date", what);
	*ret = (int64_t)timegm(&tm);
	return 0;
}

static int read_all(BIO *bio, const char *what, int64_t *ret_first, int64_t *ret_last, struct error *e)
{
	X509 *cert;
	int64_t first = 0, last = 0, end = 0;
	size_t count = 0;

	while (!e->err && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (read_end(cert, what, &end, e) == 0) {
			first = count++ ? first : end;
			last = end > last ? end : last;
		}
		X509_free(cert);
	}
	if (e->err)
		return e->err;
	/* What ends the text is an error of its own; any other is one of a certificate in it. */
	if (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: %s", what,
			count ? "one of its certificates cannot be read"
			      : "there is no certificate in it that can be read");
	*ret_first = first;
	*ret_last = last;
	return 0;
}

int http_tls_expiry(const char *pem, const char *what, int64_t *ret_first, int64_t *ret_last, struct error *e)
{
	http_tls_begin();

	BIO *bio = BIO_new_mem_buf(pem, -1);

	if (!bio)
		abort();

	int r = read_all(bio, what, ret_first, ret_last, e);

	BIO_free(bio);
	ERR_clear_error();
	return r;
}
