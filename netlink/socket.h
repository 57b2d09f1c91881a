/* One rtnetlink socket that lives in one namespace: created there, usable from anywhere (netlink(7)). */
#pragma once

#include "netlink/netns.h"
#include "plugin/base/error.h"

struct nl;
struct nl_msg;

/** Opens a NETLINK_ROUTE socket inside netns_fd (-1: our own namespace) with extended acknowledgements. Freed with
 * nl_free. */
int nl_open(int netns_fd, struct nl **ret, struct error *e);

/** Not nl_close: libnl has a function of that name, and the program's symbol would stand in front of it. */
void nl_free(struct nl *nl);

/** The namespace of the socket, without another setns(2). */
const struct netns_id *nl_namespace(const struct nl *nl);

DEFINE_CLEANUP(struct nl, nl_free)
#define cleanup_nl CLEANUP(nl_free_cleanup)

/* --- for the files of this folder --- */

/**
 * A request of one of the RTM_* types: flags beside NLM_F_REQUEST, then the fixed header. Attributes are appended with
 * nla_put_*: a message has room for a page, which none of ours fills, so that their results need no check.
 */
struct nl_msg *nl_request(int type, int flags, const void *header, size_t size);

/**
 * Sends a request (NLM_F_ACK is added) and awaits its acknowledgement. Frees the message. On failure err is the
 * kernel's errno (libnl's own codes lose it), and the message is "<what>: <extended ack's sentence, else strerror>".
 * EPERM and EACCES are ERROR_RIGHTS, everything else ERROR_IO; callers that know better overwrite it.
 */
int nl_call(struct nl *nl, struct nl_msg *message, struct error *e, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * Sends a GET or a dump request and calls each(part, arg) for every part of the answer until it returns something
 * else than 0. An interrupted dump is repeated: each(NULL, arg) says before every pass that what was read so far is
 * void. Frees the message; errors as nl_call's.
 */
int nl_query(struct nl *nl, struct nl_msg *message, int (*each)(struct nl_msg *part, void *arg), void *arg,
	struct error *e, const char *what);
