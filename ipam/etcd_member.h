/* One member of a cluster asked for itself: whether it can be reached, and how it does. For people who look after it;
 * whoever needs the cluster asks by etcd.h. */
#pragma once

#include "ipam/etcd.h"

struct etcd_member_call;

/** Starts it (maintenance/status, which needs no rights and no quorum) for endpoint number i. config and http are
 * borrowed. Freed with etcd_member_free. */
int etcd_member_start(const struct etcd_config *config, size_t i, struct http *http, int64_t deadline,
	struct etcd_member_call **ret, struct error *e);

/** Awaits it. *ret_version is owned by the caller. Errors as etcd_call's; one without a leader, or with an alarm, is
 * ERROR_TRY_AGAIN. Once only. */
int etcd_member_await(struct etcd_member_call *call, char **ret_version, struct error *e);

/** "host:port" of endpoint number i. Borrowed from config. */
const char *etcd_member_place(const struct etcd_config *config, size_t i);

void etcd_member_free(struct etcd_member_call *call);
DEFINE_CLEANUP(struct etcd_member_call, etcd_member_free)
#define cleanup_etcd_member CLEANUP(etcd_member_free_cleanup)
