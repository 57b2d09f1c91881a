/* The SQLite store on files that something else has damaged. */
#pragma once

#include "test/unit/store_files.h"

enum harm {
	EMPTY,
	CUT_HEADER,
	CUT_MIDDLE,
	CUT_END,
	GARBAGE,
	FOREIGN,
	NEWER,
	NO_VERSION,
	WRITE_AHEAD,
	OTHER_FILE,
	FOLDER
};

/* Does one thing to a file of which the bytes are known; other is the other file's bytes. */
static inline void harm_file(
	const char *path, enum harm harm, char *bytes, size_t size, const char *other, size_t other_size)
{
	unsigned int seed = 3;

	if (harm == GARBAGE) {
		for (size_t i = 0; i < size; i++)
			bytes[i] = (char)rand_r(&seed);
	}
	if (harm == FOREIGN)
		bytes[68] ^= 1;
	if (harm == NEWER)
		bytes[63] = 2;
	if (harm == NO_VERSION)
		bytes[63] = 0;
	if (harm == WRITE_AHEAD)
		bytes[18] = bytes[19] = 2;
	if (harm == FOLDER) {
		unlink(path);
		assert_int_equal(mkdir(path, 0700), 0);
		return;
	}
	if (harm == EMPTY || harm == CUT_HEADER || harm == CUT_MIDDLE || harm == CUT_END)
		size = harm == EMPTY ? 0 : harm == CUT_HEADER ? 50 : harm == CUT_MIDDLE ? 8192 : size - 100;
	write_all(path, harm == OTHER_FILE ? other : bytes, harm == OTHER_FILE ? other_size : size);
}

static const struct {
	enum harm harm;
	const char *text;
} harms[] = {
	{EMPTY, "is empty"},
	{CUT_HEADER, "is damaged (cut off"},
	{CUT_MIDDLE, "is damaged ("},
	{CUT_END, "is damaged (cut off)"},
	{GARBAGE, "is damaged (cut off, or no SQLite file)"},
	{FOREIGN, "is an SQLite file of another program"},
	{NEWER, "was written by a newer lamina (layout 2, this one knows 1)"},
	{NO_VERSION, "is an SQLite file of another program"},
	{WRITE_AHEAD, "was set to a write-ahead log"},
	{OTHER_FILE, "is an SQLite file of another program"},
	{FOLDER, ""},
};

static inline void harm_and_claim(void **state, bool harm_holds, size_t which)
{
	const struct store_fixture *fixture = fixture_of(state);
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	struct paths paths;
	struct store_reply reply = {0};
	struct error e = {0};
	size_t size = 0, other_size = 0;

	paths_of(fixture, &paths);

	const char *path = harm_holds ? paths.holds : paths.claims;
	cleanup_free char *bytes = read_all(path, &size), *kept = read_all(path, &size);
	cleanup_free char *other = read_all(harm_holds ? paths.claims : paths.holds, &other_size);
	cleanup_free char *text = format_text("%s %s", path, harms[which].text);
	const char *remedy = harm_holds ? "kept for namespaces" : "move it away (mv ";

	harm_file(path, harms[which].harm, bytes, size, other, other_size);
	for (int attempt = 0; attempt < 2; attempt++) {
		int r = try_claim(&paths, config, "x", attempt ? "10.0.200.1" : NULL, soon(), &reply, &e);

		if (r < 0 && harms[which].harm != FOLDER && !strstr(e.message, remedy))
			fail_msg("no remedy: %s", e.message);
		expect_error(r, &e, ERROR_IO, harms[which].harm == FOLDER ? path : text, "claim");
	}
	/* What was kept for namespaces is no matter to a pod that ends. */
	if (harm_holds) {
		WITH_STORE(store, state);

		release(store, "nobody", NULL);
	}

	/* A read does not take it for an empty store either. */
	cleanup_store struct store *reader = NULL;
	struct listing listing = {0};
	int r = store_sqlite_open_readonly(&paths.both, soon(), &reader, &e);

	if (r >= 0)
		r = reader->ops->list(reader, NULL, NULL, &listing.entries, &listing.count, &e);
	expect_error(r, &e, ERROR_IO, path, "list");
	rmdir(path);
	write_all(path, kept, size);
}

