/* One delegate in a record: the members that multus reads and writes there (its types.DelegateNetConf), and ours. */
#pragma once

#include "plugin/plan.h"

/** The element of an attachment of the plan; done: the ADD is complete. Owned by the caller. */
cJSON *element_print(const struct attachment *a, const struct plan *plan, bool done, const struct run *run);

/**
 * An attachment as it was recorded, by us or by multus; position is its place among the elements of its ADD, ifname
 * that ADD's. NULL when the element is beyond use.
 */
struct attachment *element_read(const cJSON *element, unsigned int position, const char *ifname, bool done);

/**
 * multus 4.2.1 to 4.3.0 record of a list that stands in a file of its own only what they understand of each plugin.
 * Puts the plugins' whole configurations back from the element's other members and, where these have none, from
 * `cached`, the configuration in libcni's cache, which may be NULL.
 */
void element_mend(struct attachment *a, const cJSON *element, const cJSON *cached);

/** The place that the element's attachment has among its ADD's: what it says, else position. */
unsigned int element_index(const cJSON *element, unsigned int position);

/** The element's interface, where it stands at that place of the file. NULL: as the ADD was called. Owned by the
 * caller.
 */
char *element_ifname(const cJSON *element, unsigned int position);

/** Sees to it that multus, which goes by an element's place, finds that interface where the element stands now. NULL:
 * it is called as the ADD was. */
void element_pin(cJSON *element, const char *ifname, unsigned int position);
