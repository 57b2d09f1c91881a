/* Which fixed addresses a pod asks for: kube-ipam's annotations, then args.cni.ips, IP= and runtimeConfig.ips. */
#pragma once

#include "plugin/base/ip.h"
#include "plugin/config.h"

#define MAX_FIXED 16

#define ANNOTATION_ADDRESS "kube-ipam.ip"
#define ANNOTATION_NETMASK "kube-ipam.netmask"
#define ANNOTATION_GATEWAY "kube-ipam.gateway"

/** One address that was asked for. */
struct wanted {
	struct ip_addr addr;
	const char *source; /* "kube-ipam.ip", "IP", ...: for errors; a literal */
	bool elsewhere; /* a delegate that lamina does not serve itself can see the request too: it may be for that one
			 */
};

struct annotations {
	struct wanted wanted[MAX_FIXED];
	size_t count;
	bool from_annotation; /* the list is kube-ipam.ip's: nothing else counts */
	bool has_netmask;
	unsigned int netmask;              /* kube-ipam.netmask as a length; IPv4 */
	struct ip_text netmask_text;       /* as it was written: for errors */
	struct ip_addr gateway4, gateway6; /* kube-ipam.gateway; family 0: none */
};

/**
 * The pod's requests; map has its annotations (pod.h; NULL: it has none). ips_elsewhere:
 * runtimeConfig.ips may be meant for a plugin that declares it. Malformed values are ERROR_CONFIG and name
 * annotation and value.
 */
int annotations_read(const struct request *request, const struct config *config, const cJSON *map, bool ips_elsewhere,
	struct annotations *ret, struct error *e);

/** Reads a list of addresses (JSON array of "10.0.0.5" or "10.0.0.5/16") behind what is there; one that is there
 * already is skipped. */
int annotations_add_list(
	struct annotations *annotations, const cJSON *list, const char *source, bool elsewhere, struct error *e);

/** Whether network address and prefix hold both gateway and address; part of validating kube-ipam.gateway. */
int annotations_check_gateway(const struct annotations *annotations, const struct ip_prefix *addr, struct error *e);
