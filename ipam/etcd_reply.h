/* What a member's answer to one request means: whether it is one, who else may be asked, and what is wrong. */
#pragma once

#include "ipam/etcd.h"

/* A range over a whole /16 with its records is 25 MiB. */
#define ETCD_REPLY_MAX ((size_t)32 << 20)

enum etcd_verdict {
	ETCD_GOOD,  /* here is the reply */
	ETCD_AWAY,  /* not now: another member may, or this one later (not when it goes on, if it is ERROR_CONFIG) */
	ETCD_UNFIT, /* this member never will, as it is set up; another one may */
	ETCD_TOKEN, /* it does not take our token, or wants one */
	ETCD_FINAL, /* no member will */
};

/**
 * Judges what came of a request to endpoint. GOOD: *ret is the reply, owned by the caller. Everything else fills the
 * error (FINAL with -EOPNOTSUPP: authentication is not switched on). *ret_sent: the request may have been carried out,
 * or still be.
 */
enum etcd_verdict etcd_reply_read(const struct etcd_config *config, const char *endpoint,
	const struct http_reply *reply, cJSON **ret, bool *ret_sent, struct error *e);

/** "host:port" of an endpoint's URL; borrowed from it. */
const char *etcd_place(const char *endpoint);
