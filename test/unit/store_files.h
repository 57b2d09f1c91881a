/* The SQLite store's files: a folder of its own for each test, and what can be done to it. */
#pragma once

#include "ipam/store_sqlite.h"
#include "plugin/base/file.h"
#include "test/unit/store_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static inline const struct store_fixture *fixture_of(void **state)
{
	return *state;
}

/* The paths live until the caller's scope ends. */
struct paths {
	char claims[128], holds[128], filler[128];
	struct store_sqlite_paths both;
};

static inline void paths_of(const struct store_fixture *fixture, struct paths *ret)
{
	snprintf(ret->claims, sizeof(ret->claims), "%s/boot-1.db", fixture->folder);
	snprintf(ret->filler, sizeof(ret->filler), "%s/filler", fixture->folder);
	snprintf(ret->holds, sizeof(ret->holds), "%s/kept/holds.db", fixture->folder);
	ret->both = (struct store_sqlite_paths){.claims = ret->claims, .holds = ret->holds};
}

static inline int64_t soon(void)
{
	return clock_now() + 60 * SECONDS;
}

static inline struct store *open_sqlite(const struct store_fixture *fixture)
{
	struct store *store = NULL;
	struct error e = {0};
	struct paths paths;

	paths_of(fixture, &paths);
	if (store_sqlite_open(&paths.both, soon(), &store, &e) < 0) {
		fprintf(stderr, "# %s\n", e.message);
		abort();
	}
	return store;
}

/* An empty claims' file, where there is none. */
static inline int setup_again(const struct store_fixture *fixture)
{
	cleanup_error struct error e = {0};
	struct paths paths;

	paths_of(fixture, &paths);
	return store_sqlite_create(&paths.both, NULL, 0, soon(), &e);
}

static inline int setup(void **state)
{
	struct store_fixture *fixture = allocate(1, sizeof(*fixture));
	/* In memory where possible: hundreds of syncs to a disk are a minute. */
	char in_memory[] = "/dev/shm/lamina-store-XXXXXX", on_disk[] = "/tmp/lamina-store-XXXXXX";
	const char *folder = mkdtemp(in_memory);

	if (!folder)
		folder = mkdtemp(on_disk);

	*fixture = (struct store_fixture){
		.open = open_sqlite, .folder = copy_text(folder), .rotates = true, .sandboxes = true};
	*state = fixture;
	return setup_again(fixture);
}

static inline int teardown(void **state)
{
	struct store_fixture *fixture = *state;
	cleanup_free char *command = format_text("rm -rf '%s'", fixture->folder);
	int r = system(command);

	free(fixture->folder);
	free(fixture);
	return r;
}

/* Whether an attempt on the files fails, with that code and that text; what says which one in the test's output. */
static inline void expect_error(int r, struct error *e, unsigned int code, const char *text, const char *what)
{
	if (r >= 0)
		fail_msg("%s: no error", what);
	if (e->code != code || !strstr(e->message, text))
		fail_msg("%s: code %u, %s", what, e->code, e->message);
	error_clear(e);
}

/* Opens and, if that works, claims. */
static inline int try_claim(const struct paths *paths, const struct ipam_config *config, const char *cid,
	const char *fixed, int64_t deadline, struct store_reply *ret, struct error *e)
{
	cleanup_store struct store *store = NULL;
	struct asking asking;
	int r = store_sqlite_open(&paths->both, deadline, &store, e);

	if (r < 0)
		return r;
	ask(&asking, config, cid);
	if (fixed)
		ask_fixed(&asking, fixed);
	return store->ops->claim(store, &asking.request, ret, e);
}

static inline char *read_all(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = {0};

	assert_true(fd >= 0 && fstat(fd, &st) == 0);

	char *bytes = allocate(1, (size_t)st.st_size + 1);

	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static inline void write_all(const char *path, const char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}
