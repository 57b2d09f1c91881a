/*
 * What stands in cniDir of a container: its record, a NUL, and what each of its attachments finds under results/. What
 * is taken has names that lead nowhere else, and what it says outlives being written and read again, as each verb does;
 * then a DEL strikes all of it.
 */
#include "plugin/results.h"
#include "plugin/state.h"
#include "test/fuzz/scratch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONTAINER "c0ffee"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char *const ifnames[] = {"eth0", NULL};

static char *result_path(const struct attachment *a)
{
	cleanup_error struct error e = {0};

	if ((*a->network && !is_cni_name(a->network)) || strchr(a->ifname, '/') ||
		(*a->ifname && request_check_ifname(a->ifname, &e) < 0))
		abort();
	return format_text("%s/results/%s-" CONTAINER "-%s", scratch_folder(), a->network, a->ifname);
}

/* Names of files are not endless: a network's that is too long finds none. */
static bool put_result(const struct attachment *a, const uint8_t *bytes, size_t length)
{
	cleanup_free char *path = result_path(a);

	if (strlen(strrchr(path, '/')) > NAME_MAX - 8)
		return false;
	scratch_write(path, bytes, length);
	return true;
}

/* Compared as text: a stranger's object may have two members of one name, which cJSON_Compare cannot tell apart.
 * Printed a second time, since the first one rounds fractions. */
static char *print_again(const cJSON *conf)
{
	cleanup_free char *text = json_print(conf);
	cleanup_json cJSON *again = NULL;
	cleanup_error struct error e = {0};

	if (json_parse(text, strlen(text), "what we printed", &again, &e) < 0)
		abort();
	return json_print(again);
}

static void check_same(const struct attachment *a, const struct attachment *b)
{
	cleanup_free char *conf = print_again(a->conf), *conf_again = print_again(b->conf);

	if (strcmp(a->ifname, b->ifname) != 0 || strcmp(a->network, b->network) != 0 || a->index != b->index ||
		strcmp(conf, conf_again) != 0)
		abort();
	if (a->made.exec != b->made.exec || a->made.link != b->made.link || a->made.rules != b->made.rules ||
		a->made.lease != b->made.lease || a->made.table != b->made.table ||
		a->made.ifindex != b->made.ifindex || memcmp(a->made.mac, b->made.mac, sizeof(a->made.mac)) != 0 ||
		a->made.addr_count != b->made.addr_count ||
		!same_text_or_none(a->made.lease_value, b->made.lease_value))
		abort();
}

static void check_read_back(const struct record *record, const char *ifname)
{
	cleanup_record struct record again = {0};
	cleanup_error struct error e = {0};

	if (state_load(scratch_folder(), CONTAINER, ifname, &again, &e) < 0 || again.plan.count != record->plan.count ||
		!again.ours)
		abort();
	for (size_t i = 0; i < record->plan.count; i++)
		check_same(record->plan.attachments[i], again.plan.attachments[i]);
}

/* As ADD writes it, a DEL begins, and ends. */
static void use_record(struct record *record, const char *ifname)
{
	const struct config config = {.cni_dir = scratch_folder()};
	const struct request request = {.container_id = CONTAINER,
		.ifname = ifname ? ifname : "eth0",
		.network = "fuzz",
		.args = "K8S_POD_NAME=web-0;IgnoreUnknown=1",
		.netns = ""};
	struct run run = {.request = &request, .config = &config, .netns_fd = -1};
	cleanup_free bool *done = allocate(record->plan.count, sizeof(*done));
	cleanup_error struct error e = {0};

	if (state_save(&record->plan, true, &run, &e) < 0)
		abort();
	check_read_back(record, request.ifname);
	for (size_t i = 0; i < record->plan.count; i++) {
		struct attachment *a = record->plan.attachments[i];

		if (a->result &&
			(results_save(a, &run, &e) < 0 || results_remove(a, config.cni_dir, CONTAINER, &e) < 0))
			abort();
		done[i] = i % 2 == 0;
	}
	if (state_mark_going(&run, &e) < 0 || state_strike(&record->plan, done, &run, &e) < 0)
		abort();
	memset(done, true, record->plan.count);
	if (state_strike(&record->plan, done, &run, &e) < 0)
		abort();
}

static void load(const char *ifname, const uint8_t *result, size_t length)
{
	cleanup_record struct record record = {0};
	cleanup_error struct error e = {0};

	if (state_load(scratch_folder(), CONTAINER, ifname, &record, &e) < 0) {
		if ((e.err != -EBADMSG && e.err != -ENOENT) || e.code != ERROR_IO || !strstr(e.message, CONTAINER))
			abort();
		return;
	}
	for (size_t i = 0; i < record.plan.count; i++) {
		if (put_result(record.plan.attachments[i], result, length))
			results_load(record.plan.attachments[i], scratch_folder(), CONTAINER);
	}
	use_record(&record, ifname);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const uint8_t *end = length ? memchr(bytes, '\0', length) : NULL;
	size_t record_length = end ? (size_t)(end - bytes) : length;
	cleanup_free char *path = format_text("%s/" CONTAINER, scratch_folder());
	cleanup_free char *results = format_text("%s/results", scratch_folder());

	mkdir(results, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(ifnames); i++) {
		scratch_write(path, bytes, record_length);
		load(ifnames[i], end ? end + 1 : bytes, end ? length - record_length - 1 : 0);
		unlink(path);
	}
	return 0;
}
