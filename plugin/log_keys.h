/* The keys of multus's configuration that say where its log goes. */
#pragma once

#include "plugin/base/json.h"

/** Follows logFile, logLevel, logToStderr and logOptions of a configuration. What is malformed there counts as absent:
 * a log fails no call. */
void log_keys_follow(const cJSON *conf);
