#include "delegate/text.h"

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The longest form of one byte: \xff, or U+FFFD in UTF-8. */
#define LONGEST_ESCAPE 6

/* Length of the UTF-8 sequence that starts here; 0 when it is none (overlong forms and surrogates are none). */
static size_t utf8_length(const char *bytes, size_t left)
{
	const uint8_t *c = (const uint8_t *)bytes;
	size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;

	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
		(c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return length;
}

/* U+0080 to U+009F: control characters that terminals obey. */
static bool is_control(const char *bytes, size_t length)
{
	return length == 2 && (uint8_t)bytes[0] == 0xc2 && (uint8_t)bytes[1] < 0xa0;
}

/* Writes the escape of one ASCII character, or of one byte that is not UTF-8. */
static size_t escape_byte(char *to, char c)
{
	static const char letters[] = "abtnvfr"; /* from 7 on */

	if (c == '"' || c == '\\')
		return (size_t)sprintf(to, "\\%c", c);
	if (c >= 7 && c <= 13)
		return (size_t)sprintf(to, "\\%c", letters[c - 7]);
	if (c >= 0x20 && c < 0x7f)
		return (size_t)sprintf(to, "%c", c);
	return (size_t)sprintf(to, "\\x%02x", (unsigned int)(uint8_t)c);
}

char *text_quote(const char *bytes, size_t length, size_t max)
{
	size_t end = length < max ? length : max, used = 0;
	char *text = allocate(end + 2, LONGEST_ESCAPE);

	text[used++] = '"';
	for (size_t i = 0, n; i < end; i += n) {
		n = utf8_length(bytes + i, length - i);
		if (n > 1 && i + n > end)
			break;
		if (n > 1 && !is_control(bytes + i, n)) {
			memcpy(text + used, bytes + i, n);
			used += n;
		} else if (n > 1) {
			used += (size_t)sprintf(text + used, "\\u00%02x", (unsigned int)(uint8_t)bytes[i + 1]);
		} else {
			used += escape_byte(text + used, bytes[i]);
			n = 1;
		}
	}
	memcpy(text + used, length > max ? "...\"" : "\"", length > max ? sizeof("...\"") : sizeof("\""));
	return text;
}

char *text_clean(const char *text, size_t max)
{
	if (!text)
		return NULL;

	size_t length = strlen(text), used = 0;
	char *clean = allocate((length < max ? length : max) + 1, LONGEST_ESCAPE);

	for (size_t i = 0, n; i < length; i += n) {
		n = utf8_length(text + i, length - i);

		const char *from = n ? text + i : "\xef\xbf\xbd";
		size_t size = n ? n : 3;

		if (used + size > max)
			break;
		memcpy(clean + used, from, size);
		used += size;
		n = n ? n : 1;
	}
	clean[used] = '\0';
	return clean;
}
