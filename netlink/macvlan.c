/* Making a macvlan in another namespace. The contract is in link.h. */
#include "netlink/link.h"

#include "plugin/base/fault.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <string.h>

static const uint8_t no_mac[MAC_BYTES];

static const struct {
	const char *name;
	uint32_t mode;
} modes[] = {
	{"bridge", MACVLAN_MODE_BRIDGE},
	{"private", MACVLAN_MODE_PRIVATE},
	{"vepa", MACVLAN_MODE_VEPA},
	{"passthru", MACVLAN_MODE_PASSTHRU},
};

bool link_parse_mode(const char *text, uint32_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(*text ? text : "bridge", modes[i].name) == 0) {
			*ret = modes[i].mode;
			return true;
		}
	}
	return false;
}

const char *link_mode_name(uint32_t mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (mode == modes[i].mode)
			return modes[i].name;
	}
	return "unknown";
}

static int explain_create(const struct macvlan_spec *spec, struct error *e)
{
	const char *reason;

	switch (-e->err) {
	case EINVAL:
		reason = "its mtu is above the master's or below 68, or passthru wants a master without other macvlans";
		break;
	case ENODEV:
		reason = "the master is gone";
		break;
	case EBUSY:
		reason = "the master is in use, for example as a port of a bridge";
		break;
	case EADDRNOTAVAIL:
		reason = "its MAC is not a unicast address";
		break;
	case EOPNOTSUPP:
		reason = "the kernel has no macvlan";
		break;
	case EEXIST:
		reason = "the name is taken";
		break;
	default:
		return e->err;
	}
	return error_set(e, e->err, ERROR_CONFIG, "%s (mode %s, mtu %u): %s", e->message, link_mode_name(spec->mode),
		spec->mtu, reason);
}

static void put_macvlan(struct nl_msg *message, const struct macvlan_spec *spec)
{
	struct nlattr *info = nla_nest_start(message, IFLA_LINKINFO);

	nla_put_string(message, IFLA_INFO_KIND, "macvlan");

	struct nlattr *data = nla_nest_start(message, IFLA_INFO_DATA);

	nla_put_u32(message, IFLA_MACVLAN_MODE, spec->mode);
	if (spec->bcqueuelen)
		nla_put_u32(message, IFLA_MACVLAN_BC_QUEUE_LEN, spec->bcqueuelen);
	nla_nest_end(message, data);
	nla_nest_end(message, info);
}

static int create(struct nl *creator, const struct macvlan_spec *spec, const char *name, struct error *e)
{
	struct ifinfomsg header = {0};
	/* Without NLM_F_EXCL a kernel before 6.15 could change a link of the creator's namespace with that name. */
	struct nl_msg *message = nl_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));

	nla_put_string(message, IFLA_IFNAME, name);
	nla_put_u32(message, IFLA_LINK, (uint32_t)spec->master);
	nla_put_u32(message, IFLA_NET_NS_FD, (uint32_t)spec->netns_fd);
	if (spec->mtu)
		nla_put_u32(message, IFLA_MTU, spec->mtu);
	if (memcmp(spec->mac, no_mac, MAC_BYTES) != 0)
		nla_put(message, IFLA_ADDRESS, MAC_BYTES, spec->mac);
	put_macvlan(message, spec);
	return nl_call(creator, message, e, "cannot create macvlan %s", spec->name);
}

static int rename_link(struct nl *pod, const char *from, const char *to, struct error *e)
{
	struct link_info link;
	int r = link_get(pod, from, &link, e);

	if (r < 0)
		return r;

	struct ifinfomsg header = {.ifi_index = link.ifindex};
	struct nl_msg *message = nl_request(RTM_SETLINK, 0, &header, sizeof(header));

	nla_put_string(message, IFLA_IFNAME, to);
	r = nl_call(pod, message, e, "cannot rename macvlan %s to %s", from, to);
	if (r < 0) {
		cleanup_error struct error ignored = {0};

		link_delete(pod, link.ifindex, &ignored);
	}
	return r;
}

/* The name is taken, but perhaps only in the creator's namespace. */
static int create_and_rename(struct nl *creator, struct nl *pod, const struct macvlan_spec *spec, struct error *e)
{
	uint8_t mac[MAC_BYTES];
	char temporary[IFNAMSIZ];
	struct link_info taken;
	int r = link_get(pod, spec->name, &taken, e);

	if (r == 0)
		return error_set(e, -EEXIST, ERROR_CONFIG, "cannot create macvlan %s: File exists", spec->name);
	if (r != -ENODEV)
		return r;
	error_clear(e);

	memcpy(mac, spec->mac, MAC_BYTES);
	if (memcmp(mac, no_mac, MAC_BYTES) == 0)
		link_random_mac(mac);
	snprintf(temporary, sizeof(temporary), "lm%02x%02x%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		mac[5]);

	r = create(creator, spec, temporary, e);
	if (r < 0)
		return r;
	return rename_link(pod, temporary, spec->name, e);
}

int link_add_macvlan(
	struct nl *creator, struct nl *pod, const struct macvlan_spec *spec, struct link_info *ret, struct error *e)
{
	size_t length = strlen(spec->name);
	int r = -EEXIST;

	if (length == 0 || length >= IFNAMSIZ || strchr(spec->name, '%'))
		return error_set(e, -EINVAL, ERROR_CONFIG, "\"%s\" is no name for a link", spec->name);

	if (fault_point("macvlan_name") == 0)
		r = create(creator, spec, spec->name, e);
	if (r == -EEXIST)
		r = create_and_rename(creator, pod, spec, e);
	if (r < 0)
		return explain_create(spec, e);
	return link_get(pod, spec->name, ret, e);
}
