/* One call of one plugin: where it is found, its environment, and everything that it may answer. */
#include "test/unit/chain_stub.h"

#include <errno.h>

/* The error of an ADD by one plugin with that body. */
static struct error fail_with(const struct stubs *stubs, const char *body)
{
	cleanup_chain struct chain *chain = read_chain("{\"name\":\"k8snet1\",\"type\":\"stub\"}", NULL);
	struct error e = {0};
	cJSON *result = NULL;

	stub_write(stubs, "stub", body);
	assert_true(add(stubs, chain, 20 * SECONDS, &result, &e) < 0);
	assert_null(result);
	assert_int_equal(e.err < 0, 1);
	return e;
}

static void test_find(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_free char *second = stub_path(stubs, "second");
	cleanup_free char *in_second = stub_path(stubs, "second/both");
	cleanup_free char *folder = stub_path(stubs, "a-folder");
	cleanup_free char *path = format_text("/nonexistent:%s:%s", stubs->folder, second);
	cleanup_free char *turned = format_text("%s::%s", second, stubs->folder);
	cleanup_free char *found = NULL, *expected = stub_path(stubs, "both"), *found_in_second = NULL;
	cleanup_error struct error e = {0};

	mkdir(second, 0755);
	mkdir(folder, 0755);
	stub_write(stubs, "both", "");
	stub_write(stubs, "second/both", "");
	assert_int_equal(call_find("both", path, &found, &e), 0);
	assert_string_equal(found, expected);
	assert_int_equal(call_find("both", turned, &found_in_second, &e), 0);
	assert_string_equal(found_in_second, in_second);
	unlink(in_second);
	rmdir(second);

	const char *const cases[][3] = {
		{"", "/a", "no plugin name provided"},
		{"a/b", "/a", "invalid plugin name: a/b"},
		{"x", "", "no paths provided"},
		{"x", "/a:/b", "failed to find plugin \"x\" in path [/a /b]"},
		{"a-folder", stubs->folder, "failed to find plugin \"a-folder\" in path ["},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *none = NULL;

		assert_true(call_find(cases[i][0], cases[i][1], &none, &e) < 0);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_int_equal(strncmp(e.message, cases[i][2], strlen(cases[i][2])), 0);
	}
}

static bool has_line(const char *text, const char *line)
{
	cleanup_free char *inner = format_text("\n%s\n", line);
	cleanup_free char *framed = format_text("\n%s", text);

	return strstr(framed, inner) != NULL;
}

static size_t count_lines(const char *text, const char *start)
{
	cleanup_free char *framed = format_text("\n%s", text);
	cleanup_free char *inner = format_text("\n%s", start);
	size_t count = 0;

	for (const char *at = framed; (at = strstr(at, inner)); at++)
		count++;
	return count;
}

static void test_environment(void **state)
{
	const struct stubs *stubs = *state;
	struct call_params params = params_of(stubs);
	cleanup_error struct error e = {0};
	cleanup_call struct call *call = NULL;
	cleanup_free char *stubs_entry = format_text("STUBS=%s", stubs->folder);
	char *entries[] = {(char[]){"PATH=/bin:/usr/bin"}, (char[]){"CNI_COMMAND=DEL"}, (char[]){"CNI_IFNAME=old"},
		(char[]){"TWICE=first"}, (char[]){"TRACEPARENT=00-ab-cd-01"}, (char[]){"CNI_NETNS_OVERRIDE=1"},
		(char[]){"EMPTY="}, (char[]){"TWICE=second=x"}, (char[]){"CNI_COMMAND=CHECK"}, stubs_entry, NULL};
	char **ours = environ;

	/* No stub: a shell would tidy its environment up before it shows it. */
	params.args = NULL;
	params.path = "/usr/bin";
	environ = entries;

	int r = call_start(&params, "env", "{}", clock_now() + 20 * SECONDS, &call, &e);

	environ = ours;
	assert_int_equal(r, 0);

	cleanup_free char *out = NULL;
	size_t length = 0;

	assert_int_equal(call_finish(call, &out, &length, &e), 0);
	assert_int_equal(strlen(out), length);

	const char *const lines[] = {"CNI_COMMAND=ADD", "CNI_CONTAINERID=cid", "CNI_NETNS=/var/run/netns/x",
		"CNI_IFNAME=eth0", "CNI_ARGS=", "CNI_PATH=/usr/bin", "TWICE=second=x", "TRACEPARENT=00-ab-cd-01",
		"CNI_NETNS_OVERRIDE=1", "EMPTY=", "PATH=/bin:/usr/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (!has_line(out, lines[i]))
			fail_msg("no %s in\n%s", lines[i], out);
	}
	assert_int_equal(count_lines(out, "CNI_COMMAND="), 1);
	assert_int_equal(count_lines(out, "TWICE="), 1);
	assert_int_equal(count_lines(out, "CNI_IFNAME="), 1);
}

