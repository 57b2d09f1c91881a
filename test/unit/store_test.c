/* The SQLite store: what every store must do, and what becomes of it when processes and disks fail. */
#include "test/unit/store_faults.h"
#include "test/unit/store_suite.h"

static void keeps_holds_over_a_reboot(void **state)
{
	WITH_CONFIG(config, SMALL);
	struct paths paths;
	struct error e = {0};
	cleanup_store struct store *store = NULL;

	paths_of(fixture_of(state), &paths);
	{
		WITH_STORE(before, state);

		expect_fixed(before, config, "a", "10.0.0.2", STORE_GRANTED);
		expect_dynamic(before, config, "b", STORE_GRANTED, "10.0.0.3");
	}
	strcpy(strrchr(paths.claims, '-'), "-2.db");
	assert_int_equal(store_sqlite_open(&paths.both, soon(), &store, &e), -ENOENT);
	error_clear(&e);
	assert_int_equal(access(paths.claims, F_OK), -1);
	assert_int_equal(store_sqlite_create(&paths.both, NULL, 0, soon(), &e), 0);
	assert_int_equal(store_sqlite_open(&paths.both, soon(), &store, &e), 0);
	expect_list(store, "net 10.0.0.2 - default");
	expect_dynamic(store, config, "c", STORE_GRANTED, "10.0.0.3");
	expect_fixed(store, config, "d", "10.0.0.2", STORE_GRANTED);
}

static void begins_with_seeds(void **state)
{
	const struct store_seed seeds[] = {
		{.network = "net",
			.domain = "default",
			.cid = "a",
			.ifname = "net1",
			.value = "by a",
			.addr = addr_of("10.0.0.2")},
		{.network = "net",
			.domain = "default",
			.cid = "a",
			.ifname = "net1",
			.value = "by a",
			.addr = addr_of("2001:db8::9")},
		{.network = "net",
			.domain = "default",
			.cid = "b",
			.ifname = "net1",
			.value = "by b",
			.sandbox = "/run/netns/x",
			.addr = addr_of("10.0.0.2")},
	};
	WITH_CONFIG(config, DUAL);
	struct paths paths;
	struct error e = {0};

	paths_of(fixture_of(state), &paths);
	unlink(paths.claims);
	/* A stale journal would be played back into the new file; a leftover of a killed creation is no hindrance. */
	strcat(paths.claims, "-journal");
	write_all(paths.claims, "stale", 5);
	strcpy(strrchr(paths.claims, '-'), ".new");
	write_all(paths.claims, "leftover", 8);
	*strrchr(paths.claims, '.') = '\0';
	assert_int_equal(store_sqlite_create(&paths.both, seeds, ARRAY_SIZE(seeds), soon(), &e), 0);
	/* Whoever comes second changes nothing. */
	assert_int_equal(store_sqlite_create(&paths.both, NULL, 0, soon(), &e), 0);

	WITH_STORE(store, state);

	expect_list(store, "net 10.0.0.2 by a -; net 2001:db8::9 by a -");
	expect_dynamic(store, config, "a", STORE_ALREADY, "10.0.0.2");
	expect_dynamic(store, config, "c", STORE_GRANTED, "10.0.0.3");
}

