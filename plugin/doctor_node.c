/* What lies on the node: masters, programs, names, folders, queue, timer. */
#include "delegate/chain.h"
#include "ipam/outbox.h"
#include "netlink/link.h"
#include "plugin/attach_macvlan.h"
#include "plugin/base/file.h"
#include "plugin/doctor_checks.h"

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define USUAL_BIN "/opt/cni/bin"
#define SUBNET_FILE "/run/flannel/subnet.env"
#define TIMER "/etc/systemd/system/timers.target.wants/lamina-gc.timer"
#define OWN_BINARY "/proc/self/exe"

/* Below this a record of a pod may not fit any more while logs still grow. */
#define ROOM_MIN ((uint64_t)16 << 20)

/* --- masters --- */

static void check_master(struct doctor *doctor, struct attachment *a)
{
	struct macvlan_private *p = a->private;
	struct link_info link = {0};
	cleanup_error struct error e = {0};

	if (p->link_in_container) {
		doctor_note(doctor, "master", "%s.master is %s inside of the pod: not checked", a->path,
			p->master ? p->master : "the default route's link");
		return;
	}
	if (macvlan_find_master(a, &doctor->stores.run, &e) < 0 ||
		link_get_index(doctor->stores.run.host, p->master_index, &link, &e) < 0) {
		doctor_bad(doctor, "master", NULL, "%s", e.message);
		return;
	}
	doctor_ok(doctor, "master", "%s of %s is up, mtu %u%s", link.name, a->ifname, link.mtu,
		p->master ? "" : " (the default route's link, since no master is named)");
	if (!link.running)
		doctor_note(doctor, "master", "%s has no carrier: its cable, or the other end", link.name);
}

void doctor_check_masters(struct doctor *doctor)
{
	for (size_t i = 0; doctor->opened && doctor->planned && i < doctor->plan.count; i++) {
		struct attachment *a = doctor->plan.attachments[i];

		if (a->ops == &attach_macvlan)
			check_master(doctor, a);
	}
}

/* --- other programs --- */

/* True: it is there, and can be run. */
static bool check_program(struct doctor *doctor, const char *type, const char *user)
{
	const char *folder = doctor->config.bin_dir;
	cleanup_free char *path =
		strcmp(folder, USUAL_BIN) == 0 ? copy_text(folder) : format_text("%s:" USUAL_BIN, folder);
	cleanup_free char *file = NULL;
	cleanup_error struct error e = {0};

	if (call_find(type, path, &file, &e) < 0)
		doctor_bad(
			doctor, "delegates", "install it there", "%s needs %s, which is not in %s", user, type, path);
	else if (access(file, X_OK) < 0)
		doctor_bad(doctor, "delegates", "chmod 755", "%s needs %s, and %s cannot be run: %s", user, type, file,
			strerror(errno));
	else
		return true;
	return false;
}

static const char *text_or(const cJSON *object, const char *key, const char *usual)
{
	const char *text = json_text(object, key);

	return text && *text ? text : usual;
}

/* What flannel's plugin calls in turn, and the file that flanneld writes for it. */
static bool check_flannel(struct doctor *doctor, const cJSON *conf, const char *user)
{
	const cJSON *delegate = json_get(conf, "delegate");
	const char *file = text_or(conf, "subnetFile", SUBNET_FILE);
	bool good = check_program(doctor, text_or(delegate, "type", "bridge"), user);

	good &= check_program(doctor, text_or(json_get(delegate, "ipam"), "type", "host-local"), user);
	if (access(file, R_OK) == 0)
		return good;
	doctor_bad(doctor, "delegates", "start flanneld and look at its log",
		"%s: flanneld is not running, or not yet: %s: %s", user, file, strerror(errno));
	return false;
}

static bool check_plugin(struct doctor *doctor, const cJSON *conf, const char *user)
{
	const char *type = text_or(conf, "type", ""), *ipam = json_text(json_get(conf, "ipam"), "type");
	bool good = check_program(doctor, type, user);

	if (strcmp(type, "flannel") == 0)
		good &= check_flannel(doctor, conf, user);
	else if (ipam && *ipam)
		good &= check_program(doctor, ipam, user);
	return good;
}

static bool check_attachment(struct doctor *doctor, const struct attachment *a)
{
	const cJSON *conf = a->conf, *plugin;
	const struct macvlan_private *macvlan = a->private;
	bool good = true;

	if (a->ops == &attach_macvlan)
		return macvlan->addressing.kind != ADDRESSING_EXEC ||
		       check_program(doctor, macvlan->addressing.type, macvlan->addressing.path);
	if (json_text(conf, "type"))
		return check_plugin(doctor, conf, a->path);
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		good &= check_plugin(doctor, plugin, a->path);
	}
	return good;
}

void doctor_check_delegates(struct doctor *doctor)
{
	bool good = true;

	if (!doctor->planned)
		return;
	for (size_t i = 0; i < doctor->plan.count; i++)
		good &= check_attachment(doctor, doctor->plan.attachments[i]);
	if (good)
		doctor_ok(doctor, "delegates", "all programs that they need are in %s", doctor->config.bin_dir);
}

/* --- the names that we are called by --- */

static bool is_this_binary(const char *path)
{
	struct stat theirs, own;

	return stat(path, &theirs) == 0 && stat(OWN_BINARY, &own) == 0 && theirs.st_dev == own.st_dev &&
	       theirs.st_ino == own.st_ino;
}

