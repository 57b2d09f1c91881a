#include "plugin/base/log.h"

#include "plugin/base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static enum log_level threshold = LOG_WARNING;
static bool tracing;
static int64_t exec_time; /* when this program was exec'd, on clock_now()'s clock */

/* The log file; fd -1: not opened yet, or given up (path NULL). */
static struct {
	struct log_file_options options;
	char *path; /* options.path, owned */
	int level, fd;
	bool quiet; /* nothing on stderr */
} file = {.level = LOG_PANIC, .fd = -1};

/* One write(2) a line, so that lines of several processes do not mix. Nothing can be done when stderr is gone. */
static void write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		length -= (size_t)n;
	}
}

static int64_t clock_read(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * SECONDS + t.tv_nsec / 1000;
}

void log_open(enum log_level level, int trace)
{
	threshold = level;
	tracing = trace;
	/* The processor time used so far is what loading took: the kernel keeps no finer exec time than 10 ms. */
	exec_time = clock_read(CLOCK_MONOTONIC) - clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

void log_to_file(const struct log_file_options *options, int level, bool to_stderr)
{
	file.options = *options;
	file.options.path = file.path = copy_text(options->path);
	file.level = level;
	file.quiet = !to_stderr;
}

static bool open_log(void)
{
	if (file.fd < 0 && file.options.path) {
		file.fd = log_file_open(&file.options);
		if (file.fd < 0) {
			cleanup_free char *line = format_text("lamina: logFile %.200s cannot be written: %s\n",
				file.options.path, strerror(-file.fd));

			free(file.path);
			file.options.path = file.path = NULL;
			write_all(STDERR_FILENO, line, strlen(line));
		}
	}
	return file.fd >= 0;
}

/* RFC 3339 in local time, as multus's lines begin. */
static void print_time(char text[40])
{
	const time_t now = time(NULL);
	struct tm local = {0};
	size_t length;

	localtime_r(&now, &local);
	length = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &local);
	if (local.tm_gmtoff == 0)
		snprintf(text + length, 40 - length, "Z");
	else
		snprintf(text + length, 40 - length, "%c%02ld:%02ld", local.tm_gmtoff < 0 ? '-' : '+',
			labs(local.tm_gmtoff) / 3600, labs(local.tm_gmtoff) / 60 % 60);
}

static void write_to_file(enum log_level level, const char *text)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error", [LOG_WARNING] = "error", [LOG_VERBOSE] = "verbose", [LOG_DEBUG] = "debug"};
	/* A warning is an error to whoever asks for errors. */
	const int least = level == LOG_WARNING ? LOG_ERROR : (int)level;
	char now[40];

	if (least > file.level || !open_log())
		return;
	print_time(now);

	cleanup_free char *line = format_text("%s [%s] %s\n", now, names[level], text);

	/* Strangers' words may stand in it: one call, one line. */
	for (char *c = line; c[1]; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	write_all(file.fd, line, strlen(line));
}

bool log_wants(enum log_level level)
{
	return (int)level <= file.level || level <= threshold;
}

__attribute__((format(printf, 1, 0))) static char *print_text(const char *format, va_list args)
{
	char *text = NULL;

	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!log_wants(level))
		return;
	va_start(args, format);

	cleanup_free char *text = print_text(format, args);

	va_end(args);
	if (!text)
		return;
	write_to_file(level, text);
	if (level > threshold || file.quiet)
		return;

	cleanup_free char *line = format_text("lamina: %s\n", text);

	write_all(STDERR_FILENO, line, strlen(line));
}

void log_note(enum log_level level, const char *format, ...)
{
	va_list args;

	if ((int)level > file.level)
		return;
	va_start(args, format);

	cleanup_free char *text = print_text(format, args);

	va_end(args);
	if (text)
		write_to_file(level, text);
}

void log_copy(const char *bytes, size_t length)
{
	write_all(STDERR_FILENO, bytes, length);
}

void trace_step(const char *step)
{
	if (!tracing)
		return;

	cleanup_free char *line =
		format_text("trace %8lld %s\n", (long long)(clock_read(CLOCK_MONOTONIC) - exec_time), step);

	write_all(STDERR_FILENO, line, strlen(line));
}

int64_t clock_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t clock_share(int64_t deadline, size_t left)
{
	int64_t now = clock_now();

	return now + (deadline - now) / (int64_t)left;
}

int clock_left(int64_t deadline)
{
	int64_t left = (deadline - clock_now() + 999) / 1000;

	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void clock_pause(int64_t microseconds, int64_t deadline)
{
	int64_t left = deadline - clock_now();

	if (microseconds > left)
		microseconds = left;
	if (microseconds <= 0)
		return;

	struct timespec t = {.tv_sec = microseconds / SECONDS, .tv_nsec = microseconds % SECONDS * 1000};

	nanosleep(&t, NULL);
}

int64_t clock_chance(int64_t most)
{
	uint32_t chance = 0;

	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != sizeof(chance))
		chance = (uint32_t)clock_now();
	return (int64_t)((double)most * chance / UINT32_MAX);
}

struct age_text clock_age(int64_t since)
{
	static const struct {
		int64_t below, seconds;
		char unit;
	} units[] = {{120, 1, 's'}, {7200, 60, 'm'}, {172800, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
	int64_t age = (int64_t)time(NULL) - since;
	struct age_text text = {.s = "-"};
	size_t i = 0;

	if (since <= 0 || age < 0)
		return text;
	while (age >= units[i].below)
		i++;
	snprintf(text.s, sizeof(text.s), "%lld%c", (long long)(age / units[i].seconds), units[i].unit);
	return text;
}
