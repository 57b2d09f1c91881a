#include "delegate/kubeconfig.h"

#include "plugin/base/base64.h"
#include "plugin/base/file.h"
#include "plugin/base/ip.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define MAX_BYTES ((size_t)1 << 20)

/* More than any kubeconfig has: what a stranger's file may cost. */
#define MAX_DEPTH 64
#define MAX_EVENTS 200000

/* Where a pod finds its service account. */
#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

#define cleanup_parser CLEANUP(yaml_parser_delete)

/* A place in the file, with its name for errors. */
struct place {
	yaml_document_t *document;
	const char *file;
	const char *path; /* "users[2].user" */
	const yaml_node_t *node;
};

static int refuse(const struct place *at, const char *key, const char *why, struct error *e)
{
	error_set(e, -EINVAL, ERROR_CONFIG, "kubeconfig %s: %s%s%s %s", at->file, at->path,
		*at->path && *key ? "." : "", key, why);
	return -EINVAL;
}

/* --- YAML --- */

/* Never the text itself: it may be a key or a token. */
static int refuse_syntax(const yaml_parser_t *parser, const char *file, struct error *e)
{
	return error_set(e, -EINVAL, ERROR_CONFIG, "kubeconfig %s: line %zu: %s", file, parser->problem_mark.line + 1,
		parser->problem ? parser->problem : "this is not YAML");
}

static void start_parser(yaml_parser_t *parser, const char *bytes, size_t length)
{
	if (!yaml_parser_initialize(parser))
		abort();
	yaml_parser_set_input_string(parser, (const unsigned char *)bytes, length);
}

/* How much deeper the event leads; aliases lead anywhere. */
static int depth_change(yaml_event_type_t type)
{
	if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
		return 1;
	return type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT ? -1 : 0;
}

/* Before a tree is built: libyaml bounds neither depth nor number, and with aliases a few lines mean gigabytes. */
static int check_bounds(const char *bytes, size_t length, const char *file, struct error *e)
{
	cleanup_parser yaml_parser_t parser;
	yaml_event_type_t type = YAML_NO_EVENT;
	int depth = 0;

	start_parser(&parser, bytes, length);
	for (int events = 0; type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT; events++) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event))
			return refuse_syntax(&parser, file, e);
		type = event.type;
		depth += depth_change(type);
		yaml_event_delete(&event);
		if (type == YAML_ALIAS_EVENT)
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"kubeconfig %s: line %zu: aliases (*name) are not served: write the value there", file,
				parser.mark.line + 1);
		if (depth > MAX_DEPTH || events > MAX_EVENTS)
			return error_set(e, -EINVAL, ERROR_CONFIG,
				"kubeconfig %s: this is no kubeconfig: it has more than %d levels or %d values", file,
				MAX_DEPTH, MAX_EVENTS);
	}
	return 0;
}

static bool is_plain_word(const yaml_node_t *node, const char *const *words)
{
	if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (; *words; words++) {
		if (strcasecmp((const char *)node->data.scalar.value, *words) == 0)
			return true;
	}
	return false;
}

static bool is_null(const yaml_node_t *node)
{
	static const char *const words[] = {"", "~", "null", NULL};

	return node->type == YAML_NO_NODE || (node->type == YAML_SCALAR_NODE && is_plain_word(node, words));
}

/* The last one of that name, as in Go; NULL when it is absent or null. */
static const yaml_node_t *find_member(const struct place *at, const char *key)
{
	const yaml_node_t *found = NULL;

	if (!at->node || at->node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = at->node->data.mapping.pairs.start; pair < at->node->data.mapping.pairs.top;
		pair++) {
		const yaml_node_t *name = yaml_document_get_node(at->document, pair->key);

		if (name->type == YAML_SCALAR_NODE && strcmp((const char *)name->data.scalar.value, key) == 0)
			found = yaml_document_get_node(at->document, pair->value);
	}
	return found && !is_null(found) ? found : NULL;
}

/* NULL when it is absent or empty. Borrowed from the document. */
static int get_text(const struct place *at, const char *key, const char **ret, struct error *e)
{
	const yaml_node_t *node = find_member(at, key);

	*ret = NULL;
	if (!node)
		return 0;
	if (node->type != YAML_SCALAR_NODE)
		return refuse(at, key, "must be a string", e);

	const char *text = (const char *)node->data.scalar.value;

	if (strlen(text) != node->data.scalar.length)
		return refuse(at, key, "contains a NUL character", e);
	*ret = *text ? text : NULL;
	return 0;
}

