/* The Kubernetes API when it fails: what is asked again, what is not, and what each failure says. */
#include "test/unit/kube_kit.h"

/* No time for anything but one try, or a few. */
static void hurry(struct api *api)
{
	kube_set_deadline(api->kube, clock_now() + SECONDS / 2);
}

/* --- rights --- */

static void a_token_is_read_for_each_request_and_again_after_401(void **state)
{
	struct api *api = *state;
	cleanup_kube_call struct kube_call *call = NULL;
	cleanup_kube_pod struct kube_pod pod = {0};
	cleanup_error struct error e = {0};

	play_all(api, STATUS("401", "Unauthorized", "Unauthorized") ",{\"json\":" POD "}");
	api->config.token_file = copy_text(api->token_file);
	api_write(api, "token", "t0ken-1\n");
	assert_int_equal(kube_pod_start(api->kube, "default", "web-1", true, &call, &e), 0);
	api_write(api, "token", " t0ken-2\r\n\n");
	assert_int_equal(kube_pod_await(call, &pod, &e), 0);
	assert_true(pod.found);
	assert_asked(api, 0, "authorization", "Bearer t0ken-1");
	assert_asked(api, 1, "authorization", "Bearer t0ken-2");
}

static void a_second_401_is_an_error(void **state)
{
	struct api *api = *state;

	play_all(api, STATUS("401", "Unauthorized", "Unauthorized"));
	api->config.token_file = copy_text(api->token_file);
	api_write(api, "token", "t0ken");
	assert_pod_fails(api, ERROR_TRY_AGAIN,
		"HTTP 401: Unauthorized; it does not take the tokenFile of the user in /etc/cni/kubeconfig");
	assert_int_equal(times_asked(api), 2);
}

static void a_token_that_is_not_taken_is_not_sent_again(void **state)
{
	struct api *api = *state;

	play_all(api, STATUS("401", "Unauthorized", "Unauthorized"));
	api->config.token = copy_text("t0ken");
	assert_pod_fails(api, ERROR_TRY_AGAIN, "it does not take the token of the user in /etc/cni/kubeconfig");
	assert_asked(api, 0, "authorization", "Bearer t0ken");
	assert_int_equal(times_asked(api), 1);
}

static void a_user_without_credentials_is_said_to_have_none(void **state)
{
	struct api *api = *state;

	play_all(api, STATUS("401", "Unauthorized", "Unauthorized"));
	assert_pod_fails(
		api, ERROR_TRY_AGAIN, "the user in /etc/cni/kubeconfig has neither token nor client certificate");
}

static void a_missing_right_is_named_as_the_server_names_it(void **state)
{
	struct api *api = *state;

	play_all(api, STATUS("403", "Forbidden",
			      "pods \\\"web-1\\\" is forbidden: User \\\"lamina\\\" cannot get resource \\\"pods\\\""));
	assert_pod_fails(api, ERROR_TRY_AGAIN,
		"pods \"web-1\" is forbidden: User \"lamina\" cannot get resource \"pods\"; give the user of "
		"/etc/cni/kubeconfig the right to get pods");
	assert_int_equal(times_asked(api), 1);
}

static void a_token_file_that_cannot_be_used_is_an_error_of_the_configuration(void **state)
{
	static const char *const texts[] = {"", " \n\n", "t0ken t0ken", "t0ken\r\nX-Evil: 1", "t0ken\xc3\xa4"};
	struct api *api = *state;

	play_all(api, "{\"json\":" POD "}");
	api->config.token_file = copy_text(api->token_file);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		api_write(api, "token", texts[i]);
		assert_pod_fails(api, ERROR_CONFIG, "kubeconfig /etc/cni/kubeconfig: tokenFile");
	}
	unlink(api->token_file);
	assert_pod_fails(api, ERROR_CONFIG, "No such file");
	assert_int_equal(times_asked(api), 0);
}

