#include "delegate/nad.h"

#include "delegate/kube_get.h"
#include "delegate/kube_pod.h"
#include "delegate/text.h"

#include <errno.h>
#include <string.h>

/* An object has at most 1.5 MiB where it is kept, and its configuration's quotes are escaped once more. */
#define MAX_OBJECT ((size_t)4 << 20)
#define SHOWN_MAX ((size_t)350)

#define RESOURCE "network-attachment-definitions"
#define GROUP "k8s.cni.cncf.io"

struct nad_call {
	char *ns, *name, *path, *what;
	struct kube_get *get;
};

/* Annotations and configuration files name them. */
bool nad_is_name(const char *name)
{
	return kube_is_name(name, true);
}

static int check_names(const char *ns, const char *name, struct error *e)
{
	if (kube_is_name(ns, false) && nad_is_name(name))
		return 0;

	cleanup_free char *both = format_text("%s/%s", ns, name);
	cleanup_free char *shown = text_quote(both, strlen(both), SHOWN_MAX);

	return error_set(e, -EINVAL, ERROR_CONFIG,
		"%s cannot be a NetworkAttachmentDefinition: namespace and name must be of lower-case letters, digits "
		"and '-' "
		"(at most 63; the name '.', too, and at most 253)",
		shown);
}

int nad_start(struct kube *kube, const char *ns, const char *name, struct nad_call **ret, struct error *e)
{
	if (check_names(ns, name, e) < 0)
		return e->err;

	cleanup_nad_call struct nad_call *call = allocate(1, sizeof(*call));

	call->ns = copy_text(ns);
	call->name = copy_text(name);
	call->path = format_text("/apis/" GROUP "/v1/namespaces/%s/" RESOURCE "/%s", ns, name);
	call->what = format_text("NetworkAttachmentDefinition %s/%s", ns, name);

	const struct kube_query query = {
		.what = call->what,
		.path = call->path,
		.resource = RESOURCE "." GROUP,
		.name = call->name,
		.kind = "NetworkAttachmentDefinition",
		.max = MAX_OBJECT,
	};

	if (kube_get_start(kube, &query, &call->get, e) < 0)
		return error_wrap(e, "%s", call->what);
	*ret = steal_ptr(call);
	return 0;
}

int nad_await(struct nad_call *call, struct nad *ret, struct error *e)
{
	struct kube_answer answer;

	*ret = (struct nad){0};
	if (kube_get_await(call->get, &answer, e) < 0)
		return e->err;

	cleanup_json cJSON *json = answer.json;
	cleanup_nad struct nad nad = {0};

	if (!json)
		return 0;
	if (nad_read(json, &nad, e) < 0)
		return error_wrap(e, "%s", call->what);
	if (!same_text(nad.ns, call->ns) || !same_text(nad.name, call->name))
		return error_set(
			e, -EPROTO, ERROR_TRY_AGAIN, "%s: the API server sent %s/%s", call->what, nad.ns, nad.name);
	*ret = nad;
	nad = (struct nad){0};
	return 0;
}

void nad_call_free(struct nad_call *call)
{
	if (!call)
		return;
	kube_get_free(call->get);
	free(call->path);
	free(call->what);
	free(call->ns);
	free(call->name);
	free(call);
}

struct nad_parts {
	const cJSON *metadata, *spec;
};

struct nad_metadata {
	const char *name, *ns;
	const cJSON *annotations;
};

/* Annotations are told apart by case; "" names no resource. */
static char *read_resource(const cJSON *annotations)
{
	const char *value =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(annotations, "k8s.v1.cni.cncf.io/resourceName"));

	return value && *value ? copy_text(value) : NULL;
}

int nad_read(const cJSON *json, struct nad *ret, struct error *e)
{
	static const struct json_field parts_table[] = {
		{"metadata", JSON_OBJECT, offsetof(struct nad_parts, metadata), true},
		{"spec", JSON_OBJECT, offsetof(struct nad_parts, spec), false},
		{NULL},
	};
	static const struct json_field metadata_table[] = {
		{"name", JSON_STRING, offsetof(struct nad_metadata, name), true},
		{"namespace", JSON_STRING, offsetof(struct nad_metadata, ns), true},
		{"annotations", JSON_OBJECT, offsetof(struct nad_metadata, annotations), false},
		{NULL},
	};
	static const struct json_field config_table[] = {{"config", JSON_STRING, 0, false}, {NULL}};
	struct nad_parts parts = {0};
	struct nad_metadata meta = {0};
	const char *config = NULL;

	if (kube_read(json, "", parts_table, &parts, e) < 0 ||
		kube_read(parts.metadata, "metadata", metadata_table, &meta, e) < 0 ||
		(parts.spec && kube_read(parts.spec, "spec", config_table, &config, e) < 0))
		return e->err;
	if (!kube_is_name(meta.name, true) || !kube_is_name(meta.ns, false))
		return error_set(e, -EINVAL, ERROR_TRY_AGAIN, "the API server's answer: an object without a name");
	*ret = (struct nad){
		.found = true,
		.ns = copy_text(meta.ns),
		.name = copy_text(meta.name),
		.config = copy_text(config ? config : ""),
		.resource = read_resource(meta.annotations),
	};
	return 0;
}

void nad_clear(struct nad *nad)
{
	free(nad->ns);
	free(nad->name);
	free(nad->config);
	free(nad->resource);
	*nad = (struct nad){0};
}
