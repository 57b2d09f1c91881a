/* Stub plugins, and chains that call them. */
#pragma once

#include "delegate/chain.h"
#include "test/unit/stub.h"

/* Every stub notes that it was called, and with what. $0's name is the plugin's type. */
#define NOTE "n=${0##*/}; echo \"$CNI_COMMAND $n\" >>$STUBS/calls; cat >$STUBS/$n.$CNI_COMMAND.in; env >$STUBS/$n.env\n"

static inline struct call_params params_of(const struct stubs *stubs)
{
	return (struct call_params){
		.command = "ADD",
		.container_id = "cid",
		.netns = "/var/run/netns/x",
		.ifname = "eth0",
		.args = "IgnoreUnknown=1;K8S_POD_NAME=a",
		.path = stubs->folder,
	};
}

static inline struct chain *read_chain(const char *text, const char *runtime_config)
{
	cleanup_json cJSON *conf = NULL, *runtime = NULL;
	struct chain *chain = NULL;
	struct error e = {0};

	if (json_parse(text, strlen(text), "test", &conf, &e) < 0)
		fail_msg("%s", e.message);
	if (runtime_config && json_parse(runtime_config, strlen(runtime_config), "test", &runtime, &e) < 0)
		fail_msg("%s", e.message);
	if (chain_read(conf, "delegates[0]", runtime, &chain, &e) < 0)
		fail_msg("%s", e.message);
	return chain;
}

static inline void forget(const struct stubs *stubs)
{
	cleanup_free char *calls = stub_path(stubs, "calls");

	unlink(calls);
}

static inline void assert_file(const struct stubs *stubs, const char *name, const char *expected)
{
	cleanup_free char *text = stub_read(stubs, name);

	assert_string_equal(text, expected);
}

static inline int add(
	const struct stubs *stubs, struct chain *chain, int64_t microseconds, cJSON **ret, struct error *e)
{
	struct call_params params = params_of(stubs);
	int r = chain_add_start(chain, &params, clock_now() + microseconds, e);

	return r < 0 ? r : chain_add_finish(chain, ret, e);
}
