/* One file of libcni's cache, as multus and kube-ipam left it. */
#pragma once

#include "plugin/annotations.h"

struct cached {
	char *network, *cid, *ifname, *netns;
	char *ns, *pod, *uid; /* NULL: no pod */
	cJSON *conf;          /* of the delegate */
	struct ip_addr addrs[MAX_FIXED];
	size_t addr_count;
	int64_t since; /* seconds since 1970: when the file was written */
};

/**
 * Reads <folder>/<name>. 1: an attachment with addresses from kube-ipam; 0: anything else. A file that is damaged, or
 * whose names are none: -EBADMSG, naming it. cached_clear is needed after failure too.
 */
int cached_read(const char *folder, const char *name, struct cached *ret, struct error *e);

void cached_clear(struct cached *cached);
#define cleanup_cached CLEANUP(cached_clear)
