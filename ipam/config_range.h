/* One range of a configuration: read and validated. Only config.c uses it. */
#pragma once

#include "ipam/config.h"

/** "10.188.0.10-10.188.0.200" for errors: the caller frees it. */
char *ipam_range_text(const struct ipam_range *range);

/** Reads {subnet, rangeStart, rangeEnd, gateway, fixedStart, fixedEnd}; path is the object's place. */
int ipam_range_read(const cJSON *object, const char *path, struct ipam_range *ret, struct error *e);

/**
 * Reads one address, which must be of that family (0: any); path.key is its place. Absent (text NULL) leaves *ret
 * alone.
 */
int ipam_addr_read(
	const char *text, const char *path, const char *key, int family, struct ip_addr *ret, struct error *e);
