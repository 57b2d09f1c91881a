/* Frames of strangers: nothing is read behind their end, and what they claim is an address. */
#include "netlink/frame.h"
#include "plugin/base/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint8_t own[FRAME_MAC] = {2, 0, 0, 0, 0, 1};
	cleanup_free uint8_t *copy = allocate(length ? length : 1, 1);
	struct frame_claim claim;

	memcpy(copy, bytes, length);
	if (!frame_read(copy, length, own, &claim))
		return 0;
	if (memcmp(claim.mac, own, FRAME_MAC) == 0 || (claim.addrs[0].family == 0 && claim.addrs[1].family == 0))
		abort();
	return 0;
}
