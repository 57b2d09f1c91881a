/* plugin/base: errors, files, base64, clocks and fault points. JSON and addresses have programs of their own. */
#include "plugin/base/base64.h"
#include "plugin/base/error.h"
#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

/* --- errors --- */

static void wraps_errors_from_inside_out(void **state)
{
	cleanup_error struct error e = {0};

	(void)state;
	assert_int_equal(error_set(&e, -ENOENT, ERROR_CONFIG, "no %s", "master"), -ENOENT);
	assert_int_equal(error_details(&e, "eth%d", 9), -ENOENT);
	assert_int_equal(error_wrap(&e, "network \"%s\"", "db"), -ENOENT);
	assert_int_equal(error_wrap(&e, "delegates[%d]", 1), -ENOENT);
	assert_string_equal(e.message, "delegates[1]: network \"db\": no master");
	assert_string_equal(e.details, "eth9");
	assert_int_equal(e.code, ERROR_CONFIG);

	/* A new error may quote the old one; its details go. */
	assert_int_equal(error_set(&e, -EIO, ERROR_IO, "again: %s", e.message), -EIO);
	assert_string_equal(e.message, "again: delegates[1]: network \"db\": no master");
	assert_null(e.details);

	/* An error is never taken for success. */
	assert_true(error_set(&e, 0, ERROR_IO, "x") < 0);
	error_clear(&e);
	assert_int_equal(e.err, 0);
	assert_null(e.message);
}

static void lists_items_with_commas(void **state)
{
	cleanup_free char *list = NULL, *begun = copy_text("");

	(void)state;
	append_item(&list, "a");
	assert_string_equal(list, "a");
	append_item(&list, "b c");
	append_item(&list, "");
	assert_string_equal(list, "a, b c, ");

	/* An empty text is a list without items. */
	append_item(&begun, "a");
	append_item(&begun, "b");
	assert_string_equal(begun, "a, b");
}

static void names_are_what_the_specification_allows(void **state)
{
	(void)state;
	assert_true(is_cni_name("a"));
	assert_true(is_cni_name("0Az_.-"));
	assert_false(is_cni_name(""));
	assert_false(is_cni_name("-a"));
	assert_false(is_cni_name("a/b"));
	assert_false(is_cni_name("ab\n"));
	assert_false(is_cni_name("\xc3\xa4"));
}

static void keeps_the_first_error(void **state)
{
	cleanup_error struct error first = {0}, second = {0}, none = {0};

	(void)state;
	error_keep_first(&first, &none);
	assert_int_equal(first.err, 0);

	error_set(&second, -EIO, ERROR_IO, "one");
	error_keep_first(&first, &second);
	assert_int_equal(second.err, 0);
	assert_null(second.message);

	error_set(&second, -EPERM, ERROR_RIGHTS, "two");
	error_keep_first(&first, &second);
	assert_string_equal(first.message, "one");
	assert_int_equal(first.code, ERROR_IO);
	assert_int_equal(second.err, 0);
	assert_null(second.message);
}

/* --- files: each test in a folder of its own --- */

static int make_folder(void **state)
{
	char pattern[] = "/tmp/base_test.XXXXXX";
	const char *folder = mkdtemp(pattern);

	*state = copy_text(folder);
	return folder ? 0 : -1;
}

static int remove_folder(void **state)
{
	cleanup_free char *folder = *state;
	cleanup_free char *command = format_text("rm -rf %s", folder);

	return system(command);
}

static size_t count_entries(const char *folder)
{
	cleanup_dir DIR *d = opendir(folder);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	return n - 2; /* . and .. */
}

