#include "delegate/kube_get.h"
#include "delegate/kube_look.h"

#include <errno.h>

#define MAX_ANSWER ((size_t)1 << 20)

/* Who may read or write what is in this namespace, which nobody has, may do it in all. */
#define NOBODY "lamina-doctor"
#define DEFINITIONS "/apis/k8s.cni.cncf.io/v1/namespaces/" NOBODY "/network-attachment-definitions/"
#define REVIEWS "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

/* What is not there is as good as what is: who may not read it gets a 403 for both. */
static const struct kube_query definition = {"network-attachment-definitions", DEFINITIONS NOBODY,
	"network-attachment-definitions.k8s.cni.cncf.io", NOBODY, "NetworkAttachmentDefinition", MAX_ANSWER};

static const struct kube_query review = {
	"the user's own rights", REVIEWS, "selfsubjectaccessreviews", NULL, "SelfSubjectAccessReview", MAX_ANSWER};

static char *print_review(const char *verb, const char *resource, const char *subresource)
{
	cleanup_json cJSON *body = cJSON_CreateObject();
	cJSON *spec = cJSON_CreateObject(), *attributes = cJSON_CreateObject();

	json_put_text(body, "apiVersion", "authorization.k8s.io/v1");
	json_put_text(body, "kind", "SelfSubjectAccessReview");
	json_put_text(attributes, "namespace", NOBODY);
	json_put_text(attributes, "verb", verb);
	json_put_text(attributes, "resource", resource);
	json_put_text(attributes, "subresource", subresource);
	json_put(spec, "resourceAttributes", attributes);
	json_put(body, "spec", spec);
	return json_print(body);
}

static struct kube_get *start_review(
	struct kube *kube, const char *verb, const char *resource, const char *subresource, struct error *e)
{
	cleanup_free char *body = print_review(verb, resource, subresource);
	const struct kube_change change = {
		.method = "POST", .type = "application/json", .body = body, .right = "create selfsubjectaccessreviews"};
	struct kube_get *get = NULL;

	if (!e->err)
		kube_send_start(kube, &review, &change, &get, e);
	return get;
}

static bool await_review(struct kube_get *get, struct error *e)
{
	struct kube_answer answer = {0};

	if (get && !e->err)
		kube_get_await(get, &answer, e);
	kube_get_free(get);

	cleanup_json cJSON *json = answer.json;

	return cJSON_IsTrue(json_dig(json, "status", "allowed", NULL));
}

static void await_definition(struct kube_get *get, struct error *e)
{
	struct kube_answer answer = {0};

	if (get)
		kube_get_await(get, &answer, e);
	kube_get_free(get);
	cJSON_Delete(answer.json);
}

void kube_look_networks(struct kube *kube, struct kube_look_networks *ret)
{
	struct kube_get *asked = NULL;

	*ret = (struct kube_look_networks){0};
	kube_get_start(kube, &definition, &asked, &ret->definitions);

	struct kube_get *patch = start_review(kube, "patch", "pods", "status", &ret->rights);
	struct kube_get *update = start_review(kube, "update", "pods", "status", &ret->rights);
	struct kube_get *create = start_review(kube, "create", "events", NULL, &ret->rights);

	await_definition(asked, &ret->definitions);

	const bool patches = await_review(patch, &ret->rights), updates = await_review(update, &ret->rights);

	ret->writes_status = patches || updates;
	ret->writes_events = await_review(create, &ret->rights);
}

void kube_look_networks_clear(struct kube_look_networks *look)
{
	error_clear(&look->definitions);
	error_clear(&look->rights);
}
