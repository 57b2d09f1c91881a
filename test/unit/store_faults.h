/* The SQLite store when processes die or stop, and when the disk does not take what is written. */
#pragma once

#include "test/unit/store_files.h"

#include <sched.h>
#include <sys/mount.h>

/* Claims and releases until it is killed; writes a line into the pipe behind each of them. */
static inline void churn(const struct paths *paths, const struct ipam_config *config, int round, int pipe)
{
	for (int i = 0;; i++) {
		cleanup_free char *cid = format_text("%d-%d", round, i);
		cleanup_reply struct store_reply reply = {0};
		struct error e = {0};

		CHILD_WORKS(try_claim(paths, config, cid, i % 7 ? NULL : "10.0.0.200", soon(), &reply, &e), e);
		CHILD_CHECK(reply.answer == STORE_GRANTED || (reply.answer == STORE_HELD && i % 7 == 0));
		if (reply.answer == STORE_GRANTED) {
			cleanup_free char *line = format_text("net %s by %s\n", ip_text(&reply.addrs[0]).s, cid);

			CHILD_CHECK(write(pipe, line, strlen(line)) == (ssize_t)strlen(line));
		}
	}
}

/* Each claim that was reported is there, and at most one that was not. */
static inline void check_reported(struct store *store, const char *reported)
{
	cleanup_listing struct listing listing = list(store);
	size_t found = 0, lines = 0;

	for (const char *c = reported; *c; c++)
		lines += *c == '\n';
	for (size_t i = 0; i < listing.count; i++) {
		const struct store_entry *entry = &listing.entries[i];
		cleanup_free char *line =
			format_text("net %s %s\n", ip_text(&entry->addr).s, entry->value ? entry->value : "-");

		found += strstr(reported, line) != NULL;
		assert_true(i == 0 || ip_compare(&entry[-1].addr, &entry->addr) != 0);
	}
	assert_int_equal(found, lines);
	/* The hold of the fixed address may stand alone, too. */
	assert_true(listing.count <= lines + 2);
}

static void survives_a_kill_at_any_moment(void **state)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	unsigned int seed = 7;
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	for (int round = 0; round < 60; round++) {
		int ends[2];
		char reported[65536] = "";

		assert_int_equal(pipe(ends), 0);

		pid_t child = fork_child();

		if (child == 0)
			churn(&paths, config, round, ends[1]);
		close(ends[1]);
		clock_pause(2000 + rand_r(&seed) % 8000, soon());
		kill(child, SIGKILL);
		assert_int_equal(await_child(child), -SIGKILL);
		for (ssize_t n, used = 0;
			(n = read(ends[0], reported + used, sizeof(reported) - 1 - (size_t)used)) > 0;)
			used += n;
		close(ends[0]);
		{
			WITH_STORE(store, state);

			check_reported(store, reported);
		}
		unlink(paths.claims);
		assert_int_equal(setup_again(fixture_of(state)), 0);
	}
}

/* Runs the test in a mount namespace with an empty tmpfs of that size on the fixture's folder. */
static inline void on_a_small_disk(void **state, const char *size, void (*run)(const struct store_fixture *))
{
	const struct store_fixture *fixture = fixture_of(state);
	pid_t child = fork_child();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0)
			_exit(77);
		CHILD_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		CHILD_CHECK(mount("tmpfs", fixture->folder, "tmpfs", 0, size) == 0);
		CHILD_CHECK(setup_again(fixture) == 0);
		run(fixture);
		_exit(0);
	}

	int status = await_child(child);

	if (status == 77)
		fprintf(stderr, "# skipped: this needs root\n");
	else
		assert_int_equal(status, 0);
}

