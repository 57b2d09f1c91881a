#include "netlink/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/link.h>
#include <netlink/route/link/macvlan.h>
#include <string.h>
#include <sys/random.h>

/* The longest alternative name (ALTIFNAMSIZ of the kernel, which no header exports). */
#define ALTERNATIVE_NAME 128

/* "lami": only our own links are ever put into this group, and only to be deleted at once. */
#define DELETE_GROUP 0x6c616d69

static const uint8_t no_mac[MAC_BYTES];

/* --- reading --- */

static void read_link(struct nl_object *object, void *arg)
{
	struct rtnl_link *link = (struct rtnl_link *)object;
	struct link_info *ret = arg;
	const char *name = rtnl_link_get_name(link), *kind = rtnl_link_get_type(link),
		   *controller = rtnl_link_get_slave_type(link);
	const struct nl_addr *mac = rtnl_link_get_addr(link);
	unsigned int flags = rtnl_link_get_flags(link);

	*ret = (struct link_info){
		.ifindex = rtnl_link_get_ifindex(link),
		.mtu = rtnl_link_get_mtu(link),
		.up = flags & IFF_UP,
		.running = flags & IFF_RUNNING,
		.loopback = flags & IFF_LOOPBACK,
		.bridge_port = controller && strcmp(controller, "bridge") == 0,
		.parent = rtnl_link_get_link(link),
		.macvlan_mode = rtnl_link_is_macvlan(link) ? rtnl_link_macvlan_get_mode(link) : 0,
	};
	snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
	snprintf(ret->kind, sizeof(ret->kind), "%s", kind ? kind : "");
	if (mac && nl_addr_get_len(mac) == MAC_BYTES)
		memcpy(ret->mac, nl_addr_get_binary_addr(mac), MAC_BYTES);
}

static int take_link(struct nl_msg *part, void *arg)
{
	if (!part)
		return 0;
	return nl_msg_parse(part, read_link, arg) < 0 ? 0 : 1;
}

static struct nl_msg *link_request(int type, int flags, int ifindex)
{
	struct ifinfomsg header = {.ifi_index = ifindex};

	return nl_request(type, flags, &header, sizeof(header));
}

static int query_one(struct nl *nl, struct nl_msg *message, struct link_info *ret, struct error *e)
{
	struct link_info found = {0};

	/* Counters are most of a link's bytes, and nobody reads them here. */
	nla_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);

	int r = nl_query(nl, message, take_link, &found, e, "cannot read a link");

	if (r < 0)
		return r;
	if (found.ifindex == 0)
		return error_set(e, -EPROTO, ERROR_IO, "cannot read a link: the kernel's answer is not a link");

	*ret = found;
	return 0;
}

int link_get(struct nl *nl, const char *name, struct link_info *ret, struct error *e)
{
	size_t length = strlen(name);
	int r = -ENODEV;

	if (length > 0 && length < ALTERNATIVE_NAME) {
		struct nl_msg *message = link_request(RTM_GETLINK, 0, 0);

		nla_put_string(message, length < IFNAMSIZ ? IFLA_IFNAME : IFLA_ALT_IFNAME, name);
		r = query_one(nl, message, ret, e);
	}
	/* EINVAL: a kernel without alternative names (< 5.5) takes no name of more than 15 bytes. */
	if (r == -ENODEV || (r == -EINVAL && length >= IFNAMSIZ))
		return error_set(e, -ENODEV, ERROR_CONFIG, "link \"%.*s\" does not exist", ALTERNATIVE_NAME, name);
	return r;
}

int link_get_index(struct nl *nl, int ifindex, struct link_info *ret, struct error *e)
{
	int r = query_one(nl, link_request(RTM_GETLINK, 0, ifindex), ret, e);

	if (r == -ENODEV)
		return error_set(e, -ENODEV, ERROR_CONFIG, "the link with index %d does not exist", ifindex);
	return r;
}

