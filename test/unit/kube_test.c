/* The Kubernetes API: what is read from its answers about pods, nodes and lists. */
#include "test/unit/kube_kit.h"

#define OTHER_404(reason) \
	"{\"status\":404,\"json\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"details\":{\"kind\":\"pods\"," \
	"\"name\":\"web-1\"},\"reason\":\"" reason "\"}}"
#define NODE_PATH "/api/v1/nodes/node-1"
#define LEASE_PATH "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"

/* --- what is read --- */

static void reads_a_pod(void **state)
{
	struct api *api = *state;
	cleanup_kube_pod struct kube_pod pod = {0};

	play_all(api, "{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," META(
			      ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"annotations\":{\"kube-ipam.ip\":"
			      "\"10.188.0.218\",\"Kube-Ipam.ip\":\"x\",\"n\":1,\"o\":{}}") ",\"spec\":{\"nodeName\":"
											   "\"node-2\"},\"status\":{"
											   "\"phase\":\"Running\"}}}");
	read_pod(api, &pod);
	assert_true(pod.found);
	assert_string_equal(pod.ns, "default");
	assert_string_equal(pod.name, "web-1");
	assert_string_equal(pod.uid, "uid-1");
	assert_string_equal(pod.node, "node-2");
	assert_string_equal(pod.phase, "Running");
	assert_true(pod.terminating);
	assert_int_equal(cJSON_GetArraySize(pod.annotations), 2);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pod.annotations, "kube-ipam.ip")),
		"10.188.0.218");
	assert_asked(api, 0, "path", "/api/v1/namespaces/default/pods/web-1");
	assert_asked(api, 0, "accept", "application/json");
	assert_asked(api, 0, "agent", "lamina/" LAMINA_VERSION);
}

static void reads_a_pod_of_which_little_is_known(void **state)
{
	struct api *api = *state;
	cleanup_kube_pod struct kube_pod pod = {0};

	play_all(api, "{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," META(
			      ",\"annotations\":null,\"deletionTimestamp\":null") ",\"spec\":{\"nodeName\":\"\"},"
										  "\"status\":{}}}");
	read_pod(api, &pod);
	assert_true(pod.found);
	assert_null(pod.node);
	assert_null(pod.phase);
	assert_false(pod.terminating);
	assert_int_equal(cJSON_GetArraySize(pod.annotations), 0);
}

static void a_cached_answer_is_asked_for_where_it_will_do(void **state)
{
	struct api *api = *state;
	cleanup_kube_call struct kube_call *call = NULL;
	cleanup_kube_pod struct kube_pod pod = {0};
	cleanup_error struct error e = {0};

	play_all(api, "{\"json\":" POD "}");
	assert_int_equal(kube_pod_start(api->kube, "default", "web-1", false, &call, &e), 0);
	assert_int_equal(kube_pod_await(call, &pod, &e), 0);
	assert_true(pod.found);
	assert_asked(api, 0, "path", "/api/v1/namespaces/default/pods/web-1?resourceVersion=0");
}

static void assert_uid(struct api *api, const char *annotations, const char *uid)
{
	cleanup_free char *answer = format_text("{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\","
						"\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":"
						"\"uid-1\",\"annotations\":{%s}}}}",
		annotations);
	cleanup_kube_pod struct kube_pod pod = {0};

	play_all(api, answer);
	read_pod(api, &pod);
	assert_string_equal(pod.uid, uid);
}

static void a_static_pod_has_its_kubelets_uid(void **state)
{
	assert_uid(*state, "\"kubernetes.io/config.mirror\":\"m\",\"kubernetes.io/config.hash\":\"h\"", "m");
	assert_uid(*state, "\"kubernetes.io/config.mirror\":\"\",\"kubernetes.io/config.hash\":\"h\"", "h");
	assert_uid(*state, "\"kubernetes.io/config.mirror\":\"\"", "uid-1");
	assert_uid(*state, "\"kubernetes.io/config.hash\":\"h\"", "uid-1");
	assert_uid(*state, "\"Kubernetes.io/config.mirror\":\"m\"", "uid-1");
}

static void a_nul_in_an_annotation_hides_no_pod(void **state)
{
	struct api *api = *state;
	cleanup_kube_pod struct kube_pod pod = {0};

	play_all(api, "{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," META(
			      ",\"annotations\":{\"a\":\"10.0.0.1\\u0000x\",\"b\":\"\\\\u0000\"}") "}}");
	read_pod(api, &pod);
	assert_string_equal(json_text(pod.annotations, "a"), "10.0.0.1\xef\xbf\xbdx");
	assert_string_equal(json_text(pod.annotations, "b"), "\\u0000");
}

