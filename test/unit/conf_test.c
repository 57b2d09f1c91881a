/* Configurations of networks: as text, by name in a folder, by path; what is put into them. */
#include "delegate/conf.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define WHAT "NetworkAttachmentDefinition default/net1: spec.config"

static cJSON *parse_ok(const char *text)
{
	struct error e = {0};
	cJSON *conf = NULL;

	if (conf_parse(text, WHAT, &conf, &e) < 0)
		fail_msg("%s", e.message);
	return conf;
}

static void assert_prints(const cJSON *conf, const char *expected)
{
	cleanup_free char *text = json_print(conf);

	assert_string_equal(text, expected);
}

static void assert_says(const struct error *e, const char *part)
{
	if (e->code != ERROR_CONFIG || !strstr(e->message, part))
		fail_msg("\"%s\" was expected: %u %s", part, e->code, e->message);
}

/* --- text --- */

static void parses_an_object_as_it_stands(void **state)
{
	(void)state;
	cleanup_json cJSON *conf =
		parse_ok(" {\"type\":\"x\",\"Z\":12345678901234567000,\"a\":{\"masterplugin\":true}}\n");

	assert_prints(conf, "{\"type\":\"x\",\"Z\":12345678901234567000,\"a\":{\"masterplugin\":true}}");
}

static void what_is_none_is_refused_with_its_name(void **state)
{
	static const char *const texts[] = {
		"", " ", "{", "[]", "\"x\"", "null", "{\"a\":1,}", "{}x", "{\"a\":\"\\u0000\"}"};
	cleanup_free char *large = allocate(CONF_MAX + 2, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_error struct error e = {0};
		cJSON *conf = NULL;

		assert_true(conf_parse(texts[i], WHAT, &conf, &e) < 0);
		assert_null(conf);
		assert_says(&e, WHAT);
	}

	cleanup_error struct error e = {0};
	cJSON *conf = NULL;

	memset(large, ' ', CONF_MAX + 1);
	memcpy(large, "{}", 2);
	assert_int_equal(conf_parse(large, WHAT, &conf, &e), -E2BIG);
	assert_says(&e, WHAT " is larger than");
}

static void assert_named(const char *text, const char *expected)
{
	cleanup_json cJSON *conf = parse_ok(text);

	conf_name(conf, "net1");
	assert_prints(conf, expected);
}

static void a_name_is_given_where_there_is_none(void **state)
{
	(void)state;
	assert_named("{\"type\":\"x\"}", "{\"type\":\"x\",\"name\":\"net1\"}");
	assert_named("{\"name\":\"\",\"type\":\"x\"}", "{\"name\":\"net1\",\"type\":\"x\"}");
	assert_named("{\"name\":null}", "{\"name\":\"net1\"}");
	assert_named("{\"name\":\"other\"}", "{\"name\":\"other\"}");
	assert_named("{\"Name\":\"other\"}", "{\"Name\":\"other\"}");
	assert_named("{\"name\":7}", "{\"name\":7}");
}

/* --- what is put into each plugin --- */

static void assert_device(const char *text, const char *expected)
{
	cleanup_json cJSON *conf = parse_ok(text);

	conf_put_device(conf, "0000:03:02.3");
	assert_prints(conf, expected);
}

#define DEVICE "\"deviceID\":\"0000:03:02.3\",\"pciBusID\":\"0000:03:02.3\""

static void a_device_is_put_into_each_plugin(void **state)
{
	(void)state;
	assert_device("{\"type\":\"x\"}", "{\"type\":\"x\"," DEVICE "}");
	assert_device("{\"deviceID\":\"old\",\"type\":\"x\"}",
		"{\"deviceID\":\"0000:03:02.3\",\"type\":\"x\",\"pciBusID\":\"0000:03:02.3\"}");
	assert_device("{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"},{\"type\":\"y\",\"kubernetes\":{\"k\":1}},7]}",
		"{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"," DEVICE
		"},{\"type\":\"y\",\"kubernetes\":{\"k\":1}," DEVICE "},7]}");
	/* Both keys: a single plugin. */
	assert_device("{\"type\":\"x\",\"plugins\":[{}]}", "{\"type\":\"x\",\"plugins\":[{}]," DEVICE "}");
}

static void assert_args(const char *text, const char *args, const char *expected)
{
	cleanup_json cJSON *conf = parse_ok(text), *cni_args = args ? parse_ok(args) : NULL;

	conf_put_args(conf, cni_args);
	assert_prints(conf, expected);
}

