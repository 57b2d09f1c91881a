/* Any bytes as JSON: what is accepted must print as JSON that is accepted again and stays the same. */
#include "plugin/base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static cJSON *reread(const cJSON *value)
{
	cleanup_free char *text = json_print(value);
	cleanup_error struct error e = {0};
	cJSON *again = NULL;

	if (json_parse(text, strlen(text), "what we printed", &again, &e) < 0)
		abort();
	return again;
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
	if (cJSON_IsObject(value)) {
		json_put(value, "name", cJSON_CreateString("n"));
		json_remove(value, "cniVersion");
		if (!json_text(value, "NAME") || json_get(value, "cniversion"))
			abort();
	}
	return 0;
}
