#include "ipam/etcd.h"

#include "ipam/etcd_note.h"
#include "ipam/etcd_reply.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* One try: long enough for a busy cluster, short enough for a member that accepts and never answers. */
#define TRY_TIME_MAX (3 * SECONDS)
#define TRY_TIME_MIN (SECONDS * 3 / 10)
#define CONNECT_TIME_MAX (1 * SECONDS)

/* Between two rounds over all members: doubled each time. */
#define PAUSE_MIN (SECONDS / 20)
#define PAUSE_MAX (1 * SECONDS)

#define TXN "/v3/kv/txn"

#define PASSWORD_MAX 1024
#define TOKEN_MAX 4000

/* How often a member may say what looks like a mistake in its configuration, but may pass. */
#define SUSPICIONS_MAX 3

struct member {
	const char *url;
	bool unfit; /* it never will; not asked again in this call */
	int suspicions;
	char *said; /* why it did not answer, when it was asked last */
};

struct etcd {
	const struct etcd_config *config;
	struct http *http;
	char *data_dir;
	int64_t deadline;
	struct http_identity identity;
	struct member *members; /* in the order in which they are asked: the one that answered last is the first */
	size_t member_count;
	int round;   /* over all of them, of the call under way */
	char *noted; /* the endpoint in data_dir */
	char *token;
	bool no_users;          /* the cluster said that its authentication is off */
	struct http_call *warm; /* to the first member, without its body; NULL: none */
	const char *warm_url;   /* of that member */
};

struct request {
	const char *method, *body;
	bool sent;            /* some member may have got it */
	struct error refused; /* of the first member that is unfit */
};

static size_t random_below(size_t n)
{
	uint32_t x = 0;

	if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != sizeof(x))
		x = (uint32_t)clock_now();
	return x % n;
}

static void put_first(struct etcd *etcd, size_t i)
{
	struct member member = etcd->members[i];

	memmove(etcd->members + 1, etcd->members, i * sizeof(member));
	etcd->members[0] = member;
}

int etcd_open(const struct etcd_options *options, struct etcd **ret, struct error *e)
{
	const struct etcd_config *config = options->config;

	if (config->endpoint_count == 0)
		return error_set(e, -EINVAL, ERROR_CONFIG, "etcdConfig names no member");

	struct etcd *etcd = allocate(1, sizeof(*etcd));

	etcd->config = config;
	etcd->http = options->http;
	etcd->data_dir = copy_text(options->data_dir);
	etcd->deadline = options->deadline;
	etcd->identity = (struct http_identity){
		.ca_file = config->ca_file, .cert_file = config->cert_file, .key_file = config->key_file};
	etcd->member_count = config->endpoint_count;
	etcd->members = allocate(config->endpoint_count, sizeof(*etcd->members));
	for (size_t i = 0; i < config->endpoint_count; i++) {
		etcd->members[i].url = config->endpoints[i];
		put_first(etcd, i - random_below(i + 1)); /* any order will do in which each is as often the first */
	}
	etcd->noted = etcd_note_read(etcd->data_dir, config, ETCD_NOTE_ENDPOINT);
	for (size_t i = 0; etcd->noted && i < etcd->member_count; i++) {
		if (strcmp(etcd->members[i].url, etcd->noted) == 0)
			put_first(etcd, i);
	}
	*ret = etcd;
	return 0;
}

void etcd_set_deadline(struct etcd *etcd, int64_t deadline)
{
	etcd->deadline = deadline;
}

static void drop_warm(struct etcd *etcd)
{
	if (etcd->warm)
		http_call_free(steal_ptr(etcd->warm));
}

void etcd_free(struct etcd *etcd)
{
	drop_warm(etcd);
	for (size_t i = 0; i < etcd->member_count; i++)
		free(etcd->members[i].said);
	free(etcd->members);
	free(etcd->data_dir);
	free(etcd->noted);
	free(etcd->token);
	free(etcd);
}

/* The head of a call that was opened before has the token of then. */
static void set_token(struct etcd *etcd, char *token)
{
	drop_warm(etcd);
	free(etcd->token);
	etcd->token = token;
}

/* --- one try --- */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* What is left of the time, shared with the members that are still to be asked; there is always one more try. */
static int64_t try_time(const struct etcd *etcd, size_t i)
{
	int64_t share = 0;

	for (; i < etcd->member_count; i++)
		share += !etcd->members[i].unfit;
	if (share < 2)
		share = 2;
	return clamp((etcd->deadline - clock_now()) / share, TRY_TIME_MIN, TRY_TIME_MAX);
}

