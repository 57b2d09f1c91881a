#include "plugin/readiness.h"

#include "plugin/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* multus's patience. */
#define PATIENCE_SECONDS 45

/* It is looked for this often at first, then ever more seldom. */
#define FIRST_PAUSE (SECONDS / 10)
#define LONGEST_PAUSE SECONDS

/* Whatever it is: multus, too, follows links and takes a folder. */
int readiness_look(const struct config *config, struct error *e)
{
	struct stat about;

	if (!config->readiness_file || stat(config->readiness_file, &about) == 0)
		return 0;
	return error_set(e, -errno, ERROR_UNAVAILABLE,
		"the default network is not ready: there is no readinessindicatorfile %s: %s", config->readiness_file,
		strerror(errno));
}

void readiness_note(const struct config *config)
{
	cleanup_error struct error missing = {0};

	if (readiness_look(config, &missing) < 0)
		log_write(LOG_WARNING, "%s", missing.message);
}

int readiness_await(struct run *run, struct error *e)
{
	const int64_t seconds = (run->deadline - clock_now()) / SECONDS;
	const int64_t deadline = run_within(run, PATIENCE_SECONDS);
	int64_t pause = FIRST_PAUSE;

	if (readiness_look(run->config, e) == 0)
		return 0;
	while (clock_now() < deadline) {
		error_clear(e);
		clock_pause(pause, deadline);
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
		if (readiness_look(run->config, e) == 0) {
			trace_step("node ready");
			run_extend(run, seconds + 1);
			return 0;
		}
	}
	e->code = ERROR_TRY_AGAIN;
	return error_wrap(e, "have you checked that your default network is ready? it was waited for in vain");
}