struct macvlan_search {
	const uint8_t *mac;
	struct link_info found;
};

static int find_macvlan(struct nl_msg *part, void *arg)
{
	struct macvlan_search *search = arg;
	struct link_info link = {0};

	search->found = (struct link_info){0};
	if (!part || nl_msg_parse(part, read_link, &link) < 0)
		return 0;
	if (strcmp(link.kind, "macvlan") != 0 || memcmp(link.mac, search->mac, MAC_BYTES) != 0)
		return 0;
	search->found = link;
	return 1;
}

int link_find_macvlan(struct nl *nl, const uint8_t mac[MAC_BYTES], struct link_info *ret, struct error *e)
{
	struct nl_msg *message = link_request(RTM_GETLINK, NLM_F_DUMP, 0);
	struct macvlan_search search = {.mac = mac};
	struct nlattr *kind = nla_nest_start(message, IFLA_LINKINFO);
	char text[MAC_TEXT];

	nla_put_string(message, IFLA_INFO_KIND, "macvlan");
	nla_nest_end(message, kind);

	int r = nl_query(nl, message, find_macvlan, &search, e, "cannot list links");

	if (r < 0)
		return r;
	if (search.found.ifindex == 0)
		return error_set(e, -ENODEV, ERROR_CONFIG, "no macvlan has the MAC %s", link_format_mac(mac, text));

	*ret = search.found;
	return 0;
}

/* --- changing --- */

/* Says which MAC it is: that is what two configurations have in common. */
static int explain_mac_in_use(struct nl *nl, int ifindex, struct error *e)
{
	cleanup_error struct error ignored = {0};
	struct link_info link = {0};
	char mac[MAC_TEXT];

	link_get_index(nl, ifindex, &link, &ignored);
	return error_set(e, -EADDRINUSE, ERROR_CONFIG,
		"cannot set link %s up: its MAC %s is in use by its master or by another macvlan of it", link.name,
		link_format_mac(link.mac, mac));
}

int link_set_up(struct nl *nl, int ifindex, struct error *e)
{
	struct ifinfomsg header = {.ifi_index = ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_msg *message = nl_request(RTM_SETLINK, 0, &header, sizeof(header));
	int r = nl_call(nl, message, e, "cannot set link %d up", ifindex);

	return r == -EADDRINUSE ? explain_mac_in_use(nl, ifindex, e) : r;
}

int link_set_arp_notify(struct nl *nl, int ifindex, struct error *e)
{
	struct nl_msg *message = link_request(RTM_SETLINK, 0, ifindex);
	struct nlattr *families = nla_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *family = nla_nest_start(message, AF_INET);
	struct nlattr *settings = nla_nest_start(message, IFLA_INET_CONF);

	nla_put_u32(message, IPV4_DEVCONF_ARP_NOTIFY, 1);
	nla_nest_end(message, settings);
	nla_nest_end(message, family);
	nla_nest_end(message, families);
	return nl_call(nl, message, e, "cannot set arp_notify of link %d", ifindex);
}

/* --- deleting --- */

static int unless_gone(int r, struct error *e)
{
	if (r == -ENODEV)
		error_clear(e);
	return r == -ENODEV ? 0 : r;
}

int link_delete(struct nl *nl, int ifindex, struct error *e)
{
	/* Index 0 names no link, and the kernel would go on to look for another way to tell which. */
	if (ifindex <= 0)
		return 0;

	int r = nl_call(nl, link_request(RTM_DELLINK, 0, ifindex), e, "cannot delete link %d", ifindex);

	return unless_gone(r, e);
}

static int put_into_group(struct nl *nl, int ifindex, struct error *e)
{
	if (ifindex <= 0)
		return 0;

	struct nl_msg *message = link_request(RTM_SETLINK, 0, ifindex);

	nla_put_u32(message, IFLA_GROUP, DELETE_GROUP);

	int r = nl_call(nl, message, e, "cannot set the group of link %d", ifindex);

	return unless_gone(r, e);
}

int link_delete_all(struct nl *nl, const int *ifindex, size_t count, struct error *e)
{
	if (count <= 1)
		return count ? link_delete(nl, ifindex[0], e) : 0;

	for (size_t i = 0; i < count; i++) {
		int r = put_into_group(nl, ifindex[i], e);

		if (r < 0)
			return r;
	}

	struct nl_msg *message = link_request(RTM_DELLINK, 0, 0);

	nla_put_u32(message, IFLA_GROUP, DELETE_GROUP);

	int r = nl_call(nl, message, e, "cannot delete %zu links", count);

	return unless_gone(r, e);
}

/* --- sysctls of IPv6 --- */

struct ipv6_job {
	const char *name;
	bool wanted;
};

struct sysctl {
	const char *link; /* NULL: the one at hand */
	const char *key;
	const char *value;
};

static int write_sysctl(const char *link, const struct sysctl *sysctl, struct error *e)
{
	cleanup_free char *path =
		format_text("/proc/sys/net/ipv6/conf/%s/%s", sysctl->link ? sysctl->link : link, sysctl->key);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, sysctl->value, strlen(sysctl->value)) < 0)
		return error_set(
			e, -errno, ERROR_IO, "cannot write %s to %s: %s", sysctl->value, path, strerror(errno));
	return 0;
}

