#include "ipam/config.h"

#include "ipam/config_range.h"
#include "plugin/base/file.h"

#include <errno.h>
#include <string.h>

/* More of anything is a mistake, and each costs a search in every ADD. */
#define LIST_MAX 64

#define RESOLV_CONF_MAX 65536

/* A domain is one part of a key in a store. */
#define DOMAIN_MAX 63
#define DOMAIN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct ipam_texts {
	const cJSON *ranges, *routes;
	const char *domain, *resolv_conf;
};

static const struct json_field ipam_table[] = {
	{"ranges", JSON_ARRAY, offsetof(struct ipam_texts, ranges), false},
	{"routes", JSON_ARRAY, offsetof(struct ipam_texts, routes), false},
	{"domain", JSON_STRING, offsetof(struct ipam_texts, domain), false},
	{"resolvConf", JSON_STRING, offsetof(struct ipam_texts, resolv_conf), false},
	{0},
};

/* Keys of which any one makes the object itself a range. */
static const char *const range_keys[] = {"subnet", "rangeStart", "rangeEnd", "gateway", "fixedStart", "fixedEnd"};

static int check_length(const cJSON *list, const char *path, struct error *e)
{
	int length = cJSON_GetArraySize(list);

	if (length > LIST_MAX)
		return error_set(
			e, -E2BIG, ERROR_CONFIG, "%s has %d elements: it must have at most %d", path, length, LIST_MAX);
	return 0;
}

/* A pair of ranges that share an address would let one set give what the other has. */
static int check_overlap(
	const struct ipam_config *config, const struct ipam_range *range, const char *path, struct error *e)
{
	for (size_t i = 0; i < config->set_count; i++) {
		for (size_t j = 0; j < config->sets[i].count; j++) {
			const struct ipam_range *other = &config->sets[i].ranges[j];

			if (ip_compare(&range->start, &other->end) > 0 || ip_compare(&range->end, &other->start) < 0)
				continue;

			cleanup_free char *this_text = ipam_range_text(range);
			cleanup_free char *other_text = ipam_range_text(other);

			return error_set(e, -EINVAL, ERROR_CONFIG,
				"%s is %s: it must not overlap the range %s of the same configuration", path, this_text,
				other_text);
		}
	}
	return 0;
}

/* Reads the range into the last set. */
static int add_range(struct ipam_config *config, const cJSON *object, const char *path, struct error *e)
{
	struct ipam_range_set *set = &config->sets[config->set_count - 1];
	struct ipam_range range;
	int r = ipam_range_read(object, path, &range, e);

	if (r >= 0)
		r = check_overlap(config, &range, path, e);
	if (r < 0)
		return r;
	if (set->count > 0 && set->ranges[0].subnet.addr.family != range.subnet.addr.family)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.subnet is %s: it must be %s, as the first range of its set is", path,
			ip_prefix_text(&range.subnet).s,
			set->ranges[0].subnet.addr.family == AF_INET ? "IPv4" : "IPv6");
	set->ranges[set->count++] = range;
	return 0;
}

static void begin_set(struct ipam_config *config, size_t size)
{
	config->sets[config->set_count++] =
		(struct ipam_range_set){.ranges = allocate(size, sizeof(struct ipam_range))};
}

