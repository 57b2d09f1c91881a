/* What a plugin prints: read as a result and written in every version. What is accepted must print, and read back. */
#include "delegate/result.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void read_back(const cJSON *converted)
{
	cleanup_free char *text = json_print(converted);
	cleanup_json cJSON *printed = NULL, *result = NULL;
	cleanup_error struct error e = {0};

	if (json_parse(text, strlen(text), "what we printed", &printed, &e) < 0 ||
		result_read(printed, "", &result, &e) < 0)
		abort();
}

static void convert(const cJSON *printed, const char *default_version)
{
	cleanup_json cJSON *result = NULL, *sum = result_new();
	cleanup_error struct error e = {0};

	if (result_read(printed, default_version, &result, &e) < 0) {
		if (e.code != ERROR_DECODE || !e.message)
			abort();
		return;
	}
	result_merge(sum, result);
	result_merge(sum, result);
	for (const char *const *version = cni_versions; *version; version++) {
		cleanup_json cJSON *one = NULL, *two = NULL;

		if (result_convert(result, *version, &one, &e) == 0)
			read_back(one);
		if (result_convert(sum, *version, &two, &e) == 0)
			read_back(two);
	}
}

static void read_conf_dns(const cJSON *conf)
{
	cleanup_json cJSON *dns = NULL;
	cleanup_error struct error e = {0};

	if (result_read_dns(conf, &dns, &e) == 0 ? !cJSON_IsObject(dns) : e.code != ERROR_CONFIG)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *printed = NULL;
	cleanup_error struct error e = {0};

	if (json_parse((const char *)bytes, length, "input", &printed, &e) < 0)
		return 0;
	read_conf_dns(printed);
	convert(printed, "");
	convert(printed, "0.4.0");
	convert(printed, "1.1.0");
	return 0;
}
