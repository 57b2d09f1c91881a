/* What is written to the API server: an annotation through the pod's status, and events. */
#include "delegate/events.h"
#include "delegate/kube_status.h"
#include "delegate/result.h"

#include "test/unit/kube_kit.h"

#define POD_PATH "/api/v1/namespaces/default/pods/web-1"
#define STATUS_PATH POD_PATH "/status"
#define EVENTS_PATH "/api/v1/namespaces/default/events"

#define WRITTEN META(",\"annotations\":{\"k/s\":\"v<\\\"1\"}")
#define TAKEN "{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," WRITTEN "}}"
#define FORBIDDEN STATUS("403", "Forbidden", "User x cannot patch resource pods/status")
#define IMMUTABLE STATUS("422", "Invalid", "metadata.uid: field is immutable")
#define CONFLICT STATUS("409", "Conflict", "the object has been modified")

/* What is read before it is put back: fields that nobody here knows, an escaped NUL that is none, a large integer. */
#define READ(uid, more) \
	"{\"json\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"web-1\",\"namespace\":" \
	"\"default\"," \
	"\"uid\":\"" uid "\",\"resourceVersion\":\"7\",\"annotations\":{\"a\":\"1\",\"K/S\":\"other\"" more \
	"}},\"spec\":{\"n\":9007199254740991},\"status\":{\"resourceClaimStatuses\":[{\"name\":\"gpu\"}]," \
	"\"future\":{\"Deep\":[1.5,null,\"\\\\u0000\"],\"deep\":true}}}}"
#define PUT_BODY \
	"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\"," \
	"\"uid\":\"uid-1\",\"resourceVersion\":\"7\",\"annotations\":{\"a\":\"1\",\"K/S\":\"other\",\"k/" \
	"s\":\"v<\\\"1\"" \
	"}},\"spec\":{\"n\":9007199254740991},\"status\":{\"resourceClaimStatuses\":[{\"name\":\"gpu\"}]," \
	"\"future\":{\"Deep\":[1.5,null,\"\\\\u0000\"],\"deep\":true}}}"

static int write_status(struct api *api, const char *uid, struct error *e)
{
	const struct kube_target pod = {"default", "web-1", uid, NULL};
	cleanup_kube_status struct kube_status *status = NULL;

	if (kube_status_start(api->kube, &pod, "k/s", "v<\"1", &status, e) < 0)
		return e->err;
	return kube_status_await(status, e);
}

static void assert_status_written(struct api *api, const char *uid)
{
	cleanup_error struct error e = {0};

	if (write_status(api, uid, &e) < 0)
		fail_msg("%s", e.message);
}

static void assert_status_of_fails(struct api *api, const char *uid, unsigned int code, const char *part)
{
	cleanup_error struct error e = {0};

	if (write_status(api, uid, &e) == 0)
		fail_msg("written, \"%s\" was expected", part);
	assert_message(&e, code, part);
}

static void assert_status_fails(struct api *api, unsigned int code, const char *part)
{
	assert_status_of_fails(api, "uid-1", code, part);
}

static void play_status(struct api *api, const char *patch, const char *get, const char *put)
{
	cleanup_free char *script = format_text("{\"PATCH " STATUS_PATH "\":[%s],\"GET " POD_PATH
						"\":[%s],\"PUT " STATUS_PATH "\":[%s],\"*\":[{\"status\":599}]}",
		patch, get, put);

	play(api, script);
}

/* The methods of all requests, a letter each. */
static void assert_methods(struct api *api, const char *expected)
{
	cleanup_json cJSON *list = asked(api);
	char methods[64] = "";
	size_t count = 0;
	const cJSON *line;

	cJSON_ArrayForEach(line, list)
	{
		const char *method = json_text(line, "method");

		assert_true(count < sizeof(methods) - 1);
		if (method[0] == 'P')
			method++; /* PATCH: A, PUT: U */
		methods[count++] = method[0];
	}
	assert_string_equal(methods, expected);
}

/* --- patch --- */

