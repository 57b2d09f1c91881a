#include "plugin/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

/* Deeper than any configuration, and shallow enough for cJSON's recursion on any stack. */
#define MAX_DEPTH 200

/* C strings end at a NUL: a name that goes on behind one would be checked in one length and used in another. */
static bool has_nul(const char *bytes, size_t length)
{
	if (memchr(bytes, '\0', length))
		return true;
	for (size_t i = 0; i + 5 < length; i++) {
		if (bytes[i] != '\\')
			continue;
		if (memcmp(bytes + i + 1, "u0000", 5) == 0)
			return true;
		i++; /* the escaped character, which may be a backslash itself */
	}
	return false;
}

struct nesting {
	int deepest;
	int open; /* objects and arrays that do not end */
	bool in_string;
};

/* Counted before parsing: cJSON's own limit of 1000 recursions is too many for a small stack with ASan. */
static struct nesting scan_nesting(const char *bytes, size_t length)
{
	struct nesting n = {0};

	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

		if (c == '"')
			n.in_string = !n.in_string;
		else if (n.in_string)
			i += c == '\\';
		else if ((c == '{' || c == '[') && ++n.open > n.deepest)
			n.deepest = n.open;
		else if (c == '}' || c == ']')
			n.open--;
	}
	return n;
}

static size_t count_white(const char *bytes, size_t length)
{
	size_t n = 0;

	while (n < length && (bytes[n] == ' ' || bytes[n] == '\t' || bytes[n] == '\n' || bytes[n] == '\r'))
		n++;
	return n;
}

static size_t count_digits(const char *bytes, size_t length)
{
	size_t n = 0;

	while (n < length && bytes[n] >= '0' && bytes[n] <= '9')
		n++;
	return n;
}

/* How long the JSON number is that stands here (RFC 8259 6); 0: none does. */
static size_t number_length(const char *bytes, size_t length)
{
	size_t n = length > 0 && bytes[0] == '-', digits = count_digits(bytes + n, length - n);

	if (digits == 0 || (digits > 1 && bytes[n] == '0'))
		return 0;
	n += digits;
	if (n < length && bytes[n] == '.') {
		digits = count_digits(bytes + n + 1, length - n - 1);
		if (digits == 0)
			return 0;
		n += digits + 1;
	}
	if (n < length && (bytes[n] == 'e' || bytes[n] == 'E')) {
		n++;
		n += n < length && (bytes[n] == '+' || bytes[n] == '-');
		digits = count_digits(bytes + n, length - n);
		if (digits == 0)
			return 0;
		n += digits;
	}
	return n;
}

/*
 * Where something stands that cJSON lets pass and Go does not: control characters in strings or as white space, a byte
 * order mark, numbers such as 01 and 1. A document must mean the same to us and to the programs behind us.
 */
static size_t find_loose(const char *bytes, size_t length)
{
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (in_string ? c < 0x20 : (c < 0x20 && count_white(bytes + i, 1) == 0) || c >= 0x7f)
			return i;
		if (c == '"') {
			in_string = !in_string;
		} else if (in_string) {
			i += c == '\\';
		} else if (c == '-' || (c >= '0' && c <= '9')) {
			size_t n = number_length(bytes + i, length - i);

			if (n == 0)
				return i;
			i += n - 1;
		}
	}
	return length;
}

/* Go prints float64 without exponent below 1e21, in the shortest form that reads back as the same number. */
static char *go_number(double value)
{
	char shortest[32];
	int precision = 15; /* every number of 15 digits comes back; 17 always suffice */

	do
		snprintf(shortest, sizeof(shortest), "%.*e", precision - 1, value);
	while (strtod(shortest, NULL) != value && ++precision <= 17);

	/* d.ddde+XX -> digits, then zeros up to the exponent. */
	int exponent = (int)strtol(strchr(shortest, 'e') + 1, NULL, 10);
	bool negative = shortest[0] == '-';
	cleanup_free char *digits = allocate(1, (size_t)exponent + 20);
	int n = 0;

	for (const char *c = shortest; *c != 'e'; c++) {
		if (*c >= '0' && *c <= '9')
			digits[n++] = *c;
	}
	while (n > exponent + 1 && digits[n - 1] == '0')
		n--;
	while (n < exponent + 1)
		digits[n++] = '0';
	digits[n] = '\0';
	return format_text("%s%s", negative ? "-" : "", digits);
}

