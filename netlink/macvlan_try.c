/* Finding out whether there can be macvlans, without touching a link of the node's. */
#include "netlink/link.h"

#include "plugin/base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the forked process found, as its exit status. */
enum finding { MACVLAN_THERE, MACVLAN_UNKNOWN_KIND, NO_RIGHTS, NOT_KNOWN };

/* The first link of a namespace, the only one of a new one. */
#define LOOPBACK 1

/* Loopback cannot carry one: a kernel that knows macvlans refuses that, one that does not refuses the kind. */
static enum finding try_macvlan(void)
{
	cleanup_error struct error e = {0};
	cleanup_nl struct nl *nl = NULL;
	cleanup_close int fd = -1;
	struct macvlan_spec spec = {.name = "try", .master = LOOPBACK};
	struct link_info link;

	if (unshare(CLONE_NEWNET) < 0)
		return errno == EPERM ? NO_RIGHTS : NOT_KNOWN;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || nl_open(-1, &nl, &e) < 0)
		return NOT_KNOWN;
	if (fault_point("macvlan_kind") < 0)
		return MACVLAN_UNKNOWN_KIND;
	spec.netns_fd = fd;
	link_parse_mode("", &spec.mode);
	switch (-link_add_macvlan(nl, nl, &spec, &link, &e)) {
	case 0:
	case EINVAL:
		return MACVLAN_THERE;
	case EOPNOTSUPP:
		return MACVLAN_UNKNOWN_KIND;
	case EPERM:
		return NO_RIGHTS;
	default:
		return NOT_KNOWN;
	}
}

int link_try_macvlan(bool *ret, struct error *e)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(try_macvlan());
	if (pid < 0)
		return error_set(e, -errno, ERROR_IO, "cannot fork: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return error_set(e, -errno, ERROR_IO, "cannot await a process: %s", strerror(errno));
	}

	int found = WIFEXITED(status) ? WEXITSTATUS(status) : NOT_KNOWN;

	if (found == NO_RIGHTS)
		return error_set(
			e, -EPERM, ERROR_RIGHTS, "a network namespace of its own cannot be made without rights");
	if (found != MACVLAN_THERE && found != MACVLAN_UNKNOWN_KIND)
		return error_set(e, -EIO, ERROR_IO, "the kernel did not say");
	*ret = found == MACVLAN_THERE;
	return 0;
}
