/* What a chain is made of, for the files of this folder that read and call it. */
#pragma once

#include "delegate/chain.h"

struct chain_plugin {
	char *type;
	cJSON *conf;           /* as it stands in the configuration */
	cJSON *runtime_config; /* what of ours it declares; NULL: nothing */
};

struct chain {
	char *name;
	char *given_version; /* what the plugins are given: "" when the configuration has none */
	char *version;       /* what that means */
	bool disable_check, disable_gc;
	struct chain_plugin *plugins;
	size_t count;

	/* What is under way. */
	struct call *call;
	struct call_params params;
	int64_t deadline;
	size_t at;           /* ADD: the plugin that runs */
	size_t left;         /* DEL: plugins still to be finished; the last of them runs */
	cJSON *previous;     /* DEL */
	struct error failed; /* DEL: the first error */
};

/** What chain_plugin_config prints, without prevResult. Owned by the caller. */
cJSON *chain_plugin_json(const struct chain *chain, size_t i);
