/* A temp folder of stub programs, written as sh scripts. */
#pragma once

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct stubs {
	char *folder;
};

static inline char *stub_path(const struct stubs *stubs, const char *name)
{
	return format_text("%s/%s", stubs->folder, name);
}

/* Writes an executable; the first line is added. */
static inline void stub_write(const struct stubs *stubs, const char *name, const char *body)
{
	cleanup_free char *path = stub_path(stubs, name);
	cleanup_free char *text = format_text("#!/bin/sh\n%s\n", body);
	struct error e = {0};

	if (file_write(path, 0755, text, strlen(text), &e) < 0)
		fail_msg("%s", e.message);
}

/* A file of the folder; "" when it is not there. Owned by the caller. */
static inline char *stub_read(const struct stubs *stubs, const char *name)
{
	cleanup_free char *path = stub_path(stubs, name);
	cleanup_error struct error e = {0};
	char *text = NULL;

	return file_read(path, (size_t)16 << 20, &text, NULL, &e) < 0 ? copy_text("") : text;
}

/* Not there any more, or dead and only not reaped by its own parent. */
static inline bool stub_is_gone(pid_t pid)
{
	cleanup_free char *path = format_text("/proc/%d/stat", (int)pid);
	cleanup_free char *text = NULL;
	cleanup_error struct error e = {0};

	if (file_read(path, 4096, &text, NULL, &e) < 0)
		return true;
	return strstr(text, ") Z ") != NULL;
}

/* Waits for a stub to write its number there. Removed then: the next test must not find it. */
static inline pid_t stub_read_pid(const struct stubs *stubs, const char *name)
{
	for (int i = 0; i < 500; i++) {
		cleanup_free char *text = stub_read(stubs, name);

		if (strchr(text, '\n')) {
			cleanup_free char *path = stub_path(stubs, name);

			unlink(path);
			return atoi(text);
		}
		clock_pause(10000, INT64_MAX);
	}
	fail_msg("%s was not written", name);
	return -1;
}

/* Scripts find the folder in $STUBS. */
static inline int stub_setup(void **state)
{
	struct stubs *stubs = allocate(1, sizeof(*stubs));

	stubs->folder = copy_text("/tmp/lamina-stubs-XXXXXX");
	assert_non_null(mkdtemp(stubs->folder));
	setenv("STUBS", stubs->folder, 1);
	*state = stubs;
	return 0;
}

static inline int stub_teardown(void **state)
{
	struct stubs *stubs = *state;
	cleanup_dir DIR *folder = opendir(stubs->folder);

	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		cleanup_free char *path = stub_path(stubs, entry->d_name);

		if (entry->d_name[0] != '.' && unlink(path) < 0)
			rmdir(path);
	}
	rmdir(stubs->folder);
	free(stubs->folder);
	free(stubs);
	return 0;
}