static int need_text(const struct place *at, const char *key, const char *way_out, const char **ret, struct error *e)
{
	int r = get_text(at, key, ret, e);

	if (r < 0)
		return r;
	return *ret ? 0 : refuse(at, key, way_out, e);
}

static int refuse_name(const struct place *root, const char *list, const char *what, const char *name, struct error *e)
{
	cleanup_free char *why = format_text("%s named \"%s\"", what, name);

	return refuse(root, list, why, e);
}

/* An entry of a list of {name: ..., <key>: {...}}; client-go does not take two of one name either. */
static int find_entry(const struct place *root, const char *list, const char *key, const char *name, struct place *ret,
	char **ret_path, struct error *e)
{
	const yaml_node_t *node = find_member(root, list);
	cleanup_free char *path = NULL;
	size_t i = 0;

	if (node && node->type != YAML_SEQUENCE_NODE)
		return refuse(root, list, "must be a list", e);
	for (const yaml_node_item_t *item = node ? node->data.sequence.items.start : NULL;
		node && item < node->data.sequence.items.top; item++, i++) {
		cleanup_free char *here = format_text("%s[%zu]", list, i);
		struct place entry = {root->document, root->file, here, yaml_document_get_node(root->document, *item)};
		const char *its_name;

		if (get_text(&entry, "name", &its_name, e) < 0)
			return -EINVAL;
		if (!its_name || strcmp(its_name, name) != 0)
			continue;
		if (path)
			return refuse_name(root, list, "has two entries", name, e);
		path = format_text("%s.%s", here, key);
		*ret = (struct place){root->document, root->file, path, find_member(&entry, key)};
		if (!ret->node || ret->node->type != YAML_MAPPING_NODE)
			return refuse(ret, "", "must be an object", e);
	}
	if (!path)
		return refuse_name(root, list, "has no entry", name, e);
	*ret_path = steal_ptr(path);
	return 0;
}

/* --- what is read --- */

/* Go's base64 skips line ends, so that a wrapped block may stand there; white space around it does no harm. */
static char *unwrap(const char *text)
{
	char *copy = copy_text(text + strspn(text, " \t\r\n")), *out = copy;
	size_t length = strlen(copy);

	while (length > 0 && strchr(" \t\r\n", copy[length - 1]))
		copy[--length] = '\0';
	for (const char *in = copy; *in; in++) {
		if (*in != '\r' && *in != '\n')
			*out++ = *in;
	}
	*out = '\0';
	return copy;
}

static int decode_pem(const struct place *at, const char *key, const char *text, char **ret, struct error *e)
{
	cleanup_free char *line = unwrap(text), *pem = NULL;
	size_t length;

	if (!base64_decode(line, &pem, &length))
		return refuse(
			at, key, "is not base64: use `base64 -w0 FILE`, or name the file in the key without -data", e);
	if (strlen(pem) != length || !strstr(pem, "-----BEGIN "))
		return refuse(at, key, "is not the base64 of a PEM file (-----BEGIN ...)", e);
	*ret = steal_ptr(pem);
	return 0;
}

/* Relative names are meant from the kubeconfig's folder. */
static char *beside(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');

	if (*name == '/' || !slash)
		return copy_text(name);
	return format_text("%.*s/%s", (int)(slash - file), file, name);
}

/* KEY-data, else KEY. */
static int read_pem(const struct place *at, const char *key, char **ret_pem, char **ret_file, struct error *e)
{
	cleanup_free char *data_key = format_text("%s-data", key);
	const char *data, *name;

	if (get_text(at, data_key, &data, e) < 0 || get_text(at, key, &name, e) < 0)
		return e->err;
	if (data)
		return decode_pem(at, data_key, data, ret_pem, e);
	if (name)
		*ret_file = beside(at->file, name);
	return 0;
}

