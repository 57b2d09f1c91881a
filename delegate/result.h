/*
 * CNI results. Inside lamina a result is always a cJSON object of the shape of 1.1.0 (interfaces, ips, routes, dns, in
 * this order and all always there, an empty dns as {}; no cniVersion); other shapes exist only at the edges (CNI
 * spec 1.1.0 "ADD Success"; the older ones: spec 0.2.0, 0.4.0, 1.0.0).
 */
#pragma once

#include "plugin/base/json.h"

/** Whether it is one of 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0 (exact match). */
bool cni_version_known(const char *version);

/** Whether version is minimum or newer; both are known ones. */
bool cni_version_at_least(const char *version, const char *minimum);

/** The seven, oldest first, NULL at the end. */
extern const char *const cni_versions[];

/**
 * Reads a result as a plugin printed it. Its own cniVersion decides on the shape; absent or "": default_version ("" is
 * 0.1.0). null is an empty result. Unknown members are dropped; addresses and prefixes are validated; the index of an
 * interface may be that of none. Errors are ERROR_DECODE. *ret is owned by the caller.
 */
int result_read(const cJSON *printed, const char *default_version, cJSON **ret, struct error *e);

/** Reads the dns that a configuration has, as a result's; absent: {}. ERROR_CONFIG. *ret is owned by the caller. */
int result_read_dns(const cJSON *conf, cJSON **ret, struct error *e);

/**
 * The result in the shape of a version, with cniVersion first (rules: reference of libcni's converters). 0.1.0 and
 * 0.2.0 keep the first address of each family; without any address they cannot say it: ERROR_CONFIG. Empty dns is {}
 * before 1.0.0, absent from then on. *ret is owned by the caller.
 */
int result_convert(const cJSON *result, const char *version, cJSON **ret, struct error *e);

/** An empty result: every array there, empty. */
cJSON *result_new(void);

/** Puts all of more behind what result has; interface indexes are shifted. dns: more's where it has one. */
void result_merge(cJSON *result, const cJSON *more);

/** Appends an interface; returns its index. */
int result_add_interface(cJSON *result, const char *name, const char *mac, const char *sandbox);

/** Appends an address ("10.188.0.218/16") of an interface; gateway may be NULL. */
void result_add_ip(cJSON *result, int interface, const char *address, const char *gateway);
