#include "ipam/outbox.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SUFFIX ".json"

/* More than any release needs, with a long list of members. */
#define ENTRY_MAX_BYTES 65536

/* What one call reads at most; the rest is for the next one. */
#define MAX_ENTRIES ((size_t)1000)

#define MAX_ADDRS 1024

/* Of an ID, what a file's name shows. */
#define SHOWN_ID 64

/* --- writing --- */

static void hash_text(uint64_t *hash, const char *text)
{
	/* FNV-1a; the NUL tells "a" "bc" from "ab" "c". */
	do {
		*hash = (*hash ^ (unsigned char)*text) * 0x100000001b3;
	} while (*text++);
}

/* One for each attachment: its names in a hash, since any byte may be in them, and the ID for people. */
static char *name_of(const struct store_release *release, const char *node)
{
	uint64_t hash = 0xcbf29ce484222325;
	char id[SHOWN_ID + 1] = "";

	hash_text(&hash, release->network);
	hash_text(&hash, node);
	hash_text(&hash, release->cid);
	hash_text(&hash, release->ifname);
	for (size_t i = 0; i < SHOWN_ID && release->cid[i]; i++)
		id[i] = isalnum((unsigned char)release->cid[i]) ? release->cid[i] : '_';
	return format_text("%s-%016" PRIx64 SUFFIX, id, hash);
}

static char *print_entry(const struct store_release *release, const char *node, const struct etcd_config *etcd)
{
	cleanup_json cJSON *object = cJSON_CreateObject();
	cJSON *addrs = cJSON_CreateArray();

	if (!object || !addrs)
		abort();
	for (size_t i = 0; i < release->addr_count; i++) {
		cJSON *addr = cJSON_CreateString(ip_text(&release->addrs[i]).s);

		if (!addr || !cJSON_AddItemToArray(addrs, addr))
			abort();
	}
	json_put(object, "v", cJSON_CreateNumber(1));
	json_put_text(object, "node", node);
	json_put_text(object, "network", release->network);
	json_put_text(object, "domain", release->domain);
	json_put_text(object, "cid", release->cid);
	json_put_text(object, "ifname", release->ifname);
	json_put_text(object, "value", release->value);
	json_put(object, "addrs", addrs);
	if (release->unfinished)
		json_put(object, "unfinished", cJSON_CreateTrue());
	json_put(object, "etcd", etcd_config_print(etcd));
	return json_print(object);
}

static int fail(const char *path, struct error *e)
{
	return error_set(e, -errno, ERROR_IO, "cannot queue a release: %s: %s", path, strerror(errno));
}

static int write_synced(int fd, const char *bytes)
{
	size_t length = strlen(bytes);

	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		length -= (size_t)n;
	}

	/* The kernel's own times are as coarse as its ticks, and the order counts. */
	struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {0}};

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (futimens(fd, times) < 0)
		return -1;
	return fsync(fd);
}

/* The file, then its name in the folder: both outlive a power cut. */
static int put_file(int folder, const char *name, const char *bytes)
{
	cleanup_free char *temporary = format_text(".%s.%d", name, (int)getpid());
	cleanup_close int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -1;
	if (write_synced(fd, bytes) < 0 || renameat(folder, temporary, folder, name) < 0) {
		int cause = errno;

		unlinkat(folder, temporary, 0);
		errno = cause;
		return -1;
	}
	return fsync(folder);
}

int outbox_put(const char *folder, const struct store_release *release, const char *node,
	const struct etcd_config *etcd, struct error *e)
{
	int r = file_make_folder(folder, 0700, e);

	if (r < 0)
		return r;

	cleanup_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *name = name_of(release, node), *text = print_entry(release, node, etcd);

	if (fd < 0 || put_file(fd, name, text) < 0)
		return fail(folder, e);
	return 0;
}

/* --- reading --- */

struct entry_texts {
	int64_t version;
	const char *node, *network, *domain, *cid, *ifname, *value;
	const cJSON *addrs, *etcd;
	bool unfinished;
};

