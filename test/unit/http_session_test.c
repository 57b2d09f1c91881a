/* plugin/base/http_tls: sessions that outlive a process, and whom they are good for. */
#include "plugin/base/file.h"
#include "plugin/base/http_tls_session.h"
#include "test/unit/http_ask.h"

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#define CA .ca_file = "ca.pem"
#define CLIENT .cert_file = "client.pem", .key_file = "client-key.pem"

static char *folder_of(const struct servers *servers)
{
	return format_text("%s/sessions", servers->folder);
}

static int forget_all(void **state)
{
	cleanup_free char *folder = folder_of(*state);

	shell("rm -rf %s", folder);
	return 0;
}

/* What another process gets: nothing of this one's memory. */
static struct http_reply ask_anew(const struct servers *servers, const struct asked *asked)
{
	cleanup_free char *folder = folder_of(servers);
	cleanup_http struct http *http = opened();
	struct asked secure = *asked;

	http_keep_sessions(http, folder);
	secure.scheme = "https";
	return ask_with(http, servers, &secure);
}

/* Answered; and whether the server says that the session was resumed. */
static bool is_resumed(const struct servers *servers, const struct asked *asked)
{
	cleanup_http_reply struct http_reply reply = ask_anew(servers, asked);
	cleanup_json cJSON *said = parse(&reply);

	return cJSON_IsTrue(json_get(said, "resumed"));
}

/* The path of the only session; NULL: there is none. */
static char *session_path(const struct servers *servers)
{
	cleanup_free char *folder = folder_of(servers);
	cleanup_dir DIR *dir = opendir(folder);
	const struct dirent *entry;
	char *path = NULL;

	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		assert_null(path);
		path = format_text("%s/%s", folder, entry->d_name);
	}
	return path;
}

