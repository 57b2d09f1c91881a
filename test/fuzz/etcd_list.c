/*
 * What stands in an etcd under our keys, whoever wrote it: the first byte says what is asked for, then each line is an
 * answer of key TAB value TAB key TAB value ... What is read is in order, each address once.
 */
#include "ipam/store_etcd_list.h"
#include "plugin/base/base64.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int __wrap_etcd_call(
	struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e);

/* In place of etcd.c's: the lines that are left. */
struct etcd {
	char *rest;
};

static cJSON *new_kv(const char *key, const char *value)
{
	cJSON *kv = cJSON_CreateObject();
	cleanup_free char *key_text = base64_encode(key, strlen(key)),
			  *value_text = base64_encode(value, strlen(value));

	json_put_text(kv, "key", key_text);
	json_put_text(kv, "value", value_text);
	json_put_text(kv, "create_revision", "1");
	json_put_text(kv, "mod_revision", "1");
	return kv;
}

/* The line's keys as one list, and as answers of one each. */
int __wrap_etcd_call(
	struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e)
{
	cJSON *reply = cJSON_CreateObject(), *header = cJSON_CreateObject(), *kvs = cJSON_CreateArray(),
	      *responses = cJSON_CreateArray();
	char *line = strsep(&etcd->rest, "\n");

	(void)method;
	(void)body;
	(void)ret_sent;
	for (char *key = line ? strsep(&line, "\t") : NULL; key; key = strsep(&line, "\t")) {
		const char *value = strsep(&line, "\t");
		cJSON *one = cJSON_CreateArray(), *range = cJSON_CreateObject(), *response = cJSON_CreateObject();

		if (!*key || !value) {
			cJSON_Delete(one);
			one = NULL;
		} else {
			cJSON_AddItemToArray(kvs, new_kv(key, value));
			cJSON_AddItemToArray(one, new_kv(key, value));
			json_put(range, "kvs", one);
		}
		json_put(response, "response_range", range);
		cJSON_AddItemToArray(responses, response);
	}
	json_put_text(header, "revision", "2");
	json_put(reply, "header", header);
	json_put(reply, "kvs", kvs);
	json_put(reply, "responses", responses);
	*ret = reply;
	if (etcd->rest)
		return 0;
	cJSON_Delete(reply);
	*ret = NULL;
	return error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "no answer");
}

static void check_error(const struct error *e)
{
	if ((e->code != ERROR_TRY_AGAIN && e->code != ERROR_DECODE && e->code != ERROR_IO) || !e->message)
		abort();
}

static void check_entries(struct store_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int order = i ? strcmp(entries[i - 1].network, entries[i].network) : -1;

		if (order > 0 || (order == 0 && ip_compare(&entries[i - 1].addr, &entries[i].addr) >= 0) ||
			!entries[i].addr.family)
			abort();
	}
	store_entries_free(entries, count);
}

static void list(struct etcd_store *store, const char *network, const struct ip_addr *addr)
{
	struct store_entry *entries = NULL;
	cleanup_error struct error e = {0};
	size_t count = 0;

	if (etcd_store_list(&store->store, network, addr, &entries, &count, &e) < 0)
		check_error(&e);
	else
		check_entries(entries, count);
}

static void list_entries(struct etcd_store *store)
{
	struct store_entry *entries = NULL;
	cleanup_error struct error e = {0};
	size_t count = 0;

	if (etcd_store_entries(store, "n", "d", "10.", &entries, &count, &e) < 0)
		check_error(&e);
	else
		check_entries(entries, count);
}

static void list_attachments(struct etcd_store *store, const char *network)
{
	struct store_attachment *attachments = NULL;
	cleanup_error struct error e = {0};
	size_t count = 0;

	if (etcd_store_attachments(&store->store, network, &attachments, &count, &e) < 0) {
		check_error(&e);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!attachments[i].network || !attachments[i].cid || !attachments[i].ifname ||
			(!attachments[i].closed && !attachments[i].addr_count))
			abort();
	}
	store_attachments_free(attachments, count);
}

static void find_domain(struct etcd_store *store, const struct ip_addr *addr)
{
	cleanup_free char *domain = NULL;
	cleanup_error struct error e = {0};

	if (etcd_store_find_domain(store, "n", addr, &domain, &e) < 0)
		check_error(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *text = allocate(length + 1, 1);
	static char node[] = "node-1";
	const struct ip_addr addr = {.family = AF_INET, .bytes = {10, 0, 0, 1}};

	if (length < 1)
		return 0;
	memcpy(text, bytes + 1, length - 1);

	struct etcd etcd = {.rest = text};
	struct etcd_store store = {.etcd = &etcd, .node = node};

	log_open(LOG_ERROR, false);
	switch (bytes[0] % 7) {
	case 0:
		list(&store, NULL, NULL);
		break;
	case 1:
		list(&store, "n", NULL);
		break;
	case 2:
		list(&store, NULL, &addr);
		break;
	case 3:
		list_entries(&store);
		break;
	case 4:
		list_attachments(&store, "n");
		break;
	case 5:
		list_attachments(&store, NULL);
		break;
	default:
		find_domain(&store, &addr);
	}
	return 0;
}
