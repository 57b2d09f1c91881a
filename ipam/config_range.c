#include "ipam/config_range.h"

#include <errno.h>

/* The longest prefixes that leave room for a network address, a gateway and a pod. */
#define LONGEST_IPV4 30
#define LONGEST_IPV6 126

struct range_texts {
	const char *subnet, *start, *end, *gateway, *fixed_start, *fixed_end;
};

#define FIELD(key, member) \
	{ \
		key, JSON_STRING, offsetof(struct range_texts, member), false \
	}

static const struct json_field range_table[] = {
	FIELD("subnet", subnet),
	FIELD("rangeStart", start),
	FIELD("rangeEnd", end),
	FIELD("gateway", gateway),
	FIELD("fixedStart", fixed_start),
	FIELD("fixedEnd", fixed_end),
	{0},
};

char *ipam_range_text(const struct ipam_range *range)
{
	return format_text("%s-%s", ip_text(&range->start).s, ip_text(&range->end).s);
}

static const char *family_name(int family)
{
	return family == AF_INET ? "an IPv4 address" : family == AF_INET6 ? "an IPv6 address" : "an IP address";
}

int ipam_addr_read(
	const char *text, const char *path, const char *key, int family, struct ip_addr *ret, struct error *e)
{
	struct ip_addr addr;

	if (!text)
		return 0;
	if (!ip_parse(text, &addr) || (family && addr.family != family))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.%s is %.100s: it must be %s", path, key,
			*text ? text : "empty", family_name(family));
	*ret = addr;
	return 0;
}

/* IPv6 has no broadcast address: there the last address is an ordinary one. */
static struct ip_addr last_usable(const struct ip_prefix *subnet)
{
	struct ip_addr last = ip_last(subnet);

	if (last.family == AF_INET)
		last.bytes[3] &= 0xfe;
	return last;
}

static struct ip_addr first_usable(const struct ip_prefix *subnet)
{
	struct ip_addr network = ip_network(subnet);

	return ip_next(&network);
}

static int read_subnet(const char *text, const char *path, struct ip_prefix *ret, struct error *e)
{
	struct ip_prefix subnet;

	if (!text)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.subnet is missing: it must be a subnet such as 10.188.0.0/16 or 2001:db8::/64", path);
	if (!ip_parse_prefix(text, &subnet))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.subnet is %.100s: it must be a subnet such as 10.188.0.0/16 or 2001:db8::/64", path,
			*text ? text : "empty");

	unsigned int longest = subnet.addr.family == AF_INET ? LONGEST_IPV4 : LONGEST_IPV6;
	struct ip_prefix whole = {.addr = ip_network(&subnet), .length = subnet.length};

	if (subnet.length > longest)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.subnet is %s: it must not be longer than /%u, or no pod has room beside network address "
			"and gateway",
			path, text, longest);
	if (ip_compare(&subnet.addr, &whole.addr) != 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.subnet is %s: it must have no host bits: %s", path, text,
			ip_prefix_text(&whole).s);

	struct ip_addr first = first_usable(&subnet), last = last_usable(&subnet);

	/* What no interface may own lies at the edges of every subnet that covers any of it. */
	if (!ip_is_host(&first) || !ip_is_host(&last))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.subnet is %s: it must be unicast addresses (no 0.0.0.0/8, loopback or multicast)", path,
			text);
	*ret = subnet;
	return 0;
}

/* An address inside the subnet; absent leaves *ret alone. */
static int read_inside(const char *text, const char *path, const char *key, const struct ip_prefix *subnet,
	struct ip_addr *ret, struct error *e)
{
	struct ip_addr addr = *ret;
	int r = ipam_addr_read(text, path, key, 0, &addr, e);

	if (r < 0 || !text)
		return r;
	if (!ip_contains(subnet, &addr))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.%s is %s: it must lie in the subnet %s", path, key,
			ip_text(&addr).s, ip_prefix_text(subnet).s);
	*ret = addr;
	return 0;
}

