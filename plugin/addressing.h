/*
 * Where an interface's addresses come from: nowhere, kube-ipam (a lease of our own), or another IPAM plugin that is
 * exec'd. Used by attachments made here and by lamina as the stand-alone plugin kube-ipam.
 */
#pragma once

#include "delegate/call.h"
#include "plugin/lease.h"

enum addressing_kind { ADDRESSING_NONE, ADDRESSING_LEASE, ADDRESSING_EXEC };

struct addressing {
	enum addressing_kind kind;
	char *path;                 /* "delegates[1].ipam" */
	char *type;                 /* of the IPAM plugin; NULL for NONE */
	struct ipam_config *config; /* LEASE */
	struct ip_addr fixed[MAX_FIXED];
	size_t fixed_count;
	struct ip_addr gateway4, gateway6; /* the pod's own choice, family 0: the range's */
	struct call *call;                 /* EXEC: under way */
};

/** The IPAM type that is done here. */
#define OWN_IPAM "kube-ipam"

/** Whether the configuration's ipam section asks for us. */
bool addressing_is_own(const cJSON *conf);

/** Reads conf.ipam: without a type it is NONE, with a warning where anything else stands there. path is the conf's
 * place
 * ("delegates[1]", "" at the top); config has runtimeConfig and the default domain. ERROR_CONFIG. addressing_clear is
 * needed after failure too. */
int addressing_read(
	const cJSON *conf, const char *path, const struct config *config, struct addressing *ret, struct error *e);

/** The cluster that keeps the addresses of conf.ipam, for the way down, which needs nothing else of it; *ret is NULL
 * when this node keeps them, and owned by the caller. ERROR_CONFIG. */
int addressing_read_etcd(const cJSON *conf, const char *path, struct etcd_config **ret, struct error *e);

/**
 * Offers a wanted address. *ret is true when a subnet here holds it and it is taken; what else is wrong with it
 * (gateway, broadcast, outside fixedStart-fixedEnd, netmask or gateway annotation that do not fit) is ERROR_CONFIG.
 */
int addressing_offer(struct addressing *addressing, const struct annotations *annotations, const struct ip_addr *addr,
	const char *source, bool *ret, struct error *e);

/**
 * What the addresses of a lease are as a CNI result: ips (with prefix and gateway) and routes, without interface
 * indexes. Every address lies in a range of config. Owned by the caller.
 */
int addressing_result(const struct addressing *addressing, const struct made *made, cJSON **ret, struct error *e);

/**
 * Awaits the IPAM plugin that is under way. Its answer must have an address; one without cniVersion is in version's
 * shape. *ret is owned by the caller.
 */
int addressing_finish(struct addressing *addressing, const char *version, cJSON **ret, struct error *e);

/** Awaits it after a failed ADD, whatever it answers: its end must be known before it is undone. None: nothing to do.
 */
void addressing_settle(struct addressing *addressing);

/** The annotations of a pod that asks for just what was placed here, for a plugin that execs us as its IPAM: then it
 * knows them, and of no other network's. Owned by the caller. */
cJSON *addressing_annotations(const struct addressing *addressing);

/** What to claim, for lease.h; borrows from addressing. */
struct lease_request addressing_lease(const struct addressing *addressing, const char *network, const char *ifname);

/** The plan of it for people: ipam type, fixed addresses or the ranges that a dynamic one comes from. */
void addressing_describe(const struct addressing *addressing, cJSON *out);

void addressing_clear(struct addressing *addressing);
