/* Bytes that strangers wrote, made fit for our JSON and for a person's eyes. */
#pragma once

#include <stddef.h>

/** As Go's %q: in double quotes, control characters and what is not UTF-8 escaped; longer than max bytes: cut, with
 * "..." behind. Owned by the caller. */
char *text_quote(const char *bytes, size_t length, size_t max);

/** The text with everything that is not UTF-8 replaced by U+FFFD, as Go's decoder does; cut at max bytes, never inside
 * a character. NULL gives NULL. Owned by the caller. */
char *text_clean(const char *text, size_t max);
