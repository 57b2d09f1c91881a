/* netlink/: what is heard on the master's wire when a macvlan comes up, and what is usable at once. */
#include "test/unit/rival.h"

/* What is announced goes out at once; a repetition would come within this time. */
#define LISTEN_MS 700

/* Gives every frame from that MAC to count(frame, length, arg) for a while; returns the sum. */
static int hear(int fd, const uint8_t mac[MAC_BYTES],
	int (*count)(const uint8_t *frame, size_t length, const void *arg), const void *arg)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	int64_t end = clock_now() + LISTEN_MS * (SECONDS / 1000);
	int sum = 0;

	while (poll(&ready, 1, clock_left(end)) == 1) {
		/* Behind 14 bytes of Ethernet the IP header is aligned. */
		_Alignas(8) uint8_t space[2048];
		uint8_t *frame = space + 2;
		ssize_t n = recv(fd, frame, sizeof(space) - 2, 0);

		assert_true(n > 0);
		if (n >= ETH_HLEN && memcmp(frame + MAC_BYTES, mac, MAC_BYTES) == 0)
			sum += count(frame, (size_t)n, arg);
	}
	return sum;
}

/* The sum is 1 for each address in its decimal place: 111 when each of three was heard once, 201 when... */
static const char *const four[] = {"10.9.0.5/16", "10.9.0.6/16", "10.8.0.5/24", NULL};
static const char *const six[] = {"fd00:9::5/64", "fd00:9::6/64", "fd00:8::5/128", NULL};
static const int places[] = {1, 10, 100};

