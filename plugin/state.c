#include "plugin/state.h"

#include "delegate/result.h"
#include "plugin/base/base64.h"
#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/results.h"

#include <errno.h>
#include <string.h>

#define MAX_RECORD ((size_t)8 << 20)

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

/* The members that multus reads (types.DelegateNetConf): Conf or ConfList for what kind it is, Bytes for the
 * configuration. */
static cJSON *multus_element(const struct attachment *a)
{
	cJSON *element = cJSON_CreateObject(), *list = cJSON_CreateObject();
	const cJSON *plugins = json_get(a->conf, "plugins");
	cleanup_free char *text = json_print(a->conf);
	cleanup_free char *bytes = base64_encode(text, strlen(text));

	json_put(element, "Conf", plugins ? cJSON_CreateObject() : cJSON_CreateRaw(text));
	if (plugins)
		json_put(list, "plugins", json_copy(plugins));
	json_put(element, "ConfList", list);
	json_put_text(element, "Name", a->network);
	json_put_text(element, "Bytes", bytes);
	return element;
}

static cJSON *print_element(const struct attachment *a, bool done, const struct run *run)
{
	cJSON *element = multus_element(a), *own = cJSON_CreateObject();

	json_put(own, "v", cJSON_CreateNumber(1));
	json_put(own, "done", cJSON_CreateBool(done));
	json_put_text(own, "for", run->request->ifname);
	json_put(own, "index", cJSON_CreateNumber(a->index));
	json_put_text(own, "interface", a->ifname);
	json_put_text(own, "network", run->request->network);
	sandbox_print(run, own);
	json_put(own, "made", made_print(&a->made, done));
	json_put(element, "lamina", own);
	return element;
}

/* The file as a list; -ENOENT, or -EBADMSG when it is no list of objects. */
static int read_file(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *list = NULL;
	const cJSON *element;
	size_t length = 0;

	if (file_read(path, MAX_RECORD, &text, &length, e) < 0)
		return e->err;
	if (json_parse(text, length, path, &list, e) < 0)
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

static int write_file(const char *path, const cJSON *list, struct error *e)
{
	cleanup_free char *text = json_print(list);

	return file_write(path, 0600, text, strlen(text), e);
}

int state_save(const struct plan *plan, bool done, struct run *run, struct error *e)
{
	cleanup_free char *path = record_path(run->config->cni_dir, run->request->container_id);
	cleanup_json cJSON *list = NULL;

	if (read_file(path, &list, e) < 0) {
		if (e->err != -ENOENT)
			return e->err;
		error_clear(e);
		list = cJSON_CreateArray();
	}
	for (cJSON *element = list->child, *next; element; element = next) {
		next = element->next;
		if (belongs(element, run->request->ifname))
			cJSON_Delete(cJSON_DetachItemViaPointer(list, element));
	}
	for (size_t i = 0; i < plan->count; i++)
		cJSON_AddItemToArray(list, print_element(plan->attachments[i], done, run));
	if (fault_point(done ? "record_done" : "record_first") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault: record");
	return write_file(path, list, e);
}

/* An attachment as it was recorded, by us or by multus. NULL when the element is beyond use. */
static struct attachment *read_attachment(const cJSON *element, unsigned int position, const char *ifname, bool done)
{
	const cJSON *own = json_get(element, "lamina"), *index = json_get(own, "index");
	const char *bytes = json_text(element, "Bytes"), *interface = json_text(own, "interface");
	cleanup_free char *text = NULL;
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error ignored = {0};
	size_t length = 0;

	if (!bytes || !base64_decode(bytes, &text, &length) || json_parse(text, length, "Bytes", &conf, &ignored) < 0 ||
		!cJSON_IsObject(conf))
		return NULL;
	if (cJSON_IsNumber(index) && index->valuedouble >= 0 && index->valuedouble < 1000)
		position = (unsigned int)index->valuedouble;

	struct attachment *a = attachment_new(conf, position, ifname);

	if (interface && request_check_ifname(interface, &ignored) == 0)
		snprintf(a->ifname, sizeof(a->ifname), "%s", interface);
	made_read(json_get(own, "made"), done, &a->made);
	return a;
}

static int read_elements(const cJSON *list, const char *path, const char *ifname, struct record *ret, struct error *e)
{
	const cJSON *element;
	unsigned int position = 0;

	*ret = (struct record){.done = true};
	cJSON_ArrayForEach(element, list)
	{
		const cJSON *own = json_get(element, "lamina");
		bool done = cJSON_IsTrue(json_get(own, "done"));

		if (!belongs(element, ifname)) {
			position++;
			continue;
		}
		if (own && !ret->ours) {
			ret->ours = true;
			ret->done = done;
			ret->going = cJSON_IsTrue(json_get(own, "going"));
			ret->network = copy_text(json_text(own, "network"));
			sandbox_read(own, &ret->sandbox);
		}

		/* multus's own elements are all done, and nobody wrote down what was made. */
		struct attachment *a = read_attachment(element, position++, ifname ? ifname : "", done);

		if (!a)
			return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: element %u has no configuration", path,
				position - 1);
		plan_append(&ret->plan, a);
	}
	if (ret->plan.count == 0)
		return error_set(e, -ENOENT, ERROR_IO, "%s has nothing of interface %s", path, ifname ? ifname : "");
	return 0;
}

int state_load(const char *cni_dir, const char *container_id, const char *ifname, struct record *ret, struct error *e)
{
	cleanup_free char *path = record_path(cni_dir, container_id);
	cleanup_json cJSON *list = NULL;

	*ret = (struct record){0};
	if (read_file(path, &list, e) < 0 || read_elements(list, path, ifname, ret, e) < 0)
		return e->err;
	for (size_t i = 0; i < ret->plan.count; i++)
		results_load(ret->plan.attachments[i], cni_dir, container_id);
	return 0;
}

bool state_is_anothers(const char *cni_dir, const char *container_id, const struct netns_id *id, const char *boot_id)
{
	cleanup_dir DIR *dir = opendir(cni_dir);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		cleanup_record struct record record = {0};
		cleanup_error struct error ignored = {0};

		if (entry->d_type == DT_DIR || !request_is_name(entry->d_name) ||
			strcmp(entry->d_name, container_id) == 0 ||
			state_load(cni_dir, entry->d_name, NULL, &record, &ignored) < 0)
			continue;
		found = record.sandbox.id.inode != 0 && sandbox_is(&record.sandbox, id, boot_id);
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
	return write_file(path, list, e);
}

static bool is_struck(const cJSON *element, const struct plan *plan, const bool *done)
{
	const char *bytes = json_text(element, "Bytes"),
		   *interface = json_text(json_get(element, "lamina"), "interface");

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		cleanup_free char *text = json_print(a->conf);
		cleanup_free char *conf = base64_encode(text, strlen(text));

		if (!done[i])
			continue;
		/* multus's elements have no interface of their own to go by. */
		if (interface ? strcmp(interface, a->ifname) == 0 : (bytes && strcmp(bytes, conf) == 0))
			return true;
	}
	return false;
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
	for (cJSON *element = list->child, *next; element; element = next) {
		next = element->next;
		if (belongs(element, run->request->ifname) && (all || is_struck(element, plan, done)))
			cJSON_Delete(cJSON_DetachItemViaPointer(list, element));
	}
	if (!list->child)
		return file_remove(path, e);
	return write_file(path, list, e);
}

void record_clear(struct record *record)
{
	sandbox_clear(&record->sandbox);
	free(record->network);
	plan_clear(&record->plan);
	*record = (struct record){0};
}