/* body NULL: it comes later. */
static int start_post(
	struct etcd *etcd, size_t i, const char *method, const char *body, struct http_call **ret, struct error *e)
{
	cleanup_free char *url = format_text("%s%s", etcd->members[i].url, method);
	cleanup_free char *authorization = etcd->token ? format_text("Authorization: %s", etcd->token) : NULL;
	const char *headers[] = {"Grpc-Metadata-Hasleader: true", authorization, NULL};
	int64_t time = try_time(etcd, i);
	/* When none could be reached it may be us, or all of them, who are slow: to give up early again makes it worse.
	 */
	int64_t connect_time = etcd->round ? time : clamp(time / 3, TRY_TIME_MIN, CONNECT_TIME_MAX);
	struct http_request request = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = body,
		.body_later = !body,
		.max_reply = ETCD_REPLY_MAX,
		.connect_time = connect_time,
		.deadline = body ? earlier(clock_now() + time, etcd->deadline) : etcd->deadline,
		.identity = &etcd->identity,
	};

	return http_start(etcd->http, &request, ret, e);
}

void etcd_warm(struct etcd *etcd, bool await)
{
	cleanup_error struct error ignored = {0};

	if (etcd->warm || clock_left(etcd->deadline) == 0)
		return;
	/* A log-in would be a request of its own. */
	if (etcd->config->username && !etcd->token)
		set_token(etcd, etcd_note_read(etcd->data_dir, etcd->config, ETCD_NOTE_TOKEN));
	if (etcd->config->username && !etcd->token)
		return;
	etcd->warm_url = etcd->members[0].url;
	etcd->round = 0;
	if (start_post(etcd, 0, TXN, NULL, &etcd->warm, &ignored) == 0 && await)
		http_stand(etcd->warm);
}

/* True: *ret is what came of a transaction for which the connection had been opened before. */
static bool post_warm(struct etcd *etcd, size_t i, const char *method, const char *body, struct http_reply *ret)
{
	if (!etcd->warm || etcd->members[i].url != etcd->warm_url || strcmp(method, TXN) != 0)
		return false;

	cleanup_http_call struct http_call *call = steal_ptr(etcd->warm);

	const bool had_time = http_send(call, body, earlier(clock_now() + try_time(etcd, i), etcd->deadline));

	http_await(call, ret);
	if (ret->sent || ret->failure == HTTP_REFUSED || ret->failure == HTTP_NAME ||
		(ret->failure == HTTP_TIMEOUT && had_time))
		return true;
	/* It ended before it had the body: whatever that was, it says nothing about the body. */
	http_reply_clear(ret);
	return false;
}

static enum etcd_verdict post(
	struct etcd *etcd, size_t i, const char *method, const char *body, cJSON **ret, bool *ret_sent, struct error *e)
{
	cleanup_http_reply struct http_reply reply = {0};

	*ret_sent = false;
	if (!post_warm(etcd, i, method, body, &reply)) {
		cleanup_http_call struct http_call *call = NULL;

		if (start_post(etcd, i, method, body, &call, e) < 0)
			return ETCD_FINAL;
		http_await(call, &reply);
	}
	return etcd_reply_read(etcd->config, etcd->members[i].url, &reply, ret, ret_sent, e);
}

/* --- users: etcd.io/docs/v3.5/dev-guide/api_grpc_gateway, "Authentication" --- */

static void drop_token(struct etcd *etcd)
{
	set_token(etcd, NULL);
	etcd_note_write(etcd->data_dir, etcd->config, ETCD_NOTE_TOKEN, NULL);
}

static int read_password(const struct etcd_config *config, char **ret, struct error *e)
{
	size_t length = 0;

	if (file_read(config->password_file, PASSWORD_MAX, ret, &length, e) < 0)
		return error_set(e, e->err, ERROR_CONFIG, "etcdConfig: etcdPasswordFile: %s", e->message);
	while (length > 0 && ((*ret)[length - 1] == '\n' || (*ret)[length - 1] == '\r'))
		(*ret)[--length] = '\0';
	return 0;
}

static bool is_token(const char *text)
{
	if (!text || !*text || strlen(text) > TOKEN_MAX)
		return false;
	for (const char *c = text; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return false;
	}
	return true;
}

static int login_body(const struct etcd_config *config, char **ret, struct error *e)
{
	cleanup_free char *password = NULL;
	int r = read_password(config, &password, e);

	if (r < 0)
		return r;

	cleanup_json cJSON *object = cJSON_CreateObject();

	json_put_text(object, "name", config->username);
	json_put_text(object, "password", password);
	*ret = json_print(object);
	return 0;
}

static enum etcd_verdict log_in(struct etcd *etcd, size_t i, struct error *e)
{
	cleanup_free char *body = NULL;
	cleanup_json cJSON *reply = NULL;
	bool sent;

	if (login_body(etcd->config, &body, e) < 0)
		return ETCD_FINAL;

	enum etcd_verdict verdict = post(etcd, i, "/v3/auth/authenticate", body, &reply, &sent, e);

	if (verdict == ETCD_FINAL && e->err == -EOPNOTSUPP) {
		error_clear(e);
		etcd->no_users = true;
		return ETCD_GOOD;
	}
	if (verdict != ETCD_GOOD)
		return verdict;

	const char *token = json_text(reply, "token");

	if (!is_token(token)) {
		error_set(e, -EBADMSG, ERROR_DECODE, "what answers at %s is no etcd: it gave no token",
			etcd_place(etcd->members[i].url));
		return ETCD_UNFIT;
	}
	set_token(etcd, copy_text(token));
	etcd_note_write(etcd->data_dir, etcd->config, ETCD_NOTE_TOKEN, token);
	return ETCD_GOOD;
}

