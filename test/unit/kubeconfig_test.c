/* kubeconfig files: what is taken from them, and what each refusal says. */
#include "delegate/kubeconfig.h"
#include "plugin/base/base64.h"
#include "plugin/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CA "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----\n"
#define CERT "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"

struct folder {
	char *path, *file;
};

static int make_folder(void **state)
{
	struct folder *folder = allocate(1, sizeof(*folder));

	folder->path = copy_text("/tmp/kubeconfig.XXXXXX");
	if (!mkdtemp(folder->path))
		return -1;
	folder->file = format_text("%s/kubeconfig", folder->path);
	*state = folder;
	return 0;
}

static int remove_folder(void **state)
{
	struct folder *folder = *state;

	unlink(folder->file);
	rmdir(folder->path);
	free(folder->file);
	free(folder->path);
	free(folder);
	return 0;
}

static int read_bytes(
	const struct folder *folder, const char *bytes, size_t length, struct kubeconfig **ret, struct error *e)
{
	struct error written = {0};

	if (file_write(folder->file, 0600, bytes, length, &written) < 0)
		fail_msg("%s", written.message);
	return kubeconfig_read(folder->file, ret, e);
}

static struct kubeconfig *read_text(const struct folder *folder, const char *text)
{
	struct kubeconfig *config = NULL;
	cleanup_error struct error e = {0};

	if (read_bytes(folder, text, strlen(text), &config, &e) < 0)
		fail_msg("%s", e.message);
	assert_string_equal(config->path, folder->file);
	return config;
}

/* A whole file with this cluster and this user, as members of flow mappings. */
static char *file_of(const char *cluster, const char *user)
{
	return format_text("apiVersion: v1\nkind: Config\ncurrent-context: c\n"
			   "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
			   "clusters: [{name: k, cluster: {%s}}]\nusers: [{name: u, user: {%s}}]\n",
		cluster, user);
}

static void assert_refused(const struct folder *folder, const char *text, const char *message)
{
	struct kubeconfig *config = NULL;
	cleanup_error struct error e = {0};

	if (read_bytes(folder, text, strlen(text), &config, &e) == 0)
		fail_msg("taken, \"%s\" was expected: %s", message, text);
	assert_null(config);
	assert_int_equal(e.code, ERROR_CONFIG);
	if (!strstr(e.message, message) || !strstr(e.message, folder->file))
		fail_msg("\"%s\" does not say \"%s\" of %s", e.message, message, folder->file);
}

static void assert_pair_refused(const struct folder *folder, const char *cluster, const char *user, const char *message)
{
	cleanup_free char *text = file_of(cluster, user);

	assert_refused(folder, text, message);
}

/* --- what is taken --- */

static void takes_what_kubeadm_writes(void **state)
{
	cleanup_free char *ca = base64_encode(CA, strlen(CA)), *cert = base64_encode(CERT, strlen(CERT));
	cleanup_free char *key = base64_encode(KEY, strlen(KEY));
	cleanup_free char *text = format_text("apiVersion: v1\nclusters:\n- cluster:\n"
					      "    certificate-authority-data: %s\n"
					      "    server: https://192.168.122.10:6443\n"
					      "  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n"
					      "    user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\n"
					      "current-context: kubernetes-admin@kubernetes\nkind: Config\n"
					      "preferences: {}\nusers:\n- name: kubernetes-admin\n  user:\n"
					      "    client-certificate-data: %s\n    client-key-data: %s\n",
		ca, cert, key);
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

	assert_string_equal(config->server, "https://192.168.122.10:6443");
	assert_string_equal(config->ca_pem, CA);
	assert_string_equal(config->cert_pem, CERT);
	assert_string_equal(config->key_pem, KEY);
	assert_null(config->ca_file);
	assert_null(config->cert_file);
	assert_null(config->key_file);
	assert_null(config->token);
	assert_null(config->token_file);
	assert_null(config->server_name);
}