static void a_token_is_never_shown(void **state)
{
	struct api *api = *state;

	api->config.token = copy_text("t0ken");
	play_all(api, "{\"status\":400,\"body\":\"<pre>Authorization: Bearer t0ken</pre>\"}");
	assert_pod_fails(api, ERROR_TRY_AGAIN, "HTTP 400: ");
	play_all(api, STATUS("403", "Forbidden", "t0ken is forbidden"));
	assert_pod_fails(api, ERROR_TRY_AGAIN, "HTTP 403: ");
}

/* --- failures that pass --- */

static void asks_again_what_may_pass(void **state)
{
	static const char *const answers[] = {
		STATUS("429", "TooManyRequests", "slow down"),
		"{\"status\":429,\"body\":\"\",\"headers\":{\"Retry-After\":\"1\"}}",
		STATUS("500", "InternalError", "etcdserver: leader changed") "," STATUS("504", "Timeout", "timed out"),
		"{\"status\":503,\"body\":\"<html>no backend</html>\"}",
		"{\"reset\":true}",
		"{\"cut\":5,\"json\":" POD "}",
		"{\"hold\":true}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		cleanup_free char *row = format_text("%s,{\"json\":" POD "}", answers[i]);

		play_all(*state, row);
		assert_pod_found(*state);
		assert_true(times_asked(*state) >= 2);
	}
}

static void gives_up_at_the_deadline_with_the_last_reason(void **state)
{
	struct api *api = *state;

	play_all(api, STATUS("500", "InternalError", "etcdserver: no leader"));
	hurry(api);
	assert_pod_fails(api, ERROR_TRY_AGAIN, "HTTP 500: etcdserver: no leader");
	assert_true(times_asked(api) >= 2);
	play_all(api, "{\"hold\":true}");
	hurry(api);
	assert_pod_fails(
		api, ERROR_TRY_AGAIN, "pod default/web-1: given up after 1 try: API server https://127.0.0.1:");
}

static void does_not_wait_for_longer_than_there_is_time(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"status\":429,\"body\":\"x\",\"headers\":{\"Retry-After\":\"3600\"}},{\"json\":" POD "}");
	assert_pod_fails(api, ERROR_TRY_AGAIN, "given up after 1 try");
	assert_int_equal(times_asked(api), 1);
}

static void a_server_that_is_away_is_worth_a_retry(void **state)
{
	struct api *api = *state;

	free(api->config.server);
	api->config.server = copy_text("https://127.0.0.1:1");
	hurry(api);
	assert_pod_fails(api, ERROR_TRY_AGAIN, "API server https://127.0.0.1:1: ");
}

/* --- failures that do not --- */

static void what_is_no_api_server_is_said_to_be_none(void **state)
{
	static const char *const answers[] = {
		"{\"body\":\"<html>Welcome to nginx</html>\"}",
		"{\"body\":\"\"}",
		"{\"body\":\"{\\\"kind\\\":\\\"Pod\\\",\\\"apiVersion\\\":\"}",
		"{\"json\":[1]}",
		"{\"json\":{\"kind\":\"Service\",\"apiVersion\":\"v1\"}}",
		"{\"json\":{\"kind\":\"Pod\"}}",
		"{\"status\":302,\"headers\":{\"Location\":\"https://127.0.0.1:1/\"}}",
		"{\"raw\":\"SSH-2.0-OpenSSH_9.2\\r\\n\"}",
	};
	struct api *api = *state;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		play_all(api, answers[i]);
		assert_pod_fails(
			api, ERROR_TRY_AGAIN, "this is no API server: correct `server` in /etc/cni/kubeconfig");
		assert_int_equal(times_asked(api), 1);
	}
}

static void wrong_types_are_named(void **state)
{
	static const char *const cases[][2] = {
		{"\"metadata\":[]", "metadata"},
		{"\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\"}", "metadata.uid"},
		{"\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":7}", "metadata.uid"},
		{"\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":\"\"}", "uid"},
		{META(",\"annotations\":[\"x\"]"), "metadata.annotations"},
		{META(",\"deletionTimestamp\":true"), "metadata.deletionTimestamp"},
		{META("") ",\"spec\":\"x\"", "spec"},
		{META("") ",\"spec\":{\"nodeName\":{}}", "spec.nodeName"},
		{META("") ",\"status\":{\"phase\":1}", "status.phase"},
		{"\"metadata\":{\"name\":\"web-2\",\"namespace\":\"default\",\"uid\":\"u\"}", "sent default/web-2"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *answer =
			format_text("{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",%s}}", cases[i][0]);

		play_all(*state, answer);
		assert_pod_fails(*state, ERROR_TRY_AGAIN, cases[i][1]);
	}
}

