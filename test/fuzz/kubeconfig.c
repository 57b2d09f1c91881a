/* A kubeconfig from a stranger: what is taken is a server to ask, what is not names the file. */
#include "delegate/kubeconfig.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(const struct kubeconfig *config)
{
	if (strncmp(config->server, "http", 4) != 0 && strncmp(config->server, "HTTP", 4) != 0 &&
		!strstr(config->server, "://"))
		abort();
	if ((config->ca_pem && config->ca_file) || (config->token && config->token_file) ||
		!(config->cert_pem || config->cert_file) != !(config->key_pem || config->key_file))
		abort();
	for (const char *c = config->token; c && *c; c++) {
		if (*c <= ' ')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_close int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
	cleanup_free char *path = format_text("/proc/self/fd/%d", fd);
	cleanup_kubeconfig struct kubeconfig *config = NULL;
	cleanup_error struct error e = {0};

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		abort();
	if (kubeconfig_read(path, &config, &e) == 0)
		check(config);
	else if (e.code != ERROR_CONFIG || !strstr(e.message, path))
		abort();
	return 0;
}
