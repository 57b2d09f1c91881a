/* Links: what is there, and macvlans made, moved up and deleted. */
#pragma once

#include "netlink/socket.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAC_BYTES 6
/** "xx:xx:xx:xx:xx:xx" and NUL. */
#define MAC_TEXT 18

struct link_info {
	int ifindex;
	char name[IFNAMSIZ];
	char kind[16];          /* "macvlan", "veth", "bridge"; "" for hardware */
	uint8_t mac[MAC_BYTES]; /* all zero when the link has none of 6 bytes */
	unsigned int mtu;
	bool up;      /* IFF_UP */
	bool running; /* IFF_RUNNING: has a carrier */
	bool loopback;
	bool bridge_port; /* its controller is a bridge (IFLA_INFO_SLAVE_KIND) */
	int parent;       /* IFLA_LINK: a macvlan's master, an index of the namespace in which it was made; 0: none */
	uint32_t macvlan_mode; /* MACVLAN_MODE_*, 0 when it is not a macvlan */
};

/** One link by name. Absent: -ENODEV (ERROR_CONFIG). */
int link_get(struct nl *nl, const char *name, struct link_info *ret, struct error *e);

/** One link by index. Absent: -ENODEV. */
int link_get_index(struct nl *nl, int ifindex, struct link_info *ret, struct error *e);

/** The macvlan with that MAC in the socket's namespace, whatever its name. Absent: -ENODEV. */
int link_find_macvlan(struct nl *nl, const uint8_t mac[MAC_BYTES], struct link_info *ret, struct error *e);

struct macvlan_spec {
	const char *name; /* at most 15 bytes, no '%' (the kernel expands "a%d") */
	int master;       /* ifindex in the namespace of the socket that creates */
	int netns_fd;     /* where the link goes */
	uint32_t mode;    /* MACVLAN_MODE_* (linux/if_link.h) */
	unsigned int mtu; /* 0: the master's */
	uint8_t mac[MAC_BYTES];
	uint32_t bcqueuelen; /* IFLA_MACVLAN_BC_QUEUE_LEN; 0: the kernel's default */
};

/**
 * Creates the macvlan straight in spec->netns_fd, down, from creator's namespace (that of the master), with
 * NLM_F_CREATE | NLM_F_EXCL. A MAC of zeros: the kernel chooses one. Kernels before 6.15 look the name up in creator's
 * namespace: on EEXIST with no such name in the pod, it is created under "lm" + its MAC in hex and renamed; a failed
 * rename deletes it again. LAMINA_FAULT "macvlan_name:fail" takes that path. *ret is the new link. Errors: -EEXIST name
 * taken, -EINVAL passthru beside other macvlans or bad value, each in a sentence (ERROR_CONFIG).
 */
int link_add_macvlan(
	struct nl *creator, struct nl *pod, const struct macvlan_spec *spec, struct link_info *ret, struct error *e);

/**
 * Whether this kernel makes macvlans: one is asked for in a network namespace of its own, which goes with the process
 * that is forked for it. The kernel may load its module for that, as for a pod. ERROR_RIGHTS, ERROR_IO: nobody knows.
 * LAMINA_FAULT "macvlan_kind:fail" takes it for one that makes none.
 */
int link_try_macvlan(bool *ret, struct error *e);

/** Sets IFF_UP. EADDRINUSE: another macvlan of the master has its MAC (ERROR_CONFIG, says so). */
int link_set_up(struct nl *nl, int ifindex, struct error *e);

/** IPV4_DEVCONF_ARP_NOTIFY = 1: the kernel then sends one gratuitous ARP per IPv4 address when the link goes up. */
int link_set_arp_notify(struct nl *nl, int ifindex, struct error *e);

/** Deletes one link by index. Already gone is success. Costs the kernel 15 ms under RTNL. */
int link_delete(struct nl *nl, int ifindex, struct error *e);

/** Deletes several links of one namespace in one message (IFLA_GROUP), so that the 15 ms are paid once. Already gone is
 * success. */
int link_delete_all(struct nl *nl, const int *ifindex, size_t count, struct error *e);

/**
 * The same, but returns when no call finds the links any more, which is at once. The 15 ms, in which the kernel waits
 * for the last packets, pass in a process of its own, which nobody has to wait for. netns_fd: of the socket.
 */
int link_delete_aside(struct nl *nl, int netns_fd, const int *ifindex, size_t count, struct error *e);

/**
 * net/ipv6/conf/<name>/: accept_ra=0 and autoconf=0 (a router must not add addresses that nobody recorded); with wanted
 * also disable_ipv6=0 (and on lo), keep_addr_on_down=1 and ndisc_notify=1: the kernel then announces each IPv6 address
 * once when the link goes up. A kernel without IPv6, or a link with an mtu below 1280, is success unless wanted.
 */
int link_prepare_ipv6(int netns_fd, const char *name, bool wanted, struct error *e);

/** "bridge", "private", "vepa", "passthru" or "" (bridge) to MACVLAN_MODE_*. False for anything else. */
bool link_parse_mode(const char *text, uint32_t *ret);

/** The mode's name; "unknown" for other values. */
const char *link_mode_name(uint32_t mode);

/** Six bytes as Go's net.ParseMAC reads them ("aa:bb:..", "aa-bb-..", "aabb.ccdd.eeff"). False if malformed, multicast
 * or all zero. */
bool link_parse_mac(const char *text, uint8_t ret[MAC_BYTES]);

/** Lower case, with colons; returns text. */
char *link_format_mac(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT]);

/** A random locally administered unicast MAC (getrandom(2)). */
void link_random_mac(uint8_t ret[MAC_BYTES]);
