/* An attachment that lamina makes itself: a macvlan of a master of this node, created straight in the pod. */
#include "delegate/chain.h"
#include "delegate/result.h"
#include "netlink/link.h"
#include "netlink/route.h"
#include "plugin/addressing.h"
#include "plugin/base/fault.h"
#include "plugin/base/log.h"
#include "plugin/interface.h"

#include <errno.h>
#include <string.h>

/* Tables of attachments that have a default route of their own: 100 + their place in the list. */
#define FIRST_TABLE 100

/* The kernel's, for all that is Ethernet. */
#define MIN_MTU 68
#define MAX_MTU 65535

struct macvlan_private {
	struct chain *chain; /* for the configuration that an IPAM plugin is given */
	struct addressing addressing;
	cJSON *dns; /* of the configuration */
	struct call_params params;
	const char *master, *mode_name,
		*mac; /* borrowed from the configuration; master NULL: the default route's link */
	bool link_in_container;
	bool has_mac;
	int64_t mtu, bcqueuelen;
	uint32_t mode;
	int master_index;
};

static bool serves_macvlan(const cJSON *conf)
{
	const char *type = json_text(conf, "type");

	return type && strcmp(type, "macvlan") == 0;
}

/* runtimeConfig (where declared), then CNI_ARGS, then the configuration: the reference plugin's order. */
static int choose_mac(struct attachment *a, const struct request *request, const struct config *config, struct error *e)
{
	struct macvlan_private *p = a->private;
	cleanup_free char *own_key = json_path(a->path, "mac");
	const char *mac = NULL, *source = "runtimeConfig.mac";

	if (cJSON_IsTrue(json_dig(a->conf, "capabilities", "mac", NULL)))
		mac = json_text(config->runtime_config, "mac");
	if (!mac) {
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

/* 0: the default network's routes are the main table's. */
static uint32_t own_table(const struct attachment *a)
{
	return a->index > 0 ? FIRST_TABLE + a->index : 0;
}

static int plan_macvlan(
	struct attachment *a, const struct request *request, const struct config *config, struct error *e)
{
	struct macvlan_private *p = allocate(1, sizeof(*p));

	p->mode_name = "";
	a->private = p;
	if (chain_read(a->conf, a->path, config->runtime_config, &p->chain, e) < 0 || read_link_keys(a, e) < 0 ||
		choose_mac(a, request, config, e) < 0 ||
		addressing_read(a->conf, a->path, config->runtime_config, &p->addressing, e) < 0)
		return e->err;
	if (result_read_dns(a->conf, &p->dns, e) < 0)
		return error_wrap(e, "%s", a->path);
	a->made.table = own_table(a);
	/* A master in the pod is what another attachment makes. */
	a->independent = !p->link_in_container;
	return 0;
}

static int offer_macvlan(struct attachment *a, const struct annotations *annotations, const struct ip_addr *addr,
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

static int find_master(struct attachment *a, struct run *run, struct error *e)
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

static int inspect_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	cleanup_free char *plugin = NULL;

	if (!p->link_in_container && find_master(a, run, e) < 0)
		return e->err;
	if (!p->has_mac)
		link_random_mac(a->made.mac);
	if (p->addressing.kind == ADDRESSING_EXEC && call_find(p->addressing.type, run->path, &plugin, e) < 0)
		return error_wrap(e, "%s.type", p->addressing.path);
	if (p->addressing.kind == ADDRESSING_LEASE) {
		struct lease_request request = addressing_lease(&p->addressing, a->network, a->ifname);

		return lease_prepare(&request, run, &a->made, e);
	}
	return 0;
}

static int create_link(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct macvlan_spec spec = {
		.name = a->ifname,
		.master = p->master_index,
		.netns_fd = run->netns_fd,
		.mode = p->mode,
		.mtu = (unsigned int)p->mtu,
		.bcqueuelen = (uint32_t)p->bcqueuelen,
	};
	struct link_info link;

	memcpy(spec.mac, a->made.mac, sizeof(spec.mac));
	a->made.link = MADE_INTENDED;
	if (link_add_macvlan(p->link_in_container ? run->pod : run->host, run->pod, &spec, &link, e) < 0)
		return error_wrap(e, "%s", a->path);
	a->made.link = MADE_DONE;
	a->made.ifindex = link.ifindex;
	trace_step("link created");
	return fault_point("linked") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: linked") : 0;
}

static int call_ipam(struct attachment *a, struct run *run, const char *command, struct error *e)
{
	struct macvlan_private *p = a->private;
	bool previous = strcmp(command, "ADD") != 0 && cni_version_at_least(chain_version(p->chain), "0.4.0");
	cleanup_free char *conf = chain_plugin_config(p->chain, 0, previous ? a->result : NULL, e);

	if (!conf)
		return e->err;
	p->params = run_call(run, command, a->ifname);
	a->made.exec = MADE_INTENDED;
	return call_start(&p->params, p->addressing.type, conf, run->call_deadline, &p->addressing.call, e);
}

static int configure(struct attachment *a, struct run *run, cJSON *addresses, struct error *e)
{
	a->result = addresses;
	if (interface_configure(a, run, addresses, e) < 0)
		return error_wrap(e, "%s: interface %s", a->path, a->ifname);
	trace_step("link up");
	return 0;
}

static int start_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct lease_request request = addressing_lease(&p->addressing, a->network, a->ifname);
	cJSON *addresses = NULL;

	if (p->link_in_container && find_master(a, run, e) < 0)
		return e->err;
	/* The claim comes first: it is what fails most often, and a link costs 15 ms to delete. */
	if (p->addressing.kind == ADDRESSING_LEASE && lease_claim(&request, run, &a->made, e) < 0)
		return e->err;
	if (create_link(a, run, e) < 0)
		return e->err;
	switch (p->addressing.kind) {
	case ADDRESSING_EXEC:
		return call_ipam(a, run, "ADD", e);
	case ADDRESSING_LEASE:
		if (addressing_result(&p->addressing, &a->made, &addresses, e) < 0)
			return e->err;
		return configure(a, run, addresses, e);
	case ADDRESSING_NONE:
		return configure(a, run, result_new(), e);
	}
	return 0;
}

static int finish_ipam(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	cJSON *addresses = NULL;

	if (addressing_finish(&p->addressing, chain_version(p->chain), &addresses, e) < 0)
		return e->err;
	a->made.exec = MADE_DONE;
	return configure(a, run, addresses, e);
}

/* The result as the reference macvlan has it: one interface, its addresses, the configuration's own dns. */
static void complete_result(struct attachment *a, const struct run *run)
{
	cJSON *result = result_new(), *ip;
	char mac[MAC_TEXT];
	const struct macvlan_private *p = a->private;

	result_merge(result, a->result);
	json_put(result, "dns", json_copy(p->dns));
	result_add_interface(result, a->ifname, link_format_mac(a->made.mac, mac), run->request->netns);
	cJSON_ArrayForEach(ip, cJSON_GetObjectItemCaseSensitive(result, "ips"))
	{
		json_put(ip, "interface", cJSON_CreateNumber(0));
	}
	cJSON_Delete(a->result);
	a->result = result;
}

static int finish_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;

	if (p->addressing.kind == ADDRESSING_EXEC && finish_ipam(a, run, e) < 0)
		return e->err;
	if (interface_route(a, run, a->result, e) < 0)
		return error_wrap(e, "%s: interface %s", a->path, a->ifname);
	complete_result(a, run);
	return fault_point("routed") < 0 ? error_set(e, -EIO, ERROR_IO, "fault: routed") : 0;
}

