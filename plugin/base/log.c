#include "plugin/base/log.h"

#include "plugin/base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static enum log_level threshold = LOG_WARNING;
static bool tracing;
static int64_t exec_time; /* when this program was exec'd, on clock_now()'s clock */

/* One write(2) a line, so that lines of several processes do not mix. Nothing can be done when stderr is gone. */
static void write_all(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, length);

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

void log_write(enum log_level level, const char *format, ...)
{
	if (level > threshold)
		return;

	va_list args;
	cleanup_free char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);

	cleanup_free char *line = text ? format_text("lamina: %s\n", text) : NULL;

	if (line)
		write_all(line, strlen(line));
}

void log_copy(const char *bytes, size_t length)
{
	write_all(bytes, length);
}

void trace_step(const char *step)
{
	if (!tracing)
		return;

	cleanup_free char *line =
		format_text("trace %8lld %s\n", (long long)(clock_read(CLOCK_MONOTONIC) - exec_time), step);

	write_all(line, strlen(line));
}

int64_t clock_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
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
