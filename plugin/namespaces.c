#include "plugin/namespaces.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t\r\n\v\f"

/* null, which is as good as no key elsewhere: Go empties a list by it. */
static bool has_no_system_namespaces(const cJSON *conf)
{
	const cJSON *member;
	bool none = false;

	cJSON_ArrayForEach(member, conf)
	{
		if (strcasecmp(member->string, "systemNamespaces") == 0)
			none = cJSON_IsNull(member);
	}
	return none;
}

bool namespaces_is_system(const struct config *config, const struct request *request)
{
	const char *ns = request_namespace(request);
	const cJSON *item;

	if (!config->system_namespaces)
		return strcmp(ns, "kube-system") == 0 && !has_no_system_namespaces(request->conf);
	cJSON_ArrayForEach(item, config->system_namespaces)
	{
		if (strcmp(item->valuestring, ns) == 0)
			return true;
	}
	return false;
}

/* A comma list, blanks around the names. */
static bool is_global_namespace(const struct config *config, const char *ns)
{
	cleanup_free char *list = copy_text(config->global_namespaces);
	char *rest = list;

	for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ",")) {
		name += strspn(name, BLANKS);
		for (size_t end = strlen(name); end > 0 && strchr(BLANKS, name[end - 1]); end--)
			name[end - 1] = '\0';
		if (strcmp(name, ns) == 0)
			return true;
	}
	return false;
}

int namespaces_check(const struct config *config, const struct request *request, const char *ns, bool replaces_default,
	struct error *e)
{
	const char *own = request_namespace(request);
	/* That is where default networks are defined. */
	const bool common = replaces_default && strcmp(ns, config->multus_namespace) == 0;

	if (!config->isolates_namespaces || strcmp(ns, own) == 0 || common || is_global_namespace(config, ns))
		return 0;
	return error_set(e, -EPERM, ERROR_CONFIG,
		"namespace isolation enabled, annotation violates permission, pod is in namespace %s but refers to "
		"target namespace %s: define the network in %s, or add %s to globalNamespaces",
		own, ns, own, ns);
}
