/* Scope-bound resources: a variable marked cleanup_* is released when it leaves scope; steal_ptr hands it on. */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Runs the function on the variable's address at the end of its scope. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/** Defines <type>_cleanup(type **), which calls the destructor on a pointer that is not NULL. */
#define DEFINE_CLEANUP(type, destroy) \
	static inline void destroy##_cleanup(type **p) \
	{ \
		if (*p) \
			destroy(*p); \
	}

static inline void cleanup_free_ptr(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define cleanup_free CLEANUP(cleanup_free_ptr)
#define cleanup_close CLEANUP(cleanup_close_fd)
#define cleanup_dir CLEANUP(cleanup_closedir)

/** Hands a pointer over to a new owner: evaluates to it and leaves NULL behind. */
#define steal_ptr(p) \
	__extension__({ \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL; \
		stolen_; \
	})

/** Hands a file descriptor over to a new owner: evaluates to it and leaves -1 behind. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