static void writes_and_reads_whole_files(void **state)
{
	static const char bytes[] = "a\0b\n";
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/not/yet/there/file", folder);
	cleanup_free char *got = NULL, *text = NULL;
	cleanup_error struct error e = {0};
	size_t length = 0;
	struct stat st;

	assert_int_equal(file_write(path, 0600, bytes, sizeof(bytes), &e), 0);
	assert_int_equal(file_read(path, 100, &got, &length, &e), 0);
	assert_int_equal(length, sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(got[length], '\0');
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	const mode_t mask = umask(0077);

	assert_int_equal(file_write_synced(path, 0644, "synced", 6, &e), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(file_write(path, 0600, "", 0, &e), 0);
	assert_int_equal(file_read(path, 0, &text, NULL, &e), 0);
	assert_string_equal(text, "");
}

static void bounds_what_it_reads(void **state)
{
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/large", folder);
	cleanup_free char *bytes = allocate(1, 100001), *got = NULL, *other = NULL;
	cleanup_error struct error e = {0};
	size_t length = 0;

	memset(bytes, 'x', 100000);
	assert_int_equal(file_write(path, 0600, bytes, 100000, &e), 0);
	assert_int_equal(file_read(path, 100000, &got, &length, &e), 0);
	assert_int_equal(length, 100000);
	assert_string_equal(got, bytes);

	assert_int_equal(file_read(path, 99999, &other, NULL, &e), -EFBIG);
	assert_int_equal(e.code, ERROR_IO);
	assert_non_null(strstr(e.message, path));
	assert_non_null(strstr(e.message, "99999"));
	assert_int_equal(file_read(folder, 10, &other, NULL, &e), -EISDIR);

	cleanup_free char *absent = format_text("%s/absent", folder);

	assert_int_equal(file_read(absent, 10, &other, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.message, absent));
	assert_null(other);
}

static void reads_a_pipe_to_its_end(void **state)
{
	cleanup_error struct error e = {0};
	cleanup_free char *got = NULL;
	size_t length = 0;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	cleanup_close int in = ends[0];

	assert_int_equal(write(ends[1], "one", 3), 3);
	assert_int_equal(write(ends[1], "two", 3), 3);
	close(ends[1]);
	assert_int_equal(file_read_fd(in, "stdin", 6, &got, &length, &e), 0);
	assert_int_equal(length, 6);
	assert_string_equal(got, "onetwo");
}

/* A reader sees one writing or the other, whole, whenever it looks. */
static void replaces_files_in_one_step(void **state)
{
	enum { SIZE = 200000, ROUNDS = 100 };
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/file", folder);
	cleanup_free char *bytes = allocate(1, SIZE);
	cleanup_error struct error e = {0};
	int status = 0;

	memset(bytes, 'a', SIZE);
	assert_int_equal(file_write(path, 0600, bytes, SIZE, &e), 0);

	pid_t writer = fork();

	if (writer == 0) {
		for (int i = 0; i < ROUNDS; i++) {
			memset(bytes, 'a' + i % 2, SIZE);
			if (file_write(path, 0600, bytes, SIZE, &e) < 0)
				_exit(1);
		}
		_exit(0);
	}
	while (waitpid(writer, &status, WNOHANG) == 0) {
		cleanup_free char *got = NULL;
		size_t length = 0;

		assert_int_equal(file_read(path, SIZE, &got, &length, &e), 0);
		assert_int_equal(length, SIZE);
		for (size_t i = 1; i < length; i++)
			assert_true(got[i] == got[0]);
	}
	assert_int_equal(status, 0);
	assert_int_equal(count_entries(folder), 1);
}

static void lets_writers_take_turns(void **state)
{
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/file", folder);
	enum { WRITERS = 4, WRITES = 500, SIZE = 3 * 4096 };
	pid_t writers[WRITERS];

	for (int w = 0; w < WRITERS; w++) {
		writers[w] = fork();
		assert_true(writers[w] >= 0);
		if (writers[w] > 0)
			continue;
		/* Each its own length: what two have written into one file would show. */
		struct error e = {0};
		char text[SIZE];
		size_t length = SIZE - (size_t)w * 1000;

		memset(text, 'a' + w, sizeof(text));
		for (int n = 0; n < WRITES; n++)
			if (file_write(path, 0600, text, length, &e) < 0)
				_exit(1);
		_exit(0);
	}
	for (int w = 0; w < WRITERS; w++) {
		int status = -1;

		assert_int_equal(waitpid(writers[w], &status, 0), writers[w]);
		assert_int_equal(status, 0);
	}

	cleanup_free char *got = NULL;
	cleanup_error struct error e = {0};
	size_t length = 0;

	assert_int_equal(file_read(path, SIZE, &got, &length, &e), 0);
	assert_int_equal(length, SIZE - (size_t)(got[0] - 'a') * 1000);
	for (size_t i = 1; i < length; i++)
		assert_true(got[i] == got[0]);
	assert_int_equal(count_entries(folder), 1);
}

static void removes_files_and_leftovers(void **state)
{
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/file", folder), *leftover = format_text("%s/.file.tmp", folder);
	cleanup_error struct error e = {0};

	/* What a killed writer leaves behind is neither read nor in the way, and goes with the file. */
	for (int with_file = 0; with_file < 2; with_file++) {
		cleanup_close int fd = open(leftover, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, "a longer half of it", 19), 19);
		if (with_file) {
			cleanup_free char *got = NULL;

			assert_int_equal(file_write(path, 0600, "whole", 5, &e), 0);
			assert_int_equal(file_read(path, 100, &got, NULL, &e), 0);
			assert_string_equal(got, "whole");
			assert_int_equal(count_entries(folder), 1);
		}
		assert_int_equal(file_remove(path, &e), 0);
		assert_int_equal(count_entries(folder), 0);
	}
	assert_int_equal(file_remove(path, &e), 0);
	assert_int_equal(file_remove(folder, &e), -EISDIR);
	assert_non_null(strstr(e.message, folder));
}

/* A file of the longest name that there is, and one of a longer one. */
static void serves_every_name_that_a_file_can_have(void **state)
{
	const char *folder = *state;
	cleanup_free char *longest = format_text("%s/%0*d", folder, NAME_MAX, 7);
	cleanup_free char *longer = format_text("%s/%0*d", folder, NAME_MAX + 1, 7);
	cleanup_free char *got = NULL;
	cleanup_error struct error e = {0};

	assert_int_equal(file_write(longest, 0600, "whole", 5, &e), 0);
	assert_int_equal(file_read(longest, 100, &got, NULL, &e), 0);
	assert_string_equal(got, "whole");
	assert_int_equal(count_entries(folder), 1);
	assert_int_equal(file_remove(longest, &e), 0);
	assert_int_equal(count_entries(folder), 0);
	assert_int_equal(file_remove(longer, &e), 0);
	assert_int_equal(file_write(longer, 0600, "whole", 5, &e), -ENAMETOOLONG);
	assert_int_equal(count_entries(folder), 0);
}

static void leaves_nothing_when_it_cannot_write(void **state)
{
	const char *folder = *state;
	cleanup_free char *path = format_text("%s/file", folder), *below = format_text("%s/file/below", folder);
	cleanup_free char *in_the_way = format_text("%s/folder", folder);
	cleanup_error struct error e = {0};

	assert_int_equal(file_write(path, 0600, "x", 1, &e), 0);
	assert_int_equal(file_write(below, 0600, "x", 1, &e), -ENOTDIR);
	assert_int_equal(e.code, ERROR_IO);
	assert_int_equal(file_make_folder(in_the_way, 0700, &e), 0);
	assert_int_equal(file_write(in_the_way, 0600, "x", 1, &e), -EISDIR);
	assert_non_null(strstr(e.message, in_the_way));
	assert_int_equal(count_entries(folder), 2);
}

static void makes_folders(void **state)
{
	const char *folder = *state;
	cleanup_free char *deep = format_text("%s/a/b/c", folder), *slash = format_text("%s/d/e/", folder);
	cleanup_free char *file = format_text("%s/a/file", folder), *below = format_text("%s/a/file/x", folder);
	cleanup_error struct error e = {0};
	struct stat st;

	assert_int_equal(file_make_folder(deep, 0700, &e), 0);
	assert_int_equal(file_make_folder(deep, 0755, &e), 0);
	assert_int_equal(file_make_folder(slash, 0700, &e), 0);
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(slash, &st), 0);
	assert_int_equal(file_write(file, 0600, "", 0, &e), 0);
	assert_int_equal(file_make_folder(below, 0700, &e), -ENOTDIR);
	assert_non_null(strstr(e.message, below));
}

