/* A real etcd for the tests: a child of the test, in a network namespace of its own. */
#pragma once

#include "ipam/store_etcd.h"
#include "plugin/base/file.h"
#include "test/unit/store_kit.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* The calls of this process so far, what to do with the next ones, and the last transaction that was sent. */
static struct {
	int count;
	enum { CALLS_WORK, LOSE_REPLY, HOLD_BACK } mode; /* HOLD_BACK: neither sent nor refused, as far as one knows */
	char *last_txn;
	int delete_at; /* before this call, the key below is deleted; 0: never */
	const char *delete_key;
	int deepest; /* how many transactions stood one inside the other at most */
} calls;

int __real_etcd_call(
	struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e);
int __wrap_etcd_call(
	struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e);

static inline void delete_key(const char *key);

static inline int depth_of(const cJSON *item)
{
	int deepest = 0;

	for (const cJSON *child = item->child; child; child = child->next) {
		int depth = depth_of(child) + (child->string && strcmp(child->string, "request_txn") == 0);

		deepest = depth > deepest ? depth : deepest;
	}
	return deepest;
}

/* The linker puts it in the place of etcd_call (--wrap). */
int __wrap_etcd_call(
	struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e)
{
	cleanup_json cJSON *lost = NULL;

	if (++calls.count == calls.delete_at) {
		calls.delete_at = 0;
		delete_key(calls.delete_key);
	}
	if (strcmp(method, "/v3/kv/txn") == 0) {
		int depth = depth_of(body);

		free(calls.last_txn);
		calls.last_txn = json_print(body);
		calls.deepest = depth > calls.deepest ? depth : calls.deepest;
	}
	if (calls.mode == CALLS_WORK)
		return __real_etcd_call(etcd, method, body, ret, ret_sent, e);
	if (calls.mode == LOSE_REPLY && __real_etcd_call(etcd, method, body, &lost, ret_sent, e) < 0)
		return e->err;
	calls.mode = CALLS_WORK;
	if (ret_sent)
		*ret_sent = true;
	return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "the reply was lost");
}

struct etcd_server {
	pid_t pid;
	char *folder, *url, *node; /* node: of the stores that are opened from now on */
	struct http *https[8192];  /* of all stores that were opened */
	size_t http_count;
	struct etcd_config *config;
	struct etcd *filling; /* one connection for thousands of requests */
};

/* The one that the tests use. */
static struct etcd_server server;

static inline int64_t soon(void)
{
	return clock_now() + 120 * SECONDS;
}

static inline struct http *new_http(void)
{
	struct error e = {0};
	struct http *http = NULL;

	if (http_open(&http, &e) < 0 || server.http_count == ARRAY_SIZE(server.https)) {
		fprintf(stderr, "# no HTTP: %s\n", e.message);
		abort();
	}
	server.https[server.http_count++] = http;
	return http;
}

static inline struct etcd_config *config_for(const char *url)
{
	cleanup_free char *text = format_text("{\"etcdURL\":\"%s\"}", url);
	cleanup_json cJSON *json = parse_json(text);
	struct etcd_config *config = NULL;
	struct error e = {0};

	if (etcd_config_parse(json, "ipam.etcdConfig", &config, &e) < 0) {
		fprintf(stderr, "# %s\n", e.message);
		abort();
	}
	return config;
}

static inline struct store *open_store(const struct etcd_config *config, const char *data_dir, int64_t deadline)
{
	const struct store_etcd_options options = {
		.config = config,
		.http = new_http(),
		.node = server.node,
		.data_dir = data_dir,
		.deadline = deadline,
	};
	struct store *store = NULL;
	struct error e = {0};

	if (store_etcd_open(&options, &store, &e) < 0) {
		fprintf(stderr, "# %s\n", e.message);
		abort();
	}
	return store;
}

static inline struct store *open_etcd_at(const struct etcd_config *config, const char *data_dir)
{
	return open_store(config, data_dir, soon());
}

static inline struct store *open_etcd_until(const char *data_dir, int64_t deadline)
{
	return open_store(server.config, data_dir, deadline);
}

static inline struct store *open_etcd(const struct store_fixture *fixture)
{
	return open_etcd_at(server.config, fixture->folder);
}

/* A namespace of its own, so that nobody else's etcd and no other test is met. */
static inline int enter_namespace(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (unshare(CLONE_NEWNET) < 0)
		return -1;

	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return ioctl(fd, SIOCSIFFLAGS, &request);
}

static inline const char *etcd_program(void)
{
	const char *program = getenv("LAMINA_ETCD");

	return program ? program : ".cache/etcd-3.4/etcd";
}

