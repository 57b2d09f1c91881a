/* Any bytes as JSON: what is accepted must print as JSON that is accepted again and stays the same. */
#include "plugin/base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Every type of a field table: what is taken is of it. */
static void read_fields(const cJSON *value)
{
	struct fields {
		const char *text;
		bool flag;
		int64_t number;
		const cJSON *object, *list;
	} fields = {0};
	static const struct json_field table[] = {
		{"text", JSON_STRING, offsetof(struct fields, text), true},
		{"flag", JSON_BOOL, offsetof(struct fields, flag), false},
		{"number", JSON_INTEGER, offsetof(struct fields, number), false},
		{"object", JSON_OBJECT, offsetof(struct fields, object), false},
		{"list", JSON_ARRAY, offsetof(struct fields, list), false},
		{0},
	};
	cleanup_error struct error e = {0};

	if (json_read(value, "conf", table, &fields, &e) < 0) {
		if (e.code != ERROR_CONFIG || !strstr(e.message, "conf"))
			abort();
		return;
	}
	if (!fields.text || (fields.object && !cJSON_IsObject(fields.object)) ||
		(fields.list && !cJSON_IsArray(fields.list)))
		abort();
	(void)json_dig(value, "object", "object", "text", NULL);
}

static cJSON *reread_text(const char *text)
{
	cleanup_error struct error e = {0};
	cJSON *again = NULL;

	if (json_parse(text, strlen(text), "what we printed", &again, &e) < 0)
		abort();
	return again;
}

static cJSON *reread(const cJSON *value)
{
	cleanup_free char *text = json_print(value);

	return reread_text(text);
}

/* The same document, whatever its white space and escapes. */
static void check_indented(const cJSON *value, const char *plain)
{
	cleanup_free char *text = json_print_indented(value);
	cleanup_json cJSON *again = reread_text(text);
	cleanup_free char *printed = json_print(again);

	if (strcmp(printed, plain) != 0 || strpbrk(text, "<>&"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	/* A copy of exactly that length, so that the sanitizer sees a read behind it. */
	cleanup_free char *copy = allocate(length, 1);
	cleanup_json cJSON *value = NULL;
	cleanup_error struct error e = {0};

	if (length)
		memcpy(copy, bytes, length);
	if (json_parse(copy, length, "input", &value, &e) < 0) {
		if (e.code != ERROR_DECODE || !e.message)
			abort();
		return 0;
	}

	/* cJSON prints at most 15 digits of a fraction where that is close enough: the second print is the stable one.
	 */
	cleanup_json cJSON *once = reread(value);
	cleanup_json cJSON *twice = reread(once);
	cleanup_free char *first = json_print(once), *second = json_print(twice);

	if (strcmp(first, second) != 0)
		abort();
	check_indented(once, first);
	read_fields(value);
	if (cJSON_IsObject(value)) {
		json_put(value, "name", cJSON_CreateString("n"));
		json_remove(value, "cniVersion");
		if (!json_text(value, "NAME") || json_get(value, "cniversion"))
			abort();
	}
	return 0;
}
