/* plugin/base/http: whom it trusts, and as whom it comes. */
#include "plugin/base/http_tls_expiry.h"
#include "test/unit/http_ask.h"

#include <time.h>

#define CA .ca_file = "ca.pem"
#define CLIENT .cert_file = "client.pem", .key_file = "client-key.pem"

static void takes_certificates_as_files(void **state)
{
	const struct servers *servers = *state;
	cleanup_http struct http *http = opened();

	shell("cd %s/certs && cat client-rsa.pem client-rsa-key.pem >both.pem", servers->folder);

	struct asked asked[] = {
		{.server = "tls", .identity = {CA}},
		{.server = "tls-mutual", .identity = {CA, CLIENT}},
		{.server = "tls-1.2", .identity = {CA, CLIENT}},
		{.server = "tls-mutual", .identity = {CA, .cert_file = "both.pem", .key_file = "both.pem"}},
		{.server = "tls-mutual", .identity = {CA, .cert_file = "both.pem"}},
		{.server = "tls-other", .identity = {.ca_file = "other-ca.pem"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		asked[i].scheme = "https";

		cleanup_http_reply struct http_reply reply = ask_with(http, servers, &asked[i]);

		if (reply.failure != HTTP_OK)
			fail_msg("%zu: %s", i, reply.reason);
	}
}

/* The text of a file in the certificates' folder. */
static char *slurp(const struct servers *servers, const char *name)
{
	char path[128];
	cleanup_file FILE *f = fopen(in_certs(servers, name, path), "re");
	char *text = allocate(1, 1 << 16);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
	return text;
}

static void takes_certificates_as_text(void **state)
{
	cleanup_free char *ca = slurp(*state, "ca.pem"), *cert = slurp(*state, "client.pem");
	cleanup_free char *key = slurp(*state, "client-key.pem");
	cleanup_http_reply struct http_reply reply =
		ask(*state, &(struct asked){.server = "tls-mutual",
				    .scheme = "https",
				    .identity = {.ca_pem = ca, .cert_pem = cert, .key_pem = key}});

	assert_int_equal(reply.failure, HTTP_OK);
}

static void connects_under_another_name(void **state)
{
	struct asked asked = {.server = "tls", .scheme = "https", .host = "127.0.0.2", .identity = {CA}};

	assert_fails(*state, &asked, HTTP_PEER, false, "subject name");
	asked.identity.server_name = "kubernetes.default";

	cleanup_http_reply struct http_reply reply = ask(*state, &asked);

	assert_int_equal(reply.failure, HTTP_OK);
	asked.identity.server_name = "somebody-else";
	assert_fails(*state, &asked, HTTP_PEER, false, "subject name");
}

static void trusts_nobody_but_the_given_ca(void **state)
{
	struct servers *servers = *state;

	assert_fails(servers, &(struct asked){.server = "tls-other", .scheme = "https", .identity = {CA}}, HTTP_PEER,
		false, "certificate");
	assert_fails(servers, &(struct asked){.server = "tls-expired", .scheme = "https", .identity = {CA}}, HTTP_PEER,
		false, "expired");
	assert_fails(servers, &(struct asked){.server = "tls", .scheme = "https"}, HTTP_PEER, false, "certificate");
	assert_fails(servers, &(struct asked){.server = "tls-1.1", .scheme = "https", .identity = {CA}}, HTTP_LOST,
		false, "127.0.0.1");
	assert_fails(servers, &(struct asked){.server = "echo", .scheme = "https", .identity = {CA}}, HTTP_GARBAGE,
		false, "not TLS");
}

static void lends_no_connection_to_somebody_else(void **state)
{
	struct http_identity ours = {CA, CLIENT}, other_ca = {.ca_file = "other-ca.pem", CLIENT};
	const struct {
		struct http_identity identity;
		enum http_failure failure;
	} cases[] = {{ours, HTTP_OK}, {{CA}, HTTP_REJECTED}, {ours, HTTP_OK}, {other_ca, HTTP_PEER}, {ours, HTTP_OK}};
	cleanup_http struct http *http = opened();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct asked asked = {.server = "tls-mutual", .scheme = "https", .identity = cases[i].identity};
		cleanup_http_reply struct http_reply reply = ask_with(http, *state, &asked);

		assert_int_equal(reply.failure, cases[i].failure);
	}
}

static void says_when_its_own_certificate_is_refused(void **state)
{
	static const char *const servers[] = {"tls-mutual", "tls-1.2"};

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		struct asked asked = {.server = servers[i], .scheme = "https", .identity = {CA}};

		assert_fails(*state, &asked, HTTP_REJECTED, false, "127.0.0.1:");
		asked.identity.cert_file = "client-other.pem";
		asked.identity.key_file = "client-other-key.pem";
		assert_fails(*state, &asked, HTTP_REJECTED, false, "alert");
		asked.identity.cert_file = "client-expired.pem";
		asked.identity.key_file = "client-expired-key.pem";
		assert_fails(*state, &asked, HTTP_REJECTED, false, "certificate");
	}
}

