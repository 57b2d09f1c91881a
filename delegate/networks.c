#include "delegate/networks.h"

#include "delegate/kube_pod.h"
#include "delegate/text.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* The API server takes no annotations of more than that. */
#define ANNOTATION_MAX ((size_t)256 << 10)
#define SHOWN_MAX ((size_t)100)
/* An InfiniBand address; also the longest that Go's net.ParseMAC takes. */
#define HARDWARE_MAX 20

/* What is under way: the annotation, the pod's namespace, and the element that errors are about. */
struct reading {
	const char *key, *ns;
	struct network_list *list;
	struct network_element *element; /* the last one of list */
};

static int refuse(
	const struct reading *reading, const char *field, const char *value, const char *wanted, struct error *e)
{
	cleanup_free char *shown = text_quote(value, strlen(value), SHOWN_MAX);

	return error_set(e, -EINVAL, ERROR_CONFIG, "%s: network %zu: %s is %s: it must be %s", reading->key,
		reading->list->count, field, shown, wanted);
}

static int refuse_type(const struct reading *reading, const char *field, const char *wanted, struct error *e)
{
	return error_set(e, -EINVAL, ERROR_CONFIG, "%s: network %zu: %s must be %s", reading->key, reading->list->count,
		field, wanted);
}

static int add_element(struct reading *reading, struct error *e)
{
	struct network_list *list = reading->list;

	if (list->count == MAX_NETWORKS)
		return error_set(e, -E2BIG, ERROR_CONFIG, "%s has more than %zu networks", reading->key, MAX_NETWORKS);
	list->elements = reallocate(list->elements, list->count + 1, sizeof(*list->elements));
	reading->element = &list->elements[list->count++];
	*reading->element = (struct network_element){0};
	return 0;
}

/* --- what both forms have --- */

static int set_name(struct reading *reading, const char *ns, const char *name, struct error *e)
{
	if (!kube_is_name(ns, false))
		return refuse(reading, "the namespace", ns, "one of a-z, 0-9 and -", e);
	if (!kube_is_name(name, true))
		return refuse(reading, "the name", name,
			strchr(name, '/') ? "without a namespace, which \"namespace\" has" : "one of a-z, 0-9, - and .",
			e);
	reading->element->ns = copy_text(ns);
	reading->element->name = copy_text(name);
	return 0;
}

static int set_ifname(struct reading *reading, const char *ifname, struct error *e)
{
	if (!*ifname || strlen(ifname) >= IFNAMSIZ || strpbrk(ifname, " \t\n\v\f\r/"))
		return refuse(reading, "the interface", ifname, "1 to 15 bytes without white space and /", e);
	reading->element->ifname = copy_text(ifname);
	return 0;
}

/* --- the short form --- */

/* The text between two places without the white space around it; owned by the caller. */
static char *trimmed(const char *begin, const char *end)
{
	while (begin < end && isspace((unsigned char)*begin))
		begin++;
	while (begin < end && isspace((unsigned char)end[-1]))
		end--;
	return format_text("%.*s", (int)(end - begin), begin);
}

/* [namespace/]name[@interface] */
static int read_item(struct reading *reading, const char *item, struct error *e)
{
	static const char form[] = "[namespace/]name[@interface]";
	const char *slash = strchr(item, '/'), *begin = slash ? slash + 1 : item;
	const char *at = strchr(begin, '@'), *end = at ? at : begin + strlen(begin);

	if (strchr(begin, '/') || (at && strchr(at + 1, '@')))
		return refuse(reading, "it", item, form, e);

	cleanup_free char *ns = slash ? trimmed(item, slash) : copy_text(reading->ns);
	cleanup_free char *name = trimmed(begin, end);

	if (!*name)
		return refuse(reading, "it", item, form, e);
	/* "/name" is the pod's own namespace, as with multus. */
	if (set_name(reading, *ns ? ns : reading->ns, name, e) < 0)
		return e->err;

	cleanup_free char *ifname = at ? trimmed(at + 1, at + strlen(at)) : NULL;

	/* "name@" asks for no name, as with multus. */
	return ifname && *ifname ? set_ifname(reading, ifname, e) : 0;
}

static int read_short(struct reading *reading, const char *annotation, struct error *e)
{
	for (const char *begin = annotation;;) {
		const char *end = begin + strcspn(begin, ",");
		cleanup_free char *item = trimmed(begin, end);

		/* A comma behind the last one is nobody's network. */
		if (!*end && !*item && reading->list->count > 0)
			return 0;
		if (add_element(reading, e) < 0 || read_item(reading, item, e) < 0)
			return e->err;
		if (!*end)
			return 0;
		begin = end + 1;
	}
}

