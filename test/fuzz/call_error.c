/* What a plugin prints before it fails: the first byte is its exit status, the second says how much of the end is its
 * stderr. What comes of it is an error with a text that fits into our own JSON. */
#include "delegate/call_error.h"
#include "delegate/text.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Of exactly that length with the NUL of exec.c, so that the sanitizer sees a read behind it. */
static char *copy_bytes(const uint8_t *bytes, size_t length)
{
	char *copy = allocate(length + 1, 1);

	if (length)
		memcpy(copy, bytes, length);
	return copy;
}

static void check_text(const char *text)
{
	cleanup_free char *clean = text_clean(text, SIZE_MAX);

	if (text && (strcmp(text, clean) != 0 || strlen(text) > 600000))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_process_end struct process_end end = {0};
	cleanup_error struct error e = {0};

	if (length < 2)
		return 0;
	end.exit_status = bytes[0] ? bytes[0] : 1;
	end.err_length = bytes[1] < length - 2 ? bytes[1] : length - 2;
	end.out_length = length - 2 - end.err_length;
	end.out = copy_bytes(bytes + 2, end.out_length);
	end.err = copy_bytes(bytes + 2 + end.out_length, end.err_length);
	if (call_explain_failure(&end, &e) != -EREMOTEIO || e.err != -EREMOTEIO || !e.message || !*e.message)
		abort();
	check_text(e.message);
	check_text(e.details);
	return 0;
}
