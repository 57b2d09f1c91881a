#include "ipam/etcd.h"

#include <errno.h>

int etcd_config_parse(const cJSON *object, const char *path, struct etcd_config **ret, struct error *e)
{
	(void)object, (void)path, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "etcd is missing");
}

cJSON *etcd_config_print(const struct etcd_config *config)
{
	(void)config;
	return NULL;
}

void etcd_config_free(struct etcd_config *config)
{
	(void)config;
}

/* The rest of ipam/etcd.h is missing, too. */
