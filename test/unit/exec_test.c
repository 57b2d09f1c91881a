/* Running other programs: real ones, with everything that a plugin can do wrong. */
#include "delegate/exec.h"
#include "plugin/base/log.h"
#include "test/unit/stub.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct process *start(const struct stubs *stubs, const char *name, const char *input, int64_t deadline)
{
	cleanup_free char *path = stub_path(stubs, name);
	struct process *process = NULL;
	struct error e = {0};

	if (process_start(path, environ, input, strlen(input), deadline, &process, &e) < 0)
		fail_msg("%s", e.message);
	return process;
}

/* Runs a stub with that body to its end. */
static struct process_end run(const struct stubs *stubs, const char *body, const char *input)
{
	stub_write(stubs, "stub", body);

	cleanup_process struct process *process = start(stubs, "stub", input, clock_now() + 30 * SECONDS);
	struct process_end end;
	struct error e = {0};

	if (process_await(process, clock_now() + 30 * SECONDS, &end, &e) < 0)
		fail_msg("%s", e.message);
	return end;
}

static void test_round_trip(void **state)
{
	cleanup_process_end struct process_end end = run(*state, "cat; echo problem >&2", "{\"a\":1}");

	assert_string_equal(end.out, "{\"a\":1}");
	assert_int_equal(end.out_length, 7);
	assert_string_equal(end.err, "problem\n");
	assert_int_equal(end.exit_status, 0);
	assert_int_equal(end.signal, 0);
}

static void test_ends(void **state)
{
	cleanup_process_end struct process_end status = run(*state, "echo no; exit 3", "");
	cleanup_process_end struct process_end killed = run(*state, "echo half; kill -9 $$", "");
	cleanup_process_end struct process_end term = run(*state, "kill -TERM $$; sleep 5", "");

	assert_int_equal(status.exit_status, 3);
	assert_int_equal(status.signal, 0);
	assert_string_equal(status.out, "no\n");
	assert_int_equal(killed.signal, SIGKILL);
	assert_int_equal(killed.exit_status, 0);
	assert_string_equal(killed.out, "half\n");
	assert_int_equal(term.signal, SIGTERM);
}

static char *large_text(size_t length)
{
	char *text = allocate(length + 1, 1);

	for (size_t i = 0; i < length; i++)
		text[i] = (char)('a' + i % 23);
	return text;
}

/* With pipes, one side or the other would wait for ever in one of these. */
static void test_one_mebibyte(void **state)
{
	cleanup_free char *text = large_text((size_t)1 << 20);
	cleanup_process_end struct process_end echo = run(*state, "cat", text);
	cleanup_process_end struct process_end deaf =
		run(*state, "head -c 1048576 /dev/zero | tr '\\0' x; exit 0", text);
	cleanup_process_end struct process_end both = run(*state, "cat >&2; cat /dev/stdin | head -c 3", text);

	assert_string_equal(echo.out, text);
	assert_int_equal(deaf.out_length, 1 << 20);
	assert_int_equal(both.err_length, 1 << 20);
}

/* Two writers, and one that opens /dev/stderr anew: nothing is overwritten. */
static void test_output_is_appended(void **state)
{
	cleanup_process_end struct process_end end =
		run(*state, "echo one >&2; (echo two >&2); echo three >>/dev/stderr; echo four >&2", "");

	assert_string_equal(end.err, "one\ntwo\nthree\nfour\n");
}

static void check_flood(const struct stubs *stubs, const char *body)
{
	stub_write(stubs, "stub", body);

	int64_t began = clock_now();
	cleanup_process struct process *process = start(stubs, "stub", "", began + 30 * SECONDS);
	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	assert_int_equal(process_await(process, began + 30 * SECONDS, &end, &e), -EFBIG);
	assert_int_equal(e.code, ERROR_IO);
	assert_true(end.out_length <= (size_t)4 << 20 && end.err_length <= (size_t)4 << 20);
	assert_true(clock_now() - began < 10 * SECONDS);
}

static void test_too_much_output(void **state)
{
	/* A flood that ends by itself, should nobody stop it. */
	check_flood(*state, "yes | head -c 50000000; sleep 60");
	check_flood(*state, "yes | head -c 50000000 >&2; sleep 60");
	check_flood(*state, "head -c 4194305 /dev/zero; sleep 60");
	check_flood(*state, "head -c 4194305 /dev/zero");

	cleanup_process_end struct process_end end = run(*state, "head -c 4194304 /dev/zero", "");

	assert_int_equal(end.out_length, (size_t)4 << 20);
}

