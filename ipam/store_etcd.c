#include "ipam/store_etcd.h"

#include "ipam/store_etcd_claim.h"
#include "ipam/store_etcd_list.h"

#include <errno.h>
#include <string.h>

static void store_free(struct store *store)
{
	struct etcd_store *self = etcd_store_of(store);

	if (self->etcd)
		etcd_free(self->etcd);
	free(self->node);
	free(self->data_dir);
	free(self);
}

static const struct store_ops etcd_ops = {
	.claim = etcd_store_claim,
	.release = etcd_store_release,
	.forget = etcd_store_forget,
	.reserve = etcd_store_reserve,
	.list = etcd_store_list,
	.attachments = etcd_store_attachments,
	.sweep = etcd_store_sweep,
	.close = store_free,
};

int store_etcd_open(const struct store_etcd_options *options, struct store **ret, struct error *e)
{
	cleanup_store struct store *store = allocate(1, sizeof(struct etcd_store));
	struct etcd_store *self = etcd_store_of(store);

	*self = (struct etcd_store){
		.store.ops = &etcd_ops,
		.node = copy_text(options->node),
		.data_dir = copy_text(options->data_dir),
		.deadline = options->deadline,
	};

	const struct etcd_options etcd = {
		.config = options->config,
		.http = options->http,
		.data_dir = self->data_dir,
		.deadline = options->deadline,
	};
	int r = etcd_open(&etcd, &self->etcd, e);

	if (r < 0)
		return r;
	*ret = steal_ptr(store);
	return 0;
}

void store_etcd_set_deadline(struct store *store, int64_t deadline)
{
	struct etcd_store *self = etcd_store_of(store);

	self->deadline = deadline;
	etcd_set_deadline(self->etcd, deadline);
}

void store_etcd_set_node(struct store *store, const char *node)
{
	struct etcd_store *self = etcd_store_of(store);

	if (strcmp(self->node, node) == 0)
		return;
	free(self->node);
	self->node = copy_text(node);
}

void store_etcd_warm(struct store *store, bool await)
{
	etcd_warm(etcd_store_of(store)->etcd, await);
}
