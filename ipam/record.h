/* Who holds an address: the value that stands in the store under it. */
#pragma once

#include "plugin/base/json.h"

#include <stdbool.h>
#include <stdint.h>

/** Borrowed strings; NULL prints as absent. */
struct ipam_record {
	bool fixed;          /* kind "fixed" or "dynamic" */
	bool reserved;       /* kind "reserved": kept for a pod that is not there yet, or for what note says */
	const char *note;    /* of a person, "reserved" only */
	const char *cluster; /* which cluster's pod; NULL: the only one */
	const char *ns, *pod, *uid;
	const char *cid, *ifname;
	const char *node;
	bool node_guessed; /* the host's own name was taken for the node's */
	const char *nonce; /* 16 hex digits, new for each ADD: an old DEL never matches a new record */
	int64_t time;      /* seconds since 1970 */
};

/** {"v":1,"kind":...}: the exact bytes that the store keeps and compares. The caller frees it. */
char *ipam_record_print(const struct ipam_record *record);

/** A parsed value: the record's strings live in .json. */
struct ipam_value {
	struct ipam_record record;
	cJSON *json;
};

/** Reads a value. -EINVAL for what is not our record of a known version: it still counts as held. Cleared with
 * ipam_value_clear. */
int ipam_value_parse(const char *text, struct ipam_value *ret, struct error *e);

void ipam_value_clear(struct ipam_value *value);
#define cleanup_value CLEANUP(ipam_value_clear)

/** "default/database-1-0" or "container <cid>" for people; with node and age when known. The caller frees it. Never
 * fails: unknown values are quoted, cut. */
char *ipam_value_describe(const char *text);
