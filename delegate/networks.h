/* The annotation by which a pod asks for further networks: k8s.v1.cni.cncf.io/networks, short or JSON
 * (v1.multus-cni.io/default-network has the same forms). */
#pragma once

#include "plugin/base/ip.h"
#include "plugin/base/json.h"

/* A pod has no use for more interfaces than this, nor one interface for more addresses. */
#define MAX_NETWORKS ((size_t)64)
#define MAX_NETWORK_ADDRS ((size_t)16)
/* Of "cni-args": they are put into each plugin of the network. */
#define MAX_NETWORK_ARGS ((size_t)1000)

/** One network that a pod asks for. Owned; what the annotation does not say is NULL or 0. */
struct network_element {
	char *ns, *name;              /* of the NetworkAttachmentDefinition: names of the API, fit for a path */
	char *ifname;                 /* "interface", else "interfaceRequest" */
	char *ips[MAX_NETWORK_ADDRS]; /* addresses, with or without a prefix length, as written */
	size_t ip_count;
	bool has_ips;                /* "ips" is there, even if it names none */
	char *mac, *infiniband_guid; /* hardware addresses of 6, 8 or 20 bytes, as written */
	char *device_id;
	cJSON *port_mappings;                       /* array */
	cJSON *bandwidth, *cni_args;                /* objects */
	struct ip_addr gateways[MAX_NETWORK_ADDRS]; /* "default-route" */
	size_t gateway_count;
	bool default_route; /* "default-route" is there, even if it names none */
};

struct network_list {
	struct network_element *elements;
	size_t count;
	char *bad_ns,
		*bad_name; /* of what was refused: the first element of a JSON array that no definition can be; NULL */
};

/**
 * Reads an annotation as multus does (its parsePodNetworkAnnotation): a value with any of [ { " is a JSON array of
 * objects, every other one a list "[namespace/]name[@interface], ...". Keys match in any case, unknown ones are
 * ignored; an empty value asks for nothing. Beyond multus, names with dots are served in the short form, too, and names
 * that the API cannot have are refused in both: they would lead to another path. key is the annotation's own name, for
 * the error; ns the pod's namespace, which counts where an element names none. ERROR_CONFIG names annotation, element
 * and value. Cleared with network_list_clear, also on failure.
 */
int networks_read(const char *key, const char *annotation, const char *ns, struct network_list *ret, struct error *e);

/** One of .ips, without its prefix length. False when it is none. */
bool network_read_addr(const char *text, struct ip_addr *ret);

/** The gateway of that family among .gateways; NULL: none, or element is NULL. Borrowed. */
const struct ip_addr *network_gateway(const struct network_element *element, int family);

/** .ips as an array of texts, owned by the caller. */
cJSON *network_print_ips(const struct network_element *element);

/** Puts the texts of an array into .ips, as many as there is room for. */
void network_recall_ips(struct network_element *element, const cJSON *list);

void network_element_clear(struct network_element *element);

void network_list_clear(struct network_list *list);
#define cleanup_networks CLEANUP(network_list_clear)