/* --- the JSON form --- */

struct fields {
	const char *ns, *name, *interface, *interface_request, *mac, *infiniband_guid, *device_id;
	const cJSON *ips, *port_mappings, *bandwidth, *cni_args, *default_route;
};

/* Pairs or fours of hexadecimal digits, in one of the three spellings that Go's net.ParseMAC takes. */
static bool is_hardware_address(const char *text)
{
	const size_t length = strlen(text), group = length > 4 && text[4] == '.' ? 4 : 2;
	const char separator = text[length > group ? group : length];
	const size_t bytes = (length + 1) / (group + 1) * group / 2;

	if ((group == 2 && separator != ':' && separator != '-') || (length + 1) % (group + 1) != 0 ||
		(bytes != 6 && bytes != 8 && bytes != HARDWARE_MAX))
		return false;
	for (size_t i = 0; i < length; i++) {
		bool between = i % (group + 1) == group;

		if (between ? text[i] != separator : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

static int set_hardware(
	const struct reading *reading, const char *field, const char *value, char **ret, struct error *e)
{
	if (!value || !*value)
		return 0;
	if (!is_hardware_address(value))
		return refuse(reading, field, value, "a hardware address such as 02:00:00:00:00:01", e);
	*ret = copy_text(value);
	return 0;
}

bool network_read_addr(const char *text, struct ip_addr *ret)
{
	struct ip_prefix prefix;

	if (ip_parse(text, ret))
		return true;
	if (!ip_parse_prefix(text, &prefix))
		return false;
	*ret = prefix.addr;
	return true;
}

static int set_ips(struct reading *reading, const cJSON *ips, struct error *e)
{
	struct network_element *element = reading->element;
	const cJSON *ip;

	element->has_ips = ips;
	cJSON_ArrayForEach(ip, ips)
	{
		struct ip_addr addr;

		if (!cJSON_IsString(ip))
			return refuse_type(reading, "ips", "an array of strings", e);
		if (!network_read_addr(ip->valuestring, &addr))
			return refuse(reading, "ips", ip->valuestring, "an IP address, with or without /LENGTH", e);
		if (element->ip_count == MAX_NETWORK_ADDRS)
			return refuse_type(reading, "ips", "at most 16 addresses", e);
		element->ips[element->ip_count++] = copy_text(ip->valuestring);
	}
	return 0;
}

static int set_gateways(struct reading *reading, const cJSON *gateways, struct error *e)
{
	struct network_element *element = reading->element;
	const cJSON *gateway;

	element->default_route = gateways;
	cJSON_ArrayForEach(gateway, gateways)
	{
		if (!cJSON_IsString(gateway))
			return refuse_type(reading, "default-route", "an array of strings", e);
		if (element->gateway_count == MAX_NETWORK_ADDRS)
			return refuse_type(reading, "default-route", "at most 16 gateways", e);
		if (!ip_parse(gateway->valuestring, &element->gateways[element->gateway_count]))
			return refuse(reading, "default-route", gateway->valuestring, "the IP address of a gateway", e);
		element->gateway_count++;
	}
	return 0;
}

static int set_asked_name(struct reading *reading, const char *ns, const char *name, struct error *e)
{
	if ((name ? set_name(reading, ns, name, e) : refuse_type(reading, "name", "there", e)) == 0)
		return 0;
	reading->list->bad_ns = copy_text(ns);
	reading->list->bad_name = copy_text(name ? name : "");
	return e->err;
}

static int set_fields(struct reading *reading, const struct fields *fields, struct error *e)
{
	struct network_element *element = reading->element;
	const char *ifname = fields->interface && *fields->interface ? fields->interface : fields->interface_request;
	const char *ns = fields->ns && *fields->ns ? fields->ns : reading->ns;

	if (set_asked_name(reading, ns, fields->name, e) < 0 ||
		(ifname && *ifname && set_ifname(reading, ifname, e) < 0) ||
		set_hardware(reading, "mac", fields->mac, &element->mac, e) < 0 ||
		set_hardware(reading, "infiniband-guid", fields->infiniband_guid, &element->infiniband_guid, e) < 0 ||
		set_ips(reading, fields->ips, e) < 0 || set_gateways(reading, fields->default_route, e) < 0)
		return e->err;
	if (fields->cni_args && (size_t)cJSON_GetArraySize(fields->cni_args) > MAX_NETWORK_ARGS) {
		cleanup_free char *wanted = format_text("an object of at most %zu members", MAX_NETWORK_ARGS);

		return refuse_type(reading, "cni-args", wanted, e);
	}
	element->device_id = fields->device_id && *fields->device_id ? copy_text(fields->device_id) : NULL;
	element->port_mappings = json_copy(fields->port_mappings);
	element->bandwidth = json_copy(fields->bandwidth);
	element->cni_args = json_copy(fields->cni_args);
	return 0;
}

static int read_object(struct reading *reading, const cJSON *object, struct error *e)
{
	static const struct json_field table[] = {
		{"namespace", JSON_STRING, offsetof(struct fields, ns), false},
		{"name", JSON_STRING, offsetof(struct fields, name), false},
		{"interface", JSON_STRING, offsetof(struct fields, interface), false},
		{"interfaceRequest", JSON_STRING, offsetof(struct fields, interface_request), false},
		{"mac", JSON_STRING, offsetof(struct fields, mac), false},
		{"infiniband-guid", JSON_STRING, offsetof(struct fields, infiniband_guid), false},
		{"deviceID", JSON_STRING, offsetof(struct fields, device_id), false},
		{"ips", JSON_ARRAY, offsetof(struct fields, ips), false},
		{"portMappings", JSON_ARRAY, offsetof(struct fields, port_mappings), false},
		{"bandwidth", JSON_OBJECT, offsetof(struct fields, bandwidth), false},
		{"cni-args", JSON_OBJECT, offsetof(struct fields, cni_args), false},
		{"default-route", JSON_ARRAY, offsetof(struct fields, default_route), false},
		{NULL},
	};
	struct fields fields = {0};

	if (!cJSON_IsObject(object))
		return refuse_type(reading, "it", "an object", e);
	if (json_read(object, "", table, &fields, e) < 0)
		return error_wrap(e, "%s: network %zu", reading->key, reading->list->count);
	return set_fields(reading, &fields, e);
}

static int read_array(struct reading *reading, const char *annotation, struct error *e)
{
	cleanup_json cJSON *array = NULL;
	const cJSON *object;

	if (json_parse(annotation, strlen(annotation), reading->key, &array, e) < 0) {
		/* A person wrote it, and no program's message: what is wrong is a configuration. */
		e->code = ERROR_CONFIG;
		return e->err;
	}
	if (!cJSON_IsArray(array))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s: it must be a JSON array of objects, or a list [namespace/]name[@interface], ...",
			reading->key);
	cJSON_ArrayForEach(object, array)
	{
		if (add_element(reading, e) < 0 || read_object(reading, object, e) < 0)
			return e->err;
	}
	return 0;
}

int networks_read(const char *key, const char *annotation, const char *ns, struct network_list *ret, struct error *e)
{
	cleanup_networks struct network_list list = {0};
	struct reading reading = {.key = key, .ns = ns, .list = &list};
	const bool json = strpbrk(annotation, "[{\"");

	*ret = (struct network_list){0};
	if (!*annotation)
		return 0;
	if (strnlen(annotation, ANNOTATION_MAX + 1) > ANNOTATION_MAX)
		return error_set(e, -E2BIG, ERROR_CONFIG, "%s is longer than %zu bytes", key, ANNOTATION_MAX);
	if ((json ? read_array : read_short)(&reading, annotation, e) < 0) {
		ret->bad_ns = steal_ptr(list.bad_ns);
		ret->bad_name = steal_ptr(list.bad_name);
		return e->err;
	}
	*ret = list;
	list = (struct network_list){0};
	return 0;
}

const struct ip_addr *network_gateway(const struct network_element *element, int family)
{
	for (size_t i = 0; element && i < element->gateway_count; i++) {
		if (element->gateways[i].family == family)
			return &element->gateways[i];
	}
	return NULL;
}

cJSON *network_print_ips(const struct network_element *element)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < element->ip_count; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(element->ips[i]));
	return list;
}

void network_recall_ips(struct network_element *element, const cJSON *list)
{
	const cJSON *ip;

	cJSON_ArrayForEach(ip, list)
	{
		element->has_ips = true;
		if (element->ip_count < MAX_NETWORK_ADDRS && cJSON_IsString(ip))
			element->ips[element->ip_count++] = copy_text(ip->valuestring);
	}
}

void network_element_clear(struct network_element *element)
{
	for (size_t i = 0; i < element->ip_count; i++)
		free(element->ips[i]);
	free(element->ns);
	free(element->name);
	free(element->ifname);
	free(element->mac);
	free(element->infiniband_guid);
	free(element->device_id);
	cJSON_Delete(element->port_mappings);
	cJSON_Delete(element->bandwidth);
	cJSON_Delete(element->cni_args);
	*element = (struct network_element){0};
}

void network_list_clear(struct network_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		network_element_clear(&list->elements[i]);
	free(list->elements);
	free(list->bad_ns);
	free(list->bad_name);
	*list = (struct network_list){0};
}