static void a_pod_that_is_not_there_is_not_found(void **state)
{
	struct api *api = *state;
	cleanup_kube_pod struct kube_pod pod = {0};

	play_all(api, NOT_FOUND("pods", "web-1"));
	read_pod(api, &pod);
	assert_false(pod.found);
	assert_int_equal(times_asked(api), 1);
}

/* An address may depend on it. */
static void nobody_elses_404_means_that_a_pod_is_gone(void **state)
{
	static const char *const answers[] = {
		"{\"status\":404,\"body\":\"<html>404</html>\",\"headers\":{\"Content-Type\":\"text/html\"}}",
		"{\"status\":404}",
		"{\"status\":404,\"body\":\"404 page not found\\n\"}",
		NOT_FOUND("pods", "web-2"),
		NOT_FOUND("namespaces", "web-1"),
		STATUS("404", "NotFound", "the server could not find the requested resource"),
		OTHER_404("Gone"),
		OTHER_404("NotFound\",\"kind\":\"Pod"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		play_all(*state, answers[i]);
		assert_pod_fails(*state, ERROR_TRY_AGAIN, "pod default/web-1: API server https://127.0.0.1:");
	}
}

static void refuses_names_that_lead_elsewhere(void **state)
{
	static const char *const names[][2] = {{"default", "../secrets/x"}, {"default", ""}, {"default", "web-1?x=y"},
		{"default", "Web"}, {"default", "a..b"}, {"default", "-a"}, {"default", "a-"}, {"default", "a.-b"},
		{"default", "web%2f"}, {"a.b", "web-1"}, {"", "web-1"}, {"kube system", "web-1"},
		{"a123456789012345678901234567890123456789012345678901234567890123", "web-1"}};
	struct api *api = *state;
	struct kube_node node;
	struct kube_pod *pods = NULL;
	size_t count = 0;
	cleanup_error struct error e = {0};

	play_all(api, "{\"json\":" POD "}");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_kube_pod struct kube_pod pod = {0};

		assert_true(kube_pod(api->kube, names[i][0], names[i][1], &pod, &e) < 0);
		assert_message(&e, ERROR_ENVIRONMENT, "name");
	}
	assert_true(kube_node(api->kube, "node/1", &node, &e) < 0);
	assert_message(&e, ERROR_ENVIRONMENT, "\"node/1\" is no node's name");
	assert_true(kube_pods(api->kube, "a&b", &pods, &count, &e) < 0);
	assert_message(&e, ERROR_ENVIRONMENT, "\"a&b\" is no node's name");
	assert_int_equal(times_asked(api), 0);
}

/* --- nodes --- */

#define AT_1000 "\"headers\":{\"Date\":\"Thu, 01 Jan 1970 00:16:40 GMT\"},"
#define NODE(spec) "\"" NODE_PATH "\":[{\"json\":{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"spec\":{" spec "}}}]"
#define LEASE(head, spec) \
	"\"" LEASE_PATH "\":[{" head \
	"\"json\":{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"spec\":{" spec "}}}]"
#define RENEWED_NOW LEASE(AT_1000, RENEWED("16:39", "40"))
#define RENEWED(time, duration) "\"renewTime\":\"1970-01-01T00:" time "Z\",\"leaseDurationSeconds\":" duration

static void assert_node(struct api *api, const char *script, bool found, bool out_of_service, bool alive)
{
	struct kube_node node;
	cleanup_error struct error e = {0};

	play(api, script);
	if (kube_node(api->kube, "node-1", &node, &e) < 0)
		fail_msg("%s", e.message);
	if (node.found != found || node.out_of_service != out_of_service || node.alive != alive)
		fail_msg("found %d, out of service %d, alive %d: %s", node.found, node.out_of_service, node.alive,
			script);
}

static void a_node_lives_as_long_as_its_lease(void **state)
{
	struct api *api = *state;

	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:35.123456", "40")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:00", "40")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("15:59.999999", "40")) "}", true, false, false);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:30", "10")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:29.999999", "10")) "}", true, false, false);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("15:00", "100")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("14:59", "100")) "}", true, false, false);
	/* One that does not say how long it lasts. */
	assert_node(
		api, "{" NODE("") "," LEASE(AT_1000, "\"renewTime\":\"1970-01-01T00:16:00Z\"") "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:00", "0")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("16:00", "-1")) "}", true, false, true);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("15:59", "-50")) "}", true, false, false);
	/* A clock that is far ahead. */
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, RENEWED("17:21", "40")) "}", true, false, false);
	assert_node(api, "{" NODE("") "," LEASE(AT_1000, "\"renewTime\":null") "}", true, false, false);
	assert_node(api, "{" NODE("") ",\"" LEASE_PATH "\":[" NOT_FOUND("leases", "node-1") "]}", true, false, false);
	assert_int_equal(times_asked(api), 2);
}

