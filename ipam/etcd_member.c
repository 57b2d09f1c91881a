#include "ipam/etcd_member.h"

#include "ipam/etcd_reply.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>

struct etcd_member_call {
	const struct etcd_config *config;
	const char *url;
	struct http_identity identity;
	struct http_call *call;
};

int etcd_member_start(const struct etcd_config *config, size_t i, struct http *http, int64_t deadline,
	struct etcd_member_call **ret, struct error *e)
{
	cleanup_etcd_member struct etcd_member_call *call = allocate(1, sizeof(*call));
	cleanup_free char *url = format_text("%s/v3/maintenance/status", config->endpoints[i]);

	call->config = config;
	call->url = config->endpoints[i];
	call->identity = (struct http_identity){
		.ca_file = config->ca_file, .cert_file = config->cert_file, .key_file = config->key_file};

	const struct http_request request = {
		.method = "POST",
		.url = url,
		.body = "{}",
		.max_reply = ETCD_REPLY_MAX,
		.connect_time = deadline - clock_now(),
		.deadline = deadline,
		.identity = &call->identity,
	};

	if (http_start(http, &request, &call->call, e) < 0)
		return e->err;
	*ret = steal_ptr(call);
	return 0;
}

/* An alarm is one of the sentences in `errors`; numbers are texts, and absent when they are 0. */
static int judge(const struct etcd_member_call *call, const cJSON *status, struct error *e)
{
	const cJSON *alarm = cJSON_GetArrayItem(json_get(status, "errors"), 0);
	const char *leader = json_text(status, "leader"), *place = etcd_place(call->url);

	if (!leader || strcmp(leader, "0") == 0)
		return error_set(e, -EAGAIN, ERROR_TRY_AGAIN,
			"%s answers, but has no leader: the cluster has no quorum while most members are away", place);
	if (cJSON_IsString(alarm))
		return error_set(e, -ENOSPC, ERROR_TRY_AGAIN,
			"%s has an alarm: %.200s: see etcdctl alarm list, and disarm it when its cause is gone", place,
			alarm->valuestring);
	return 0;
}

int etcd_member_await(struct etcd_member_call *call, char **ret_version, struct error *e)
{
	cleanup_http_reply struct http_reply reply = {0};
	cleanup_json cJSON *status = NULL;
	bool sent;

	http_await(call->call, &reply);
	if (etcd_reply_read(call->config, call->url, &reply, &status, &sent, e) != ETCD_GOOD ||
		judge(call, status, e) < 0)
		return e->err;

	const char *version = json_text(status, "version");

	*ret_version = copy_text(version ? version : "of an unknown version");
	return 0;
}

const char *etcd_member_place(const struct etcd_config *config, size_t i)
{
	return etcd_place(config->endpoints[i]);
}

void etcd_member_free(struct etcd_member_call *call)
{
	if (call->call)
		http_call_free(call->call);
	free(call);
}
