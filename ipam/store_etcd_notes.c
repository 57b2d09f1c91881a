#include "ipam/range.h"
#include "ipam/store_etcd_search.h"
#include "plugin/base/file.h"
#include "plugin/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Some 6,000 releases: with the usual delay of 60 s enough for 100 a second. */
#define RELEASED_MAX_BYTES 262144

#define FREE_MAX_BYTES 65536

/* Far more than any delay that makes sense; keeps the arithmetic inside an int64_t. */
#define LONGEST_DELAY ((int64_t)365 * 86400)

static char *released_path(const struct etcd_store *store)
{
	return format_text("%s/released", store->data_dir);
}

static void hash_text(uint64_t *hash, const char *text)
{
	/* FNV-1a; the NUL tells "a" "bc" from "ab" "c". */
	do {
		*hash = (*hash ^ (unsigned char)*text) * 0x100000001b3;
	} while (*text++);
}

/* One file for each network, domain and set of ranges. */
static char *free_path(
	const struct etcd_store *store, const struct store_request *request, const struct ipam_range_set *set)
{
	uint64_t hash = 0xcbf29ce484222325;

	hash_text(&hash, request->network);
	hash_text(&hash, request->config->domain);
	for (size_t i = 0; i < set->count; i++) {
		hash_text(&hash, ip_text(&set->ranges[i].start).s);
		hash_text(&hash, ip_text(&set->ranges[i].end).s);
	}
	return format_text("%s/free-%016" PRIx64, store->data_dir, hash);
}

/* A file that cannot be read is one that is not there. */
static char *read_note(const char *path, size_t max)
{
	cleanup_error struct error ignored = {0};
	char *text = NULL;

	if (file_read(path, max, &text, NULL, &ignored) < 0 && ignored.err != -ENOENT)
		log_write(LOG_DEBUG, "%s", ignored.message);
	return text;
}

static void append(const char *path, const char *text)
{
	cleanup_error struct error ignored = {0};
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	cleanup_close int fd = open(path, flags, 0600);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		cleanup_free char *folder = copy_text(path);

		*strrchr(folder, '/') = '\0';
		if (file_make_folder(folder, 0700, &ignored) >= 0)
			fd = open(path, flags, 0600);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	/* It begins anew: what was released this long ago is of no interest, or there is too much of it. */
	if (st.st_size > RELEASED_MAX_BYTES / 2 && ftruncate(fd, 0) < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		log_write(LOG_DEBUG, "cannot write %s: %s", path, strerror(errno));
}

void etcd_note_released(const struct etcd_store *store, const char *domain, const struct ip_addr *addrs, size_t count)
{
	if (!store->data_dir || !domain || !count)
		return;

	cleanup_free char *path = released_path(store), *text = copy_text("");

	for (size_t i = 0; i < count; i++) {
		cleanup_free char *before = text;

		text = format_text("%s%lld %s %s\n", before, (long long)clock_now(), domain, ip_text(&addrs[i]).s);
	}
	append(path, text);
}

/* "<clock_now> <domain> <address>", released between since and now in that domain. */
static bool parse_released(char *line, const char *domain, int64_t since, int64_t now, struct ip_addr *ret)
{
	char *rest = NULL;
	const char *at = strtok_r(line, " ", &rest), *where = strtok_r(NULL, " ", &rest);
	const char *addr = strtok_r(NULL, " ", &rest);
	int64_t time = at ? strtoll(at, NULL, 10) : 0;

	return addr && strcmp(where, domain) == 0 && time > since && time <= now && ip_parse(addr, ret);
}

void etcd_note_fresh(const struct etcd_store *store, const char *domain, int64_t delay, struct addr_list *list)
{
	if (!store->data_dir || delay <= 0)
		return;
	if (delay > LONGEST_DELAY)
		delay = LONGEST_DELAY;

	cleanup_free char *path = released_path(store), *text = read_note(path, RELEASED_MAX_BYTES);
	int64_t now = clock_now();
	char *rest = NULL;
	struct ip_addr addr;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		if (!parse_released(line, domain, now - delay * SECONDS, now, &addr))
			continue;
		/* Released twice: the later one counts. */
		for (size_t i = 0; i < list->count; i++) {
			if (ip_compare(&list->addrs[i], &addr) == 0) {
				memmove(&list->addrs[i], &list->addrs[i + 1],
					(list->count - i - 1) * sizeof(*list->addrs));
				list->count--;
				break;
			}
		}
		addr_list_add(list, &addr);
	}
}

void etcd_note_read_free(const struct etcd_store *store, const struct store_request *request,
	const struct ipam_range_set *set, struct addr_list *list)
{
	if (!store->data_dir)
		return;

	cleanup_free char *path = free_path(store, request, set), *text = read_note(path, FREE_MAX_BYTES);
	char *rest = NULL;
	struct ip_addr addr;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		if (ip_parse(line, &addr) && ipam_set_allows(set, &addr) && !addr_list_has(list, &addr))
			addr_list_add(list, &addr);
	}
}

void etcd_note_write_free(const struct etcd_store *store, const struct store_request *request,
	const struct ipam_range_set *set, const struct ip_addr *addrs, size_t count)
{
	cleanup_error struct error ignored = {0};

	if (!store->data_dir)
		return;

	cleanup_free char *path = free_path(store, request, set), *text = allocate(count + 1, IP_TEXT);
	size_t used = 0;

	if (count == 0) {
		file_remove(path, &ignored);
		return;
	}
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, IP_TEXT, "%s\n", ip_text(&addrs[i]).s);
	if (file_write(path, 0600, text, used, &ignored) < 0)
		log_write(LOG_DEBUG, "%s", ignored.message);
}