static int count_gratuitous_arp(const uint8_t *frame, size_t length, const void *arg)
{
	static const uint8_t everybody[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct ether_header *ethernet = (const void *)frame;
	const struct ether_arp *arp = (const void *)(frame + ETH_HLEN);

	(void)arg;
	if (ntohs(ethernet->ether_type) != ETHERTYPE_ARP || length < ETH_HLEN + sizeof(*arp))
		return 0;
	assert_memory_equal(ethernet->ether_dhost, everybody, MAC_BYTES);
	assert_int_equal(ntohs(arp->arp_op), ARPOP_REQUEST);
	assert_memory_equal(arp->arp_sha, ethernet->ether_shost, MAC_BYTES);
	assert_memory_equal(arp->arp_spa, arp->arp_tpa, 4);
	for (size_t i = 0; four[i]; i++) {
		struct ip_prefix addr = prefix(four[i]);

		if (memcmp(arp->arp_spa, addr.addr.bytes, 4) == 0)
			return places[i];
	}
	fail_msg("ARP for an address that is not ours");
	return 0;
}

static void kernel_announces_each_ipv4_address_once(void **state)
{
	const struct lab *lab = *state;
	cleanup_error struct error e = {0};

	for (uint8_t notify = 0; notify < 2; notify++) {
		struct link_info link = make(lab, "net1", (uint8_t)(1 + notify));
		cleanup_close int wire = listen_on_wire();

		if (notify)
			assert_done(link_set_arp_notify(lab->pod, link.ifindex, &e), &e);
		for (size_t i = 0; four[i]; i++) {
			struct ip_prefix addr = prefix(four[i]);

			assert_done(addr_add(lab->pod, link.ifindex, &addr, &e), &e);
		}
		assert_done(link_set_up(lab->pod, link.ifindex, &e), &e);
		assert_int_equal(hear(wire, link.mac, count_gratuitous_arp, NULL), notify ? 111 : 0);
		assert_done(link_delete(lab->pod, link.ifindex, &e), &e);
	}
}

static int count_advertisement(const uint8_t *frame, size_t length, const void *arg)
{
	static const uint8_t everybody_mac[MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t everybody[16] = {0xff, 2, [15] = 1};
	const struct ip6_hdr *ip = (const void *)(frame + ETH_HLEN);
	const uint8_t *payload = frame + ETH_HLEN + sizeof(*ip);
	struct nd_neighbor_advert advert;

	(void)arg;
	if (frame[12] != 0x86 || length < ETH_HLEN + sizeof(*ip) + 8 || ip->ip6_nxt != IPPROTO_ICMPV6 ||
		payload[0] != ND_NEIGHBOR_ADVERT)
		return 0;
	assert_int_equal(length, ETH_HLEN + sizeof(*ip) + sizeof(advert) + 8);
	memcpy(&advert, payload, sizeof(advert));
	assert_memory_equal(frame, everybody_mac, MAC_BYTES);
	assert_memory_equal(&ip->ip6_dst, everybody, 16);
	assert_memory_equal(&ip->ip6_src, &advert.nd_na_target, 16);
	assert_int_equal(ip->ip6_hlim, 255);
	assert_int_equal(advert.nd_na_code, 0);
	assert_int_equal(icmp_sum(frame + ETH_HLEN, ntohs(ip->ip6_plen)), 0);
	if (advert.nd_na_target.s6_addr[0] == 0xfe)
		return 0; /* the kernel's own, for the link-local address */

	/* Override, neither router nor solicited; one option: the target's link-layer address, 8 bytes. */
	assert_int_equal(ntohl(advert.nd_na_flags_reserved), 0x20000000);
	payload += sizeof(advert);
	assert_int_equal(payload[0], ND_OPT_TARGET_LINKADDR);
	assert_int_equal(payload[1], 1);
	assert_memory_equal(payload + 2, frame + MAC_BYTES, MAC_BYTES);
	for (size_t i = 0; six[i]; i++) {
		struct ip_prefix addr = prefix(six[i]);

		if (memcmp(&advert.nd_na_target, addr.addr.bytes, 16) == 0)
			return places[i];
	}
	fail_msg("advertisement of an address that is not ours");
	return 0;
}

static void kernel_announces_each_ipv6_address_once(void **state)
{
	const struct lab *lab = *state;
	cleanup_close int wire = listen_on_wire();
	struct link_info link = make_with(lab, "net1", 1, six);

	assert_int_equal(hear(wire, link.mac, count_advertisement, NULL), 111);
}

/* A tentative address cannot be bound. */
static int bind_address(void *arg, struct error *e)
{
	const struct ip_addr *addr = arg;
	struct sockaddr_in6 name = {.sin6_family = AF_INET6};
	cleanup_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&name.sin6_addr, addr->bytes, 16);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return error_set(e, -errno, ERROR_IO, "bind: %s", strerror(errno));
	return 0;
}

static void ipv6_is_usable_at_once(void **state)
{
	const struct lab *lab = *state;
	struct ip_addr addr = address("fd00:9::5");
	cleanup_error struct error e = {0};

	make_with(lab, "net1", 1, six);
	assert_done(netns_run(lab->pod_fd, bind_address, &addr, &e), &e);

	/* The kernel's way without IFA_F_NODAD, to see that this test can tell. */
	addr = address("fd00:9::7");
	shell_in_pod(lab, "ip addr add fd00:9::7/64 dev net1");
	assert_int_equal(netns_run(lab->pod_fd, bind_address, &addr, &e), -EADDRNOTAVAIL);
}

static void two_links_with_one_mac_cannot_both_be_up(void **state)
{
	const struct lab *lab = *state;
	struct link_info one = make(lab, "net1", 5), two = make(lab, "net2", 5), master;
	struct macvlan_spec s = spec(lab, "net3", 0);
	cleanup_error struct error e = {0};

	assert_done(link_set_up(lab->pod, one.ifindex, &e), &e);
	assert_done(link_set_up(lab->pod, one.ifindex, &e), &e);
	assert_int_equal(link_set_up(lab->pod, two.ifindex, &e), -EADDRINUSE);
	assert_int_equal(e.code, ERROR_CONFIG);
	assert_string_equal(e.message, "cannot set link net2 up: its MAC 02:00:00:00:00:05 is in use by its master or "
				       "by another macvlan of it");
	assert_done(link_delete(lab->pod, one.ifindex, &e), &e);
	assert_done(link_set_up(lab->pod, two.ifindex, &e), &e);

	/* The master's own. */
	assert_done(link_get(lab->host, "m0", &master, &e), &e);
	memcpy(s.mac, master.mac, MAC_BYTES);
	assert_done(link_add_macvlan(lab->host, lab->pod, &s, &one, &e), &e);
	assert_int_equal(link_set_up(lab->pod, one.ifindex, &e), -EADDRINUSE);

	assert_int_equal(link_set_up(lab->pod, 4711, &e), -ENODEV);
	assert_int_equal(link_set_arp_notify(lab->pod, 4711, &e), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(kernel_announces_each_ipv4_address_once),
		IN_LAB(kernel_announces_each_ipv6_address_once),
		IN_LAB(ipv6_is_usable_at_once),
		IN_LAB(two_links_with_one_mac_cannot_both_be_up),
	};

	return has_rights() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
