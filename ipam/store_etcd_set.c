#include "ipam/range.h"
#include "ipam/store_etcd_search.h"

#include <string.h>

/* How often a random address is drawn again that nobody can have: three of a range are special. */
#define MAX_DRAWS 64

__extension__ typedef unsigned __int128 wide;

static wide wide_of(const struct ip_addr *addr)
{
	wide number = 0;

	for (unsigned int i = 0; i < ip_bits(addr->family) / 8; i++)
		number = number << 8 | addr->bytes[i];
	return number;
}

static struct ip_addr addr_at(const struct ip_addr *start, wide offset)
{
	struct ip_addr addr = {.family = start->family};
	wide number = wide_of(start) + offset;

	for (unsigned int i = ip_bits(start->family) / 8; i > 0; i--) {
		addr.bytes[i - 1] = (uint8_t)number;
		number >>= 8;
	}
	return addr;
}

/* One less than its size, which fits even for ::/0. */
static wide span_of(const struct ipam_range *range)
{
	return wide_of(&range->end) - wide_of(&range->start);
}

static uint64_t size_of(const struct ipam_range *range)
{
	wide span = span_of(range);

	return span >= UINT64_MAX ? UINT64_MAX : (uint64_t)span + 1;
}

uint64_t etcd_set_size(const struct ipam_range_set *set)
{
	uint64_t size = 0;

	for (size_t i = 0; i < set->count; i++) {
		uint64_t more = size_of(&set->ranges[i]);

		size = more > UINT64_MAX - size ? UINT64_MAX : size + more;
	}
	return size;
}

/* A range of the set, the larger the likelier. */
static const struct ipam_range *draw_range(const struct ipam_range_set *set)
{
	uint64_t all = etcd_set_size(set), at = all ? etcd_random() % all : 0;

	for (size_t i = 0; i < set->count; i++) {
		uint64_t size = size_of(&set->ranges[i]);

		if (at < size)
			return &set->ranges[i];
		at -= size;
	}
	return &set->ranges[0];
}

bool etcd_set_random(const struct ipam_range_set *set, struct ip_addr *ret)
{
	for (int i = 0; i < MAX_DRAWS; i++) {
		const struct ipam_range *range = draw_range(set);
		wide span = span_of(range), offset = (wide)etcd_random() << 64 | etcd_random();

		if (span != ~(wide)0)
			offset %= span + 1;
		*ret = addr_at(&range->start, offset);
		if (ipam_set_allows(set, ret))
			return true;
	}
	return false;
}

void etcd_set_all(const struct ipam_range_set *set, struct addr_list *list)
{
	struct ip_addr none = {0}, addr;
	struct ipam_walk walk = ipam_walk_from(set, &none);

	while (ipam_walk_next(&walk, &addr)) {
		if (ipam_set_allows(set, &addr))
			addr_list_add(list, &addr);
	}
}

char *etcd_set_prefix(const struct ipam_range_set *set)
{
	cleanup_addr_list struct addr_list all = {0};
	char *prefix = NULL;

	etcd_set_all(set, &all);
	for (size_t i = 0; i < all.count; i++) {
		struct ip_text text = ip_text(&all.addrs[i]);
		size_t same = 0;

		if (!prefix)
			prefix = copy_text(text.s);
		while (prefix[same] && prefix[same] == text.s[same])
			same++;
		prefix[same] = '\0';
	}
	return prefix ? prefix : copy_text("");
}
