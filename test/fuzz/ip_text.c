/* Any text as an address, a prefix or a netmask. What is taken prints as a text that is taken as the same; arithmetic
 * on it stays inside. */
#include "plugin/base/error.h"
#include "plugin/base/ip.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What stands for an IPv4 address (RFC 4291 2.5.5.2) is read as that one: as IPv6 it has no text of its own. */
static bool is_mapped(const struct ip_addr *addr)
{
	static const uint8_t prefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return addr->family == AF_INET6 && memcmp(addr->bytes, prefix, sizeof(prefix)) == 0;
}

static void check_addr(const struct ip_addr *addr)
{
	struct ip_text text = ip_text(addr);
	struct ip_addr again;

	if (!ip_parse(text.s, &again) || (!is_mapped(addr) && ip_compare(addr, &again) != 0) ||
		strlen(text.s) >= IP_TEXT)
		abort();
}

static void check_prefix(const struct ip_prefix *prefix)
{
	struct ip_text text = ip_prefix_text(prefix);
	struct ip_addr first = ip_network(prefix), last = ip_last(prefix), next = ip_next(&last);
	struct ip_prefix again;

	if (!ip_parse_prefix(text.s, &again) || again.length != prefix->length ||
		ip_compare(&again.addr, &prefix->addr) != 0)
		abort();
	if (prefix->length > ip_bits(prefix->addr.family) || !ip_contains(prefix, &first) ||
		!ip_contains(prefix, &last) || ip_compare(&first, &prefix->addr) > 0 ||
		ip_compare(&last, &prefix->addr) < 0)
		abort();
	/* Behind the last one is another network, or the family's first address. */
	if (prefix->length > 0 && ip_contains(prefix, &next))
		abort();
	check_addr(&first);
	check_addr(&last);
	(void)ip_is_host(&prefix->addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *text = allocate(length + 1, 1);
	struct ip_prefix prefix;
	struct ip_addr addr;
	unsigned int mask;

	if (length)
		memcpy(text, bytes, length);
	if (ip_parse(text, &addr))
		check_addr(&addr);
	if (ip_parse_prefix(text, &prefix))
		check_prefix(&prefix);
	if (ip_parse_netmask(text, &mask) && mask > 32)
		abort();
	return 0;
}
