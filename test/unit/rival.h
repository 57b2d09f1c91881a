/* Somebody else on the master's wire (p0), who speaks in frames of our choice: a child process with a packet socket.
 * Its frames are built here by themselves, not by what is under test. */
#pragma once

#include "plugin/base/log.h"
#include "test/unit/netlink_kit.h"

#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ND_AT (ETH_HLEN + sizeof(struct ip6_hdr))
#define ND_BYTES 24 /* type, code, checksum, flags, target */

static const uint8_t rival_mac[MAC_BYTES] = {2, 0, 0, 0, 0, 0x99};

struct packet {
	uint8_t bytes[128];
	size_t length;
};

/** A packet socket on the other end of the master's veth. */
static inline int listen_on_wire(void)
{
	struct sockaddr_ll wire = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("p0")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&wire, sizeof(wire)), 0);
	return fd;
}

/** RFC 1071 with the pseudo header of RFC 8200 8.1: 0 when the checksum in the packet is right. */
static inline uint16_t icmp_sum(const uint8_t *ip, size_t length)
{
	uint32_t sum = (uint32_t)length + IPPROTO_ICMPV6;

	for (size_t i = 8; i < sizeof(struct ip6_hdr) + length; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/** ARP from the rival to everybody. */
static inline struct packet arp(uint16_t operation, const char *sender, const char *target)
{
	const struct ip_addr from = address(sender), to = address(target);
	const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, (uint8_t)operation};
	struct packet p = {.length = ETH_HLEN + sizeof(struct ether_arp)};

	memset(p.bytes, 0xff, 6);
	memcpy(p.bytes + 6, rival_mac, 6);
	memcpy(p.bytes + 12, "\x08\x06", 2);
	memcpy(p.bytes + 14, head, sizeof(head));
	memcpy(p.bytes + 22, rival_mac, 6);
	memcpy(p.bytes + 28, from.bytes, 4);
	memcpy(p.bytes + 38, to.bytes, 4);
	return p;
}

/** Sets the checksum of a neighbour solicitation or advertisement, over the length that stands in it. */
static inline void seal(struct packet *p)
{
	memset(p->bytes + ND_AT + 2, 0, 2);

	uint16_t sum = icmp_sum(p->bytes + ETH_HLEN, p->bytes[19]);

	p->bytes[ND_AT + 2] = (uint8_t)(sum >> 8);
	p->bytes[ND_AT + 3] = (uint8_t)sum;
}

/** A solicitation (135) or an advertisement (136) from the rival. */
static inline struct packet neighbour(uint8_t type, const char *sender, const char *receiver, const char *target)
{
	struct ip_addr from = address(sender), to = address(receiver), about = address(target);
	const uint8_t group[] = {0x33, 0x33, to.bytes[12], to.bytes[13], to.bytes[14], to.bytes[15]};
	const uint8_t head[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, ND_BYTES, IPPROTO_ICMPV6, 255};
	struct packet p = {.length = ND_AT + ND_BYTES};

	memcpy(p.bytes, group, 6);
	memcpy(p.bytes + 6, rival_mac, 6);
	memcpy(p.bytes + 12, head, sizeof(head));
	memcpy(p.bytes + 22, from.bytes, 16);
	memcpy(p.bytes + 38, to.bytes, 16);
	p.bytes[ND_AT] = type;
	memcpy(p.bytes + ND_AT + 8, about.bytes, 16);
	seal(&p);
	return p;
}

static inline void say(int wire, const struct packet *p)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("p0")};

	memcpy(&to.sll_protocol, p->bytes + 12, 2);
	sendto(wire, p->bytes, p->length, 0, (struct sockaddr *)&to, sizeof(to));
}

/** The next frame that says something about the address and is not the rival's own; its length, 0 at the end. */
static inline size_t await_question(int wire, const char *text, uint8_t bytes[2048], int64_t end)
{
	const struct ip_addr addr = address(text);
	struct pollfd ready = {.fd = wire, .events = POLLIN};

	while (poll(&ready, 1, clock_left(end)) == 1) {
		ssize_t n = recv(wire, bytes, 2048, 0);

		if (n > ETH_HLEN && memcmp(bytes + 6, rival_mac, 6) != 0 &&
			memmem(bytes, (size_t)n, addr.bytes, ip_bits(addr.family) / 8))
			return (size_t)n;
	}
	return 0;
}

/** Runs act(arg) in a child, which is given ten seconds and dies with the test. */
static inline pid_t rival_start(void (*act)(const void *arg), const void *arg)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGALRM, SIG_DFL);
		alarm(10);
		act(arg);
		_exit(0);
	}
	return child;
}

static inline void rival_stop(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
