#include "plugin/base/fault.h"

#ifdef LAMINA_FAULT_POINTS

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fault_point(const char *name)
{
	const char *wanted = getenv("LAMINA_FAULT");
	size_t length = strlen(name);

	if (!wanted || strncmp(wanted, name, length) != 0 || wanted[length] != ':')
		return 0;
	wanted += length + 1;
	if (strcmp(wanted, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(wanted, "stop") == 0)
		raise(SIGSTOP);
	while (strcmp(wanted, "hang") == 0)
		pause();
	return strcmp(wanted, "fail") == 0 ? -EIO : 0;
}

#else

/* ISO C forbids an empty translation unit. */
typedef int fault_points_are_off;

#endif
