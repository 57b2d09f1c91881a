/* The devices of a pod, from the kubelet's checkpoint. */
#include "delegate/devices.h"

#include "test/unit/stub.h"

#include <errno.h>

#define POD "970a395d-bb3b-11e8-89df-408d5c537d23"
#define RESOURCE "intel.com/sriov_net_A"
#define ENTRY(ids) \
	"{\"PodUID\":\"" POD "\",\"ContainerName\":\"c\",\"ResourceName\":\"" RESOURCE "\",\"DeviceIDs\":" ids "}"
#define FILE_OF(entries) \
	"{\"Data\":{\"PodDeviceEntries\":[" entries "],\"RegisteredDevices\":{}},\"Checksum\":12345678901234567890}"

static int read_text(const struct stubs *stubs, const char *text, struct devices *ret, struct error *e)
{
	cleanup_free char *path = stub_path(stubs, "checkpoint");
	struct error failed = {0};

	if (file_write(path, 0600, text, strlen(text), &failed) < 0)
		fail_msg("%s", failed.message);

	cleanup_pod_devices struct pod_devices pod = {0};

	if (devices_read(path, POD, &pod, e) < 0)
		return e->err;
	/* It is read once, and not for each resource. */
	unlink(path);
	return devices_find(&pod, RESOURCE, ret, e);
}

/* The IDs with a blank between them. */
static void assert_ids(void **state, const char *text, const char *expected)
{
	cleanup_devices struct devices devices = {0};
	cleanup_error struct error e = {0};
	cleanup_free char *said = NULL;

	if (read_text(*state, text, &devices, &e) < 0)
		fail_msg("%s", e.message);
	for (size_t i = 0; i < devices.count; i++)
		append_item(&said, devices.ids[i]);
	assert_string_equal(said ? said : "", expected);
}

static void assert_refused(void **state, const char *text, const char *part)
{
	cleanup_devices struct devices devices = {0};
	cleanup_error struct error e = {0};

	assert_true(read_text(*state, text, &devices, &e) < 0);
	assert_int_equal(devices.count, 0);
	assert_int_equal(e.code, ERROR_CONFIG);
	if (!strstr(e.message, "/checkpoint") || !strstr(e.message, part))
		fail_msg("\"%s\" was expected: %s", part, e.message);
}

static void reads_a_pods_devices_as_they_are_listed(void **state)
{
	assert_ids(state,
		"{\"Data\":{\"PodDeviceEntries\":[{\"PodUID\":\"" POD
		"\",\"ContainerName\":\"appcntr1\",\"ResourceName\":\"" RESOURCE
		"\",\"DeviceIDs\":{\"-1\":[\"0000:03:02.3\",\"0000:03:02.0\"]},\"AllocResp\":\"CikKC3Ny\"}],"
		"\"RegisteredDevices\":{\"" RESOURCE "\":[\"0000:03:02.1\"]}},\"Checksum\":229855270}",
		"0000:03:02.3, 0000:03:02.0");
}

static void numa_nodes_come_in_the_order_of_their_numbers(void **state)
{
	assert_ids(state, FILE_OF(ENTRY("{\"10\":[\"d\"],\"-1\":[\"z\"],\"2\":[\"c\",\"b\"],\"0\":[],\"1\":null}")),
		"z, c, b, d");
}

static void containers_come_one_behind_the_other(void **state)
{
	assert_ids(state, FILE_OF(ENTRY("{\"1\":[\"b\"]}") "," ENTRY("{\"0\":[\"a\"]}")), "b, a");
	assert_ids(state, FILE_OF(ENTRY("[\"b\",\"c\"]") "," ENTRY("[\"a\"]")), "b, c, a");
}

static void a_device_of_two_containers_is_one(void **state)
{
	assert_ids(state, FILE_OF(ENTRY("{\"0\":[\"a\"]}") "," ENTRY("{\"0\":[\"a\",\"b\",\"b\"]}")), "a, b");
}

static void others_devices_are_not_the_pods(void **state)
{
	assert_ids(state,
		FILE_OF("{\"PodUID\":\"other\",\"ResourceName\":\"" RESOURCE "\",\"DeviceIDs\":{\"0\":[\"x\"]}},"
			"{\"PodUID\":\"" POD "\",\"ResourceName\":\"other\",\"DeviceIDs\":{\"0\":[\"y\"]}},"
			"{\"PodUID\":7,\"DeviceIDs\":\"z\"},null,[]," ENTRY("{\"0\":[\"a\"]}")),
		"a");
	assert_ids(state, FILE_OF(""), "");
	assert_ids(state, FILE_OF(ENTRY("null")), "");
	assert_ids(state, "{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":null},\"Checksum\":0}", "");
}