static void an_endless_answer_is_not_taken(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"size\":100000000,\"json\":" POD "}");
	assert_pod_fails(api, ERROR_TRY_AGAIN, "pod default/web-1: API server https://127.0.0.1:");
	assert_int_equal(times_asked(api), 1);
}

static void certificates_are_verified(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"json\":" POD "}");
	use_port(api, "other");
	assert_pod_fails(
		api, ERROR_CONFIG, "correct certificate-authority, tls-server-name or server in /etc/cni/kubeconfig");
	use_port(api, "tls");
	api->config.server_name = copy_text("api.example");
	assert_pod_fails(api, ERROR_CONFIG, "tls-server-name");
	free(steal_ptr(api->config.server_name));
	assert_int_equal(times_asked(api), 0);
}

static void our_own_files_are_named(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"json\":" POD "}");
	free(api->config.ca_file);
	api->config.ca_file = copy_text("/nonexistent/ca.pem");
	assert_pod_fails(api, ERROR_CONFIG, "correct certificate-authority in /etc/cni/kubeconfig");
	assert_pod_fails(api, ERROR_CONFIG, "/nonexistent/ca.pem");
	free(api->config.ca_file);
	api->config.ca_file = copy_text(api->ca_file);
	api->config.cert_file = api_path(api, "client.pem");
	api->config.key_file = api_path(api, "client-other-key.pem");
	/* By a server that wants to see one. */
	use_port(api, "client");
	assert_pod_fails(api, ERROR_CONFIG, "correct client-");
	assert_int_equal(times_asked(api), 0);
}

static void a_client_certificate_is_shown(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"json\":" POD "}");
	use_port(api, "client");
	assert_pod_fails(api, ERROR_CONFIG, "client-certificate");
	assert_int_equal(times_asked(api), 0);
	api->config.cert_file = api_path(api, "client.pem");
	api->config.key_file = api_path(api, "client-key.pem");
	assert_pod_found(api);
}

static void one_file_may_have_certificate_and_key(void **state)
{
	struct api *api = *state;

	shell("cd %s && cat client.pem client-key.pem >both.pem && cat client-key.pem client.pem >turned.pem",
		api->folder);
	use_port(api, "client");
	play_all(api, "{\"json\":" POD "}");
	api->config.cert_file = api_path(api, "both.pem");
	api->config.key_file = api_path(api, "both.pem");
	assert_pod_found(api);
	free(api->config.cert_file);
	free(api->config.key_file);
	api->config.cert_file = api_path(api, "turned.pem");
	api->config.key_file = api_path(api, "turned.pem");
	assert_pod_found(api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(a_token_is_read_for_each_request_and_again_after_401),
		WITH_API(a_second_401_is_an_error),
		WITH_API(a_token_that_is_not_taken_is_not_sent_again),
		WITH_API(a_user_without_credentials_is_said_to_have_none),
		WITH_API(a_missing_right_is_named_as_the_server_names_it),
		WITH_API(a_token_file_that_cannot_be_used_is_an_error_of_the_configuration),
		WITH_API(a_token_is_never_shown),
		WITH_API(asks_again_what_may_pass),
		WITH_API(gives_up_at_the_deadline_with_the_last_reason),
		WITH_API(does_not_wait_for_longer_than_there_is_time),
		WITH_API(a_server_that_is_away_is_worth_a_retry),
		WITH_API(what_is_no_api_server_is_said_to_be_none),
		WITH_API(wrong_types_are_named),
		WITH_API(an_endless_answer_is_not_taken),
		WITH_API(certificates_are_verified),
		WITH_API(our_own_files_are_named),
		WITH_API(a_client_certificate_is_shown),
		WITH_API(one_file_may_have_certificate_and_key),
	};

	return api_run(tests);
}
