#include "netlink/probe.h"

#include "netlink/frame.h"
#include "netlink/netns.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#define MILLISECONDS (SECONDS / 1000)

#define QUESTIONS 3
#define BETWEEN_QUESTIONS (150 * MILLISECONDS)
#define BEHIND_LAST (300 * MILLISECONDS)

/* How often a link is looked at that cannot send yet. */
#define CARRIER_PAUSE (10 * MILLISECONDS)

/* For some thousand frames: a storm of other people's questions must not push the one answer out. */
#define RECEIVE_BUFFER (2 << 20)

/* The longest frame that is read; a jumbo frame is no neighbour discovery. */
#define READ_BYTES 2048

/*
 * One socket for both families: closing a packet socket waits until no other CPU can still be using it
 * (synchronize_net, about 15 ms), which only those pay who ask the wire.
 */
static int open_socket(void *arg, struct error *e)
{
	int *ret_fd = arg;

	/* Protocol 0: nothing is received until bind_socket, behind the filter. */
	*ret_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*ret_fd < 0)
		return error_set(e, -errno, errno == EPERM ? ERROR_RIGHTS : ERROR_IO, "cannot open a packet socket: %s",
			strerror(errno));
	return 0;
}

/* --- hearing --- */

/*
 * ARP, neighbour solicitations and advertisements; none with the tag of a VLAN, which the kernel takes off before it
 * shows the frame to packet sockets. What the link itself sends comes too, and is known by its MAC.
 */
static int set_filter(int fd)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0xfff, 9, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct ether_header, ether_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, 6),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 40),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_SOLICIT, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, READ_BYTES),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(steps), .filter = steps};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int join(int fd, int ifindex, const uint8_t group[FRAME_MAC])
{
	struct packet_mreq request = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_MULTICAST, .mr_alen = FRAME_MAC};

	memcpy(request.mr_address, group, FRAME_MAC);
	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) < 0 ? -errno : 0;
}

/* A link hears the groups of its own addresses, and it has none yet. Answers go to all nodes, which every link hears.
 */
static int join_groups(int fd, int ifindex, const struct ip_addr *addrs, size_t count)
{
	uint8_t group[FRAME_MAC];
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		if (addrs[i].family != AF_INET6)
			continue;
		frame_solicited_group(&addrs[i], group);
		r = join(fd, ifindex, group);
	}
	return r;
}

static int bind_socket(int fd, const struct probe_link *link, const struct ip_addr *addrs, size_t count)
{
	const struct sockaddr_ll wire = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = link->ifindex};
	int size = RECEIVE_BUFFER, r = set_filter(fd);

	if (r == 0)
		r = join_groups(fd, link->ifindex, addrs, count);
	/* Refused is no harm: then it is the system's own size. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (r == 0 && bind(fd, (const struct sockaddr *)&wire, sizeof(wire)) < 0)
		r = -errno;
	return r;
}

/* Whether the frame claims one of the addresses. */
static bool compare(const struct frame_claim *claim, const struct ip_addr *addrs, size_t count, struct ip_addr *ret)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(claim->addrs); j++) {
			if (ip_compare(&addrs[i], &claim->addrs[j]) == 0) {
				*ret = addrs[i];
				return true;
			}
		}
	}
	return false;
}

/* Reads until somebody claims an address or the time is over, whatever else is on the wire. */
static int listen_until(int fd, const struct probe_link *link, const struct ip_addr *addrs, size_t count, int64_t end,
	struct probe_answer *ret)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	while (clock_now() < end) {
		uint8_t bytes[READ_BYTES];
		struct frame_claim claim;

		if (poll(&ready, 1, clock_left(end)) < 0 && errno != EINTR)
			return -errno;

		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		/* ENETDOWN is said once, when the link goes down: the next question finds out. */
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
			return -errno;
		if (n < 0 || !frame_read(bytes, (size_t)n, link->mac, &claim) ||
			!compare(&claim, addrs, count, &ret->addr))
			continue;
		memcpy(ret->mac, claim.mac, sizeof(ret->mac));
		ret->taken = true;
		return 0;
	}
	return 0;
}

/* --- speaking --- */

/* What passes by itself: the link is not up yet, or what it sends is dropped at once (no carrier, a full queue). */
static bool is_passing(int err)
{
	return err == -ENETDOWN || err == -ENOBUFS || err == -EAGAIN;
}

