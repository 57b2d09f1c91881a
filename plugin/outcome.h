/* What a command did with each address: a line for people, an object for programs. */
#pragma once

#include "plugin/base/ip.h"
#include "plugin/base/json.h"

#include <stdio.h>

/**
 * Appends {"result":what,"network":..,"address":..,"reason":..} to the list. reason (a format) may be NULL. The object
 * is borrowed, for further members.
 */
cJSON *outcome_add(cJSON *list, const char *what, const char *network, const struct ip_addr *addr, const char *reason,
	...) __attribute__((format(printf, 5, 6)));

/** How many have that result. */
size_t outcomes_count(const cJSON *list, const char *what);

/** "<result> <address> of network <network>: <reason>" each, or the list as JSON. */
void outcomes_print(const cJSON *list, bool json, FILE *out);

/** One line of JSON, fit for strict readers whatever strangers wrote. */
void outcome_print_json(const cJSON *json, FILE *out);

/** A stranger's text for a terminal: control characters and what is not UTF-8 replaced, cut at 256 bytes. NULL gives
 * "-". Owned by the caller. */
char *outcome_shown(const char *text);

/** Whom an address is kept for (store_entry.hold), for people: "namespace db", "pod db/database-1-0", or a
 * reservation's note. Owned by the caller. */
char *outcome_hold(const char *hold);