static void arguments_are_merged_into_each_plugin(void **state)
{
	(void)state;
	assert_args("{\"type\":\"x\"}", NULL, "{\"type\":\"x\"}");
	assert_args("{\"type\":\"x\"}", "{\"a\":1}", "{\"type\":\"x\",\"args\":{\"cni\":{\"a\":1}}}");
	assert_args("{\"type\":\"x\",\"args\":{\"o\":2,\"cni\":{\"a\":0,\"A\":9,\"b\":3}},\"z\":0}",
		"{\"a\":1,\"c\":{\"d\":null}}",
		"{\"type\":\"x\",\"args\":{\"o\":2,\"cni\":{\"A\":9,\"b\":3,\"a\":1,\"c\":{\"d\":null}}},\"z\":0}");
	assert_args("{\"type\":\"x\",\"args\":{\"o\":2}}", "{\"a\":1}",
		"{\"type\":\"x\",\"args\":{\"o\":2,\"cni\":{\"a\":1}}}");
	assert_args("{\"type\":\"x\",\"args\":null}", "{\"a\":1}", "{\"type\":\"x\",\"args\":{\"cni\":{\"a\":1}}}");
	assert_args("{\"type\":\"x\",\"args\":[],\"b\":0}", "{\"a\":1}",
		"{\"type\":\"x\",\"args\":{\"cni\":{\"a\":1}},\"b\":0}");
	assert_args("{\"plugins\":[{\"type\":\"x\"},{\"type\":\"y\",\"args\":{\"cni\":{\"b\":2}}}]}", "{\"a\":1}",
		"{\"plugins\":[{\"type\":\"x\",\"args\":{\"cni\":{\"a\":1}}},{\"type\":\"y\",\"args\":{\"cni\":{\"b\":"
		"2,\"a\":1}}}]}");
}

static void arguments_are_given_once_each(void **state)
{
	(void)state;
	assert_args("{\"type\":\"x\",\"args\":{\"cni\":{\"a\":0,\"b\":1,\"a\":2}}}",
		"{\"c\":3,\"a\":4,\"A\":5,\"c\":6}",
		"{\"type\":\"x\",\"args\":{\"cni\":{\"b\":1,\"a\":4,\"A\":5,\"c\":6}}}");
}

static cJSON *many_members(const char *prefix, size_t count)
{
	cJSON *object = cJSON_CreateObject();

	for (size_t i = 0; i < count; i++) {
		cleanup_free char *key = format_text("%s%zu", prefix, i);

		cJSON_AddItemToObject(object, key, cJSON_CreateNumber(0));
	}
	return object;
}

/* A definition of 2 MiB, and as many arguments as a pod may have: a comparison of all with all takes many seconds. */
static void arguments_are_merged_in_no_time(void **state)
{
	enum { OLD = 150000, NEW = 1000 };
	cleanup_json cJSON *conf = parse_ok("{\"type\":\"x\",\"args\":{}}"), *cni_args = many_members("k", NEW);
	const clock_t began = clock();

	(void)state;
	cJSON_AddItemToObject(cJSON_GetObjectItem(conf, "args"), "cni", many_members("old", OLD));
	cJSON_AddItemToObject(cJSON_GetObjectItem(cJSON_GetObjectItem(conf, "args"), "cni"), "k7", cJSON_CreateTrue());
	conf_put_args(conf, cni_args);
	assert_true(clock() - began < CLOCKS_PER_SEC);
	assert_int_equal(cJSON_GetArraySize(json_dig(conf, "args", "cni", NULL)), OLD + NEW);
}

static void a_list_has_a_bounded_number_of_plugins(void **state)
{
	cleanup_json cJSON *list = cJSON_CreateObject(), *parsed = NULL;
	cJSON *plugins = cJSON_AddArrayToObject(list, "plugins"), *conf = NULL;
	cleanup_error struct error e = {0};

	(void)state;
	for (size_t i = 0; i < CONF_MAX_PLUGINS; i++)
		cJSON_AddItemToArray(plugins, cJSON_CreateObject());

	cleanup_free char *most = json_print(list);

	parsed = parse_ok(most);
	assert_int_equal(conf_count_plugins(parsed), CONF_MAX_PLUGINS);
	cJSON_AddItemToArray(plugins, cJSON_CreateObject());

	cleanup_free char *many = json_print(list);

	assert_int_equal(conf_parse(many, WHAT, &conf, &e), -E2BIG);
	assert_null(conf);
	assert_says(&e, WHAT " has 65 plugins, and a list may have 64");
	/* With both keys it is one. */
	json_put_text(list, "type", "x");
	assert_int_equal(conf_count_plugins(list), 1);
	assert_int_equal(conf_check_plugins(list, WHAT, &e), 0);
}

