/* The ipam section of a configuration: range sets, routes, domain (kube-ipam's and host-local's keys). */
#pragma once

#include "ipam/etcd.h"
#include "plugin/base/ip.h"
#include "plugin/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One subnet and what may be taken from it. All addresses are of the subnet's family. */
struct ipam_range {
	struct ip_prefix subnet;    /* no host bits; at most /30 or /126 */
	struct ip_addr start, end;  /* dynamic addresses, inclusive; default: first and last usable */
	struct ip_addr gateway;     /* default: the subnet's first address, as host-local has it */
	struct ip_addr fixed_start; /* fixed addresses, inclusive; family 0: the whole subnet */
	struct ip_addr fixed_end;
};

/** Ranges of which an interface gets one dynamic address. */
struct ipam_range_set {
	struct ipam_range *ranges;
	size_t count;
};

struct ipam_route {
	struct ip_prefix dst;
	struct ip_addr gateway; /* family 0: the gateway of the address of that family */
	uint32_t mtu, advmss, priority, table;
	int scope; /* -1: not given */
};

struct ipam_config {
	struct ipam_range_set *sets;
	size_t set_count;
	struct ipam_route *routes;
	size_t route_count;
	char *domain;             /* the L2 segment: one address is given once in it; "default" */
	char *resolv_conf;        /* path, NULL when absent */
	struct etcd_config *etcd; /* the cluster that keeps the addresses; NULL: this node does */
	char *kube_config;        /* path, NULL when absent */
};

/**
 * Reads an ipam object. path is its place ("delegates[1].ipam") for errors. `subnet`, `rangeStart`, `rangeEnd`,
 * `gateway`, `fixedStart`, `fixedEnd` at the top make the first range set, before those of `ranges` and of extra_sets
 * (runtimeConfig.ipRanges, NULL when absent). Every value is validated; errors are ERROR_CONFIG and name key path,
 * value and what would be right. `name` is accepted and ignored. *ret is freed with ipam_config_free.
 */
int ipam_config_parse(
	const cJSON *ipam, const cJSON *extra_sets, const char *path, struct ipam_config **ret, struct error *e);

void ipam_config_free(struct ipam_config *config);

DEFINE_CLEANUP(struct ipam_config, ipam_config_free)
#define cleanup_ipam_config CLEANUP(ipam_config_free_cleanup)

/**
 * resolv.conf(5) as a CNI dns object {nameservers, domain, search, options}; empty parts left out. *ret is owned by the
 * caller. An unreadable file is ERROR_IO.
 */
int ipam_read_resolv_conf(const char *path, cJSON **ret, struct error *e);
