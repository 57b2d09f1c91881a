/* The outbox: releases that wait on disk for a store that is away. */
#include "ipam/outbox.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A folder that is made by the first put, and the cluster to send to. */
struct box {
	char *above, *folder;
	struct etcd_config *etcd;
};

static int make_box(void **state)
{
	struct box *box = allocate(1, sizeof(*box));
	char above[] = "/tmp/lamina-outbox-XXXXXX";
	static const char text[] = "{\"etcdURL\":\"https://10.0.0.1:2379,https://10.0.0.2:2379\","
				   "\"etcdTrustedCAFile\":\"/etc/ca.pem\"}";
	cleanup_json cJSON *json = NULL;
	struct error e = {0};

	box->above = copy_text(mkdtemp(above));
	box->folder = format_text("%s/cni/outbox", box->above);
	if (json_parse(text, strlen(text), "test", &json, &e) < 0 ||
		etcd_config_parse(json, "ipam.etcdConfig", &box->etcd, &e) < 0)
		fail_msg("%s", e.message);
	*state = box;
	return 0;
}

static int remove_box(void **state)
{
	struct box *box = *state;
	cleanup_free char *command = format_text("rm -rf '%s'", box->above);
	int r = system(command);

	etcd_config_free(box->etcd);
	free(box->above);
	free(box->folder);
	free(box);
	return r;
}

static const struct ip_addr addrs[] = {
	{.family = AF_INET, .bytes = {10, 0, 0, 4}},
	{.family = AF_INET6, .bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}},
};

static struct store_release release_of(const char *cid, const char *value)
{
	return (struct store_release){
		.network = "net",
		.domain = "default",
		.cid = cid,
		.ifname = "net1",
		.value = value,
		.addrs = addrs,
		.addr_count = ARRAY_SIZE(addrs),
	};
}

static void put(const struct box *box, const struct store_release *release)
{
	struct error e = {0};

	if (outbox_put(box->folder, release, "node-1", box->etcd, &e) < 0)
		fail_msg("%s", e.message);
}

struct reading {
	struct outbox_entry *entries;
	size_t count;
};

static void reading_clear(struct reading *reading)
{
	outbox_entries_free(reading->entries, reading->count);
}

#define cleanup_reading CLEANUP(reading_clear)

static struct reading read_box(const struct box *box)
{
	struct reading reading = {0};
	struct error e = {0};

	if (outbox_read(box->folder, &reading.entries, &reading.count, &e) < 0)
		fail_msg("%s", e.message);
	return reading;
}