/* --- files --- */

static int make_folder(void **state)
{
	char *folder = copy_text("/tmp/conf_test.XXXXXX");

	*state = folder;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	cleanup_free char *folder = *state;
	cleanup_free char *command = format_text("rm -r %s", folder);

	return system(command); /* NOLINT(cert-env33-c): a test's own words */
}

static void put(const char *folder, const char *name, const char *text)
{
	cleanup_free char *path = format_text("%s/%s", folder, name);
	struct error e = {0};

	if (file_write(path, 0600, text, strlen(text), &e) < 0)
		fail_msg("%s", e.message);
}

/* says: of the file that is passed over on the way; NULL: whatever. */
static void assert_found_behind(const char *folder, const char *name, const char *expected, const char *says)
{
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error e = {0}, unusable = {0};

	if (conf_find(folder, name, &conf, &unusable, &e) < 0)
		fail_msg("%s", e.message);
	assert_prints(conf, expected);
	if (says)
		assert_says(&unusable, says);
}

static void assert_found(const char *folder, const char *name, const char *expected)
{
	assert_found_behind(folder, name, expected, NULL);
}

static void assert_missing(const char *folder, const char *name, const char *part)
{
	cJSON *conf = NULL;
	cleanup_error struct error e = {0}, unusable = {0};

	assert_int_equal(conf_find(folder, name, &conf, &unusable, &e), -ENOENT);
	assert_null(conf);
	assert_says(&e, folder);
	assert_says(&e, name);
	assert_says(&e, part);
}

