/* The SQLite store: what every store must do, and what becomes of it when processes and disks fail. */
#include "test/unit/store_damage.h"
#include "test/unit/store_faults.h"
#include "test/unit/store_suite.h"

static void goes_on_in_rotation(void **state)
{
	WITH_STORE(store, state);
	WITH_CONFIG(config, SMALL);

	expect_dynamic(store, config, "a", STORE_GRANTED, "10.0.0.2");
	expect_dynamic(store, config, "b", STORE_GRANTED, "10.0.0.3");
	release(store, "a", NULL);
	expect_dynamic(store, config, "c", STORE_GRANTED, "10.0.0.4");
	expect_dynamic(store, config, "d", STORE_GRANTED, "10.0.0.5");
	expect_dynamic(store, config, "e", STORE_GRANTED, "10.0.0.6");
	expect_dynamic(store, config, "f", STORE_GRANTED, "10.0.0.2");
	release(store, "d", NULL);
	expect_dynamic(store, config, "g", STORE_GRANTED, "10.0.0.5");
	expect_list(store, "net 10.0.0.2 by f -; net 10.0.0.3 by b -; net 10.0.0.4 by c -; net 10.0.0.5 by g -; net "
			   "10.0.0.6 by e -");
}

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
			CHILD_WORKS(r, e);
			CHILD_CHECK(reply.answer == STORE_GRANTED);
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
	expect_error(reader->ops->release(
			     reader, &(struct store_release){.network = "net", .cid = "a", .ifname = "net1"}, &e),
		&e, ERROR_IO, "reading only", "release");
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
		SQLITE_TEST(goes_on_in_rotation),
		SQLITE_TEST(keeps_holds_over_a_reboot),
		SQLITE_TEST(begins_with_seeds),
		SQLITE_TEST(makes_its_folder),
		SQLITE_TEST(creates_once_in_a_race),
		SQLITE_TEST(writes_a_hold_once),
		SQLITE_TEST(reads_without_a_trace),
		SQLITE_TEST(survives_a_kill_at_any_moment),
#ifdef LAMINA_FAULT_POINTS
		SQLITE_TEST(survives_a_kill_around_its_commit),
		SQLITE_TEST(leaves_an_old_journal_alone),
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
