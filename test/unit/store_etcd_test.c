/* The etcd store: what every store must do, and what only a cluster has, on a real etcd. */
#include "test/unit/store_etcd_kit.h"
#include "test/unit/store_suite.h"

#define ETCD_TEST(test) STORE_TEST(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_SUITE(setup, teardown),
	};

	if (access(etcd_program(), X_OK) < 0) {
		fprintf(stderr, "# skipped: there is no %s\n", etcd_program());
		return 77;
	}
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
