/* What a runtime says is to stay: each attachment of a list that is taken does, nobody else, and all where there is no
 * list. */
#include "plugin/gc.h"

#include <errno.h>
#include <string.h>

#define KEY "cni.dev/valid-attachments"
/* Each is looked for in all of them. */
#define MAX_ELEMENTS 100

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const cJSON *find_given(const cJSON *conf)
{
	const cJSON *given = NULL;

	for (const cJSON *member = conf->child; member; member = member->next) {
		if (strcmp(member->string, KEY) == 0)
			given = member;
	}
	return given;
}

static void check_error(const struct gc_valid *valid, const struct error *e)
{
	if (e->err != -EINVAL || e->code != ERROR_CONFIG || !strstr(e->message, KEY) || strpbrk(e->message, "\r\n"))
		abort();
	/* Whoever went on would remove all. */
	if (!valid->given || valid->list)
		abort();
}

static void check_element(const struct gc_valid *valid, const cJSON *element)
{
	const char *container_id = json_text(element, "containerID"), *ifname = json_text(element, "ifname");

	if (!*container_id || !*ifname || !gc_is_valid(valid, container_id, ifname) ||
		!gc_is_valid(valid, container_id, NULL))
		abort();

	cleanup_free char *other = format_text("%s.", container_id), *other_ifname = format_text("%s.", ifname);

	if (gc_is_valid(valid, other, NULL) || gc_is_valid(valid, other, ifname)) {
		const cJSON *twin = valid->list->child;

		while (twin && strcmp(json_text(twin, "containerID"), other) != 0)
			twin = twin->next;
		if (!twin)
			abort();
	}
	if (cJSON_GetArraySize(valid->list) == 1 && gc_is_valid(valid, container_id, other_ifname))
		abort();
}

static void check(const cJSON *conf, const struct gc_valid *valid)
{
	const cJSON *given = find_given(conf), *element;
	int count = 0;

	if (valid->given != (given != NULL) || valid->list != (cJSON_IsNull(given) ? NULL : given))
		abort();
	if (!valid->list) {
		if (gc_is_valid(valid, "c0ffee", "eth0") != !given || gc_is_valid(valid, "c0ffee", NULL) != !given)
			abort();
		return;
	}
	cJSON_ArrayForEach(element, valid->list)
	{
		if (count++ < MAX_ELEMENTS)
			check_element(valid, element);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error e = {0};
	struct gc_valid valid = {0};

	/* What stdin has been taken for before. */
	if (json_parse((const char *)bytes, length, "the configuration", &conf, &e) < 0 ||
		(!cJSON_IsObject(conf) && !cJSON_IsNull(conf)))
		return 0;
	if (gc_read_valid(conf, &valid, &e) < 0)
		check_error(&valid, &e);
	else
		check(conf, &valid);
	return 0;
}
