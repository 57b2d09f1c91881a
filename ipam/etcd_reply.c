#include "ipam/etcd_reply.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Of what a stranger says, for a message. */
#define SAID_MAX 200

/* An error's body; a longer one is not etcd's. */
#define ERROR_BODY_MAX ((size_t)64 << 10)

/* google.golang.org/grpc/codes */
enum grpc_code {
	GRPC_NONE = 0, /* the body has none */
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};

/* One member's answer, taken apart. */
struct answer {
	const struct etcd_config *config;
	const char *place;
	int status;
	int code;   /* enum grpc_code, or another of gRPC's */
	char *said; /* its text, in one short line */
	bool page;  /* HTML */
};

const char *etcd_place(const char *endpoint)
{
	const char *slashes = strstr(endpoint, "://");

	return slashes ? slashes + 3 : endpoint;
}

/* --- no answer --- */

static enum etcd_verdict explain_peer(const struct etcd_config *config, const char *reason, struct error *e)
{
	cleanup_free char *way_out = NULL;

	if (strstr(reason, "expired") || strstr(reason, "not yet valid"))
		way_out = copy_text("renew that member's certificate (and compare the clocks)");
	else if (strstr(reason, "subject name"))
		way_out = copy_text("that member's certificate must name the host that etcdURL has");
	else if (config->ca_file)
		way_out = format_text(
			"etcdTrustedCAFile is %s: it must be the CA of etcd's server certificates", config->ca_file);
	else
		way_out = copy_text("set etcdTrustedCAFile to the CA of etcd's server certificates");
	error_set(e, -EKEYREJECTED, ERROR_CONFIG, "etcd's certificate is not trusted: %s: %s", reason, way_out);
	return ETCD_UNFIT;
}

static enum etcd_verdict explain_rejection(const struct etcd_config *config, const char *reason, struct error *e)
{
	if (config->cert_file)
		error_set(e, -EKEYREJECTED, ERROR_CONFIG,
			"etcd does not accept our certificate: %s: etcdCertFile is %s: it must be a client certificate "
			"of the "
			"CA that etcd trusts (--trusted-ca-file), and not expired",
			reason, config->cert_file);
	else
		error_set(e, -EKEYREJECTED, ERROR_CONFIG,
			"etcd wants a client certificate: %s: set etcdCertFile and etcdKeyFile", reason);
	return ETCD_UNFIT;
}

static enum etcd_verdict explain_own(const struct http_reply *reply, struct error *e)
{
	static const char *const keys[] = {[HTTP_OWN_NONE] = "etcdConfig",
		[HTTP_OWN_CA] = "etcdTrustedCAFile",
		[HTTP_OWN_CERT] = "etcdCertFile",
		[HTTP_OWN_KEY] = "etcdKeyFile"};

	error_set(e, -EINVAL, ERROR_CONFIG, "etcdConfig: %s: %s", keys[reply->own], reply->reason);
	return ETCD_FINAL;
}

static bool config_is_https(const struct etcd_config *config)
{
	return config->endpoint_count > 0 && strncasecmp(config->endpoints[0], "https:", strlen("https:")) == 0;
}

static enum etcd_verdict explain_failure(
	const struct etcd_config *config, const struct http_reply *reply, struct error *e)
{
	switch (reply->failure) {
	case HTTP_PEER:
		return explain_peer(config, reply->reason, e);
	case HTTP_REJECTED:
		return explain_rejection(config, reply->reason, e);
	case HTTP_OWN:
		return explain_own(reply, e);
	case HTTP_TOO_LARGE:
	case HTTP_GARBAGE:
		error_set(e, -EBADMSG, ERROR_DECODE, "what answers there is no etcd: %s", reply->reason);
		return ETCD_UNFIT;
	case HTTP_NAME:
		error_set(e, -EHOSTUNREACH, ERROR_TRY_AGAIN,
			"%s (correct it in etcdURL, or have it in /etc/hosts or DNS)", reply->reason);
		return ETCD_AWAY;
	case HTTP_OK:
	case HTTP_REFUSED:
	case HTTP_TIMEOUT:
	case HTTP_LOST:
		break;
	}
	error_set(e, -EHOSTUNREACH, ERROR_TRY_AGAIN, "%s%s", reply->reason,
		reply->failure == HTTP_LOST && !config_is_https(config)
			? " (if it speaks TLS, etcdURL must begin with https://)"
			: "");
	return ETCD_AWAY;
}

/* --- an answer that is an error --- */