/* --- base64, clocks, fault points --- */

static void codes_base64(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}, {"\xfb\xef", "++8="}};
	static const char *const refused[] = {
		"Z", "Zg", "Zg=", "Zg=a", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "-_79", "Zm9v===="};
	size_t length = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		cleanup_free char *text = base64_encode(pairs[i][0], strlen(pairs[i][0])), *bytes = NULL;

		assert_string_equal(text, pairs[i][1]);
		assert_true(base64_decode(text, &bytes, &length));
		assert_int_equal(length, strlen(pairs[i][0]));
		assert_string_equal(bytes, pairs[i][0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char *bytes = NULL;

		if (base64_decode(refused[i], &bytes, &length))
			fail_msg("\"%s\"", refused[i]);
		assert_null(bytes);
	}
}

static void counts_time_left(void **state)
{
	int64_t now = clock_now();

	(void)state;
	assert_int_equal(clock_left(now - 1), 0);
	assert_int_equal(clock_left(INT64_MIN / 2), 0);
	assert_int_equal(clock_left(now + 100000 * SECONDS * 100), INT_MAX);
	/* Rounded up: poll(2) must not spin through the last millisecond. */
	assert_in_range(clock_left(clock_now() + 10 * SECONDS), 9900, 10000);
	assert_in_range(clock_left(clock_now() + 900), 0, 1);

	assert_in_range(clock_share(now + 30 * SECONDS, 3), now + 10 * SECONDS, now + 11 * SECONDS);
	assert_in_range(clock_share(now + 30 * SECONDS, 1), now + 30 * SECONDS, now + 30 * SECONDS);
	/* What is late stays late. */
	assert_true(clock_share(now - 30 * SECONDS, 3) < now);

	bool differ = false;

	for (int i = 0; i < 20; i++) {
		int64_t chance = clock_chance(SECONDS);

		assert_in_range(chance, 0, SECONDS);
		differ |= chance != clock_chance(SECONDS);
	}
	assert_true(differ);
	assert_int_equal(clock_chance(0), 0);

	clock_pause(20000, now + 10 * SECONDS);
	assert_true(clock_now() - now >= 20000);

	int64_t before = clock_now();

	clock_pause(10 * SECONDS, before + 10000);
	clock_pause(10 * SECONDS, before - 1);
	assert_true(clock_now() - before < SECONDS);
}

