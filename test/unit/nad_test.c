/* NetworkAttachmentDefinitions: what is read of the API server's answers, and what is no answer. */
#include "delegate/nad.h"

#include "test/unit/kube_kit.h"

#define PATH "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/"
#define OBJECT(meta, more) \
	"{\"json\":{\"kind\":\"NetworkAttachmentDefinition\",\"apiVersion\":\"k8s.cni.cncf.io/v1\",\"metadata\":{" \
	"\"name\":\"net1\",\"namespace\":\"default\"" meta "}" more "}}"
/* As kube-apiserver 1.34 says it. */
#define ABSENT(details) \
	"{\"status\":404,\"json\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\"," \
	"\"message\":\"network-attachment-definitions.k8s.cni.cncf.io \\\"net1\\\" not found\"," \
	"\"reason\":\"NotFound\",\"details\":{" details "},\"code\":404}}"
#define DETAILS(name, group, kind) "\"name\":\"" name "\",\"group\":\"" group "\",\"kind\":\"" kind "\""

static int get(struct api *api, const char *name, struct nad *ret, struct error *e)
{
	cleanup_nad_call struct nad_call *call = NULL;

	if (nad_start(api->kube, "default", name, &call, e) < 0)
		return e->err;
	return nad_await(call, ret, e);
}

static void get_ok(struct api *api, const char *answer, struct nad *ret)
{
	cleanup_error struct error e = {0};

	play_all(api, answer);
	if (get(api, "net1", ret, &e) < 0)
		fail_msg("%s", e.message);
}

static void assert_fails(struct api *api, const char *answer, const char *part)
{
	cleanup_nad struct nad nad = {0};
	cleanup_error struct error e = {0};

	play_all(api, answer);
	if (get(api, "net1", &nad, &e) == 0)
		fail_msg("answered, \"%s\" was expected", part);
	assert_false(nad.found);
	assert_null(nad.name);
	assert_message(&e, ERROR_TRY_AGAIN, part);
	assert_message(&e, ERROR_TRY_AGAIN, "NetworkAttachmentDefinition default/net1: ");
}

static void reads_configuration_and_resource(void **state)
{
	struct api *api = *state;
	cleanup_nad struct nad nad = {0};

	get_ok(api,
		OBJECT(",\"annotations\":{\"k8s.v1.cni.cncf.io/resourceName\":\"intel.com/sriov\"}",
			",\"spec\":{\"config\":\" {\\\"type\\\": \\\"x\\\", \\\"big\\\": 12345678901234567890}\\n\"}"),
		&nad);
	assert_true(nad.found);
	assert_string_equal(nad.ns, "default");
	assert_string_equal(nad.name, "net1");
	assert_string_equal(nad.config, " {\"type\": \"x\", \"big\": 12345678901234567890}\n");
	assert_string_equal(nad.resource, "intel.com/sriov");
	/* Linearizable: whoever makes one and then a pod is not told that it is not there. */
	assert_asked(api, 0, "path", PATH "net1");
}

static void one_without_a_spec_has_an_empty_configuration(void **state)
{
	static const char *const answers[] = {OBJECT("", ""), OBJECT("", ",\"spec\":null"),
		OBJECT(",\"annotations\":null", ",\"spec\":{}"),
		OBJECT(",\"annotations\":{\"k8s.v1.cni.cncf.io/resourceName\":\"\"}", ",\"spec\":{\"config\":\"\"}"),
		OBJECT(",\"annotations\":{\"K8s.v1.cni.cncf.io/resourcename\":\"x\"}", ",\"spec\":{\"config\":null}"),
		OBJECT(",\"annotations\":{\"k8s.v1.cni.cncf.io/resourceName\":7}", "")};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		cleanup_nad struct nad nad = {0};

		get_ok(*state, answers[i], &nad);
		assert_true(nad.found);
		assert_string_equal(nad.config, "");
		assert_null(nad.resource);
	}
}

static void one_that_is_not_there_is_not_found(void **state)
{
	struct api *api = *state;
	cleanup_nad struct nad nad = {0};

	get_ok(api, ABSENT(DETAILS("net1", "k8s.cni.cncf.io", "network-attachment-definitions")), &nad);
	assert_false(nad.found);
	assert_null(nad.config);
	assert_int_equal(times_asked(api), 1);
}

