/*
 * etcd_probe CONFIG MILLISECONDS DATA_DIR METHOD BODY [METHOD BODY ...]: calls of one process to an etcd cluster, for
 * tests. CONFIG is an etcdConfig, DATA_DIR may be empty. Prints one JSON object a call: {"reply":..,"sent":..}, or
 * {"code":..,"err":..,"msg":..,"sent":..}. Ends with 1 after the first that failed.
 */
#include "ipam/etcd.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static int print(cJSON *object)
{
	cleanup_free char *text = json_print(object);

	puts(text);
	cJSON_Delete(object);
	return 0;
}

static int print_error(const struct error *e, bool sent)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddNumberToObject(object, "code", e->code);
	cJSON_AddStringToObject(object, "err", strerrorname_np(-e->err));
	cJSON_AddStringToObject(object, "msg", e->message);
	cJSON_AddBoolToObject(object, "sent", sent);
	print(object);
	return 1;
}

static int call(struct etcd *etcd, const char *method, const char *text, struct error *e)
{
	cleanup_json cJSON *body = NULL;
	cJSON *reply = NULL, *object;
	bool sent = false;

	if (json_parse(text, strlen(text), "BODY", &body, e) < 0 || etcd_call(etcd, method, body, &reply, &sent, e) < 0)
		return print_error(e, sent);
	object = cJSON_CreateObject();
	cJSON_AddItemToObject(object, "reply", reply);
	cJSON_AddBoolToObject(object, "sent", sent);
	return print(object);
}

int main(int argc, char **argv)
{
	cleanup_error struct error e = {0};
	cleanup_json cJSON *object = NULL;
	cleanup_http struct http *http = NULL;
	cleanup_etcd_config struct etcd_config *config = NULL;
	cleanup_etcd struct etcd *etcd = NULL;
	struct etcd_options options = {0};
	int r = 0;

	if (argc < 6)
		return 2;
	log_open(getenv("PROBE_DEBUG") ? LOG_DEBUG : LOG_WARNING, 0);
	signal(SIGPIPE, SIG_IGN);
	if (json_parse(argv[1], strlen(argv[1]), "CONFIG", &object, &e) < 0 ||
		etcd_config_parse(object, "etcdConfig", &config, &e) < 0 || http_open(&http, &e) < 0)
		return print_error(&e, false);
	options.config = config;
	options.http = http;
	options.data_dir = *argv[3] ? argv[3] : NULL;
	options.deadline = clock_now() + strtol(argv[2], NULL, 10) * 1000;
	if (etcd_open(&options, &etcd, &e) < 0)
		return print_error(&e, false);
	for (int i = 4; i + 1 < argc && r == 0; i += 2)
		r = call(etcd, argv[i], argv[i + 1], &e);
	return r;
}
