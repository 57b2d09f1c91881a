/* Network namespaces: opened from a path, told apart, entered for a moment. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/** What tells one namespace from a later one at the same path. */
struct netns_id {
	uint64_t cookie; /* SO_NETNS_COOKIE, never used twice in a boot (kernel >= 5.14); 0 when the kernel has none */
	uint64_t device; /* of the namespace's file; inode numbers are used again */
	uint64_t inode;
};

/**
 * Opens a namespace file (O_CLOEXEC; the caller closes it). Absent: -ENOENT with ERROR_NO_NAMESPACE. Not a network
 * namespace (NS_GET_NSTYPE, ioctl_ns(2)): ERROR_NAMESPACE.
 */
int netns_open(const char *path, int *ret_fd, struct error *e);

/** Whether it is the namespace that this process runs in (st_dev and st_ino, as skel compares them). */
bool netns_is_own(int netns_fd);

/** Fills *ret; takes one setns(2) there and back and a socket. netns_fd -1: our own namespace. */
int netns_identify(int netns_fd, struct netns_id *ret, struct error *e);

/** Whether both name the same namespace: by cookie when both have one, else by device and inode. */
bool netns_same(const struct netns_id *a, const struct netns_id *b);

/**
 * Calls work(arg, e) inside the namespace and comes back, whatever it returned. Aborts when it cannot come back: no
 * delegate may ever be exec'd in a pod. netns_fd -1 means our own: work is just called. Single-threaded callers only
 * (setns is per thread).
 */
int netns_run(int netns_fd, int (*work)(void *arg, struct error *e), void *arg, struct error *e);

/* --- for the files of this folder --- */

/** Fills *ret from the namespace's file (-1: our own) and any socket that was made inside it. */
int netns_describe(int netns_fd, int socket_fd, struct netns_id *ret, struct error *e);