static char *one_line(const char *text)
{
	char *line = format_text("%.*s", SAID_MAX, text);

	line[strcspn(line, "\r\n")] = '\0';
	for (char *c = line; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return line;
}

/* Both gateways' errors have a code; {"error","message","code"} is the older, {"code","message","details"} the newer
 * one. */
static void read_error(struct answer *answer, const struct http_reply *reply)
{
	cleanup_json cJSON *body = NULL;
	cleanup_error struct error ignored = {0};
	const char *bytes = reply->body ? reply->body : "";

	answer->page = bytes[strspn(bytes, " \t\r\n")] == '<';
	if (json_parse_max(bytes, reply->length, ERROR_BODY_MAX, "error", &body, &ignored) >= 0) {
		const cJSON *code = json_get(body, "code");
		const char *said = json_text(body, "message");

		if (!said)
			said = json_text(body, "error");
		if (cJSON_IsNumber(code) && code->valuedouble > 0 && code->valuedouble < 100)
			answer->code = (int)code->valuedouble;
		answer->said = one_line(said ? said : "");
	} else {
		answer->said = one_line(answer->page ? "an HTML page" : bytes);
	}
}

static bool says(const struct answer *answer, const char *text)
{
	return strstr(answer->said, text) != NULL;
}

static enum etcd_verdict explain_exhausted(const struct answer *answer, struct error *e)
{
	if (says(answer, "too many requests")) {
		error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "%s: %s", answer->place, answer->said);
		return ETCD_AWAY;
	}
	if (says(answer, "space"))
		error_set(e, -ENOSPC, ERROR_TRY_AGAIN,
			"etcd has no space left (alarm NOSPACE): %s: %s: compact and defragment its members, then "
			"etcdctl alarm "
			"disarm",
			answer->place, answer->said);
	else
		error_set(e, -EIO, ERROR_TRY_AGAIN, "etcd refuses the request: %s: %s", answer->place, answer->said);
	return ETCD_FINAL;
}

static enum etcd_verdict explain_token(const struct answer *answer, struct error *e)
{
	if (answer->config->username)
		error_set(e, -EACCES, ERROR_CONFIG, "etcd does not accept the token of user %s (etcdUsername): %s: %s",
			answer->config->username, answer->place, answer->said);
	else
		error_set(e, -EACCES, ERROR_CONFIG,
			"etcd wants a user (its authentication is on): %s: %s: set etcdUsername and etcdPasswordFile",
			answer->place, answer->said);
	return ETCD_TOKEN;
}

static enum etcd_verdict explain_rights(const struct answer *answer, struct error *e)
{
	if (says(answer, "authentication failed") && !answer->config->username)
		return explain_token(answer, e);
	if (says(answer, "authentication failed"))
		error_set(e, -EACCES, ERROR_CONFIG,
			"etcd does not accept user %s (etcdUsername) with the password in %s (etcdPasswordFile): %s: "
			"%s",
			answer->config->username, answer->config->password_file, answer->place, answer->said);
	else
		error_set(e, -EACCES, ERROR_CONFIG,
			"etcd does not permit it%s%s: %s: %s: the user's role needs readwrite on all keys that begin "
			"with /etcd-cni/: etcdctl role grant-permission ROLE --prefix=true readwrite /etcd-cni/",
			answer->config->username ? " to user " : "",
			answer->config->username ? answer->config->username : "", answer->place, answer->said);
	return ETCD_FINAL;
}

/*
 * Its gateway is a client of its own member, and shows it the server's certificate (github.com/etcd-io/etcd 15755). 3.5
 * says which alert it got, 3.4 only that the connection was closed, which may have another cause and end.
 */
static enum etcd_verdict explain_gateway(const struct answer *answer, bool sure, struct error *e)
{
	error_set(e, -EKEYREJECTED, ERROR_CONFIG,
		"etcd's JSON gateway cannot reach its own member: %s: %s: that member's server certificate "
		"(--cert-file) must "
		"be a client certificate, too (extended key usage clientAuth), and of the CA in --trusted-ca-file",
		answer->place, answer->said);
	return sure ? ETCD_UNFIT : ETCD_AWAY;
}

static enum etcd_verdict explain_away(const struct answer *answer, struct error *e)
{
	error_set(e, -EAGAIN, ERROR_TRY_AGAIN, "%s: %s (HTTP %d)", answer->place, answer->said, answer->status);
	return ETCD_AWAY;
}

