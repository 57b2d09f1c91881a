/* A macvlan attachment's own data, and how it is planned; made and taken down in attach_macvlan.c. */
#pragma once

#include "plugin/addressing.h"

struct chain;

struct macvlan_private {
	struct chain *chain; /* for the configuration that an IPAM plugin is given */
	struct addressing addressing;
	cJSON *dns; /* of the configuration */
	struct call_params params;
	const char *master, *mode_name,
		*mac; /* borrowed from the configuration; master NULL: the default route's link */
	bool link_in_container;
	bool has_mac;
	int64_t mtu, bcqueuelen;
	uint32_t mode;
	int master_index;
};

/** The table of its own default route; 0 for the default network, whose routes are the main table's. */
uint32_t macvlan_own_table(const struct attachment *a);

/** The attachment's op `serves` (attachment.h). */
bool macvlan_serves(const cJSON *conf);

/** The op `plan`. */
int macvlan_plan(struct attachment *a, const struct request *request, const struct config *config, struct error *e);

/** The op `offer`. */
int macvlan_offer(struct attachment *a, const struct annotations *annotations, const struct ip_addr *addr,
	const char *source, bool *ret, struct error *e);

/** The op `inspect`. */
int macvlan_inspect(struct attachment *a, struct run *run, struct error *e);

/** The op `prepare`. */
int macvlan_prepare(struct attachment *a, struct run *run, struct error *e);

/** Finds the master, on the node or in the pod, and looks whether it can carry the link: ERROR_CONFIG, or
 * ERROR_TRY_AGAIN when it is down. Sets .master_index, and the MAC that the mode dictates. */
int macvlan_find_master(struct attachment *a, struct run *run, struct error *e);
