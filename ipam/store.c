#include "ipam/store.h"

void store_entries_free(struct store_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(entries[i].network);
		free(entries[i].value);
		free(entries[i].sandbox);
		free(entries[i].hold);
	}
	free(entries);
}

void store_reply_clear(struct store_reply *reply)
{
	free(reply->addrs);
	free(reply->kept);
	free(reply->value);
	store_entries_free(reply->holders, reply->holder_count);
	*reply = (struct store_reply){0};
}

void store_attachments_free(struct store_attachment *attachments, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(attachments[i].network);
		free(attachments[i].cid);
		free(attachments[i].ifname);
		free(attachments[i].value);
		free(attachments[i].addrs);
	}
	free(attachments);
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}
