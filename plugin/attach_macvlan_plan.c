#include "plugin/attach_macvlan.h"

#include "delegate/chain.h"
#include "delegate/result.h"
#include "netlink/link.h"
#include "netlink/route.h"

#include <errno.h>
#include <string.h>

/* Tables of attachments that have a default route of their own: 100 + their place in the list. */
#define FIRST_TABLE 100

/* The kernel's, for all that is Ethernet. */
#define MIN_MTU 68
#define MAX_MTU 65535

uint32_t macvlan_own_table(const struct attachment *a)
{
	return a->index > 0 ? FIRST_TABLE + a->index : 0;
}

bool macvlan_serves(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return type && strcmp(type, "macvlan") == 0;
}

/* runtimeConfig (where declared), then CNI_ARGS, where multus appends what the annotation asks for, then the
 * configuration: the reference plugin's order. */
static int choose_mac(struct attachment *a, const struct request *request, const cJSON *runtime_config, struct error *e)
{
	struct macvlan_private *p = a->private;
	cleanup_free char *own_key = json_path(a->path, "mac");
	const char *mac = NULL, *source = "runtimeConfig.mac";

	if (cJSON_IsTrue(json_dig(a->conf, "capabilities", "mac", NULL)))
		mac = json_text(runtime_config, "mac");
	if (!mac && a->asked && a->asked->mac) {
		mac = a->asked->mac;
		source = "mac of the pod's annotation";
	} else if (!mac) {
		mac = request->pod.mac ? request->pod.mac : p->mac;
		source = request->pod.mac ? "MAC (CNI_ARGS)" : own_key;
	}
	if (!mac || !*mac)
		return 0;
	p->has_mac = true;
	if (!link_parse_mac(mac, a->made.mac))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is \"%.64s\": it must be a MAC address of six bytes, not multicast and not zero", source,
			mac);
	return 0;
}

static int read_link_keys(struct attachment *a, struct error *e)
{
	struct macvlan_private *p = a->private;
	static const struct json_field keys[] = {
		{"master", JSON_STRING, offsetof(struct macvlan_private, master), false},
		{"mode", JSON_STRING, offsetof(struct macvlan_private, mode_name), false},
		{"mac", JSON_STRING, offsetof(struct macvlan_private, mac), false},
		{"linkInContainer", JSON_BOOL, offsetof(struct macvlan_private, link_in_container), false},
		{"mtu", JSON_INTEGER, offsetof(struct macvlan_private, mtu), false},
		{"bcqueuelen", JSON_INTEGER, offsetof(struct macvlan_private, bcqueuelen), false},
		{.key = NULL},
	};

	if (json_read(a->conf, a->path, keys, p, e) < 0)
		return e->err;
	if (!link_parse_mode(p->mode_name, &p->mode))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.mode is \"%.64s\": it must be bridge, private, vepa or passthru", a->path, p->mode_name);
	if (p->master && !*p->master)
		p->master = NULL;
	if (p->master && (strlen(p->master) >= IFNAMSIZ || strpbrk(p->master, "/%: ")))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.master is \"%.64s\": it must be an interface's name",
			a->path, p->master);
	if (p->mtu != 0 && (p->mtu < MIN_MTU || p->mtu > MAX_MTU))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.mtu is %lld: it must be 0 (the master's) or %d to %d",
			a->path, (long long)p->mtu, MIN_MTU, MAX_MTU);
	if (p->bcqueuelen < 0 || p->bcqueuelen > UINT32_MAX)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.bcqueuelen is %lld: it must be 0 to %u", a->path,
			(long long)p->bcqueuelen, UINT32_MAX);
	return 0;
}

int macvlan_plan(struct attachment *a, const struct request *request, const struct config *config, struct error *e)
{
	struct macvlan_private *p = allocate(1, sizeof(*p));
	cleanup_json cJSON *runtime_config = attachment_runtime_config(a, request, config);

	p->mode_name = "";
	a->private = p;
	if (chain_read(a->conf, a->path, runtime_config, &p->chain, e) < 0 || read_link_keys(a, e) < 0 ||
		choose_mac(a, request, runtime_config, e) < 0 ||
		addressing_read(a->conf, a->path, config, &p->addressing, e) < 0)
		return e->err;
	if (result_read_dns(a->conf, &p->dns, e) < 0)
		return error_wrap(e, "%s", a->path);
	a->made.table = macvlan_own_table(a);
	/* A master in the pod is what another attachment makes. */
	a->independent = !p->link_in_container;
	return 0;
}

int macvlan_offer(struct attachment *a, const struct annotations *annotations, const struct ip_addr *addr,
	const char *source, bool *ret, struct error *e)
{
	struct macvlan_private *p = a->private;

	return addressing_offer(&p->addressing, annotations, addr, source, ret, e);
}

static int check_master(const struct attachment *a, const struct link_info *master, struct error *e)
{
	const struct macvlan_private *p = a->private;

	if (master->loopback)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.master is %s, the loopback interface: it cannot carry a macvlan", a->path, master->name);
	if (master->bridge_port)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.master is %s, a port of a bridge: name the bridge, or take the port out of it", a->path,
			master->name);
	if (p->mtu > master->mtu)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.mtu is %lld: it must be [0, master MTU(%u)]", a->path,
			(long long)p->mtu, master->mtu);
	if (!master->up)
		return error_set(e, -ENETDOWN, ERROR_TRY_AGAIN, "%s.master is %s, which is down: set it up", a->path,
			master->name);
	return 0;
}

/* The kernel gives a macvlan of that mode the master's MAC, whatever is asked for. */
static int take_mac(struct attachment *a, const struct link_info *master, struct error *e)
{
	struct macvlan_private *p = a->private;
	char mac[MAC_TEXT];

	if (strcmp(p->mode_name, "passthru") != 0)
		return 0;
	if (p->has_mac && memcmp(a->made.mac, master->mac, sizeof(a->made.mac)) != 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s: with mode passthru the MAC is the master's, %s",
			a->path, link_format_mac(master->mac, mac));
	memcpy(a->made.mac, master->mac, sizeof(a->made.mac));
	p->has_mac = true;
	return 0;
}

int macvlan_find_master(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct nl *nl = p->link_in_container ? run->pod : run->host;
	struct link_info master;

	if (p->master) {
		if (link_get(nl, p->master, &master, e) == -ENODEV)
			return error_set(e, -ENODEV, ERROR_CONFIG, "%s.master is \"%s\": there is no such interface %s",
				a->path, p->master, p->link_in_container ? "in the pod" : "on this node");
	} else if (route_default_link(nl, &p->master_index, e) < 0) {
		return error_wrap(e, "%s.master is not set", a->path);
	} else {
		link_get_index(nl, p->master_index, &master, e);
	}
	if (e->err)
		return e->err;
	p->master_index = master.ifindex;
	return check_master(a, &master, e) < 0 ? e->err : take_mac(a, &master, e);
}

int macvlan_inspect(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	cleanup_free char *plugin = NULL;

	if (!p->link_in_container && macvlan_find_master(a, run, e) < 0)
		return e->err;
	if (!p->has_mac)
		link_random_mac(a->made.mac);
	if (p->addressing.kind == ADDRESSING_EXEC && call_find(p->addressing.type, run->path, &plugin, e) < 0)
		return error_wrap(e, "%s.type", p->addressing.path);
	return 0;
}

int macvlan_prepare(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct lease_request request = addressing_lease(&p->addressing, a->network, a->ifname);

	return p->addressing.kind == ADDRESSING_LEASE ? lease_prepare(&request, run, &a->made, e) : 0;
}