static void patches_the_annotation_of_that_very_pod(void **state)
{
	struct api *api = *state;

	api->config.token = copy_text("t0ken");
	play_status(api, TAKEN, "{}", "{}");
	assert_status_written(api, "uid-1");
	assert_methods(api, "A");
	assert_asked(api, 0, "path", STATUS_PATH);
	assert_asked(api, 0, "type", "application/merge-patch+json");
	assert_asked(api, 0, "authorization", "Bearer t0ken");
	assert_asked(api, 0, "body", "{\"metadata\":{\"uid\":\"uid-1\",\"annotations\":{\"k/s\":\"v<\\\"1\"}}}");
	play_status(api, TAKEN, "{}", "{}");
	assert_status_written(api, NULL);
	assert_asked(api, 0, "body", "{\"metadata\":{\"annotations\":{\"k/s\":\"v<\\\"1\"}}}");
}

static void a_pod_that_is_gone_needs_no_status(void **state)
{
	play_status(*state, NOT_FOUND("pods", "web-1"), "{}", "{}");
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "A");
	play_status(*state, FORBIDDEN, NOT_FOUND("pods", "web-1"), "{}");
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AG");
	play_status(*state, FORBIDDEN, READ("uid-1", ""), NOT_FOUND("pods", "web-1"));
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AGU");
}