static void test_deadline_kills_the_group(void **state)
{
	const struct stubs *stubs = *state;

	/* The child ignores what a shell would send it, and holds stdout. */
	stub_write(stubs, "stub",
		"echo begun\n(trap '' TERM HUP; sh -c 'echo $$ >$STUBS/child; sleep 61; :') &\n"
		"echo $$ >$STUBS/parent\nwait");

	int64_t began = clock_now();
	cleanup_process struct process *process = start(stubs, "stub", "", began + SECONDS / 2);
	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};
	pid_t parent = stub_read_pid(stubs, "parent"), child = stub_read_pid(stubs, "child");

	assert_int_equal(getpgid(child), parent);
	assert_int_equal(process_await(process, began + SECONDS / 2, &end, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERROR_TRY_AGAIN);
	assert_true(clock_now() - began >= SECONDS / 2);
	assert_true(clock_now() - began < 5 * SECONDS);
	assert_string_equal(end.out, "begun\n");
	/* No zombie either: we are its reaper, and have reaped. */
	assert_int_equal(kill(-parent, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(kill(child, 0), -1);
}

static void test_failed_ones_leave_nothing_running(void **state)
{
	static const char *const ends[] = {"exit 1", "kill -9 $$"};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		cleanup_free char *body = format_text("sleep 62 & echo $! >$STUBS/child; %s", ends[i]);
		cleanup_process_end struct process_end end = run(*state, body, "");

		assert_true(end.exit_status || end.signal);
		assert_true(stub_is_gone(stub_read_pid(*state, "child")));
	}
}

/* On success nobody is waited for, and nobody is killed: not in the group, and not in a session of its own. */
static void test_daemons_stay(void **state)
{
	static const char *const daemons[] = {"sleep 63 &", "setsid sleep 63 &"};

	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		cleanup_free char *body = format_text("%s\necho $! >$STUBS/child; echo '{}'", daemons[i]);
		int64_t began = clock_now();
		cleanup_process_end struct process_end end = run(*state, body, "");
		pid_t child = stub_read_pid(*state, "child");

		assert_true(clock_now() - began < 5 * SECONDS);
		assert_string_equal(end.out, "{}\n");
		assert_false(stub_is_gone(child));
		kill(child, SIGKILL);
	}
}

static void test_free_kills(void **state)
{
	const struct stubs *stubs = *state;

	stub_write(stubs, "stub", "sleep 64 & echo $! >$STUBS/child; wait");

	struct process *process = start(stubs, "stub", "", clock_now() + SECONDS);
	pid_t child = stub_read_pid(stubs, "child");

	process_free(process);
	assert_true(stub_is_gone(child));
	process_free(NULL);
}

static void test_awaited_after_its_deadline(void **state)
{
	const struct stubs *stubs = *state;

	stub_write(stubs, "stub", "echo done");

	cleanup_process struct process *process = start(stubs, "stub", "", clock_now() + SECONDS);
	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	clock_pause(SECONDS / 2, INT64_MAX);
	assert_int_equal(process_await(process, clock_now() - SECONDS, &end, &e), 0);
	assert_string_equal(end.out, "done\n");
}

static void check_refused(const char *path, int err)
{
	cleanup_error struct error e = {0};
	struct process *process = NULL;

	assert_int_equal(process_start(path, environ, "", 0, clock_now() + SECONDS, &process, &e), err);
	assert_null(process);
	assert_int_equal(e.code, ERROR_IO);
	assert_non_null(strstr(e.message, path));
	assert_non_null(strstr(e.message, strerror(-err)));
}

static void test_cannot_run(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_free char *absent = stub_path(stubs, "absent");
	cleanup_free char *plain = stub_path(stubs, "plain");
	cleanup_error struct error e = {0};

	check_refused(absent, -ENOENT);
	assert_int_equal(file_write(plain, 0644, "#!/bin/sh\n", 10, &e), 0);
	check_refused(plain, -EACCES);
	assert_int_equal(file_write(plain, 0755, "not a program", 13, &e), 0);
	assert_int_equal(chmod(plain, 0755), 0);
	check_refused(plain, -ENOEXEC);
}

/* Keeps the stub open for writing in another process, as an installer does. */
static pid_t hold_open(const struct stubs *stubs, const char *name, int64_t microseconds)
{
	cleanup_free char *path = stub_path(stubs, name);
	int ready[2];
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);

	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		clock_pause(microseconds, INT64_MAX);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void test_text_file_busy(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_free char *path = stub_path(stubs, "stub");
	cleanup_error struct error e = {0};
	struct process *none = NULL;

	stub_write(stubs, "stub", "echo at last");

	int64_t began = clock_now();
	pid_t holder = hold_open(stubs, "stub", 4 * SECONDS / 10);
	cleanup_process struct process *process = start(stubs, "stub", "", began + 20 * SECONDS);
	cleanup_process_end struct process_end end = {0};

	assert_int_equal(process_await(process, began + 20 * SECONDS, &end, &e), 0);
	assert_string_equal(end.out, "at last\n");
	assert_true(clock_now() - began >= 9 * SECONDS / 10);
	waitpid(holder, NULL, 0);

	/* The deadline ends the patience. */
	holder = hold_open(stubs, "stub", 10 * SECONDS);
	began = clock_now();
	assert_int_equal(process_start(path, environ, "", 0, began + SECONDS / 4, &none, &e), -ETXTBSY);
	assert_true(clock_now() - began < 2 * SECONDS);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
}