/* Leaves that many pages of 4 KiB free, and no more. */
static inline void fill_disk(const struct store_fixture *fixture, int pages)
{
	struct paths paths;
	char block[4096] = "";
	off_t size = 0;

	paths_of(fixture, &paths);

	int fd = open(paths.filler, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHILD_CHECK(fd >= 0);
	for (ssize_t n; (n = write(fd, block, sizeof(block))) > 0;)
		size += n;
	size -= (off_t)pages * 4096;
	CHILD_CHECK(ftruncate(fd, size > 0 ? size : 0) == 0);
	close(fd);
}

/* Claims until the disk is full; what was granted is what is there. */
static inline void claim_on_a_full_disk(
	const struct store_fixture *fixture, const struct ipam_config *config, int pages)
{
	struct paths paths;
	struct error e = {0};
	size_t granted = 0, count = 0;
	struct store_entry *entries = NULL;
	cleanup_store struct store *store = NULL;
	int r = 0;

	paths_of(fixture, &paths);
	unlink(paths.claims);
	unlink(paths.holds);
	CHILD_CHECK(setup_again(fixture) == 0);
	fill_disk(fixture, pages);
	for (int i = 0; r >= 0 && i < 1000; i++) {
		cleanup_free char *cid = format_text("%d", i);
		cleanup_free char *fixed = format_text("10.0.2.%d", i % 250 + 1);
		cleanup_reply struct store_reply reply = {0};

		r = try_claim(&paths, config, cid, i % 3 || i > 700 ? NULL : fixed, soon(), &reply, &e);
		granted += r >= 0 && reply.answer == STORE_GRANTED;
	}
	CHILD_CHECK(r < 0 && e.code == ERROR_IO && strstr(e.message, "make room"));
	error_clear(&e);
	CHILD_CHECK(truncate(paths.filler, 0) == 0);
	CHILD_WORKS(store_sqlite_open(&paths.both, soon(), &store, &e), e);
	CHILD_WORKS(store->ops->list(store, NULL, NULL, &entries, &count, &e), e);
	for (size_t i = 0; i < count; i++)
		granted -= entries[i].value != NULL;
	CHILD_CHECK(granted == 0);
	store_entries_free(entries, count);
}

static inline void fill_the_disk(const struct store_fixture *fixture)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	struct paths paths;
	struct error e = {0};

	paths_of(fixture, &paths);
	for (int pages = 0; pages < 40; pages++)
		claim_on_a_full_disk(fixture, config, pages);

	/* Nothing half made is left where a file could not be made. */
	unlink(paths.claims);
	fill_disk(fixture, 2);
	CHILD_CHECK(store_sqlite_create(&paths.both, NULL, 0, soon(), &e) < 0);
	CHILD_CHECK(e.code == ERROR_IO && strstr(e.message, "make room"));
	error_clear(&e);
	strcat(paths.claims, ".new");
	CHILD_CHECK(access(paths.claims, F_OK) < 0);
	*strrchr(paths.claims, '.') = '\0';
	CHILD_CHECK(access(paths.claims, F_OK) < 0);
}

static void says_that_the_disk_is_full(void **state)
{
	on_a_small_disk(state, "size=1m", fill_the_disk);
}

