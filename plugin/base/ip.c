#include "plugin/base/ip.h"

#include <arpa/inet.h>
#include <string.h>

unsigned int ip_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static size_t ip_size(const struct ip_addr *addr)
{
	return ip_bits(addr->family) / 8;
}

bool ip_parse(const char *text, struct ip_addr *ret)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1) {
		*ret = (struct ip_addr){.family = AF_INET};
		memcpy(ret->bytes, &four, sizeof(four));
		return true;
	}
	if (inet_pton(AF_INET6, text, &six) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&six)) {
		*ret = (struct ip_addr){.family = AF_INET};
		memcpy(ret->bytes, six.s6_addr + 12, 4);
		return true;
	}
	*ret = (struct ip_addr){.family = AF_INET6};
	memcpy(ret->bytes, &six, sizeof(six));
	return true;
}

/* A decimal number of one to three digits, nothing else: strtoul would take signs and spaces. */
static bool parse_length(const char *text, unsigned int max, unsigned int *ret)
{
	unsigned int value = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 3 || text[digits] || (digits > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (unsigned int)(text[i] - '0');
	if (value > max)
		return false;
	*ret = value;
	return true;
}

bool ip_parse_prefix(const char *text, struct ip_prefix *ret)
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct ip_prefix parsed;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return false;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';

	/* The length of ::ffff:10.0.0.0/112 counts the bits of what is written, not of the IPv4 address in it. */
	unsigned int mapped = strchr(addr, ':') ? 128 - 32 : 0;

	if (!ip_parse(addr, &parsed.addr))
		return false;
	if (parsed.addr.family == AF_INET6)
		mapped = 0;
	if (!parse_length(slash + 1, ip_bits(parsed.addr.family) + mapped, &parsed.length) || parsed.length < mapped)
		return false;
	parsed.length -= mapped;
	*ret = parsed;
	return true;
}

bool ip_parse_netmask(const char *text, unsigned int *ret)
{
	struct in_addr mask;

	if (!strchr(text, '.'))
		return parse_length(text, 32, ret);
	if (inet_pton(AF_INET, text, &mask) != 1)
		return false;

	uint32_t host = ~ntohl(mask.s_addr);

	if (host & (host + 1))
		return false;
	*ret = 32 - (unsigned int)__builtin_popcount(host);
	return true;
}

struct ip_text ip_text(const struct ip_addr *addr)
{
	static const uint8_t zero[12];
	struct ip_text text = {.s = ""};
	const uint8_t *b = addr->bytes;

	/* inet_ntop writes the old IPv4-compatible form (::1.2.3.4), Go does not. */
	if (addr->family == AF_INET6 && memcmp(b, zero, sizeof(zero)) == 0 && (b[12] || b[13]))
		snprintf(text.s, sizeof(text.s), "::%x:%x", b[12] << 8 | b[13], b[14] << 8 | b[15]);
	else if (addr->family)
		inet_ntop(addr->family, addr->bytes, text.s, sizeof(text.s));
	return text;
}

struct ip_text ip_prefix_text(const struct ip_prefix *prefix)
{
	struct ip_text text;

	snprintf(text.s, sizeof(text.s), "%.50s/%u", ip_text(&prefix->addr).s, prefix->length);
	return text;
}

int ip_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, ip_size(a));
}

static struct ip_addr set_host_bits(const struct ip_prefix *prefix, bool set)
{
	struct ip_addr addr = prefix->addr;

	for (unsigned int bit = prefix->length; bit < ip_bits(addr.family); bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		addr.bytes[bit / 8] = (uint8_t)(set ? addr.bytes[bit / 8] | mask : addr.bytes[bit / 8] & ~mask);
	}
	return addr;
}

struct ip_addr ip_network(const struct ip_prefix *prefix)
{
	return set_host_bits(prefix, false);
}

struct ip_addr ip_last(const struct ip_prefix *prefix)
{
	return set_host_bits(prefix, true);
}

bool ip_contains(const struct ip_prefix *prefix, const struct ip_addr *addr)
{
	struct ip_prefix other = {.addr = *addr, .length = prefix->length};

	if (prefix->addr.family != addr->family)
		return false;

	struct ip_addr a = ip_network(prefix), b = ip_network(&other);

	return ip_compare(&a, &b) == 0;
}

struct ip_addr ip_next(const struct ip_addr *addr)
{
	struct ip_addr next = *addr;

	for (size_t i = ip_size(addr); i-- > 0;) {
		if (++next.bytes[i] != 0)
			break;
	}
	return next;
}

bool ip_is_host(const struct ip_addr *addr)
{
	static const uint8_t zero[16];

	if (addr->family == AF_INET) {
		static const uint8_t limited[4] = {255, 255, 255, 255};
		uint8_t first = addr->bytes[0];

		return first != 0 && first != 127 && (first & 0xf0) != 224 && memcmp(addr->bytes, limited, 4) != 0;
	}
	if (memcmp(addr->bytes, zero, 15) == 0 && addr->bytes[15] <= 1)
		return false;
	return addr->bytes[0] != 0xff;
}
