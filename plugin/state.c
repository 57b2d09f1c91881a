#include "plugin/state.h"

#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/results.h"
#include "plugin/state_element.h"

#include <errno.h>
#include <string.h>

/* What a network's element grows by from the first write to the last: what was made of it, and the note of a DEL. */
#define ELEMENT_GROWTH ((size_t)16 << 10)

static char *record_path(const char *cni_dir, const char *container_id)
{
	return format_text("%s/%s", cni_dir, container_id);
}

/* Whether an element of the file belongs to the ADD of that CNI_IFNAME. multus knows one ADD a container. */
static bool belongs(const cJSON *element, const char *ifname)
{
	const char *owner = json_text(json_get(element, "lamina"), "for");

	return !owner || !ifname || strcmp(owner, ifname) == 0;
}

/* The file as a list; -ENOENT, or -EBADMSG when it is no list of objects, or too large to be one of ours. */
static int read_file(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *list = NULL;
	const cJSON *element;
	size_t length = 0;

	if (file_read(path, STATE_FILE_MAX, &text, &length, e) < 0) {
		if (e->err == -EFBIG)
			e->err = -EBADMSG;
		return e->err;
	}
	if (json_parse_max(text, length, STATE_FILE_MAX, path, &list, e) < 0)
		return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged", path);
	if (!cJSON_IsArray(list))
		return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: it is not a list", path);
	cJSON_ArrayForEach(element, list)
	{
		if (!cJSON_IsObject(element))
			return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: it is not a list of objects", path);
	}
	*ret = steal_ptr(list);
	return 0;
}

/* -E2BIG: what is there stays as it is. */
static int write_file(const char *path, const cJSON *list, size_t max, struct error *e)
{
	cleanup_free char *text = json_print(list);
	const size_t length = strlen(text);

	if (length > max)
		return error_set(
			e, -E2BIG, ERROR_CONFIG, "%s would have %zu bytes, and may have %zu", path, length, max);
	return file_write(path, 0600, text, length, e);
}

/* A list that is hardly larger than the one that was read. */
static int rewrite_file(const char *path, const cJSON *list, struct error *e)
{
	return write_file(path, list, STATE_FILE_MAX, e);
}

static int name_largest(const struct plan *plan, struct error *e)
{
	cleanup_free char *why = copy_text(e->message);
	const char *largest = "";
	size_t most = 0;

	for (size_t i = 0; i < plan->count; i++) {
		cleanup_free char *conf = json_print(plan->attachments[i]->conf);

		if (strlen(conf) > most) {
			most = strlen(conf);
			largest = plan->attachments[i]->path;
		}
	}
	return error_set(e, -E2BIG, ERROR_CONFIG,
		"the record of the pod's networks is too large: %s; the largest configuration is that of %s, %zu "
		"bytes: make it smaller, or give the pod fewer networks",
		why, largest, most);
}

/* Several ADDs may have had a container, each with elements of its own. */
static void pin_names(cJSON *list)
{
	unsigned int position = 0;
	cJSON *element;

	cJSON_ArrayForEach(element, list)
	{
		cleanup_free char *ifname = element_ifname(element, position);

		element_pin(element, ifname, position++);
	}
}