static inline void write_protect(const struct store_fixture *fixture)
{
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct paths paths;
	cleanup_store struct store *reader = NULL;
	struct listing listing = {0};

	paths_of(fixture, &paths);
	CHILD_WORKS(try_claim(&paths, config, "a", NULL, soon(), &reply, &e), e);
	CHILD_CHECK(mount(NULL, fixture->folder, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	CHILD_CHECK(try_claim(&paths, config, "b", NULL, soon(), &reply, &e) < 0);
	CHILD_CHECK(e.code == ERROR_IO && strstr(e.message, "read-only") && strstr(e.message, paths.claims));
	error_clear(&e);
	CHILD_WORKS(store_sqlite_open_readonly(&paths.both, soon(), &reader, &e), e);
	CHILD_WORKS(reader->ops->list(reader, NULL, NULL, &listing.entries, &listing.count, &e), e);
	CHILD_CHECK(listing.count == 1);
	CHILD_CHECK(unlink(paths.claims) < 0);
	strcpy(strrchr(paths.claims, '/'), "/new.db");
	CHILD_CHECK(store_sqlite_create(&paths.both, NULL, 0, soon(), &e) < 0);
	CHILD_CHECK(e.code == ERROR_IO && strstr(e.message, "Read-only"));
	error_clear(&e);
	listing_clear(&listing);
	store_reply_clear(&reply);
}

static void says_that_the_disk_is_read_only(void **state)
{
	on_a_small_disk(state, "size=1m", write_protect);
}

/* The file can be written, but no journal can be made beside it. */
static void says_that_the_folder_is_read_only(void **state)
{
	WITH_CONFIG(config, SMALL);
	struct paths paths;
	pid_t child = fork_child();

	paths_of(fixture_of(state), &paths);
	if (child == 0) {
		struct store_reply reply = {0};
		struct error e = {0};

		CHILD_CHECK(chmod(paths.claims, 0666) == 0 && chmod(fixture_of(state)->folder, 0555) == 0);
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(77);
		CHILD_CHECK(try_claim(&paths, config, "a", NULL, soon(), &reply, &e) < 0);
		CHILD_CHECK(e.code == ERROR_IO && strstr(e.message, paths.claims) && strstr(e.message, "writable"));
		_exit(0);
	}

	int status = await_child(child);

	if (status == 77)
		fprintf(stderr, "# skipped: this needs root\n");
	else
		assert_int_equal(status, 0);
}

#ifdef LAMINA_FAULT_POINTS

/* An attempt in a process of its own, with LAMINA_FAULT set: the child's pid. */
static inline pid_t fork_claim(const struct paths *paths, const struct ipam_config *config, const char *fault,
	const char *cid, const char *fixed)
{
	pid_t child = fork_child();

	if (child == 0) {
		struct store_reply reply = {0};
		struct error e = {0};

		setenv("LAMINA_FAULT", fault, 1);
		_exit(try_claim(paths, config, cid, fixed, soon(), &reply, &e) < 0 ? 2 : 3);
	}
	return child;
}

static void survives_a_kill_around_its_commit(void **state)
{
	WITH_CONFIG(config, SMALL);
	cleanup_store struct store *reader = NULL;
	struct error e = {0};
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	assert_int_equal(await_child(fork_claim(&paths, config, "store_before_commit:kill", "a", NULL)), -SIGKILL);

	/* What it began is in the journal, which a reader may not play back. */
	expect_error(store_sqlite_open_readonly(&paths.both, soon(), &reader, &e), &e, ERROR_TRY_AGAIN, "was killed",
		"reading");

	WITH_STORE(store, state);

	expect_list(store, "");
	assert_int_equal(
		await_child(fork_claim(&paths, config, "store_before_commit:kill", "b", "10.0.0.4")), -SIGKILL);
	expect_list(store, "net 10.0.0.4 - default");
	assert_int_equal(await_child(fork_claim(&paths, config, "store_after_commit:kill", "c", NULL)), -SIGKILL);
	expect_list(store, "net 10.0.0.2 by c -; net 10.0.0.4 - default");
	expect_dynamic(store, config, "c", STORE_ALREADY, "10.0.0.2");
	assert_int_equal(await_child(fork_claim(&paths, config, "store_after_commit:kill", "d", "10.0.0.5")), -SIGKILL);
	expect_list(store, "net 10.0.0.2 by c -; net 10.0.0.4 - default; net 10.0.0.5 by d default");
}

/* A file was moved away, as an error told to, but not its journal: it must not be played back into the new one. */
static void leaves_an_old_journal_alone(void **state)
{
	const struct store_seed seed = {.network = "net",
		.domain = "default",
		.cid = "new",
		.ifname = "net1",
		.value = "by new",
		.addr = addr_of("10.0.0.6")};
	WITH_CONFIG(config, SMALL);
	struct error e = {0};
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	assert_int_equal(await_child(fork_claim(&paths, config, "store_before_commit:kill", "a", NULL)), -SIGKILL);
	assert_int_equal(unlink(paths.claims), 0);
	assert_int_equal(store_sqlite_create(&paths.both, &seed, 1, soon(), &e), 0);

	WITH_STORE(store, state);

	expect_list(store, "net 10.0.0.6 by new -");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.2");
}

static void takes_back_what_failed(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct asking asking;

	ask(&asking, config, "a");
	setenv("LAMINA_FAULT", "store_before_commit:fail", 1);
	expect_error(store->ops->claim(store, &asking.request, &reply, &e), &e, ERROR_IO, "before", "claim");
	/* Nor is anything kept for a namespace since. */
	ask_fixed(&asking, "10.0.0.5");
	expect_error(store->ops->claim(store, &asking.request, &reply, &e), &e, ERROR_IO, "before", "fixed claim");
	unsetenv("LAMINA_FAULT");
	expect_list(store, "");
	ask(&asking, config, "a");
	expect(store, &asking.request, STORE_GRANTED, "10.0.0.2");
	setenv("LAMINA_FAULT", "store_before_commit:fail", 1);
	expect_error(
		store->ops->release(store, &(struct store_release){.network = "net", .cid = "a", .ifname = "net1"}, &e),
		&e, ERROR_IO, "before", "release");
	unsetenv("LAMINA_FAULT");
	expect_list(store, "net 10.0.0.2 by a -");
}

static void gives_up_on_a_stopped_process(void **state)
{
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct paths paths;
	int status = 0;

	paths_of(fixture_of(state), &paths);

	pid_t child = fork_claim(&paths, config, "store_before_commit:stop", "a", NULL);
	int64_t begin = clock_now();

	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	begin = clock_now();
	expect_error(try_claim(&paths, config, "b", NULL, begin + SECONDS / 4, &reply, &e), &e, ERROR_TRY_AGAIN,
		paths.claims, "locked");
	assert_in_range(clock_now() - begin, SECONDS / 4, 2 * SECONDS);

	/* A deadline that is over is one try. */
	begin = clock_now();
	expect_error(try_claim(&paths, config, "b", NULL, begin, &reply, &e), &e, ERROR_TRY_AGAIN, "fuser", "locked");
	assert_in_range(clock_now() - begin, 0, SECONDS / 4);
	kill(child, SIGKILL);
	assert_int_equal(await_child(child), -SIGKILL);

	WITH_STORE(store, state);

	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.2");
}

#endif
