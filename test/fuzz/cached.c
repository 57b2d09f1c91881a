/* Other files on a node that somebody may have damaged: the first byte says which. What is taken from libcni's cache
 * has a container's and an interface's name, and bounded addresses. */
#include "plugin/gc_seen.h"
#include "plugin/import_read.h"
#include "plugin/lease_file.h"
#include "test/fuzz/scratch.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_error(const struct error *e)
{
	if (e->err != -EBADMSG || e->code != ERROR_IO || !strstr(e->message, scratch_folder()))
		abort();
}

static void read_cached(const char *name)
{
	cleanup_cached struct cached cached = {0};
	cleanup_error struct error e = {0};
	int r = cached_read(scratch_folder(), name, &cached, &e);

	if (r < 0)
		check_error(&e);
	if (r <= 0)
		return;
	if (!is_cni_name(cached.cid) || !is_cni_name(cached.network) || strchr(cached.ifname, '/') ||
		cached.addr_count == 0 || cached.addr_count > MAX_FIXED || !cached.netns || !cached.conf)
		abort();
}

/* What was read can be written, and found under the name that it says. */
static void write_lease(const struct lease_file *lease)
{
	const struct config config = {.cni_dir = scratch_folder()};
	const struct request request = {.container_id = "c0ffee", .ifname = "eth0"};
	const struct run run = {.request = &request, .config = &config, .netns_fd = -1};
	cleanup_free char *path = lease_file_path(&run, request.ifname);
	cleanup_error struct error e = {0};
	struct lease_file again;

	if (lease_file_write(&lease->made, lease->etcd, true, &run, &e) < 0 || lease_file_read(path, &again, &e) < 0)
		abort();
	if (again.made.addr_count != lease->made.addr_count || again.made.lease != lease->made.lease ||
		!again.etcd != !lease->etcd)
		abort();
	lease_file_clear(&again);
}

static void read_lease(const char *path)
{
	cleanup_error struct error e = {0};
	struct lease_file lease;

	if (lease_file_read(path, &lease, &e) < 0)
		check_error(&e);
	else if (!lease.container_id || !lease.ifname)
		abort();
	else
		write_lease(&lease);
	lease_file_clear(&lease);
}

static void read_seen(void)
{
	const struct config config = {.data_dir = scratch_folder()};
	const struct run run = {.config = &config, .boot_id = "boot"};
	cleanup_gc_seen struct gc_seen seen = {0};
	cleanup_error struct error e = {0};

	gc_seen_read(&run, &seen);
	if (gc_seen_note(&seen, "a") < 0 || gc_seen_note(&seen, "b") < 0)
		abort();
	gc_seen_forget(&seen, "a");
	if (gc_seen_write(&seen, &e) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	cleanup_free char *path = format_text("%s/gc.json", scratch_folder());

	if (length < 1)
		return 0;
	scratch_write(path, bytes + 1, length - 1);
	switch (bytes[0] % 3) {
	case 0:
		read_cached("gc.json");
		break;
	case 1:
		read_lease(path);
		break;
	default:
		read_seen();
	}
	return 0;
}
