#include "plugin/nonce.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

int nonce_draw(struct nonce *ret, struct error *e)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_set(e, -EIO, ERROR_IO, "getrandom: %s", strerror(errno));
	snprintf(ret->text, sizeof(ret->text), "%016" PRIx64, random);
	return 0;
}
