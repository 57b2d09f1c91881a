/* Which attachment gets which of the addresses that a pod asks for. */
#include "plugin/addressing.h"
#include "plugin/import.h"
#include "plugin/plan.h"

#include <errno.h>
#include <string.h>

/* Where addresses can be had, for an error. */
static char *list_subnets(const struct plan *plan)
{
	char *text = copy_text("");

	for (size_t i = 0; i < plan->count; i++) {
		const struct attachment *a = plan->attachments[i];
		const char *subnet = json_text(json_get(import_own_conf(a->conf), "ipam"), "subnet");
		cleanup_free char *before = NULL;

		if (!attachment_claims(a))
			continue;
		before = text;
		text = format_text(
			"%s%s%s (%s.ipam)", before, *before ? ", " : "", subnet ? subnet : "ranges", a->path);
	}
	return text;
}

static bool asks_for(const struct attachment *a, const struct ip_addr *addr)
{
	for (size_t i = 0; a->asked && i < a->asked->ip_count; i++) {
		struct ip_addr asked;

		/* Last: that goes through the whole configuration. */
		if (network_read_addr(a->asked->ips[i], &asked) && ip_compare(&asked, addr) == 0)
			return attachment_claims(a);
	}
	return false;
}

static bool is_asked_for(const struct plan *plan, const struct ip_addr *addr)
{
	bool asked = false;

	for (size_t i = 0; i < plan->count; i++)
		asked |= asks_for(plan->attachments[i], addr);
	return asked;
}

static int place(
	const struct plan *plan, const struct annotations *annotations, const struct wanted *wanted, struct error *e)
{
	bool taken = is_asked_for(plan, &wanted->addr), foreign = false;

	for (size_t i = 0; i < plan->count && !taken; i++) {
		struct attachment *a = plan->attachments[i];

		if (!attachment_claims(a))
			foreign = true;
		else if (a->ops->offer(a, annotations, &wanted->addr, wanted->source, &taken, e) < 0)
			return e->err;
	}
	if (taken || (wanted->elsewhere && foreign))
		return 0;

	cleanup_free char *subnets = list_subnets(plan);

	return error_set(e, -EINVAL, ERROR_CONFIG,
		"%s is %s: no network of this node has a subnet that holds it; there is %s", wanted->source,
		ip_text(&wanted->addr).s, subnets);
}

/* One network has an address once, however many of its interfaces the pod has. */
static int check_asked_once(
	const struct plan *plan, const struct attachment *a, const struct ip_addr *addr, struct error *e)
{
	for (size_t i = 0; i < plan->count && plan->attachments[i] != a; i++) {
		const struct attachment *other = plan->attachments[i];

		if (strcmp(other->network, a->network) == 0 && asks_for(other, addr))
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"the pod's annotation asks network %s for %s twice, for %s and for %s: an address is "
				"one "
				"interface's",
				a->name, ip_text(addr).s, other->ifname, a->ifname);
	}
	return 0;
}

static int offer_asked(struct attachment *a, const struct ip_addr *addr, const char *source, struct error *e)
{
	const struct annotations none = {0};
	bool taken = false;

	if (a->ops->offer(a, &none, addr, source, &taken, e) < 0)
		return error_wrap(e, "network %s", a->name);
	if (!taken)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s asks network %s for %s: no subnet of it holds that address", source, a->name,
			ip_text(addr).s);
	return 0;
}

/* Addresses that the pod asks of just this network ("ips" of the networks annotation). */
static int place_asked(const struct plan *plan, struct attachment *a, struct error *e)
{
	struct annotations args = {0};

	if (!attachment_claims(a) || !a->asked)
		return 0;
	for (size_t i = 0; i < a->asked->ip_count; i++) {
		struct ip_addr addr;

		if (!network_read_addr(a->asked->ips[i], &addr))
			return error_set(e, -EINVAL, ERROR_CONFIG, "ips of network %s: \"%.64s\" is no address",
				a->name, a->asked->ips[i]);
		if (check_asked_once(plan, a, &addr, e) < 0 ||
			offer_asked(a, &addr, "ips of the pod's networks annotation", e) < 0)
			return e->err;
	}
	if (annotations_add_list(&args, json_dig(a->conf, "args", "cni", "ips", NULL), "args.cni.ips", false, e) < 0)
		return error_wrap(e, "network %s", a->name);
	for (size_t i = 0; i < args.count && a->asked->ip_count == 0; i++) {
		if (offer_asked(a, &args.wanted[i].addr, "args.cni.ips", e) < 0)
			return e->err;
	}
	return 0;
}

bool plan_claims(const struct plan *plan)
{
	bool any = false;

	for (size_t i = 0; i < plan->count; i++)
		any |= attachment_claims(plan->attachments[i]);
	return any;
}

/* Whether an attachment that is made by others could be the one that runtimeConfig.ips is for. */
static bool declares_ips(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const cJSON *conf = plan->attachments[i]->conf, *plugin;

		if (cJSON_IsTrue(json_dig(conf, "capabilities", "ips", NULL)))
			return true;
		cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
		{
			if (cJSON_IsTrue(json_dig(plugin, "capabilities", "ips", NULL)))
				return true;
		}
	}
	return false;
}

int plan_place(struct plan *plan, const struct request *request, const struct config *config, const cJSON *map,
	struct error *e)
{
	struct annotations annotations;

	if (!plan_claims(plan))
		return 0;
	if (annotations_read(request, config, map, declares_ips(plan), &annotations, e) < 0)
		return e->err;
	for (size_t i = 0; i < plan->count && !annotations.from_annotation; i++) {
		const struct attachment *a = plan->attachments[i];

		if (!a->asked && attachment_claims(a) &&
			annotations_add_list(&annotations, json_dig(a->conf, "args", "cni", "ips", NULL),
				"args.cni.ips", false, e) < 0)
			return error_wrap(e, "%s", a->path);
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (place_asked(plan, plan->attachments[i], e) < 0)
			return e->err;
	}
	for (size_t i = 0; i < annotations.count; i++) {
		if (place(plan, &annotations, &annotations.wanted[i], e) < 0)
			return e->err;
	}
	return 0;
}
