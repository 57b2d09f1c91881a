/* Free text for people on stderr, and the trace of where the time went. The only mutable globals of the program. */
#pragma once

#include "plugin/base/log_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** LOG_VERBOSE: what was done, in the words of multus's log. */
enum log_level { LOG_ERROR, LOG_WARNING, LOG_VERBOSE, LOG_DEBUG };

/** Sets what is written (default LOG_WARNING), and whether LAMINA_TRACE asks for steps. Called once, by main. */
void log_open(enum log_level level, int trace);

/** What a log file gets, as multus names it: LOG_PANIC nothing of ours, LOG_ERROR errors and warnings. */
#define LOG_PANIC (-1)

/**
 * Lines go into a file, too, up to a level (LOG_PANIC or an enum log_level); path NULL: into none. to_stderr false: and
 * not to stderr. The options are copied. The file is opened by the first line; one that cannot be written is named on
 * stderr, once, and fails nothing.
 */
void log_to_file(const struct log_file_options *options, int level, bool to_stderr);

/** One line on stderr and in the log file. Never a secret, never a whole configuration. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** One line in the log file alone: what the runtime is told on stdout. */
void log_note(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Whether a line of that level is written anywhere: what it costs to make may be spared. */
bool log_wants(enum log_level level);

/** Bytes of a delegate's stderr, unchanged, on ours. */
void log_copy(const char *bytes, size_t length);

/** Writes "<microseconds since exec> <step>" on stderr when tracing (LAMINA_TRACE=1); costs one branch otherwise. */
void trace_step(const char *step);

/** Microseconds of CLOCK_MONOTONIC; deadlines are absolute values of this clock. */
int64_t clock_now(void);

/** The deadline of the first of `left` steps that have an equal share of the time each: one that hangs must not take
 * the others' time away. left is at least 1. */
int64_t clock_share(int64_t deadline, size_t left);

/** Milliseconds from now to the deadline: never negative, at most INT_MAX, rounded up. For poll(2). */
int clock_left(int64_t deadline);

/** Sleeps for that many microseconds, or until the deadline if that is sooner. */
void clock_pause(int64_t microseconds, int64_t deadline);

/** A part of that time, by chance: those who were refused in the same moment are not to come back together. */
int64_t clock_chance(int64_t most);

struct age_text {
	char s[24];
};

/** How long ago a time of day (seconds since 1970) is, as kubectl shows ages: "90s", "5m", "3h", "12d"; "-" when it is
 * unknown or ahead of us. */
struct age_text clock_age(int64_t since);

#define SECONDS ((int64_t)1000000)