#define FIELD(key, type, member, required) \
	{ \
		key, type, offsetof(struct entry_texts, member), required \
	}

static const struct json_field entry_table[] = {
	FIELD("v", JSON_INTEGER, version, true),
	FIELD("node", JSON_STRING, node, true),
	FIELD("network", JSON_STRING, network, true),
	FIELD("domain", JSON_STRING, domain, false),
	FIELD("cid", JSON_STRING, cid, true),
	FIELD("ifname", JSON_STRING, ifname, true),
	FIELD("value", JSON_STRING, value, false),
	FIELD("addrs", JSON_ARRAY, addrs, true),
	FIELD("unfinished", JSON_BOOL, unfinished, false),
	FIELD("etcd", JSON_OBJECT, etcd, true),
	{0},
};

static void entry_clear(struct outbox_entry *entry)
{
	free(entry->file);
	free(entry->node);
	free(entry->network);
	free(entry->domain);
	free(entry->cid);
	free(entry->ifname);
	free(entry->value);
	free(entry->addrs);
	if (entry->etcd)
		etcd_config_free(entry->etcd);
	*entry = (struct outbox_entry){0};
}

static int read_addrs(const cJSON *list, struct outbox_entry *entry, struct error *e)
{
	int count = cJSON_GetArraySize(list);

	if (count > MAX_ADDRS)
		return error_set(e, -E2BIG, ERROR_DECODE, "it has %d addresses", count);
	entry->addrs = allocate((size_t)count + 1, sizeof(*entry->addrs));
	for (const cJSON *item = list->child; item; item = item->next) {
		if (!cJSON_IsString(item) || !ip_parse(item->valuestring, &entry->addrs[entry->addr_count]))
			return error_set(e, -EBADMSG, ERROR_DECODE, "one of its addresses is none");
		entry->addr_count++;
	}
	return 0;
}

static int parse_entry(const char *text, size_t length, struct outbox_entry *entry, struct error *e)
{
	cleanup_json cJSON *json = NULL;
	struct entry_texts texts = {0};
	int r = json_parse(text, length, "queued release", &json, e);

	if (r >= 0)
		r = json_read(json, "", entry_table, &texts, e);
	if (r >= 0 && texts.version != 1)
		r = error_set(e, -EBADMSG, ERROR_DECODE, "v is %lld", (long long)texts.version);
	if (r >= 0)
		r = read_addrs(texts.addrs, entry, e);
	if (r >= 0)
		r = etcd_config_parse(texts.etcd, "etcd", &entry->etcd, e);
	if (r < 0)
		return r;
	entry->node = copy_text(texts.node);
	entry->network = copy_text(texts.network);
	entry->domain = copy_text(texts.domain);
	entry->cid = copy_text(texts.cid);
	entry->ifname = copy_text(texts.ifname);
	entry->value = copy_text(texts.value);
	entry->unfinished = texts.unfinished;
	return 0;
}

static void move_aside(const char *path, const char *why)
{
	cleanup_free char *damaged = format_text("%s.damaged", path);

	log_write(LOG_WARNING, "a queued release cannot be read and is moved to %s: %s", damaged, why);
	if (rename(path, damaged) < 0)
		log_write(LOG_WARNING, "cannot move %s: %s", path, strerror(errno));
}

/* One that vanished was sent by somebody else. Anything but its content is an error of the disk: it stays. */
static int read_entry(const char *path, struct outbox_entry *entry, struct error *e)
{
	cleanup_error struct error damage = {0};
	cleanup_free char *text = NULL;
	size_t length = 0;
	int r = file_read(path, ENTRY_MAX_BYTES, &text, &length, &damage);

	if (r == -ENOENT)
		return 0;
	if (r < 0 && r != -EFBIG) {
		error_keep_first(e, &damage);
		return r;
	}
	if (r >= 0)
		r = parse_entry(text, length, entry, &damage);
	if (r < 0) {
		move_aside(path, damage.message);
		entry_clear(entry);
		return 0;
	}
	entry->file = copy_text(path);
	return 1;
}

