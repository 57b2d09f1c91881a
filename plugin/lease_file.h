/* The record of lamina as the stand-alone IPAM plugin `kube-ipam`: <cniDir>/lease/<container ID>.<ifname>. */
#pragma once

#include "plugin/attachment.h"
#include "plugin/sandbox.h"

struct lease_file {
	char *container_id, *ifname;
	struct sandbox sandbox;
	struct made made;
	struct etcd_config *etcd; /* the cluster that keeps the addresses; NULL: this node does */
};

/** The path of that of a container's interface. Owned by the caller. */
char *lease_file_path_of(const char *cni_dir, const char *container_id, const char *ifname);

/** The same, of the request's container. */
char *lease_file_path(const struct run *run, const char *ifname);

/** Writes it; done as in state_save. */
int lease_file_write(
	const struct made *made, const struct etcd_config *etcd, bool done, const struct run *run, struct error *e);

/** Absent: -ENOENT. Damaged: -EBADMSG. Cleared with lease_file_clear. */
int lease_file_read(const char *path, struct lease_file *ret, struct error *e);

void lease_file_clear(struct lease_file *file);
#define cleanup_lease_file CLEANUP(lease_file_clear)