static void takes_json(void **state)
{
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state,
		"{\"kind\":\"Config\",\"current-context\":\"c\",\n\t\"contexts\":[{\"name\":\"c\",\"context\":{"
		"\"cluster\":\"k\",\"user\":\"u\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":"
		"\"https:\\/\\/api.example\",\"tls-server-name\":\"kubernetes\"}}],\n"
		"\t\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\\u0031\"}}]}");

	assert_string_equal(config->server, "https://api.example");
	assert_string_equal(config->server_name, "kubernetes");
	assert_string_equal(config->token, "t1");
}

static void looks_for_files_beside_itself(void **state)
{
	const struct folder *folder = *state;
	cleanup_free char *text = file_of("server: 'https://h:6443/', certificate-authority: ssl/ca.pem",
		"client-certificate: /etc/ssl/me.pem, client-key: ../key.pem, tokenFile: token");
	cleanup_free char *ca = format_text("%s/ssl/ca.pem", folder->path);
	cleanup_free char *key = format_text("%s/../key.pem", folder->path);
	cleanup_free char *token = format_text("%s/token", folder->path);
	cleanup_kubeconfig struct kubeconfig *config = read_text(folder, text);

	assert_string_equal(config->server, "https://h:6443");
	assert_string_equal(config->ca_file, ca);
	assert_string_equal(config->cert_file, "/etc/ssl/me.pem");
	assert_string_equal(config->key_file, key);
	assert_string_equal(config->token_file, token);
	assert_null(config->ca_pem);
	assert_null(config->token);
}

static void prefers_data_to_files_and_a_token_to_its_file(void **state)
{
	cleanup_free char *ca = base64_encode(CA, strlen(CA)), *cert = base64_encode(CERT, strlen(CERT));
	cleanup_free char *key = base64_encode(KEY, strlen(KEY));
	cleanup_free char *cluster =
		format_text("server: https://h, certificate-authority: x, certificate-authority-data: %s", ca);
	cleanup_free char *user = format_text("client-certificate: x, client-certificate-data: %s, client-key: x, "
					      "client-key-data: %s, token: t, tokenFile: x",
		cert, key);
	cleanup_free char *text = file_of(cluster, user);
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

	assert_string_equal(config->ca_pem, CA);
	assert_string_equal(config->cert_pem, CERT);
	assert_string_equal(config->key_pem, KEY);
	assert_string_equal(config->token, "t");
	assert_null(config->ca_file);
	assert_null(config->cert_file);
	assert_null(config->key_file);
	assert_null(config->token_file);
}

static void takes_wrapped_data(void **state)
{
	cleanup_free char *ca = base64_encode(CA, strlen(CA));
	cleanup_free char *text =
		format_text("current-context: c\ncontexts:\n- name: c\n  context: {cluster: k, user: u}\n"
			    "clusters:\n- name: k\n  cluster:\n    server: https://h\n"
			    "    certificate-authority-data: |\n      %.20s\n      %s\n\n"
			    "users: [{name: u, user: {}}]\n",
			ca, ca + 20);
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

	assert_string_equal(config->ca_pem, CA);
}

static void takes_the_entries_that_the_current_context_names(void **state)
{
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state,
		"current-context: two\ncontexts:\n- name: one\n  context: {cluster: a, user: a}\n"
		"- name: two\n  context: {cluster: b, user: b, namespace: x}\n"
		"clusters:\n- name: a\n  cluster: {server: 'https://a', proxy-url: 'http://p'}\n"
		"- name: b\n  cluster: {server: 'https://b', insecure-skip-tls-verify: false, proxy-url: ''}\n"
		"users:\n- name: a\n  user: {exec: {command: x}}\n- name: b\n  user: {token: b, username: ~}\n"
		"extensions: [{name: x, extension: [1, {y: z}]}]\n---\nnot: read\n");

	assert_string_equal(config->server, "https://b");
	assert_string_equal(config->token, "b");
}

static void takes_a_user_without_credentials(void **state)
{
	cleanup_free char *text = file_of("server: http://127.0.0.1:8080", "");
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

	assert_string_equal(config->server, "http://127.0.0.1:8080");
	assert_null(config->token);
	assert_null(config->cert_file);
}

