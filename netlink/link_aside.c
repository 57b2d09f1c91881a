/* Deleting links without waiting for what the kernel does behind it. */
#include "netlink/link.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_AGAIN 200 /* microseconds */

/* A process that somebody has stopped is not waited for. */
#define PATIENCE (5 * SECONDS)

/* Who called us waits for the end of our standard streams, not for this process: it keeps none of them. */
static void close_others(int keep)
{
	if (keep > 0)
		syscall(SYS_close_range, 0U, (unsigned int)keep - 1, 0U);
	syscall(SYS_close_range, (unsigned int)keep + 1, ~0U, 0U);
}

static _Noreturn void delete_and_exit(int netns_fd, const int *ifindex, size_t count)
{
	struct error e = {0};
	struct nl *nl = NULL;

	close_others(netns_fd);
	/* A socket of its own: two processes would take each other's answers from a shared one. */
	_exit(nl_open(netns_fd, &nl, &e) < 0 || link_delete_all(nl, ifindex, count, &e) < 0);
}

/* 1 when none of them is there any more. */
static int are_gone(struct nl *nl, const int *ifindex, size_t count, struct error *e)
{
	struct link_info link;

	for (size_t i = 0; i < count; i++) {
		if (ifindex[i] <= 0)
			continue;

		int r = link_get_index(nl, ifindex[i], &link, e);

		if (r != -ENODEV)
			return r;
		error_clear(e);
	}
	return 1;
}

/* Whether it has ended. A process that is still in the kernel is left to it, and to init. */
static bool has_ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WNOHANG) != 0;
}

int link_delete_aside(struct nl *nl, int netns_fd, const int *ifindex, size_t count, struct error *e)
{
	pid_t pid = count ? fork() : -1;

	if (pid == 0)
		delete_and_exit(netns_fd, ifindex, count);

	const int64_t limit = clock_now() + PATIENCE;

	for (bool ended = pid < 0; !ended && clock_now() < limit;) {
		ended = has_ended(pid);

		int r = are_gone(nl, ifindex, count, e);

		if (r != 0)
			return r < 0 ? r : 0;
		usleep(LOOK_AGAIN);
	}
	/* It could not, or does not: then we say why, unless we can. */
	return link_delete_all(nl, ifindex, count, e);
}
