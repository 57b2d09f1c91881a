/*
 * Device-info files, which device plugins and other CNI plugins write: lines with the network's name, its resource and
 * the device, a NUL, what the device plugin's file says, a NUL, a plugin's result. The files' names lead nowhere else,
 * whatever a record or a kubelet calls things; what is read ends up in network-status, which stays JSON.
 */
#include "delegate/result.h"
#include "delegate/text.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/device_info.h"
#include "plugin/network_status.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define FOLDER "/var/run/k8s.cni.cncf.io/devinfo"
#define CNI_FOLDER FOLDER "/cni/"
#define DP_FOLDER FOLDER "/dp/"
#define MAX_TEXT 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __real_file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e);
int __wrap_file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e);
int __wrap_file_write(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e);
int __wrap_file_remove(const char *path, struct error *e);
int __wrap_file_make_folder(const char *path, mode_t mode, struct error *e);

/* --- in place of the node's folder, which is one for all: the device plugin's file, and ours --- */

struct info_file {
	char *path, *text;
	size_t length;
};

struct folder {
	const char *source;
	size_t source_length;
	struct info_file copy;
};

static struct folder *folder(void)
{
	static struct folder it;

	return &it;
}

static void check_path(const char *path, const char *under)
{
	const char *name = path + strlen(under);

	if (strncmp(path, under, strlen(under)) != 0 || !*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
		strcmp(name, "..") == 0)
		abort();
}

static bool is_copy(const char *path)
{
	return folder()->copy.path && strcmp(folder()->copy.path, path) == 0;
}

static void drop_copy(void)
{
	free(folder()->copy.path);
	free(folder()->copy.text);
	folder()->copy = (struct info_file){0};
}

int __wrap_access(const char *path, int mode)
{
	if (strncmp(path, FOLDER, strlen(FOLDER)) != 0)
		return __real_access(path, mode);
	check_path(path, CNI_FOLDER);
	errno = ENOENT;
	return is_copy(path) ? 0 : -1;
}

int __wrap_file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e)
{
	const bool copied = is_copy(path);
	const char *text = copied ? folder()->copy.text : folder()->source;
	const size_t length = copied ? folder()->copy.length : folder()->source_length;

	if (strncmp(path, CNI_FOLDER, strlen(CNI_FOLDER)) == 0) {
		check_path(path, CNI_FOLDER);
		if (!copied)
			return error_set(e, -ENOENT, ERROR_IO, "cannot open %s: it is not there", path);
	} else {
		check_path(path, DP_FOLDER);
	}
	if (length > max)
		return error_set(e, -EFBIG, ERROR_IO, "%s is larger than %zu bytes", path, max);
	*ret = allocate(length + 1, 1);
	memcpy(*ret, text, length);
	*ret_length = length;
	return 0;
}

int __wrap_file_write(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e)
{
	(void)mode;
	(void)e;
	check_path(path, CNI_FOLDER);
	/* Another plugin's is never replaced. */
	if (is_copy(path))
		abort();
	drop_copy();
	folder()->copy = (struct info_file){copy_text(path), copy_text(bytes), length};
	return 0;
}

int __wrap_file_remove(const char *path, struct error *e)
{
	(void)e;
	check_path(path, CNI_FOLDER);
	if (is_copy(path))
		drop_copy();
	return 0;
}

int __wrap_file_make_folder(const char *path, mode_t mode, struct error *e)
{
	(void)mode;
	(void)e;
	if (strcmp(path, FOLDER "/cni") != 0)
		abort();
	return 0;
}

/* --- what is said of it --- */

static void check_members(const cJSON *object)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, object)
	{
		if (cJSON_IsObject(item))
			check_members(item);
		else if (!cJSON_IsString(item) || strlen(item->valuestring) > MAX_TEXT)
			abort();
	}
}

static void check_status(const char *text)
{
	cleanup_free char *clean = text_clean(text, SIZE_MAX);
	cleanup_json cJSON *list = NULL;
	cleanup_error struct error e = {0};
	const cJSON *entry;

	if (json_parse(text, strlen(text), "network-status", &list, &e) < 0 || !cJSON_IsArray(list) || !list->child ||
		strcmp(clean, text) != 0)
		abort();
	cJSON_ArrayForEach(entry, list)
	{
		if (!json_text(entry, "name") || !cJSON_IsObject(json_get(entry, "dns")))
			abort();
		check_members(json_get(entry, "device-info"));
	}
}

static void print_status(const struct attachment *a, const cJSON *device)
{
	for (int is_default = 0; is_default < 2; is_default++) {
		const struct network_status status[] = {
			{.name = a->name, .result = a->result, .is_default = is_default, .device = device},
			{.name = "b", .result = a->result},
		};
		cleanup_free char *text = network_status_print(status, ARRAY_SIZE(status));

		if (text)
			check_status(text);
	}
}

/* As ADD: the file of the device plugin is copied, and read with what the network's plugins make of it; then DEL. */
static void use_device(struct attachment *a, const struct run *run)
{
	cleanup_free char *path = device_info_path(a, run->request, run->config);
	cleanup_json cJSON *info = NULL, *again = NULL;

	if (path)
		check_path(path, CNI_FOLDER);
	device_info_copy(a, run);
	info = device_info_read(a, run);
	if (info && (!path || !cJSON_IsObject(info)))
		abort();
	print_status(a, info);
	device_info_copy(a, run);
	device_info_remove(a, run);
	if (folder()->copy.path)
		abort();
	/* What is made in this process is read from the device plugin's file. */
	again = device_info_read(a, run);
	if (!again != !info)
		abort();
}

/* --- an input --- */

static const char *next_part(const char **rest, const char *end, size_t *ret_length)
{
	const char *part = *rest, *nul = part < end ? memchr(part, '\0', (size_t)(end - part)) : NULL;

	*ret_length = (size_t)((nul ? nul : end) - part);
	*rest = nul ? nul + 1 : end;
	return part;
}

static void read_result(const char *text, size_t length, struct attachment *a)
{
	cleanup_json cJSON *printed = NULL;
	cleanup_error struct error ignored = {0};

	if (json_parse(text, length, "result", &printed, &ignored) == 0)
		result_read(printed, "", &a->result, &ignored);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const struct request request = {.container_id = "c0ffee", .ifname = "eth0"};
	const struct config config = {0};
	const struct run run = {.request = &request, .config = &config, .netns_fd = -1};
	const char *rest = (const char *)bytes, *end = rest + length, *result;
	size_t names_length, result_length;
	const char *first = next_part(&rest, end, &names_length);
	cleanup_free char *names = format_text("%.*s", (int)names_length, first);
	char *resource = names, *name = strsep(&resource, "\n"), *device = resource;
	cleanup_json cJSON *conf = cJSON_CreateObject();
	cleanup_attachment struct attachment *a = attachment_new(conf, 1, "eth0");
	struct network_element asked = {0};

	log_open(LOG_ERROR, false);
	resource = strsep(&device, "\n");
	free(a->name);
	a->name = copy_text(name);
	a->resource = copy_text(resource);
	asked.device_id = copy_text(device);
	attachment_ask(a, &asked);
	folder()->source = next_part(&rest, end, &folder()->source_length);
	result = next_part(&rest, end, &result_length);
	read_result(result, result_length, a);
	use_device(a, &run);
	drop_copy();
	return 0;
}
