#include "ipam/range.h"

#include <errno.h>

const struct ipam_range *ipam_range_of(const struct ipam_config *config, const struct ip_addr *addr)
{
	for (size_t i = 0; i < config->set_count; i++) {
		const struct ipam_range_set *set = &config->sets[i];

		for (size_t j = 0; j < set->count; j++) {
			if (ip_contains(&set->ranges[j].subnet, addr))
				return &set->ranges[j];
		}
	}
	return NULL;
}

/* Which special address of the range it is, as a person calls it; NULL for an ordinary one. */
static const char *special_name(const struct ipam_range *range, const struct ip_addr *addr)
{
	struct ip_addr network = ip_network(&range->subnet);
	struct ip_addr last = ip_last(&range->subnet);

	if (ip_compare(addr, &range->gateway) == 0)
		return "the gateway";
	if (ip_compare(addr, &network) == 0)
		return "the network address";
	if (addr->family == AF_INET && ip_compare(addr, &last) == 0)
		return "the broadcast address";
	return NULL;
}

bool ipam_range_is_special(const struct ipam_range *range, const struct ip_addr *addr)
{
	return special_name(range, addr) != NULL;
}

static bool is_between(const struct ip_addr *addr, const struct ip_addr *start, const struct ip_addr *end)
{
	return ip_compare(addr, start) >= 0 && ip_compare(addr, end) <= 0;
}

static bool fixed_allows(const struct ipam_range *range, const struct ip_addr *addr)
{
	return !range->fixed_start.family || is_between(addr, &range->fixed_start, &range->fixed_end);
}

static char *list_subnets(const struct ipam_config *config)
{
	char *text = NULL;

	for (size_t i = 0; i < config->set_count; i++) {
		for (size_t j = 0; j < config->sets[i].count; j++)
			append_item(&text, ip_prefix_text(&config->sets[i].ranges[j].subnet).s);
	}
	return text ? text : copy_text("(none)");
}

/* One subnet may be split over several ranges: special in one is special, allowed by one is allowed. */
int ipam_range_check_fixed(
	const struct ipam_config *config, const struct ip_addr *addr, const char *what, struct error *e)
{
	const struct ipam_range *refusing = NULL;
	bool allowed = false;

	for (size_t i = 0; i < config->set_count; i++) {
		for (size_t j = 0; j < config->sets[i].count; j++) {
			const struct ipam_range *range = &config->sets[i].ranges[j];
			const char *special = special_name(range, addr);

			if (!ip_contains(&range->subnet, addr))
				continue;
			if (special)
				return error_set(e, -EINVAL, ERROR_CONFIG,
					"%s is %s: this is %s of %s, which no pod can have", what, ip_text(addr).s,
					special, ip_prefix_text(&range->subnet).s);
			if (fixed_allows(range, addr))
				allowed = true;
			else if (!refusing)
				refusing = range;
		}
	}
	if (allowed)
		return 0;
	if (refusing)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s is %s: it must lie between fixedStart %s and fixedEnd %s (these keys are in force here; "
			"kube-ipam documented and ignored them)",
			what, ip_text(addr).s, ip_text(&refusing->fixed_start).s, ip_text(&refusing->fixed_end).s);

	cleanup_free char *subnets = list_subnets(config);

	return error_set(
		e, -EINVAL, ERROR_CONFIG, "%s is %s: it must lie in the subnet %.300s", what, ip_text(addr).s, subnets);
}

bool ipam_set_allows(const struct ipam_range_set *set, const struct ip_addr *addr)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct ipam_range *range = &set->ranges[i];

		if (is_between(addr, &range->start, &range->end))
			return !ipam_range_is_special(range, addr);
	}
	return false;
}

/* One step onward, from a range's end to the next one's start. */
static void advance(struct ipam_walk *walk)
{
	if (ip_compare(&walk->at, &walk->set->ranges[walk->range].end) < 0) {
		walk->at = ip_next(&walk->at);
		return;
	}
	walk->range = (walk->range + 1) % walk->set->count;
	walk->at = walk->set->ranges[walk->range].start;
}

struct ipam_walk ipam_walk_from(const struct ipam_range_set *set, const struct ip_addr *last)
{
	struct ipam_walk walk = {.set = set, .at = set->ranges[0].start};

	for (size_t i = 0; i < set->count; i++) {
		if (!is_between(last, &set->ranges[i].start, &set->ranges[i].end))
			continue;
		walk.range = i;
		walk.at = *last;
		advance(&walk);
		break;
	}
	walk.first_range = walk.range;
	walk.first = walk.at;
	return walk;
}

/* Network, broadcast and gateway are the only ones skipped: at most three steps in a row give nothing. */
bool ipam_walk_next(struct ipam_walk *walk, struct ip_addr *ret)
{
	do {
		if (walk->begun) {
			advance(walk);
			if (walk->range == walk->first_range && ip_compare(&walk->at, &walk->first) == 0)
				return false;
		}
		walk->begun = true;
	} while (ipam_range_is_special(&walk->set->ranges[walk->range], &walk->at));
	*ret = walk->at;
	return true;
}
