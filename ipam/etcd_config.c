#include "ipam/etcd.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* Clusters have 3, 5 or 7 members. */
#define ENDPOINTS_MAX 16

#define URL_MAX 300
#define NAME_MAX_BYTES 256
#define PATH_MAX_BYTES 4095

struct etcd_texts {
	const char *urls, *cert, *key, *ca, *odd_ca, *username, *password;
};

static const struct json_field etcd_table[] = {
	{"etcdURL", JSON_STRING, offsetof(struct etcd_texts, urls), true},
	{"etcdCertFile", JSON_STRING, offsetof(struct etcd_texts, cert), false},
	{"etcdKeyFile", JSON_STRING, offsetof(struct etcd_texts, key), false},
	{"etcdTrustedCAFile", JSON_STRING, offsetof(struct etcd_texts, ca), false},
	{"etcdTrustedCAFileFile", JSON_STRING, offsetof(struct etcd_texts, odd_ca), false},
	{"etcdUsername", JSON_STRING, offsetof(struct etcd_texts, username), false},
	{"etcdPasswordFile", JSON_STRING, offsetof(struct etcd_texts, password), false},
	{0},
};

void etcd_config_free(struct etcd_config *config)
{
	for (size_t i = 0; i < config->endpoint_count; i++)
		free(config->endpoints[i]);
	free(config->endpoints);
	free(config->cert_file);
	free(config->key_file);
	free(config->ca_file);
	free(config->username);
	free(config->password_file);
	free(config);
}

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long port = digits > 0 && digits <= 5 && !text[digits] ? strtol(text, NULL, 10) : 0;

	return port >= 1 && port <= 65535;
}

/* host, host:port, [v6] or [v6]:port, and nothing behind it. */
static bool is_authority(const char *text)
{
	const char *hosts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	bool v6 = *text == '[';
	size_t length = v6 ? strspn(text + 1, "0123456789abcdefABCDEF:.") : strspn(text, hosts);

	if (length == 0 || (v6 && text[length + 1] != ']'))
		return false;

	const char *rest = text + length + (v6 ? 2 : 0);

	return !*rest || (*rest == ':' && is_port(rest + 1));
}

static const char *skip_scheme(const char *url)
{
	if (strncasecmp(url, "https://", 8) == 0)
		return url + 8;
	return strncasecmp(url, "http://", 7) == 0 ? url + 7 : NULL;
}

static bool is_https(const struct etcd_config *config)
{
	return strncasecmp(config->endpoints[0], "https:", 6) == 0;
}

static int add_endpoint(struct etcd_config *config, const char *text, size_t length, const char *path, struct error *e)
{
	while (length > 0 && isspace((unsigned char)*text))
		text++, length--;
	while (length > 0 && (isspace((unsigned char)text[length - 1]) || text[length - 1] == '/'))
		length--;

	cleanup_free char *url = format_text("%.*s", (int)length, text);
	const char *authority = skip_scheme(url);

	if (strchr(url, '@')) /* what stands before it is a secret */
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.etcdURL must name no user: that is what etcdUsername and etcdPasswordFile are for", path);
	if (length > URL_MAX || !authority || !is_authority(authority))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.etcdURL: \"%.100s\" must be the URL of an etcd member, as in https://192.168.122.11:2379",
			path, url);
	if (config->endpoint_count == ENDPOINTS_MAX)
		return error_set(
			e, -E2BIG, ERROR_CONFIG, "%s.etcdURL must name at most %d members", path, ENDPOINTS_MAX);
	config->endpoints[config->endpoint_count++] = steal_ptr(url);
	if (is_https(config) != (strncasecmp(config->endpoints[config->endpoint_count - 1], "https:", 6) == 0))
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "%s.etcdURL mixes http and https: it must be one of them", path);
	return 0;
}

static int add_endpoints(struct etcd_config *config, const char *urls, const char *path, struct error *e)
{
	config->endpoints = allocate(ENDPOINTS_MAX, sizeof(*config->endpoints));
	for (;;) {
		size_t length = strcspn(urls, ",");
		int r = add_endpoint(config, urls, length, path, e);

		if (r < 0 || !urls[length])
			return r;
		urls += length + 1;
	}
}

