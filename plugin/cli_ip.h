/* lamina ip: the addresses of a node or of a cluster, for people and programs. */
#pragma once

#include "plugin/base/ip.h"

/** Exit statuses. */
enum cli_status {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_WRONG_CALL = 2,
	CLI_NOTHING = 3, /* no such address, or no store of a cluster where one is needed */
	CLI_REFUSED = 4, /* the address is held, or its holder may live */
};

struct cli_ip_options {
	const char *conf;       /* file, NULL: looked for */
	const char *address;    /* show, release, reserve */
	const char *network;    /* ls, reserve; NULL: all */
	const char *pod;        /* reserve: NAMESPACE/NAME */
	const char *note;       /* reserve: a person's text */
	const char *kubeconfig; /* whoever asks the API server; NULL: the configuration's */
	bool json, force, dry_run, from_api;
};

/** Lists every address. Each of these writes to out and returns the exit status; e says why it is not 0. */
int cli_ip_list(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Shows one address. */
int cli_ip_show(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Frees one address with what is kept with it; refused while its holder may live, unless forced. */
int cli_ip_release(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Keeps an address for a pod that is not there yet, or for what a note says. */
int cli_ip_reserve(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Frees what pods left behind that are gone with their nodes, in the whole cluster. */
int cli_ip_gc(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Claims what kube-ipam's attachments have: this node's, or, from the API, every fixed one of the cluster. */
int cli_ip_import(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Gives this node's dynamic addresses back to kube-ipam. */
int cli_ip_export(const struct cli_ip_options *options, FILE *out, struct error *e);

/** Reads options->address: 0, or CLI_WRONG_CALL. */
int cli_ip_address(const struct cli_ip_options *options, struct ip_addr *ret, struct error *e);
