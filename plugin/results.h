/* libcni's cache of what each delegate answered: <cniDir>/results/<network>-<container ID>-<ifname>, cniCacheV1. */
#pragma once

#include "plugin/attachment.h"

/** Writes an attachment's result, in its delegate's version. */
int results_save(const struct attachment *a, const struct run *run, struct error *e);

/** Fills a->result when a readable file is there, by us or by multus; else leaves it alone. */
void results_load(struct attachment *a, const char *cni_dir, const char *container_id);

/** Removes the file. Absent is success. */
int results_remove(const struct attachment *a, const char *cni_dir, const char *container_id, struct error *e);
