/* What one process notes for the next about a cluster. Every note may be lost; nobody waits for one. */
#pragma once

#include "ipam/etcd.h"

enum etcd_note {
	ETCD_NOTE_ENDPOINT, /* the member that answered last */
	ETCD_NOTE_TOKEN,    /* of our user: a secret */
};

/** The note of that cluster and user; NULL: none. Owned by the caller. data_dir NULL: none. */
char *etcd_note_read(const char *data_dir, const struct etcd_config *config, enum etcd_note note);

/** Writes it, readable for us only; text NULL removes it. */
void etcd_note_write(const char *data_dir, const struct etcd_config *config, enum etcd_note note, const char *text);