static void names_the_file_of_its_own_that_cannot_be_used(void **state)
{
	static const struct {
		struct http_identity identity;
		enum http_own own;
		const char *reason;
	} cases[] = {
		{{.ca_file = "missing.pem"}, HTTP_OWN_CA, "missing.pem: No such file"},
		{{.ca_file = "client-key.pem"}, HTTP_OWN_CA, "no PEM CA certificate in"},
		{{.ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, HTTP_OWN_CA,
			"CA certificates"},
		{{CA, .cert_file = "missing.pem", .key_file = "client-key.pem"}, HTTP_OWN_CERT, "missing.pem"},
		{{CA, .cert_file = "client-key.pem", .key_file = "client-key.pem"}, HTTP_OWN_CERT,
			"no PEM certificate"},
		{{CA, .cert_file = "client.pem", .key_file = "client.pem"}, HTTP_OWN_KEY, "no PEM private key in"},
		{{CA, .cert_file = "client.pem", .key_file = "server-key.pem"}, HTTP_OWN_KEY, "server-key.pem"},
		{{CA, .cert_file = "client-encrypted.pem", .key_file = "client-encrypted-key.pem"}, HTTP_OWN_KEY,
			"client-encrypted-key.pem is encrypted"},
		{{CA, .cert_file = "client.pem", .key_file = "."}, HTTP_OWN_KEY, "cannot"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct asked asked = {.server = "tls-mutual", .scheme = "https", .identity = cases[i].identity};
		cleanup_http_reply struct http_reply reply = ask(*state, &asked);

		if (reply.failure != HTTP_OWN || reply.own != cases[i].own || !strstr(reply.reason, cases[i].reason))
			fail_msg("%zu: failure %d, own %d: %s", i, (int)reply.failure, (int)reply.own, reply.reason);
		assert_false(reply.sent);
	}
}

/* The lab's certificates: expired on 2020-01-02, and good for ten years. */
static void tells_when_certificates_end(void **state)
{
	cleanup_free char *old = slurp(*state, "client-expired.pem"), *good = slurp(*state, "client.pem");
	cleanup_free char *old_first = format_text("%s%s", old, good), *good_first = format_text("%s%s", good, old);
	cleanup_free char *damaged =
		format_text("%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good);
	const char *const none[] = {"", "no PEM", "-----BEGIN CERTIFICATE-----\n", damaged};
	const int64_t then = 1577923200, now = (int64_t)time(NULL);
	struct error e = {0};
	int64_t first, last;

	assert_int_equal(http_tls_expiry(old, "old", &first, &last, &e), 0);
	assert_int_equal(first, then);
	assert_int_equal(last, then);
	assert_int_equal(http_tls_expiry(old_first, "old_first", &first, &last, &e), 0);
	assert_int_equal(first, then);
	assert_true(last > now);
	assert_int_equal(http_tls_expiry(good_first, "good_first", &first, &last, &e), 0);
	assert_true(first > now && first == last);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(http_tls_expiry(none[i], "this", &first, &last, &e), -EINVAL);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_non_null(strstr(e.message, "this: "));
		error_clear(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_certificates_as_files),
		cmocka_unit_test(takes_certificates_as_text),
		cmocka_unit_test(connects_under_another_name),
		cmocka_unit_test(trusts_nobody_but_the_given_ca),
		cmocka_unit_test(lends_no_connection_to_somebody_else),
		cmocka_unit_test(says_when_its_own_certificate_is_refused),
		cmocka_unit_test(names_the_file_of_its_own_that_cannot_be_used),
		cmocka_unit_test(tells_when_certificates_end),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