static void gives_back_what_was_put(void **state)
{
	const struct box *box = *state;
	struct store_release release = release_of("0123abcd", "{\"v\":1,\"kind\":\"dynamic\",\"ns\":\"a \\\"b\\\"\"}");
	struct error e = {0};
	struct stat st;

	assert_true(outbox_is_empty(box->folder));
	assert_int_equal(outbox_count(box->folder), 0);
	{
		cleanup_reading struct reading nothing = read_box(box);

		assert_int_equal(nothing.count, 0);
	}
	release.unfinished = true;
	put(box, &release);
	assert_false(outbox_is_empty(box->folder));
	assert_int_equal(outbox_count(box->folder), 1);
	assert_int_equal(stat(box->folder, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);

	cleanup_reading struct reading reading = read_box(box);

	assert_int_equal(reading.count, 1);
	assert_string_equal(reading.entries[0].node, "node-1");
	assert_int_equal(reading.entries[0].etcd->endpoint_count, 2);
	assert_string_equal(reading.entries[0].etcd->endpoints[1], "https://10.0.0.2:2379");
	assert_string_equal(reading.entries[0].etcd->ca_file, "/etc/ca.pem");
	assert_int_equal(stat(reading.entries[0].file, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);

	struct store_release back = outbox_release(&reading.entries[0]);

	assert_string_equal(back.network, "net");
	assert_string_equal(back.node, "node-1");
	assert_string_equal(back.domain, "default");
	assert_string_equal(back.cid, "0123abcd");
	assert_string_equal(back.ifname, "net1");
	assert_string_equal(back.value, release.value);
	assert_true(back.unfinished);
	assert_int_equal(back.addr_count, 2);
	assert_int_equal(ip_compare(&back.addrs[0], &addrs[0]), 0);
	assert_int_equal(ip_compare(&back.addrs[1], &addrs[1]), 0);
	assert_int_equal(outbox_remove(&reading.entries[0], &e), 0);
	assert_int_equal(outbox_remove(&reading.entries[0], &e), 0);
	assert_true(outbox_is_empty(box->folder));
}

static void keeps_one_of_an_attachment_and_the_order(void **state)
{
	const struct box *box = *state;
	static const char *const cids[] = {"c", "a", "../../b", "a/b", "a_b", ""};

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		struct store_release release = release_of(cids[i], "old");

		put(box, &release);
	}
	/* The same attachment once more: what is to be given back now, and nothing of before. */
	struct store_release again = release_of("c", NULL);

	again.domain = NULL;
	again.addr_count = 0;
	put(box, &again);

	cleanup_reading struct reading reading = read_box(box);

	assert_int_equal(reading.count, ARRAY_SIZE(cids));
	for (size_t i = 0; i < reading.count; i++) {
		assert_string_equal(reading.entries[i].cid, cids[(i + 1) % ARRAY_SIZE(cids)]);
		assert_int_equal(strncmp(reading.entries[i].file, box->folder, strlen(box->folder)), 0);
		assert_null(strchr(reading.entries[i].file + strlen(box->folder) + 1, '/'));
	}
	assert_null(reading.entries[reading.count - 1].value);
	assert_null(reading.entries[reading.count - 1].domain);
	assert_int_equal(reading.entries[reading.count - 1].addr_count, 0);
}

static void moves_damaged_files_aside(void **state)
{
	const struct box *box = *state;
	struct store_release release = release_of("a", "by a");
	char *bytes = NULL;
	struct error e = {0};
	int damaged = 0;

	put(box, &release);
	{
		cleanup_reading struct reading reading = read_box(box);

		assert_int_equal(file_read(reading.entries[0].file, 65536, &bytes, NULL, &e), 0);
	}
	cleanup_free char *whole = bytes;
	const struct {
		const char *name, *text;
	} files[] = {
		{"empty.json", ""},
		{"garbage.json", "hello"},
		{"newer.json", "{\"v\":2}"},
		{"list.json", "[]"},
		{"noise", "not ours"},
		{".tmp.json", "half"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = format_text("%s/%s", box->folder, files[i].name);

		assert_int_equal(file_write(path, 0600, files[i].text, strlen(files[i].text), &e), 0);
	}
	/* Cut anywhere, it is damaged: but never half of it is taken. */
	for (size_t cut = 0; cut < strlen(whole); cut += 7) {
		cleanup_free char *path = format_text("%s/cut-%zu.json", box->folder, cut);

		assert_int_equal(file_write(path, 0600, whole, cut, &e), 0);
		damaged++;
	}
	cleanup_reading struct reading reading = read_box(box);
	cleanup_reading struct reading again = read_box(box);
	cleanup_dir DIR *dir = opendir(box->folder);
	const struct dirent *found;

	assert_int_equal(reading.count, 1);
	assert_int_equal(again.count, 1);
	assert_string_equal(reading.entries[0].value, "by a");
	damaged += 4;
	while ((found = readdir(dir)))
		damaged -=
			strlen(found->d_name) > 8 && strcmp(found->d_name + strlen(found->d_name) - 8, ".damaged") == 0;
	assert_int_equal(damaged, 0);
}

static void says_why_it_cannot_keep_one(void **state)
{
	const struct box *box = *state;
	struct store_release release = release_of("a", "by a");
	cleanup_free char *path = format_text("%s/cni", box->above);
	struct error e = {0};

	assert_int_equal(file_write(path, 0600, "a file", 6, &e), 0);
	assert_true(outbox_put(box->folder, &release, "node-1", box->etcd, &e) < 0);
	assert_int_equal(e.code, ERROR_IO);
	assert_non_null(strstr(e.message, box->folder));
	error_clear(&e);
}

#define OUTBOX_TEST(test) cmocka_unit_test_setup_teardown(test, make_box, remove_box)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(gives_back_what_was_put),
		OUTBOX_TEST(keeps_one_of_an_attachment_and_the_order),
		OUTBOX_TEST(moves_damaged_files_aside),
		OUTBOX_TEST(says_why_it_cannot_keep_one),
	};

	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
