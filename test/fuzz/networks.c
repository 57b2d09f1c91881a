/* A pod's networks annotation. What is accepted has names that lead nowhere else, and its lists are bounded. */
#include "delegate/networks.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(const struct network_element *element)
{
	if (!element->ns || !*element->ns || strpbrk(element->ns, "/.%?#") || !element->name || !*element->name ||
		strpbrk(element->name, "/%?#") || strstr(element->name, "..") ||
		element->ip_count > MAX_NETWORK_ADDRS || element->gateway_count > MAX_NETWORK_ADDRS)
		abort();
	for (size_t i = 0; i < element->ip_count; i++) {
		if (!element->ips[i] || strlen(element->ips[i]) >= IP_TEXT)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *annotation = allocate(length + 1, 1);
	cleanup_networks struct network_list list = {0};
	cleanup_error struct error e = {0};

	memcpy(annotation, bytes, length);
	if (networks_read("networks", annotation, "default", &list, &e) < 0) {
		if (e.code != ERROR_CONFIG || !e.message || list.count)
			abort();
		return 0;
	}
	if (list.count > MAX_NETWORKS)
		abort();
	for (size_t i = 0; i < list.count; i++)
		check(&list.elements[i]);
	return 0;
}
