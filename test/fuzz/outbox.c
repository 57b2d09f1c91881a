/* A queued release from a disk that nobody can vouch for. What is taken can be queued again, says the same, and is one
 * file. */
#include "ipam/outbox.h"
#include "plugin/base/log.h"
#include "test/fuzz/scratch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void requeue(const char *folder, const struct outbox_entry *entry)
{
	struct store_release release = outbox_release(entry);
	struct outbox_entry *again = NULL;
	cleanup_error struct error e = {0};
	size_t count = 0;

	if (outbox_remove(entry, &e) < 0 || !outbox_is_empty(folder) ||
		outbox_put(folder, &release, entry->node, entry->etcd, &e) < 0 ||
		outbox_read(folder, &again, &count, &e) < 0 || count != 1 || outbox_count(folder) != 1)
		abort();
	if (strcmp(again->cid, entry->cid) != 0 || strcmp(again->network, entry->network) != 0 ||
		again->addr_count != entry->addr_count || again->unfinished != entry->unfinished ||
		!same_text_or_none(again->value, entry->value) ||
		again->etcd->endpoint_count != entry->etcd->endpoint_count)
		abort();
	if (outbox_remove(again, &e) < 0)
		abort();
	outbox_entries_free(again, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *path = format_text("%s/entry.json", scratch_folder());
	cleanup_free char *damaged = format_text("%s.damaged", path);
	struct outbox_entry *entries = NULL;
	cleanup_error struct error e = {0};
	size_t count = 0;

	log_open(LOG_ERROR, false);
	scratch_write(path, bytes, length);
	if (outbox_read(scratch_folder(), &entries, &count, &e) < 0)
		abort();
	if (count == 0 && (access(damaged, F_OK) < 0 || access(path, F_OK) == 0))
		abort();
	for (size_t i = 0; i < count; i++)
		requeue(scratch_folder(), &entries[i]);
	outbox_entries_free(entries, count);
	unlink(damaged);
	return 0;
}