static int settle_numbers(cJSON *value, struct error *e)
{
	if (cJSON_IsNumber(value)) {
		double d = fabs(value->valuedouble);

		if (!isfinite(d))
			return error_set(e, -ERANGE, ERROR_DECODE, "a number is too large");
		if (d >= 1e15 && d < 1e21 && d == floor(d)) {
			value->valuestring = go_number(value->valuedouble);
			value->type = (value->type & ~0xff) | cJSON_Raw;
		}
	}
	for (cJSON *child = value->child; child; child = child->next) {
		int r = settle_numbers(child, e);

		if (r < 0)
			return r;
	}
	return 0;
}

int json_parse(const char *bytes, size_t length, const char *what, cJSON **ret, struct error *e)
{
	return json_parse_max(bytes, length, JSON_MAX_BYTES, what, ret, e);
}

int json_parse_max(const char *bytes, size_t length, size_t max, const char *what, cJSON **ret, struct error *e)
{
	const char *end = NULL;

	if (length > max)
		return error_set(e, -E2BIG, ERROR_DECODE, "%s is larger than %zu bytes", what, max);

	struct nesting nesting = scan_nesting(bytes, length);

	if (has_nul(bytes, length))
		return error_set(e, -EINVAL, ERROR_DECODE, "%s contains a NUL character", what);
	if (nesting.deepest > MAX_DEPTH)
		return error_set(e, -EINVAL, ERROR_DECODE, "%s is nested deeper than %d levels", what, MAX_DEPTH);

	size_t loose = find_loose(bytes, length);

	if (loose < length)
		return error_set(e, -EINVAL, ERROR_DECODE, "%s: invalid JSON at byte %zu", what, loose);

	cleanup_json cJSON *value = cJSON_ParseWithLengthOpts(bytes, length, &end, false);

	if (!value) {
		size_t at = end ? (size_t)(end - bytes) : 0;
		/* For a text that is cut off cJSON names its last byte. */
		bool cut_off = nesting.in_string || (nesting.open > 0 && at + 1 >= length);

		if (cut_off || count_white(bytes, length) == length)
			return error_set(e, -EINVAL, ERROR_DECODE, "%s: unexpected end of JSON input", what);
		return error_set(e, -EINVAL, ERROR_DECODE, "%s: invalid JSON at byte %zu", what, at);
	}

	end += count_white(end, length - (size_t)(end - bytes));
	if (end < bytes + length)
		return error_set(e, -EINVAL, ERROR_DECODE, "%s: invalid JSON: data behind the value at byte %zu", what,
			(size_t)(end - bytes));

	int r = settle_numbers(value, e);

	if (r < 0)
		return error_wrap(e, "%s", what);
	*ret = steal_ptr(value);
	return 0;
}

char *json_print(const cJSON *value)
{
	char *text = cJSON_PrintUnformatted(value);

	if (!text)
		abort();
	return text;
}

static char *print_at(const cJSON *value, int depth)
{
	const bool named = cJSON_IsObject(value);
	const cJSON *child;

	if (!value->child)
		return json_print(value);

	char *text = copy_text(named ? "{" : "["), *longer;

	cJSON_ArrayForEach(child, value)
	{
		cleanup_json cJSON *string = named ? cJSON_CreateString(child->string) : NULL;
		cleanup_free char *name = named ? json_print(string) : copy_text("");
		cleanup_free char *item = print_at(child, depth + 1);

		longer = format_text("%s%s\n%*s%s%s%s", text, child == value->child ? "" : ",", 4 * (depth + 1), "",
			name, named ? ": " : "", item);
		free(text);
		text = longer;
	}
	longer = format_text("%s\n%*s%s", text, 4 * depth, "", named ? "}" : "]");
	free(text);
	return longer;
}

/* What Go escapes and cJSON does not (for HTML and for JavaScript); in JSON it only stands inside of strings. */
static size_t go_escaped(const char *text)
{
	static const char *const escaped[] = {"<", ">", "&", "\xe2\x80\xa8", "\xe2\x80\xa9"};

	for (size_t i = 0; i < sizeof(escaped) / sizeof(escaped[0]); i++) {
		if (strncmp(text, escaped[i], strlen(escaped[i])) == 0)
			return strlen(escaped[i]);
	}
	return 0;
}

char *json_print_indented(const cJSON *value)
{
	cleanup_free char *text = print_at(value, 0);
	char *whole = allocate(strlen(text) + 1, sizeof("\\u003c") - 1), *out = whole;

	for (const char *c = text; *c;) {
		size_t length = go_escaped(c);

		if (length == 0)
			*out++ = *c++;
		else if (length == 1)
			out += sprintf(out, "\\u%04x", (unsigned int)*c);
		else
			out += sprintf(out, "\\u20%02x", (unsigned int)(unsigned char)c[2] - 0x80);
		c += length;
	}
	return whole;
}

