#include "plugin/default_route.h"

#include "netlink/link.h"
#include "netlink/route.h"

#include <errno.h>

#define MAIN_TABLE 254

struct family {
	int number;
	const char *name, *everything;
};

/* In the order of made.gateways. */
static const struct family families[] = {{AF_INET, "IPv4", "0.0.0.0/0"}, {AF_INET6, "IPv6", "::/0"}};

static const struct ip_addr *gateway_of(const struct attachment *a, int family)
{
	return network_gateway(a->asked, family);
}

/* The network that has the pod's gateway; NULL: none was asked for. */
static struct attachment *find_holder(const struct plan *plan, int family)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (gateway_of(plan->attachments[i], family))
			return plan->attachments[i];
	}
	return NULL;
}

static int refuse_second(const struct attachment *a, const struct attachment *holder, const struct family *family,
	const struct ip_addr *gateway, struct error *e)
{
	return error_set(e, -EINVAL, ERROR_CONFIG,
		"multus does not support ECMP for default-route: the pod's annotation names the %s gateway %s of "
		"network "
		"%s (%s), and %s of network %s (%s): keep one of them",
		family->name, ip_text(gateway_of(holder, family->number)).s, holder->name, holder->ifname,
		ip_text(gateway).s, a->name, a->ifname);
}

static int check_attachment(const struct plan *plan, const struct attachment *a, struct error *e)
{
	for (size_t i = 0; a->asked && i < a->asked->gateway_count; i++) {
		const struct ip_addr *gateway = &a->asked->gateways[i];
		const struct family *family = &families[gateway->family == AF_INET6];
		const struct attachment *holder = find_holder(plan, gateway->family);

		if (!ip_is_host(gateway))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"default-route of network %s (%s) is %s, an address that no router has: name the "
				"gateway's",
				a->name, a->ifname, ip_text(gateway).s);
		if (gateway != gateway_of(holder, gateway->family))
			return refuse_second(a, holder, family, gateway, e);
	}
	return 0;
}

int default_route_check(const struct plan *plan, struct error *e)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (check_attachment(plan, plan->attachments[i], e) < 0)
			return e->err;
	}
	return 0;
}

/* --- the result --- */

/* However it is spelt. One that names a table of its own is the site's business. */
static bool is_default(const cJSON *route, int family)
{
	const char *dst = json_text(route, "dst");
	const cJSON *table = json_get(route, "table");
	struct ip_prefix prefix;

	return dst && ip_parse_prefix(dst, &prefix) && prefix.length == 0 && prefix.addr.family == family &&
	       (!cJSON_IsNumber(table) || table->valueint == 0 || table->valueint == MAIN_TABLE);
}

static void drop_defaults(cJSON *result, int family)
{
	cJSON *routes = cJSON_GetObjectItemCaseSensitive(result, "routes");

	for (cJSON *item = routes ? routes->child : NULL, *next; item; item = next) {
		next = item->next;
		if (is_default(item, family))
			cJSON_Delete(cJSON_DetachItemViaPointer(routes, item));
	}
}

static void append_default(cJSON *result, const struct family *family, const struct ip_addr *gateway)
{
	cJSON *route = cJSON_CreateObject();

	json_put_text(route, "dst", family->everything);
	json_put_text(route, "gw", ip_text(gateway).s);
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(result, "routes"), route);
}

void default_route_forgo(struct attachment *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (gateway_of(a, families[i].number))
			drop_defaults(a->result, families[i].number);
	}
}

/* --- the kernel --- */

static bool is_it(const struct route *found, const struct route *wanted)
{
	return found->ifindex == wanted->ifindex && ip_compare(&found->gateway, &wanted->gateway) == 0;
}

/* Whether it is what the kernel goes by: all others are worse. */
static bool prevails(const struct route *list, size_t count, const struct route *wanted)
{
	const struct route *found = NULL;

	for (size_t i = 0; i < count && !found; i++) {
		if (is_it(&list[i], wanted))
			found = &list[i];
	}
	for (size_t i = 0; i < count && found; i++) {
		if (&list[i] != found && list[i].priority <= found->priority)
			return false;
	}
	return found;
}

