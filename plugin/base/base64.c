#include "plugin/base/base64.h"

#include "plugin/base/error.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const char *bytes, size_t length)
{
	char *text = allocate(1, (length + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; i < length; i += 3) {
		size_t left = length - i;
		uint32_t group = (uint32_t)(uint8_t)bytes[i] << 16;

		if (left > 1)
			group |= (uint32_t)(uint8_t)bytes[i + 1] << 8;
		if (left > 2)
			group |= (uint8_t)bytes[i + 2];
		*out++ = alphabet[group >> 18];
		*out++ = alphabet[group >> 12 & 63];
		*out++ = '=';
		*out++ = '=';
		if (left > 1)
			out[-2] = alphabet[group >> 6 & 63];
		if (left > 2)
			out[-1] = alphabet[group & 63];
	}
	return text;
}

bool base64_decode(const char *text, char **ret, size_t *ret_length)
{
	size_t length = strlen(text), padding = 0;

	if (length % 4 != 0)
		return false;
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;

	cleanup_free char *bytes = allocate(1, length / 4 * 3 + 1);
	size_t used = 0;
	uint32_t group = 0;

	for (size_t i = 0; i < length; i++) {
		const char *digit = i >= length - padding ? alphabet : strchr(alphabet, text[i]);

		if (!digit)
			return false;
		group = group << 6 | (uint32_t)(digit - alphabet);
		if (i % 4 != 3)
			continue;
		bytes[used++] = (char)(group >> 16);
		bytes[used++] = (char)(group >> 8);
		bytes[used++] = (char)group;
		group = 0;
	}
	used -= padding;
	bytes[used] = '\0';
	*ret = steal_ptr(bytes);
	*ret_length = used;
	return true;
}
