/* The kubelet's checkpoint from a stranger: what is taken is bounded, what is not names the file. */
#include "delegate/devices.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_close int fd = memfd_create("checkpoint", MFD_CLOEXEC);
	cleanup_free char *path = format_text("/proc/self/fd/%d", fd);
	cleanup_pod_devices struct pod_devices pod = {0};
	cleanup_devices struct devices devices = {0};
	cleanup_error struct error e = {0};

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		abort();
	if (devices_read(path, "u", &pod, &e) < 0 || devices_find(&pod, "r", &devices, &e) < 0) {
		if (e.code != ERROR_CONFIG || !strstr(e.message, path) || devices.count)
			abort();
		return 0;
	}
	if (devices.count > 1024)
		abort();
	for (size_t i = 0; i < devices.count; i++) {
		if (!*devices.ids[i] || strlen(devices.ids[i]) > 4096)
			abort();
	}
	return 0;
}
