/* plugin/base/json: what is refused, what Go would print, and the field tables. */
#include "plugin/base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A literal with its length, so that a NUL inside it counts. */
#define BYTES(literal) .bytes = (literal), .length = sizeof(literal) - 1

static cJSON *parse(const char *text)
{
	struct error e = {0};
	cJSON *value = NULL;

	if (json_parse(text, strlen(text), "test", &value, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	return value;
}

static void assert_prints(const cJSON *value, const char *expected)
{
	cleanup_free char *text = json_print(value);

	assert_string_equal(text, expected);
}

static void refuses_what_is_not_one_document(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		int err;
		const char *message;
	} cases[] = {
		{BYTES(""), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("{"), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("{\"a\":"), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES(" \n"), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("[1"), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("\"ab"), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("[\"a\\\""), -EINVAL, "conf: unexpected end of JSON input"},
		{BYTES("[}"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("{} x"), -EINVAL, "conf: invalid JSON: data behind the value at byte 3"},
		{BYTES("{}{}"), -EINVAL, "conf: invalid JSON: data behind the value at byte 2"},
		{BYTES("[1,]"), -EINVAL, "conf: invalid JSON at byte 3"},
		{BYTES("{'a':1}"), -EINVAL, "conf: invalid JSON at byte 2"},
		{BYTES("{}\0"), -EINVAL, "conf contains a NUL character"},
		{BYTES("{\"a\":\"b\0c\"}"), -EINVAL, "conf contains a NUL character"},
		{BYTES("{\"a\":\"b\\u0000c\"}"), -EINVAL, "conf contains a NUL character"},
		{BYTES("{\"a\":\"\\\\\\u0000\"}"), -EINVAL, "conf contains a NUL character"},
		{BYTES("{\"\\u0000\":1}"), -EINVAL, "conf contains a NUL character"},
		{BYTES("[1e400]"), -ERANGE, "conf: a number is too large"},
		{BYTES("{\"a\":[-1e400]}"), -ERANGE, "conf: a number is too large"},
		{BYTES("[01]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[-01]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[1.]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[2.e1]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[1e]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[1e+]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[-]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("[\"a\nb\"]"), -EINVAL, "conf: invalid JSON at byte 3"},
		{BYTES("[\v1]"), -EINVAL, "conf: invalid JSON at byte 1"},
		{BYTES("\xef\xbb\xbf{}"), -EINVAL, "conf: invalid JSON at byte 0"},
		{BYTES("[nul]"), -EINVAL, "conf: invalid JSON at byte 1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error e = {0};
		/* Exactly so many bytes on the heap: the sanitizer sees who reads further. */
		cleanup_free char *bytes = allocate(1, cases[i].length);
		cJSON *value = NULL;

		memcpy(bytes, cases[i].bytes, cases[i].length);
		assert_int_equal(json_parse(bytes, cases[i].length, "conf", &value, &e), cases[i].err);
		assert_int_equal(e.code, ERROR_DECODE);
		if (strcmp(e.message, cases[i].message) != 0)
			fail_msg("case %zu: \"%s\" instead of \"%s\"", i, e.message, cases[i].message);
		assert_null(value);
	}
}

static void takes_what_is_json(void **state)
{
	static const struct {
		const char *text;
		const char *printed;
	} cases[] = {
		{" \t\r\n{} \t\r\n", "{}"},
		{"null", "null"},
		{"[\"\\\\u0000\"]", "[\"\\\\u0000\"]"}, /* an escaped backslash, then u0000 */
		{"[\"\\\\\\\"{[\"]", "[\"\\\\\\\"{[\"]"},
		{"[\"\\u0041\\u00e9\"]", "[\"A\xc3\xa9\"]"},
		{"[\"a\x7f\xc3\xa9\"]", "[\"a\x7f\xc3\xa9\"]"},
		{"[0,-0.5,10.25,1E2,1e-2,2e+3]", "[0,-0.5,10.25,100,0.01,2000]"},
		{"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *value = parse(cases[i].text);

		assert_prints(value, cases[i].printed);
	}
}

static char *nested(size_t depth)
{
	char *text = allocate(2, depth + 1);

	for (size_t i = 0; i < depth; i++) {
		text[i] = '[';
		text[2 * depth - 1 - i] = ']';
	}
	return text;
}

static void refuses_depth_and_size(void **state)
{
	cleanup_error struct error e = {0};
	cleanup_free char *most = nested(200), *deeper = nested(201);
	cleanup_free char *large = allocate(1, JSON_MAX_BYTES + 2);
	cleanup_json cJSON *deepest = parse(most);
	cJSON *value = NULL;

	(void)state;
	assert_true(cJSON_IsArray(deepest));
	assert_int_equal(json_parse(deeper, strlen(deeper), "conf", &value, &e), -EINVAL);
	assert_string_equal(e.message, "conf is nested deeper than 200 levels");

	/* Brackets in a string are no levels. */
	memset(large, '[', 300);
	large[0] = large[299] = '"';

	cleanup_json cJSON *string = parse(large);

	assert_true(cJSON_IsString(string));

	memset(large, ' ', JSON_MAX_BYTES + 1);
	large[0] = '1';

	cleanup_json cJSON *largest = NULL;

	assert_int_equal(json_parse(large, JSON_MAX_BYTES, "conf", &largest, &e), 0);
	assert_int_equal(json_parse(large, JSON_MAX_BYTES + 1, "conf", &value, &e), -E2BIG);
	assert_string_equal(e.message, "conf is larger than 4194304 bytes");
	assert_null(value);
}

/* The right side is what Go's encoding/json prints after reading the left one into an interface{}. */
static void prints_numbers_as_go_does(void **state)
{
	static const struct {
		const char *text;
		const char *printed;
	} cases[] = {
		{"999999999999999", "999999999999999"},
		{"1e15", "1000000000000000"},
		{"-1e15", "-1000000000000000"},
		{"1e18", "1000000000000000000"},
		{"123456789012345678", "123456789012345680"},
		{"12345678901234567890", "12345678901234567000"},
		{"9007199254740993", "9007199254740992"},
		{"9223372036854775807", "9223372036854776000"},
		{"601461895223896000", "601461895223896000"}, /* 16 digits would be ...896100 */
		{"91231960109410000000", "91231960109410000000"},
		{"72419863519077800", "72419863519077800"},
		{"123456789012345678901", "123456789012345680000"},
		{"1e20", "100000000000000000000"},
		{"1e21", "1e+21"},
		{"1.0", "1"},
		{"0.1", "0.1"},
		{"2147483648", "2147483648"},
		{"1500", "1500"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = format_text("{\"n\":[%s]}", cases[i].text);
		cleanup_free char *expected = format_text("{\"n\":[%s]}", cases[i].printed);
		cleanup_json cJSON *value = parse(text), *copy = json_copy(value);

		assert_prints(value, expected);
		assert_prints(copy, expected);
	}
}

static void finds_members_in_any_case(void **state)
{
	cleanup_json cJSON *value = parse("{\"Name\":\"a\",\"NAME\":\"b\",\"n\":null,\"x\":1,\"X\":null,"
					  "\"Args\":{\"CNI\":{\"ips\":[\"1\"]}},\"list\":[{\"name\":\"c\"}]}");

	(void)state;
	assert_string_equal(json_text(value, "name"), "b");
	assert_null(json_get(value, "n"));
	assert_null(json_get(value, "x"));
	assert_null(json_get(value, "absent"));
	assert_null(json_text(value, "args"));
	assert_null(json_get(json_get(value, "list"), "name"));
	assert_null(json_get(NULL, "name"));
	assert_true(cJSON_IsArray(json_dig(value, "args", "cni", "ips", NULL)));
	assert_null(json_dig(value, "args", "none", "ips", NULL));
	assert_null(json_dig(value, "name", "deeper", NULL));
	assert_ptr_equal(json_dig(value, NULL), value);
	assert_null(json_copy(NULL));
}

static void puts_and_removes_members(void **state)
{
	cleanup_json cJSON *value = parse("{\"first\":1,\"Name\":\"a\",\"mid\":2,\"NAME\":\"b\",\"last\":3}");

	(void)state;
	json_put(value, "name", cJSON_CreateNumber(7));
	assert_prints(value, "{\"first\":1,\"name\":7,\"mid\":2,\"last\":3}");
	json_put(value, "LAST", cJSON_CreateTrue());
	assert_prints(value, "{\"first\":1,\"name\":7,\"mid\":2,\"LAST\":true}");
	json_put_text(value, "new", "x");
	json_put_text(value, "First", NULL);
	json_remove(value, "absent");
	assert_prints(value, "{\"name\":7,\"mid\":2,\"LAST\":true,\"new\":\"x\"}");

	/* A member of another object brings its old name along. */
	cleanup_json cJSON *other = parse("{\"old\":[9]}");

	json_put(value, "mid", cJSON_DetachItemFromObject(other, "old"));
	json_put(value, "end", cJSON_CreateNull());
	assert_prints(value, "{\"name\":7,\"mid\":[9],\"LAST\":true,\"new\":\"x\",\"end\":null}");
	json_remove(value, "END");
	json_remove(value, "name");
	json_put_text(value, "new", "y");
	assert_prints(value, "{\"mid\":[9],\"LAST\":true,\"new\":\"y\"}");
}

struct target {
	const char *text;
	const cJSON *object, *array;
	int64_t number;
	bool flag;
};

static const struct json_field table[] = {
	{"text", JSON_STRING, offsetof(struct target, text), true},
	{"flag", JSON_BOOL, offsetof(struct target, flag)},
	{"number", JSON_INTEGER, offsetof(struct target, number)},
	{"object", JSON_OBJECT, offsetof(struct target, object)},
	{"array", JSON_ARRAY, offsetof(struct target, array)},
	{NULL},
};

static void finds_members_of_that_spelling(void **state)
{
	cleanup_json cJSON *object = parse("{\"a\":1,\"A\":2,\"a\":3,\"b\":4,\"b\":null}");

	(void)state;
	assert_int_equal(json_get_exactly(object, "a")->valueint, 3);
	assert_int_equal(json_get_exactly(object, "A")->valueint, 2);
	assert_true(cJSON_IsNull(json_get_exactly(object, "b")));
	assert_null(json_get_exactly(object, "B"));
	assert_null(json_get_exactly(object->child, "a"));
	assert_null(json_get_exactly(NULL, "a"));
}

static void puts_what_is_not_empty(void **state)
{
	cleanup_json cJSON *object = parse("{\"A\":1}");

	(void)state;
	json_put_unless_empty(object, "a", parse("[]"));
	json_put_unless_empty(object, "b", parse("{}"));
	assert_prints(object, "{\"A\":1}");
	json_put_unless_empty(object, "a", parse("[0]"));
	json_put_unless_empty(object, "b", parse("{\"c\":null}"));
	assert_prints(object, "{\"a\":[0],\"b\":{\"c\":null}}");
}

static void reads_a_table(void **state)
{
	cleanup_json cJSON *value = parse("{\"TEXT\":\"t\",\"flag\":true,\"number\":-999999999999999,\"object\":{},"
					  "\"array\":[],\"unknown\":1}");
	cleanup_json cJSON *least = parse("{\"text\":\"\",\"number\":null}");
	cleanup_error struct error e = {0};
	struct target got = {.number = 5};

	(void)state;
	assert_int_equal(json_read(least, "", table, &got, &e), 0);
	assert_string_equal(got.text, "");
	assert_int_equal(got.number, 5);
	assert_null(got.object);

	assert_int_equal(json_read(value, "", table, &got, &e), 0);
	assert_string_equal(got.text, "t");
	assert_true(got.flag);
	assert_true(got.number == -INT64_C(999999999999999));
	assert_true(cJSON_IsObject(got.object) && cJSON_IsArray(got.array));
}

static void names_what_it_cannot_read(void **state)
{
	static const struct {
		const char *text;
		const char *path;
		const char *message;
	} cases[] = {
		{"{}", "", "text is missing: a string is needed here"},
		{"{\"text\":null}", "ipam", "ipam.text is missing: a string is needed here"},
		{"{\"text\":1}", "delegates[1].ipam", "delegates[1].ipam.text is 1: it must be a string"},
		{"{\"text\":\"\",\"flag\":\"true\"}", "", "flag is \"true\": it must be true or false"},
		{"{\"text\":\"\",\"flag\":0}", "", "flag is 0: it must be true or false"},
		{"{\"text\":\"\",\"number\":1.5}", "", "number is 1.5: it must be a whole number"},
		{"{\"text\":\"\",\"number\":\"1\"}", "", "number is \"1\": it must be a whole number"},
		{"{\"text\":\"\",\"number\":1e15}", "", "number is 1000000000000000: it must be a whole number"},
		{"{\"text\":\"\",\"number\":1e300}", "", "number is 1e+300: it must be a whole number"},
		{"{\"text\":\"\",\"object\":[]}", "", "object is []: it must be an object"},
		{"{\"text\":\"\",\"array\":{\"a\":1}}", "a", "a.array is {\"a\":1}: it must be an array"},
		{"[]", "", "the configuration is not an object"},
		{"\"x\"", "delegates[0]", "delegates[0] is not an object"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *value = parse(cases[i].text);
		cleanup_error struct error e = {0};
		struct target got = {0};

		assert_int_equal(json_read(value, cases[i].path, table, &got, &e), -EINVAL);
		assert_int_equal(e.code, ERROR_CONFIG);
		assert_string_equal(e.message, cases[i].message);
	}
}

static void joins_paths(void **state)
{
	cleanup_free char *top = json_path("", "a"), *below = json_path("a[0]", "b");

	(void)state;
	assert_string_equal(top, "a");
	assert_string_equal(below, "a[0].b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_not_one_document),
		cmocka_unit_test(takes_what_is_json),
		cmocka_unit_test(refuses_depth_and_size),
		cmocka_unit_test(prints_numbers_as_go_does),
		cmocka_unit_test(finds_members_in_any_case),
		cmocka_unit_test(finds_members_of_that_spelling),
		cmocka_unit_test(puts_and_removes_members),
		cmocka_unit_test(puts_what_is_not_empty),
		cmocka_unit_test(reads_a_table),
		cmocka_unit_test(names_what_it_cannot_read),
		cmocka_unit_test(joins_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
