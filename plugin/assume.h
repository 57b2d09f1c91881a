/* What a DEL goes by where nothing is recorded, or nobody can read it. */
#pragma once

#include "plugin/state.h"

/**
 * Fills the record of a request that has none, or a damaged one (e says which, and is cleared): the answers that are
 * cached say what it was, else what the configuration would have made. A damaged one may be of an ADD that was killed:
 * its programs must be awaited. config is read again. What the configuration cannot say is an error only for a damaged
 * one.
 */
int assume_record(const struct request *request, struct config *config, struct record *record, struct error *e);

/** Completes a record that goes by the configuration: the networks that this only names, and those that the pod's
 * annotations ask for, as long as the API server has that pod. It is asked for a short time, and told nothing. */
void assume_networks(struct record *record, struct run *run);