static int refuse_edges(
	const struct ip_addr *addr, const char *path, const char *key, const struct ip_prefix *subnet, struct error *e)
{
	struct ip_addr network = ip_network(subnet), last = ip_last(subnet);
	struct ip_addr from = first_usable(subnet), to = last_usable(subnet);
	bool is_network = ip_compare(addr, &network) == 0;

	if (!is_network && (addr->family != AF_INET || ip_compare(addr, &last) != 0))
		return 0;
	return error_set(e, -EINVAL, ERROR_CONFIG,
		"%s.%s is %s: this is the %s address of %s; it must lie between %s and %s", path, key, ip_text(addr).s,
		is_network ? "network" : "broadcast", ip_prefix_text(subnet).s, ip_text(&from).s, ip_text(&to).s);
}

/* A first or last address: inside the subnet, and one that a pod can have. */
static int read_bound(const char *text, const char *path, const char *key, const struct ip_prefix *subnet,
	struct ip_addr *ret, struct error *e)
{
	int r = read_inside(text, path, key, subnet, ret, e);

	return r < 0 || !text ? r : refuse_edges(ret, path, key, subnet, e);
}

static int read_bounds(const struct range_texts *texts, const char *path, struct ipam_range *range, struct error *e)
{
	range->start = first_usable(&range->subnet);
	range->end = last_usable(&range->subnet);

	int r = read_bound(texts->start, path, "rangeStart", &range->subnet, &range->start, e);

	if (r >= 0)
		r = read_bound(texts->end, path, "rangeEnd", &range->subnet, &range->end, e);
	if (r < 0)
		return r;
	if (ip_compare(&range->start, &range->end) > 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.rangeStart is %s: it must not lie after rangeEnd %s",
			path, ip_text(&range->start).s, ip_text(&range->end).s);
	return 0;
}

static int read_fixed(const struct range_texts *texts, const char *path, struct ipam_range *range, struct error *e)
{
	if (!texts->fixed_start && !texts->fixed_end)
		return 0;
	if (!texts->fixed_start || !texts->fixed_end)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.%s is missing: fixedStart and fixedEnd go together",
			path, texts->fixed_start ? "fixedEnd" : "fixedStart");

	struct ip_addr start = {0}, end = {0};
	int r = read_bound(texts->fixed_start, path, "fixedStart", &range->subnet, &start, e);

	if (r >= 0)
		r = read_bound(texts->fixed_end, path, "fixedEnd", &range->subnet, &end, e);
	if (r < 0)
		return r;
	if (ip_compare(&start, &end) > 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.fixedStart is %s: it must not lie after fixedEnd %s",
			path, ip_text(&start).s, ip_text(&end).s);
	range->fixed_start = start;
	range->fixed_end = end;
	return 0;
}

static int read_gateway(const char *text, const char *path, struct ipam_range *range, struct error *e)
{
	struct ip_addr gateway = {0};
	int r = read_inside(text, path, "gateway", &range->subnet, &gateway, e);

	/* IPv6's first address is every router's (subnet-router anycast): a gateway may well be named so. */
	if (r >= 0 && gateway.family == AF_INET)
		r = refuse_edges(&gateway, path, "gateway", &range->subnet, e);
	if (r < 0)
		return r;
	range->gateway = text ? gateway : first_usable(&range->subnet);
	return 0;
}

int ipam_range_read(const cJSON *object, const char *path, struct ipam_range *ret, struct error *e)
{
	struct range_texts texts = {0};
	struct ipam_range range = {0};
	int r = json_read(object, path, range_table, &texts, e);

	if (r >= 0)
		r = read_subnet(texts.subnet, path, &range.subnet, e);
	if (r >= 0)
		r = read_bounds(&texts, path, &range, e);
	if (r >= 0)
		r = read_gateway(texts.gateway, path, &range, e);
	if (r >= 0)
		r = read_fixed(&texts, path, &range, e);
	if (r < 0)
		return r;
	*ret = range;
	return 0;
}