static void a_cluster_without_the_definition_is_an_error_that_says_so(void **state)
{
	static const char *const answers[] = {
		"{\"status\":404,\"body\":\"404 page not found\\n\"}",
		STATUS("404", "NotFound", "the server could not find the requested resource"),
		ABSENT(""),
		ABSENT(DETAILS("net1", "example.com", "network-attachment-definitions")),
		ABSENT("\"name\":\"net1\",\"kind\":\"network-attachment-definitions\""),
		ABSENT(DETAILS("net1", "k8s.cni.cncf.io", "network-attachment-definition")),
		ABSENT(DETAILS("net2", "k8s.cni.cncf.io", "network-attachment-definitions")),
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_fails(*state, answers[i],
			"install the CustomResourceDefinition network-attachment-definitions.k8s.cni.cncf.io");
		assert_fails(*state, answers[i], "correct `server` in /etc/cni/kubeconfig");
	}
}

static void a_missing_right_is_named(void **state)
{
	assert_fails(*state, STATUS("403", "Forbidden", "User \\\"lamina\\\" cannot get resource"),
		"the right to get network-attachment-definitions.k8s.cni.cncf.io");
}

static void refuses_what_is_none(void **state)
{
	static const char *const answers[][2] = {
		{OBJECT("", ",\"spec\":{\"config\":{}}"), "spec.config"},
		{OBJECT("", ",\"spec\":[]"), "spec"},
		{OBJECT(",\"annotations\":\"x\"", ""), "metadata.annotations"},
		{OBJECT(",\"name\":\"net2\"", ""), "sent default/net2"},
		{OBJECT(",\"namespace\":\"other\"", ""), "sent other/net1"},
		{OBJECT(",\"name\":\"../x\"", ""), "without a name"},
		{"{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"net1\"}}}", "HTTP 200"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		assert_fails(*state, answers[i][0], answers[i][1]);
}

static void a_failing_server_is_asked_again(void **state)
{
	struct api *api = *state;
	cleanup_nad struct nad nad = {0};

	get_ok(api, STATUS("500", "InternalError", "later") "," OBJECT("", ""), &nad);
	assert_true(nad.found);
	assert_int_equal(times_asked(api), 2);
}

static void refuses_names_that_lead_elsewhere(void **state)
{
	static const char *const names[][2] = {{"default", "../pods/x"}, {"default", ""}, {"default", "a?b"},
		{"default", "Net"}, {"a.b", "net1"}, {"", "net1"}, {"../x", "net1"}, {"default", "net1%2f"}};
	struct api *api = *state;

	play_all(api, OBJECT("", ""));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_nad_call struct nad_call *call = NULL;
		cleanup_error struct error e = {0};

		assert_int_equal(nad_start(api->kube, names[i][0], names[i][1], &call, &e), -EINVAL);
		assert_message(&e, ERROR_CONFIG, "cannot be a NetworkAttachmentDefinition");
		assert_null(call);
	}
	assert_int_equal(times_asked(api), 0);
}

/* The first one's answer never comes: the others are there in spite of it. */
static void several_are_under_way_at_once(void **state)
{
	struct api *api = *state;
	struct nad_call *calls[4] = {NULL};
	cleanup_error struct error e = {0};

	play(api, "{\"" PATH "n0\":[{\"hold\":true}],\"" PATH "net1\":[" OBJECT("", "") "],\"*\":[" ABSENT(
			  DETAILS("n2", "k8s.cni.cncf.io", "network-attachment-definitions")) "]}");
	kube_set_deadline(api->kube, clock_now() + 2 * SECONDS);
	assert_int_equal(nad_start(api->kube, "default", "n0", &calls[0], &e), 0);
	assert_int_equal(nad_start(api->kube, "default", "net1", &calls[1], &e), 0);
	assert_int_equal(nad_start(api->kube, "default", "n2", &calls[2], &e), 0);
	for (int i = 2; i > 0; i--) {
		cleanup_nad struct nad nad = {0};

		assert_int_equal(nad_await(calls[i], &nad, &e), 0);
		assert_int_equal(nad.found, i == 1);
	}
	assert_int_equal(times_asked(api), 3);

	cleanup_nad struct nad none = {0};

	assert_int_equal(nad_await(calls[0], &none, &e), -EAGAIN);
	assert_message(&e, ERROR_TRY_AGAIN, "NetworkAttachmentDefinition default/n0");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		nad_call_free(calls[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(reads_configuration_and_resource),
		WITH_API(one_without_a_spec_has_an_empty_configuration),
		WITH_API(one_that_is_not_there_is_not_found),
		WITH_API(a_cluster_without_the_definition_is_an_error_that_says_so),
		WITH_API(a_missing_right_is_named),
		WITH_API(refuses_what_is_none),
		WITH_API(a_failing_server_is_asked_again),
		WITH_API(refuses_names_that_lead_elsewhere),
		WITH_API(several_are_under_way_at_once),
	};

	return api_run(tests);
}