static void a_network_is_found_by_its_name(void **state)
{
	const char *folder = *state;

	put(folder, "30-b.conf", "{\"name\":\"b\",\"type\":\"second\"}");
	put(folder, "20-b.json", "{\"name\":\"b\",\"type\":\"first\"}");
	put(folder, "10-l.conflist", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	put(folder, "00-b.conf.old", "{\"name\":\"b\",\"type\":\"old\"}");
	put(folder, "nameless.conf", "{\"type\":\"x\"}");
	assert_found(folder, "b", "{\"name\":\"b\",\"type\":\"first\"}");
	assert_found(folder, "l", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	/* Chained plugins belong to a list that is given by its path. */
	put(folder, "l/1.conf", "{\"type\":\"chained\"}");
	assert_found(folder, "l", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	assert_missing(folder, "c", "has the name \"c\"");
	assert_missing(folder, "nameless", "has the name");
	assert_missing("/nowhere/at/all", "c", "no .conf, .json or .conflist file in /nowhere/at/all");
}

/* With multus one broken file hides all behind it. */
static void what_cannot_be_used_is_passed_over(void **state)
{
	static const struct {
		const char *name, *text, *says;
	} files[] = {
		{"0.conf", "{\"name\":\"b\",", "0.conf: unexpected end"},
		{"0.conf", "{\"name\":\"b\"}", "0.conf: type is missing"},
		{"0.conf", "{\"name\":\"b\",\"plugins\":[{\"type\":\"x\"}]}", "must be in a .conflist file"},
		{"0.conf", "[]", "0.conf is not a JSON object"},
		{"0.conflist", "{\"name\":\"b\",\"type\":\"x\"}", "0.conflist has no plugins"},
		{"0.conflist", "{\"name\":\"b\",\"plugins\":[]}",
			"0.conflist: plugins must be an array of at least one"},
		{"0.conflist", "{\"name\":\"b\",\"plugins\":{}}",
			"0.conflist: plugins must be an array of at least one"},
		{"0.conflist", "{\"name\":\"b\",\"plugins\":[{\"type\":\"x\"},{\"type\":\"\"}]}",
			"0.conflist: plugins[1].type"},
	};
	const char *folder = *state;
	cleanup_free char *later = format_text("%s/1.conf", folder);

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = format_text("%s/%s", folder, files[i].name);

		put(folder, files[i].name, files[i].text);
		assert_missing(folder, "b", files[i].says);
		put(folder, "1.conf", "{\"name\":\"b\",\"type\":\"x\"}");
		assert_found_behind(folder, "b", "{\"name\":\"b\",\"type\":\"x\"}", files[i].says);
		unlink(path);
		unlink(later);
	}
}

/* Nothing but regular files is opened: a pipe would never end. */
static void what_is_no_file_is_passed_over(void **state)
{
	const char *folder = *state;
	cleanup_free char *pipe_path = format_text("%s/0.conf", folder), *loop = format_text("%s/1.conf", folder),
			  *device = format_text("%s/2.conf", folder), *folder_link = format_text("%s/3.conf", folder),
			  *below = format_text("%s/4.conf", folder), *link_path = format_text("%s/5.conf", folder);

	put(folder, "real", "{\"name\":\"b\",\"type\":\"x\"}");
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(symlink("1.conf", loop), 0);
	assert_int_equal(symlink("/dev/zero", device), 0);
	assert_int_equal(symlink(folder, folder_link), 0);
	assert_int_equal(mkdir(below, 0700), 0);
	assert_missing(folder, "b", "0.conf is not a regular file");
	assert_int_equal(symlink("real", link_path), 0);
	assert_found(folder, "b", "{\"name\":\"b\",\"type\":\"x\"}");
}

static void a_folder_has_a_bounded_number_of_them(void **state)
{
	const char *folder = *state;
	cleanup_error struct error e = {0}, unusable = {0};
	cJSON *conf = NULL;

	for (int i = 0; i < 1025; i++) {
		cleanup_free char *path = format_text("%s/%d.conf", folder, i);

		assert_int_equal(symlink("x", path), 0);
	}
	assert_int_equal(conf_find(folder, "b", &conf, &unusable, &e), -E2BIG);
	assert_says(&e, "more than 1024 configurations");
	assert_says(&e, folder);
}

static void assert_read(const char *folder, const char *name, const char *expected)
{
	cleanup_free char *path = format_text("%s/%s", folder, name);
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error e = {0};

	if (conf_read_path(path, &conf, &e) < 0)
		fail_msg("%s", e.message);
	assert_prints(conf, expected);
}

static void assert_unread(const char *folder, const char *name, const char *part)
{
	cleanup_free char *path = format_text("%s/%s", folder, name);
	cleanup_error struct error e = {0};
	cJSON *conf = NULL;

	assert_true(conf_read_path(path, &conf, &e) < 0);
	assert_null(conf);
	assert_says(&e, folder);
	assert_says(&e, part);
}

static void a_path_leads_to_a_file_or_to_a_folders_first_one(void **state)
{
	const char *folder = *state;

	put(folder, "net.d/10-b.conf", "{\"name\":\"b\",\"type\":\"x\"}");
	put(folder, "net.d/05-l.conflist", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	put(folder, "net.d/00-no.txt", "no");
	put(folder, "net.d/l/1.conf", "{\"type\":\"chained\"}");
	put(folder, "empty/no.txt", "no");
	put(folder, "plain", "{\"name\":\"p\",\"type\":\"x\"}");
	assert_read(folder, "net.d/10-b.conf", "{\"name\":\"b\",\"type\":\"x\"}");
	assert_read(folder, "plain", "{\"name\":\"p\",\"type\":\"x\"}");
	assert_read(folder, "net.d", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	assert_read(folder, "net.d/", "{\"name\":\"l\",\"plugins\":[{\"type\":\"x\"}]}");
	assert_unread(folder, "empty", "there is no .conf, .json or .conflist file in the folder");
	assert_unread(folder, "gone.conf", "gone.conf: No such file");
	assert_unread(folder, "net.d/00-no.txt", "00-no.txt: invalid JSON");
	/* The default network must not change silently. */
	put(folder, "net.d/01-broken.conf", "{");
	assert_unread(folder, "net.d", "01-broken.conf: unexpected end");
}

static void a_list_takes_the_plugins_beside_it(void **state)
{
	const char *folder = *state;

	put(folder, "a.conflist", "{\"name\":\"l\",\"big\":12345678901234567000,\"plugins\":[{\"type\":\"x\"}]}");
	assert_read(
		folder, "a.conflist", "{\"name\":\"l\",\"big\":12345678901234567000,\"plugins\":[{\"type\":\"x\"}]}");
	put(folder, "l/20.conf", "{\"type\":\"z\"}");
	put(folder, "l/10.conf", "{\"type\":\"y\",\"sysctl\":{\"n\":12345678901234567000}}");
	put(folder, "l/00.json", "{\"type\":\"no\"}");
	put(folder, "l/00.conflist", "{\"name\":\"no\"}");
	assert_read(folder, "a.conflist",
		"{\"name\":\"l\",\"big\":12345678901234567000,\"plugins\":[{\"type\":\"x\"},"
		"{\"type\":\"y\",\"sysctl\":{\"n\":12345678901234567000}},{\"type\":\"z\"}]}");
	put(folder, "a.conflist", "{\"name\":\"l\"}");
	assert_read(folder, "a.conflist",
		"{\"name\":\"l\",\"plugins\":[{\"type\":\"y\",\"sysctl\":{\"n\":12345678901234567000}},"
		"{\"type\":\"z\"}]}");
	put(folder, "l/30.conf", "{\"name\":\"typeless\"}");
	assert_unread(folder, "a.conflist", "/l/30.conf: type is missing");
}

static void a_list_may_have_no_more_than_its_own(void **state)
{
	static const char *const yes[] = {"true", "\"true\"", "\"TRUE\""}, *const no[] = {"false", "\"False\""};
	static const char *const neither[] = {"null", "1", "{}", "\"yes\"", "\"\""};
	const char *folder = *state;

	put(folder, "l/1.conf", "{\"type\":\"y\"}");
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		cleanup_free char *text = format_text(
			"{\"name\":\"l\",\"loadOnlyInlinedPlugins\":%s,\"plugins\":[{\"type\":\"x\"}]}", yes[i]);

		put(folder, "a.conflist", text);
		assert_read(folder, "a.conflist", text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		cleanup_free char *text = format_text("{\"name\":\"l\",\"loadOnlyInlinedPlugins\":%s}", no[i]);
		cleanup_free char *expected = format_text(
			"{\"name\":\"l\",\"loadOnlyInlinedPlugins\":%s,\"plugins\":[{\"type\":\"y\"}]}", no[i]);

		put(folder, "a.conflist", text);
		assert_read(folder, "a.conflist", expected);
	}
	put(folder, "a.conflist", "{\"name\":\"l\",\"loadOnlyInlinedPlugins\":true}");
	assert_unread(folder, "a.conflist", "a.conflist has no plugins");
	put(folder, "a.conflist", "{\"name\":\"m\"}");
	assert_unread(folder, "a.conflist", "a.conflist has no plugins");
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++) {
		cleanup_free char *text = format_text("{\"name\":\"l\",\"loadOnlyInlinedPlugins\":%s}", neither[i]);
		cleanup_free char *expected =
			format_text("/a.conflist.loadOnlyInlinedPlugins is %s: it must be true or false", neither[i]);

		put(folder, "a.conflist", text);
		assert_unread(folder, "a.conflist", expected);
	}
	/* libcni's keys count as they are spelled. */
	put(folder, "a.conflist", "{\"name\":\"l\",\"loadonlyinlinedplugins\":true}");
	assert_read(folder, "a.conflist",
		"{\"name\":\"l\",\"loadonlyinlinedplugins\":true,\"plugins\":[{\"type\":\"y\"}]}");
}

static void a_lists_name_leads_nowhere_else(void **state)
{
	static const char *const names[] = {"\"../l\"", "\"\"", "\".\"", "\"..\"", "\"a/b\"", "7", "null"};
	const char *folder = *state;

	put(folder, "l/1.conf", "{\"type\":\"y\"}");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *text = format_text("{\"name\":%s,\"plugins\":[{\"type\":\"x\"}]}", names[i]);

		put(folder, "net.d/a.conflist", text);
		assert_unread(folder, "net.d/a.conflist", "a.conflist: name is ");
	}
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_an_object_as_it_stands),
		cmocka_unit_test(what_is_none_is_refused_with_its_name),
		cmocka_unit_test(a_name_is_given_where_there_is_none),
		cmocka_unit_test(a_device_is_put_into_each_plugin),
		cmocka_unit_test(arguments_are_merged_into_each_plugin),
		cmocka_unit_test(arguments_are_given_once_each),
		cmocka_unit_test(arguments_are_merged_in_no_time),
		cmocka_unit_test(a_list_has_a_bounded_number_of_plugins),
		WITH_FOLDER(a_network_is_found_by_its_name),
		WITH_FOLDER(what_cannot_be_used_is_passed_over),
		WITH_FOLDER(what_is_no_file_is_passed_over),
		WITH_FOLDER(a_folder_has_a_bounded_number_of_them),
		WITH_FOLDER(a_path_leads_to_a_file_or_to_a_folders_first_one),
		WITH_FOLDER(a_list_takes_the_plugins_beside_it),
		WITH_FOLDER(a_list_may_have_no_more_than_its_own),
		WITH_FOLDER(a_lists_name_leads_nowhere_else),
	};

	log_open(LOG_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
