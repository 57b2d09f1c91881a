/* An attachment that lamina makes itself: a macvlan of a master of this node, created straight in the pod. */
#include "plugin/attach_macvlan.h"

#include "delegate/chain.h"
#include "delegate/result.h"
#include "netlink/link.h"
#include "netlink/probe.h"
#include "plugin/base/fault.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/default_route.h"
#include "plugin/device_info.h"
#include "plugin/interface.h"
#include "plugin/lease_file.h"

#include <errno.h>
#include <string.h>

/* How long the wire is asked. */
#define WIRE_TIME (1 * SECONDS)

/* An attachment under way, for lease.h's question. */
struct wire {
	struct attachment *a;
	struct run *run;
	bool up; /* the link is, without an address */
};

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
	p->params = attachment_call(a, run, command);
	a->made.exec = MADE_INTENDED;
	return call_start(&p->params, p->addressing.type, conf, run->call_deadline, &p->addressing.call, e);
}

static int configure(struct attachment *a, struct run *run, cJSON *addresses, bool up, struct error *e)
{
	a->result = addresses;
	if ((up ? interface_address : interface_configure)(a, run, addresses, e) < 0)
		return error_wrap(e, "%s: interface %s", a->path, a->ifname);
	trace_step("link up");
	return 0;
}

/* Whether anybody answers for addresses that this interface is to have: it is up by then, and has none. */
static int ask_wire(struct wire *wire, const struct ip_addr *addrs, size_t count, struct error *e)
{
	struct attachment *a = wire->a;
	struct probe_link link = {.netns_fd = wire->run->netns_fd, .ifindex = a->made.ifindex};
	struct probe_answer answer = {0};
	char mac[MAC_TEXT];

	memcpy(link.mac, a->made.mac, sizeof(link.mac));
	if (probe_ask(&link, addrs, count, clock_now() + WIRE_TIME, &answer, e) < 0)
		return error_wrap(e, "%s: the wire cannot be asked", a->path);
	if (answer.taken)
		return error_set(e, -EADDRINUSE, ERROR_TRY_AGAIN,
			"address %s is in use on the wire: %s answers for it, whatever is recorded; find that machine, "
			"or "
			"reserve the address with `lamina ip reserve`",
			ip_text(&answer.addr).s, link_format_mac(answer.mac, mac));
	return 0;
}

static int link_and_ask_wire(void *arg, const struct ip_addr *addrs, size_t count, struct error *e)
{
	struct wire *wire = arg;
	struct attachment *a = wire->a;

	if (a->made.link != MADE_DONE && create_link(a, wire->run, e) < 0)
		return e->err;
	if (interface_up_bare(a, wire->run, addrs, count, e) < 0)
		return error_wrap(e, "%s: interface %s", a->path, a->ifname);
	wire->up = true;
	return ask_wire(wire, addrs, count, e);
}

static void warm_macvlan(struct attachment *a, struct run *run, bool await)
{
	cleanup_etcd_config struct etcd_config *etcd = NULL;
	cleanup_error struct error ignored = {0};

	if (addressing_is_own(a->conf) && addressing_read_etcd(a->conf, a->path, &etcd, &ignored) == 0)
		lease_warm(run, etcd, await);
}

/* The claim comes before the link: it is what fails most often, and a link costs 15 ms to delete. */
static int start_lease(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct lease_request request = addressing_lease(&p->addressing, a->network, a->ifname);
	struct wire wire = {.a = a, .run = run};
	cJSON *addresses = NULL;

	/* Also with `always`: who answers must not lose his record to a claim that is given up then. */
	if (run->config->conflict_probe != PROBE_OFF) {
		request.ask_wire = link_and_ask_wire;
		request.ask_wire_arg = &wire;
	}
	if (lease_claim(&request, run, &a->made, e) < 0)
		return e->err;
	if (run->config->conflict_probe == PROBE_ALWAYS && !wire.up &&
		link_and_ask_wire(&wire, a->made.addrs, a->made.addr_count, e) < 0)
		return e->err;
	if (a->made.link != MADE_DONE && create_link(a, run, e) < 0)
		return e->err;
	if (addressing_result(&p->addressing, &a->made, &addresses, e) < 0)
		return e->err;
	return configure(a, run, addresses, wire.up, e);
}

static int start_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;

	if (p->link_in_container && macvlan_find_master(a, run, e) < 0)
		return e->err;
	if (p->addressing.kind == ADDRESSING_LEASE)
		return start_lease(a, run, e);
	if (create_link(a, run, e) < 0)
		return e->err;
	if (p->addressing.kind == ADDRESSING_EXEC)
		return call_ipam(a, run, "ADD", e);
	return configure(a, run, result_new(), false, e);
}

static int finish_ipam(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	cJSON *addresses = NULL;

	if (addressing_finish(&p->addressing, chain_version(p->chain), &addresses, e) < 0)
		return e->err;
	a->made.exec = MADE_DONE;
	return configure(a, run, addresses, false, e);
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
	default_route_forgo(a);
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
		cleanup_json cJSON *runtime_config = attachment_runtime_config(a, run->request, run->config);

		a->private = p = allocate(1, sizeof(*p));
		if (chain_read(a->conf, a->path, runtime_config, &p->chain, e) < 0 ||
			addressing_read(a->conf, a->path, run->config, &p->addressing, e) < 0)
			return e->err;
	}
	if (p->addressing.kind != ADDRESSING_EXEC)
		return 0;
	if (call_ipam(a, run, "DEL", e) < 0)
		return e->err;
	return call_finish(p->addressing.call, NULL, NULL, e);
}