/*
 * The link that this attachment made: by what was recorded, or, where nobody remembers, the macvlan of that name. A
 * link of another MAC or kind is somebody else's.
 */
static int find_link(const struct attachment *a, struct run *run, struct link_info *ret, struct error *e)
{
	static const uint8_t unknown[6];

	if (a->made.link == MADE_NOTHING || !run->pod)
		return error_set(e, -ENODEV, ERROR_CONFIG, "no link");
	if (a->made.link == MADE_DONE) {
		if (link_get_index(run->pod, a->made.ifindex, ret, e) < 0)
			return e->err;
	} else if (memcmp(a->made.mac, unknown, sizeof(unknown)) != 0) {
		return link_find_macvlan(run->pod, a->made.mac, ret, e);
	} else if (link_get(run->pod, a->ifname, ret, e) < 0) {
		return e->err;
	}
	if (strcmp(ret->kind, "macvlan") != 0)
		return error_set(e, -ENODEV, ERROR_CONFIG, "interface %s is not a macvlan", ret->name);
	return 0;
}

static int del_start_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct link_info link = {0};

	if (find_link(a, run, &link, e) < 0) {
		if (e->err != -ENODEV)
			return e->err;
		error_clear(e);
		return 0;
	}
	run->doomed = reallocate(run->doomed, run->doomed_count + 1, sizeof(*run->doomed));
	run->doomed[run->doomed_count++] = link.ifindex;
	return 0;
}

static void settle_macvlan(struct attachment *a)
{
	struct macvlan_private *p = a->private;

	if (p)
		addressing_settle(&p->addressing);
}

