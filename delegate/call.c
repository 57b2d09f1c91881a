#include "delegate/call.h"

#include "delegate/call_error.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct call {
	struct process *process;
	char *plugin;
	int64_t started, deadline;
};

/* "a:b" as libcni's texts show it: "a b". */
static char *shown_path(const char *path)
{
	char *shown = copy_text(path);

	for (char *c = shown; *c; c++) {
		if (*c == ':')
			*c = ' ';
	}
	return shown;
}

int call_find(const char *plugin, const char *path, char **ret, struct error *e)
{
	if (!plugin || !*plugin)
		return error_set(e, -EINVAL, ERROR_CONFIG, "no plugin name provided");
	if (strchr(plugin, '/'))
		return error_set(e, -EINVAL, ERROR_CONFIG, "invalid plugin name: %s", plugin);
	if (!path || !*path)
		return error_set(e, -EINVAL, ERROR_CONFIG, "no paths provided");

	for (const char *folder = path; folder; folder = strchr(folder, ':') ? strchr(folder, ':') + 1 : NULL) {
		int length = (int)strcspn(folder, ":");
		cleanup_free char *file = format_text("%.*s%s%s", length, folder, length ? "/" : "", plugin);
		struct stat st;

		if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
			*ret = steal_ptr(file);
			return 0;
		}
	}

	cleanup_free char *shown = shown_path(path);

	return error_set(e, -ENOENT, ERROR_CONFIG, "failed to find plugin \"%s\" in path [%s]", plugin, shown);
}

static size_t name_length(const char *entry)
{
	return strcspn(entry, "=");
}

static bool same_name(const char *a, const char *b)
{
	size_t length = name_length(a);

	return length == name_length(b) && strncmp(a, b, length) == 0;
}

static bool is_named_in(const char *entry, char *const entries[])
{
	for (; *entries; entries++) {
		if (same_name(entry, *entries))
			return true;
	}
	return false;
}

static char **make_parameters(const struct call_params *params)
{
	const char *const values[][2] = {
		{"CNI_COMMAND", params->command},
		{"CNI_CONTAINERID", params->container_id},
		{"CNI_NETNS", params->netns},
		{"CNI_ARGS", params->args},
		{"CNI_IFNAME", params->ifname},
		{"CNI_PATH", params->path},
	};
	char **entries = allocate(ARRAY_SIZE(values) + 1, sizeof(*entries));

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		entries[i] = format_text("%s=%s", values[i][0], values[i][1] ? values[i][1] : "");
	return entries;
}

static void free_parameters(char ***entries)
{
	for (char **entry = *entries; entry && *entry; entry++)
		free(*entry);
	free(*entries);
}

/* Our environment without what parameters replaces; of a name that stands twice, the last one counts. The entries are
 * borrowed, the array is owned by the caller. */
static char **make_environment(char *const parameters[])
{
	size_t count = 0, used = 0;

	while (environ[count])
		count++;

	char **entries = allocate(count + 7, sizeof(*entries));

	for (size_t i = 0; i < count; i++) {
		if (!is_named_in(environ[i], parameters) && !is_named_in(environ[i], environ + i + 1))
			entries[used++] = environ[i];
	}
	for (; *parameters; parameters++)
		entries[used++] = *parameters;
	return entries;
}

int call_start(const struct call_params *params, const char *plugin, const char *config, int64_t deadline,
	struct call **ret, struct error *e)
{
	cleanup_free char *file = NULL;
	int r = call_find(plugin, params->path, &file, e);

	if (r < 0)
		return r;

	CLEANUP(free_parameters) char **parameters = make_parameters(params);
	cleanup_free char **environment = make_environment(parameters);
	cleanup_call struct call *call = allocate(1, sizeof(*call));

	*call = (struct call){.plugin = copy_text(plugin), .started = clock_now(), .deadline = deadline};
	r = process_start(file, environment, config, strlen(config), deadline, &call->process, e);
	if (r < 0)
		return r;
	*ret = steal_ptr(call);
	return 0;
}

static int explain_kill(const struct call *call, const struct process_end *end, struct error *e)
{
	if (e->err == -ETIMEDOUT)
		error_set(e, -ETIMEDOUT, ERROR_TRY_AGAIN,
			"plugin type=\"%s\" did not answer within %.3g s and was killed", call->plugin,
			(double)(call->deadline - call->started) / (double)SECONDS);
	else
		error_wrap(e, "plugin type=\"%s\"", call->plugin);
	return call_add_stderr(end, e);
}

bool call_ends(const struct call *call, int64_t deadline)
{
	return process_ends(call->process, deadline < call->deadline ? deadline : call->deadline) ||
	       clock_left(call->deadline) == 0;
}

int call_finish(struct call *call, char **ret_out, size_t *ret_length, struct error *e)
{
	cleanup_process_end struct process_end end = {0};
	int r = process_await(call->process, call->deadline, &end, e);

	if (r < 0)
		return explain_kill(call, &end, e);
	if (end.signal) {
		error_set(e, -EREMOTEIO, ERROR_INTERNAL, "plugin type=\"%s\" killed by signal %d (%s)", call->plugin,
			end.signal, strsignal(end.signal));
		return call_add_stderr(&end, e);
	}
	if (end.exit_status != 0)
		return call_explain_failure(&end, e);
	log_copy(end.err, end.err_length);
	if (ret_out)
		*ret_out = steal_ptr(end.out);
	if (ret_length)
		*ret_length = end.out_length;
	return 0;
}

void call_free(struct call *call)
{
	if (!call)
		return;
	process_free(call->process);
	free(call->plugin);
	free(call);
}