static int add_set(struct ipam_config *config, const cJSON *list, const char *path, struct error *e)
{
	size_t count = 0;

	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0) {
		cleanup_free char *value = json_print(list);

		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is %.100s: it must be a list of ranges ([[{\"subnet\": ...}]]), of which an interface gets "
			"one address",
			path, value);
	}

	int r = check_length(list, path, e);

	begin_set(config, (size_t)cJSON_GetArraySize(list));
	for (const cJSON *object = list->child; object && r >= 0; object = object->next) {
		cleanup_free char *where = format_text("%s[%zu]", path, count++);

		r = add_range(config, object, where, e);
	}
	return r;
}

static int add_sets(struct ipam_config *config, const cJSON *lists, const char *path, struct error *e)
{
	size_t count = 0;
	int r = 0;

	if (!lists)
		return 0;
	if (!cJSON_IsArray(lists)) {
		cleanup_free char *value = json_print(lists);

		return error_set(
			e, -EINVAL, ERROR_CONFIG, "%s is %.100s: it must be a list of lists of ranges", path, value);
	}
	for (const cJSON *list = lists->child; list && r >= 0; list = list->next) {
		cleanup_free char *where = format_text("%s[%zu]", path, count++);

		r = add_set(config, list, where, e);
	}
	return r;
}

static bool is_range(const cJSON *ipam)
{
	for (size_t i = 0; i < ARRAY_SIZE(range_keys); i++) {
		if (json_get(ipam, range_keys[i]))
			return true;
	}
	return false;
}

static int parse_sets(struct ipam_config *config, const cJSON *ipam, const cJSON *ranges, const cJSON *extra_sets,
	const char *path, struct error *e)
{
	cleanup_free char *ranges_path = json_path(path, "ranges");
	size_t size = 1 + (size_t)cJSON_GetArraySize(ranges) + (size_t)cJSON_GetArraySize(extra_sets);
	int r = check_length(ranges, ranges_path, e);

	if (r >= 0)
		r = check_length(extra_sets, "runtimeConfig.ipRanges", e);
	if (r < 0)
		return r;
	config->sets = allocate(size, sizeof(*config->sets));
	/* Nothing at all is read as a range too: its error names the key that everybody should have written. */
	if (is_range(ipam) || size == 1) {
		begin_set(config, 1);
		r = add_range(config, ipam, path, e);
	}
	if (r >= 0)
		r = add_sets(config, ranges, ranges_path, e);
	if (r >= 0)
		r = add_sets(config, extra_sets, "runtimeConfig.ipRanges", e);
	return r;
}

struct route_texts {
	const char *dst, *gateway;
	int64_t mtu, advmss, priority, table, scope;
};

#define ROUTE_FIELD(key, type, member) \
	{ \
		key, type, offsetof(struct route_texts, member), false \
	}

static const struct json_field route_table[] = {
	ROUTE_FIELD("dst", JSON_STRING, dst),
	ROUTE_FIELD("gw", JSON_STRING, gateway),
	ROUTE_FIELD("mtu", JSON_INTEGER, mtu),
	ROUTE_FIELD("advmss", JSON_INTEGER, advmss),
	ROUTE_FIELD("priority", JSON_INTEGER, priority),
	ROUTE_FIELD("table", JSON_INTEGER, table),
	ROUTE_FIELD("scope", JSON_INTEGER, scope),
	{0},
};

static int check_numbers(const struct route_texts *texts, const char *path, struct error *e)
{
	const struct {
		const char *key;
		int64_t value, min, max;
	} numbers[] = {
		{"mtu", texts->mtu, 0, UINT16_MAX},
		{"advmss", texts->advmss, 0, UINT16_MAX},
		{"priority", texts->priority, 0, UINT32_MAX},
		{"table", texts->table, 0, UINT32_MAX},
		{"scope", texts->scope, -1, UINT8_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (numbers[i].value < numbers[i].min || numbers[i].value > numbers[i].max)
			return error_set(e, -ERANGE, ERROR_CONFIG, "%s.%s is %lld: it must be between 0 and %lld", path,
				numbers[i].key, (long long)numbers[i].value, (long long)numbers[i].max);
	}
	return 0;
}

static int read_destination(const char *text, const char *path, struct ip_prefix *ret, struct error *e)
{
	struct ip_prefix dst;

	if (!text || !ip_parse_prefix(text, &dst))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.dst is %.100s: it must be a prefix such as 0.0.0.0/0 or 10.0.0.0/8", path,
			!text   ? "missing"
			: *text ? text
				: "empty");

	struct ip_prefix whole = {.addr = ip_network(&dst), .length = dst.length};

	if (ip_compare(&dst.addr, &whole.addr) != 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.dst is %s: it must have no host bits: %s", path, text,
			ip_prefix_text(&whole).s);
	*ret = dst;
	return 0;
}

static int read_route(const cJSON *object, const char *path, struct ipam_route *ret, struct error *e)
{
	struct route_texts texts = {.scope = -1};
	struct ipam_route route = {0};
	int r = json_read(object, path, route_table, &texts, e);

	if (r >= 0)
		r = read_destination(texts.dst, path, &route.dst, e);
	if (r >= 0)
		r = ipam_addr_read(texts.gateway, path, "gw", route.dst.addr.family, &route.gateway, e);
	if (r >= 0)
		r = check_numbers(&texts, path, e);
	if (r < 0)
		return r;
	route.mtu = (uint32_t)texts.mtu;
	route.advmss = (uint32_t)texts.advmss;
	route.priority = (uint32_t)texts.priority;
	route.table = (uint32_t)texts.table;
	route.scope = (int)texts.scope;
	*ret = route;
	return 0;
}

static int parse_routes(struct ipam_config *config, const cJSON *routes, const char *path, struct error *e)
{
	cleanup_free char *routes_path = json_path(path, "routes");
	int r = check_length(routes, routes_path, e);

	if (r < 0 || !routes)
		return r;
	config->routes = allocate((size_t)cJSON_GetArraySize(routes), sizeof(*config->routes));
	for (const cJSON *object = routes->child; object && r >= 0; object = object->next) {
		cleanup_free char *where = format_text("%s[%zu]", routes_path, config->route_count);

		r = read_route(object, where, &config->routes[config->route_count], e);
		if (r >= 0)
			config->route_count++;
	}
	return r;
}

static int parse_domain(struct ipam_config *config, const char *domain, const char *path, struct error *e)
{
	if (!domain)
		domain = "default";

	size_t length = strlen(domain);

	if (length == 0 || length > DOMAIN_MAX || domain[strspn(domain, DOMAIN_CHARACTERS)])
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.domain is %.100s: it must be 1 to %d letters, digits, dots, dashes or underscores", path,
			*domain ? domain : "empty", DOMAIN_MAX);
	config->domain = copy_text(domain);
	return 0;
}

static int parse_servers(struct ipam_config *config, const cJSON *ipam, const char *path, struct error *e)
{
	const cJSON *etcd = json_get(ipam, "etcdConfig");
	const char *kube_config = json_text(ipam, "kubeConfig");
	cleanup_free char *etcd_path = json_path(path, "etcdConfig");

	if (kube_config && *kube_config) {
		if (*kube_config != '/')
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"%s.kubeConfig is \"%.200s\": it must be an absolute path", path, kube_config);
		config->kube_config = copy_text(kube_config);
	}
	return etcd ? etcd_config_parse(etcd, etcd_path, &config->etcd, e) : 0;
}