struct queued {
	char *path;
	struct timespec since;
};

struct queue {
	struct queued *list;
	size_t count;
};

static void queue_clear(struct queue *queue)
{
	for (size_t i = 0; i < queue->count; i++)
		free(queue->list[i].path);
	free(queue->list);
}

#define cleanup_queue CLEANUP(queue_clear)

static bool is_entry(const char *name)
{
	size_t length = strlen(name);

	return *name != '.' && length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static int compare_queued(const void *a, const void *b)
{
	const struct queued *left = a, *right = b;

	if (left->since.tv_sec != right->since.tv_sec)
		return left->since.tv_sec < right->since.tv_sec ? -1 : 1;
	if (left->since.tv_nsec != right->since.tv_nsec)
		return left->since.tv_nsec < right->since.tv_nsec ? -1 : 1;
	return strcmp(left->path, right->path);
}

/* The folder's entries, oldest first. Absent: none. */
static int read_queue(const char *folder, struct queue *queue, struct error *e)
{
	cleanup_dir DIR *dir = opendir(folder);
	const struct dirent *found;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set(e, -errno, ERROR_IO, "cannot read the folder %s: %s", folder, strerror(errno));
	while ((found = readdir(dir))) {
		struct stat st;

		if (!is_entry(found->d_name) || fstatat(dirfd(dir), found->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		queue->list = reallocate(queue->list, queue->count + 1, sizeof(*queue->list));
		queue->list[queue->count++] =
			(struct queued){.path = format_text("%s/%s", folder, found->d_name), .since = st.st_mtim};
	}
	if (queue->count)
		qsort(queue->list, queue->count, sizeof(*queue->list), compare_queued);
	return 0;
}

int outbox_read(const char *folder, struct outbox_entry **ret, size_t *ret_count, struct error *e)
{
	cleanup_queue struct queue queue = {0};
	int r = read_queue(folder, &queue, e);

	if (r < 0)
		return r;

	struct outbox_entry *entries = allocate(queue.count + 1, sizeof(*entries));
	size_t count = 0;

	for (size_t i = 0; i < queue.count && count < MAX_ENTRIES && r >= 0; i++) {
		r = read_entry(queue.list[i].path, &entries[count], e);
		if (r > 0)
			count++;
	}
	if (r < 0) {
		outbox_entries_free(entries, count);
		return r;
	}
	*ret = entries;
	*ret_count = count;
	return 0;
}

bool outbox_is_empty(const char *folder)
{
	cleanup_dir DIR *dir = opendir(folder);
	const struct dirent *found;

	while (dir && (found = readdir(dir))) {
		if (is_entry(found->d_name))
			return false;
	}
	return true;
}

size_t outbox_count(const char *folder)
{
	cleanup_dir DIR *dir = opendir(folder);
	const struct dirent *found;
	size_t count = 0;

	while (dir && (found = readdir(dir)))
		count += is_entry(found->d_name);
	return count;
}

struct store_release outbox_release(const struct outbox_entry *entry)
{
	return (struct store_release){
		.network = entry->network,
		.node = entry->node,
		.domain = entry->domain,
		.cid = entry->cid,
		.ifname = entry->ifname,
		.value = entry->value,
		.addrs = entry->addrs,
		.addr_count = entry->addr_count,
		.unfinished = entry->unfinished,
	};
}

int outbox_remove(const struct outbox_entry *entry, struct error *e)
{
	if (unlink(entry->file) < 0 && errno != ENOENT)
		return error_set(e, -errno, ERROR_IO, "cannot remove %s: %s", entry->file, strerror(errno));
	return 0;
}

void outbox_entries_free(struct outbox_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		entry_clear(&entries[i]);
	free(entries);
}