/* Our stderr for the time of a call; ends in a file of the folder. */
static int divert_stderr(const struct stubs *stubs)
{
	cleanup_free char *path = stub_path(stubs, "stderr");
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return saved;
}

static void restore_stderr(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static void test_stderr(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain("{\"name\":\"n\",\"type\":\"stub\"}", NULL);
	cleanup_json cJSON *result = NULL;
	cleanup_error struct error e = {0};

	stub_write(stubs, "stub", "echo a word >&2; echo '{}'");

	int saved = divert_stderr(stubs);
	int r = add(stubs, chain, 20 * SECONDS, &result, &e);

	restore_stderr(saved);
	assert_int_equal(r, 0);
	assert_file(stubs, "stderr", "a word\n");

	/* On failure it is in the error instead. */
	saved = divert_stderr(stubs);

	cleanup_error struct error failed =
		fail_with(stubs, "echo a word >&2; echo '{\"code\":7,\"msg\":\"m\"}'; exit 1");

	restore_stderr(saved);
	assert_string_equal(failed.message, "m");
	assert_file(stubs, "stderr", "");
}

struct failure {
	const char *body;
	unsigned int code;
	const char *message;
	const char *details; /* starts with */
};

static void test_failures(void **state)
{
	static const char ours[] = "delegate \"k8snet1\" (stub)";
	static const struct failure cases[] = {
		{"echo '{\"cniVersion\":\"0.3.1\",\"code\":113,\"msg\":\"no \\\"more\\\"\",\"details\":\"all "
		 "taken\"}'; exit 1",
			113, "no \"more\"", "all taken"},
		{"echo '{\"code\":11,\"msg\":\"later\"}'; exit 1", 11, "later", ours},
		{"echo '{\"CODE\":0,\"Msg\":\"zero\",\"details\":\"\"}'; exit 1", 0, "zero", ours},
		{"echo '{\"code\":4294967295,\"msg\":\"m\"}'; exit 1", 4294967295, "m", ours},
		{"echo '{\"code\":5}'; exit 9", 5, "netplugin failed with no error message: exit status 9", ours},
		{"echo '{}'; exit 1", 999, "netplugin failed with no error message: exit status 1", ours},
		{"exit 4", 999, "netplugin failed with no error message: exit status 4", ours},
		/* a Go panic: no stdout, exit status 2 */
		{"printf 'panic: runtime error\\n\\tmain.go:5\\377\\n' >&2; exit 2", 999,
			"netplugin failed: \"panic: runtime error\\n\\tmain.go:5\\xff\\n\": exit status 2", ours},
		{"echo oops; echo why >&2; exit 1", 999,
			"netplugin failed but error parsing its diagnostic message \"oops\\n\": its stdout: invalid "
			"JSON at byte 0",
			"why\n"},
		{"echo '[1]'; exit 1", 999,
			"netplugin failed but error parsing its diagnostic message \"[1]\\n\": not a CNI error", ours},
		{"echo '{\"code\":\"7\",\"msg\":\"m\"}'; exit 1", 999,
			"netplugin failed but error parsing its diagnostic message "
			"\"{\\\"code\\\":\\\"7\\\",\\\"msg\\\":\\\"m\\\"}\\n\": "
			"not a CNI error",
			ours},
		{"echo '{\"code\":-1,\"msg\":\"m\"}'; exit 1", 999,
			"netplugin failed but error parsing its diagnostic message "
			"\"{\\\"code\\\":-1,\\\"msg\\\":\\\"m\\\"}\\n\": not a "
			"CNI error",
			ours},
		{"echo dying >&2; kill -9 $$", 999, "plugin type=\"stub\" killed by signal 9 (Killed)", "dying\n"},
		{"kill -SEGV $$", 999, "plugin type=\"stub\" killed by signal 11 (Segmentation fault)", ours},
		{"yes | head -c 50000000", 5, "plugin type=\"stub\": the program wrote more than 4 MiB and was killed",
			ours},
		/* exit 0 with something that is no result */
		{"exit 0", 6, "plugin type=\"stub\": invalid result: unexpected end of JSON input", ours},
		{"echo garbage", 6, "plugin type=\"stub\": invalid result: invalid JSON at byte 0", ours},
		{"echo '{} {}'", 6,
			"plugin type=\"stub\": invalid result: invalid JSON: data behind the value at byte 3", ours},
		{"echo '{\"cniVersion\":\"9.0.0\"}'", 6,
			"plugin type=\"stub\": invalid result: unsupported CNI result version \"9.0.0\"", ours},
		{"echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"x\"}]}'", 6,
			"plugin type=\"stub\": invalid result: ips[0].address is \"x\": it must be an IP address with "
			"the length of its "
			"prefix",
			ours},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error e = fail_with(*state, cases[i].body);

		if (strcmp(e.message, cases[i].message) != 0)
			fail_msg("%s\n%s\nexpected\n%s", cases[i].body, e.message, cases[i].message);
		assert_int_equal(e.code, cases[i].code);
		assert_non_null(e.details);
		assert_int_equal(strncmp(e.details, cases[i].details, strlen(cases[i].details)), 0);
	}
}

static void test_long_errors_are_cut(void **state)
{
	cleanup_error struct error own = fail_with(*state,
		"printf '{\"code\":7,\"msg\":\"'; head -c 100000 /dev/zero | tr '\\0' m; printf 'x\",\"details\":\"a'; "
		"yes 'ä' | tr -d '\\n' | head -c 100000; echo '\"}'; exit 1");
	cleanup_error struct error panic = fail_with(*state, "head -c 3000000 /dev/zero >&2; exit 2");

	assert_int_equal(own.code, 7);
	assert_int_equal(strlen(own.message), 65536);
	assert_int_equal(strlen(own.details), 65535); /* never half a character */
	assert_true(strlen(panic.message) < 300000);
	assert_non_null(strstr(panic.message, "\\x00...\": exit status 2"));
}

static void test_deadline(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_chain struct chain *chain = read_chain("{\"name\":\"n\",\"type\":\"stub\"}", NULL);
	cleanup_error struct error e = {0}, late = {0};
	struct call_params params = params_of(stubs);
	cJSON *result = NULL;

	stub_write(stubs, "stub", "echo working >&2; sleep 70 & sleep 71");
	assert_int_equal(add(stubs, chain, SECONDS / 2, &result, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_string_equal(e.message, "plugin type=\"stub\" did not answer within 0.5 s and was killed");
	assert_string_equal(e.details, "working\n");

	forget(stubs);
	stub_write(stubs, "stub", NOTE);
	assert_int_equal(chain_add_start(chain, &params, clock_now() - 1, &late), -ETIMEDOUT);
	assert_int_equal(late.code, ERROR_TRY_AGAIN);
	assert_file(stubs, "calls", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_long_errors_are_cut),
		cmocka_unit_test(test_deadline),
	};

	process_adopt_orphans();
	return cmocka_run_group_tests(tests, stub_setup, stub_teardown);
}