static void refuses_what_no_kubelet_writes(void **state)
{
	static const char *const files[][2] = {
		{"BAD BAD DATA", "invalid JSON"},
		{"", "unexpected end"},
		{"[]", "not the kubelet's checkpoint"},
		{"{}", "Data is missing"},
		{"{\"Data\":{\"PodDeviceEntries\":{}}}", "Data.PodDeviceEntries"},
		{FILE_OF(ENTRY("\"x\"")), "must be lists of texts"},
		{FILE_OF(ENTRY("{\"0\":\"x\"}")), "must be lists of texts"},
		{FILE_OF(ENTRY("{\"0\":[7]}")), "a DeviceID must be a text"},
		{FILE_OF(ENTRY("{\"0\":[\"\"]}")), "a DeviceID must be a text"},
		{FILE_OF(ENTRY("{\"x\":[]}")), "the number of a NUMA node"},
		{FILE_OF(ENTRY("{\"\":[]}")), "the number of a NUMA node"},
		{FILE_OF(ENTRY("{\" 1\":[]}")), "the number of a NUMA node"},
		{FILE_OF(ENTRY("{\"1x\":[]}")), "the number of a NUMA node"},
		{FILE_OF(ENTRY("{\"99999999999999999999\":[]}")), "the number of a NUMA node"},
		{FILE_OF(ENTRY("{\"1\":[\"a\"],\"01\":[\"b\"]}")), "a NUMA node twice"},
		{FILE_OF(ENTRY("[\"a\"]") "," ENTRY("[{}]")), "devices \"" RESOURCE "\" of pod \"" POD "\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_refused(state, files[i][0], files[i][1]);
}

/* count times item with a comma in front, behind first. Owned by the caller. */
static char *repeat(const char *first, const char *item, size_t count, const char *last)
{
	cleanup_free char *items = allocate(strlen(item) * count + 1, 1);

	for (size_t i = 0; i < count; i++)
		memcpy(items + i * strlen(item), item, strlen(item));
	return format_text("%s%s%s", first, items, last);
}

#define BEFORE \
	"{\"Data\":{\"PodDeviceEntries\":[{\"PodUID\":\"" POD "\",\"ResourceName\":\"" RESOURCE "\",\"DeviceIDs\":"

/* "0","1","2",... Owned by the caller. */
static char *numbers(unsigned int count)
{
	char *list = copy_text("\"0\"");

	for (unsigned int i = 1; i < count; i++) {
		char *longer = format_text("%s,\"%u\"", list, i);

		free(list);
		list = longer;
	}
	return list;
}

static void takes_a_bounded_number(void **state)
{
	cleanup_free char *ids = numbers(1024);
	cleanup_free char *most = format_text(BEFORE "[%s]}]}}", ids);
	cleanup_free char *many = format_text(BEFORE "[%s,\"a\"]}]}}", ids);
	cleanup_free char *same = format_text(BEFORE "[%s,\"7\"]}]}}", ids);
	cleanup_free char *nodes = repeat(BEFORE "{\"0\":[]", ",\"0\":[]", 1025, "}}]}}");
	cleanup_free char *longest = repeat(BEFORE "[\"a", "a", 4096, "\"]}]}}");
	cleanup_free char *large = repeat("{", " ", (size_t)16 << 20, "}");
	cleanup_devices struct devices devices = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(read_text(*state, most, &devices, &e), 0);
	assert_int_equal(devices.count, 1024);
	assert_refused(state, many, "more than 1024");
	devices_clear(&devices);
	assert_int_equal(read_text(*state, same, &devices, &e), 0);
	assert_int_equal(devices.count, 1024);
	assert_refused(state, nodes, "more NUMA nodes");
	assert_refused(state, longest, "longer than 4096");

	cleanup_devices struct devices none = {0};

	assert_int_equal(read_text(*state, large, &none, &e), -EFBIG);
	assert_int_equal(none.count, 0);
}

static void without_a_file_there_are_no_devices(void **state)
{
	cleanup_pod_devices struct pod_devices pod = {0};
	cleanup_error struct error e = {0}, not_regular = {0};
	cleanup_free char *path = stub_path(*state, "gone"), *pipe_path = stub_path(*state, "pipe");

	assert_int_equal(devices_read(path, POD, &pod, &e), 0);
	assert_non_null(pod.entries);
	assert_int_equal(cJSON_GetArraySize(pod.entries), 0);
	assert_int_equal(e.err, 0);
	pod_devices_clear(&pod);
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(devices_read(pipe_path, POD, &pod, &not_regular), -EINVAL);
	assert_non_null(strstr(not_regular.message, "not a regular file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_pods_devices_as_they_are_listed),
		cmocka_unit_test(numa_nodes_come_in_the_order_of_their_numbers),
		cmocka_unit_test(containers_come_one_behind_the_other),
		cmocka_unit_test(a_device_of_two_containers_is_one),
		cmocka_unit_test(others_devices_are_not_the_pods),
		cmocka_unit_test(refuses_what_no_kubelet_writes),
		cmocka_unit_test(takes_a_bounded_number),
		cmocka_unit_test(without_a_file_there_are_no_devices),
	};

	return cmocka_run_group_tests(tests, stub_setup, stub_teardown);
}
