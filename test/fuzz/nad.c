/* What an API server sends as a NetworkAttachmentDefinition. What is taken has the names that paths are made of. */
#include "delegate/nad.h"
#include "delegate/kube_pod.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *json = NULL;
	cleanup_nad struct nad nad = {0};
	cleanup_error struct error e = {0};

	if (json_parse((const char *)bytes, length, "input", &json, &e) < 0)
		return 0;
	if (nad_read(json, &nad, &e) < 0) {
		if (e.code != ERROR_TRY_AGAIN || !e.message || nad.found)
			abort();
		return 0;
	}
	if (!nad.found || !kube_is_name(nad.name, true) || !kube_is_name(nad.ns, false) || strchr(nad.name, '/') ||
		!nad.config || (nad.resource && !*nad.resource))
		abort();
	return 0;
}