static void check_name(struct doctor *doctor, const char *name, bool configured)
{
	cleanup_free char *path = format_text("%s/%s", doctor->stores.config.bin_dir, name);
	char target[256] = "";
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (is_this_binary(path))
		return;
	if (access(path, F_OK) < 0 && configured)
		doctor_bad(doctor, "names", "install lamina there under this name (install.sh, or ln -s lamina)",
			"the configuration's type is %s, and the runtime does not find %s: %s", name, path,
			strerror(errno));
	else if (access(path, F_OK) < 0)
		doctor_note(doctor, "names", "%s is not there: only a configuration that names it needs it", path);
	else if (configured && access(path, X_OK) < 0)
		doctor_bad(doctor, "names", "chmod 755", "%s cannot be run: %s", path, strerror(errno));
	else
		doctor_note(doctor, "names", "%s is not this lamina%s%s", path,
			length > 0   ? ", but leads to "
			: configured ? ": that one serves the pods"
				     : "",
			target);
}

void doctor_check_names(struct doctor *doctor)
{
	static const char *const names[] = {"multus", "multus-cni", "multus-shim", "kube-ipam"};
	const char *type = doctor->opened ? json_text(doctor->conf, "type") : NULL;
	const char *configured = type && !strchr(type, '/') ? type : "";
	cleanup_free char *own = format_text("%s/%s", doctor->stores.config.bin_dir, configured);

	if (!doctor->opened)
		return;
	if (*configured && is_this_binary(own))
		doctor_ok(doctor, "names", "%s, the configuration's type, is this lamina", own);
	else if (*configured)
		check_name(doctor, configured, true);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], configured) != 0)
			check_name(doctor, names[i], false);
	}
}

/* --- folders --- */

/* The folder, or what is there of the way to it: the rest is made when it is needed. */
static char *existing(const char *folder)
{
	char *path = copy_text(folder);

	while (path[0] == '/' && path[1] && access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		char *slash = strrchr(path, '/');

		slash[slash == path ? 1 : 0] = '\0';
	}
	return path;
}

/* What keeps a folder's files; UNKNOWN: nobody could look. */
enum medium { MEDIUM_UNKNOWN, MEDIUM_MEMORY, MEDIUM_DISK };

static bool check_folder(struct doctor *doctor, const char *key, const char *folder, enum medium *ret_medium)
{
	cleanup_free char *path = existing(folder);
	struct statfs fs;
	struct stat st;

	*ret_medium = MEDIUM_UNKNOWN;
	if (stat(path, &st) < 0 || statfs(path, &fs) < 0) {
		doctor_bad(doctor, "folders", NULL, "%s %s: %s", key, folder, strerror(errno));
		return false;
	}
	*ret_medium = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ? MEDIUM_MEMORY : MEDIUM_DISK;
	if (!S_ISDIR(st.st_mode))
		doctor_bad(doctor, "folders", "move it away", "%s is %s, but %s is no folder", key, folder, path);
	else if (access(path, W_OK | X_OK) < 0)
		doctor_bad(doctor, "folders", "make it writable for root", "%s: %s cannot be written to: %s", key, path,
			strerror(errno));
	else if ((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < ROOM_MIN || (fs.f_files > 0 && fs.f_ffree == 0))
		doctor_bad(doctor, "folders", "make room", "%s: %s has only %llu KiB and %llu files left", key, path,
			(unsigned long long)((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >> 10),
			(unsigned long long)fs.f_ffree);
	else
		return true;
	return false;
}

void doctor_check_folders(struct doctor *doctor)
{
	const struct config *config = &doctor->stores.config;
	enum medium kept, data;
	bool good;

	if (!doctor->opened)
		return;
	good = check_folder(doctor, "cniDir", config->cni_dir, &kept);
	if (kept == MEDIUM_MEMORY)
		doctor_note(doctor, "folders",
			"cniDir %s lies in memory: what is kept for namespaces and queued releases end with the node's "
			"next reboot",
			config->cni_dir);
	if (check_folder(doctor, "dataDir", config->data_dir, &data) && good)
		doctor_ok(doctor, "folders", "cniDir %s and dataDir %s can be written to and have room",
			config->cni_dir, config->data_dir);
	if (data == MEDIUM_DISK)
		doctor_note(doctor, "folders",
			"dataDir %s does not lie in memory: what it holds is good for one boot, and stays behind",
			config->data_dir);
	if (doctor->planned && doctor->stores_error.err)
		doctor_bad(doctor, "folders", NULL, "%s", doctor->stores_error.message);
}

/* --- what waits --- */

void doctor_check_outbox(struct doctor *doctor)
{
	if (!doctor->opened)
		return;

	cleanup_free char *folder = format_text("%s/outbox", doctor->stores.config.cni_dir);
	const size_t count = outbox_count(folder);

	if (count)
		doctor_note(doctor, "outbox",
			"%zu %s in %s for a cluster that was away: lamina gc sends them, and so does the next pod's "
			"start "
			"or end",
			count, count == 1 ? "release waits" : "releases wait", folder);
	else
		doctor_ok(doctor, "outbox", "no release waits");
}

void doctor_check_timer(struct doctor *doctor)
{
	struct stat st;

	if (lstat(TIMER, &st) == 0)
		doctor_ok(doctor, "gc-timer", "lamina-gc.timer is enabled");
	else
		doctor_note(doctor, "gc-timer",
			"lamina-gc.timer is not enabled: have lamina gc run every five minutes (the release's "
			"lamina-gc.timer, or cron), since no runtime asks for it");
}
