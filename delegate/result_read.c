#include "delegate/result_shape.h"

#include "delegate/text.h"
#include "plugin/base/ip.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* More than any network has; what is beyond is a broken plugin. */
#define MAX_ITEMS 4096
#define MAX_TEXT 4096

static const char *const kind_names[] = {
	[TEXT] = "a string of at most 4096 bytes",
	[NAME] = "a string of at most 4096 bytes",
	[ADDRESS] = "an IP address",
	[PREFIX] = "an IP address with the length of its prefix",
	[INDEX] = "a whole number from 0 to 4294967295",
	[NUMBER] = "a whole number from 0 to 4294967295",
	[CHOICE] = "a whole number from 0 to 4294967295",
};

static const char *const dns_lists[] = {"nameservers", "search", "options"};

/* Where a reader is: for errors, and what it checks against. */
struct place {
	const char *version;
	const char *path; /* "ips[0]" */
};

static int refuse(const char *path, const char *key, const cJSON *value, const char *wanted, struct error *e)
{
	cleanup_free char *where = json_path(path, key);

	if (!value)
		return error_set(e, -EINVAL, ERROR_DECODE, "%s is missing: it must be %s", where, wanted);

	cleanup_free char *printed = json_print(value);
	cleanup_free char *shown = cJSON_IsString(value)
					   ? text_quote(value->valuestring, strlen(value->valuestring), 100)
					   : text_clean(printed, 100);

	return error_set(e, -EINVAL, ERROR_DECODE, "%s is %s: it must be %s", where, shown, wanted);
}

static bool is_text(const cJSON *value)
{
	return cJSON_IsString(value) && strlen(value->valuestring) <= MAX_TEXT;
}

/* What is not UTF-8 would make our own output no JSON. */
static cJSON *read_text(const char *text)
{
	cleanup_free char *clean = text_clean(text, MAX_TEXT);

	return json_must(cJSON_CreateString(clean));
}

/* The address or prefix as Go prints it; NULL when it is none. */
static cJSON *read_ip(const char *text, enum kind kind)
{
	struct ip_prefix prefix;
	struct ip_addr addr;

	if (kind == PREFIX)
		return ip_parse_prefix(text, &prefix) ? json_must(cJSON_CreateString(ip_prefix_text(&prefix).s)) : NULL;
	return ip_parse(text, &addr) ? json_must(cJSON_CreateString(ip_text(&addr).s)) : NULL;
}

/* The value in its inner form; NULL when it is not of its kind. An index may be beyond the interfaces: libcni
 * does not look, and hands it on. */
static cJSON *read_value(const cJSON *value, enum kind kind)
{
	double number = value->valuedouble;

	switch (kind) {
	case TEXT:
	case NAME:
		return is_text(value) ? read_text(value->valuestring) : NULL;
	case ADDRESS:
	case PREFIX:
		return is_text(value) ? read_ip(value->valuestring, kind) : NULL;
	case INDEX:
	case NUMBER:
	case CHOICE:
		if (!cJSON_IsNumber(value) || number != floor(number) || number < 0 || number > UINT32_MAX)
			return NULL;
		return json_must(cJSON_CreateNumber(number));
	}
	return NULL;
}

/* Whether Go leaves it out (omitempty). */
static bool is_nothing(const cJSON *value, enum kind kind)
{
	if (kind == NUMBER)
		return cJSON_IsNumber(value) && value->valuedouble == 0;
	return (kind == TEXT || kind == ADDRESS) && cJSON_IsString(value) && !*value->valuestring;
}

static int read_member(
	cJSON *to, const cJSON *from, const struct member *member, const struct place *place, struct error *e)
{
	const cJSON *value = json_get(from, member->key);

	if (!value && member->kind == PREFIX)
		return refuse(place->path, member->key, NULL, kind_names[PREFIX], e);
	if (!value && member->kind == NAME)
		cJSON_AddStringToObject(to, member->key, "");
	if (!value || is_nothing(value, member->kind))
		return 0;

	cJSON *read = read_value(value, member->kind);

	if (!read)
		return refuse(place->path, member->key, value, kind_names[member->kind], e);
	cJSON_AddItemToObject(to, member->key, read);
	return 0;
}

