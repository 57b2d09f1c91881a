#include "plugin/import_read.h"

#include "delegate/result.h"
#include "plugin/base/base64.h"
#include "plugin/base/file.h"
#include "plugin/import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int damaged(const char *path, const char *what, struct error *e)
{
	return error_set(e, -EBADMSG, ERROR_IO, "%s is damaged: %s", path, what);
}

static int read_conf(const cJSON *cache, const char *path, struct cached *ret, struct error *e)
{
	const char *encoded = json_text(cache, "config");
	cleanup_free char *text = NULL;
	size_t length = 0;

	if (!encoded || !base64_decode(encoded, &text, &length))
		return damaged(path, "it has no configuration", e);
	if (json_parse(text, length, "config", &ret->conf, e) < 0)
		return damaged(path, "its configuration is not JSON", e);
	return 0;
}

static int read_names(const cJSON *cache, const char *path, struct cached *ret, struct error *e)
{
	const char *network = json_text(cache, "networkName"), *cid = json_text(cache, "containerId"),
		   *ifname = json_text(cache, "ifName"), *netns = json_text(cache, "netns");
	cleanup_error struct error ignored = {0};

	if (!network || !is_cni_name(network) || !cid || !is_cni_name(cid) || !ifname ||
		request_check_ifname(ifname, &ignored) < 0)
		return damaged(path, "it does not say whose it is", e);
	ret->network = copy_text(network);
	ret->cid = copy_text(cid);
	ret->ifname = copy_text(ifname);
	ret->netns = copy_text(netns ? netns : "");
	return 0;
}

static void read_args(const cJSON *cache, struct cached *ret)
{
	const struct {
		const char *key;
		char **value;
	} texts[] = {
		{"K8S_POD_NAMESPACE", &ret->ns},
		{"K8S_POD_NAME", &ret->pod},
		{"K8S_POD_UID", &ret->uid},
	};
	const cJSON *pair;

	cJSON_ArrayForEach(pair, json_get(cache, "cniArgs"))
	{
		const char *key = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0)),
			   *value = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));

		for (size_t i = 0; key && value && *value && i < ARRAY_SIZE(texts); i++) {
			if (strcmp(key, texts[i].key) == 0 && !*texts[i].value)
				*texts[i].value = copy_text(value);
		}
	}
}

static int read_addresses(const cJSON *cache, const char *path, struct cached *ret, struct error *e)
{
	cleanup_json cJSON *result = NULL;
	const cJSON *ip;

	if (!json_get(cache, "result") || result_read(json_get(cache, "result"), "", &result, e) < 0)
		return damaged(path, "it has no result", e);
	cJSON_ArrayForEach(ip, json_get(result, "ips"))
	{
		struct ip_prefix prefix;

		if (ret->addr_count == MAX_FIXED)
			return damaged(path, "it has more addresses than an interface may have", e);
		if (!ip_parse_prefix(json_text(ip, "address"), &prefix))
			return damaged(path, "it has an address that is none", e);
		ret->addrs[ret->addr_count++] = prefix.addr;
	}
	return 0;
}

int cached_read(const char *folder, const char *name, struct cached *ret, struct error *e)
{
	cleanup_free char *path = format_text("%s/%s", folder, name), *text = NULL;
	cleanup_json cJSON *cache = NULL;
	struct stat about;
	size_t length = 0;

	*ret = (struct cached){0};
	if (file_read(path, JSON_MAX_BYTES, &text, &length, e) < 0) {
		/* A DEL was faster. */
		if (e->err != -ENOENT)
			return e->err;
		error_clear(e);
		return 0;
	}
	if (json_parse(text, length, path, &cache, e) < 0)
		return damaged(path, "it is not JSON", e);
	if (read_conf(cache, path, ret, e) < 0)
		return e->err;
	if (!import_own_conf(ret->conf))
		return 0;
	if (read_names(cache, path, ret, e) < 0 || read_addresses(cache, path, ret, e) < 0)
		return e->err;
	read_args(cache, ret);
	if (stat(path, &about) == 0)
		ret->since = about.st_mtime;
	return ret->addr_count > 0;
}

void cached_clear(struct cached *cached)
{
	free(cached->network);
	free(cached->cid);
	free(cached->ifname);
	free(cached->netns);
	free(cached->ns);
	free(cached->pod);
	free(cached->uid);
	cJSON_Delete(cached->conf);
	*cached = (struct cached){0};
}
