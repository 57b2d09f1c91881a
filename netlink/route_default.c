/* The main table's default routes. */
#include "netlink/route_read.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/route/route.h>

struct defaults {
	struct rtnl_route **list;
	size_t count;
};

static void defaults_clear(struct defaults *defaults)
{
	for (size_t i = 0; i < defaults->count; i++)
		rtnl_route_put(defaults->list[i]);
	free(defaults->list);
	*defaults = (struct defaults){0};
}
#define cleanup_defaults CLEANUP(defaults_clear)

static int keep_default(struct rtnl_route *object, void *arg)
{
	struct defaults *defaults = arg;

	if (!object) {
		defaults_clear(defaults);
		return 0;
	}
	if (rtnl_route_get_nnexthops(object) == 0 || route_read(object, 0).dst.length != 0)
		return 0;
	nl_object_get(OBJ_CAST(object));
	defaults->list = reallocate(defaults->list, defaults->count + 1, sizeof(struct rtnl_route *));
	defaults->list[defaults->count++] = object;
	return 0;
}

static int read_defaults(struct nl *nl, int family, struct defaults *ret, struct error *e)
{
	return route_dump(nl, family, RT_TABLE_MAIN, keep_default, ret, e);
}

int route_default_link(struct nl *nl, int *ret_ifindex, struct error *e)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		cleanup_free struct route *list = NULL;
		size_t count = 0;

		if (route_list_defaults(nl, families[i], &list, &count, e) < 0)
			return e->err;
		for (size_t n = 0; n < count; n++) {
			if (list[n].ifindex == 0)
				continue;
			*ret_ifindex = list[n].ifindex;
			return 0;
		}
	}
	return error_set(e, -ESRCH, ERROR_CONFIG, "no default route leads to a link");
}

int route_list_defaults(struct nl *nl, int family, struct route **ret, size_t *ret_count, struct error *e)
{
	cleanup_defaults struct defaults defaults = {0};

	if (read_defaults(nl, family, &defaults, e) < 0)
		return e->err;
	for (size_t i = 0; i < defaults.count; i++) {
		for (int path = 0; path < rtnl_route_get_nnexthops(defaults.list[i]); path++) {
			*ret = reallocate(*ret, *ret_count + 1, sizeof(**ret));
			(*ret)[(*ret_count)++] = route_read(defaults.list[i], path);
		}
	}
	return 0;
}

static bool leads_over(struct rtnl_route *object, int ifindex)
{
	for (int path = 0; path < rtnl_route_get_nnexthops(object); path++) {
		if (route_read(object, path).ifindex == ifindex)
			return true;
	}
	return false;
}

/* With all that the kernel said of it, so that it is this one that goes. */
static int delete_route(struct nl *nl, struct rtnl_route *object, struct error *e)
{
	struct ip_addr gateway = route_read(object, 0).gateway;
	struct nl_msg *message = NULL;

	if (rtnl_route_build_del_request(object, 0, &message) < 0)
		abort();

	int r = nl_call(nl, message, e, "cannot delete the default route%s%s", gateway.family ? " through " : "",
		ip_text(&gateway).s);

	if (r != -ESRCH)
		return r;
	error_clear(e);
	return 0;
}

int route_delete_defaults(struct nl *nl, int family, int ifindex, struct error *e)
{
	cleanup_defaults struct defaults defaults = {0};

	if (read_defaults(nl, family, &defaults, e) < 0)
		return e->err;
	for (size_t i = 0; i < defaults.count; i++) {
		if ((ifindex == 0 || leads_over(defaults.list[i], ifindex)) &&
			delete_route(nl, defaults.list[i], e) < 0)
			return e->err;
	}
	return 0;
}
