/*
 * witness [NETNS_PATH]: prints as JSON what the kernel holds in a network namespace: links, addresses, routes of all
 * tables, rules and neighbours. Read through libmnl, so that the tests do not ask the library that they test.
 */
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* More than any of the enumerations that are read here has members. */
#define ATTRIBUTES 128

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "witness: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Attributes by type; the last one of a type wins. */
struct table {
	const struct nlattr *at[ATTRIBUTES];
};

static int put_into_table(const struct nlattr *attribute, void *arg)
{
	struct table *table = arg;
	unsigned int type = mnl_attr_get_type(attribute);

	if (type < ATTRIBUTES)
		table->at[type] = attribute;
	return MNL_CB_OK;
}

static struct table read_message(const struct nlmsghdr *message, size_t header)
{
	struct table table = {0};

	mnl_attr_parse(message, (unsigned int)header, put_into_table, &table);
	return table;
}

static struct table read_nested(const struct nlattr *attribute)
{
	struct table table = {0};

	if (attribute)
		mnl_attr_parse_nested(attribute, put_into_table, &table);
	return table;
}

static void add_number(cJSON *object, const char *key, const struct nlattr *attribute)
{
	if (attribute)
		cJSON_AddNumberToObject(object, key, mnl_attr_get_u32(attribute));
}

static void add_text(cJSON *object, const char *key, const struct nlattr *attribute)
{
	if (attribute)
		cJSON_AddStringToObject(object, key, mnl_attr_get_str(attribute));
}

static void add_mac(cJSON *object, const char *key, const struct nlattr *attribute)
{
	char text[18];

	if (!attribute || mnl_attr_get_payload_len(attribute) != 6)
		return;

	const uint8_t *b = mnl_attr_get_payload(attribute);

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	cJSON_AddStringToObject(object, key, text);
}

static void add_address(cJSON *object, const char *key, const struct nlattr *attribute)
{
	char text[INET6_ADDRSTRLEN];

	if (!attribute)
		return;

	int family = mnl_attr_get_payload_len(attribute) == 4 ? AF_INET : AF_INET6;

	if (inet_ntop(family, mnl_attr_get_payload(attribute), text, sizeof(text)))
		cJSON_AddStringToObject(object, key, text);
}

/* "address/length"; an absent attribute is the whole family. */
static void add_prefix(cJSON *object, const char *key, const struct nlattr *attribute, int family, unsigned int length)
{
	static const uint8_t zero[16];
	char addr[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

	inet_ntop(family, attribute ? mnl_attr_get_payload(attribute) : zero, addr, sizeof(addr));
	snprintf(text, sizeof(text), "%s/%u", addr, length);
	cJSON_AddStringToObject(object, key, text);
}

static void add_link_name(cJSON *object, const char *key, unsigned int ifindex)
{
	char name[IF_NAMESIZE];

	if (ifindex && if_indextoname(ifindex, name))
		cJSON_AddStringToObject(object, key, name);
}

static const char *mode_name(uint32_t mode)
{
	switch (mode) {
	case MACVLAN_MODE_PRIVATE:
		return "private";
	case MACVLAN_MODE_VEPA:
		return "vepa";
	case MACVLAN_MODE_BRIDGE:
		return "bridge";
	case MACVLAN_MODE_PASSTHRU:
		return "passthru";
	default:
		return "other";
	}
}

static cJSON *add_entry(cJSON *list)
{
	cJSON *entry = cJSON_CreateObject();

	cJSON_AddItemToArray(list, entry);
	return entry;
}

static int read_link(const struct nlmsghdr *message, void *list)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct table link = read_message(message, sizeof(*header));
	struct table info = read_nested(link.at[IFLA_LINKINFO]);
	struct table data = read_nested(info.at[IFLA_INFO_DATA]);
	cJSON *entry = add_entry(list);

	cJSON_AddNumberToObject(entry, "index", header->ifi_index);
	add_text(entry, "name", link.at[IFLA_IFNAME]);
	add_text(entry, "kind", info.at[IFLA_INFO_KIND]);
	add_mac(entry, "mac", link.at[IFLA_ADDRESS]);
	add_number(entry, "mtu", link.at[IFLA_MTU]);
	add_number(entry, "parent", link.at[IFLA_LINK]);
	add_number(entry, "parentNetns", link.at[IFLA_LINK_NETNSID]);
	add_number(entry, "group", link.at[IFLA_GROUP]);
	add_number(entry, "controller", link.at[IFLA_MASTER]);
	cJSON_AddBoolToObject(entry, "up", (header->ifi_flags & IFF_UP) != 0);
	cJSON_AddBoolToObject(entry, "running", (header->ifi_flags & IFF_RUNNING) != 0);
	if (!info.at[IFLA_INFO_KIND] || strcmp(mnl_attr_get_str(info.at[IFLA_INFO_KIND]), "macvlan") != 0)
		return MNL_CB_OK;
	if (data.at[IFLA_MACVLAN_MODE])
		cJSON_AddStringToObject(entry, "mode", mode_name(mnl_attr_get_u32(data.at[IFLA_MACVLAN_MODE])));
	add_number(entry, "bcqueuelen", data.at[IFLA_MACVLAN_BC_QUEUE_LEN]);
	return MNL_CB_OK;
}