static void a_node_may_be_gone_or_out_of_service(void **state)
{
	struct api *api = *state;

	assert_node(api,
		"{\"" NODE_PATH "\":[" NOT_FOUND("nodes", "node-1") "],\"" LEASE_PATH
								    "\":[" NOT_FOUND("leases", "node-1") "]}",
		false, false, false);
	assert_node(api,
		"{" NODE("\"taints\":[{\"key\":\"a\"},{\"key\":\"node.kubernetes.io/out-of-service\"}]") "," LEASE(
			AT_1000, RENEWED("10:00", "40")) "}",
		true, true, false);
	assert_node(
		api, "{" NODE("\"taints\":[{\"key\":\"a\"},7,{\"key\":null}]") "," RENEWED_NOW "}", true, false, true);
}

#define TAINT(key, effect) "{\"key\":\"node.kubernetes.io/" key "\",\"effect\":\"" effect "\"}"
#define TAINTED(taints) "{" NODE("\"taints\":[" taints "]") "," RENEWED_NOW "}"

/* Its Lease may last longer than the node controller waits for it. */
static void a_node_that_is_unreachable_is_not_alive(void **state)
{
	struct api *api = *state;

	assert_node(api, TAINTED(TAINT("unreachable", "NoExecute")), true, false, false);
	assert_node(api, TAINTED(TAINT("unreachable", "NoSchedule")), true, false, false);
	assert_node(api, TAINTED(TAINT("unreachable", "NoExecute") "," TAINT("out-of-service", "NoExecute")), true,
		true, false);
	/* Others. */
	assert_node(api, TAINTED(TAINT("unreachable-2", "NoExecute") "," TAINT("not-ready", "NoExecute")), true, false,
		true);
}

static void what_is_not_known_of_a_node_is_an_error(void **state)
{
	static const char *const cases[][2] = {
		{"{\"" NODE_PATH "\":[" STATUS("403", "Forbidden", "no nodes for you") "],\"*\":[{\"reset\":true}]}",
			"node node-1: API server"},
		{"{" NODE("") ",\"" LEASE_PATH "\":[" STATUS("403", "Forbidden", "no leases for you") "]}",
			"no leases for you; give the user of /etc/cni/kubeconfig the right to get leases"},
		{"{" NODE("") "," LEASE("\"headers\":{\"Date\":null},", RENEWED("16:35", "40")) "}", "has no Date"},
		{"{" NODE("") "," LEASE(AT_1000, "\"renewTime\":\"yesterday\"") "}", "renewTime"},
		{"{" NODE("") "," LEASE(AT_1000, "\"renewTime\":\"1970-01-01T00:16:35+01:00\"") "}", "renewTime"},
		{"{" NODE("") "," LEASE(AT_1000, RENEWED("16:35", "\"40\"")) "}", "leaseDurationSeconds"},
		{"{" NODE("\"taints\":{}") "," LEASE(AT_1000, RENEWED("16:35", "40")) "}", "spec.taints"},
		{"{\"" NODE_PATH "\":[{\"status\":404,\"body\":\"404\"}],\"*\":[{\"status\":404,\"body\":\"404\"}]}",
			"node node-1: API server"},
	};
	struct api *api = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kube_node node;
		cleanup_error struct error e = {0};

		play(api, cases[i][0]);
		if (kube_node(api->kube, "node-1", &node, &e) == 0)
			fail_msg("answered: %s", cases[i][0]);
		assert_message(&e, ERROR_TRY_AGAIN, cases[i][1]);
		/* Nobody awaits the Lease when the Node is the error: it must not come among the questions that follow.
		 */
		for (int left = 1000; left > 0 && times_asked(api) < 2; left--)
			usleep(1000);
	}
}

/* --- lists --- */

static void assert_pods(struct api *api, const char *node, const char *names)
{
	struct kube_pod *pods = NULL;
	size_t count = 0;
	cleanup_error struct error e = {0};
	cleanup_free char *seen = copy_text("");

	if (kube_pods(api->kube, node, &pods, &count, &e) < 0)
		fail_msg("%s", e.message);
	for (size_t i = 0; i < count; i++) {
		char *more = format_text("%s%s ", seen, pods[i].name);

		assert_true(pods[i].found);
		assert_non_null(pods[i].annotations);
		free(seen);
		seen = more;
	}
	kube_pods_free(pods, count);
	assert_string_equal(seen, names);
}

