#include "netlink/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* The calling thread's: setns(2) moves threads, not processes. */
#define OWN_NETNS "/proc/thread-self/ns/net"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static unsigned int open_error_code(int err)
{
	return err == EACCES || err == EPERM ? ERROR_RIGHTS : ERROR_NAMESPACE;
}

int netns_open(const char *path, int *ret_fd, struct error *e)
{
	/* O_NONBLOCK: a FIFO at that path must not hold the pod's start for ever. */
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	/* ESRCH: /proc/<pid>/ns/net of a process that is just going. */
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ESRCH))
		return error_set(e, -ENOENT, ERROR_NO_NAMESPACE, "network namespace %s does not exist", path);
	if (fd < 0)
		return error_set(e, -errno, open_error_code(errno), "cannot open the network namespace %s: %s", path,
			strerror(errno));

	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return error_set(e, -EINVAL, ERROR_NAMESPACE, "%s is not a network namespace", path);

	*ret_fd = steal_fd(&fd);
	return 0;
}

bool netns_is_own(int netns_fd)
{
	struct stat theirs, own;

	if (fstat(netns_fd, &theirs) < 0 || stat(OWN_NETNS, &own) < 0)
		return false;
	return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

int netns_describe(int netns_fd, int socket_fd, struct netns_id *ret, struct error *e)
{
	struct stat file;
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (netns_fd < 0 ? stat(OWN_NETNS, &file) : fstat(netns_fd, &file))
		return error_set(e, -errno, ERROR_IO, "cannot stat a network namespace: %s", strerror(errno));

	/* Kernels before 5.14 have no cookies; 0 says so. */
	if (getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		cookie = 0;
	*ret = (struct netns_id){.cookie = cookie, .device = file.st_dev, .inode = file.st_ino};
	return 0;
}

static int open_any_socket(void *arg, struct error *e)
{
	int *ret_fd = arg;

	*ret_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*ret_fd < 0)
		return error_set(e, -errno, ERROR_IO, "cannot open a socket: %s", strerror(errno));
	return 0;
}

int netns_identify(int netns_fd, struct netns_id *ret, struct error *e)
{
	cleanup_close int fd = -1;
	int r = netns_run(netns_fd, open_any_socket, &fd, e);

	if (r < 0)
		return r;
	return netns_describe(netns_fd, fd, ret, e);
}

bool netns_same(const struct netns_id *a, const struct netns_id *b)
{
	if (a->cookie && b->cookie)
		return a->cookie == b->cookie;
	return a->device == b->device && a->inode == b->inode;
}

int netns_run(int netns_fd, int (*work)(void *arg, struct error *e), void *arg, struct error *e)
{
	if (netns_fd < 0)
		return work(arg, e);

	cleanup_close int own = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);

	if (own < 0)
		return error_set(e, -errno, ERROR_IO, "cannot open our network namespace: %s", strerror(errno));
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return error_set(e, -errno, errno == EPERM ? ERROR_RIGHTS : ERROR_NAMESPACE,
			"cannot enter the network namespace: %s", strerror(errno));

	int r = work(arg, e);

	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	return r;
}