static int read_address(const struct nlmsghdr *message, void *list)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct table addr = read_message(message, sizeof(*header));
	uint32_t flags = addr.at[IFA_FLAGS] ? mnl_attr_get_u32(addr.at[IFA_FLAGS]) : header->ifa_flags;
	cJSON *entry = add_entry(list);

	add_link_name(entry, "link", header->ifa_index);
	add_prefix(entry, "address", addr.at[addr.at[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS], header->ifa_family,
		header->ifa_prefixlen);
	add_address(entry, "broadcast", addr.at[IFA_BROADCAST]);
	cJSON_AddNumberToObject(entry, "scope", header->ifa_scope);
	cJSON_AddNumberToObject(entry, "flags", flags);
	cJSON_AddBoolToObject(entry, "nodad", (flags & IFA_F_NODAD) != 0);
	cJSON_AddBoolToObject(entry, "tentative", (flags & IFA_F_TENTATIVE) != 0);
	return MNL_CB_OK;
}

/* Gateway and link of one path. */
static void add_path(cJSON *entry, const struct table *path, unsigned int ifindex)
{
	add_address(entry, "gateway", path->at[RTA_GATEWAY]);
	add_link_name(entry, "link", ifindex);
}

static void add_paths(cJSON *entry, const struct nlattr *multipath)
{
	cJSON *paths = cJSON_AddArrayToObject(entry, "paths");
	struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);

	while (RTNH_OK(hop, left)) {
		struct table path = {0};

		mnl_attr_parse_payload(RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop), put_into_table, &path);
		add_path(add_entry(paths), &path, (unsigned int)hop->rtnh_ifindex);
		left -= NLMSG_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

static int read_route(const struct nlmsghdr *message, void *list)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct table route = read_message(message, sizeof(*header));
	struct table metrics = read_nested(route.at[RTA_METRICS]);

	if (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)
		return MNL_CB_OK;

	cJSON *entry = add_entry(list);

	add_prefix(entry, "dst", route.at[RTA_DST], header->rtm_family, header->rtm_dst_len);
	cJSON_AddNumberToObject(
		entry, "table", route.at[RTA_TABLE] ? mnl_attr_get_u32(route.at[RTA_TABLE]) : header->rtm_table);
	cJSON_AddNumberToObject(entry, "type", header->rtm_type);
	cJSON_AddNumberToObject(entry, "scope", header->rtm_scope);
	cJSON_AddNumberToObject(entry, "protocol", header->rtm_protocol);
	cJSON_AddNumberToObject(
		entry, "priority", route.at[RTA_PRIORITY] ? mnl_attr_get_u32(route.at[RTA_PRIORITY]) : 0);
	add_path(entry, &route, route.at[RTA_OIF] ? mnl_attr_get_u32(route.at[RTA_OIF]) : 0);
	add_address(entry, "source", route.at[RTA_PREFSRC]);
	add_number(entry, "mtu", metrics.at[RTAX_MTU]);
	add_number(entry, "advmss", metrics.at[RTAX_ADVMSS]);
	if (route.at[RTA_MULTIPATH])
		add_paths(entry, route.at[RTA_MULTIPATH]);
	return MNL_CB_OK;
}

