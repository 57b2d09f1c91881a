/*
 * What `lamina gc` has found gone once: <dataDir>/gc.json. Only what is gone a second time, long enough after, is
 * collected. Times are CLOCK_BOOTTIME's, so that nobody who sets the clock shortens the wait, and mean nothing in
 * another boot.
 */
#pragma once

#include "plugin/run.h"

struct gc_seen {
	char *path;
	const char *boot_id; /* borrowed */
	cJSON *before, *now; /* identity: seconds of the first sighting */
	int64_t time, wait;
};

/** Reads the file; none, a damaged one, or one of another boot: nothing was seen. Cleared with gc_seen_clear. */
void gc_seen_read(const struct run *run, struct gc_seen *ret);

/** Notes that it is gone now. Returns the seconds for which it must still be waited: 0, it was gone long enough ago,
 * too.
 */
int64_t gc_seen_note(struct gc_seen *seen, const char *identity);

/** It was collected: nothing is to be remembered. */
void gc_seen_forget(struct gc_seen *seen, const char *identity);

/** Writes what was noted since gc_seen_read; the rest is struck. */
int gc_seen_write(const struct gc_seen *seen, struct error *e);

void gc_seen_clear(struct gc_seen *seen);
#define cleanup_gc_seen CLEANUP(gc_seen_clear)