/* What nobody recorded in the store's words may stand in the cache of its answer. */
static void recall_addresses(struct attachment *a)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(a->result, "ips"))
	{
		const char *text = json_text(item, "address");
		struct ip_prefix prefix;

		if (!text || !ip_parse_prefix(text, &prefix))
			continue;
		a->made.addrs = reallocate(a->made.addrs, a->made.addr_count + 1, sizeof(*a->made.addrs));
		a->made.addrs[a->made.addr_count++] = prefix.addr;
	}
}

static int release_lease(struct attachment *a, struct run *run, struct error *e)
{
	cleanup_etcd_config struct etcd_config *etcd = NULL;
	cleanup_free char *path = lease_file_path(run, a->ifname);
	bool recorded = a->made.lease_value;

	if (a->made.lease == MADE_NOTHING)
		return 0;
	if (addressing_read_etcd(a->conf, a->path, &etcd, e) < 0)
		return e->err;
	if (!a->made.lease_network)
		a->made.lease_network = copy_text(a->network);
	if (!a->made.lease_value && !a->made.addr_count)
		recall_addresses(a);
	if (lease_release(etcd, a->ifname, run, &a->made, e) < 0)
		return e->err;
	/* Under another multus lamina was its kube-ipam, with a record of its own. */
	return recorded ? 0 : file_remove(path, e);
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
	/* multus made a file for it; lamina makes none. */
	device_info_remove(a, run);
	/* Nobody remembers: then it is the one that the configuration gives it. */
	if (!a->made.table)
		a->made.table = macvlan_own_table(a);
	if (interface_unroute(a, run, e) < 0)
		return e->err;
	if (addressing_is_own(a->conf))
		return release_lease(a, run, e);
	if (a->made.exec != MADE_NOTHING && release_ipam(a, run, e) < 0 && !attachment_gone_with_namespace(run, e))
		return e->err;
	error_clear(e);
	a->made.exec = MADE_NOTHING;
	return 0;
}

/* What the reference plugin made under multus: nobody wrote that down, but for the MAC in its result. */
static void adopt_link(struct attachment *a, const struct link_info *link)
{
	const cJSON *item;

	a->made.ifindex = link->ifindex;
	memcpy(a->made.mac, link->mac, sizeof(a->made.mac));
	cJSON_ArrayForEach(item, json_get(a->result, "interfaces"))
	{
		const char *name = json_text(item, "name"), *mac = json_text(item, "mac");

		if (mac && name && strcmp(name, a->ifname) == 0)
			link_parse_mac(mac, a->made.mac);
	}
}

static int check_link(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	struct link_info link;

	if (link_get(run->pod, a->ifname, &link, e) < 0)
		return error_set(e, -ENODEV, ERROR_IO, "interface %s is missing", a->ifname);
	if (strcmp(link.kind, "macvlan") != 0)
		return error_set(e, -EINVAL, ERROR_IO, "interface %s is not a macvlan", a->ifname);
	if (a->made.link != MADE_DONE)
		adopt_link(a, &link);
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
	if (macvlan_plan(a, run->request, run->config, e) < 0)
		return e->err;
	memcpy(a->made.mac, mac, sizeof(mac));
	p = a->private;
	if (check_link(a, run, e) < 0)
		return e->err;
	if (a->result &&
		(a->made.link == MADE_DONE ? interface_check : interface_check_adopted)(a, run, a->result, e) < 0)
		return e->err;
	if (p->addressing.kind == ADDRESSING_LEASE)
		return lease_check(p->addressing.config->etcd, a->ifname, run, &a->made, e);
	return p->addressing.kind == ADDRESSING_EXEC ? check_ipam(a, run, e) : 0;
}

static int status_macvlan(struct attachment *a, struct run *run, struct error *e)
{
	struct macvlan_private *p = a->private;
	cleanup_free char *plugin = NULL;

	if (!p->link_in_container && macvlan_find_master(a, run, e) < 0)
		return e->err;
	if (p->addressing.kind != ADDRESSING_EXEC)
		return 0;
	if (call_find(p->addressing.type, run->path, &plugin, e) < 0)
		return error_wrap(e, "%s.type", p->addressing.path);
	p->params = run_call(run, "STATUS");
	return chain_status_ipam(p->chain, p->addressing.type, &p->params, run->call_deadline, e);
}

static int gc_macvlan(struct attachment *a, struct run *run, const cJSON *valid, struct error *e)
{
	struct macvlan_private *p = a->private;

	if (p->addressing.kind != ADDRESSING_EXEC)
		return 0;
	p->params = run_call(run, "GC");
	return chain_gc_ipam(p->chain, p->addressing.type, &p->params, valid, run->call_deadline, e);
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
	.serves = macvlan_serves,
	.plan = macvlan_plan,
	.offer = macvlan_offer,
	.inspect = macvlan_inspect,
	.prepare = macvlan_prepare,
	.warm = warm_macvlan,
	.start = start_macvlan,
	.finish = finish_macvlan,
	.in_process = true,
	.settle = settle_macvlan,
	.del_start = del_start_macvlan,
	.del_finish = del_finish_macvlan,
	.check = check_macvlan,
	.status = status_macvlan,
	.gc = gc_macvlan,
	.describe = describe_macvlan,
	.free = free_macvlan,
};
