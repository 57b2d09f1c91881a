/* Small files: read whole and bounded, written so that a reader sees the old or the new content, never half of it.
 * Errors are ERROR_RIGHTS where that is the reason, else ERROR_IO. */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * Reads a whole file. *ret is NUL-terminated and owned by the caller; *ret_length may be NULL. Absent: -ENOENT. More
 * than max bytes: -EFBIG. Errors name the path.
 */
int file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e);

/** The same of what has to be a regular file, or a link to one: a pipe would never end, and to open a device may do
 * something. -EINVAL when it is none. */
int file_read_regular(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e);

/** The same from an open descriptor, up to its end; what names it in the error. */
int file_read_fd(int fd, const char *what, size_t max, char **ret, size_t *ret_length, struct error *e);

/**
 * Replaces the file: writes "<folder>/.<name>.tmp" and renames it, making the folder (0700) when it is not there. Not
 * synced: what it records does not outlive a power cut either. Writers of one file take turns: -EBUSY when another is
 * stopped in the middle of it. file_remove removes a leftover of a write that was killed.
 */
int file_write(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e);

/** The same for what has to outlive a power cut, with exactly that mode whatever the umask is. */
int file_write_synced(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e);

/** Removes the file and the leftover of a killed file_write. Absent is success, and so is a name that no file can have.
 */
int file_remove(const char *path, struct error *e);

/** Makes the folder and those above it, each with that mode; existing ones stay as they are. */
int file_make_folder(const char *path, mode_t mode, struct error *e);
