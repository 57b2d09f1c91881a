/* A log file as other programs of its kind keep theirs (lumberjack, which multus uses): appended to, renamed to
 * <name>-<UTC time>.<extension> when it is large, old ones removed. Nothing is compressed. */
#pragma once

#include <stdint.h>

struct log_file_options {
	const char *path;
	int64_t max_bytes;   /* larger: renamed before the next line */
	int64_t max_backups; /* how many renamed ones stay; 0: all */
	int64_t max_age;     /* days that they stay; 0: for ever */
};

/**
 * Opens it for appending, 0600, with the folders above it made where they are missing; renames and removes what is due.
 * A link, or anything but a plain file, is refused. Returns the descriptor or a negative errno.
 */
int log_file_open(const struct log_file_options *options);
