#include "plugin/base/http_tls_session.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <fcntl.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A full handshake proves who the server is; for longer than this its word is not taken. */
#define AGE_MAX 3600

/* With the server's certificate, and a ticket that has ours. */
#define FILE_MAX ((size_t)64 << 10)

/*
 * The file: this, and the session as OpenSSL writes it. The code is over the session, by the secret: one that is
 * damaged, or was made with another CA, certificate or key, or for another server, has another one.
 */
struct head {
	char magic[16];
	unsigned char code[32];
};

static const char magic[16] = "lamina tls 1\n";

static bool authenticate(
	const struct http_tls_place *place, const unsigned char *bytes, size_t length, unsigned char code[32])
{
	return HMAC(EVP_sha256(), place->secret, sizeof(place->secret), bytes, length, code, NULL) != NULL;
}

/* A regular file that nobody else can read or write, and could not have put there. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

/* The time of a session is that of its full handshake: others are not written. */
static bool may_be_resumed(SSL_SESSION *session)
{
	const X509 *peer = SSL_SESSION_get0_peer(session);
	int64_t age = (int64_t)time(NULL) - SSL_SESSION_get_time(session);

	return age >= 0 && age <= AGE_MAX && age < SSL_SESSION_get_timeout(session) && peer &&
	       X509_cmp_current_time(X509_get0_notAfter(peer)) > 0;
}

static SSL_SESSION *parse(const struct http_tls_place *place, const char *bytes, size_t length)
{
	struct head head;
	unsigned char code[32];
	const unsigned char *start = (const unsigned char *)bytes + sizeof(head), *end = start;

	if (length <= sizeof(head))
		return NULL;
	memcpy(&head, bytes, sizeof(head));
	length -= sizeof(head);
	if (memcmp(head.magic, magic, sizeof(magic)) != 0 || !authenticate(place, start, length, code) ||
		CRYPTO_memcmp(head.code, code, sizeof(code)) != 0)
		return NULL;

	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &end, (long)length);

	if (session && end == start + length && may_be_resumed(session))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

SSL_SESSION *http_tls_session_read(const struct http_tls_place *place)
{
	cleanup_error struct error ignored = {0};
	cleanup_free char *bytes = NULL;
	cleanup_close int fd = open(place->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t length = 0;

	if (fd < 0 || !is_ours(fd) || file_read_fd(fd, place->path, FILE_MAX, &bytes, &length, &ignored) < 0)
		return NULL;

	SSL_SESSION *session = parse(place, bytes, length);

	OPENSSL_cleanse(bytes, length);
	return session;
}

void http_tls_session_write(const struct http_tls_place *place, SSL_SESSION *session)
{
	cleanup_error struct error e = {0};
	int length = i2d_SSL_SESSION(session, NULL);

	/* With TLS 1.2 the file would open all that was said on its connections. */
	if (SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION || length <= 0 ||
		(size_t)length > FILE_MAX - sizeof(struct head))
		return;

	size_t size = sizeof(struct head) + (size_t)length;
	cleanup_free char *bytes = allocate(1, size);
	struct head head = {0};
	unsigned char *start = (unsigned char *)bytes + sizeof(head), *end = start;

	i2d_SSL_SESSION(session, &end);
	memcpy(head.magic, magic, sizeof(magic));
	if (authenticate(place, start, (size_t)length, head.code)) {
		memcpy(bytes, &head, sizeof(head));
		if (file_write(place->path, 0600, bytes, size, &e) < 0)
			log_write(LOG_DEBUG, "TLS session: %s", e.message);
	}
	OPENSSL_cleanse(bytes, size);
}
