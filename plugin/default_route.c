#include "plugin/default_route.h"

int default_route_check(const struct plan *plan, struct error *e)
{
	(void)plan;
	(void)e;
	return 0;
}

int default_route_apply(const struct plan *plan, struct attachment *a, struct run *run, struct error *e)
{
	(void)plan;
	(void)a;
	(void)run;
	(void)e;
	return 0;
}