/* An empty text is as good as none: that is how Go's programs leave a key out. */
static const char *some(const char *text)
{
	return text && *text ? text : NULL;
}

static int take_path(const char *text, const char *path, const char *key, char **ret, struct error *e)
{
	if (!some(text))
		return 0;
	if (*text != '/' || strlen(text) > PATH_MAX_BYTES)
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "%s.%s is %.100s: it must be an absolute path", path, key, text);
	*ret = copy_text(text);
	return 0;
}

static int take_files(struct etcd_config *config, const struct etcd_texts *texts, const char *path, struct error *e)
{
	const char *ca = some(texts->ca), *odd_ca = some(texts->odd_ca);

	if (ca && odd_ca && strcmp(ca, odd_ca) != 0)
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.etcdTrustedCAFile is %.100s and etcdTrustedCAFileFile is %.100s: one of them must go", path,
			ca, odd_ca);

	const struct {
		const char *text, *key;
		char **ret;
	} files[] = {
		{texts->cert, "etcdCertFile", &config->cert_file},
		{texts->key, "etcdKeyFile", &config->key_file},
		{ca ? ca : odd_ca, ca ? "etcdTrustedCAFile" : "etcdTrustedCAFileFile", &config->ca_file},
		{texts->password, "etcdPasswordFile", &config->password_file},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int r = take_path(files[i].text, path, files[i].key, files[i].ret, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_together(const struct etcd_config *config, const char *path, struct error *e)
{
	const char *lonely = NULL, *missing = NULL;

	if (!config->cert_file != !config->key_file) {
		lonely = config->cert_file ? "etcdCertFile" : "etcdKeyFile";
		missing = config->cert_file ? "etcdKeyFile" : "etcdCertFile";
	} else if (!config->username != !config->password_file) {
		lonely = config->username ? "etcdUsername" : "etcdPasswordFile";
		missing = config->username ? "etcdPasswordFile" : "etcdUsername";
	}
	if (lonely)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.%s is missing: %s needs it", path, missing, lonely);
	if (!is_https(config) && (config->cert_file || config->ca_file))
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"%s.etcdURL is %.100s: with certificates it must begin with https://", path,
			config->endpoints[0]);
	return 0;
}

int etcd_config_parse(const cJSON *object, const char *path, struct etcd_config **ret, struct error *e)
{
	cleanup_etcd_config struct etcd_config *config = allocate(1, sizeof(*config));
	struct etcd_texts texts = {0};
	int r = json_read(object, path, etcd_table, &texts, e);

	if (r >= 0)
		r = add_endpoints(config, texts.urls, path, e);
	if (r >= 0)
		r = take_files(config, &texts, path, e);
	if (r < 0)
		return r;
	if (some(texts.username) && strlen(texts.username) > NAME_MAX_BYTES)
		return error_set(e, -EINVAL, ERROR_CONFIG, "%s.etcdUsername must have at most %d characters", path,
			NAME_MAX_BYTES);
	config->username = copy_text(some(texts.username));
	r = check_together(config, path, e);
	if (r < 0)
		return r;
	*ret = steal_ptr(config);
	return 0;
}

cJSON *etcd_config_print(const struct etcd_config *config)
{
	cleanup_free char *urls = copy_text("");
	cJSON *object = cJSON_CreateObject();

	for (size_t i = 0; i < config->endpoint_count; i++) {
		char *longer = format_text("%s%s%s", urls, i > 0 ? "," : "", config->endpoints[i]);

		free(urls);
		urls = longer;
	}
	json_put_text(object, "etcdURL", urls);
	json_put_text(object, "etcdCertFile", config->cert_file);
	json_put_text(object, "etcdKeyFile", config->key_file);
	json_put_text(object, "etcdTrustedCAFile", config->ca_file);
	json_put_text(object, "etcdUsername", config->username);
	json_put_text(object, "etcdPasswordFile", config->password_file);
	return object;
}
