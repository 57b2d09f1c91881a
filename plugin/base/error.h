/* What went wrong, for the caller (errno), for the runtime (code) and for a person (message). */
#pragma once

#include "plugin/base/cleanup.h"

#include <stdbool.h>

/** The number that the runtime sees (CNI spec 1.1.0, "Error codes"; 8 and 999 are libcni's own). */
enum error_code {
	ERROR_VERSION = 1,      /* the configuration's version is not supported */
	ERROR_NO_NAMESPACE = 3, /* the sandbox does not exist */
	ERROR_ENVIRONMENT = 4,  /* a parameter is missing or malformed */
	ERROR_IO = 5,           /* a disk, a file, a kernel call failed */
	ERROR_DECODE = 6,       /* not JSON */
	ERROR_CONFIG = 7,       /* configuration, annotation, missing master */
	ERROR_NAMESPACE = 8,    /* not a network namespace, or our own */
	ERROR_TRY_AGAIN = 11,   /* worth a retry: taken, full, away */
	ERROR_UNAVAILABLE = 50, /* ADD cannot be served (STATUS only) */
	ERROR_RIGHTS = 100,     /* not permitted */
	ERROR_INTERNAL = 999,   /* never ours; what a delegate's plain error carries */
};

/**
 * An error under way to main. Starts as {0}; a function that fails fills it and returns .err.
 * .message reads "outer: inner"; .details may be NULL. Both are owned by the struct.
 */
struct error {
	int err;           /* negative errno, 0 while nothing failed */
	unsigned int code; /* enum error_code, or a delegate's own number */
	char *message;
	char *details;
};

/** Sets the error, dropping an earlier one. err is a negative errno. Returns err, so that "return error_set(...)"
 * works. */
int error_set(struct error *e, int err, unsigned int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** Puts "context: " in front of the message. Returns e->err. */
int error_wrap(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Replaces the details (the second, longer text of a CNI error). Returns e->err. */
int error_details(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Moves the error of `from` into `to` when `to` has none yet; clears `from` either way: the first error wins. */
void error_keep_first(struct error *to, struct error *from);

/** As error_keep_first, but of an error that comes later the message goes into the details of the first one. */
void error_add(struct error *to, struct error *from);

/** Frees the texts and makes the error empty again. */
void error_clear(struct error *e);

/** vasprintf/asprintf that abort when there is no memory. The result is owned by the caller. */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** strdup that aborts when there is no memory; NULL stays NULL. */
char *copy_text(const char *text);

/** Puts the item behind what is in *list, with ", " between them. *list is the caller's; NULL: empty. */
void append_item(char **list, const char *item);

/** Whether both are there, and equal. */
bool same_text(const char *a, const char *b);

/** Whether they are equal, or neither is there. */
bool same_text_or_none(const char *a, const char *b);

/** Whether it can be a network's name or a container's ID, by libcni's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]*. Such a name is
 * one segment of a path, as it is. */
bool is_cni_name(const char *text);

/** calloc that aborts when there is no memory: what the runtime then sees is a dead plugin, and DEL cleans up. */
void *allocate(size_t count, size_t size);

/** reallocarray that aborts when there is no memory. */
void *reallocate(void *p, size_t count, size_t size);

#define cleanup_error CLEANUP(error_clear)
