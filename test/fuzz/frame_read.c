/* Frames of strangers: nothing is read behind their end, and what they claim is an address. */
#include "netlink/frame.h"
#include "plugin/base/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What we send about an address is read as a claim to it. */
static void check_own_frames(const uint8_t bytes[16], int family)
{
	static const uint8_t mac[FRAME_MAC] = {2, 0, 0, 0, 0, 1}, other[FRAME_MAC] = {2, 0, 0, 0, 0, 2};
	struct ip_addr addr = {.family = family};
	struct frame_claim claim;

	memcpy(addr.bytes, bytes, ip_bits(family) / 8);
	if (!ip_is_host(&addr))
		return;

	const struct frame frames[] = {frame_question(&addr, mac), frame_announcement(&addr, mac)};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		if (!frame_read(frames[i].bytes, frames[i].length, other, &claim) ||
			ip_compare(&claim.addrs[0], &addr) != 0 ||
			frame_read(frames[i].bytes, frames[i].length, mac, &claim))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint8_t own[FRAME_MAC] = {2, 0, 0, 0, 0, 1};
	cleanup_free uint8_t *copy = allocate(length ? length : 1, 1);
	struct frame_claim claim;

	memcpy(copy, bytes, length);
	if (length >= 16) {
		check_own_frames(copy, AF_INET);
		check_own_frames(copy, AF_INET6);
	}
	if (!frame_read(copy, length, own, &claim))
		return 0;
	if (memcmp(claim.mac, own, FRAME_MAC) == 0 || (claim.addrs[0].family == 0 && claim.addrs[1].family == 0))
		abort();
	return 0;
}