/* What would be obeyed by kubectl and is not by us must not go unseen. */
static int refuse_keys(const struct place *at, const char *const (*keys)[2], struct error *e)
{
	for (; (*keys)[0]; keys++) {
		const yaml_node_t *node = find_member(at, (*keys)[0]);
		bool empty = node && node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0;

		if (node && !empty)
			return refuse(at, (*keys)[0], (*keys)[1], e);
	}
	return 0;
}

static int check_verified(const struct place *at, struct error *e)
{
	static const char key[] = "insecure-skip-tls-verify";
	static const char *const no[] = {"false", "no", "off", "n", NULL};
	const yaml_node_t *node = find_member(at, key);

	if (node && (node->type != YAML_SCALAR_NODE || !is_plain_word(node, no)))
		return refuse(at, key,
			"is not served: addresses depend on what the API server says; give its CA in "
			"certificate-authority-data",
			e);
	return 0;
}

/* Returns where the host begins; NULL when the text is no URL that we would ask. */
static const char *host_of(const char *url)
{
	const char *host = strstr(url, "://");
	size_t scheme = host ? (size_t)(host - url) : 0;

	if (!(scheme == 5 && strncasecmp(url, "https", 5) == 0) && !(scheme == 4 && strncasecmp(url, "http", 4) == 0))
		return NULL;
	host += 3;
	if (!*host || *host == '/' || *host == ':')
		return NULL;
	for (const char *c = host; *c; c++) {
		if (*c <= ' ' || *c > '~' || strchr("@?#\\\"<>", *c))
			return NULL;
	}
	return host;
}

/* Without slashes at its end, and without the brackets that older installers of multus put around an IPv4 address, too:
 * Go takes them off. */
static char *clean_server(const char *url)
{
	const char *open = strchr(url, '['), *close = open ? strchr(open, ']') : NULL;
	size_t length = strlen(url);
	struct ip_addr addr;

	while (url[length - 1] == '/')
		length--;
	if (close) {
		cleanup_free char *host = format_text("%.*s", (int)(close - open - 1), open + 1);

		if (!strchr(host, ':') && ip_parse(host, &addr))
			return format_text(
				"%.*s%s%.*s", (int)(open - url), url, host, (int)(url + length - close - 1), close + 1);
	}
	return format_text("%.*s", (int)length, url);
}

static int read_cluster(struct kubeconfig *config, const struct place *at, struct error *e)
{
	static const char *const refused[][2] = {
		{"proxy-url",
			"is not served: the API server is asked directly; remove it and name in `server` what this "
			"node reaches"},
		{NULL},
	};
	const char *server, *server_name;

	if (need_text(at, "server", "is missing: it must be https://HOST:PORT", &server, e) < 0 ||
		get_text(at, "tls-server-name", &server_name, e) < 0 || refuse_keys(at, refused, e) < 0 ||
		check_verified(at, e) < 0)
		return e->err;
	if (!host_of(server))
		return refuse(at, "server", "is no URL of an API server: it must be https://HOST:PORT", e);
	config->server = clean_server(server);
	config->server_name = copy_text(server_name);
	return read_pem(at, "certificate-authority", &config->ca_pem, &config->ca_file, e);
}

/* It becomes a line of the request: nothing in it may begin another. */
static int read_token(struct kubeconfig *config, const struct place *at, struct error *e)
{
	const char *token, *file;

	if (get_text(at, "token", &token, e) < 0 || get_text(at, "tokenFile", &file, e) < 0)
		return e->err;
	for (const char *c = token; c && *c; c++) {
		if (*c <= ' ' || *c > '~')
			return refuse(at, "token", "contains white space or a control character", e);
	}
	if (token)
		config->token = copy_text(token);
	else if (file)
		config->token_file = beside(at->file, file);
	return 0;
}

