/* A pod's namespace as records and stores keep it: enough to find out later whether that very namespace is still there.
 */
#pragma once

#include "plugin/run.h"

struct sandbox {
	char *path; /* CNI_NETNS of the ADD; owned */
	struct netns_id id;
	char *boot_id; /* owned */
};

/** The sandbox of a run. Cleared with sandbox_clear. */
struct sandbox sandbox_of(const struct run *run);

/** Puts netns, cookie, device, inode and bootId of the run's namespace into a record. */
void sandbox_print(const struct run *run, cJSON *out);

/** The same as one text, for a store. Owned by the caller. */
char *sandbox_text(const struct sandbox *sandbox);

/** Reads them back; what is absent stays empty. Cleared with sandbox_clear. */
void sandbox_read(const cJSON *json, struct sandbox *ret);

void sandbox_clear(struct sandbox *sandbox);
#define cleanup_sandbox CLEANUP(sandbox_clear)

/** Whether it is gone: another boot, no file at the path, no namespace, or another one. What cannot be told is not
 * gone. */
bool sandbox_is_gone(const struct sandbox *sandbox, const char *boot_id);

/** Whether a namespace of this boot is the sandbox, as far as the record knows. */
bool sandbox_is(const struct sandbox *sandbox, const struct netns_id *id, const char *boot_id);