static int read_rule(const struct nlmsghdr *message, void *list)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(message);
	struct table rule = read_message(message, sizeof(*header));

	if (header->family != AF_INET && header->family != AF_INET6)
		return MNL_CB_OK;

	cJSON *entry = add_entry(list);

	cJSON_AddNumberToObject(entry, "family", header->family == AF_INET ? 4 : 6);
	add_prefix(entry, "from", rule.at[FRA_SRC], header->family, header->src_len);
	add_prefix(entry, "to", rule.at[FRA_DST], header->family, header->dst_len);
	cJSON_AddNumberToObject(
		entry, "table", rule.at[FRA_TABLE] ? mnl_attr_get_u32(rule.at[FRA_TABLE]) : header->table);
	cJSON_AddNumberToObject(entry, "priority", rule.at[FRA_PRIORITY] ? mnl_attr_get_u32(rule.at[FRA_PRIORITY]) : 0);
	cJSON_AddNumberToObject(entry, "action", header->action);
	return MNL_CB_OK;
}

static int read_neighbour(const struct nlmsghdr *message, void *list)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct table neighbour = read_message(message, sizeof(*header));

	if (!neighbour.at[NDA_DST] || (header->ndm_state & NUD_NOARP))
		return MNL_CB_OK;

	cJSON *entry = add_entry(list);

	add_link_name(entry, "link", (unsigned int)header->ndm_ifindex);
	add_address(entry, "address", neighbour.at[NDA_DST]);
	add_mac(entry, "mac", neighbour.at[NDA_LLADDR]);
	cJSON_AddNumberToObject(entry, "state", header->ndm_state);
	return MNL_CB_OK;
}

/* What is dumped, under which name, and read by whom. */
struct section {
	const char *name;
	uint16_t request;
	mnl_cb_t read;
};

static const struct section sections[] = {
	{"links", RTM_GETLINK, read_link},
	{"addresses", RTM_GETADDR, read_address},
	{"routes", RTM_GETROUTE, read_route},
	{"rules", RTM_GETRULE, read_rule},
	{"neighbours", RTM_GETNEIGH, read_neighbour},
};

/* The family AF_UNSPEC in a header of zeros: all of them. False: the dump was interrupted. */
static bool dump(struct mnl_socket *socket, const struct section *section, cJSON *list)
{
	static char answer[1 << 17];
	char request[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ifinfomsg))];
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	unsigned int sequence = (unsigned int)time(NULL), port = mnl_socket_get_portid(socket);
	int r = MNL_CB_OK;

	message->nlmsg_type = section->request;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = sequence;
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		die(section->name);
	while (r > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(socket, answer, sizeof(answer));

		if (n < 0)
			die(section->name);
		r = mnl_cb_run(answer, (size_t)n, sequence, port, section->read, list);
	}
	if (r < 0 && errno != EINTR)
		die(section->name);
	return r == MNL_CB_STOP;
}

/* A socket for each pass: the rest of an interrupted dump would answer the next request. */
static void add_section(const struct section *section, cJSON *all)
{
	bool whole = false;
	cJSON *list = NULL;

	while (!whole) {
		struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);

		if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
			die("netlink");
		cJSON_Delete(list);
		list = cJSON_CreateArray();
		whole = dump(socket, section, list);
		mnl_socket_close(socket);
	}
	cJSON_AddItemToObject(all, section->name, list);
}

int main(int argc, char *argv[])
{
	cJSON *all = cJSON_CreateObject();

	if (argc > 2) {
		fputs("usage: witness [NETNS_PATH]\n", stderr);
		return 2;
	}
	if (argc == 2) {
		int fd = open(argv[1], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			die(argv[1]);
		close(fd);
	}
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		add_section(&sections[i], all);

	char *text = cJSON_Print(all);

	puts(text);
	free(text);
	cJSON_Delete(all);
	return 0;
}