static int read_item(
	cJSON *to, const cJSON *from, const struct member *members, const struct place *place, struct error *e)
{
	if (!cJSON_IsObject(from))
		return refuse("", place->path, from, "an object", e);

	cJSON *item = json_must(cJSON_CreateObject());

	cJSON_AddItemToArray(to, item);
	for (const struct member *member = members; member->key; member++) {
		if (!result_has_member(member, place->version))
			continue;

		int r = read_member(item, from, member, place, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Appends the items of from's list `key` to the list `to`. path is from's place. */
static int read_list(
	cJSON *to, const cJSON *from, const char *path, const struct list *list, struct place place, struct error *e)
{
	const cJSON *items = json_get(from, list->key), *item;
	int i = 0;

	if (items && (!cJSON_IsArray(items) || cJSON_GetArraySize(items) > MAX_ITEMS))
		return error_set(e, -EINVAL, ERROR_DECODE, "%s%s%s must be a list of at most %d", path,
			*path ? "." : "", list->key, MAX_ITEMS);
	cJSON_ArrayForEach(item, items)
	{
		cleanup_free char *name = format_text("%s[%d]", list->key, i++);
		cleanup_free char *where = json_path(path, name);

		place.path = where;

		int r = read_item(to, item, list->members, &place, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_texts(cJSON *to, const cJSON *from, const char *key, struct error *e)
{
	const cJSON *texts = json_get(from, key), *text;

	if (!texts)
		return 0;
	if (!cJSON_IsArray(texts) || cJSON_GetArraySize(texts) > MAX_ITEMS)
		return refuse("dns", key, texts, "a list of strings", e);
	if (!texts->child)
		return 0;

	cJSON *list = json_must(cJSON_AddArrayToObject(to, key));

	cJSON_ArrayForEach(text, texts)
	{
		if (!is_text(text))
			return refuse("dns", key, texts, "a list of strings", e);
		cJSON_AddItemToArray(list, read_text(text->valuestring));
	}
	return 0;
}

static int read_dns(cJSON *to, const cJSON *from, struct error *e)
{
	static const struct member domain = {"domain", TEXT, NULL};
	const cJSON *dns = json_get(from, "dns");

	if (!dns)
		return 0;
	if (!cJSON_IsObject(dns))
		return refuse("", "dns", dns, "an object", e);

	int r = read_texts(to, dns, dns_lists[0], e);

	if (r == 0)
		r = read_member(to, dns, &domain, &(struct place){.path = "dns"}, e);
	if (r == 0)
		r = read_texts(to, dns, dns_lists[1], e);
	if (r == 0)
		r = read_texts(to, dns, dns_lists[2], e);
	return r;
}

/* ip4 or ip6 of 0.1.0 and 0.2.0: one address that carries its routes. */
static int read_family(cJSON *to, const cJSON *printed, const char *key, int family, struct error *e)
{
	static const struct list routes = {"routes", result_route_members};
	const cJSON *from = json_get(printed, key), *text;
	const struct place place = {.version = "0.2.0", .path = key};
	struct ip_prefix prefix;

	if (!from)
		return 0;
	if (!cJSON_IsObject(from))
		return refuse("", key, from, "an object", e);
	text = json_get(from, "ip");
	if (!is_text(text) || !ip_parse_prefix(text->valuestring, &prefix) || prefix.addr.family != family)
		return refuse(key, "ip", text, family == AF_INET ? "an IPv4 prefix" : "an IPv6 prefix", e);

	cJSON *ip = json_must(cJSON_CreateObject());

	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(to, "ips"), ip);
	cJSON_AddStringToObject(ip, "address", ip_prefix_text(&prefix).s);

	int r = read_member(ip, from, &(struct member){"gateway", ADDRESS, NULL}, &place, e);

	if (r < 0)
		return r;
	return read_list(cJSON_GetObjectItemCaseSensitive(to, "routes"), from, key, &routes, place, e);
}

static int read_lists(cJSON *to, const cJSON *printed, const char *version, struct error *e)
{
	const struct place place = {.version = version};

	for (size_t i = 0; i < RESULT_LISTS; i++) {
		int r = read_list(cJSON_GetObjectItemCaseSensitive(to, result_lists[i].key), printed, "",
			&result_lists[i], place, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int choose_version(const cJSON *printed, const char *default_version, const char **ret, struct error *e)
{
	const cJSON *version = json_get(printed, "cniVersion");

	if (version && !cJSON_IsString(version))
		return refuse("", "cniVersion", version, "a string", e);
	*ret = version && *version->valuestring ? version->valuestring : default_version;
	if (!**ret)
		*ret = cni_versions[0];
	if (cni_version_known(*ret))
		return 0;

	cleanup_free char *shown = text_quote(*ret, strlen(*ret), 100);

	return error_set(e, -EINVAL, ERROR_DECODE, "unsupported CNI result version %s", shown);
}

int result_read_dns(const cJSON *conf, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *dns = json_must(cJSON_CreateObject());

	if (read_dns(dns, conf, e) < 0) {
		e->code = ERROR_CONFIG;
		return e->err;
	}
	*ret = steal_ptr(dns);
	return 0;
}

int result_read(const cJSON *printed, const char *default_version, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *result = result_new();
	cJSON *dns = cJSON_GetObjectItemCaseSensitive(result, "dns");
	const char *version = NULL;
	int r;

	if (cJSON_IsNull(printed)) {
		*ret = steal_ptr(result);
		return 0;
	}
	if (!cJSON_IsObject(printed))
		return error_set(e, -EINVAL, ERROR_DECODE, "a result must be a JSON object");
	r = choose_version(printed, default_version, &version, e);
	if (r < 0)
		return r;
	if (cni_version_at_least(version, "0.3.0")) {
		r = read_lists(result, printed, version, e);
	} else {
		r = read_family(result, printed, "ip4", AF_INET, e);
		if (r == 0)
			r = read_family(result, printed, "ip6", AF_INET6, e);
	}
	if (r == 0)
		r = read_dns(dns, printed, e);
	if (r < 0)
		return r;
	*ret = steal_ptr(result);
	return 0;
}
