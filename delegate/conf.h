/*
 * The configuration of a network, as a NetworkAttachmentDefinition or a file has it: one plugin (`type`) or a list of
 * them (`plugins`). What it says is checked by chain_read. Errors are ERROR_CONFIG, or of the reading itself
 * (ERROR_RIGHTS, ERROR_IO), and name the definition or the file.
 */
#pragma once

#include "plugin/base/json.h"

/* Of one file or definition; more than the API server keeps of one. */
#define CONF_MAX ((size_t)2 << 20)

/** Of one list: each is a program that is run. */
#define CONF_MAX_PLUGINS ((size_t)64)

/** Parses it: a JSON object of at most CONF_MAX bytes, checked by conf_check_plugins. what names it in errors
 * ("NetworkAttachmentDefinition ns/name: spec.config"). *ret is the caller's. */
int conf_parse(const char *text, const char *what, cJSON **ret, struct error *e);

/** Whether it is a list; with both keys it is one plugin, as for chain_read. */
bool conf_is_list(const cJSON *conf);

/** How many plugins there are to put something into: 1, unless it is a list. */
size_t conf_count_plugins(const cJSON *conf);

/** Whether they are no more than CONF_MAX_PLUGINS. ERROR_CONFIG; what names the configuration. */
int conf_check_plugins(const cJSON *conf, const char *what, struct error *e);

/**
 * A list's switch, as libcni reads it: true, false, or the same as a text, in any case; absent: false. The key counts
 * in its own spelling only. Anything else, null too, is refused. path is the list's place for errors.
 */
int conf_read_switch(const cJSON *list, const char *path, const char *key, bool *ret, struct error *e);

/** Gives it the name where it has none, or an empty one. */
void conf_name(cJSON *conf, const char *name);

/** Sets `deviceID` and `pciBusID`; of a list, in each plugin. */
void conf_put_device(cJSON *conf, const char *device);

/** Merges an object into `args.cni`, where what it says takes precedence; of a list, in each plugin. NULL: nothing. */
void conf_put_args(cJSON *conf, const cJSON *cni_args);

/**
 * The first file of the folder, by its own name, whose `name` is that one. Looked at are .conf and .json files (one
 * plugin) and .conflist files (a list), regular ones only; what cannot be used is passed over, and unusable says of the
 * first such file what is wrong with it, also on success. None, or no such folder: -ENOENT; the error names folder and
 * network, and that file. *ret is the caller's.
 */
int conf_find(const char *folder, const char *name, cJSON **ret, struct error *unusable, struct error *e);

/**
 * A file, or a folder's first one (nothing is passed over). To the list of a .conflist file, given by its own path, the
 * plugins of the .conf files in the folder of the list's name beside it are added, in the order of their names, unless
 * the list says `loadOnlyInlinedPlugins`. *ret is the caller's.
 */
int conf_read_path(const char *path, cJSON **ret, struct error *e);

/** Adds the plugins of the .conf files in the folder of the list's name beside path, in the order of their names; no
 * such folder: none. */
int conf_add_chained(cJSON *list, const char *path, struct error *e);
