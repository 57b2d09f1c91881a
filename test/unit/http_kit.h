/* Servers that misbehave, in a network of the test's own: see http_server.py. */
#pragma once

#include "plugin/base/error.h"
#include "plugin/base/http.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static inline void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define cleanup_file CLEANUP(close_file)

#define SERVERS_MAX 40

struct servers {
	char folder[32]; /* certificates in "certs", and what a test writes */
	pid_t pid;
	int input; /* they end when it is closed */
	size_t count;
	struct {
		char name[24];
		int port;
	} list[SERVERS_MAX];
};

static inline void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void shell(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static inline void spawn_servers(struct servers *servers, int output)
{
	int input[2];
	char certs[64];

	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	snprintf(certs, sizeof(certs), "%s/certs", servers->folder);
	servers->pid = fork();
	if (servers->pid == 0) {
		dup2(input[0], 0);
		dup2(output, 1);
		execlp("python3", "python3", TEST_DIR "/unit/http_server.py", certs, NULL);
		_exit(127);
	}
	close(input[0]);
	servers->input = input[1];
}

static inline int servers_start(void **state)
{
	struct servers *servers = allocate(1, sizeof(*servers));
	char name[24];
	int output[2], port;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	shell("ip link set lo up");
	strcpy(servers->folder, "/tmp/http_test.XXXXXX");
	assert_non_null(mkdtemp(servers->folder));
	shell("bash -c '. " TEST_DIR "/lab/certs.sh && certs_odd %s/certs'", servers->folder);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	spawn_servers(servers, output[1]);
	close(output[1]);

	cleanup_file FILE *f = fdopen(output[0], "re");

	while (fscanf(f, "%23s", name) == 1 && strcmp(name, "ready") != 0 && fscanf(f, "%d", &port) == 1) {
		assert_true(servers->count < SERVERS_MAX);
		strcpy(servers->list[servers->count].name, name);
		servers->list[servers->count++].port = port;
	}
	assert_string_equal(name, "ready");
	*state = servers;
	return 0;
}

static inline int servers_end(void **state)
{
	struct servers *servers = *state;

	close(servers->input);
	waitpid(servers->pid, NULL, 0);
	shell("rm -r %s", servers->folder);
	free(servers);
	return 0;
}

static inline int port_of(const struct servers *servers, const char *name)
{
	for (size_t i = 0; i < servers->count; i++) {
		if (strcmp(servers->list[i].name, name) == 0)
			return servers->list[i].port;
	}
	fail_msg("there is no server %s", name);
	return 0;
}