static void makes_its_folder(void **state)
{
	struct paths paths;
	struct stat st;
	struct error e = {0};

	paths_of(fixture_of(state), &paths);
	snprintf(paths.claims, sizeof(paths.claims), "%s/new/er/claims.db", fixture_of(state)->folder);
	assert_int_equal(store_sqlite_create(&paths.both, NULL, 0, soon(), &e), 0);
	assert_int_equal(stat(paths.claims, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 1);
	*strrchr(paths.claims, '/') = '\0';
	assert_int_equal(stat(paths.claims, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
}

static void creates_once_in_a_race(void **state)
{
	pid_t children[16];
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	for (int round = 0; round < 10; round++) {
		unlink(paths.claims);
		for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
			children[i] = fork_child();
			if (children[i] != 0)
				continue;

			cleanup_free char *cid = format_text("child-%zu", i);
			WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/24\"}");
			struct store_reply reply = {0};
			struct error e = {0};
			int r = try_claim(&paths, config, cid, NULL, soon(), &reply, &e);

			if (r == -ENOENT) {
				error_clear(&e);
				r = store_sqlite_create(&paths.both, NULL, 0, soon(), &e);
				if (r == 0)
					r = try_claim(&paths, config, cid, NULL, soon(), &reply, &e);
			}
			CHILD_CHECK(r == 0 && reply.answer == STORE_GRANTED);
			_exit(0);
		}
		for (size_t i = 0; i < ARRAY_SIZE(children); i++)
			assert_int_equal(await_child(children[i]), 0);

		WITH_STORE(store, state);
		cleanup_listing struct listing listing = list(store);

		assert_int_equal(listing.count, ARRAY_SIZE(children));
	}
}

static void writes_a_hold_once(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);
	struct stat before, after;
	struct paths paths;

	paths_of(fixture_of(state), &paths);
	assert_int_equal(access(paths.holds, F_OK), -1);
	expect_dynamic(store, config, "x", STORE_GRANTED, "10.0.0.2");
	assert_int_equal(access(paths.holds, F_OK), -1);
	expect_fixed(store, config, "a", "10.0.0.4", STORE_GRANTED);
	assert_int_equal(stat(paths.holds, &before), 0);
	release(store, "a", NULL);
	clock_pause(20000, soon());
	expect_fixed(store, config, "b", "10.0.0.4", STORE_GRANTED);
	assert_int_equal(stat(paths.holds, &after), 0);
	assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

/* A folder's names, in one text. */
static char *names_in(const char *folder)
{
	struct dirent **found = NULL;
	int count = scandir(folder, &found, NULL, alphasort);
	char *text = copy_text("");

	for (int i = 0; i < count; i++) {
		cleanup_free char *before = text;

		text = format_text("%s %s", before, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return text;
}

static void reads_without_a_trace(void **state)
{
	const struct store_fixture *fixture = fixture_of(state);
	cleanup_store struct store *reader = NULL, *later = NULL;
	cleanup_free char *before = NULL, *after = NULL;
	WITH_CONFIG(config, SMALL);
	struct store_reply reply = {0};
	struct error e = {0};
	struct asking asking;
	struct paths paths;

	paths_of(fixture, &paths);
	unlink(paths.claims);
	before = names_in(fixture->folder);
	assert_int_equal(store_sqlite_open_readonly(&paths.both, soon(), &reader, &e), 0);
	expect_list(reader, "");
	after = names_in(fixture->folder);
	assert_string_equal(before, after);
	ask(&asking, config, "a");
	expect_error(reader->ops->claim(reader, &asking.request, &reply, &e), &e, ERROR_IO, "reading only", "claim");
	expect_error(
		reader->ops->release(reader, "net", "a", "net1", NULL, &e), &e, ERROR_IO, "reading only", "release");
	assert_int_equal(setup_again(fixture), 0);
	{
		WITH_STORE(store, state);

		expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
		expect_fixed(store, config, "b", "10.0.0.4", STORE_GRANTED);
		release(store, "b", NULL);
	}
	assert_int_equal(store_sqlite_open_readonly(&paths.both, soon(), &later, &e), 0);
	expect_list(later, "net 10.0.0.2 by a -; net 10.0.0.4 - default");
}

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
static void harm_file(const char *path, enum harm harm, char *bytes, size_t size, const char *other, size_t other_size)
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

static void harm_and_claim(void **state, bool harm_holds, size_t which)
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
		r = reader->ops->list(reader, &listing.entries, &listing.count, &e);
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

/* Damages one page in one of several ways. */
static void damage_page(char *page, unsigned int *seed)
{
	int way = rand_r(seed) % 4;
	int count = way == 0 ? 4096 : way == 1 ? 64 : way == 2 ? 1 : 512;
	int from = rand_r(seed) % (4096 - count + 1);

	for (int i = from; i < from + count; i++)
		page[i] = (char)(way == 2 ? page[i] ^ 1 << rand_r(seed) % 8 : way == 3 ? 0 : rand_r(seed));
}

/* After damage: each claim fails or gets what nobody has. Returns how many failed. */
static int claim_from_damaged(const struct paths *paths, const struct ipam_config *config)
{
	int failed = 0;

	for (int i = 0; i < 6; i++) {
		cleanup_free char *cid = format_text("new-%d", i), *fixed = format_text("10.0.0.%d", 5 + i * 5);
		cleanup_reply struct store_reply reply = {0};
		cleanup_error struct error e = {0};

		if (try_claim(paths, config, cid, i % 2 ? fixed : NULL, soon(), &reply, &e) < 0) {
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
		failed += claim_from_damaged(&paths, config);
	}
	assert_in_range(failed, 1000, 1500 * 6);
}

/* Bytes that this process has read so far, from any file. */
static long bytes_read(void)
{
	char *text = NULL;
	struct error e = {0};
	long bytes = 0;

	if (file_read("/proc/self/io", 4096, &text, NULL, &e) < 0)
		fail_msg("%s", e.message);
	sscanf(text, "rchar: %ld", &bytes);
	free(text);
	return bytes;
}

#define MANY 60000

static void finds_an_address_among_many_cheaply(void **state)
{
	WITH_CONFIG(config, "{\"subnet\":\"10.0.0.0/16\"}");
	struct store_seed *seeds = allocate(MANY, sizeof(*seeds));
	struct store_reply reply = {0};
	struct error e = {0};
	struct paths paths;
	char long_value[400];

	snprintf(long_value, sizeof(long_value), "%0399d", 0);
	for (int i = 0; i < MANY; i++)
		seeds[i] = (struct store_seed){
			.network = "net",
			.domain = "default",
			.cid = format_text("%064d", i),
			.ifname = "net1",
			.value = long_value,
			.addr = {.family = AF_INET, .bytes = {10, 0, (uint8_t)((i + 2) >> 8), (uint8_t)(i + 2)}},
		};
	paths_of(fixture_of(state), &paths);
	unlink(paths.claims);
	assert_int_equal(store_sqlite_create(&paths.both, seeds, MANY, soon(), &e), 0);

	/* The first one passes the whole run: one index, never the 30 MB of holders. */
	long before = bytes_read();

	assert_int_equal(try_claim(&paths, config, "first", NULL, soon(), &reply, &e), 0);
	assert_string_equal(ip_text(&reply.addrs[0]).s, "10.0.234.98");
	assert_in_range(bytes_read() - before, 1, 4000000);
	store_reply_clear(&reply);

	/* From then on it is where free ones are. */
	before = bytes_read();
	assert_int_equal(try_claim(&paths, config, "second", NULL, soon(), &reply, &e), 0);
	assert_string_equal(ip_text(&reply.addrs[0]).s, "10.0.234.99");
	assert_in_range(bytes_read() - before, 1, 40 * 4096);
	store_reply_clear(&reply);
	for (int i = 0; i < MANY; i++)
		free((char *)(uintptr_t)seeds[i].cid);
	free(seeds);
}

#define SQLITE_TEST(test) STORE_TEST(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_SUITE(setup, teardown),
		SQLITE_TEST(keeps_holds_over_a_reboot),
		SQLITE_TEST(begins_with_seeds),
		SQLITE_TEST(makes_its_folder),
		SQLITE_TEST(creates_once_in_a_race),
		SQLITE_TEST(writes_a_hold_once),
		SQLITE_TEST(reads_without_a_trace),
		SQLITE_TEST(survives_a_kill_at_any_moment),
#ifdef LAMINA_FAULT_POINTS
		SQLITE_TEST(survives_a_kill_around_its_commit),
		SQLITE_TEST(takes_back_what_failed),
		SQLITE_TEST(gives_up_on_a_stopped_process),
#endif
		SQLITE_TEST(says_that_the_disk_is_full),
		SQLITE_TEST(says_that_the_disk_is_read_only),
		SQLITE_TEST(says_that_the_folder_is_read_only),
		SQLITE_TEST(never_takes_a_damaged_file_for_empty),
		SQLITE_TEST(never_gives_an_address_twice_from_a_damaged_file),
		SQLITE_TEST(finds_an_address_among_many_cheaply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
