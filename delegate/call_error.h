/* What a plugin that failed says for itself: its error object, its stderr, or what else it printed. For call.c only. */
#pragma once

#include "delegate/exec.h"

/**
 * The error of a plugin that has ended with an exit status: its own {code, msg, details}, else ERROR_INTERNAL with what
 * it printed. The texts are libcni's (pkg/invoke), since people search the net for them; cut at 64 KiB and valid UTF-8.
 */
int call_explain_failure(const struct process_end *end, struct error *e);

/** What it had to say on stderr goes along as details, where it does not make the message itself. Returns e->err. */
int call_add_stderr(const struct process_end *end, struct error *e);