static enum etcd_verdict need_token(struct etcd *etcd, size_t i, struct error *e)
{
	if (!etcd->config->username || etcd->token || etcd->no_users)
		return ETCD_GOOD;
	set_token(etcd, etcd_note_read(etcd->data_dir, etcd->config, ETCD_NOTE_TOKEN));
	return etcd->token ? ETCD_GOOD : log_in(etcd, i, e);
}

/* A token ends some minutes after its last use: then once more, with a new one. */
static enum etcd_verdict ask(struct etcd *etcd, size_t i, struct request *request, cJSON **ret, struct error *e)
{
	bool sent = false;
	enum etcd_verdict verdict = need_token(etcd, i, e);

	if (verdict != ETCD_GOOD)
		return verdict;
	verdict = post(etcd, i, request->method, request->body, ret, &sent, e);
	if (verdict == ETCD_TOKEN && etcd->config->username) {
		error_clear(e);
		drop_token(etcd);
		etcd->no_users = false;
		verdict = log_in(etcd, i, e);
		if (verdict == ETCD_GOOD)
			verdict = post(etcd, i, request->method, request->body, ret, &sent, e);
	}
	request->sent |= sent;
	return verdict;
}

/* --- all members --- */

static void note_good(struct etcd *etcd, size_t i)
{
	const char *url = etcd->members[i].url;

	put_first(etcd, i);
	if (etcd->noted && strcmp(etcd->noted, url) == 0)
		return;
	free(etcd->noted);
	etcd->noted = copy_text(url);
	etcd_note_write(etcd->data_dir, etcd->config, ETCD_NOTE_ENDPOINT, url);
}

static int too_late(const struct etcd *etcd, struct error *e)
{
	cleanup_free char *all = copy_text("");

	for (size_t i = 0; i < etcd->member_count; i++) {
		const struct member *member = &etcd->members[i];
		char *longer =
			member->said ? format_text("%s%s%s", all, *all ? "; " : "", member->said)
				     : format_text("%s%s%s: not asked", all, *all ? "; " : "", etcd_place(member->url));

		free(all);
		all = longer;
	}
	return error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN, "etcd does not answer: %s", all);
}

/* Asks each member once that may still answer. True: that was it, with the error, or without. */
static bool ask_round(struct etcd *etcd, struct request *request, cJSON **ret, struct error *e)
{
	for (size_t i = 0; i < etcd->member_count; i++) {
		struct member *member = &etcd->members[i];

		if (member->unfit)
			continue;
		if (clock_left(etcd->deadline) == 0)
			return false;

		enum etcd_verdict verdict = ask(etcd, i, request, ret, e);

		if (verdict == ETCD_GOOD)
			note_good(etcd, i);
		if (verdict != ETCD_AWAY && verdict != ETCD_UNFIT)
			return true;
		log_write(LOG_DEBUG, "etcd: %s", e->message);
		free(member->said);
		member->said = copy_text(e->message);
		member->suspicions += e->code == ERROR_CONFIG;
		member->unfit = verdict == ETCD_UNFIT || member->suspicions == SUSPICIONS_MAX;
		if (member->unfit)
			error_keep_first(&request->refused, e);
		error_clear(e);
	}
	return false;
}

static bool any_fit(const struct etcd *etcd)
{
	for (size_t i = 0; i < etcd->member_count; i++) {
		if (!etcd->members[i].unfit)
			return true;
	}
	return false;
}

static void begin(struct etcd *etcd)
{
	for (size_t i = 0; i < etcd->member_count; i++) {
		free(etcd->members[i].said);
		etcd->members[i].said = NULL;
		etcd->members[i].unfit = false;
		etcd->members[i].suspicions = 0;
	}
}

/* Half of it is random: a herd that was refused together must not come back together. */
static void pause_after(int round, int64_t deadline)
{
	int64_t pause = clamp(PAUSE_MIN << (round < 10 ? round : 10), PAUSE_MIN, PAUSE_MAX);

	clock_pause(pause / 2 + clock_chance(pause / 2), deadline);
}

int etcd_call(struct etcd *etcd, const char *method, const cJSON *body, cJSON **ret, bool *ret_sent, struct error *e)
{
	cleanup_free char *text = json_print(body);
	struct request request = {.method = method, .body = text};
	bool over = false;

	begin(etcd);
	for (int round = 0; !over && any_fit(etcd) && clock_left(etcd->deadline) > 0; round++) {
		if (round > 0)
			pause_after(round - 1, etcd->deadline);
		etcd->round = round;
		over = ask_round(etcd, &request, ret, e);
	}
	if (ret_sent)
		*ret_sent = request.sent;
	if (!over && !any_fit(etcd)) {
		error_keep_first(e, &request.refused);
		return e->err;
	}
	error_clear(&request.refused);
	return over ? e->err : too_late(etcd, e);
}
