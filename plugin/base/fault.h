/* Named points at which a test build dies, fails or hangs, so that every step's undoing can be tried. */
#pragma once

#ifdef LAMINA_FAULT_POINTS

/**
 * LAMINA_FAULT=<point>:kill | :hang | :fail | :stop picks one point: SIGKILL to ourselves, sleep for ever, SIGSTOP, or
 * fail. Returns 0, or -EIO where the point is to fail. Release builds do not contain it.
 */
int fault_point(const char *name);

#else

static inline int fault_point(const char *name)
{
	(void)name;
	return 0;
}

#endif
