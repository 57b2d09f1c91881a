/* What a pod asks for: an object with its `annotations`, the runtime's `runtimeConfig` and CNI_ARGS' `IP`, the
 * configuration's `conf` and `delegates`. What is accepted is a bounded list of different addresses, and says where
 * each one is from. */
#include "plugin/annotations.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_gateway(const struct annotations *a, const struct ip_addr *gateway, int family)
{
	bool wanted = false;

	if (!gateway->family)
		return;
	for (size_t i = 0; i < a->count; i++)
		wanted |= a->wanted[i].addr.family == family;
	if (gateway->family != family || !wanted || !ip_is_host(gateway))
		abort();
}

static void check(const struct annotations *a)
{
	if (a->count > MAX_FIXED || (a->from_annotation && a->count == 0) || (a->has_netmask && a->netmask > 32) ||
		(!a->from_annotation && (a->has_netmask || a->gateway4.family || a->gateway6.family)))
		abort();
	for (size_t i = 0; i < a->count; i++) {
		const struct wanted *wanted = &a->wanted[i];

		if (!wanted->source || (strcmp(wanted->source, ANNOTATION_ADDRESS) == 0) != a->from_annotation)
			abort();
		for (size_t j = 0; j < i; j++) {
			if (ip_compare(&wanted->addr, &a->wanted[j].addr) == 0)
				abort();
		}
	}
	check_gateway(a, &a->gateway4, AF_INET);
	check_gateway(a, &a->gateway6, AF_INET6);
}

static void check_error(struct error *e)
{
	if (e->code != ERROR_CONFIG || !e->message || strlen(e->message) > 1024)
		abort();
	error_clear(e);
}

/* A gateway that passes can be one: it lies in the network and is nobody's there. */
static void check_networks(const struct annotations *a)
{
	static const unsigned int lengths[] = {0, 8, 16, 24, 30, 32};

	for (size_t i = 0; i < a->count * ARRAY_SIZE(lengths); i++) {
		struct ip_prefix addr = {
			.addr = a->wanted[i / ARRAY_SIZE(lengths)].addr, .length = lengths[i % ARRAY_SIZE(lengths)]};
		const struct ip_addr *gateway = addr.addr.family == AF_INET ? &a->gateway4 : &a->gateway6;
		cleanup_error struct error e = {0};

		if (annotations_check_gateway(a, &addr, &e) < 0)
			check_error(&e);
		else if (gateway->family && (!ip_contains(&addr, gateway) || ip_compare(gateway, &addr.addr) == 0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_json cJSON *json = NULL;
	cleanup_error struct error e = {0};
	struct annotations annotations;

	if (json_parse((const char *)bytes, length, "input", &json, &e) < 0)
		return 0;

	const struct config config = {
		.delegates = json_get(json, "delegates"),
		.runtime_config = json_get(json, "runtimeConfig"),
	};
	cleanup_free char *ip = copy_text(json_text(json, "IP"));
	cleanup_json cJSON *conf = json_get(json, "conf") ? json_copy(json_get(json, "conf")) : NULL;
	const struct request request = {.conf = conf, .pod.ip = ip};

	if (annotations_read(&request, &config, json_get(json, "annotations"), false, &annotations, &e) < 0) {
		check_error(&e);
		return 0;
	}
	check(&annotations);
	check_networks(&annotations);
	return 0;
}