/* As older installers of multus wrote it; IPv6 keeps its brackets. */
static void takes_ipv4_out_of_brackets(void **state)
{
	static const char *const servers[][2] = {
		{"https://[10.96.0.1]:443", "https://10.96.0.1:443"},
		{"https://[10.96.0.1]:443/", "https://10.96.0.1:443"},
		{"https://[10.96.0.1]:443/x/", "https://10.96.0.1:443/x"},
		{"https://[10.96.0.1]", "https://10.96.0.1"},
		{"https://[fd00::1]:443/", "https://[fd00::1]:443"},
		{"https://[::ffff:10.96.0.1]:443", "https://[::ffff:10.96.0.1]:443"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		cleanup_free char *cluster = format_text("server: '%s'", servers[i][0]);
		cleanup_free char *text = file_of(cluster, "");
		cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

		assert_string_equal(config->server, servers[i][1]);
	}
}

/* One PEM file that is rotated behind a symbolic link: kubeconfig_generator of multus's thick plugin. */
static void takes_one_file_for_certificate_and_key(void **state)
{
	cleanup_free char *text =
		file_of("server: https://h", "client-certificate: /etc/cni/multus-client-current.pem, client-key: "
					     "/etc/cni/multus-client-current.pem");
	cleanup_kubeconfig struct kubeconfig *config = read_text(*state, text);

	assert_string_equal(config->cert_file, "/etc/cni/multus-client-current.pem");
	assert_string_equal(config->key_file, "/etc/cni/multus-client-current.pem");
}

static int read_environment(const char *host, const char *port, struct kubeconfig **ret, struct error *e)
{
	host ? setenv("KUBERNETES_SERVICE_HOST", host, 1) : unsetenv("KUBERNETES_SERVICE_HOST");
	port ? setenv("KUBERNETES_SERVICE_PORT", port, 1) : unsetenv("KUBERNETES_SERVICE_PORT");
	return kubeconfig_in_cluster(ret, e);
}

static void a_pods_environment_names_its_api_server(void **state)
{
	static const char *const places[][3] = {
		{"10.96.0.1", "443", "https://10.96.0.1:443"},
		{"fd00::1", "6443", "https://[fd00::1]:6443"},
		{"api.example", "443", "https://api.example:443"},
	};
	static const char *const none[][2] = {{NULL, NULL}, {"10.96.0.1", NULL}, {NULL, "443"}, {"", "443"}, {"h", ""}};
	static const char *const odd[][2] = {{"h", "x"}, {"a b", "1"}, {"a@b", "1"}, {"a/b", "1"}, {"h", "1/x"}};
	cleanup_error struct error e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cleanup_kubeconfig struct kubeconfig *config = NULL;

		assert_int_equal(read_environment(places[i][0], places[i][1], &config, &e), 0);
		assert_string_equal(config->server, places[i][2]);
		assert_string_equal(config->ca_file, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
		assert_string_equal(config->token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
		assert_string_equal(config->path, "/var/run/secrets/kubernetes.io/serviceaccount");
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct kubeconfig *config = NULL;

		assert_int_equal(read_environment(none[i][0], none[i][1], &config, &e), 0);
		assert_null(config);
	}
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct kubeconfig *config = NULL;

		assert_true(read_environment(odd[i][0], odd[i][1], &config, &e) < 0);
		assert_null(config);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_non_null(strstr(e.message, "KUBERNETES_SERVICE_HOST"));
		error_clear(&e);
	}
}

/* --- what is refused --- */

static void refuses_what_it_does_not_serve(void **state)
{
	static const char server[] = "server: https://h";

	assert_pair_refused(*state, "server: https://h, proxy-url: 'http://p:3128'", "",
		"clusters[0].cluster.proxy-url is not served");
	assert_pair_refused(*state, "server: https://h, insecure-skip-tls-verify: true", "",
		"clusters[0].cluster.insecure-skip-tls-verify is not served");
	assert_pair_refused(*state, "server: https://h, insecure-skip-tls-verify: 'false'", "",
		"clusters[0].cluster.insecure-skip-tls-verify is not served");
	assert_pair_refused(*state, server, "exec: {command: aws}", "users[0].user.exec is not served");
	assert_pair_refused(*state, server, "auth-provider: {name: gcp}", "users[0].user.auth-provider is not served");
	assert_pair_refused(
		*state, server, "username: admin", "users[0].user.username is not served, nor by any API server since");
	assert_pair_refused(*state, server, "password: secret", "users[0].user.password is not served");
	assert_pair_refused(*state, server, "token: t, as: admin", "users[0].user.as is not served");
	assert_pair_refused(*state, server, "as-uid: '1'", "users[0].user.as-uid is not served");
	assert_pair_refused(*state, server, "as-groups: [admins]", "users[0].user.as-groups is not served");
	assert_pair_refused(*state, server, "as-user-extra: {a: [b]}", "users[0].user.as-user-extra is not served");
}

static void refuses_a_server_that_is_no_url(void **state)
{
	static const char *const servers[] = {"192.168.122.10:6443", "ftp://h", "https://", "https:///x",
		"'https://:6443'", "https://user:secret@h", "'https://h ost'", "'https://h/?a=b'", "'https://h/#x'",
		"\"https://h\\nx\""};

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		cleanup_free char *cluster = format_text("server: %s", servers[i]);

		assert_pair_refused(*state, cluster, "", "clusters[0].cluster.server is no URL of an API server");
	}
	assert_pair_refused(*state, "", "", "clusters[0].cluster.server is missing");
	assert_pair_refused(*state, "server: ''", "", "clusters[0].cluster.server is missing");
	assert_pair_refused(*state, "server: [x]", "", "clusters[0].cluster.server must be a string");
	assert_pair_refused(*state, "server: \"https://h\\0x\"", "", "clusters[0].cluster.server contains a NUL");
}