static int send_frame(int fd, int ifindex, const struct frame *frame)
{
	const struct sockaddr_ll wire = {
		.sll_family = AF_PACKET, .sll_protocol = htons(frame->protocol), .sll_ifindex = ifindex};

	if (sendto(fd, frame->bytes, frame->length, 0, (const struct sockaddr *)&wire, sizeof(wire)) < 0)
		return -errno;
	return 0;
}

/* -ENETDOWN: not there yet. A macvlan gets its carrier a moment after it was set up. */
static int look_for_carrier(int fd, int ifindex, char name[IFNAMSIZ])
{
	struct ifreq request = {.ifr_ifindex = ifindex};

	if (ioctl(fd, SIOCGIFNAME, &request) < 0)
		return -errno;
	memcpy(name, request.ifr_name, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	return request.ifr_flags & IFF_RUNNING ? 0 : -ENETDOWN;
}

static int send_questions(int fd, const struct probe_link *link, const struct ip_addr *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct frame question = frame_question(&addrs[i], link->mac);
		int r = send_frame(fd, link->ifindex, &question);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Asks once, as soon as the link can. */
static int ask(int fd, const struct probe_link *link, const struct ip_addr *addrs, size_t count, int64_t deadline,
	struct error *e)
{
	char name[IFNAMSIZ] = "";
	int r = -ENETDOWN;

	while (is_passing(r) && clock_now() < deadline) {
		r = look_for_carrier(fd, link->ifindex, name);
		if (r == 0)
			r = send_questions(fd, link, addrs, count);
		if (is_passing(r))
			clock_pause(CARRIER_PAUSE, deadline);
	}
	if (r == 0)
		return 0;
	if (is_passing(r))
		return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN,
			"cannot ask the wire for %s in time: interface %s has no carrier, look at its master",
			ip_text(&addrs[0]).s, name);
	return error_set(e, r, ERROR_IO, "cannot ask the wire for %s: %s", ip_text(&addrs[0]).s, strerror(-r));
}

/* A question that nobody could hear tells nothing. */
static int check_heard(int fd, const struct probe_link *link, const struct ip_addr *addrs, struct error *e)
{
	char name[IFNAMSIZ] = "";

	if (look_for_carrier(fd, link->ifindex, name) < 0)
		return error_set(e, -ENETDOWN, ERROR_TRY_AGAIN,
			"interface %s lost its carrier while the wire was asked for %s", name, ip_text(&addrs[0]).s);
	return 0;
}

int probe_ask(const struct probe_link *link, const struct ip_addr *addrs, size_t count, int64_t deadline,
	struct probe_answer *ret, struct error *e)
{
	cleanup_close int fd = -1;

	*ret = (struct probe_answer){0};
	if (count == 0)
		return 0;
	if (netns_run(link->netns_fd, open_socket, &fd, e) < 0)
		return e->err;

	int r = bind_socket(fd, link, addrs, count);

	for (int i = 1; r == 0 && i <= QUESTIONS && !ret->taken; i++) {
		if (ask(fd, link, addrs, count, deadline, e) < 0)
			return e->err;

		int64_t end = clock_now() + (i < QUESTIONS ? BETWEEN_QUESTIONS : BEHIND_LAST);

		r = listen_until(fd, link, addrs, count, end < deadline ? end : deadline, ret);
	}
	if (r < 0)
		return error_set(e, r, ERROR_IO, "cannot listen on the wire: %s", strerror(-r));
	return ret->taken ? 0 : check_heard(fd, link, addrs, e);
}

int probe_announce(const struct probe_link *link, const struct ip_addr *addrs, size_t count, struct error *e)
{
	cleanup_close int fd = -1;

	if (count == 0)
		return 0;
	if (netns_run(link->netns_fd, open_socket, &fd, e) < 0)
		return e->err;
	for (size_t i = 0; i < count; i++) {
		struct frame announcement = frame_announcement(&addrs[i], link->mac);
		int r = send_frame(fd, link->ifindex, &announcement);

		/* Without a carrier nobody is there to be told. */
		if (r < 0 && !is_passing(r))
			return error_set(e, r, ERROR_IO, "cannot announce %s: %s", ip_text(&addrs[i]).s, strerror(-r));
	}
	return 0;
}
