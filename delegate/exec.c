#include "delegate/exec.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MAX_OUTPUT ((off_t)4 << 20)
#define WATCH_MS 15                       /* how often a running program's output is measured */
#define START_ATTEMPTS 6                  /* libcni's number for "text file busy" */
#define KILL_GRACE (5 * SECONDS)          /* a killed program that sits in the kernel longer is left to the kernel */
#define MAX_ENVIRONMENT ((size_t)2 << 20) /* what the kernel allows with the usual stack of 8 MiB */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

struct process {
	pid_t pid; /* and its process group */
	int pidfd;
	int out, err;
	bool ended;
};

static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Kernels before 6.3 do not know the flag; newer ones complain in their log without it. */
static int open_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}

/* Written with an offset: the program must find the file position at 0. */
static int fill(int fd, const char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = pwrite(fd, bytes + done, length - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* Everything that the program and its children write is appended, also when one of them seeks or opens it again. */
static int open_output(const char *name)
{
	int fd = open_memory(name);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int spawn(pid_t *pid, const char *path, char *const environment[], const int fds[3])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *argv[] = {copy_text(path), NULL};
	sigset_t none, defaults;
	int r = 0;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGCHLD);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	for (int i = 0; i < 3 && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawn(pid, path, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(argv[0]);
	return -r;
}

/* A plugin that is being installed right now cannot be run until its file is closed. */
static int spawn_patiently(pid_t *pid, const char *path, char *const environment[], const int fds[3], int64_t deadline)
{
	for (int attempt = 1;; attempt++) {
		int r = spawn(pid, path, environment, fds);

		if (r != -ETXTBSY || attempt == START_ATTEMPTS || clock_now() >= deadline)
			return r;
		clock_pause(1 * SECONDS, deadline);
	}
}

int process_start(const char *path, char *const environment[], const char *input, size_t length, int64_t deadline,
	struct process **ret, struct error *e)
{
	cleanup_process struct process *process = allocate(1, sizeof(*process));
	cleanup_close int in = -1;

	*process = (struct process){.pidfd = -1, .out = -1, .err = -1, .ended = true};
	/* Ours are close-on-exec anyway; this is for what our caller left open in us. */
	syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
	in = open_memory("stdin");
	process->out = open_output("stdout");
	process->err = open_output("stderr");
	if (in < 0 || process->out < 0 || process->err < 0)
		return error_set(e, -errno, ERROR_IO, "cannot make a memory file: %s", strerror(errno));

	int r = fill(in, input, length);

	if (r < 0)
		return error_set(e, r, ERROR_IO, "cannot fill a memory file: %s", strerror(-r));
	r = spawn_patiently(&process->pid, path, environment, (int[]){in, process->out, process->err}, deadline);
	if (r < 0)
		return error_set(e, r, ERROR_IO, "cannot run %s: %s", path, strerror(-r));
	process->ended = false;
	process->pidfd = open_pidfd(process->pid);
	if (process->pidfd < 0)
		return error_set(e, -errno, ERROR_IO, "cannot watch %s: %s", path, strerror(errno));
	*ret = steal_ptr(process);
	return 0;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_size;
}

static bool wrote_too_much(const struct process *process)
{
	return size_of(process->out) > MAX_OUTPUT || size_of(process->err) > MAX_OUTPUT;
}

/* 0 when it has ended by itself, -ETIMEDOUT or -EFBIG when it must be ended. */
static int watch(const struct process *process, int64_t deadline)
{
	for (;;) {
		int left = clock_left(deadline);
		struct pollfd pidfd = {.fd = process->pidfd, .events = POLLIN};
		int n = poll(&pidfd, 1, left < WATCH_MS ? left : WATCH_MS);

		if (wrote_too_much(process))
			return -EFBIG;
		if (n > 0)
			return 0;
		if (left == 0)
			return -ETIMEDOUT;
	}
}

bool process_ends(const struct process *process, int64_t deadline)
{
	return watch(process, deadline) != -ETIMEDOUT;
}

/* Members that are not our children (their parent lives in another group) cannot be reaped, only be seen to go. */
static void await_group(pid_t group)
{
	int64_t limit = clock_now() + KILL_GRACE, pause = 100;

	for (;;) {
		while (waitpid(-group, NULL, WNOHANG) > 0)
			;
		if (kill(-group, 0) < 0 && errno == ESRCH)
			return;
		if (clock_now() >= limit)
			break;
		clock_pause(pause, limit);
		pause = pause < 10000 ? pause * 2 : pause;
	}
	log_write(LOG_WARNING, "the killed process group %d does not end", (int)group);
}

/* Killed before anything of it is reaped: until then its number cannot become somebody else's. The kernel lets no
 * member fork past the signal, so once is enough. */
static void end_group(struct process *process)
{
	kill(-process->pid, SIGKILL);
	await_group(process->pid);
	process->ended = true;
}

static void read_output(int fd, char **ret, size_t *ret_length)
{
	off_t size = size_of(fd);
	size_t wanted = (size_t)(size > MAX_OUTPUT ? MAX_OUTPUT : size), used = 0;
	char *bytes = allocate(wanted + 1, 1);

	while (used < wanted) {
		ssize_t n = pread(fd, bytes + used, wanted - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	bytes[used] = '\0';
	*ret = bytes;
	*ret_length = used;
}

/* How it ended. It is not reaped yet: see end_group. */
static int look_at_end(const struct process *process, struct process_end *ret, struct error *e)
{
	siginfo_t info = {0};

	while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT) < 0) {
		if (errno != EINTR)
			return error_set(e, -errno, ERROR_IO, "cannot await a program: %s", strerror(errno));
	}
	if (info.si_code == CLD_EXITED)
		ret->exit_status = info.si_status;
	else
		ret->signal = info.si_status;
	return 0;
}

int process_await(struct process *process, int64_t deadline, struct process_end *ret, struct error *e)
{
	struct process_end end = {0};
	int r = watch(process, deadline);

	if (r == -ETIMEDOUT)
		error_set(e, r, ERROR_TRY_AGAIN, "the program did not end in time and was killed");
	else if (r == -EFBIG)
		error_set(e, r, ERROR_IO, "the program wrote more than %lld MiB and was killed",
			(long long)(MAX_OUTPUT >> 20));
	else
		r = look_at_end(process, &end, e);

	/* What a failed program leaves running would work on while its undoing is under way. What a successful one
	 * leaves running, it meant to. */
	if (r < 0 || end.signal || end.exit_status) {
		end_group(process);
	} else {
		waitpid(process->pid, NULL, 0);
		process->ended = true;
	}
	read_output(process->out, &end.out, &end.out_length);
	read_output(process->err, &end.err, &end.err_length);
	*ret = end;
	return r;
}

void process_end_clear(struct process_end *end)
{
	free(end->out);
	free(end->err);
	*end = (struct process_end){0};
}

void process_free(struct process *process)
{
	if (!process)
		return;
	if (!process->ended)
		end_group(process);
	cleanup_close_fd(&process->pidfd);
	cleanup_close_fd(&process->out);
	cleanup_close_fd(&process->err);
	free(process);
}

void process_adopt_orphans(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* A caller that ignores SIGCHLD hands that down, and then the kernel keeps no exit status for us. */
	signal(SIGCHLD, SIG_DFL);
}

/* Whether every entry of that name has that value, and there is one. */
static bool environment_says(const char *environment, size_t length, const char *name, const char *value)
{
	size_t name_length = strlen(name);
	bool found = false;

	for (const char *entry = environment; entry < environment + length; entry += strlen(entry) + 1) {
		if (strncmp(entry, name, name_length) != 0 || entry[name_length] != '=')
			continue;
		if (strcmp(entry + name_length + 1, value) != 0)
			return false;
		found = true;
	}
	return found;
}

/* A container's processes can write what they like into their environment: only our own PID namespace counts. */
static bool shares_pid_namespace(pid_t pid)
{
	cleanup_free char *path = format_text("/proc/%d/ns/pid", (int)pid);
	struct stat ours, theirs;

	return stat("/proc/self/ns/pid", &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino;
}

static pid_t parent_of(pid_t pid)
{
	cleanup_free char *path = format_text("/proc/%d/stat", (int)pid);
	cleanup_free char *text = NULL;
	cleanup_error struct error ignored = {0};

	if (file_read(path, 4096, &text, NULL, &ignored) < 0)
		return 0;

	/* "pid (name) state parent": the name may hold anything. */
	const char *behind_name = strrchr(text, ')');

	return behind_name && strlen(behind_name) > 4 ? (pid_t)strtol(behind_name + 4, NULL, 10) : 0;
}

/* proc(5): field 22 of stat, clock ticks since boot. */
static unsigned long long start_of(pid_t pid)
{
	cleanup_free char *path = format_text("/proc/%d/stat", (int)pid);
	cleanup_free char *text = NULL;
	cleanup_error struct error ignored = {0};

	if (file_read(path, 4096, &text, NULL, &ignored) < 0)
		return 0;

	char *field = strrchr(text, ')');

	for (int number = 2; field && number < 22; number++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field + 1, NULL, 10) : 0;
}

/* Another DEL of ours, begun later: it awaits us. Of two that await each other none would get on. */
static bool is_later_self(pid_t pid)
{
	cleanup_free char *path = format_text("/proc/%d/exe", (int)pid);
	struct stat ours, theirs;

	if (stat("/proc/self/exe", &ours) < 0 || stat(path, &theirs) < 0 || ours.st_dev != theirs.st_dev ||
		ours.st_ino != theirs.st_ino)
		return false;

	unsigned long long own_start = start_of(getpid()), start = start_of(pid);

	return start > own_start || (start == own_start && pid > getpid());
}

/* Ourselves, or a process that waits for us: to await it would last for ever. */
static bool is_ours(pid_t pid)
{
	for (pid_t p = getpid(); p > 0; p = parent_of(p)) {
		if (p == pid)
			return true;
	}
	return false;
}

/* Whether it is part of an ADD or DEL of the container. Processes vanish while we look; one that cannot be read is none
 * of ours. */
static bool works_for(pid_t pid, const char *container_id, bool later_selves)
{
	cleanup_free char *path = format_text("/proc/%d/environ", (int)pid);
	cleanup_free char *environment = NULL;
	cleanup_error struct error ignored = {0};
	size_t length = 0;

	return file_read(path, MAX_ENVIRONMENT, &environment, &length, &ignored) == 0 &&
	       (environment_says(environment, length, "CNI_COMMAND", "ADD") ||
		       (environment_says(environment, length, "CNI_COMMAND", "DEL") &&
			       (later_selves || !is_later_self(pid)))) &&
	       environment_says(environment, length, "CNI_CONTAINERID", container_id) && shares_pid_namespace(pid) &&
	       !is_ours(pid);
}

static bool is_stray(pid_t pid, const char *container_id)
{
	return works_for(pid, container_id, false);
}

bool process_container_works(const char *container_id)
{
	cleanup_dir DIR *proc = opendir("/proc");
	bool found = false;

	for (struct dirent *entry; proc && !found && (entry = readdir(proc));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		found = pid > 0 && works_for(pid, container_id, true);
	}
	return found;
}

/* The handle is taken first: should the number be another process's by now, the handle still means the old one. Awaited
 * by the handle, too: a process of many threads has no environment any more while one of them is still at work. */
static void end_stray(pid_t pid, const char *container_id)
{
	cleanup_close int pidfd = open_pidfd(pid);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	if (pidfd < 0 || !is_stray(pid, container_id))
		return;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U) == 0)
		poll(&end, 1, (int)(KILL_GRACE / 1000));
}

struct strays {
	pid_t *pids; /* all that were seen, each once */
	size_t count;
};

static void clear_strays(struct strays *strays)
{
	free(strays->pids);
}

static void note_stray(struct strays *strays, pid_t pid)
{
	for (size_t i = 0; i < strays->count; i++) {
		if (strays->pids[i] == pid)
			return;
	}
	strays->pids = reallocate(strays->pids, strays->count + 1, sizeof(*strays->pids));
	strays->pids[strays->count++] = pid;
}

/* One pass over all processes. *ret says whether a stray was there. */
static int scan_strays(const char *container_id, bool end_them, struct strays *seen, bool *ret, struct error *e)
{
	cleanup_dir DIR *proc = opendir("/proc");

	if (!proc)
		return error_set(e, -errno, ERROR_IO, "cannot open /proc: %s", strerror(errno));
	*ret = false;
	for (struct dirent *entry; (entry = readdir(proc));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || !is_stray(pid, container_id))
			continue;
		*ret = true;
		note_stray(seen, pid);
		if (end_them)
			end_stray(pid, container_id);
	}
	return 0;
}

int process_await_container(const char *container_id, int64_t deadline, size_t *ret, struct error *e)
{
	CLEANUP(clear_strays) struct strays seen = {0};
	int64_t pause = 5000;

	/* One empty scan is not enough: a process has no environment for a moment while it execs. */
	for (int empty = 0; empty < 2;) {
		int64_t now = clock_now();
		bool found = false;
		int r = scan_strays(container_id, now >= deadline, &seen, &found, e);

		if (r < 0)
			return r;
		if (found && now >= deadline + KILL_GRACE)
			return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN,
				"what an ADD of container %s left running does not end", container_id);
		empty = found ? 0 : empty + 1;
		if (empty < 2)
			clock_pause(pause, now < deadline ? deadline + 1000 : now + pause);
		pause = found && pause < 80000 ? pause * 2 : pause;
	}
	*ret = seen.count;
	return 0;
}
