/* A folder in memory for parsers that read files: one a process, in TMPDIR (run.sh's is taken away with all in it). */
#pragma once

#include "plugin/base/error.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

/** Its path. */
static inline const char *scratch_folder(void)
{
	static char path[PATH_MAX];
	const char *base = getenv("TMPDIR");

	if (!*path) {
		snprintf(path, sizeof(path), "%s/fuzz.XXXXXX", base ? base : "/tmp");
		if (!mkdtemp(path))
			abort();
	}
	return path;
}

/** Writes a file whole. */
static inline void scratch_write(const char *path, const uint8_t *bytes, size_t length)
{
	FILE *file = fopen(path, "we");

	if (!file || (length && fwrite(bytes, length, 1, file) != 1) || fclose(file) != 0)
		abort();
}