int state_save(const struct plan *plan, bool done, struct run *run, struct error *e)
{
	cleanup_free char *path = record_path(run->config->cni_dir, run->request->container_id);
	cleanup_json cJSON *list = NULL;
	/* The first write has to leave room for the later ones: these come when something is made. */
	size_t max = STATE_FILE_MAX - plan->count * ELEMENT_GROWTH;

	if (read_file(path, &list, e) < 0) {
		if (e->err != -ENOENT)
			return e->err;
		error_clear(e);
		list = cJSON_CreateArray();
	}
	for (cJSON *element = list->child, *next; element; element = next) {
		next = element->next;
		if (belongs(element, run->request->ifname)) {
			cJSON_Delete(cJSON_DetachItemViaPointer(list, element));
			max = STATE_FILE_MAX;
		}
	}
	for (size_t i = 0; i < plan->count; i++)
		cJSON_AddItemToArray(list, element_print(plan->attachments[i], plan, done, run));
	pin_names(list);
	if (fault_point(done ? "record_done" : "record_first") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault: record");
	return write_file(path, list, max, e) == -E2BIG ? name_largest(plan, e) : e->err;
}

/* A list of multus's may be less than what was used. */
static void mend(struct attachment *a, const cJSON *element, const char *cni_dir, const char *container_id)
{
	cleanup_json cJSON *cached = results_load_conf(a, cni_dir, container_id);

	element_mend(a, element, cached);
}

static void read_head(const cJSON *own, bool done, struct record *ret)
{
	ret->ours = true;
	ret->done = done;
	ret->going = cJSON_IsTrue(json_get(own, "going"));
	ret->network = copy_text(json_text(own, "network"));
	sandbox_read(own, &ret->sandbox);
}

static int read_elements(const cJSON *list, const char *cni_dir, const char *container_id, const char *ifname,
	struct record *ret, struct error *e)
{
	const cJSON *element;
	unsigned int position = 0;

	*ret = (struct record){.done = true};
	cJSON_ArrayForEach(element, list)
	{
		const cJSON *own = json_get(element, "lamina");
		bool done = cJSON_IsTrue(json_get(own, "done"));
		struct attachment *a;

		if (!belongs(element, ifname)) {
			position++;
			continue;
		}
		if (own && !ret->ours)
			read_head(own, done, ret);
		/* multus's own elements are all done, and nobody wrote down what was made. */
		a = element_read(element, position++, ifname ? ifname : "", done);
		if (!a)
			return error_set(e, -EBADMSG, ERROR_IO, "%s/%s is damaged: element %u has no configuration",
				cni_dir, container_id, position - 1);
		if (!own)
			mend(a, element, cni_dir, container_id);
		plan_append(&ret->plan, a);
	}
	if (ret->plan.count == 0)
		return error_set(e, -ENOENT, ERROR_IO, "%s/%s has nothing of interface %s", cni_dir, container_id,
			ifname ? ifname : "");
	return 0;
}

int state_load(const char *cni_dir, const char *container_id, const char *ifname, struct record *ret, struct error *e)
{
	cleanup_free char *path = record_path(cni_dir, container_id);
	cleanup_json cJSON *list = NULL;

	*ret = (struct record){0};
	if (read_file(path, &list, e) < 0 || read_elements(list, cni_dir, container_id, ifname, ret, e) < 0)
		return e->err;
	for (size_t i = 0; i < ret->plan.count; i++)
		results_load(ret->plan.attachments[i], cni_dir, container_id);
	return 0;
}

static bool names_sandbox(const char *path, const struct netns_id *id, const char *boot_id)
{
	cleanup_json cJSON *list = NULL;
	cleanup_error struct error ignored = {0};
	const cJSON *element;

	if (read_file(path, &list, &ignored) < 0)
		return false;
	cJSON_ArrayForEach(element, list)
	{
		cleanup_sandbox struct sandbox sandbox = {0};

		sandbox_read(json_get(element, "lamina"), &sandbox);
		if (sandbox.id.inode != 0 && sandbox_is(&sandbox, id, boot_id))
			return true;
	}
	return false;
}

bool state_is_anothers(const char *cni_dir, const char *container_id, const struct netns_id *id, const char *boot_id)
{
	cleanup_dir DIR *dir = opendir(cni_dir);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		cleanup_free char *path = record_path(cni_dir, entry->d_name);

		found = entry->d_type != DT_DIR && is_cni_name(entry->d_name) &&
			strcmp(entry->d_name, container_id) != 0 && names_sandbox(path, id, boot_id);
	}
	return found;
}

int state_mark_going(const struct run *run, struct error *e)
{
	cleanup_free char *path = record_path(run->config->cni_dir, run->request->container_id);
	cleanup_json cJSON *list = NULL;
	cJSON *element;

	if (read_file(path, &list, e) < 0)
		return e->err;
	cJSON_ArrayForEach(element, list)
	{
		cJSON *own = cJSON_GetObjectItemCaseSensitive(element, "lamina");

		if (own && belongs(element, run->request->ifname))
			json_put(own, "going", cJSON_CreateTrue());
	}
	return rewrite_file(path, list, e);
}

static bool is_struck(const cJSON *element, unsigned int position, const struct plan *plan, const bool *done)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (done[i] && plan->attachments[i]->index == element_index(element, position))
			return true;
	}
	return false;
}

/* What stays keeps its interface's name, wherever it stands from now on. */
static void strike_elements(cJSON *list, const char *ifname, const struct plan *plan, const bool *done, bool all)
{
	unsigned int before = 0, position = 0;

	for (cJSON *element = list->child, *next; element; element = next, before++) {
		cleanup_free char *interface = element_ifname(element, before);

		next = element->next;
		if (belongs(element, ifname) && (all || is_struck(element, before, plan, done)))
			cJSON_Delete(cJSON_DetachItemViaPointer(list, element));
		else
			element_pin(element, interface, position++);
	}
}

int state_strike(const struct plan *plan, const bool *done, struct run *run, struct error *e)
{
	const char *cni_dir = run->config->cni_dir;
	cleanup_free char *path = record_path(cni_dir, run->request->container_id);
	cleanup_json cJSON *list = NULL;
	bool all = true;

	for (size_t i = 0; i < plan->count; i++) {
		all &= done[i];
		if (done[i] && results_remove(plan->attachments[i], cni_dir, run->request->container_id, e) < 0)
			return e->err;
	}
	if (read_file(path, &list, e) < 0 || !list) {
		if (e->err != -ENOENT && e->err != -EBADMSG)
			return e->err;
		error_clear(e);
		return all ? file_remove(path, e) : 0;
	}
	strike_elements(list, run->request->ifname, plan, done, all);
	if (!list->child)
		return file_remove(path, e);
	return rewrite_file(path, list, e);
}

void record_clear(struct record *record)
{
	sandbox_clear(&record->sandbox);
	free(record->network);
	plan_clear(&record->plan);
	*record = (struct record){0};
}