static void refuses_bad_credentials(void **state)
{
	static const char server[] = "server: https://h";

	assert_pair_refused(*state, "server: http://h", "token: t", "users[0].user.token is never sent without TLS");
	assert_pair_refused(
		*state, "server: HTTP://h", "tokenFile: t", "users[0].user.tokenFile is never sent without TLS");
	assert_pair_refused(*state, server, "token: 'a b'", "users[0].user.token contains white space");
	assert_pair_refused(*state, server, "token: \"a\\r\\nX-Y: z\"", "users[0].user.token contains white space");
	assert_pair_refused(*state, server, "client-certificate: x", "users[0].user.client-key is missing");
	assert_pair_refused(*state, server, "client-key: x", "users[0].user.client-certificate is missing");
	assert_pair_refused(*state, server, "client-key-data: '***'", "users[0].user.client-key-data is not base64");
	assert_pair_refused(
		*state, server, "client-key-data: 'LS0t LS1C'", "users[0].user.client-key-data is not base64");
	assert_pair_refused(*state, server, "client-key-data: LS0tLS1CRUdJTi, client-key: x",
		"users[0].user.client-key-data is not base64");
	assert_pair_refused(*state, "server: https://h, certificate-authority-data: aGVsbG8=", "",
		"clusters[0].cluster.certificate-authority-data is not the base64 of a PEM");
	/* A NUL behind the PEM: what is used would not be what is there. */
	assert_pair_refused(*state, "server: https://h, certificate-authority-data: LS0tLS1CRUdJTiAA", "",
		"clusters[0].cluster.certificate-authority-data is not the base64 of a PEM");
}

static void never_shows_a_secret(void **state)
{
	static const char *const users[] = {"token: 'hush hush'", "client-key-data: hush!", "password: hush",
		"token: {hush: hush}", "token: hush\n  hush: hush: hush"};

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		cleanup_free char *text = file_of("server: https://h", users[i]);
		struct kubeconfig *config = NULL;
		cleanup_error struct error e = {0};

		assert_true(read_bytes(*state, text, strlen(text), &config, &e) < 0);
		assert_null(strstr(e.message, "hush"));
	}
}

