/* The mark of a node that has imported, and what the first ADD does about it. */
#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/import.h"

#include <string.h>
#include <time.h>

static char *mark_path(const struct run *run)
{
	return format_text("%s/imported", run->config->cni_dir);
}

int import_mark(const struct run *run, const struct import_summary *summary, struct error *e)
{
	cleanup_free char *path = mark_path(run);
	cleanup_json cJSON *mark = cJSON_CreateObject();

	json_put(mark, "v", cJSON_CreateNumber(1));
	json_put(mark, "time", cJSON_CreateNumber((double)time(NULL)));
	json_put(mark, "imported", cJSON_CreateNumber((double)summary->imported));
	json_put(mark, "conflicts", cJSON_CreateNumber((double)summary->conflicts));

	cleanup_free char *text = json_print(mark);

	return file_write(path, 0600, text, strlen(text), e);
}

int import_unmark(const struct run *run, struct error *e)
{
	cleanup_free char *path = mark_path(run);

	return file_remove(path, e);
}

static bool has_results(const struct run *run)
{
	cleanup_free char *folder = format_text("%s/results", run->config->cni_dir);
	cleanup_dir DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.';
	return found;
}

int import_once(struct run *run, struct error *e)
{
	cleanup_free char *path = mark_path(run);
	cleanup_import_summary struct import_summary summary = {0};
	const cJSON *outcome;

	if (access(path, F_OK) == 0 || !has_results(run))
		return 0;
	if (import_node(run, false, &summary, e) < 0)
		return e->err;
	cJSON_ArrayForEach(outcome, summary.outcomes)
	{
		const char *what = json_text(outcome, "result");

		if (strcmp(what, "conflict") == 0 || strcmp(what, "skipped") == 0)
			log_write(LOG_WARNING, "import: %s %s of network %s: %s", what, json_text(outcome, "address"),
				json_text(outcome, "network"), json_text(outcome, "reason"));
	}
	return import_mark(run, &summary, e);
}