/* "via 10.244.1.1 dev eth0 metric 20, dev net1", or "none". */
static char *describe(struct nl *nl, const struct route *list, size_t count)
{
	char *text = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct route *route = &list[i];
		struct link_info link = {.name = "?"};
		cleanup_error struct error ignored = {0};
		cleanup_free char *metric = NULL;
		cleanup_free char *item = NULL;

		link_get_index(nl, route->ifindex, &link, &ignored);
		metric = route->priority ? format_text(" metric %u", route->priority) : copy_text("");
		item = format_text("%s%s%sdev %s%s", route->gateway.family ? "via " : "", ip_text(&route->gateway).s,
			route->gateway.family ? " " : "", link.name, metric);
		append_item(&text, item);
	}
	return text ? text : copy_text("none");
}

static int find_link(
	const struct attachment *a, const struct ip_addr *gateway, struct run *run, struct route *ret, struct error *e)
{
	struct link_info link;

	if (link_get(run->pod, a->ifname, &link, e) < 0)
		return error_wrap(e, "default-route of network %s: %s is to be reached over interface %s", a->name,
			ip_text(gateway).s, a->ifname);
	*ret = (struct route){
		.dst.addr.family = gateway->family, .gateway = *gateway, .ifindex = link.ifindex, .scope = -1};
	return 0;
}

static int verify(const struct attachment *a, const struct family *family, const struct route *wanted, struct run *run,
	struct error *e)
{
	cleanup_free struct route *list = NULL;
	cleanup_free char *there = NULL;
	size_t count = 0;

	if (route_list_defaults(run->pod, family->number, &list, &count, e) < 0)
		return e->err;
	if (prevails(list, count, wanted))
		return 0;
	there = describe(run->pod, list, count);
	return error_set(e, -EINVAL, ERROR_IO,
		"the pod's %s default route is not the one that its annotation names, through %s over %s (network %s): "
		"there is %s",
		family->name, ip_text(&wanted->gateway).s, a->ifname, a->name, there);
}

static int add(const struct attachment *a, const struct route *wanted, struct run *run, struct error *e)
{
	if (route_add(run->pod, wanted, e) == 0)
		return 0;
	/* EACCES: the interface has no IPv6. */
	if (e->err == -EACCES)
		e->code = ERROR_CONFIG;
	return error_wrap(e,
		"default-route of network %s: interface %s must be up, with an address in the subnet of gateway %s",
		a->name, a->ifname, ip_text(&wanted->gateway).s);
}

/* Makes the gateway the only default route of its family, if it is not. */
static int install(const struct attachment *a, const struct family *family, struct run *run, struct error *e)
{
	cleanup_free struct route *list = NULL;
	struct route wanted = {0};
	size_t count = 0;

	if (find_link(a, gateway_of(a, family->number), run, &wanted, e) < 0 ||
		route_list_defaults(run->pod, family->number, &list, &count, e) < 0)
		return e->err;
	if (count == 1 && is_it(&list[0], &wanted))
		return 0;
	if (route_delete_defaults(run->pod, family->number, 0, e) < 0 || add(a, &wanted, run, e) < 0)
		return e->err;
	return verify(a, family, &wanted, run, e);
}

/* The program that comes next may want to add its own: as with multus, it finds none in its way. */
static int take_away(const struct attachment *a, int family, struct run *run, struct error *e)
{
	struct link_info link;

	if (link_get(run->pod, a->ifname, &link, e) == 0)
		return route_delete_defaults(run->pod, family, link.ifindex, e);
	if (e->err != -ENODEV)
		return e->err;
	error_clear(e);
	return 0;
}

static int apply(const struct attachment *holder, struct attachment *a, size_t i, struct run *run, struct error *e)
{
	const struct family *family = &families[i];

	if (a == holder) {
		drop_defaults(a->result, family->number);
		append_default(a->result, family, gateway_of(a, family->number));
		a->made.gateways[i] = *gateway_of(a, family->number);
	} else if (!a->made.table) {
		drop_defaults(a->result, family->number);
	}
	return a->index < holder->index ? take_away(a, family->number, run, e) : install(holder, family, run, e);
}

int default_route_apply(const struct plan *plan, struct attachment *a, struct run *run, struct error *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct attachment *holder = find_holder(plan, families[i].number);

		if (holder && apply(holder, a, i, run, e) < 0)
			return e->err;
	}
	return 0;
}

int default_route_verify(const struct attachment *a, struct run *run, struct error *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct ip_addr *gateway = &a->made.gateways[i];
		struct route wanted = {0};

		if (gateway->family &&
			(find_link(a, gateway, run, &wanted, e) < 0 || verify(a, &families[i], &wanted, run, e) < 0))
			return e->err;
	}
	return 0;
}
