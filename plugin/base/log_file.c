#include "plugin/base/log_file.h"

#include "plugin/base/error.h"
#include "plugin/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

/* 2006-01-02T15-04-05.000 */
#define STAMP_LENGTH ((size_t)23)
#define DAY ((int64_t)24 * 60 * 60)

/* The parts of a path "<folder><name><extension>". */
struct parts {
	char *folder; /* with the / behind it; "" */
	char *name;
	char *extension; /* with the dot in front; "" */
};

static void parts_clear(struct parts *parts)
{
	free(parts->folder);
	free(parts->name);
	free(parts->extension);
}

static void split(const char *path, struct parts *ret)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	const char *dot = strrchr(file, '.');

	if (!dot)
		dot = file + strlen(file);
	ret->folder = format_text("%.*s", (int)(file - path), path);
	ret->name = format_text("%.*s", (int)(dot - file), file);
	ret->extension = copy_text(dot);
}

static char *backup_path(const struct parts *parts)
{
	struct timespec now;
	struct tm utc;
	char stamp[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H-%M-%S", &utc);
	return format_text(
		"%s%s-%s.%03ld%s", parts->folder, parts->name, stamp, now.tv_nsec / 1000000, parts->extension);
}

/* The time in the name of a renamed one, also of those that somebody compressed; NULL: another file. */
static const char *stamp_of(const char *file, const struct parts *parts)
{
	const size_t length = strlen(parts->name);
	const char *stamp = file + length + 1, *behind;

	if (strlen(file) < length + 1 + STAMP_LENGTH || strncmp(file, parts->name, length) != 0 || file[length] != '-')
		return NULL;
	behind = stamp + STAMP_LENGTH;
	if (strncmp(behind, parts->extension, strlen(parts->extension)) != 0)
		return NULL;
	behind += strlen(parts->extension);
	return stamp[10] == 'T' && (!*behind || strcmp(behind, ".gz") == 0) ? stamp : NULL;
}

static bool is_too_old(const char *stamp, int64_t max_age)
{
	struct tm utc = {0};

	if (max_age <= 0 || !strptime(stamp, "%Y-%m-%dT%H-%M-%S", &utc))
		return false;
	return (time(NULL) - timegm(&utc)) / DAY >= max_age;
}

/* Newest first. */
static int compare(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*right)->d_name, (*left)->d_name);
}

/* count: of those that stay, so far. */
static bool is_superfluous(const char *stamp, const struct log_file_options *options, int64_t *count)
{
	return is_too_old(stamp, options->max_age) || (options->max_backups > 0 && ++*count > options->max_backups);
}

/* Whether some are too old or too many, in one pass: nearly always there are none. */
static bool is_due(const struct log_file_options *options, const struct parts *parts)
{
	cleanup_dir DIR *dir = opendir(*parts->folder ? parts->folder : ".");
	int64_t count = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		const char *stamp = stamp_of(entry->d_name, parts);

		if (stamp && is_superfluous(stamp, options, &count))
			return true;
	}
	return false;
}

static void remove_old(const struct log_file_options *options)
{
	CLEANUP(parts_clear) struct parts parts = {0};

	if (options->max_backups <= 0 && options->max_age <= 0)
		return;
	split(options->path, &parts);
	if (!is_due(options, &parts))
		return;

	struct dirent **files = NULL;
	int count = scandir(*parts.folder ? parts.folder : ".", &files, NULL, compare);
	int64_t kept = 0;

	for (int i = 0; i < count; i++) {
		const char *stamp = stamp_of(files[i]->d_name, &parts);

		if (stamp && is_superfluous(stamp, options, &kept)) {
			cleanup_free char *path = format_text("%s%s", parts.folder, files[i]->d_name);

			unlink(path);
		}
		free(files[i]);
	}
	free(files);
}

static int open_file(const char *path)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	cleanup_close int fd = open(path, flags, 0600);
	struct stat about;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &about) < 0)
		return -errno;
	return S_ISREG(about.st_mode) ? steal_fd(&fd) : -EINVAL;
}

/* One process renames it; whoever has it open writes on into the renamed one. */
static bool rename_away(int fd, const struct log_file_options *options)
{
	CLEANUP(parts_clear) struct parts parts = {0};
	struct stat held, named;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &held) < 0 || lstat(options->path, &named) < 0 ||
		held.st_dev != named.st_dev || held.st_ino != named.st_ino)
		return false;
	split(options->path, &parts);

	cleanup_free char *backup = backup_path(&parts);

	return rename(options->path, backup) == 0;
}

static int open_or_make(const char *path)
{
	cleanup_error struct error ignored = {0};
	cleanup_free char *folder = copy_text(path);
	char *slash = strrchr(folder, '/');
	int fd = open_file(path);

	if (fd != -ENOENT || !slash || slash == folder)
		return fd;
	*slash = '\0';
	return file_make_folder(folder, 0755, &ignored) < 0 ? ignored.err : open_file(path);
}

int log_file_open(const struct log_file_options *options)
{
	cleanup_close int fd = open_or_make(options->path);
	struct stat about;

	if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size >= options->max_bytes && rename_away(fd, options)) {
		close(fd);
		fd = open_file(options->path);
	}
	if (fd >= 0)
		remove_old(options);
	return steal_fd(&fd);
}
