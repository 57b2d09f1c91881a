/* libcni's cache of what each delegate answered: <cniDir>/results/<network>-<container ID>-<ifname>, cniCacheV1. */
#pragma once

#include "plugin/attachment.h"

/** Of a file that says something of a container: a cached result, and a record. A larger one is damaged. */
#define STATE_FILE_MAX ((size_t)8 << 20)

/** An attachment's result, in its delegate's version where that can hold it, as the cache and multus's log have it.
 * NULL: none. Owned by the caller. */
cJSON *results_print(const struct attachment *a);

/** Whether a file can have the name that an attachment's result would be kept under. ERROR_CONFIG. */
int results_check_name(const struct attachment *a, const char *container_id, struct error *e);

/** Writes an attachment's result. */
int results_save(const struct attachment *a, const struct run *run, struct error *e);

/** Fills a->result, and what a->asked lacks of ports and bandwidth, when a readable file is there, by us or by multus.
 */
void results_load(struct attachment *a, const char *cni_dir, const char *container_id);

/** The configuration that was used, of such a file: its text parsed. NULL: none that can be read. Owned by the caller.
 */
cJSON *results_load_conf(const struct attachment *a, const char *cni_dir, const char *container_id);

/** One such file. NULL: none that can be read. Owned by the caller. */
cJSON *results_read_file(const char *path);

/** The configuration that a file's object has under that key, in base64: "config" here, "Bytes" in multus's record.
 * NULL: none that can be read. Owned by the caller. */
cJSON *results_read_conf(const cJSON *object, const char *key);

/** Removes the file. Absent is success. */
int results_remove(const struct attachment *a, const char *cni_dir, const char *container_id, struct error *e);
