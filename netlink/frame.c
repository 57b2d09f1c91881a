#include "netlink/frame.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <string.h>

/* RFC 4861 7.1: receivers drop whatever may have come through a router. */
#define HOP_LIMIT 255

struct arp_frame {
	struct ether_header ethernet;
	struct ether_arp arp;
} __attribute__((packed));

/* Solicitation and advertisement are alike: four bytes of flags, then the target. */
struct neighbour_frame {
	struct ether_header ethernet;
	struct ip6_hdr ip;
	struct icmp6_hdr icmp;
	struct in6_addr target;
	struct nd_opt_hdr option; /* from here on only in an advertisement */
	uint8_t mac[FRAME_MAC];
} __attribute__((packed));

#define QUESTION_BYTES offsetof(struct neighbour_frame, option)
#define ADDRESSES_AT offsetof(struct neighbour_frame, ip.ip6_src)
#define ICMP_AT offsetof(struct neighbour_frame, icmp)

_Static_assert(sizeof(struct neighbour_frame) == FRAME_BYTES, "an advertisement fills the frame");

static const uint8_t no_address[16];

/* --- building --- */

static struct frame arp_request(const uint8_t mac[FRAME_MAC], const uint8_t sender[4], const uint8_t target[4])
{
	struct arp_frame packet = {
		.ethernet = {.ether_type = htons(ETHERTYPE_ARP)},
		.arp.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = FRAME_MAC,
			.ar_pln = 4,
			.ar_op = htons(ARPOP_REQUEST)},
	};
	struct frame frame = {.length = sizeof(packet), .protocol = ETHERTYPE_ARP};

	memset(packet.ethernet.ether_dhost, 0xff, FRAME_MAC);
	memcpy(packet.ethernet.ether_shost, mac, FRAME_MAC);
	memcpy(packet.arp.arp_sha, mac, FRAME_MAC);
	memcpy(packet.arp.arp_spa, sender, sizeof(packet.arp.arp_spa));
	memcpy(packet.arp.arp_tpa, target, sizeof(packet.arp.arp_tpa));
	memcpy(frame.bytes, &packet, sizeof(packet));
	return frame;
}

