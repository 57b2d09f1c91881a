/* The file by which a default network says that its node is ready (multus's readinessindicatorfile). */
#pragma once

#include "plugin/run.h"

/**
 * Waits for the file that the configuration names, for at most 45 s and within the run's deadline; none named: nothing
 * to do. What was waited for is not taken from the run's time: its deadlines begin anew. ERROR_TRY_AGAIN names it.
 */
int readiness_await(struct run *run, struct error *e);

/** Looks once. ERROR_UNAVAILABLE names it and says why it is not there. */
int readiness_look(const struct config *config, struct error *e);

/** Looks once, and logs that it is not there: what is to go, goes. */
void readiness_note(const struct config *config);