static int write_ipv6(void *arg, struct error *e)
{
	static const struct sysctl always[] = {
		{NULL, "accept_ra", "0"},
		{NULL, "autoconf", "0"},
	};
	static const struct sysctl wanted[] = {
		{"lo", "disable_ipv6", "0"},
		{NULL, "disable_ipv6", "0"},
		{NULL, "ndisc_notify", "1"},
		{NULL, "keep_addr_on_down", "1"},
	};
	const struct ipv6_job *job = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(always); i++)
		r = write_sysctl(job->name, &always[i], e);
	if (r == -ENOENT && !job->wanted) {
		error_clear(e);
		return 0;
	}
	for (size_t i = 0; r == 0 && job->wanted && i < ARRAY_SIZE(wanted); i++)
		r = write_sysctl(job->name, &wanted[i], e);
	if (r == -ENOENT)
		return error_set(e, r, ERROR_CONFIG,
			"%s cannot have IPv6: the kernel has none, or its mtu is below 1280", job->name);
	return r;
}

int link_prepare_ipv6(int netns_fd, const char *name, bool wanted, struct error *e)
{
	struct ipv6_job job = {.name = name, .wanted = wanted};

	return netns_run(netns_fd, write_ipv6, &job, e);
}

/* --- MAC addresses --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool link_parse_mac(const char *text, uint8_t ret[MAC_BYTES])
{
	uint8_t mac[MAC_BYTES];
	/* Groups of two digits between ':' or '-', or of four between '.'. */
	size_t length = strlen(text), group = length == 14 ? 2 : 1;
	char separator = '.';

	if (length != 14 && length != 17)
		return false;
	if (length == 17)
		separator = text[2];
	if (length == 17 && separator != ':' && separator != '-')
		return false;
	for (size_t i = 0; i < MAC_BYTES; i++) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
		text += 2;
		if (i + 1 < MAC_BYTES && (i + 1) % group == 0 && *text++ != separator)
			return false;
	}
	if (mac[0] & 1 || memcmp(mac, no_mac, MAC_BYTES) == 0)
		return false;
	memcpy(ret, mac, MAC_BYTES);
	return true;
}

char *link_format_mac(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT])
{
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

void link_random_mac(uint8_t ret[MAC_BYTES])
{
	/* Six bytes never come in part; the call fails only where the kernel has no such call. */
	if (getrandom(ret, MAC_BYTES, 0) != MAC_BYTES)
		abort();
	ret[0] = (uint8_t)((ret[0] & 0xfe) | 0x02);
}
