/*
 * Addresses held by this node's pods: claimed, taken over from holders that are gone, released. The only place that
 * decides whether somebody else's address may be taken; the store only says who has it.
 */
#pragma once

#include "plugin/attachment.h"

/** What is claimed, and for which interface. */
struct lease_request {
	const char *network; /* the delegate's name */
	const char *ifname;
	const struct ipam_config *config;
	const struct ip_addr *fixed; /* fixed_count 0: one dynamic address of each range set */
	size_t fixed_count;
	/* Asks the wire whether somebody answers for these addresses: ERROR_TRY_AGAIN, naming him. Called before a
	 * holder is replaced who is gone only by others' word. NULL: there is no link to ask from. */
	int (*ask_wire)(void *arg, const struct ip_addr *addrs, size_t count, struct error *e);
	void *ask_wire_arg;
};

/** Fills made's lease fields with the record that a claim will write, so that it can be recorded before. Changes
 * nothing. */
int lease_prepare(const struct lease_request *request, const struct run *run, struct made *made, struct error *e);

/**
 * Claims. made.addrs is set, made.lease is MADE_DONE. Holders that are gone give way (takeover.h); an older sandbox of
 * the same pod loses its link first. Held by anybody else, or full: ERROR_TRY_AGAIN, naming holder or range and the way
 * out. On failure nothing is claimed, and made.lease stays MADE_NOTHING; or, when a request may still be under way to a
 * cluster, it is MADE_INTENDED, and lease_release closes its way.
 */
int lease_claim(const struct lease_request *request, struct run *run, struct made *made, struct error *e);

/**
 * Releases what made says, at its network's store (etcd NULL: this node's). Nothing there, or already another's, is
 * success; so is a cluster that is away: the release is queued then. made.lease becomes MADE_NOTHING.
 */
int lease_release(
	const struct etcd_config *etcd, const char *ifname, struct run *run, struct made *made, struct error *e);

/** Whether the store still has every address of made with exactly its value; ERROR_IO names one that it has not. */
int lease_check(
	const struct etcd_config *etcd, const char *ifname, struct run *run, const struct made *made, struct error *e);

/**
 * The store that keeps a network's addresses: etcd's, or, with etcd NULL, this node's. Opened on first use, once for
 * all networks of a run that share it; closed by run_close. A claims file that is not there is made from the records of
 * this node's pods. Asks no server yet, and gives a cluster's store new time for what comes.
 */
int lease_store(struct run *run, const struct etcd_config *etcd, struct store **ret, struct error *e);

/**
 * For who knows that a claim or release will follow: the connection to its cluster (NULL: nothing is done) is opened
 * now, and goes on whenever something is awaited by run->http. await: comes back when it stands, or cannot. Errors are
 * found out by what follows.
 */
void lease_warm(struct run *run, const struct etcd_config *etcd, bool await);

/** Opens run->store for looking only: changes nothing, and a store that is not there is an empty one. */
int lease_open_store_readonly(struct run *run, struct error *e);

/** Whether the holder of an entry is gone: its namespace, by the entry's sandbox text. */
bool lease_holder_is_gone(const struct store_entry *entry, const struct run *run);
