#include "netlink/probe.h"

#include "netlink/netns.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

/* RFC 4861 7.1.2: receivers drop whatever may have come through a router. */
#define HOP_LIMIT 255

struct announcement {
	struct nd_neighbor_advert advert;
	struct nd_opt_hdr option;
	uint8_t mac[6];
} __attribute__((packed));

struct announce_job {
	int ifindex;
	const uint8_t *mac;
	struct in6_addr addr;
	struct ip_text text;
};

/* Which link it leaves by, and from which address. */
static int prepare_socket(int fd, const struct announce_job *job)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_addr = job->addr};
	int hops = HOP_LIMIT, off = 0;

	from.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&job->addr) ? (uint32_t)job->ifindex : 0;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &job->ifindex, sizeof(job->ifindex)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off)) < 0 ||
		bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return -errno;
	return 0;
}

/* The kernel fills in the checksum (RFC 3542 3.1). */
static int send_announcement(int fd, const struct announce_job *job)
{
	struct sockaddr_in6 everybody = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)job->ifindex};
	struct announcement packet = {
		.advert = {.nd_na_type = ND_NEIGHBOR_ADVERT,
			.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
			.nd_na_target = job->addr},
		.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
	};

	memcpy(packet.mac, job->mac, sizeof(packet.mac));
	everybody.sin6_addr = (struct in6_addr){{{0xff, 0x02, [15] = 1}}};
	if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&everybody, sizeof(everybody)) < 0)
		return -errno;
	return 0;
}

static int announce(void *arg, struct error *e)
{
	const struct announce_job *job = arg;
	cleanup_close int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	int r = fd < 0 ? -errno : prepare_socket(fd, job);

	if (r == 0)
		r = send_announcement(fd, job);
	/* No carrier: no route leads anywhere, and nobody is there to be told. */
	if (r == 0 || r == -ENETUNREACH)
		return 0;
	return error_set(
		e, r, r == -EPERM ? ERROR_RIGHTS : ERROR_IO, "cannot announce %s: %s", job->text.s, strerror(-r));
}

int probe_announce(int netns_fd, int ifindex, const uint8_t mac[6], const struct ip_addr *addr, struct error *e)
{
	struct announce_job job = {.ifindex = ifindex, .mac = mac, .text = ip_text(addr)};

	memcpy(&job.addr, addr->bytes, sizeof(job.addr));
	return netns_run(netns_fd, announce, &job, e);
}