const cJSON *json_get(const cJSON *object, const char *key)
{
	const cJSON *found = NULL;

	if (!cJSON_IsObject(object))
		return NULL;
	for (const cJSON *member = object->child; member; member = member->next) {
		if (strcasecmp(member->string, key) == 0)
			found = member;
	}
	return cJSON_IsNull(found) ? NULL : found;
}

const cJSON *json_get_exactly(const cJSON *object, const char *key)
{
	const cJSON *found = NULL, *member;

	if (!cJSON_IsObject(object))
		return NULL;
	cJSON_ArrayForEach(member, object)
	{
		if (strcmp(member->string, key) == 0)
			found = member;
	}
	return found;
}

const cJSON *json_dig(const cJSON *object, ...)
{
	va_list keys;
	const char *key;

	va_start(keys, object);
	while (object && (key = va_arg(keys, const char *)))
		object = json_get(object, key);
	va_end(keys);
	return object;
}

const char *json_text(const cJSON *object, const char *key)
{
	const cJSON *member = json_get(object, key);

	return cJSON_IsString(member) ? member->valuestring : NULL;
}

void json_put(cJSON *object, const char *key, cJSON *value)
{
	bool placed = false;

	if (!value)
		abort();
	for (cJSON *member = object->child, *next; member; member = next) {
		next = member->next;
		if (strcasecmp(member->string, key) != 0)
			continue;
		if (placed) {
			cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
			continue;
		}
		if (!(value->type & cJSON_StringIsConst))
			free(value->string); /* from an object where it stood before */
		value->type &= ~cJSON_StringIsConst;
		value->string = copy_text(key);
		cJSON_ReplaceItemViaPointer(object, member, value);
		placed = true;
	}
	if (!placed)
		cJSON_AddItemToObject(object, key, value);
}

void json_put_unless_empty(cJSON *object, const char *key, cJSON *value)
{
	if (value->child)
		json_put(object, key, value);
	else
		cJSON_Delete(value);
}

void json_put_text(cJSON *object, const char *key, const char *value)
{
	if (value)
		json_put(object, key, cJSON_CreateString(value));
	else
		json_remove(object, key);
}

void json_remove(cJSON *object, const char *key)
{
	for (cJSON *member = object->child, *next; member; member = next) {
		next = member->next;
		if (strcasecmp(member->string, key) == 0)
			cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
	}
}

cJSON *json_must(cJSON *item)
{
	if (!item)
		abort();
	return item;
}

cJSON *json_copy(const cJSON *value)
{
	return value ? json_must(cJSON_Duplicate(value, true)) : NULL;
}

bool json_is_whole(const cJSON *value)
{
	return cJSON_IsNumber(value) && fabs(value->valuedouble) < 1e15 &&
	       value->valuedouble == floor(value->valuedouble);
}

char *json_path(const char *path, const char *key)
{
	return *path ? format_text("%s.%s", path, key) : copy_text(key);
}

static const char *const type_names[] = {
	[JSON_STRING] = "a string",
	[JSON_BOOL] = "true or false",
	[JSON_INTEGER] = "a whole number",
	[JSON_OBJECT] = "an object",
	[JSON_ARRAY] = "an array",
};

static bool store_member(const cJSON *member, enum json_type type, void *field)
{
	switch (type) {
	case JSON_STRING:
		if (cJSON_IsString(member))
			*(const char **)field = member->valuestring;
		return cJSON_IsString(member);
	case JSON_BOOL:
		if (cJSON_IsBool(member))
			*(bool *)field = cJSON_IsTrue(member);
		return cJSON_IsBool(member);
	case JSON_INTEGER:
		if (!json_is_whole(member))
			return false;
		*(int64_t *)field = (int64_t)member->valuedouble;
		return true;
	case JSON_OBJECT:
		*(const cJSON **)field = member;
		return cJSON_IsObject(member);
	case JSON_ARRAY:
		*(const cJSON **)field = member;
		return cJSON_IsArray(member);
	}
	return false;
}

int json_read(const cJSON *object, const char *path, const struct json_field *table, void *dst, struct error *e)
{
	if (!cJSON_IsObject(object))
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s is not an object", *path ? path : "the configuration");

	for (const struct json_field *row = table; row->key; row++) {
		const cJSON *member = json_get(object, row->key);
		cleanup_free char *where = json_path(path, row->key);

		if (!member) {
			if (row->required)
				return error_set(e, -EINVAL, ERROR_CONFIG, "%s is missing: %s is needed here", where,
					type_names[row->type]);
			continue;
		}
		if (!store_member(member, row->type, (char *)dst + row->offset)) {
			cleanup_free char *value = json_print(member);

			return error_set(e, -EINVAL, ERROR_CONFIG, "%s is %.100s: it must be %s", where, value,
				type_names[row->type]);
		}
	}
	return 0;
}