static int release_ipam(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;

	if (!p) {
		a->private = p = allocate(1, sizeof(*p));
		if (chain_read(a->conf, a->path, run->config->runtime_config, &p->chain, e) < 0 ||
			addressing_read(a->conf, a->path, run->config->runtime_config, &p->addressing, e) < 0)
			return e->err;
	}
	if (p->addressing.kind != ADDRESSING_EXEC)
		return 0;
	if (call_ipam(a, run, "DEL", e) < 0)
		return e->err;
	return call_finish(p->addressing.call, NULL, NULL, e);
}

static int del_finish_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct link_info link = {0};

	/* Link before address: a successor must not find the old interface still answering. */
	if (find_link(a, run, &link, e) == 0)
		return error_set(e, -EBUSY, ERROR_IO, "interface %s is still there", a->ifname);
	if (e->err != -ENODEV)
		return e->err;
	error_clear(e);
	a->made.link = MADE_NOTHING;
	/* Nobody remembers: then it is the one that the configuration gives it. */
	if (!a->made.table)
		a->made.table = own_table(a);
	if (interface_unroute(a, run, e) < 0)
		return e->err;
	if (addressing_is_own(a->conf)) {
		if (!a->made.lease_network)
			a->made.lease_network = copy_text(a->network);
		return lease_release(a->ifname, run, &a->made, e);
	}
	if (a->made.exec != MADE_NOTHING && release_ipam(a, run, e) < 0)
		return e->err;
	a->made.exec = MADE_NOTHING;
	return 0;
}

static int check_link(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct link_info link;

	if (link_get(run->pod, a->ifname, &link, e) < 0)
		return error_set(e, -ENODEV, ERROR_IO, "interface %s is missing", a->ifname);
	if (strcmp(link.kind, "macvlan") != 0)
		return error_set(e, -EINVAL, ERROR_IO, "interface %s is not a macvlan", a->ifname);
	if (memcmp(link.mac, a->made.mac, sizeof(link.mac)) != 0)
		return error_set(
			e, -EINVAL, ERROR_IO, "interface %s has another MAC address than it was made with", a->ifname);
	if (link.macvlan_mode != p->mode)
		return error_set(e, -EINVAL, ERROR_IO, "interface %s has mode %s: it was made with %s", a->ifname,
			link_mode_name(link.macvlan_mode), link_mode_name(p->mode));
	if (!link.up)
		return error_set(e, -ENETDOWN, ERROR_IO, "interface %s is down", a->ifname);
	return 0;
}

static int check_ipam(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;

	if (!cni_version_at_least(chain_version(p->chain), "0.4.0"))
		return 0;
	if (call_ipam(a, run, "CHECK", e) < 0)
		return e->err;
	return call_finish(p->addressing.call, NULL, NULL, e);
}

static int check_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	uint8_t mac[6];
	struct macvlan_private *p;

	/* The plan reads the configuration's MAC into .made: what was really made is what counts here. */
	memcpy(mac, a->made.mac, sizeof(mac));
	if (plan_macvlan(a, run->request, run->config, e) < 0)
		return e->err;
	memcpy(a->made.mac, mac, sizeof(mac));
	p = a->private;
	if (check_link(a, run, e) < 0)
		return e->err;
	if (a->result && interface_check(a, run, a->result, e) < 0)
		return e->err;
	if (p->addressing.kind == ADDRESSING_LEASE)
		return lease_check(a->ifname, run, &a->made, e);
	return p->addressing.kind == ADDRESSING_EXEC ? check_ipam(a, run, e) : 0;
}

static void describe_macvlan(const struct attachment *a, cJSON *out)
{
	const struct macvlan_private *p = a->private;

	json_put_text(out, "master", p->master ? p->master : "the default route's link");
	json_put_text(out, "mode", link_mode_name(p->mode));
	addressing_describe(&p->addressing, out);
}

static void free_macvlan(struct attachment *a)
{
	struct macvlan_private *p = a->private;

	if (!p)
		return;
	addressing_clear(&p->addressing);
	if (p->chain)
		chain_free(p->chain);
	cJSON_Delete(p->dns);
	free(p);
	a->private = NULL;
}

const struct attachment_ops attach_macvlan = {
	.kind = "macvlan",
	.serves = serves_macvlan,
	.plan = plan_macvlan,
	.offer = offer_macvlan,
	.inspect = inspect_macvlan,
	.start = start_macvlan,
	.finish = finish_macvlan,
	.in_process = true,
	.settle = settle_macvlan,
	.del_start = del_start_macvlan,
	.del_finish = del_finish_macvlan,
	.check = check_macvlan,
	.describe = describe_macvlan,
	.free = free_macvlan,
};
