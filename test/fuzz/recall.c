/*
 * All of cniDir, as those read it who do not know what was made: a DEL whose record is lost or damaged, GC, node gc,
 * lamina ip. Parts between NULs: the configuration; the container's record, or nothing; then files of results/, each
 * with its name in the first line (none: the one that its content says). What is taken has names that lead nowhere
 * else, and that DEL strikes it, and nothing else.
 */
#include "plugin/base/log.h"
#include "plugin/import.h"
#include "plugin/results.h"
#include "plugin/state_list.h"
#include "test/fuzz/scratch.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONTAINER "c0ffee"
#define IFNAME "eth0"
#define MAX_FILES 8
#define BEHIND_ALL 1000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct part {
	const uint8_t *bytes;
	size_t length;
};

/* What is under way. */
struct scene {
	struct request request;
	struct config config;
	struct part record;
	struct part files[MAX_FILES];
	char *paths[MAX_FILES]; /* those that are there */
	size_t count;
	char *record_path;
};

/* --- names, by rules that are not lamina's own --- */

static bool is_name(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (!isalnum((unsigned char)*c) && (c == text || !strchr("_.-", *c)))
			return false;
	}
	return *text;
}

static bool is_interface(const char *text)
{
	return *text && strlen(text) < IFNAMSIZ && !strpbrk(text, "/:% \t\r\n\v\f") && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

static char *result_path(const char *network, const char *container_id, const char *ifname)
{
	return format_text("%s/results/%s-%s-%s", scratch_folder(), network, container_id, ifname);
}

static bool is_there(const struct scene *scene, const char *path)
{
	for (size_t i = 0; i < scene->count; i++) {
		if (strcmp(scene->paths[i], path) == 0)
			return true;
	}
	return false;
}

/* --- GC and lamina ip --- */

static void check_entry(const struct state_entry *entry)
{
	cleanup_record struct record record = {0};
	cleanup_error struct error e = {0};

	if (strcmp(entry->container_id, CONTAINER) != 0 || (entry->ifname && !is_interface(entry->ifname)) ||
		!state_is_unchanged(scratch_folder(), entry))
		abort();
	if (entry->damaged)
		return;
	/* It is undone by what is read in its name. */
	if (state_load(scratch_folder(), CONTAINER, entry->ifname, &record, &e) < 0) {
		if (e.err != -EBADMSG)
			abort();
	} else if (entry->ifname && (!record.ours || record.plan.count == 0)) {
		abort();
	}
}

/* As a DEL asks whose the namespace is that it is to empty. */
static void look_for_owner(size_t count)
{
	const struct netns_id id = {.cookie = 17, .device = 4, .inode = 9};

	if (state_is_anothers(scratch_folder(), CONTAINER, &id, "b") ||
		(state_is_anothers(scratch_folder(), "another", &id, "b") && count == 0))
		abort();
}

static void list_records(const struct scene *scene)
{
	cleanup_free char *away = format_text("%s.away", scene->record_path);
	cleanup_error struct error e = {0};
	struct state_entry *entries = NULL;
	size_t count = 0;

	if (state_list(scratch_folder(), &entries, &count, &e) < 0 || (count > 0 && !scene->record.length))
		abort();
	for (size_t i = 0; i < count; i++) {
		check_entry(&entries[i]);
		for (size_t k = 0; k < i; k++) {
			if (same_text_or_none(entries[i].ifname, entries[k].ifname))
				abort();
		}
	}
	look_for_owner(count);
	rename(scene->record_path, away);
	for (size_t i = 0; i < count; i++) {
		if (state_is_unchanged(scratch_folder(), &entries[i]))
			abort();
	}
	rename(away, scene->record_path);
	state_entries_free(entries, count);
}

static void check_result(const struct scene *scene, const struct cached_result *cached)
{
	cleanup_free char *own = result_path(cached->network, cached->container_id, cached->ifname);
	cleanup_request_args struct request_args args = {0};
	cleanup_error struct error ignored = {0};
	bool lives;

	if (!is_there(scene, cached->path) || !is_name(cached->container_id) || !is_interface(cached->ifname) ||
		(cached->capabilities && !cJSON_IsObject(cached->capabilities)))
		abort();
	request_read_args(cached->args, &args, &ignored);
	lives = cached_result_lives(scratch_folder(), cached->network, cached->container_id, cached->ifname);
	if (strcmp(own, cached->path) == 0 && is_name(cached->network) && !*cached->netns && !lives)
		abort();
	if (!is_there(scene, own) && lives)
		abort();
}

static void list_results(const struct scene *scene)
{
	cleanup_error struct error e = {0};
	struct cached_result *results = NULL;
	size_t count = 0;

	if (cached_results_list(scratch_folder(), &results, &count, &e) < 0 || count > scene->count)
		abort();
	for (size_t i = 0; i < count; i++)
		check_result(scene, &results[i]);
	cached_results_free(results, count);
}

static bool has_network(const cJSON *list, const char *name)
{
	const cJSON *conf;

	cJSON_ArrayForEach(conf, list)
	{
		if (same_text(json_text(conf, "name"), name))
			return true;
	}
	return false;
}

static void list_networks(const cJSON *known)
{
	cleanup_json cJSON *list = cached_networks(scratch_folder(), known);
	const cJSON *conf;

	if (!cJSON_IsArray(list))
		abort();
	cJSON_ArrayForEach(conf, list)
	{
		const char *name = json_text(conf, "name");

		if (!name || !is_name(name) || has_network(known, name) || has_network(conf->next, name) ||
			!import_own_conf(conf))
			abort();
	}
}

/* --- DEL --- */

static void check_attachment(const struct scene *scene, const struct attachment *a, bool damaged)
{
	cleanup_free char *path = result_path(a->network, CONTAINER, a->ifname);
	const struct made *made = &a->made;

	if ((*a->network && !is_name(a->network)) || !is_interface(a->ifname) || a->index > BEHIND_ALL ||
		!cJSON_IsObject(a->conf))
		abort();
	if (made->exec != MADE_INTENDED || made->link != MADE_INTENDED || made->rules != MADE_INTENDED ||
		made->lease != MADE_INTENDED)
		abort();
	/* By that name its answer goes. */
	if (!is_there(scene, path) && (!damaged || (*a->network && !has_network(scene->config.delegates, a->network))))
		abort();
}

static void strike(struct scene *scene, struct record *record)
{
	struct run run = {.request = &scene->request, .config = &scene->config, .netns_fd = -1};
	cleanup_free bool *done = allocate(record->plan.count, sizeof(*done));
	cleanup_error struct error e = {0};

	memset(done, true, record->plan.count);
	if (state_strike(&record->plan, done, &run, &e) < 0)
		abort();
	for (size_t i = 0; i < scene->count; i++) {
		bool struck = false;

		for (size_t k = 0; k < record->plan.count; k++) {
			const struct attachment *a = record->plan.attachments[k];
			cleanup_free char *path = result_path(a->network, CONTAINER, a->ifname);

			struck |= strcmp(path, scene->paths[i]) == 0;
		}
		if (struck != (access(scene->paths[i], F_OK) < 0))
			abort();
	}
}

static void recall(struct scene *scene, bool damaged)
{
	cleanup_record struct record record = {0};
	const bool found = state_recall(&scene->request, &scene->config, damaged, &record);

	if (found != (record.plan.count > 0) || record.done == damaged || record.ours || record.going ||
		(found && !damaged && scene->record.length))
		abort();
	for (size_t i = 0; i < record.plan.count; i++) {
		check_attachment(scene, record.plan.attachments[i], damaged);
		/* Those of the cache in the order of the pod's networks, and others behind them. */
		if (!damaged && i > 0 && record.plan.attachments[i]->index < record.plan.attachments[i - 1]->index)
			abort();
	}
	state_complete_versions(&record, &scene->request);
	if (found)
		strike(scene, &record);
}

/* --- an input --- */

static char *name_of(const struct part *content)
{
	cleanup_json cJSON *cache = NULL;
	cleanup_error struct error ignored = {0};

	json_parse((const char *)content->bytes, content->length, "a result", &cache, &ignored);

	const char *network = json_text(cache, "networkName"), *container_id = json_text(cache, "containerId"),
		   *ifname = json_text(cache, "ifName");

	return format_text("%s-%s-%s", network ? network : "", container_id ? container_id : "", ifname ? ifname : "");
}

static void put_file(struct scene *scene, const struct part *file)
{
	const uint8_t *line = file->length ? memchr(file->bytes, '\n', file->length) : NULL;

	if (!line)
		return;

	const struct part content = {line + 1, file->length - (size_t)(line - file->bytes) - 1};
	cleanup_free char *name = line == file->bytes
					  ? name_of(&content)
					  : format_text("%.*s", (int)(line - file->bytes), (const char *)file->bytes);
	cleanup_free char *path = format_text("%s/results/%s", scratch_folder(), name);

	/* What no folder can have, and the files that GC leaves alone. */
	if (strchr(name, '/') || *name == '.' || strlen(name) > NAME_MAX - 8 || is_there(scene, path))
		return;
	scratch_write(path, content.bytes, content.length);
	scene->paths[scene->count++] = steal_ptr(path);
}

static void put_all(struct scene *scene)
{
	if (scene->record.length)
		scratch_write(scene->record_path, scene->record.bytes, scene->record.length);
	for (size_t i = 0; i < MAX_FILES; i++)
		put_file(scene, &scene->files[i]);
}

static void remove_all(struct scene *scene)
{
	unlink(scene->record_path);
	while (scene->count > 0) {
		unlink(scene->paths[--scene->count]);
		free(scene->paths[scene->count]);
	}
}

static struct part next_part(struct part *rest)
{
	const uint8_t *end = rest->length ? memchr(rest->bytes, '\0', rest->length) : NULL;
	const struct part part = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->length};
	const size_t used = part.length + (end ? 1 : 0);

	*rest = (struct part){rest->bytes + used, rest->length - used};
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct part rest = {bytes, length}, conf_part = next_part(&rest);
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error ignored = {0};
	cleanup_free char *results = format_text("%s/results", scratch_folder());
	cleanup_free char *record_path = format_text("%s/" CONTAINER, scratch_folder());
	struct scene scene = {.record_path = record_path};

	log_open(LOG_ERROR, false);
	mkdir(results, 0700);
	json_parse((const char *)conf_part.bytes, conf_part.length, "the configuration", &conf, &ignored);
	scene.request = (struct request){
		.container_id = CONTAINER, .ifname = IFNAME, .network = "fuzz", .args = "", .netns = "", .conf = conf};
	config_read_folders_with(conf, "/proc/self/fd/none", &scene.config);
	scene.config.cni_dir = scratch_folder();
	scene.record = next_part(&rest);
	for (size_t i = 0; i < MAX_FILES; i++)
		scene.files[i] = next_part(&rest);

	put_all(&scene);
	list_records(&scene);
	list_results(&scene);
	list_networks(NULL);
	list_networks(scene.config.delegates);
	recall(&scene, false);
	remove_all(&scene);
	put_all(&scene);
	recall(&scene, true);
	remove_all(&scene);
	config_clear(&scene.config);
	return 0;
}