static void fails_at_the_named_point_only(void **state)
{
#ifdef LAMINA_FAULT_POINTS
	int fails = -EIO;
#else
	int fails = 0;
#endif

	(void)state;
	assert_int_equal(setenv("LAMINA_FAULT", "link:fail", 1), 0);
	assert_int_equal(fault_point("link"), fails);
	assert_int_equal(fault_point("lin"), 0);
	assert_int_equal(fault_point("links"), 0);
	assert_int_equal(setenv("LAMINA_FAULT", "link:other", 1), 0);
	assert_int_equal(fault_point("link"), 0);
	assert_int_equal(unsetenv("LAMINA_FAULT"), 0);
	assert_int_equal(fault_point("link"), 0);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wraps_errors_from_inside_out),
		cmocka_unit_test(names_are_what_the_specification_allows),
		cmocka_unit_test(keeps_the_first_error),
		cmocka_unit_test(lists_items_with_commas),
		WITH_FOLDER(writes_and_reads_whole_files),
		WITH_FOLDER(bounds_what_it_reads),
		WITH_FOLDER(reads_a_pipe_to_its_end),
		WITH_FOLDER(replaces_files_in_one_step),
		WITH_FOLDER(lets_writers_take_turns),
		WITH_FOLDER(removes_files_and_leftovers),
		WITH_FOLDER(serves_every_name_that_a_file_can_have),
		WITH_FOLDER(leaves_nothing_when_it_cannot_write),
		WITH_FOLDER(makes_folders),
		cmocka_unit_test(codes_base64),
		cmocka_unit_test(counts_time_left),
		cmocka_unit_test(fails_at_the_named_point_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
