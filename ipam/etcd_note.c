#include "ipam/etcd_note.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <string.h>

#define NOTE_MAX 4096

/* FNV-1a: tells the clusters of one node apart, no more. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return (hash ^ '\n') * UINT64_C(0x100000001b3);
}

static char *note_path(const char *data_dir, const struct etcd_config *config, enum etcd_note note)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < config->endpoint_count; i++)
		hash = hash_text(hash, config->endpoints[i]);
	if (note == ETCD_NOTE_TOKEN && config->username)
		hash = hash_text(hash, config->username);
	return format_text("%s/etcd-%s-%016llx", data_dir, note == ETCD_NOTE_TOKEN ? "token" : "endpoint",
		(unsigned long long)hash);
}

char *etcd_note_read(const char *data_dir, const struct etcd_config *config, enum etcd_note note)
{
	cleanup_error struct error ignored = {0};
	cleanup_free char *path = data_dir ? note_path(data_dir, config, note) : NULL;
	cleanup_free char *text = NULL;

	if (!path || file_read(path, NOTE_MAX, &text, NULL, &ignored) < 0)
		return NULL;
	/* It becomes a header line, or is compared: what is not plain text is not ours. */
	for (const char *c = text; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return NULL;
	}
	return *text ? steal_ptr(text) : NULL;
}

void etcd_note_write(const char *data_dir, const struct etcd_config *config, enum etcd_note note, const char *text)
{
	cleanup_error struct error e = {0};
	cleanup_free char *path = data_dir ? note_path(data_dir, config, note) : NULL;

	if (!path)
		return;
	if (text ? file_write(path, 0600, text, strlen(text), &e) : file_remove(path, &e))
		log_write(LOG_DEBUG, "etcd: %s", e.message);
}
