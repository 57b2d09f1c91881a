/* What is left of a container elsewhere, when a DEL has gone by the configuration alone. */
#pragma once

#include "plugin/state.h"

/**
 * Releases what the stores still have of the container on this node, this node's own and the clusters' of networks that
 * pods of this node ask for, and removes its cached answers, which nobody can read. Nothing is done where the record
 * was there, or another ADD of the container has one. It is a second chance, so that errors are logged: gc has the
 * third.
 */
void leftovers_clear(const struct record *record, struct run *run);
