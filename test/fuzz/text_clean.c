/* Bytes of strangers in our texts: the result must be UTF-8 and bounded, whatever comes in. */
#include "delegate/text.h"
#include "plugin/base/error.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	if (length < 1)
		return 0;

	size_t max = bytes[0];
	cleanup_free char *copy = allocate(length, 1);

	memcpy(copy, bytes + 1, length - 1);

	cleanup_free char *clean = text_clean(copy, max);
	cleanup_free char *again = text_clean(clean, max);
	cleanup_free char *quoted = text_quote(copy, length - 1, max);
	cleanup_free char *quoted_clean = text_clean(quoted, SIZE_MAX);

	/* What is clean stays as it is. */
	if (strlen(clean) > max || strcmp(clean, again) != 0 || strcmp(quoted, quoted_clean) != 0)
		abort();
	for (const char *c = quoted; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
	}
	return 0;
}
