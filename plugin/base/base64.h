/* RFC 4648 base64 with padding, as Go's encoding/json writes []byte. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/** The caller frees it. */
char *base64_encode(const char *bytes, size_t length);

/** False for anything but padded base64 without white space. *ret is NUL-terminated and owned by the caller. */
bool base64_decode(const char *text, char **ret, size_t *ret_length);