static void resumes_what_another_process_began(void **state)
{
	static const struct asked cases[] = {
		{.server = "tls", .identity = {CA}},
		{.server = "tls-mutual", .identity = {CA, CLIENT}},
		{.server = "tls", .host = "127.0.0.2", .identity = {CA, .server_name = "localhost"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		forget_all(state);
		assert_false(is_resumed(*state, &cases[i]));
		assert_true(is_resumed(*state, &cases[i]));
		assert_true(is_resumed(*state, &cases[i]));

		cleanup_free char *path = session_path(*state);
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void keeps_no_session_that_would_open_what_was_said(void **state)
{
	struct asked asked = {.server = "tls-1.2", .identity = {CA, CLIENT}};

	assert_false(is_resumed(*state, &asked));
	assert_false(is_resumed(*state, &asked));

	cleanup_free char *path = session_path(*state);

	assert_null(path);
}

static void keeps_no_session_of_who_is_not_trusted(void **state)
{
	static const struct asked cases[] = {
		{.server = "tls-other", .identity = {CA}},
		{.server = "tls", .host = "127.0.0.2", .identity = {CA}},
		{.server = "tls-mutual", .identity = {CA}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_http_reply struct http_reply reply = ask_anew(*state, &cases[i]);
		cleanup_free char *path = session_path(*state);

		assert_true(reply.failure == HTTP_PEER || reply.failure == HTTP_REJECTED);
		assert_null(path);
	}
}

/* The file of a name in the certificates' folder becomes that of another one. */
static void become(const struct servers *servers, const char *name, const char *other)
{
	shell("cp %s/certs/%s %s/certs/%s", servers->folder, other, servers->folder, name);
}

static void resumes_nothing_with_another_ca_certificate_or_key(void **state)
{
	struct asked asked = {.server = "tls-mutual",
		.identity = {.ca_file = "our-ca.pem", .cert_file = "our.pem", .key_file = "our-key.pem"}};

	become(*state, "our-ca.pem", "ca.pem");
	become(*state, "our.pem", "client.pem");
	become(*state, "our-key.pem", "client-key.pem");
	assert_false(is_resumed(*state, &asked));
	assert_true(is_resumed(*state, &asked));

	become(*state, "our-ca.pem", "other-ca.pem");

	cleanup_http_reply struct http_reply untrusted = ask_anew(*state, &asked);

	assert_int_equal(untrusted.failure, HTTP_PEER);
	become(*state, "our-ca.pem", "ca.pem");
	become(*state, "our.pem", "client-other.pem");
	become(*state, "our-key.pem", "client-other-key.pem");

	cleanup_http_reply struct http_reply rejected = ask_anew(*state, &asked);

	assert_int_equal(rejected.failure, HTTP_REJECTED);
	become(*state, "our.pem", "client-rsa.pem");
	become(*state, "our-key.pem", "client-rsa-key.pem");
	assert_false(is_resumed(*state, &asked));
	assert_true(is_resumed(*state, &asked));
	/* There is one file, not one for each. */
	free(session_path(*state));
}

static void resumes_nothing_under_another_name(void **state)
{
	struct asked asked = {.server = "tls", .identity = {CA}};

	assert_false(is_resumed(*state, &asked));
	asked.identity.server_name = "localhost";
	assert_false(is_resumed(*state, &asked));
	asked.identity.server_name = "somebody-else";

	cleanup_http_reply struct http_reply reply = ask_anew(*state, &asked);

	assert_int_equal(reply.failure, HTTP_PEER);
}

static void is_not_led_by_a_file_of_another_place(void **state)
{
	struct asked asked = {.server = "tls", .identity = {CA}},
		     other = {.server = "tls-mutual", .identity = {CA, CLIENT}};

	assert_false(is_resumed(*state, &asked));

	cleanup_free char *path = session_path(*state);

	shell("mv %s %s.kept", path, path);
	assert_false(is_resumed(*state, &other));
	shell("cd $(dirname %s) && mv *.kept kept && mv kept $(ls | grep -v kept)", path);
	assert_false(is_resumed(*state, &other));
	assert_true(is_resumed(*state, &other));
}

static void replaces_a_file_that_is_damaged(void **state)
{
	struct asked asked = {.server = "tls-mutual", .identity = {CA, CLIENT}};

	assert_false(is_resumed(*state, &asked));

	cleanup_free char *path = session_path(*state);
	cleanup_error struct error e = {0};
	cleanup_free char *good = NULL;
	size_t length = 0;

	assert_int_equal(file_read(path, 1 << 16, &good, &length, &e), 0);
	for (size_t i = 0; i <= length; i += length / 40) {
		cleanup_free char *bad = allocate(1, length + 1);

		memcpy(bad, good, length);
		bad[i] ^= 0x10;
		/* One byte is another one, what follows is missing, or something follows. */
		assert_int_equal(file_write(path, 0600, bad,
					 i % 3 == 1    ? i
					 : i == length ? length + 1
						       : length,
					 &e),
			0);
		assert_false(is_resumed(*state, &asked));
		assert_true(is_resumed(*state, &asked));
	}
}

static void takes_no_file_that_others_can_read_or_have_put_there(void **state)
{
	static const char *const ways[] = {"chmod 0644 $p", "chmod 0660 $p", "chown 65534 $p",
		"mv $p $p.kept && ln -s $p.kept $p", "rm $p && mkfifo -m 600 $p", "rm $p && mkdir -m 700 $p"};
	struct asked asked = {.server = "tls", .identity = {CA}};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		forget_all(state);
		assert_false(is_resumed(*state, &asked));

		cleanup_free char *path = session_path(*state);
		cleanup_free char *command = format_text("p=%s; %s", path, ways[i]);

		shell("%s", command);
		assert_false(is_resumed(*state, &asked));
	}
}

static void does_without_a_session_that_the_server_does_not_take(void **state)
{
	struct asked forgetful = {.server = "tls-forgetful", .identity = {CA, CLIENT}};
	struct asked picky = {.server = "tls-picky", .identity = {CA}};

	assert_false(is_resumed(*state, &forgetful));
	assert_false(is_resumed(*state, &forgetful));
	forget_all(state);
	assert_false(is_resumed(*state, &picky));
	/* Which is refused, and forgotten. */
	assert_false(is_resumed(*state, &picky));
}

static void does_without_a_folder_to_keep_them_in(void **state)
{
	cleanup_free char *folder = folder_of(*state);
	struct asked asked = {.server = "tls", .identity = {CA}};

	shell("touch %s", folder);
	assert_false(is_resumed(*state, &asked));
	assert_false(is_resumed(*state, &asked));
}

/* --- the time for which a session is good --- */

/* A session of TLS 1.3 between two ends in memory. */
static int take(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **ret = SSL_get_app_data(ssl);

	SSL_SESSION_free(*ret);
	*ret = session;
	return 1;
}

static SSL_SESSION *make_session(const struct servers *servers)
{
	cleanup_free char *cert = format_text("%s/certs/server.pem", servers->folder);
	cleanup_free char *key = format_text("%s/certs/server-key.pem", servers->folder);
	SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method()), *client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_SESSION *session = NULL;
	BIO *near = NULL, *far = NULL;
	char byte;

	assert_int_equal(SSL_CTX_use_certificate_file(server_ctx, cert, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(server_ctx, key, SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client_ctx, take);

	SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);

	assert_int_equal(BIO_new_bio_pair(&near, 0, &far, 0), 1);
	SSL_set_bio(server, far, far);
	SSL_set_bio(client, near, near);
	SSL_set_app_data(client, &session);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	SSL_read(client, &byte, 1);
	SSL_free(server);
	SSL_free(client);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	assert_non_null(session);
	return session;
}

static bool is_good_after(const struct servers *servers, SSL_SESSION *session, long seconds)
{
	cleanup_free char *path = format_text("%s/aged", servers->folder);
	struct http_tls_place place = {.path = path, .secret = "secret"};

	SSL_SESSION_set_time(session, time(NULL) - seconds);
	http_tls_session_write(&place, session);

	SSL_SESSION *read = http_tls_session_read(&place);

	SSL_SESSION_free(read);
	return read != NULL;
}

static void takes_no_session_that_is_older_than_an_hour(void **state)
{
	SSL_SESSION *session = make_session(*state);

	assert_true(SSL_SESSION_get_timeout(session) > 3600);
	assert_true(is_good_after(*state, session, 0));
	assert_true(is_good_after(*state, session, 3500));
	assert_false(is_good_after(*state, session, 3700));
	assert_false(is_good_after(*state, session, -100));
	/* Nor one for longer than the server says. */
	SSL_SESSION_set_timeout(session, 60);
	assert_true(is_good_after(*state, session, 30));
	assert_false(is_good_after(*state, session, 70));
	SSL_SESSION_free(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(resumes_what_another_process_began, forget_all),
		cmocka_unit_test_setup(keeps_no_session_that_would_open_what_was_said, forget_all),
		cmocka_unit_test_setup(keeps_no_session_of_who_is_not_trusted, forget_all),
		cmocka_unit_test_setup(resumes_nothing_with_another_ca_certificate_or_key, forget_all),
		cmocka_unit_test_setup(resumes_nothing_under_another_name, forget_all),
		cmocka_unit_test_setup(is_not_led_by_a_file_of_another_place, forget_all),
		cmocka_unit_test_setup(replaces_a_file_that_is_damaged, forget_all),
		cmocka_unit_test_setup(takes_no_file_that_others_can_read_or_have_put_there, forget_all),
		cmocka_unit_test_setup(does_without_a_session_that_the_server_does_not_take, forget_all),
		cmocka_unit_test_setup(does_without_a_folder_to_keep_them_in, forget_all),
		cmocka_unit_test_setup(takes_no_session_that_is_older_than_an_hour, forget_all),
	};

	return cmocka_run_group_tests(tests, servers_start, servers_end);
}
