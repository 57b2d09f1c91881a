/* The file by which a default network says that its node is ready (multus's readinessindicatorfile). */
#pragma once

#include "plugin/run.h"

/** Waits for the file that the configuration names, for at most 45 s and within the run's deadline; none named: nothing
 * to do. ERROR_TRY_AGAIN names it. */
int readiness_await(const struct run *run, struct error *e);
