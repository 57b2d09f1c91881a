#include "ipam/outbox.h"

#include <errno.h>

int outbox_put(const char *folder, const struct store_release *release, const char *node,
	const struct etcd_config *etcd, struct error *e)
{
	(void)folder, (void)release, (void)node, (void)etcd;
	return error_set(e, -ENOSYS, ERROR_INTERNAL, "outbox is missing");
}

int outbox_read(const char *folder, struct outbox_entry **ret, size_t *ret_count, struct error *e)
{
	(void)folder, (void)e;
	*ret = NULL;
	*ret_count = 0;
	return 0;
}

bool outbox_is_empty(const char *folder)
{
	(void)folder;
	return true;
}

struct store_release outbox_release(const struct outbox_entry *entry)
{
	(void)entry;
	return (struct store_release){0};
}

int outbox_remove(const struct outbox_entry *entry, struct error *e)
{
	(void)entry, (void)e;
	return 0;
}

void outbox_entries_free(struct outbox_entry *entries, size_t count)
{
	(void)entries, (void)count;
}
