/* Free text for people on stderr, and the trace of where the time went. The only mutable globals of the program. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_DEBUG };

/** Sets what is written (default LOG_WARNING), and whether LAMINA_TRACE asks for steps. Called once, by main. */
void log_open(enum log_level level, int trace);

/** One line on stderr. Never a secret, never a whole configuration. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Bytes of a delegate's stderr, unchanged, on ours. */
void log_copy(const char *bytes, size_t length);

/** Writes "<microseconds since exec> <step>" on stderr when tracing (LAMINA_TRACE=1); costs one branch otherwise. */
void trace_step(const char *step);

/** Microseconds of CLOCK_MONOTONIC; deadlines are absolute values of this clock. */
int64_t clock_now(void);

/** Milliseconds from now to the deadline: never negative, at most INT_MAX, rounded up. For poll(2). */
int clock_left(int64_t deadline);

/** Sleeps for that many microseconds, or until the deadline if that is sooner. */
void clock_pause(int64_t microseconds, int64_t deadline);

struct age_text {
	char s[24];
};

/** How long ago a time of day (seconds since 1970) is, as kubectl shows ages: "90s", "5m", "3h", "12d"; "-" when it is
 * unknown or ahead of us. */
struct age_text clock_age(int64_t since);

#define SECONDS ((int64_t)1000000)
