/* What a killed ADD or DEL left running: found by its environment, awaited, ended; everybody else's processes live. */
#include "delegate/exec.h"
#include "plugin/base/log.h"
#include "test/unit/stub.h"

#include <errno.h>
#include <signal.h>

/* A container of this run only: other runs of this test look at the same /proc. */
static const char *container_id(const struct stubs *stubs)
{
	return strrchr(stubs->folder, '/') + 1;
}

/* Starts a stub in an environment of exactly: PATH, STUBS, and these two. */
static struct process *start_with(const struct stubs *stubs, const char *name, const char *command, const char *id)
{
	cleanup_free char *path = stub_path(stubs, name);
	cleanup_free char *folder = format_text("STUBS=%s", stubs->folder);
	cleanup_free char *command_entry = copy_text(command), *id_entry = copy_text(id);
	char *const environment[] = {(char[]){"PATH=/bin:/usr/bin"}, command_entry, folder, id_entry, NULL};
	struct process *process = NULL;
	struct error e = {0};

	if (process_start(path, environment, "", 0, clock_now() + SECONDS, &process, &e) < 0)
		fail_msg("%s", e.message);
	return process;
}

static struct process *start_stray(const struct stubs *stubs, const char *name)
{
	cleanup_free char *id = format_text("CNI_CONTAINERID=%s", container_id(stubs));

	return start_with(stubs, name, "CNI_COMMAND=ADD", id);
}

static int await_container(const char *id, int64_t microseconds, size_t *ret)
{
	cleanup_error struct error e = {0};

	return process_await_container(id, clock_now() + microseconds, ret, &e);
}

static void test_strays_are_awaited(void **state)
{
	const struct stubs *stubs = *state;
	size_t seen = 99;
	int64_t began = clock_now();

	assert_int_equal(await_container(container_id(stubs), 5 * SECONDS, &seen), 0);
	assert_int_equal(seen, 0);
	assert_true(clock_now() - began < SECONDS);

	stub_write(stubs, "stray", "sleep 0.5\nexit 0");
	began = clock_now();

	cleanup_process struct process *stray = start_stray(stubs, "stray");

	assert_int_equal(await_container(container_id(stubs), 10 * SECONDS, &seen), 0);
	assert_in_range(seen, 1, 2); /* the shell and its sleep */
	assert_in_range(clock_now() - began, 4 * SECONDS / 10, 3 * SECONDS);

	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(process_await(stray, clock_now() + SECONDS, &end, &e), 0);
	assert_int_equal(end.signal, 0);
}

static void test_strays_are_killed(void **state)
{
	const struct stubs *stubs = *state;
	size_t seen = 0;

	/* A child in a session of its own is one, too. */
	stub_write(stubs, "stray", "setsid sleep 65 & echo $! >$STUBS/child; sleep 66");

	cleanup_process struct process *stray = start_stray(stubs, "stray");
	pid_t child = stub_read_pid(stubs, "child");
	int64_t began = clock_now();

	assert_int_equal(await_container(container_id(stubs), SECONDS / 3, &seen), 0);
	assert_in_range(seen, 2, 4); /* a loaded machine may show one of them never, or a fork of it */
	assert_in_range(clock_now() - began, 3 * SECONDS / 10, 3 * SECONDS);
	assert_true(stub_is_gone(child));

	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(process_await(stray, clock_now() + SECONDS, &end, &e), 0);
	assert_int_equal(end.signal, SIGKILL);
}

/* Everything that is not exactly it lives on. */
static void test_others_are_no_strays(void **state)
{
	static const struct {
		const char *command, *before;
		int kept; /* bytes of the container's id */
		const char *behind;
	} others[] = {
		{"CNI_COMMAND=CHECK", "CNI_CONTAINERID=", 100, ""},
		{"CNI_COMMAND=ADD", "CNI_CONTAINERID=", 100, "0"},
		{"CNI_COMMAND=ADD", "CNI_CONTAINERID=", 10, ""},
		{"CNI_COMMAND=ADD", "CNI_CONTAINERID=", 0, ""},
		{"CNI_COMMAND=ADD", "XCNI_CONTAINERID=", 100, ""},
		{"CNI_COMMAND=ADD", "X=\nCNI_CONTAINERID=", 100, ""},
		{"CNI_COMMAND=ADD ", "CNI_CONTAINERID=", 100, ""},
		{"CNI_COMMAND=ADDS", "CNI_CONTAINERID=", 100, ""},
	};
	const struct stubs *stubs = *state;
	struct process *processes[ARRAY_SIZE(others)];
	size_t seen = 99;

	stub_write(stubs, "other", "sleep 67");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		cleanup_free char *id = format_text(
			"%s%.*s%s", others[i].before, others[i].kept, container_id(stubs), others[i].behind);

		processes[i] = start_with(stubs, "other", others[i].command, id);
	}
	assert_int_equal(await_container(container_id(stubs), 0, &seen), 0);
	assert_int_equal(seen, 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		cleanup_process_end struct process_end end = {0};
		cleanup_error struct error e = {0};

		assert_int_equal(process_await(processes[i], clock_now(), &end, &e), -ETIMEDOUT);
		process_free(processes[i]);
	}
}

/* Neither ourselves nor a parent, whose environment may well be that of an ADD. */
static void test_no_waiting_for_our_callers(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_free char *self = realpath("/proc/self/exe", NULL);
	cleanup_free char *body =
		format_text("STRAY_TEST_ROLE=await '%s'\nSTRAY_TEST_ROLE=await CNI_COMMAND=DEL '%s'\n:", self, self);

	stub_write(stubs, "caller", body);

	int64_t began = clock_now();
	cleanup_process struct process *caller = start_stray(stubs, "caller");
	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(process_await(caller, began + 20 * SECONDS, &end, &e), 0);
	assert_string_equal(end.out, "r 0 seen 0\nr 0 seen 0\n");
	assert_true(clock_now() - began < 3 * SECONDS);
}

static int await_as_child(void)
{
	size_t seen = 99;
	int r = await_container(getenv("CNI_CONTAINERID"), 5 * SECONDS, &seen);

	printf("r %d seen %zu\n", r, seen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strays_are_awaited),
		cmocka_unit_test(test_strays_are_killed),
		cmocka_unit_test(test_others_are_no_strays),
		cmocka_unit_test(test_no_waiting_for_our_callers),
	};

	if (getenv("STRAY_TEST_ROLE"))
		return await_as_child();
	process_adopt_orphans();
	return cmocka_run_group_tests(tests, stub_setup, stub_teardown);
}
