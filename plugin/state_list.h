/* All that is recorded on this node, for gc: one entry for each ADD (container, CNI_IFNAME). */
#pragma once

#include "plugin/state.h"

struct state_entry {
	char *container_id;
	char *ifname;  /* CNI_IFNAME of the ADD; NULL: written by multus, which notes none, or damaged */
	char *network; /* the outer network's name; NULL as ifname */
	bool done, going, damaged;
	struct sandbox sandbox;
	char *bytes; /* what stands in the file for it */
};

/** Reads every record of cni_dir. No folder: none. *ret is freed with state_entries_free. */
int state_list(const char *cni_dir, struct state_entry **ret, size_t *ret_count, struct error *e);

/** Whether the entry's bytes still stand in its file: a container ID can come again. */
bool state_is_unchanged(const char *cni_dir, const struct state_entry *entry);

void state_entries_free(struct state_entry *entries, size_t count);

/** An answer that was cached in results/, by us or by multus. */
struct cached_result {
	char *path;
	char *container_id, *network, *ifname;
	char *outer;         /* the outer network's name; NULL: written by multus, which notes none */
	char *netns;         /* "" when it does not say */
	char *args;          /* CNI_ARGS of that ADD */
	cJSON *capabilities; /* its runtimeConfig; NULL: none */
};

/** Reads <cniDir>/results; files that cannot be understood are left out. *ret is freed with cached_results_free. */
int cached_results_list(const char *cni_dir, struct cached_result **ret, size_t *ret_count, struct error *e);

/** The configurations, each network once, of networks whose addresses lamina gives out and of which an answer is
 * cached, but for those whose names stand in `known` (delegates; NULL: none): what only pods ask for. An array, owned
 * by the caller. */
cJSON *cached_networks(const char *cni_dir, const cJSON *known);

/** Whether an answer is cached for that interface, and its namespace is there, or it does not say which that is. */
bool cached_result_lives(const char *cni_dir, const char *network, const char *container_id, const char *ifname);

void cached_results_free(struct cached_result *results, size_t count);