/* This program again, in another role: see main. */
static struct process_end run_self(const char *role)
{
	cleanup_free char *entry = format_text("EXEC_TEST_ROLE=%s", role);
	char *environment[] = {entry, NULL};
	struct process *process = NULL;
	struct process_end end = {0};
	struct error e = {0};

	if (process_start("/proc/self/exe", environment, "", 0, clock_now() + 20 * SECONDS, &process, &e) < 0 ||
		process_await(process, clock_now() + 20 * SECONDS, &end, &e) < 0)
		fail_msg("%s", e.message);
	process_free(process);
	return end;
}

static int list_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");

	for (struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder))
			printf("%s ", entry->d_name);
	}
	closedir(folder);
	return 0;
}

static void test_descriptors(void **state)
{
	(void)state;
	/* One that somebody gave us without close-on-exec. */
	int inherited = fcntl(STDERR_FILENO, F_DUPFD, 20);

	assert_true(inherited >= 20);

	cleanup_process_end struct process_end end = run_self("descriptors");

	close(inherited);
	assert_string_equal(end.out, "0 1 2 ");
}

static int show_signals(void)
{
	sigset_t mask;
	struct sigaction pipe_action;
	int blocked = 0;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	sigaction(SIGPIPE, NULL, &pipe_action);
	for (int i = 1; i < 32; i++)
		blocked += sigismember(&mask, i) == 1;
	printf("blocked %d pipe %s leader %d offset %ld", blocked,
		pipe_action.sa_handler == SIG_DFL ? "default" : "ignored", getpgrp() == getpid(),
		(long)lseek(0, 0, SEEK_CUR));
	return 0;
}

static void test_signals(void **state)
{
	(void)state;
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);

	cleanup_process_end struct process_end end = run_self("signals");

	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_string_equal(end.out, "blocked 0 pipe default leader 1 offset 0");
}

/* A caller that ignores SIGCHLD would leave us without exit status; one that reaps nobody, with zombies. */
static void test_adopt_orphans(void **state)
{
	int is_reaper = 0;

	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
	process_adopt_orphans();
	prctl(PR_GET_CHILD_SUBREAPER, &is_reaper, 0, 0, 0);
	assert_int_equal(is_reaper, 1);

	cleanup_process_end struct process_end end = run(*state, "exit 3", "");

	assert_int_equal(end.exit_status, 3);
}

/* Two at once, awaited in the wrong order. */
static void test_side_by_side(void **state)
{
	const struct stubs *stubs = *state;
	cleanup_process_end struct process_end a_end = {0}, b_end = {0};
	cleanup_error struct error e = {0};
	int64_t began = clock_now();

	stub_write(stubs, "a", "sleep 1; echo a");
	stub_write(stubs, "b", "sleep 1; echo b");

	cleanup_process struct process *a = start(stubs, "a", "", began + 20 * SECONDS);
	cleanup_process struct process *b = start(stubs, "b", "", began + 20 * SECONDS);

	assert_int_equal(process_await(b, began + 20 * SECONDS, &b_end, &e), 0);
	assert_int_equal(process_await(a, began + 20 * SECONDS, &a_end, &e), 0);
	assert_string_equal(a_end.out, "a\n");
	assert_string_equal(b_end.out, "b\n");
	assert_true(clock_now() - began < 19 * SECONDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_one_mebibyte),
		cmocka_unit_test(test_output_is_appended),
		cmocka_unit_test(test_too_much_output),
		cmocka_unit_test(test_deadline_kills_the_group),
		cmocka_unit_test(test_failed_ones_leave_nothing_running),
		cmocka_unit_test(test_daemons_stay),
		cmocka_unit_test(test_free_kills),
		cmocka_unit_test(test_awaited_after_its_deadline),
		cmocka_unit_test(test_cannot_run),
		cmocka_unit_test(test_text_file_busy),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_adopt_orphans),
		cmocka_unit_test(test_side_by_side),
	};
	const char *role = getenv("EXEC_TEST_ROLE");

	if (role && strcmp(role, "descriptors") == 0)
		return list_descriptors();
	if (role && strcmp(role, "signals") == 0)
		return show_signals();
	process_adopt_orphans();
	return cmocka_run_group_tests(tests, stub_setup, stub_teardown);
}
