#include "plugin/log_keys.h"

#include "delegate/chain.h"
#include "plugin/base/log.h"

#include <string.h>
#include <strings.h>

/* multus's own defaults, where it follows logOptions. */
#define MAX_MEGABYTES 100
#define MAX_DAYS 5
#define MAX_BACKUPS 5

static int read_level(const char *name)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {{"panic", LOG_PANIC}, {"error", LOG_ERROR}, {"verbose", LOG_VERBOSE}, {"debug", LOG_DEBUG}};

	for (size_t i = 0; name && *name && i < ARRAY_SIZE(levels); i++) {
		if (strcasecmp(name, levels[i].name) == 0)
			return levels[i].level;
	}
	if (name && *name)
		log_write(LOG_WARNING, "logLevel is \"%.64s\": it must be panic, error, verbose or debug", name);
	return LOG_PANIC;
}

static int64_t read_number(const cJSON *options, const char *key, int64_t absent)
{
	const cJSON *value = json_get(options, key);

	if (!cJSON_IsNumber(value) || value->valuedouble < 0 || value->valuedouble > 1e6)
		return absent;
	return (int64_t)value->valuedouble;
}

void log_keys_follow(const cJSON *conf)
{
	const char *type = json_text(conf, "type"), *path = json_text(conf, "logFile");
	const cJSON *options = json_get(conf, "logOptions");
	int64_t megabytes = read_number(options, "maxSize", MAX_MEGABYTES);

	/* As an IPAM plugin we have another one's configuration. */
	if (!type || !chain_is_own_type(type))
		return;

	const struct log_file_options file = {
		.path = path && *path ? path : NULL,
		.max_bytes = (megabytes > 0 ? megabytes : MAX_MEGABYTES) << 20,
		.max_backups = read_number(options, "maxBackups", MAX_BACKUPS),
		.max_age = read_number(options, "maxAge", MAX_DAYS),
	};

	log_to_file(&file, file.path ? read_level(json_text(conf, "logLevel")) : LOG_PANIC,
		!cJSON_IsFalse(json_get(conf, "logToStderr")));
}