static void refuses_what_leads_nowhere(void **state)
{
	assert_refused(*state, "contexts: []", "current-context is missing");
	assert_refused(*state, "current-context: ''", "current-context is missing");
	assert_refused(*state, "current-context: c", "contexts has no entry named \"c\"");
	assert_refused(*state, "current-context: c\ncontexts: {}", "contexts must be a list");
	assert_refused(*state, "current-context: c\ncontexts: [c, {name: d}, {}]", "contexts has no entry named \"c\"");
	assert_refused(*state, "current-context: c\ncontexts: [{name: c}]", "contexts[0].context must be an object");
	assert_refused(*state, "current-context: c\ncontexts: [{name: c, context: {user: u}}]",
		"contexts[0].context.cluster is missing");
	assert_refused(*state, "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]",
		"contexts[0].context.user is missing");
	assert_refused(*state, "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]",
		"clusters has no entry named \"k\"");
	assert_refused(*state,
		"current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
		"clusters: [{name: k, cluster: {server: 'https://h'}}]\nusers: [{name: v, user: {}}]",
		"users has no entry named \"u\"");
	assert_refused(*state,
		"current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}, {name: c, context: {}}]",
		"contexts has two entries named \"c\"");
}

static void refuses_what_is_no_kubeconfig(void **state)
{
	const struct folder *folder = *state;
	struct kubeconfig *config = NULL;
	cleanup_error struct error e = {0};

	assert_refused(folder, "", "this is no kubeconfig");
	assert_refused(folder, "hello", "this is no kubeconfig");
	assert_refused(folder, "- a\n- b\n", "this is no kubeconfig");
	assert_refused(folder, "a: [b\n", "line ");
	assert_refused(folder, "a: b\n\tc: d\n", "line 2: ");
	assert_refused(folder, "<html><body>404</body></html>", "this is no kubeconfig");
	assert_true(read_bytes(folder, "\x01\xff\x00\xfe", 4, &config, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_true(kubeconfig_read("/nonexistent/kubeconfig", &config, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_non_null(strstr(e.message, "/nonexistent/kubeconfig"));
	assert_true(kubeconfig_read(folder->path, &config, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFIG);
}

static void refuses_what_would_grow_without_end(void **state)
{
	const size_t length = (size_t)1 << 20;
	cleanup_free char *bytes = allocate(length + 3, 1);

	assert_refused(*state,
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
		"line 2: aliases (*name) are not served");
	assert_refused(*state, "&a [*a]", "aliases (*name) are not served");
	memset(bytes, '[', length);
	assert_refused(*state, bytes, "more than 64 levels");
	for (size_t i = 0; i < length; i++)
		bytes[i] = i % 2 ? ' ' : '-';
	assert_refused(*state, bytes, "more than 64 levels");
	bytes[0] = '[';
	for (size_t i = 1; i < length; i++)
		bytes[i] = i % 2 ? 'a' : ',';
	assert_refused(*state, bytes, "values");
	memset(bytes, '#', length + 1);
	assert_refused(*state, bytes, "larger than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_kubeadm_writes),
		cmocka_unit_test(takes_json),
		cmocka_unit_test(looks_for_files_beside_itself),
		cmocka_unit_test(prefers_data_to_files_and_a_token_to_its_file),
		cmocka_unit_test(takes_wrapped_data),
		cmocka_unit_test(takes_the_entries_that_the_current_context_names),
		cmocka_unit_test(takes_a_user_without_credentials),
		cmocka_unit_test(takes_ipv4_out_of_brackets),
		cmocka_unit_test(takes_one_file_for_certificate_and_key),
		cmocka_unit_test(a_pods_environment_names_its_api_server),
		cmocka_unit_test(refuses_what_it_does_not_serve),
		cmocka_unit_test(refuses_a_server_that_is_no_url),
		cmocka_unit_test(refuses_bad_credentials),
		cmocka_unit_test(never_shows_a_secret),
		cmocka_unit_test(refuses_what_leads_nowhere),
		cmocka_unit_test(refuses_what_is_no_kubeconfig),
		cmocka_unit_test(refuses_what_would_grow_without_end),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
