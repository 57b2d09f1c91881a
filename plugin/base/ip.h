/* IPv4 and IPv6 addresses, prefixes, and the arithmetic on them. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/** family is AF_INET or AF_INET6 (0: none); bytes in network order, the first 4 or all 16. */
struct ip_addr {
	int family;
	uint8_t bytes[16];
};

/** length is 0-32 or 0-128. The address keeps its host bits. */
struct ip_prefix {
	struct ip_addr addr;
	unsigned int length;
};

/** INET6_ADDRSTRLEN + "/128" + NUL, rounded up. */
#define IP_TEXT 64

/** A text form without an allocation: ip_text(...).s */
struct ip_text {
	char s[IP_TEXT];
};

/** Parses "10.0.0.1" or "2001:db8::1"; IPv4 in IPv6 (::ffff:10.0.0.1) becomes IPv4, as in Go. No zone, no leading
 * zeros. False if malformed. */
bool ip_parse(const char *text, struct ip_addr *ret);

/** Parses "10.0.0.0/16". Host bits are kept. False if malformed. */
bool ip_parse_prefix(const char *text, struct ip_prefix *ret);

/** A netmask "255.255.0.0" or a length "16", for IPv4. False if malformed, above 32, or not contiguous. */
bool ip_parse_netmask(const char *text, unsigned int *ret);

/** The address as Go prints it (RFC 5952 for IPv6). */
struct ip_text ip_text(const struct ip_addr *addr);

/** "address/length". */
struct ip_text ip_prefix_text(const struct ip_prefix *prefix);

/** Bits of the family: 32 or 128. */
unsigned int ip_bits(int family);

/** Orders by family, then numerically: negative, 0, positive. */
int ip_compare(const struct ip_addr *a, const struct ip_addr *b);

/** The address with the bits behind the prefix cleared. */
struct ip_addr ip_network(const struct ip_prefix *prefix);

/** The address with the bits behind the prefix set: IPv4's broadcast, IPv6's last address. */
struct ip_addr ip_last(const struct ip_prefix *prefix);

/** Whether the prefix covers the address. */
bool ip_contains(const struct ip_prefix *prefix, const struct ip_addr *addr);

/** The next address; wraps around at the end of the family. */
struct ip_addr ip_next(const struct ip_addr *addr);

/** Whether an interface may own it: not multicast, loopback, unspecified, 0/8, or limited broadcast. */
bool ip_is_host(const struct ip_addr *addr);
