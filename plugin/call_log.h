/* What was made and taken down, a line for each network, in the words of multus's log at level verbose: people search
 * for them. */
#pragma once

#include "plugin/plan.h"

/** "Add: <namespace>:<pod>:<UID>:<name>(<network>):<interface> <result>" for each. */
void call_log_add(const struct plan *plan, const struct request *request);

/** "Del: <namespace>:<pod>:<UID>:<network>:<interface>" for each, last first; multus puts the configuration behind. */
void call_log_del(const struct plan *plan, const struct request *request);
