/* What the checks of doctor share, and the checks themselves. For doctor*.c only. */
#pragma once

#include "delegate/kube_look.h"
#include "ipam/etcd_member.h"
#include "plugin/cli_stores.h"
#include "plugin/doctor.h"
#include "plugin/plan.h"

enum doctor_state { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_BAD };

/** What one member of a cluster said. */
struct doctor_member {
	const struct etcd_config *config; /* borrowed */
	size_t index;                     /* of its endpoint */
	struct etcd_member_call *call;
	char *version;
	struct error error; /* .err 0: all is well */
};

/** A cluster, asked by a transaction. */
struct doctor_cluster {
	bool asked; /* a member answers that could be asked */
	struct error error;
};

struct doctor {
	const struct doctor_options *options;
	cJSON *findings; /* {"check","state","text","fix"} */
	bool bad;

	/* The configuration. */
	cJSON *names; /* what lies in the runtime's folder, in its order */
	char *file;   /* the one that is judged; NULL: none can be */
	cJSON *conf;
	cJSON *defaults;
	struct error conf_error, defaults_error, stores_error;
	struct request request;
	struct config config; /* of the plan */
	struct plan plan;
	bool planned; /* the configuration is good */

	/* What an ADD would work with, as far as the configuration can be read: networks, folders, name, servers. */
	struct cli_stores stores;
	bool opened; /* .run is; stores_error is about a store, or what the configuration says of it */

	/* The servers' answers. */
	struct doctor_member *members;
	size_t member_count;
	struct doctor_cluster *clusters; /* one for each of stores.list */
	struct kube *kube;               /* borrowed; NULL: none is configured, or kube_error */
	struct error kube_error;
	struct kube_look look;
	struct kube_look_networks networks; /* only where the plugin reads networks annotations */
};

/** A finding of that check that is as it should be. text is a format. */
void doctor_ok(struct doctor *doctor, const char *check, const char *text, ...) __attribute__((format(printf, 3, 4)));

/** One that is worth knowing, and no fault. */
void doctor_note(struct doctor *doctor, const char *check, const char *text, ...) __attribute__((format(printf, 3, 4)));

/** A fault. fix is the way out; NULL: it stands in the text. */
void doctor_bad(struct doctor *doctor, const char *check, const char *fix, const char *text, ...)
	__attribute__((format(printf, 4, 5)));

/** Reads the configuration, and opens what it names, for looking only; says nothing yet. */
void doctor_read(struct doctor *doctor);

/** Asks etcd's members, the clusters and the API server; says nothing yet. */
void doctor_ask(struct doctor *doctor);

/** Whether the API server has said something about the node, so that node_found counts. */
bool doctor_knows_node(const struct doctor *doctor);

/** Frees what doctor_read has made. */
void doctor_done(struct doctor *doctor);

/** Frees what doctor_ask was told; before doctor_done. */
void doctor_forget_answers(struct doctor *doctor);

/* --- the checks --- */

/** Which lamina this is. */
void doctor_check_binary(struct doctor *doctor);

/** Whether the kernel has the calls that lamina needs. */
void doctor_check_kernel(struct doctor *doctor);

/** Whether it makes macvlans. */
void doctor_check_macvlan(struct doctor *doctor);

/** What this process may do. */
void doctor_check_rights(struct doctor *doctor);

/** Which file the runtime reads, and whether an ADD takes it. */
void doctor_check_configuration(struct doctor *doctor);

/** The node's own keys. */
void doctor_check_defaults(struct doctor *doctor);

/** What this node is called, by whom, and whether the API server knows it. */
void doctor_check_node(struct doctor *doctor);

/** The links that carry macvlans. */
void doctor_check_masters(struct doctor *doctor);

/** Other plugins, and what flannel's needs. */
void doctor_check_delegates(struct doctor *doctor);

/** The names under which runtime and plugins find lamina. */
void doctor_check_names(struct doctor *doctor);

/** cniDir and dataDir, and this node's store in them. */
void doctor_check_folders(struct doctor *doctor);

/** Each member of etcd. */
void doctor_check_members(struct doctor *doctor);

/** Whether a cluster can be read and written. */
void doctor_check_access(struct doctor *doctor);

/** The files with which we show who we are, and by which we know the servers. */
void doctor_check_certificates(struct doctor *doctor);

/** The API server, and what its user may read. */
void doctor_check_api(struct doctor *doctor);

/** Whether the user may read what networks annotations name, and write what multus writes. */
void doctor_check_networks(struct doctor *doctor);

/** Who says what a pod's annotations are. */
void doctor_check_annotations(struct doctor *doctor);

/** Releases that wait for a cluster. */
void doctor_check_outbox(struct doctor *doctor);

/** Whether somebody calls lamina gc. */
void doctor_check_timer(struct doctor *doctor);
