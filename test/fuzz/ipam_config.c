/* An ipam section, alone or as {"ipam", "ranges"} with the runtime's ranges, or a resolv.conf. What is accepted gives
 * addresses of its own subnets only, each one once. */
#include "ipam/config.h"
#include "ipam/range.h"

#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_range(const struct ipam_range *range)
{
	struct ip_addr network = ip_network(&range->subnet);

	if (ip_compare(&network, &range->subnet.addr) != 0 || range->subnet.length > ip_bits(network.family) - 2 ||
		!ip_contains(&range->subnet, &range->start) || !ip_contains(&range->subnet, &range->end) ||
		ip_compare(&range->start, &range->end) > 0 || !ip_contains(&range->subnet, &range->gateway))
		abort();
	if (range->fixed_start.family &&
		(!ip_contains(&range->subnet, &range->fixed_start) || !ip_contains(&range->subnet, &range->fixed_end) ||
			ip_compare(&range->fixed_start, &range->fixed_end) > 0))
		abort();
}

/* Its first addresses, from the start or from some place in the middle. */
static void check_walk(const struct ipam_range_set *set, const struct ip_addr *last)
{
	struct ipam_walk walk = ipam_walk_from(set, last);
	struct ip_addr first = {0}, addr;

	for (size_t i = 0; i < 64 && ipam_walk_next(&walk, &addr); i++) {
		if (!ipam_set_allows(set, &addr) || (i > 0 && ip_compare(&addr, &first) == 0))
			abort();
		if (i == 0)
			first = addr;
	}
}

static void check_fixed(const struct ipam_config *config, const struct ip_addr *addr)
{
	cleanup_error struct error e = {0};
	const struct ipam_range *range = ipam_range_of(config, addr);

	if (ipam_range_check_fixed(config, addr, "kube-ipam.ip", &e) < 0) {
		if (e.code != ERROR_CONFIG || strncmp(e.message, "kube-ipam.ip", 12) != 0)
			abort();
	} else if (!range || ipam_range_is_special(range, addr)) {
		abort();
	}
}

static void check_set(const struct ipam_config *config, const struct ipam_range_set *set)
{
	const struct ip_addr nothing = {0};

	if (set->count == 0)
		abort();
	check_walk(set, &nothing);
	for (size_t i = 0; i < set->count; i++) {
		struct ip_addr behind = ip_next(&set->ranges[i].end);

		check_range(&set->ranges[i]);
		check_walk(set, &set->ranges[i].end);
		check_walk(set, &behind);
		check_fixed(config, &set->ranges[i].start);
		check_fixed(config, &set->ranges[i].end);
		check_fixed(config, &set->ranges[i].gateway);
		check_fixed(config, &behind);
	}
}

static void check_etcd(const struct etcd_config *config)
{
	cleanup_json cJSON *printed = etcd_config_print(config);
	cleanup_etcd_config struct etcd_config *again = NULL;
	cleanup_error struct error e = {0};

	if (etcd_config_parse(printed, "etcd", &again, &e) < 0 || again->endpoint_count != config->endpoint_count ||
		!same_text_or_none(again->ca_file, config->ca_file) ||
		!same_text_or_none(again->username, config->username))
		abort();
	for (size_t i = 0; i < config->endpoint_count; i++) {
		if (strcmp(config->endpoints[i], again->endpoints[i]) != 0)
			abort();
	}
}

/* What is no JSON may be a resolv.conf. */
static void read_resolv_conf(const uint8_t *bytes, size_t length)
{
	cleanup_close int fd = memfd_create("resolv.conf", MFD_CLOEXEC);
	cleanup_free char *path = format_text("/proc/self/fd/%d", fd);
	cleanup_json cJSON *dns = NULL;
	cleanup_error struct error e = {0};

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		abort();
	if (ipam_read_resolv_conf(path, &dns, &e) < 0)
		abort();

	cleanup_free char *text = json_print(dns);
	cleanup_json cJSON *again = NULL;

	if (json_parse(text, strlen(text), "dns", &again, &e) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *json = NULL;
	cleanup_ipam_config struct ipam_config *config = NULL;
	cleanup_error struct error e = {0};

	if (json_parse((const char *)bytes, length, "input", &json, &e) < 0) {
		read_resolv_conf(bytes, length);
		return 0;
	}

	const cJSON *ipam = json_get(json, "ipam");

	if (ipam_config_parse(ipam ? ipam : json, json_get(ipam ? json : NULL, "ranges"), "ipam", &config, &e) < 0) {
		if (e.code != ERROR_CONFIG ||
			(!strstr(e.message, "ipam") && !strstr(e.message, "runtimeConfig.ipRanges")))
			abort();
		return 0;
	}
	if (!config->domain || !*config->domain)
		abort();
	for (size_t i = 0; i < config->set_count; i++)
		check_set(config, &config->sets[i]);
	if (config->etcd)
		check_etcd(config->etcd);
	return 0;
}
