#include "plugin/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* As a string: 64 bits do not fit a JSON number. */
static void put_number(cJSON *out, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	json_put_text(out, key, text);
}

static uint64_t read_number(const cJSON *json, const char *key)
{
	const char *text = json_text(json, key);

	return text ? strtoull(text, NULL, 10) : 0;
}

struct sandbox sandbox_of(const struct run *run)
{
	return (struct sandbox){
		.path = copy_text(run->netns_path ? run->netns_path : ""),
		.id = run->sandbox,
		.boot_id = copy_text(run->boot_id),
	};
}

static void put_sandbox(const struct sandbox *sandbox, cJSON *out)
{
	json_put_text(out, "netns", sandbox->path ? sandbox->path : "");
	put_number(out, "cookie", sandbox->id.cookie);
	put_number(out, "device", sandbox->id.device);
	put_number(out, "inode", sandbox->id.inode);
	json_put_text(out, "bootId", sandbox->boot_id ? sandbox->boot_id : "");
}

void sandbox_print(const struct run *run, cJSON *out)
{
	cleanup_sandbox struct sandbox sandbox = sandbox_of(run);

	put_sandbox(&sandbox, out);
}

char *sandbox_text(const struct sandbox *sandbox)
{
	cleanup_json cJSON *out = cJSON_CreateObject();

	put_sandbox(sandbox, out);
	return json_print(out);
}

void sandbox_read(const cJSON *json, struct sandbox *ret)
{
	*ret = (struct sandbox){
		.path = copy_text(json_text(json, "netns")),
		.id =
			{
				.cookie = read_number(json, "cookie"),
				.device = read_number(json, "device"),
				.inode = read_number(json, "inode"),
			},
		.boot_id = copy_text(json_text(json, "bootId")),
	};
}

void sandbox_clear(struct sandbox *sandbox)
{
	free(sandbox->path);
	free(sandbox->boot_id);
	*sandbox = (struct sandbox){0};
}

/* Cookies and inode numbers begin anew with each boot. */
bool sandbox_is(const struct sandbox *sandbox, const struct netns_id *id, const char *boot_id)
{
	if (sandbox->boot_id && *sandbox->boot_id && strcmp(sandbox->boot_id, boot_id) != 0)
		return false;
	return sandbox->id.inode == 0 || netns_same(&sandbox->id, id);
}

bool sandbox_is_gone(const struct sandbox *sandbox, const char *boot_id)
{
	cleanup_error struct error e = {0};
	cleanup_close int fd = -1;
	struct netns_id now;

	if (sandbox->boot_id && *sandbox->boot_id && strcmp(sandbox->boot_id, boot_id) != 0)
		return true;
	if (!sandbox->path || !*sandbox->path || sandbox->id.inode == 0)
		return false;
	if (netns_open(sandbox->path, &fd, &e) < 0)
		return e.code == ERROR_NO_NAMESPACE || e.code == ERROR_NAMESPACE;
	if (netns_identify(fd, &now, &e) < 0)
		return false;
	return !netns_same(&sandbox->id, &now);
}