int ipam_config_parse(
	const cJSON *ipam, const cJSON *extra_sets, const char *path, struct ipam_config **ret, struct error *e)
{
	struct ipam_texts texts = {0};
	cleanup_ipam_config struct ipam_config *config = allocate(1, sizeof(*config));
	int r = json_read(ipam, path, ipam_table, &texts, e);

	if (r >= 0)
		r = parse_servers(config, ipam, path, e);
	if (r >= 0)
		r = parse_sets(config, ipam, texts.ranges, extra_sets, path, e);
	if (r >= 0)
		r = parse_routes(config, texts.routes, path, e);
	if (r >= 0)
		r = parse_domain(config, texts.domain, path, e);
	if (r < 0)
		return r;
	if (texts.resolv_conf && *texts.resolv_conf)
		config->resolv_conf = copy_text(texts.resolv_conf);
	*ret = steal_ptr(config);
	return 0;
}

void ipam_config_free(struct ipam_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->set_count; i++)
		free(config->sets[i].ranges);
	free(config->sets);
	free(config->routes);
	free(config->domain);
	free(config->resolv_conf);
	free(config->kube_config);
	if (config->etcd)
		etcd_config_free(config->etcd);
	free(config);
}

/* Appends the line's words to the list of that name, which is made when it is needed. */
static void add_words(cJSON *dns, const char *name, char *words, size_t max)
{
	char *rest = NULL;

	for (char *word = strtok_r(words, " \t\r", &rest); word && max > 0; word = strtok_r(NULL, " \t\r", &rest)) {
		cJSON *list = cJSON_GetObjectItemCaseSensitive(dns, name);

		if (!list)
			list = cJSON_AddArrayToObject(dns, name);
		if (!cJSON_AddItemToArray(list, cJSON_CreateString(word)))
			abort();
		max--;
	}
}

static void add_line(cJSON *dns, char *line)
{
	char *rest = NULL;
	const char *keyword = strtok_r(line, " \t\r", &rest);

	if (!keyword || *keyword == '#' || *keyword == ';')
		return;
	if (strcmp(keyword, "nameserver") == 0)
		add_words(dns, "nameservers", rest, 1);
	else if (strcmp(keyword, "search") == 0)
		add_words(dns, "search", rest, SIZE_MAX);
	else if (strcmp(keyword, "options") == 0)
		add_words(dns, "options", rest, SIZE_MAX);
	else if (strcmp(keyword, "domain") == 0 && (keyword = strtok_r(NULL, " \t\r", &rest)))
		json_put_text(dns, "domain", keyword);
}

int ipam_read_resolv_conf(const char *path, cJSON **ret, struct error *e)
{
	cleanup_free char *text = NULL;
	int r = file_read(path, RESOLV_CONF_MAX, &text, NULL, e);

	if (r < 0)
		return r;

	cleanup_json cJSON *dns = cJSON_CreateObject();
	char *rest = NULL;

	if (!dns)
		abort();
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		add_line(dns, line);
	*ret = steal_ptr(dns);
	return 0;
}
