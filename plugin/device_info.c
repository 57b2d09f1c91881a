#include "plugin/device_info.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/var/run/k8s.cni.cncf.io/devinfo"
#define MAX_INFO ((size_t)64 << 10)

static void replace_slashes(char *name)
{
	for (; *name; name++) {
		if (*name == '/')
			*name = '-';
	}
}

/* multus's rule: the annotation's, not for the default network, else the runtime's. */
static const char *device_of(const struct attachment *a, const struct config *config)
{
	const char *device = a->index > 0 && a->asked ? a->asked->device_id : NULL;

	if (!device)
		device = json_text(config->runtime_config, "deviceID");
	return device && *device ? device : NULL;
}

char *device_info_path(const struct attachment *a, const struct request *request, const struct config *config)
{
	if (!device_of(a, config))
		return NULL;

	cleanup_free char *name = format_text("%s-%s_%s", a->name, request->container_id, a->ifname);

	replace_slashes(name);
	return format_text(FOLDER "/cni/%s", name);
}

/* Of the device plugin. NULL: it has none to say something about. */
static char *source_path(const struct attachment *a)
{
	if (!a->resource || !a->asked || !a->asked->device_id)
		return NULL;

	cleanup_free char *name = format_text("%s-%s-device.json", a->resource, a->asked->device_id);

	replace_slashes(name);
	return format_text(FOLDER "/dp/%s", name);
}

static cJSON *read_info(const char *path, struct error *e)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *info = NULL;
	size_t length = 0;

	if (file_read(path, MAX_INFO, &text, &length, e) < 0 || json_parse(text, length, path, &info, e) < 0)
		return NULL;
	if (!cJSON_IsObject(info)) {
		error_set(e, -EBADMSG, ERROR_DECODE, "%s is not an object", path);
		return NULL;
	}
	return steal_ptr(info);
}

void device_info_copy(const struct attachment *a, const struct run *run)
{
	cleanup_free char *to = device_info_path(a, run->request, run->config), *from = source_path(a);
	cleanup_error struct error e = {0};
	cleanup_json cJSON *info = NULL;

	if (!to || !from || access(to, F_OK) == 0)
		return;
	info = read_info(from, &e);
	if (info && file_make_folder(FOLDER "/cni", 0755, &e) == 0) {
		cleanup_free char *text = json_print(info);

		file_write(to, 0444, text, strlen(text), &e);
	}
	if (e.err && e.err != -ENOENT)
		log_write(LOG_WARNING, "device information of network %s: %s", a->name, e.message);
}

cJSON *device_info_read(const struct attachment *a, const struct run *run)
{
	cleanup_free char *path = device_info_path(a, run->request, run->config), *source = source_path(a);
	cleanup_error struct error ignored = {0};
	cJSON *info = path ? read_info(path, &ignored) : NULL;

	/* What is made in this process needs no copy. */
	if (!info && path && source)
		info = read_info(source, &ignored);
	return info;
}

void device_info_remove(const struct attachment *a, const struct run *run)
{
	cleanup_free char *path = device_info_path(a, run->request, run->config);
	cleanup_error struct error e = {0};

	if (path && file_remove(path, &e) < 0)
		log_write(LOG_WARNING, "device information of network %s: %s", a->name, e.message);
}