/* Starts an etcd on that port, with more arguments of its own (NULL: none); data_dir lies in memory. */
static inline pid_t start_etcd(const char *folder, int port, const char *quota)
{
	cleanup_free char *client = format_text("http://127.0.0.1:%d", port);
	cleanup_free char *peer = format_text("http://127.0.0.1:%d", port + 1);
	cleanup_free char *cluster = format_text("default=%s", peer);
	cleanup_free char *data = format_text("%s/etcd", folder), *log = format_text("%s/etcd.log", folder);
	const char *const arguments[] = {etcd_program(), "--data-dir", data, "--listen-client-urls", client,
		"--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", cluster, "--quota-backend-bytes", quota ? quota : "0", NULL};
	pid_t child = fork_child();

	if (child == 0) {
		if (!freopen(log, "w", stderr) || dup2(2, 1) < 0)
			_exit(1);
		execv(arguments[0], (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	return child;
}

/* A request of ours, as it is, on *etcd, which is opened the first time; the reply is freed by the caller. */
static inline cJSON *ask_etcd_on(struct etcd **etcd, const char *method, const cJSON *body)
{
	const struct etcd_options options = {.config = server.config, .http = *etcd ? NULL : new_http()};
	struct error e = {0};
	cJSON *reply = NULL;

	if (!*etcd && etcd_open(&options, etcd, &e) < 0)
		fail_msg("%s", e.message);
	etcd_set_deadline(*etcd, soon());
	if (__real_etcd_call(*etcd, method, body, &reply, NULL, &e) < 0)
		fail_msg("%s", e.message);
	return reply;
}

static inline cJSON *ask_etcd(const char *method, const cJSON *body)
{
	cleanup_etcd struct etcd *etcd = NULL;

	return ask_etcd_on(&etcd, method, body);
}

static inline cJSON *txn_of(cJSON *operation)
{
	cJSON *list = cJSON_CreateArray();

	cJSON_AddItemToArray(list, operation);
	return etcd_txn(NULL, list, NULL);
}

static inline void put_key(const char *key, const char *value)
{
	cleanup_json cJSON *body = txn_of(etcd_put(key, value));
	cJSON_Delete(ask_etcd("/v3/kv/txn", body));
}

static inline void delete_key(const char *key)
{
	cleanup_json cJSON *body = txn_of(etcd_delete(key));
	cJSON_Delete(ask_etcd("/v3/kv/txn", body));
}

/* "key=value; ..." of all keys with that prefix; the caller frees it. */
static inline char *keys_under(const char *prefix)
{
	cleanup_json cJSON *body = txn_of(etcd_range(prefix, true, ETCD_VALUES, 0));
	cleanup_json cJSON *reply = ask_etcd("/v3/kv/txn", body);
	struct etcd_kv *kvs = NULL;
	size_t count = 0;
	struct error e = {0};
	char *text = copy_text("");

	if (etcd_kvs(etcd_response(reply, 0), &kvs, &count, &e) < 0)
		fail_msg("%s", e.message);
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *before = text;

		text = format_text("%s%s%s=%s", before, i ? "; " : "", kvs[i].key, kvs[i].value);
	}
	etcd_kvs_free(kvs, count);
	return text;
}

static inline void expect_keys(const char *prefix, const char *expected)
{
	cleanup_free char *text = keys_under(prefix);

	assert_string_equal(text, expected);
}

static inline void remove_folder(const char *folder)
{
	cleanup_free char *command = format_text("rm -rf '%s'", folder);

	if (system(command) != 0)
		fprintf(stderr, "# cannot remove %s\n", folder);
}

static inline int start_server(void **state)
{
	char folder[] = "/dev/shm/lamina-etcd-XXXXXX";

	(void)state;
	if (enter_namespace() < 0 || !mkdtemp(folder))
		return -1;
	server.folder = copy_text(folder);
	server.url = copy_text("http://127.0.0.1:2379");
	server.node = copy_text("node-1");
	server.config = config_for(server.url);
	server.pid = start_etcd(folder, 2379, NULL);
	return 0;
}

static inline void stop_etcd(pid_t pid)
{
	kill(pid, SIGKILL);
	await_child(pid);
}

static inline int stop_server(void **state)
{
	(void)state;
	stop_etcd(server.pid);
	if (server.filling)
		etcd_free(server.filling);
	for (size_t i = 0; i < server.http_count; i++)
		http_free(server.https[i]);
	etcd_config_free(server.config);
	remove_folder(server.folder);
	free(server.folder);
	free(server.url);
	free(server.node);
	free(calls.last_txn);
	return 0;
}

/* Each test begins with an empty etcd and an empty data folder. */
static inline int setup(void **state)
{
	struct store_fixture *fixture = allocate(1, sizeof(*fixture));
	cleanup_json cJSON *body = cJSON_CreateObject();

	json_put_text(body, "key", "L2V0Y2QtY25pLw==");       /* "/etcd-cni/" */
	json_put_text(body, "range_end", "L2V0Y2QtY25pMA=="); /* "/etcd-cni0" */
	cJSON_Delete(ask_etcd("/v3/kv/deleterange", body));

	*fixture = (struct store_fixture){.open = open_etcd, .folder = format_text("%s/data", server.folder)};
	*state = fixture;
	calls.mode = CALLS_WORK;
	calls.delete_at = 0;
	return 0;
}

static inline int teardown(void **state)
{
	struct store_fixture *fixture = *state;

	remove_folder(fixture->folder);
	free(fixture->folder);
	free(fixture);
	return 0;
}
