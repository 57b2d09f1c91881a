/*
 * Other programs, run with a deadline. stdin, stdout and stderr are memfds (memfd_create(2)), so nothing can deadlock;
 * each program has its own process group and is awaited through a pidfd. The only file that spawns.
 */
#pragma once

#include "plugin/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process;

/**
 * Starts path with argv {path} and the environment. input is copied. Only descriptors 0, 1, 2 are passed; SIGPIPE and
 * the signal mask are as a shell leaves them; all of our own other descriptors become close-on-exec. "Text file busy"
 * is tried again each second, 6 times, before the deadline. Errors: ERROR_IO. Freed with process_free.
 */
int process_start(const char *path, char *const environment[], const char *input, size_t length, int64_t deadline,
	struct process **ret, struct error *e);

struct process_end {
	int exit_status; /* when it exited by itself */
	int signal;      /* that killed it; 0: none */
	char *out;       /* stdout, NUL-terminated, owned by the struct */
	size_t out_length;
	char *err; /* stderr */
	size_t err_length;
};

/**
 * Awaits its end. At the deadline, or when it has written more than 4 MiB, its whole process group is killed and
 * awaited to the last member: -ETIMEDOUT (ERROR_TRY_AGAIN) or -EFBIG (ERROR_IO). So is what is left of the group of a
 * program that failed or died of a signal; what a successful one leaves running is left alone and not waited for. *ret
 * is filled on failure, too. Once only.
 */
int process_await(struct process *process, int64_t deadline, struct process_end *ret, struct error *e);

/** Whether it ends, or must be ended for what it wrote, by then. Nothing comes of it: process_await follows. */
bool process_ends(const struct process *process, int64_t deadline);

void process_end_clear(struct process_end *end);

/** Frees the handle; a process still running is killed with its group and awaited. */
void process_free(struct process *process);

DEFINE_CLEANUP(struct process, process_free)
#define cleanup_process CLEANUP(process_free_cleanup)
#define cleanup_process_end CLEANUP(process_end_clear)

/** Makes us the reaper of orphans (PR_SET_CHILD_SUBREAPER), so that a killed group can be awaited, and undoes an
 * ignored SIGCHLD. Once, before the first start. */
void process_adopt_orphans(void);

/**
 * Awaits the end of every process (but this one) whose environment has CNI_COMMAND=ADD or DEL and
 * CNI_CONTAINERID=<container_id>: what an ADD or DEL that was killed left running. At the deadline they are killed and
 * awaited. Two scans of /proc without one are the end. Returns how many were seen in *ret. Processes of other PID
 * namespaces do not count (containers may write anything into their environment), nor do those that wait for us.
 * -ETIMEDOUT (ERROR_TRY_AGAIN): still there 5 s after it was killed.
 */
int process_await_container(const char *container_id, int64_t deadline, size_t *ret, struct error *e);

/** Whether an ADD or DEL of that container is under way: one look at the same processes, those of a DEL that began
 * later included. */
bool process_container_works(const char *container_id);