/* RFC 4443 2.3: over the addresses, length and protocol as well. 0 over a packet whose checksum is right. */
static uint16_t icmp_checksum(const uint8_t addresses[32], const uint8_t *payload, size_t length)
{
	uint32_t sum = (uint32_t)length + IPPROTO_ICMPV6;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? payload[i] : (uint32_t)payload[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Packs what is the same for both: the packet's addresses, flags and option are set already. */
static struct frame neighbour_frame(struct neighbour_frame packet, uint8_t type, size_t length)
{
	struct frame frame = {.length = length, .protocol = ETHERTYPE_IPV6};

	packet.ethernet.ether_type = htons(ETHERTYPE_IPV6);
	packet.ip.ip6_flow = htonl(6U << 28);
	packet.ip.ip6_plen = htons((uint16_t)(length - ICMP_AT));
	packet.ip.ip6_nxt = IPPROTO_ICMPV6;
	packet.ip.ip6_hlim = HOP_LIMIT;
	packet.icmp.icmp6_type = type;
	memcpy(frame.bytes, &packet, length);

	uint16_t sum = htons(icmp_checksum(frame.bytes + ADDRESSES_AT, frame.bytes + ICMP_AT, length - ICMP_AT));

	memcpy(frame.bytes + ICMP_AT + offsetof(struct icmp6_hdr, icmp6_cksum), &sum, sizeof(sum));
	return frame;
}

void frame_solicited_group(const struct ip_addr *addr, uint8_t ret[FRAME_MAC])
{
	const uint8_t group[FRAME_MAC] = {0x33, 0x33, 0xff, addr->bytes[13], addr->bytes[14], addr->bytes[15]};

	memcpy(ret, group, FRAME_MAC);
}

struct frame frame_question(const struct ip_addr *addr, const uint8_t mac[FRAME_MAC])
{
	struct neighbour_frame packet = {.ip.ip6_dst = {{{0xff, 0x02, [11] = 1, [12] = 0xff}}}};

	if (addr->family == AF_INET)
		return arp_request(mac, no_address, addr->bytes);
	frame_solicited_group(addr, packet.ethernet.ether_dhost);
	memcpy(packet.ethernet.ether_shost, mac, FRAME_MAC);
	memcpy(packet.ip.ip6_dst.s6_addr + 13, addr->bytes + 13, 3);
	memcpy(packet.target.s6_addr, addr->bytes, 16);
	return neighbour_frame(packet, ND_NEIGHBOR_SOLICIT, QUESTION_BYTES);
}

struct frame frame_announcement(const struct ip_addr *addr, const uint8_t mac[FRAME_MAC])
{
	struct neighbour_frame packet = {
		.ethernet.ether_dhost = {0x33, 0x33, [5] = 1},
		.ip.ip6_dst = {{{0xff, 0x02, [15] = 1}}},
		.icmp.icmp6_data32 = {ND_NA_FLAG_OVERRIDE},
		.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
	};

	if (addr->family == AF_INET)
		return arp_request(mac, addr->bytes, addr->bytes);
	memcpy(packet.ethernet.ether_shost, mac, FRAME_MAC);
	memcpy(packet.ip.ip6_src.s6_addr, addr->bytes, 16);
	memcpy(packet.target.s6_addr, addr->bytes, 16);
	memcpy(packet.mac, mac, FRAME_MAC);
	return neighbour_frame(packet, ND_NEIGHBOR_ADVERT, sizeof(packet));
}

/* --- reading --- */

static struct ip_addr take_addr(int family, const uint8_t *bytes)
{
	struct ip_addr addr = {.family = family};

	memcpy(addr.bytes, bytes, ip_bits(family) / 8);
	return addr;
}

static bool read_arp(const uint8_t *bytes, size_t length, struct frame_claim *ret)
{
	static const uint8_t ethernet_and_ip[] = {0, ARPHRD_ETHER, 0x08, 0x00, FRAME_MAC, 4};
	struct arp_frame packet;

	if (length < sizeof(packet))
		return false;
	memcpy(&packet, bytes, sizeof(packet));
	if (memcmp(&packet.arp, ethernet_and_ip, sizeof(ethernet_and_ip)) != 0)
		return false;

	uint16_t operation = ntohs(packet.arp.ea_hdr.ar_op);

	if (operation != ARPOP_REQUEST && operation != ARPOP_REPLY)
		return false;

	/* Only a request may come from one that has no address yet. */
	bool probe = memcmp(packet.arp.arp_spa, no_address, 4) == 0;

	if (probe && operation != ARPOP_REQUEST)
		return false;
	ret->addrs[0] = take_addr(AF_INET, probe ? packet.arp.arp_tpa : packet.arp.arp_spa);
	memcpy(ret->mac, packet.arp.arp_sha, FRAME_MAC);
	return true;
}

/* The checks of RFC 4861 7.1: what a kernel would throw away is no sign of anybody. */
static bool read_neighbour(const uint8_t *bytes, size_t length, struct frame_claim *ret)
{
	struct neighbour_frame packet = {0};

	if (length < QUESTION_BYTES)
		return false;
	memcpy(&packet, bytes, QUESTION_BYTES);

	size_t payload = ntohs(packet.ip.ip6_plen);
	uint8_t type = packet.icmp.icmp6_type;

	if (packet.ip.ip6_vfc >> 4 != 6 || packet.ip.ip6_nxt != IPPROTO_ICMPV6 || packet.ip.ip6_hlim != HOP_LIMIT ||
		payload < QUESTION_BYTES - ICMP_AT || payload > length - ICMP_AT)
		return false;
	if ((type != ND_NEIGHBOR_SOLICIT && type != ND_NEIGHBOR_ADVERT) || packet.icmp.icmp6_code != 0 ||
		icmp_checksum(bytes + ADDRESSES_AT, bytes + ICMP_AT, payload) != 0)
		return false;

	bool nameless = memcmp(packet.ip.ip6_src.s6_addr, no_address, 16) == 0;

	/* A question with a sender is about somebody else; one without is about the address that it wants. */
	if (type == ND_NEIGHBOR_ADVERT || nameless)
		ret->addrs[0] = take_addr(AF_INET6, packet.target.s6_addr);
	if (!nameless)
		ret->addrs[1] = take_addr(AF_INET6, packet.ip.ip6_src.s6_addr);
	memcpy(ret->mac, packet.ethernet.ether_shost, FRAME_MAC);
	return true;
}

bool frame_read(const uint8_t *bytes, size_t length, const uint8_t own_mac[FRAME_MAC], struct frame_claim *ret)
{
	struct ether_header ethernet;
	bool claims = false;

	*ret = (struct frame_claim){0};
	if (length < sizeof(ethernet))
		return false;
	memcpy(&ethernet, bytes, sizeof(ethernet));
	if (ethernet.ether_type == htons(ETHERTYPE_ARP))
		claims = read_arp(bytes, length, ret);
	else if (ethernet.ether_type == htons(ETHERTYPE_IPV6))
		claims = read_neighbour(bytes, length, ret);
	/* A switch with a loop gives us back what we said. */
	return claims && memcmp(ethernet.ether_shost, own_mac, FRAME_MAC) != 0 &&
	       memcmp(ret->mac, own_mac, FRAME_MAC) != 0;
}
