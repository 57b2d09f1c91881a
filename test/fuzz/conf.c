/*
 * A network's configuration from a stranger: as a definition's text, as a .conf and a .conflist file, and as one of a
 * list's chained plugins. What is taken is an object that prints, and has a plugin where it is a file's.
 */
#include "delegate/conf.h"
#include "plugin/base/log.h"
#include "test/fuzz/scratch.h"

#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define LIST "{\"name\":\"net1\",\"plugins\":[{\"type\":\"x\"}]}"

static void link_input(const char *folder, const char *name)
{
	cleanup_free char *input = format_text("%s/input", folder), *path = format_text("%s/%s", folder, name);

	if (symlink(input, path) < 0)
		abort();
}

/* Made once: one file is all that changes. */
static const char *make_folder(void)
{
	static bool made;
	const char *folder = scratch_folder();
	cleanup_free char *chained = format_text("%s/net1", folder), *list = format_text("%s/2.conflist", folder);

	if (made)
		return folder;
	if (mkdir(chained, 0700) < 0)
		abort();
	link_input(folder, "0.conf");
	link_input(folder, "1.conflist");
	link_input(folder, "net1/0.conf");
	scratch_write(list, (const uint8_t *)LIST, strlen(LIST));
	log_open(LOG_ERROR, 0);
	made = true;
	return folder;
}

static void check_error(const struct error *e, const char *name)
{
	if (e->code != ERROR_CONFIG || !strstr(e->message, name))
		abort();
}

static void check(const cJSON *conf)
{
	cleanup_free char *text = json_print(conf);

	if (!cJSON_IsObject(conf) || *text != '{')
		abort();
}

static void read_text(const char *text)
{
	cleanup_json cJSON *conf = NULL, *args = NULL;
	cleanup_error struct error e = {0};

	if (conf_parse(text, "definition", &conf, &e) < 0) {
		check_error(&e, "definition");
		return;
	}
	args = json_copy(conf);
	conf_name(conf, "net1");
	conf_put_args(conf, args);
	conf_put_device(conf, "0000:03:02.3");
	check(conf);
	if (!json_get(conf, "name"))
		abort();
}

static void read_path(const char *folder, const char *name)
{
	cleanup_free char *path = format_text("%s/%s", folder, name);
	cleanup_json cJSON *conf = NULL;
	cleanup_error struct error e = {0};

	if (conf_read_path(path, &conf, &e) < 0) {
		check_error(&e, folder);
		return;
	}
	check(conf);
	if (!json_text(conf, "type") && !cJSON_IsArray(json_get(conf, "plugins")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const char *folder = make_folder();
	cleanup_free char *text = allocate(length + 1, 1), *input = format_text("%s/input", folder);
	cleanup_json cJSON *found = NULL;
	cleanup_error struct error e = {0}, unusable = {0};

	memcpy(text, bytes, length);
	read_text(text);
	scratch_write(input, bytes, length);
	read_path(folder, "");
	read_path(folder, "0.conf");
	read_path(folder, "1.conflist");
	read_path(folder, "2.conflist");
	/* Whatever stands before it, the good one is found. */
	if (conf_find(folder, "net1", &found, &unusable, &e) < 0)
		abort();
	check(found);
	return 0;
}