static int read_user(struct kubeconfig *config, const struct place *at, struct error *e)
{
	static const char way_out[] =
		"is not served: give this user a client certificate, a token or a tokenFile instead";
	static const char password[] = "is not served, nor by any API server since Kubernetes 1.19: give this user a "
				       "client certificate, a token or a tokenFile instead";
	static const char as[] = "is not served: give the user itself the rights, and remove it";
	static const char *const refused[][2] = {
		{"exec", way_out},
		{"auth-provider", way_out},
		{"username", password},
		{"password", password},
		{"as", as},
		{"as-uid", as},
		{"as-groups", as},
		{"as-user-extra", as},
		{NULL},
	};

	if (refuse_keys(at, refused, e) < 0 ||
		read_pem(at, "client-certificate", &config->cert_pem, &config->cert_file, e) < 0 ||
		read_pem(at, "client-key", &config->key_pem, &config->key_file, e) < 0 || read_token(config, at, e) < 0)
		return e->err;

	bool cert = config->cert_file || config->cert_pem, key = config->key_file || config->key_pem;

	if (cert != key)
		return refuse(at, cert ? "client-key" : "client-certificate",
			"is missing: a certificate and its key are needed both", e);
	if ((config->token || config->token_file) && strncasecmp(config->server, "http:", 5) == 0)
		return refuse(at, config->token ? "token" : "tokenFile",
			"is never sent without TLS: the cluster's `server` must begin with https://", e);
	return 0;
}

static int read_document(struct kubeconfig *config, const struct place *root, struct error *e)
{
	cleanup_free char *context_path = NULL, *cluster_path = NULL, *user_path = NULL;
	const char *name, *cluster_name, *user_name;
	struct place context, cluster, user;

	if (!root->node || root->node->type != YAML_MAPPING_NODE)
		return error_set(
			e, -EINVAL, ERROR_CONFIG, "kubeconfig %s: this is no kubeconfig: no object in it", root->file);
	if (need_text(root, "current-context", "is missing: set it with `kubectl config use-context NAME`", &name, e) <
			0 ||
		find_entry(root, "contexts", "context", name, &context, &context_path, e) < 0 ||
		need_text(&context, "cluster", "is missing: it must name an entry of clusters", &cluster_name, e) < 0 ||
		need_text(&context, "user", "is missing: it must name an entry of users", &user_name, e) < 0 ||
		find_entry(root, "clusters", "cluster", cluster_name, &cluster, &cluster_path, e) < 0 ||
		find_entry(root, "users", "user", user_name, &user, &user_path, e) < 0 ||
		read_cluster(config, &cluster, e) < 0)
		return e->err;
	return read_user(config, &user, e);
}

int kubeconfig_read(const char *path, struct kubeconfig **ret, struct error *e)
{
	cleanup_kubeconfig struct kubeconfig *config = allocate(1, sizeof(*config));
	cleanup_free char *bytes = NULL;
	size_t length;

	config->path = copy_text(path);
	if (file_read(path, MAX_BYTES, &bytes, &length, e) < 0) {
		e->code = ERROR_CONFIG;
		return error_wrap(e, "kubeconfig");
	}
	if (check_bounds(bytes, length, path, e) < 0)
		return e->err;

	cleanup_parser yaml_parser_t parser;
	yaml_document_t document;

	start_parser(&parser, bytes, length);
	if (!yaml_parser_load(&parser, &document))
		return refuse_syntax(&parser, path, e);

	struct place root = {&document, path, "", yaml_document_get_root_node(&document)};
	int r = read_document(config, &root, e);

	yaml_document_delete(&document);
	if (r == 0)
		*ret = steal_ptr(config);
	return r;
}

int kubeconfig_in_cluster(struct kubeconfig **ret, struct error *e)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

	*ret = NULL;
	if (!host || !*host || !port || !*port)
		return 0;

	const bool six = strchr(host, ':');
	cleanup_free char *server = format_text("https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);

	if (!host_of(server) || strchr(host, '/') || port[strspn(port, "0123456789")])
		return error_set(e, -EINVAL, ERROR_CONFIG,
			"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT lead to %.200s, which is no URL of an API "
			"server; set the plugin's `kubeconfig`",
			server);
	*ret = allocate(1, sizeof(**ret));
	(*ret)->path = copy_text(ACCOUNT);
	(*ret)->server = steal_ptr(server);
	(*ret)->ca_file = copy_text(ACCOUNT "/ca.crt");
	(*ret)->token_file = copy_text(ACCOUNT "/token");
	return 0;
}

void kubeconfig_free(struct kubeconfig *config)
{
	if (!config)
		return;
	free(config->path);
	free(config->server);
	free(config->ca_file);
	free(config->ca_pem);
	free(config->cert_file);
	free(config->cert_pem);
	free(config->key_file);
	free(config->key_pem);
	free(config->token);
	free(config->token_file);
	free(config->server_name);
	free(config);
}