/* What no etcd, or something in front of one, says without a code. */
static enum etcd_verdict explain_plain(const struct answer *answer, struct error *e)
{
	if (says(answer, "CommonName of client")) {
		error_set(e, -EACCES, ERROR_CONFIG,
			"etcd's authentication (RBAC) is on, and its JSON gateway refuses every client certificate "
			"with a CN: "
			"%s: etcdCertFile must be a certificate without CN, with etcdUsername and etcdPasswordFile "
			"set, or "
			"RBAC off",
			answer->place);
		return ETCD_FINAL;
	}
	if (says(answer, "HTTP request to an HTTPS server")) {
		error_set(e, -EPROTO, ERROR_CONFIG, "%s speaks TLS: etcdURL must begin with https://", answer->place);
		return ETCD_UNFIT;
	}
	if (answer->status == 404 && !answer->page) {
		error_set(e, -ENOENT, ERROR_CONFIG,
			"etcd has no JSON gateway at %s: it was started with --enable-grpc-gateway=false, serves it at "
			"another port "
			"(--listen-client-http-urls), or is older than 3.4",
			answer->place);
		return ETCD_UNFIT;
	}
	error_set(e, -EBADMSG, ERROR_DECODE, "what answers at %s is no etcd: HTTP %d: %s", answer->place,
		answer->status, answer->said);
	return ETCD_UNFIT;
}

static enum etcd_verdict explain_invalid(const struct answer *answer, struct error *e)
{
	if (says(answer, "auth token") || says(answer, "revision of auth store") || says(answer, "user name is empty"))
		return explain_token(answer, e);
	if (says(answer, "authentication failed"))
		return explain_rights(answer, e);
	error_set(e, says(answer, "authentication is not enabled") ? -EOPNOTSUPP : -EINVAL, ERROR_TRY_AGAIN,
		"etcd refuses the request: %s: %s (code %d)", answer->place, answer->said, answer->code);
	return ETCD_FINAL;
}

static enum etcd_verdict explain_status(const struct answer *answer, struct error *e)
{
	if (answer->code == GRPC_UNAUTHENTICATED)
		return explain_token(answer, e);
	if (answer->code == GRPC_PERMISSION_DENIED)
		return explain_rights(answer, e);
	if (answer->code == GRPC_RESOURCE_EXHAUSTED)
		return explain_exhausted(answer, e);
	if (answer->code == GRPC_UNAVAILABLE && (says(answer, "handshake failed") || says(answer, "remote error: tls")))
		return explain_gateway(answer, true, e);
	if (answer->code == GRPC_UNAVAILABLE && (says(answer, "connection closed") || says(answer, "closed network")))
		return explain_gateway(answer, false, e);
	if (answer->code == GRPC_UNAVAILABLE || answer->code == GRPC_DEADLINE_EXCEEDED || answer->status >= 500 ||
		answer->status == 429)
		return explain_away(answer, e);
	if (answer->code == GRPC_NONE || answer->status == 404)
		return explain_plain(answer, e);
	return explain_invalid(answer, e);
}

/* What surely was not carried out: refused before it entered the log. */
static bool may_be_done(const struct answer *answer, enum etcd_verdict verdict)
{
	return verdict == ETCD_AWAY && answer->code != GRPC_RESOURCE_EXHAUSTED &&
	       !says(answer, "etcdserver: no leader");
}

/* --- an answer --- */

static enum etcd_verdict read_reply(const char *place, const struct http_reply *reply, cJSON **ret, struct error *e)
{
	cleanup_json cJSON *body = NULL;
	const char *bytes = reply->body ? reply->body : "";
	int r = json_parse_max(bytes, reply->length, ETCD_REPLY_MAX, "its answer", &body, e);

	/* Every reply of etcd's has one. */
	if (r >= 0 && !cJSON_IsObject(json_get(body, "header")))
		error_set(e, -EBADMSG, ERROR_DECODE, "its answer has no header");
	if (e->err < 0) {
		error_wrap(e, "what answers at %s is no etcd", place);
		return ETCD_UNFIT;
	}
	*ret = steal_ptr(body);
	return ETCD_GOOD;
}

enum etcd_verdict etcd_reply_read(const struct etcd_config *config, const char *endpoint,
	const struct http_reply *reply, cJSON **ret, bool *ret_sent, struct error *e)
{
	struct answer answer = {.config = config, .place = etcd_place(endpoint), .status = reply->status};

	*ret_sent = reply->sent;
	if (reply->failure != HTTP_OK)
		return explain_failure(config, reply, e);
	if (reply->status == 200)
		return read_reply(answer.place, reply, ret, e);
	read_error(&answer, reply);

	enum etcd_verdict verdict = explain_status(&answer, e);

	*ret_sent = may_be_done(&answer, verdict);
	free(answer.said);
	return verdict;
}
