#include "plugin/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another writer of the same file is done in microseconds; one that is stopped is not waited for. */
#define WRITER_TRIES 1000
#define WRITER_PAUSE_US 1000

static unsigned int code_of(int err)
{
	return err == EACCES || err == EPERM ? ERROR_RIGHTS : ERROR_IO;
}

int file_read_fd(int fd, const char *what, size_t max, char **ret, size_t *ret_length, struct error *e)
{
	cleanup_free char *bytes = NULL;
	size_t size = 0, used = 0;

	for (;;) {
		if (size - used < 2) {
			size = size ? size * 2 : 8192;
			bytes = reallocate(bytes, size, 1);
		}

		ssize_t n = read(fd, bytes + used, size - used - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(e, -errno, ERROR_IO, "cannot read %s: %s", what, strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max)
			return error_set(e, -EFBIG, ERROR_IO, "%s is larger than %zu bytes", what, max);
	}
	bytes[used] = '\0';
	*ret = steal_ptr(bytes);
	if (ret_length)
		*ret_length = used;
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(e, -errno, code_of(errno), "cannot open %s: %s", path, strerror(errno));
	return file_read_fd(fd, path, max, ret, ret_length, e);
}

/* Asked before and behind the open: before, so that nothing but a regular file is opened; behind, because it may have
 * been replaced. */
int file_read_regular(const char *path, size_t max, char **ret, size_t *ret_length, struct error *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(e, -errno, code_of(errno), "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EINVAL, ERROR_IO, "%s is not a regular file", path);

	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return error_set(e, -errno, code_of(errno), "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(e, -EINVAL, ERROR_IO, "%s is not a regular file", path);
	return file_read_fd(fd, path, max, ret, ret_length, e);
}

/* Of a name for which there is just room itself, the end: should that be another file's too, the writers take turns. */
static char *leftover_name(const char *path)
{
	static const size_t longest = NAME_MAX - (sizeof("..tmp") - 1);
	const char *slash = strrchr(path, '/');
	const int folder = slash ? (int)(slash - path + 1) : 0;
	const char *name = path + folder;
	const size_t length = strlen(name);

	return format_text("%.*s.%s.tmp", folder, path, length > longest ? name + length - longest : name);
}

static int write_fd(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The folder is there but for the first time: it is made when the open says so. */
static int open_temporary(const char *temporary, mode_t mode, struct error *e)
{
	const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(temporary, flags, mode);

	if (fd >= 0 || errno != ENOENT)
		return fd;

	cleanup_free char *folder = copy_text(temporary);
	char *slash = strrchr(folder, '/');

	if (!slash || slash == folder)
		return -1;
	*slash = '\0';
	if (file_make_folder(folder, 0700, e) < 0) {
		errno = -e->err;
		return -1;
	}
	return open(temporary, flags, mode);
}

/* 1 once fd is locked and still the file of that name: another writer may have renamed it while we opened it. -1: there
 * are no locks on this file system (errno). */
static int is_ours(int fd, const char *temporary)
{
	struct stat held, named;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	return fstat(fd, &held) == 0 && lstat(temporary, &named) == 0 && held.st_dev == named.st_dev &&
	       held.st_ino == named.st_ino;
}

/* One writer at a time: two that shared the name would publish each other's half. The kernel ends a dead one's lock. */
static int claim_temporary(const char *temporary, mode_t mode, struct error *e)
{
	for (int tries = 0; tries < WRITER_TRIES; tries++) {
		cleanup_close int fd = open_temporary(temporary, mode, e);

		if (fd < 0)
			return fd;

		int ours = is_ours(fd, temporary);

		if (ours)
			return ours < 0 || ftruncate(fd, 0) < 0 ? -1 : steal_fd(&fd);
		usleep(WRITER_PAUSE_US);
	}
	errno = EBUSY;
	return -1;
}

static int write_file(const char *path, mode_t mode, const char *bytes, size_t length, bool synced, struct error *e)
{
	cleanup_free char *temporary = leftover_name(path);
	cleanup_close int fd = claim_temporary(temporary, mode, e);

	if (fd < 0)
		return error_set(e, -errno, code_of(errno), "cannot write %s: %s", temporary, strerror(errno));

	/* close(2) may be the first to say that the disk is full (NFS, quota): before the rename, and yet locked. */
	cleanup_close int lock = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int r = lock < 0 ? -errno : write_fd(fd, bytes, length);

	if (r == 0 && synced && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (close(steal_fd(&fd)) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return error_set(e, r, ERROR_IO, "cannot write %s: %s", path, strerror(-r));
	}
	return 0;
}

int file_write(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e)
{
	return write_file(path, mode, bytes, length, false, e);
}

int file_write_synced(const char *path, mode_t mode, const char *bytes, size_t length, struct error *e)
{
	return write_file(path, mode, bytes, length, true, e);
}

/* One that another writer is at work on is his. */
static void remove_leftover(const char *temporary)
{
	cleanup_close int fd = open(temporary, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && is_ours(fd, temporary) > 0)
		unlink(temporary);
}

int file_remove(const char *path, struct error *e)
{
	cleanup_free char *temporary = leftover_name(path);

	remove_leftover(temporary);
	/* Under a name that no file can have there is none. */
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
		return error_set(e, -errno, code_of(errno), "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

int file_make_folder(const char *path, mode_t mode, struct error *e)
{
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return error_set(e, -errno, code_of(errno), "cannot make the folder %s: %s", path, strerror(errno));

	cleanup_free char *above = copy_text(path);
	char *slash = strrchr(above, '/');

	if (!slash || slash == above)
		return error_set(e, -ENOENT, ERROR_IO, "cannot make the folder %s", path);
	*slash = '\0';

	int r = file_make_folder(above, mode, e);

	if (r < 0)
		return r;
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_set(e, -errno, code_of(errno), "cannot make the folder %s: %s", path, strerror(errno));
	return 0;
}
