#include "plugin/state_list.h"

#include "plugin/base/file.h"
#include "plugin/results.h"

#include <errno.h>
#include <string.h>

struct entries {
	struct state_entry *list;
	size_t count;
};

static struct state_entry *add_entry(struct entries *entries, const char *container_id)
{
	struct state_entry *entry;

	entries->list = reallocate(entries->list, entries->count + 1, sizeof(*entries->list));
	entry = &entries->list[entries->count++];
	*entry = (struct state_entry){.container_id = copy_text(container_id), .bytes = copy_text("")};
	return entry;
}

/* The entry of the container's that the element belongs to, of those that stand in the list from `first` on. */
static struct state_entry *entry_of(
	struct entries *entries, size_t first, const char *container_id, const char *owner, const cJSON *own)
{
	struct state_entry *entry;

	for (size_t i = first; i < entries->count; i++) {
		if (same_text_or_none(entries->list[i].ifname, owner))
			return &entries->list[i];
	}
	entry = add_entry(entries, container_id);
	entry->ifname = copy_text(owner);
	entry->network = copy_text(json_text(own, "network"));
	entry->done = !own || cJSON_IsTrue(json_get(own, "done"));
	entry->going = cJSON_IsTrue(json_get(own, "going"));
	sandbox_read(own, &entry->sandbox);
	return entry;
}

static void add_element(
	struct entries *entries, size_t first, const char *container_id, const cJSON *element, const char *text)
{
	const cJSON *own = json_get(element, "lamina");
	const char *owner = json_text(own, "for");
	cleanup_error struct error ignored = {0};

	if (owner && request_check_ifname(owner, &ignored) < 0)
		owner = NULL;

	struct state_entry *entry = entry_of(entries, first, container_id, owner, own);
	char *longer = format_text("%s%s", entry->bytes, text);

	free(entry->bytes);
	entry->bytes = longer;
	entry->damaged |= !cJSON_IsObject(element) || (own && !owner);
}

/* A file that vanishes while we look was nobody's any more. */
static void read_container(struct entries *entries, const char *cni_dir, const char *container_id)
{
	cleanup_free char *path = format_text("%s/%s", cni_dir, container_id);
	cleanup_free char *text = NULL;
	cleanup_json cJSON *list = NULL;
	cleanup_error struct error ignored = {0};
	const size_t first = entries->count;
	const cJSON *element;
	size_t length = 0;

	if (file_read(path, STATE_FILE_MAX, &text, &length, &ignored) < 0) {
		if (ignored.err != -ENOENT)
			add_entry(entries, container_id)->damaged = true;
		return;
	}
	if (json_parse_max(text, length, STATE_FILE_MAX, path, &list, &ignored) < 0 || !cJSON_IsArray(list)) {
		add_entry(entries, container_id)->damaged = true;
		return;
	}
	cJSON_ArrayForEach(element, list)
	{
		cleanup_free char *printed = json_print(element);

		add_element(entries, first, container_id, element, printed);
	}
}

int state_list(const char *cni_dir, struct state_entry **ret, size_t *ret_count, struct error *e)
{
	cleanup_dir DIR *dir = opendir(cni_dir);
	struct entries entries = {0};

	*ret = NULL;
	*ret_count = 0;
	if (!dir && errno != ENOENT)
		return error_set(e, -errno, ERROR_IO, "cannot open %s: %s", cni_dir, strerror(errno));
	for (struct dirent *file; dir && (file = readdir(dir));) {
		if (file->d_type != DT_DIR && request_is_container(file->d_name))
			read_container(&entries, cni_dir, file->d_name);
	}
	*ret = entries.list;
	*ret_count = entries.count;
	return 0;
}

bool state_is_unchanged(const char *cni_dir, const struct state_entry *entry)
{
	struct entries now = {0};
	bool found = false;

	read_container(&now, cni_dir, entry->container_id);
	for (size_t i = 0; i < now.count; i++)
		found |= same_text_or_none(now.list[i].ifname, entry->ifname) &&
			 same_text_or_none(now.list[i].bytes, entry->bytes);
	state_entries_free(now.list, now.count);
	return found;
}

void state_entries_free(struct state_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(entries[i].container_id);
		free(entries[i].ifname);
		free(entries[i].network);
		free(entries[i].bytes);
		sandbox_clear(&entries[i].sandbox);
	}
	free(entries);
}
