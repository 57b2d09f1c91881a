/* A delegate's configuration from a stranger: what is accepted must make a configuration for each plugin. */
#include "delegate/chain.h"
#include "delegate/result.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *conf = NULL, *previous = result_new();
	cleanup_chain struct chain *chain = NULL;
	cleanup_error struct error e = {0};

	if (json_parse((const char *)bytes, length, "input", &conf, &e) < 0)
		return 0;
	if (chain_read(conf, "delegates[0]", conf, &chain, &e) < 0) {
		if ((e.code != ERROR_CONFIG && e.code != ERROR_VERSION) || !e.message)
			abort();
		return 0;
	}
	if (!cni_version_known(chain_version(chain)))
		abort();
	result_add_ip(previous, -1, "10.0.0.1/8", NULL);

	cleanup_free char *text = chain_plugin_config(chain, 0, previous, &e);
	cleanup_json cJSON *sent = NULL;

	if (!text || json_parse(text, strlen(text), "what we send", &sent, &e) < 0)
		abort();
	if (!json_get(sent, "prevResult") || strcmp(json_text(sent, "name"), json_text(conf, "name")) != 0)
		abort();
	return 0;
}
