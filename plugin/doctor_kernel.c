/* The program, the kernel under it, and what it may do here. */
#include "netlink/link.h"
#include "netlink/netns.h"
#include "plugin/attach_macvlan.h"
#include "plugin/base/file.h"
#include "plugin/doctor_checks.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

void doctor_check_binary(struct doctor *doctor)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

	doctor_ok(doctor, "binary", "lamina " LAMINA_VERSION ", %.*s", length > 0 ? (int)length : 1,
		length > 0 ? path : "?");
}

/* The calls themselves: distributions put newer ones into old kernels. */
void doctor_check_kernel(struct doctor *doctor)
{
	struct utsname name;
	struct netns_id id = {0};
	cleanup_error struct error ignored = {0};
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (uname(&name) < 0)
		snprintf(name.release, sizeof(name.release), "?");
	if (fd < 0 && errno == ENOSYS)
		doctor_bad(doctor, "kernel", "run Linux 5.3 or newer",
			"Linux %s has no pidfd_open(2), without which no delegate can be awaited", name.release);
	else
		doctor_ok(doctor, "kernel", "Linux %s", name.release);
	if (netns_identify(-1, &id, &ignored) == 0 && id.cookie == 0)
		doctor_note(doctor, "kernel",
			"Linux %s has no SO_NETNS_COOKIE (5.14): a pod's namespace is known by its inode, whose number "
			"may be used again",
			name.release);
}

/* Whether a network of the configuration is one that we make ourselves. */
static bool makes_macvlans(const struct doctor *doctor)
{
	for (size_t i = 0; doctor->planned && i < doctor->plan.count; i++) {
		if (doctor->plan.attachments[i]->ops == &attach_macvlan)
			return true;
	}
	return false;
}

void doctor_check_macvlan(struct doctor *doctor)
{
	cleanup_error struct error e = {0};
	bool there = false;

	if (link_try_macvlan(&there, &e) < 0)
		doctor_note(doctor, "macvlan", "not known: %s", e.message);
	else if (there)
		doctor_ok(doctor, "macvlan", "the kernel makes them");
	else if (!makes_macvlans(doctor))
		doctor_note(doctor, "macvlan", "the kernel has none: only a network of type macvlan needs them");
	else
		doctor_bad(doctor, "macvlan",
			"load it (modprobe macvlan; CONFIG_MACVLAN), and at each start of the node "
			"(/etc/modules-load.d)",
			"the kernel has no macvlan");
}

/* capabilities(7) */
static const struct {
	unsigned int bit;
	const char *name;
} needed[] = {{12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}, {21, "CAP_SYS_ADMIN"}};

static uint64_t effective(void)
{
	cleanup_error struct error ignored = {0};
	cleanup_free char *status = NULL;
	uint64_t mask = 0;

	if (file_read("/proc/self/status", 64 << 10, &status, NULL, &ignored) < 0)
		return 0;

	const char *line = strstr(status, "\nCapEff:");

	if (line)
		mask = strtoull(line + strlen("\nCapEff:"), NULL, 16);
	return mask;
}

void doctor_check_rights(struct doctor *doctor)
{
	const uint64_t mask = effective();
	cleanup_free char *missing = copy_text("");

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!(mask & (UINT64_C(1) << needed[i].bit)))
			append_item(&missing, needed[i].name);
	}
	if (*missing)
		doctor_bad(doctor, "rights", "run it as root, as the runtime does",
			"user %u lacks %s: what follows may be wrong, too", (unsigned int)geteuid(), missing);
	else
		doctor_ok(doctor, "rights", "user %u with CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN",
			(unsigned int)geteuid());
}
