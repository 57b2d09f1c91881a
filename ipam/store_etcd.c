#include "ipam/store_etcd.h"

#include <errno.h>

int store_etcd_open(const struct store_etcd_options *options, struct store **ret, struct error *e)
{
	(void)options, (void)ret;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "store_etcd is missing");
}

int store_etcd_hand_back(struct store *store, const struct store_entry *entry, struct error *e)
{
	(void)store, (void)entry;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "store_etcd is missing");
}