static void another_pod_of_that_name_is_left_alone(void **state)
{
	play_status(*state, IMMUTABLE, READ("uid-2", ""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AG");
	play_status(*state, CONFLICT, READ("uid-2", ""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AG");
	play_status(*state, FORBIDDEN, READ("uid-2", ""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AG");
	/* It came between our GET and our PUT. */
	play_status(*state, FORBIDDEN, READ("uid-1", "") "," READ("uid-2", ""), CONFLICT "," TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AGUG");
}

static void a_static_pods_uid_may_be_its_kubelets(void **state)
{
	play_status(*state, IMMUTABLE "," TAKEN, READ("uid-9", ",\"kubernetes.io/config.mirror\":\"uid-1\""), "{}");
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AGA");
	assert_asked(*state, 2, "body", "{\"metadata\":{\"uid\":\"uid-9\",\"annotations\":{\"k/s\":\"v<\\\"1\"}}}");
}

static void a_write_whose_answer_was_lost_is_made_once_more(void **state)
{
	play_status(*state, "{\"reset\":true}," STATUS("503", "ServiceUnavailable", "m") "," TAKEN, "{}", "{}");
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AAA");
}

/* --- read and put back --- */

static void puts_the_pod_back_as_it_came_where_it_may_not_patch(void **state)
{
	play_status(*state, FORBIDDEN, READ("uid-1", ""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AGU");
	assert_asked(*state, 2, "type", "application/json");
	assert_asked(*state, 2, "body", PUT_BODY);
}

static void an_older_value_is_replaced(void **state)
{
	play_status(*state, FORBIDDEN, READ("uid-1", ",\"k/s\":\"old\""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_asked(*state, 2, "body", PUT_BODY);
	/* By our own PUT, whose answer was lost. */
	play_status(*state, FORBIDDEN, READ("uid-1", ",\"k/s\":\"v<\\\"1\""), TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AG");
}

static void a_pod_without_annotations_gets_its_first(void **state)
{
	play_status(*state, FORBIDDEN, "{\"json\":" POD "}", TAKEN);
	assert_status_written(*state, "uid-1");
	assert_asked(*state, 2, "body", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," WRITTEN "}");
}

static void a_pod_that_changed_meanwhile_is_read_again(void **state)
{
	play_status(*state, FORBIDDEN, READ("uid-1", ""), CONFLICT "," CONFLICT "," TAKEN);
	assert_status_written(*state, "uid-1");
	assert_methods(*state, "AGUGUGU");
	play_status(*state, FORBIDDEN, READ("uid-1", ""), CONFLICT);
	assert_status_fails(*state, ERROR_TRY_AGAIN, "HTTP 409: the object has been modified");
	assert_methods(*state, "AGUGUGUGU");
}

/* What is lost on the way through our parser must not be lost in the cluster. */
static void what_would_not_come_back_as_it_is_is_not_put_back(void **state)
{
	play_status(*state, FORBIDDEN, READ("uid-1", ",\"n\":\"a\\u0000b\""), TAKEN);
	assert_status_fails(*state, ERROR_TRY_AGAIN, "pod default/web-1: it has a NUL or an integer beyond 2^53");
	assert_methods(*state, "AG");
	play_status(*state, FORBIDDEN,
		"{\"body\":\"{\\\"kind\\\":\\\"Pod\\\",\\\"apiVersion\\\":\\\"v1\\\",\\\"metadata\\\":{\\\"uid\\\":"
		"\\\"uid-1\\\",\\\"generation\\\":9007199254740993}}\"}",
		TAKEN);
	assert_status_fails(*state, ERROR_TRY_AGAIN, "give the user the right to patch pods/status");
	assert_methods(*state, "AG");
}

static void a_pod_without_metadata_is_not_put_back(void **state)
{
	static const char *const pods[] = {
		"{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":[]}"};

	for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
		cleanup_free char *get = format_text("{\"json\":%s}", pods[i]);

		play_status(*state, FORBIDDEN, get, TAKEN);
		assert_status_of_fails(
			*state, NULL, ERROR_TRY_AGAIN, "pod default/web-1: the API server's answer has no metadata");
		assert_methods(*state, "AG");
	}
}

/* --- what is not written --- */

static void a_missing_right_is_named(void **state)
{
	play_status(*state, FORBIDDEN, READ("uid-1", ""), FORBIDDEN);
	assert_status_fails(
		*state, ERROR_TRY_AGAIN, "annotation k/s of pod default/web-1: API server https://127.0.0.1:");
	assert_methods(*state, "AGU");
	play_status(*state, FORBIDDEN, READ("uid-1", ""), FORBIDDEN);
	assert_status_fails(*state, ERROR_TRY_AGAIN,
		"HTTP 403: User x cannot patch resource pods/status; give the user of /etc/cni/kubeconfig the right to "
		"patch or update pods/status");
	play_status(*state, FORBIDDEN, FORBIDDEN, "{}");
	assert_status_fails(*state, ERROR_TRY_AGAIN, "the right to get pods");
	play_status(*state, STATUS("401", "Unauthorized", "Unauthorized"), "{}", "{}");
	assert_status_fails(*state, ERROR_TRY_AGAIN, "HTTP 401: Unauthorized");
	assert_methods(*state, "A");
}

static void an_annotation_that_somebody_drops_is_missed(void **state)
{
	play_status(*state, "{\"json\":" POD "}", "{}", "{}");
	assert_status_fails(*state, ERROR_TRY_AGAIN, "its answer has another value");
}

static void other_answers_are_errors(void **state)
{
	play_status(*state, STATUS("422", "Invalid", "too long"), READ("uid-1", ""), "{}");
	assert_status_fails(*state, ERROR_TRY_AGAIN, "HTTP 422: too long");
	assert_methods(*state, "AGA");
	play_status(*state, "{\"status\":404,\"body\":\"404 page not found\"}", "{}", "{}");
	assert_status_fails(*state, ERROR_TRY_AGAIN, "this is no API server");
	assert_methods(*state, "A");
}

static void the_deadline_bounds_it(void **state)
{
	struct api *api = *state;
	int64_t began = clock_now();

	kube_set_deadline(api->kube, began + SECONDS / 2);
	play_status(api, "{\"hold\":true}", "{}", "{}");
	assert_status_fails(api, ERROR_TRY_AGAIN, "no answer in time");
	assert_in_range(clock_now() - began, SECONDS / 3, SECONDS);
	began = clock_now();
	kube_set_deadline(api->kube, began + SECONDS / 2);
	play_status(api, FORBIDDEN, READ("uid-1", ""), "{\"hold\":true}");
	assert_status_fails(api, ERROR_TRY_AGAIN, "no answer in time");
	assert_in_range(clock_now() - began, SECONDS / 3, SECONDS);
}

static void names_that_lead_elsewhere_are_not_asked_for(void **state)
{
	struct api *api = *state;
	const struct kube_target pod = {"default", "../x", NULL, NULL};
	struct kube_status *status = NULL;
	struct event *event = NULL;
	cleanup_error struct error e = {0};

	play_all(api, TAKEN);
	assert_true(kube_status_start(api->kube, &pod, "k", "v", &status, &e) < 0);
	assert_message(&e, ERROR_ENVIRONMENT, "is no pod's name");
	assert_true(event_start(api->kube, &pod, EVENT_ADDED_INTERFACE, "m", &event, &e) < 0);
	assert_message(&e, ERROR_ENVIRONMENT, "is no pod's name");
	assert_int_equal(times_asked(api), 0);
}

/* --- events --- */

#define POSTED "{\"status\":201,\"json\":{\"kind\":\"Event\",\"apiVersion\":\"v1\"}}"

static int post(struct api *api, const struct kube_target *pod, enum event_kind kind, struct error *e)
{
	cleanup_event struct event *event = NULL;

	if (event_start(api->kube, pod, kind, "Add net1 [10.1.1.11/24] from a<b\xff", &event, e) < 0)
		return e->err;
	return event_await(event, e);
}

static cJSON *posted(struct api *api)
{
	cleanup_json cJSON *list = asked(api);

	return cJSON_Parse(json_text(cJSON_GetArrayItem(list, 0), "body"));
}

static void posts_an_event_as_multus_does(void **state)
{
	struct api *api = *state;
	const struct kube_target pod = {"default", "web-1", "uid-1", "77"};
	cleanup_error struct error e = {0};

	play_all(api, POSTED);
	assert_int_equal(post(api, &pod, EVENT_ADDED_INTERFACE, &e), 0);
	assert_asked(api, 0, "method", "POST");
	assert_asked(api, 0, "path", EVENTS_PATH);
	assert_asked(api, 0, "type", "application/json");

	cleanup_json cJSON *event = posted(api);
	const char *name = json_text(json_get(event, "metadata"), "name"), *first = json_text(event, "firstTimestamp");

	assert_int_equal(strlen(name), strlen("web-1.") + 16);
	assert_int_equal(strncmp(name, "web-1.", 6), 0);
	assert_int_equal(strspn(name + 6, "0123456789abcdef"), 16);
	assert_int_equal(strlen(first), strlen("2026-01-01T00:00:00Z"));
	assert_string_equal(first, json_text(event, "lastTimestamp"));
	json_remove(event, "firstTimestamp");
	json_remove(event, "lastTimestamp");
	json_remove(cJSON_GetObjectItem(event, "metadata"), "name");

	cleanup_free char *rest = json_print(event);

	assert_string_equal(rest,
		"{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"namespace\":\"default\"},\"involvedObject\":"
		"{"
		"\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"web-1\",\"uid\":\"uid-1\",\"apiVersion\":\"v1\","
		"\"resourceVersion\":\"77\"},\"reason\":\"AddedInterface\",\"message\":\"Add net1 [10.1.1.11/24] from "
		"a<b\xef\xbf\xbd\",\"source\":{\"component\":\"multus\"},\"count\":1,\"type\":\"Normal\",\"eventTime\":"
		"null,\"reportingComponent\":\"multus\",\"reportingInstance\":\"\"}");
}

static void a_warning_is_one_and_a_long_name_is_cut(void **state)
{
	struct api *api = *state;
	cleanup_free char *name = allocate(1, 254);
	const struct kube_target pod = {"default", name, NULL, NULL};
	cleanup_error struct error e = {0};

	memset(name, 'a', 253);
	name[235] = '.';
	play_all(api, POSTED);
	assert_int_equal(post(api, &pod, EVENT_NO_NETWORK_FOUND, &e), 0);

	cleanup_json cJSON *event = posted(api);
	const char *its = json_text(json_get(event, "metadata"), "name");

	assert_string_equal(json_text(event, "type"), "Warning");
	assert_string_equal(json_text(event, "reason"), "NoNetworkFound");
	assert_int_equal(strlen(its), 235 + 17);
	assert_null(strstr(its, ".."));
	assert_null(json_text(json_get(event, "involvedObject"), "uid"));
	assert_string_equal(json_text(json_get(event, "involvedObject"), "name"), name);
}

static void an_event_that_is_there_already_is_ours(void **state)
{
	const struct kube_target pod = {"default", "web-1", "uid-1", NULL};
	cleanup_error struct error e = {0};

	play_all(*state, "{\"reset\":true}," STATUS("409", "AlreadyExists", "m"));
	assert_int_equal(post(*state, &pod, EVENT_ADDED_INTERFACE, &e), 0);
	play_all(*state, FORBIDDEN);
	assert_true(post(*state, &pod, EVENT_ADDED_INTERFACE, &e) < 0);
	assert_message(&e, ERROR_TRY_AGAIN, "event AddedInterface of pod default/web-1");
	assert_message(&e, ERROR_TRY_AGAIN, "the right to create events");
}

static void all_of_them_are_under_way_at_once(void **state)
{
	struct api *api = *state;
	const struct kube_target pod = {"default", "web-1", "uid-1", NULL};
	struct event *events[8];
	struct kube_status *status = NULL;
	cleanup_error struct error e = {0};

	play(api, "{\"PATCH " STATUS_PATH "\":[" TAKEN "],\"*\":[" POSTED "]}");
	assert_int_equal(kube_status_start(api->kube, &pod, "k/s", "v<\"1", &status, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		assert_int_equal(event_start(api->kube, &pod, EVENT_ADDED_INTERFACE, "m", &events[i], &e), 0);
	assert_int_equal(kube_status_await(status, &e), 0);
	kube_status_free(status);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		assert_int_equal(event_await(events[i], &e), 0);
		event_free(events[i]);
	}
	assert_int_equal(times_asked(api), 9);
}

/* --- messages --- */

static void assert_added(const char *result, const char *network, const char *expected)
{
	cleanup_json cJSON *json = cJSON_Parse(result);
	cleanup_free char *text = event_added_text("eth0", json, network);

	if (!expected)
		assert_null(text);
	else
		assert_string_equal(text, expected);
}

static void says_what_was_added(void **state)
{
	(void)state;
	assert_added("{\"interfaces\":[],\"ips\":[{\"address\":\"1.1.1.2/24\"}]}", "weave1",
		"Add eth0 [1.1.1.2/24] from weave1");
	assert_added("{\"interfaces\":[{}],\"ips\":[{\"address\":\"1.1.1.2/24\"},{\"address\":\"2001:db8::1/64\"}]}",
		"test/net1", "Add eth0 [1.1.1.2/24 2001:db8::1/64] from test/net1");
	assert_added("{\"interfaces\":[{}],\"ips\":[]}", "", "Add eth0 []");
	assert_added("{\"interfaces\":[],\"ips\":[]}", "x", NULL);

	cleanup_free char *text = event_no_network_text("test", "net1", "not \"found\"");

	assert_string_equal(
		text, "cannot find a network-attachment-definition (net1) in namespace (test): not \"found\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(patches_the_annotation_of_that_very_pod),
		WITH_API(a_pod_that_is_gone_needs_no_status),
		WITH_API(another_pod_of_that_name_is_left_alone),
		WITH_API(a_static_pods_uid_may_be_its_kubelets),
		WITH_API(a_write_whose_answer_was_lost_is_made_once_more),
		WITH_API(puts_the_pod_back_as_it_came_where_it_may_not_patch),
		WITH_API(an_older_value_is_replaced),
		WITH_API(a_pod_without_annotations_gets_its_first),
		WITH_API(a_pod_that_changed_meanwhile_is_read_again),
		WITH_API(what_would_not_come_back_as_it_is_is_not_put_back),
		WITH_API(a_pod_without_metadata_is_not_put_back),
		WITH_API(a_missing_right_is_named),
		WITH_API(an_annotation_that_somebody_drops_is_missed),
		WITH_API(other_answers_are_errors),
		WITH_API(the_deadline_bounds_it),
		WITH_API(names_that_lead_elsewhere_are_not_asked_for),
		WITH_API(posts_an_event_as_multus_does),
		WITH_API(a_warning_is_one_and_a_long_name_is_cut),
		WITH_API(an_event_that_is_there_already_is_ours),
		WITH_API(all_of_them_are_under_way_at_once),
		cmocka_unit_test(says_what_was_added),
	};

	return api_run(tests);
}
