#include "plugin/base/log.h"
#include "plugin/gc.h"

#include <errno.h>
#include <string.h>

#define VALID_KEY "cni.dev/valid-attachments"

/* A share shorter than this kills programs that are only slow. */
#define LEAST_SHARE (5 * SECONDS)

int gc_read_valid(const cJSON *conf, struct gc_valid *ret, struct error *e)
{
	const cJSON *list = json_get_exactly(conf, VALID_KEY), *element;
	int i = 0;

	*ret = (struct gc_valid){.given = list != NULL};
	if (!list || cJSON_IsNull(list))
		return 0;
	if (!cJSON_IsArray(list))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			VALID_KEY " is not a list: it must be [{\"containerID\": ..., \"ifname\": ...}], or null for "
				  "none");
	cJSON_ArrayForEach(element, list)
	{
		const char *container_id = json_text(element, "containerID"), *ifname = json_text(element, "ifname");

		if (!container_id || !*container_id || !ifname || !*ifname)
			return error_set(e, -EINVAL, ERROR_CONFIG,
				VALID_KEY "[%d] must be an object with the texts containerID and ifname: nothing was "
					  "removed",
				i);
		i++;
	}
	ret->list = list;
	return 0;
}

bool gc_is_valid(const struct gc_valid *valid, const char *container_id, const char *ifname)
{
	const cJSON *element;

	if (!valid->given)
		return true;
	cJSON_ArrayForEach(element, valid->list)
	{
		if (strcmp(json_text(element, "containerID"), container_id) == 0 &&
			(!ifname || strcmp(json_text(element, "ifname"), ifname) == 0))
			return true;
	}
	return false;
}

int64_t gc_share(int64_t deadline, size_t left)
{
	int64_t time = deadline - clock_now(), share = time / ((int64_t)left + 1);

	if (share < LEAST_SHARE)
		share = LEAST_SHARE;
	if (share > time / 2)
		share = time / 2;
	if (share < SECONDS)
		share = time < SECONDS ? 0 : SECONDS;
	return share / SECONDS;
}
