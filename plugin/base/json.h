/*
 * JSON as strangers write it, on cJSON: parsed strictly, read through field tables, printed as Go's programs expect it.
 * Keys match as Go's encoding/json matches them: in any case, the last one wins.
 */
#pragma once

#include "plugin/base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_BYTES ((size_t)4 << 20)

DEFINE_CLEANUP(cJSON, cJSON_Delete)
#define cleanup_json CLEANUP(cJSON_Delete_cleanup)

/**
 * Parses one JSON document of `length` bytes. Refused, with ERROR_DECODE: more than JSON_MAX_BYTES, bytes behind the
 * value, a NUL (raw or \u0000: C would cut the string there), nesting of more than 200 levels, numbers that no double
 * holds. Integers from 1e15 on become raw items in Go's spelling, since cJSON prints them with an exponent, which Go's
 * integers refuse. *ret is owned by the caller (cJSON_Delete). what names the document in the error ("network config").
 */
int json_parse(const char *bytes, size_t length, const char *what, cJSON **ret, struct error *e);

/** json_parse with a limit of its own, for a peer whose documents may be larger. */
int json_parse_max(const char *bytes, size_t length, size_t max, const char *what, cJSON **ret, struct error *e);

/** Prints without white space; the caller frees it. */
char *json_print(const cJSON *value);

/** Prints as Go's json.MarshalIndent(v, "", "    "), with its escapes (< becomes \u003c); the caller frees it. */
char *json_print_indented(const cJSON *value);

/** The last member with that name in any case; NULL if there is none, if it is null, or if object is not an object. */
const cJSON *json_get(const cJSON *object, const char *key);

/** The last member that is spelled exactly so, null included, as Go's maps have it; NULL if there is none, or if object
 * is not an object. */
const cJSON *json_get_exactly(const cJSON *object, const char *key);

/** json_get through nested objects: json_dig(conf, "args", "cni", "ips", NULL). */
const cJSON *json_dig(const cJSON *object, ...) __attribute__((sentinel));

/** The string member, or NULL when it is absent or not a string. Borrowed from object. */
const char *json_text(const cJSON *object, const char *key);

/** Replaces every member of that name (in any case) by value, at the place of the first one; takes ownership of value.
 */
void json_put(cJSON *object, const char *key, cJSON *value);

/** json_put of an array or an object that has members, as Go's omitempty; of an empty one nothing. Takes ownership of
 * value. */
void json_put_unless_empty(cJSON *object, const char *key, cJSON *value);

/** json_put of a string; NULL removes the member. */
void json_put_text(cJSON *object, const char *key, const char *value);

/** Removes every member of that name, in any case. */
void json_remove(cJSON *object, const char *key);

/** The item that cJSON made; ends the program when there was no memory for it. */
cJSON *json_must(cJSON *item);

/** cJSON_Duplicate(value, true) that aborts when there is no memory; NULL gives NULL. */
cJSON *json_copy(const cJSON *value);

/** Whether it is an integer below 1e15, which int64_t and Go's integers hold exactly; json_parse makes raw items of
 * larger ones. */
bool json_is_whole(const cJSON *value);

enum json_type {
	JSON_STRING,  /* const char *, borrowed */
	JSON_BOOL,    /* bool */
	JSON_INTEGER, /* int64_t */
	JSON_OBJECT,  /* const cJSON *, borrowed */
	JSON_ARRAY,   /* const cJSON *, borrowed */
};

struct json_field {
	const char *key;
	enum json_type type;
	size_t offset;
	bool required;
};

/**
 * Fills dst from object, one field a row (the table ends with a row without key). A member that is absent or null
 * leaves its field alone. Strings, objects and arrays are borrowed from object. A wrong type or a missing required
 * member is ERROR_CONFIG and names path and key ("delegates[1].ipam.subnet"); path is "" at the top.
 */
int json_read(const cJSON *object, const char *path, const struct json_field *table, void *dst, struct error *e);

/** "path.key", or "key" when path is empty. Owned by the caller. */
char *json_path(const char *path, const char *key);
