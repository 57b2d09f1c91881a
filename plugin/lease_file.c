#include "plugin/lease_file.h"

#include "plugin/base/fault.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <string.h>

char *lease_file_path_of(const char *cni_dir, const char *container_id, const char *ifname)
{
	return format_text("%s/lease/%s.%s", cni_dir, container_id, ifname);
}

char *lease_file_path(const struct run *run, const char *ifname)
{
	return lease_file_path_of(run->config->cni_dir, run->request->container_id, ifname);
}

int lease_file_write(
	const struct made *made, const struct etcd_config *etcd, bool done, const struct run *run, struct error *e)
{
	cleanup_free char *path = lease_file_path(run, run->request->ifname);
	cleanup_json cJSON *out = cJSON_CreateObject();

	json_put(out, "v", cJSON_CreateNumber(1));
	json_put(out, "done", cJSON_CreateBool(done));
	json_put_text(out, "containerId", run->request->container_id);
	json_put_text(out, "interface", run->request->ifname);
	sandbox_print(run, out);
	json_put(out, "made", made_print(made, done));
	if (etcd)
		json_put(out, "etcdConfig", etcd_config_print(etcd));

	cleanup_free char *text = json_print(out);

	if (fault_point(done ? "record_done" : "record_first") < 0)
		return error_set(e, -EIO, ERROR_IO, "fault: record");
	return file_write(path, 0600, text, strlen(text), e);
}

int lease_file_read(const char *path, struct lease_file *ret, struct error *e)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *json = NULL;
	size_t length = 0;

	*ret = (struct lease_file){0};
	if (file_read(path, JSON_MAX_BYTES, &text, &length, e) < 0)
		return e->err;
	if (json_parse(text, length, path, &json, e) < 0 || !cJSON_IsObject(json))
		return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged", path);

	const char *container_id = json_text(json, "containerId"), *ifname = json_text(json, "interface");

	if (!container_id || !ifname)
		return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: it does not say whose it is", path);
	if (json_get(json, "etcdConfig") &&
		etcd_config_parse(json_get(json, "etcdConfig"), "etcdConfig", &ret->etcd, e) < 0)
		return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: etcdConfig", path);
	ret->container_id = copy_text(container_id);
	ret->ifname = copy_text(ifname);
	sandbox_read(json, &ret->sandbox);
	made_read(json_get(json, "made"), cJSON_IsTrue(json_get(json, "done")), &ret->made);
	return 0;
}

void lease_file_clear(struct lease_file *file)
{
	free(file->container_id);
	free(file->ifname);
	sandbox_clear(&file->sandbox);
	made_clear(&file->made);
	if (file->etcd)
		etcd_config_free(file->etcd);
	*file = (struct lease_file){0};
}
