#include "ipam/record.h"

#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* The version of the value's layout that we write and read. */
#define RECORD_VERSION 1

/* More than any value of ours needs: what is longer is somebody else's. */
#define VALUE_MAX_BYTES 4096

/* The longest name in Kubernetes, and what of an unknown value is shown. */
#define SHOWN_NAME 253
#define SHOWN_UNKNOWN 64

static void add_text(cJSON *object, const char *key, const char *text)
{
	if (text)
		json_put_text(object, key, text);
}

char *ipam_record_print(const struct ipam_record *record)
{
	cleanup_json cJSON *object = cJSON_CreateObject();
	cleanup_free char *time_text = format_text("%lld", (long long)record->time);

	if (!object)
		abort();
	json_put(object, "v", cJSON_CreateNumber(RECORD_VERSION));
	add_text(object, "kind", record->reserved ? "reserved" : record->fixed ? "fixed" : "dynamic");
	add_text(object, "cluster", record->cluster);
	add_text(object, "ns", record->ns);
	add_text(object, "pod", record->pod);
	add_text(object, "uid", record->uid);
	add_text(object, "cid", record->cid);
	add_text(object, "ifname", record->ifname);
	add_text(object, "node", record->node);
	if (record->node_guessed)
		json_put(object, "nodeGuessed", cJSON_CreateTrue());
	add_text(object, "nonce", record->nonce);
	add_text(object, "note", record->note);
	json_put(object, "time", cJSON_CreateRaw(time_text));
	return json_print(object);
}

struct fields {
	int64_t version;
	const char *kind;
	struct ipam_record record;
};

#define FIELD(key, type, member) \
	{ \
		key, type, offsetof(struct fields, member), false \
	}

static const struct json_field record_table[] = {
	FIELD("v", JSON_INTEGER, version),
	FIELD("kind", JSON_STRING, kind),
	FIELD("cluster", JSON_STRING, record.cluster),
	FIELD("ns", JSON_STRING, record.ns),
	FIELD("pod", JSON_STRING, record.pod),
	FIELD("uid", JSON_STRING, record.uid),
	FIELD("cid", JSON_STRING, record.cid),
	FIELD("ifname", JSON_STRING, record.ifname),
	FIELD("node", JSON_STRING, record.node),
	FIELD("nodeGuessed", JSON_BOOL, record.node_guessed),
	FIELD("nonce", JSON_STRING, record.nonce),
	FIELD("note", JSON_STRING, record.note),
	FIELD("time", JSON_INTEGER, record.time),
	{0},
};

static int read_fields(const cJSON *json, struct ipam_record *ret, struct error *e)
{
	struct fields fields = {0};
	int r = json_read(json, "record", record_table, &fields, e);

	if (r < 0)
		return r;
	if (fields.version != RECORD_VERSION)
		return error_set(e, -EINVAL, ERROR_DECODE, "record.v is %lld: this lamina knows %d",
			(long long)fields.version, RECORD_VERSION);
	if (!fields.kind || (strcmp(fields.kind, "fixed") != 0 && strcmp(fields.kind, "dynamic") != 0 &&
				    strcmp(fields.kind, "reserved") != 0))
		return error_set(e, -EINVAL, ERROR_DECODE, "record.kind is neither fixed nor dynamic nor reserved");
	fields.record.fixed = strcmp(fields.kind, "fixed") == 0;
	fields.record.reserved = strcmp(fields.kind, "reserved") == 0;
	*ret = fields.record;
	return 0;
}

int ipam_value_parse(const char *text, struct ipam_value *ret, struct error *e)
{
	size_t length = text ? strnlen(text, VALUE_MAX_BYTES + 1) : 0;
	cleanup_json cJSON *json = NULL;
	struct ipam_record record = {0};

	if (length == 0 || length > VALUE_MAX_BYTES)
		return error_set(e, -EINVAL, ERROR_DECODE, "a record has 1 to %d bytes", VALUE_MAX_BYTES);

	int r = json_parse(text, length, "record", &json, e);

	if (r >= 0)
		r = read_fields(json, &record, e);
	if (r < 0) {
		e->err = -EINVAL; /* whatever is wrong with it, to the caller it is one thing: not ours */
		return -EINVAL;
	}
	*ret = (struct ipam_value){.record = record, .json = steal_ptr(json)};
	return 0;
}

void ipam_value_clear(struct ipam_value *value)
{
	cJSON_Delete(value->json);
	*value = (struct ipam_value){0};
}

/* A stranger's text for one line of an error: control characters replaced, cut at max bytes between two characters. */
static char *show(const char *text, size_t max)
{
	size_t length = strnlen(text, max + 1);
	bool cut = length > max;

	if (cut) {
		length = max;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}

	char *shown = format_text("%.*s%s", (int)length, text, cut ? "..." : "");

	for (char *c = shown; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return shown;
}

static char *describe_holder(const struct ipam_record *record)
{
	if (!record->pod) {
		cleanup_free char *cid = show(record->cid ? record->cid : "(no id)", SHOWN_NAME);

		return format_text("container %s", cid);
	}

	cleanup_free char *ns = show(record->ns ? record->ns : "?", SHOWN_NAME);
	cleanup_free char *pod = show(record->pod, SHOWN_NAME);

	return format_text("%s/%s", ns, pod);
}

static char *describe_place(const char *word, const char *name)
{
	if (!name)
		return copy_text("");

	cleanup_free char *shown = show(name, SHOWN_NAME);

	return format_text(" %s %s", word, shown);
}

char *ipam_value_describe(const char *text)
{
	cleanup_error struct error ignored = {0};
	cleanup_value struct ipam_value value = {0};

	if (!text)
		return copy_text("nobody");
	if (ipam_value_parse(text, &value, &ignored) < 0) {
		cleanup_free char *shown = show(text, SHOWN_UNKNOWN);

		return format_text("an unknown holder \"%s\"", shown);
	}

	cleanup_free char *holder = describe_holder(&value.record);
	cleanup_free char *cluster = describe_place("of cluster", value.record.cluster);
	cleanup_free char *node = describe_place("on node", value.record.node);
	struct age_text age = clock_age(value.record.time);

	return format_text(
		"%s%s%s%s%s", holder, cluster, node, *age.s == '-' ? "" : " for ", *age.s == '-' ? "" : age.s);
}