static void lists_page_after_page(void **state)
{
	struct api *api = *state;

	play_all(api, LIST("k/1&x=?", ITEM("a") "," ITEM("b")) "," LIST("k2", "") "," LIST("", ITEM("c")));
	assert_pods(api, NULL, "a b c ");
	assert_asked(api, 0, "path", "/api/v1/pods?limit=500");
	assert_asked(api, 1, "path", "/api/v1/pods?limit=500&continue=k%2F1%26x%3D%3F");
	assert_asked(api, 2, "path", "/api/v1/pods?limit=500&continue=k2");
	assert_int_equal(times_asked(api), 3);
}

static void lists_the_pods_of_one_node(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":null}}");
	assert_pods(api, "node-1.example", "");
	assert_asked(api, 0, "path", "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dnode-1.example");
}

static void a_list_that_has_changed_is_begun_again_once(void **state)
{
	struct api *api = *state;
	struct kube_pod *pods = NULL;
	size_t count = 0;
	cleanup_error struct error e = {0};

	play_all(api, LIST("k", ITEM("old")) "," STATUS("410", "Expired", "too old") "," LIST("l", ITEM("a")) "," LIST(
			      "", ITEM("b")));
	assert_pods(api, NULL, "a b ");
	assert_asked(api, 2, "path", "/api/v1/pods?limit=500");
	play_all(api, LIST("k", ITEM("a")) "," STATUS("410", "Expired", "too old") "," LIST("k", ITEM("a")) "," STATUS(
			      "410", "Expired", "too old"));
	assert_true(kube_pods(api->kube, NULL, &pods, &count, &e) < 0);
	assert_message(&e, ERROR_TRY_AGAIN, "HTTP 410: too old");
	assert_int_equal(times_asked(api), 4);
}

static void a_page_that_is_too_large_is_asked_for_in_parts(void **state)
{
	struct api *api = *state;

	play_all(api,
		LIST("k", ITEM("a")) ",{\"size\":17000000,\"json\":{}}," LIST("l", ITEM("b")) "," LIST("", ITEM("c")));
	assert_pods(api, NULL, "a b c ");
	assert_asked(api, 1, "path", "/api/v1/pods?limit=500&continue=k");
	assert_asked(api, 2, "path", "/api/v1/pods?limit=100&continue=k");
	assert_asked(api, 3, "path", "/api/v1/pods?limit=100&continue=l");
}

/* What a list lacks would be taken for gone. */
static void half_a_list_is_no_list(void **state)
{
	static const char *const answers[] = {
		LIST("k", ITEM("a")) "," STATUS("403", "Forbidden", "no"),
		LIST("", ITEM("a") ",{\"metadata\":{}}"),
		LIST("", ITEM("a") ",null"),
		"{\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":{}}}",
		"{\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[]}}",
		"{\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"continue\":7}}}",
		"{\"size\":17000000,\"json\":{}}",
		STATUS("404", "NotFound", "the server could not find the requested resource"),
	};
	struct api *api = *state;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct kube_pod *pods = NULL;
		size_t count = 0;
		cleanup_error struct error e = {0};

		play_all(api, answers[i]);
		if (kube_pods(api->kube, NULL, &pods, &count, &e) == 0)
			fail_msg("a list: %s", answers[i]);
		assert_null(pods);
		assert_message(&e, ERROR_TRY_AGAIN, "");
	}
}

static void a_long_page_is_read(void **state)
{
	struct api *api = *state;

	play_all(api, "{\"size\":15000000,\"json\":{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},"
		      "\"items\":[" ITEM("a") "]}}");
	assert_pods(api, NULL, "a ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(reads_a_pod),
		WITH_API(reads_a_pod_of_which_little_is_known),
		WITH_API(a_cached_answer_is_asked_for_where_it_will_do),
		WITH_API(a_static_pod_has_its_kubelets_uid),
		WITH_API(a_nul_in_an_annotation_hides_no_pod),
		WITH_API(a_pod_that_is_not_there_is_not_found),
		WITH_API(nobody_elses_404_means_that_a_pod_is_gone),
		WITH_API(refuses_names_that_lead_elsewhere),
		WITH_API(a_node_lives_as_long_as_its_lease),
		WITH_API(a_node_may_be_gone_or_out_of_service),
		WITH_API(a_node_that_is_unreachable_is_not_alive),
		WITH_API(what_is_not_known_of_a_node_is_an_error),
		WITH_API(lists_page_after_page),
		WITH_API(lists_the_pods_of_one_node),
		WITH_API(a_list_that_has_changed_is_begun_again_once),
		WITH_API(a_page_that_is_too_large_is_asked_for_in_parts),
		WITH_API(half_a_list_is_no_list),
		WITH_API(a_long_page_is_read),
	};

	return api_run(tests);
}
