#include "plugin/gc_seen.h"

#include "plugin/base/file.h"

#include <string.h>
#include <time.h>

#define WAIT_SECONDS 300

static int64_t seconds_since_boot(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

static int64_t wait_seconds(void)
{
#ifdef LAMINA_FAULT_POINTS
	const char *shorter = getenv("LAMINA_GC_WAIT");

	if (shorter)
		return strtol(shorter, NULL, 10);
#endif
	return WAIT_SECONDS;
}

void gc_seen_read(const struct run *run, struct gc_seen *ret)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *json = NULL;
	cleanup_error struct error ignored = {0};
	size_t length = 0;

	*ret = (struct gc_seen){
		.path = format_text("%s/gc.json", run->config->data_dir),
		.boot_id = run->boot_id,
		.now = cJSON_CreateObject(),
		.time = seconds_since_boot(),
		.wait = wait_seconds(),
	};
	if (file_read(ret->path, JSON_MAX_BYTES, &text, &length, &ignored) < 0 ||
		json_parse(text, length, ret->path, &json, &ignored) < 0)
		return;

	const char *boot_id = json_text(json, "bootId");

	if (boot_id && strcmp(boot_id, run->boot_id) == 0)
		ret->before = json_copy(json_get(json, "gone"));
}

int64_t gc_seen_note(struct gc_seen *seen, const char *identity)
{
	const cJSON *first = cJSON_GetObjectItemCaseSensitive(seen->before, identity);
	bool known = cJSON_IsNumber(first) && first->valuedouble >= 0 && first->valuedouble <= (double)seen->time;
	int64_t since = known ? (int64_t)first->valuedouble : seen->time, left = since + seen->wait - seen->time;

	if (!cJSON_GetObjectItemCaseSensitive(seen->now, identity))
		cJSON_AddItemToObject(seen->now, identity, cJSON_CreateNumber((double)since));
	if (left > 0)
		return left;
	/* However short the wait: one pass is not two. */
	return known ? 0 : 1;
}

void gc_seen_forget(struct gc_seen *seen, const char *identity)
{
	cJSON_DeleteItemFromObjectCaseSensitive(seen->now, identity);
}

int gc_seen_write(const struct gc_seen *seen, struct error *e)
{
	cleanup_json cJSON *json = cJSON_CreateObject();

	if (!seen->now->child)
		return file_remove(seen->path, e);
	json_put_text(json, "bootId", seen->boot_id);
	json_put(json, "gone", json_copy(seen->now));

	cleanup_free char *text = json_print(json);

	return file_write(seen->path, 0600, text, strlen(text), e);
}

void gc_seen_clear(struct gc_seen *seen)
{
	free(seen->path);
	cJSON_Delete(seen->before);
	cJSON_Delete(seen->now);
	*seen = (struct gc_seen){0};
}
