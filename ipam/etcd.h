/*
 * An etcd v3 cluster through its JSON gateway (etcd.io/docs/v3.5/dev-guide/api_grpc_gateway): which member is asked,
 * what its answers mean, and what is wrong when there is none. Knows nothing of addresses.
 */
#pragma once

#include "plugin/base/http.h"
#include "plugin/base/json.h"

/** Where a cluster is, of a configuration's etcdConfig. Owned strings, NULL: not given. */
struct etcd_config {
	char **endpoints; /* "https://192.168.122.11:2379", without a slash at the end */
	size_t endpoint_count;
	char *cert_file, *key_file, *ca_file;
	char *username, *password_file;
};

/**
 * Reads `etcdConfig` (kube-ipam's keys: etcdURL, a comma list; etcdCertFile, etcdKeyFile, etcdTrustedCAFileFile or
 * etcdTrustedCAFile; and etcdUsername, etcdPasswordFile). path is the object's place. Absolute paths, URLs of one
 * scheme, certificate and key together, https where there is one of these: everything else is ERROR_CONFIG and names
 * the key. No file is opened. Freed with etcd_config_free.
 */
int etcd_config_parse(const cJSON *object, const char *path, struct etcd_config **ret, struct error *e);

/** The same keys as an object that etcd_config_parse reads: for files that must find the cluster again. No secrets. */
cJSON *etcd_config_print(const struct etcd_config *config);

void etcd_config_free(struct etcd_config *config);
DEFINE_CLEANUP(struct etcd_config, etcd_config_free)
#define cleanup_etcd_config CLEANUP(etcd_config_free_cleanup)

struct etcd;

struct etcd_options {
	const struct etcd_config *config; /* borrowed */
	struct http *http;                /* borrowed */
	const char *
		data_dir; /* where the last good endpoint and the token are noted for the next process; NULL: nowhere */
	int64_t deadline; /* clock_now: of all calls together; etcd_set_deadline */
};

/** Asks nobody yet. Freed with etcd_free. */
int etcd_open(const struct etcd_options *options, struct etcd **ret, struct error *e);

/** From now on, of all calls together. */
void etcd_set_deadline(struct etcd *etcd, int64_t deadline);

void etcd_free(struct etcd *etcd);
DEFINE_CLEANUP(struct etcd, etcd_free)
#define cleanup_etcd CLEANUP(etcd_free_cleanup)

/**
 * Opens the connection to the member that is asked first, with TLS and the head of the transaction (/v3/kv/txn) that is
 * expected next: its body follows by etcd_call, without another round trip. For who knows that there will be one before
 * he knows what is in it. Goes on inside of all that awaits or lets progress the same struct http; what goes wrong is
 * found out by etcd_call. No second time before that. await: comes back when the connection stands, or cannot.
 */
void etcd_warm(struct etcd *etcd, bool await);

/**
 * POSTs body to method ("/v3/kv/txn", "/v3/kv/range"). A member that is away, has no leader or answers too late gives
 * way to the next one with the very same body, with growing pauses once all were tried, until the deadline: the body
 * must be one that may be carried out twice. *ret is the reply, owned by the caller. *ret_sent (may be NULL; set on
 * failure too) says whether some member may have received it, or may still carry it out.
 *
 * Errors name the cause and the way out. ERROR_TRY_AGAIN: away, no leader, too late, NOSPACE (err -ENOSPC), too many
 * requests. ERROR_CONFIG: gateway switched off (404), a certificate with a CN where RBAC is on, not permitted, wrong
 * CA, expired or rejected certificate, unreadable file, a member whose server certificate is no client certificate too.
 * ERROR_DECODE: what answers is no etcd.
 */
int etcd_call(struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e);

/* --- parts of bodies and replies; keys and values are bytes, base64 on the wire --- */

/** {"key":...,"target":"CREATE","result":"EQUAL","create_revision":"0"}: the key is absent. */
cJSON *etcd_compare_absent(const char *key);

/** The key's value is exactly this (a missing key never is). */
cJSON *etcd_compare_value(const char *key, const char *value);

/** The key was created at this revision (0: is absent). */
cJSON *etcd_compare_created(const char *key, int64_t revision);

/** Always so, present or absent, for a user who may read the key. */
cJSON *etcd_compare_readable(const char *key);

/** The key was last changed at this revision. */
cJSON *etcd_compare_changed(const char *key, int64_t revision);

/** {"request_put":...} */
cJSON *etcd_put(const char *key, const char *value);

/** {"request_delete_range":...} of one key. */
cJSON *etcd_delete(const char *key);

enum etcd_range_what { ETCD_VALUES, ETCD_KEYS_ONLY, ETCD_COUNT_ONLY };

/** {"request_range":...} of one key, or, with prefix, of all that begin with it; limit 0: all. */
cJSON *etcd_range(const char *key, bool prefix, enum etcd_range_what what, int64_t limit);

/** {"compare":..,"success":..,"failure":..}; takes ownership of three arrays, any of which may be NULL. A body of
 * /v3/kv/txn. */
cJSON *etcd_txn(cJSON *compare, cJSON *success, cJSON *failure);

/** {"request_txn":<txn>}: a transaction inside another; takes ownership. */
cJSON *etcd_nested(cJSON *txn);

/** Whether a txn's reply took the success branch ("succeeded" is omitted when false). */
bool etcd_succeeded(const cJSON *txn_reply);

/** The i-th response of a txn's reply: the object inside response_range, response_txn, ...; NULL when it is not there.
 */
const cJSON *etcd_response(const cJSON *txn_reply, size_t i);

struct etcd_kv {
	char *key, *value;        /* NUL-terminated; a key or value with a NUL inside is cut there */
	int64_t created, changed; /* revisions */
};

/** The kvs of a range's reply. Malformed ones (not base64, no key) are ERROR_DECODE. Freed with etcd_kvs_free. */
int etcd_kvs(const cJSON *range_reply, struct etcd_kv **ret, size_t *ret_count, struct error *e);

void etcd_kvs_free(struct etcd_kv *kvs, size_t count);

/** The count of a range's reply; 0 when it is omitted. */
int64_t etcd_count(const cJSON *range_reply);