static void never_takes_a_damaged_file_for_empty(void **state)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");

	{
		WITH_STORE(store, state);

		for (int i = 1; i < 200; i++) {
			cleanup_free char *cid = format_text("%d", i), *fixed = format_text("10.0.100.%d", i);

			expect_fixed(store, config, cid, fixed, STORE_GRANTED);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
		harm_and_claim(state, false, i);
		harm_and_claim(state, true, i);
	}
	/* As it was, it works. */
	WITH_STORE(store, state);

	expect_dynamic(store, config, "x", STORE_GRANTED, "10.0.0.2");
}

#define USED 40

/* An address in an index becomes its neighbour: in order, well formed, and wrong. */
static inline void move_an_address(char *page, unsigned int *seed)
{
	static const char key[] = {4, 10, 0, 0};
	int skip = rand_r(seed) % USED;

	for (int i = 0; i < 4096 - 5; i++) {
		if (memcmp(page + i, key, sizeof(key)) == 0 && skip-- == 0)
			page[i + 4] = (char)(page[i + 4] - 1);
	}
}

/* Damages one page in one of several ways. */
static inline void damage_page(char *page, unsigned int *seed)
{
	int way = rand_r(seed) % 5;
	int count = way == 0 ? 4096 : way == 1 ? 64 : way == 2 ? 1 : 512;
	int from = rand_r(seed) % (4096 - count + 1);

	if (way == 4) {
		move_an_address(page, seed);
		return;
	}
	for (int i = from; i < from + count; i++)
		page[i] = (char)(way == 2 ? page[i] ^ 1 << rand_r(seed) % 8 : way == 3 ? 0 : rand_r(seed));
}

/* After damage: each claim fails or gets what nobody has; in the second configuration that is nothing. */
static inline int claim_from_damaged(
	const struct paths *paths, const struct ipam_config *config, const struct ipam_config *full)
{
	int failed = 0;

	for (int i = 0; i < 6; i++) {
		cleanup_free char *cid = format_text("new-%d", i), *fixed = format_text("10.0.0.%d", 5 + i * 5);
		cleanup_reply struct store_reply reply = {0};
		cleanup_error struct error e = {0};
		int r = try_claim(
			paths, i % 3 == 1 ? full : config, cid, i % 3 == 2 ? fixed : NULL, soon(), &reply, &e);

		if (r < 0) {
			assert_int_equal(e.code, ERROR_IO);
			assert_non_null(strstr(e.message, paths->claims));
			failed++;
		} else if (reply.answer == STORE_GRANTED) {
			assert_true(reply.addrs[0].bytes[3] >= 2 + USED);
		}
	}
	return failed;
}

static void never_gives_an_address_twice_from_a_damaged_file(void **state)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/24\"}");
	WITH_CONFIG(full, "{\"subnet\":\"10.0.0.0/24\",\"rangeEnd\":\"10.0.0.41\"}");
	unsigned int seed = 11;
	int failed = 0;
	size_t size = 0;
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	for (int i = 0; i < USED; i++) {
		cleanup_free char *cid = format_text("%d", i);
		WITH_STORE(store, state);
		struct asking asking;

		ask(&asking, config, cid);
		cleanup_reply struct store_reply reply = claim(store, &asking.request);

		assert_int_equal(reply.addrs[0].bytes[3], 2 + i);
	}

	cleanup_free char *whole = read_all(paths.claims, &size);

	for (int round = 0; round < 1500; round++) {
		cleanup_free char *bytes = allocate(1, size);
		size_t page = (size_t)round % (size / 4096);

		memcpy(bytes, whole, size);
		damage_page(bytes + page * 4096, &seed);
		write_all(paths.claims, bytes, size);
		failed += claim_from_damaged(&paths, config, full);
	}
	assert_in_range(failed, 1000, 1500 * 6);
}
