#include "plugin/state_element.h"

#include "delegate/conf.h"
#include "plugin/base/base64.h"
#include "plugin/results.h"
#include "plugin/sandbox.h"

#include <string.h>

/* --- as Go prints it --- */

static void put_text(cJSON *to, const cJSON *from, const char *key)
{
	const char *text = json_text(from, key);

	if (text && *text)
		json_put_text(to, key, text);
}

static void put_true(cJSON *to, const cJSON *from, const char *key)
{
	cleanup_error struct error ignored = {0};
	bool is_true = false;

	if (conf_read_switch(from, "", key, &is_true, &ignored) == 0 && is_true)
		json_put(to, key, cJSON_CreateTrue());
}

/* A map of Go's: it tells cases apart, and the last one of a name counts. */
static void put_capabilities(cJSON *to, const cJSON *conf)
{
	cJSON *out = cJSON_CreateObject();
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(conf, "capabilities"))
	{
		if (item->string && cJSON_IsBool(item))
			cJSON_AddItemToObject(out, item->string, json_copy(item));
	}
	json_put_unless_empty(to, "capabilities", out);
}

static void put_texts(cJSON *to, const cJSON *from, const char *key)
{
	cJSON *out = cJSON_CreateArray();
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(from, key))
	{
		if (cJSON_IsString(item))
			cJSON_AddItemToArray(out, cJSON_CreateString(item->valuestring));
	}
	json_put_unless_empty(to, key, out);
}

static void put_dns(cJSON *to, const cJSON *conf)
{
	const cJSON *dns = json_get(conf, "dns");
	cJSON *out = cJSON_CreateObject();

	put_text(out, dns, "domain");
	put_texts(out, dns, "nameservers");
	put_texts(out, dns, "options");
	put_texts(out, dns, "search");
	json_put_unless_empty(to, "dns", out);
}

/* types.PluginConf: a member of another type would make multus refuse the whole file. */
static cJSON *print_plugin(const cJSON *conf)
{
	cJSON *out = cJSON_CreateObject(), *ipam = cJSON_CreateObject();

	put_capabilities(out, conf);
	put_text(out, conf, "cniVersion");
	put_dns(out, conf);
	put_text(ipam, json_get(conf, "ipam"), "type");
	json_put(out, "ipam", ipam);
	put_text(out, conf, "name");
	put_text(out, conf, "type");
	return out;
}

/* types.NetConfList. With a version in any case: multus makes a configuration of what stands here, and of nothing else,
 * for a list that has none. */
static cJSON *print_list(const cJSON *conf, const char *version)
{
	cJSON *out = cJSON_CreateObject(), *plugins;
	const cJSON *plugin;

	if (!conf_is_list(conf))
		return out;
	json_put_text(out, "cniVersion", version);
	put_text(out, conf, "cniVersion");
	put_text(out, conf, "name");
	put_true(out, conf, "disableCheck");
	put_true(out, conf, "disableGC");
	plugins = cJSON_CreateArray();
	cJSON_ArrayForEach(plugin, json_get(conf, "plugins"))
	{
		cJSON_AddItemToArray(plugins, print_plugin(plugin));
	}
	json_put(out, "plugins", plugins);
	return out;
}

/* libcni.NetworkConfigList, which counts on ADD only: an empty one. */
static cJSON *print_config_list(void)
{
	cJSON *out = cJSON_CreateObject();

	json_put_text(out, "Name", "");
	json_put_text(out, "CNIVersion", "");
	json_put(out, "DisableCheck", cJSON_CreateFalse());
	json_put(out, "DisableGC", cJSON_CreateFalse());
	json_put(out, "LoadOnlyInlinedPlugins", cJSON_CreateFalse());
	json_put(out, "Plugins", cJSON_CreateNull());
	json_put(out, "Bytes", cJSON_CreateNull());
	return out;
}

static void put_asked(cJSON *element, const struct network_element *asked)
{
	cJSON *list;

	if (!asked)
		return;
	json_put_text(element, "ifnameRequest", asked->ifname);
	json_put_text(element, "macRequest", asked->mac);
	json_put_text(element, "infinibandGUIDRequest", asked->infiniband_guid);
	if (asked->ip_count > 0)
		json_put(element, "ipRequest", network_print_ips(asked));
	if (asked->default_route) {
		list = cJSON_CreateArray();
		for (size_t i = 0; i < asked->gateway_count; i++)
			cJSON_AddItemToArray(list, cJSON_CreateString(ip_text(&asked->gateways[i]).s));
		json_put(element, "default-route", list);
	}
}

/* multus's rule: once a network of the pod's names the default route, all those without a gateway give theirs up. It
 * looks only where `networks` asks for some. */
static bool is_filtered(const struct attachment *a, const struct plan *plan, int family)
{
	bool named = false, others = false;

	for (size_t i = 0; i < plan->count; i++) {
		const struct network_element *asked = plan->attachments[i]->asked;

		named |= asked && asked->default_route;
		others |= i > 0 && asked && asked->name;
	}
	return named && others && !network_gateway(a->asked, family);
}

static void put_device(cJSON *element, const struct attachment *a)
{
	if (!a->asked || !a->asked->device_id)
		return;
	json_put_text(element, "deviceID", a->asked->device_id);
	json_put_text(element, "resourceName", a->resource);
}

static cJSON *print_own(const struct attachment *a, bool done, const struct run *run)
{
	cJSON *own = cJSON_CreateObject();

	json_put(own, "v", cJSON_CreateNumber(1));
	json_put(own, "done", cJSON_CreateBool(done));
	json_put_text(own, "for", run->request->ifname);
	json_put(own, "index", cJSON_CreateNumber(a->index));
	json_put_text(own, "interface", a->ifname);
	json_put_text(own, "network", run->request->network);
	sandbox_print(run, own);
	json_put(own, "made", made_print(&a->made, done));
	return own;
}

cJSON *element_print(const struct attachment *a, const struct plan *plan, bool done, const struct run *run)
{
	cJSON *element = cJSON_CreateObject();
	cleanup_free char *text = json_print(a->conf), *bytes = base64_encode(text, strlen(text));

	json_put(element, "Conf", print_plugin(a->conf));
	json_put(element, "ConfList", print_list(a->conf, run->request->version));
	json_put(element, "CNINetworkConfigList", print_config_list());
	json_put_text(element, "Name", a->name);
	put_asked(element, a->asked);
	json_put(element, "IsFilterV4Gateway", cJSON_CreateBool(is_filtered(a, plan, AF_INET)));
	json_put(element, "IsFilterV6Gateway", cJSON_CreateBool(is_filtered(a, plan, AF_INET6)));
	put_device(element, a);
	json_put_text(element, "Bytes", bytes);
	json_put(element, "lamina", print_own(a, done, run));
	return element;
}

/* --- and back --- */

static void read_text(const cJSON *element, const char *key, char **ret)
{
	const char *text = json_text(element, key);

	if (text && *text)
		*ret = copy_text(text);
}

static void read_gateways(const cJSON *element, struct network_element *asked)
{
	const cJSON *list = json_get(element, "default-route"), *item;

	asked->default_route = cJSON_IsArray(list);
	cJSON_ArrayForEach(item, list)
	{
		if (asked->gateway_count < MAX_NETWORK_ADDRS && cJSON_IsString(item) &&
			ip_parse(item->valuestring, &asked->gateways[asked->gateway_count]))
			asked->gateway_count++;
	}
}

static void read_asked(const cJSON *element, struct attachment *a)
{
	struct network_element asked = {0};
	cleanup_error struct error ignored = {0};
	const char *ifname = json_text(element, "ifnameRequest");

	if (ifname && request_check_ifname(ifname, &ignored) == 0)
		asked.ifname = copy_text(ifname);
	read_text(element, "macRequest", &asked.mac);
	read_text(element, "infinibandGUIDRequest", &asked.infiniband_guid);
	read_text(element, "deviceID", &asked.device_id);
	network_recall_ips(&asked, json_get(element, "ipRequest"));
	read_gateways(element, &asked);
	if (asked.ifname || asked.mac || asked.infiniband_guid || asked.device_id || asked.ip_count ||
		asked.default_route)
		attachment_ask(a, &asked);
}

unsigned int element_index(const cJSON *element, unsigned int position)
{
	const cJSON *index = json_dig(element, "lamina", "index", NULL);

	if (cJSON_IsNumber(index) && index->valuedouble >= 0 && index->valuedouble < 1000)
		return (unsigned int)index->valuedouble;
	return position;
}

struct attachment *element_read(const cJSON *element, unsigned int position, const char *ifname, bool done)
{
	const cJSON *own = json_get(element, "lamina");
	const char *interface = json_text(own, "interface"), *name = json_text(element, "Name");
	cleanup_json cJSON *conf = results_read_conf(element, "Bytes");
	cleanup_error struct error ignored = {0};
	struct attachment *a;

	if (!conf)
		return NULL;
	a = attachment_new(conf, element_index(element, position), ifname);
	if (name && *name) {
		free(a->name);
		a->name = copy_text(name);
	}
	read_text(element, "resourceName", &a->resource);
	read_asked(element, a);
	if (interface && request_check_ifname(interface, &ignored) == 0)
		snprintf(a->ifname, sizeof(a->ifname), "%s", interface);
	made_read(json_get(own, "made"), done, &a->made);
	return a;
}

char *element_ifname(const cJSON *element, unsigned int position)
{
	const char *own = json_text(json_get(element, "lamina"), "interface");
	const char *asked = json_text(element, "ifnameRequest");

	if (own || (asked && *asked))
		return copy_text(own ? own : asked);
	return position > 0 ? format_text("net%u", position) : NULL;
}

void element_pin(cJSON *element, const char *ifname, unsigned int position)
{
	const char *asked = json_text(element, "ifnameRequest");
	cleanup_free char *derived = position > 0 ? format_text("net%u", position)
						  : copy_text(json_text(json_get(element, "lamina"), "for"));

	if (ifname && !same_text(ifname, asked && *asked ? asked : derived))
		json_put_text(element, "ifnameRequest", ifname);
}

/* --- what multus has lost --- */

/* The plugin of that place in a list, if it is the same one. Borrowed. */
static const cJSON *same_plugin(const cJSON *list, int place, const cJSON *plugin)
{
	const cJSON *other = cJSON_GetArrayItem(list, place);

	return cJSON_IsObject(other) && same_text(json_text(other, "type"), json_text(plugin, "type")) &&
			       same_text_or_none(json_text(other, "name"), json_text(plugin, "name"))
		       ? other
		       : NULL;
}

void element_mend(struct attachment *a, const cJSON *element, const cJSON *cached)
{
	const cJSON *whole = json_dig(element, "CNINetworkConfigList", "Plugins", NULL);
	const cJSON *plugins = json_get(a->conf, "plugins"), *plugin;
	cJSON *mended;
	int place = 0;

	if (!conf_is_list(a->conf))
		return;
	mended = cJSON_CreateArray();
	cJSON_ArrayForEach(plugin, plugins)
	{
		cleanup_json cJSON *given = results_read_conf(cJSON_GetArrayItem(whole, place), "Bytes");
		const cJSON *other = same_plugin(json_get(cached, "plugins"), place, plugin);

		if (given && same_text(json_text(given, "type"), json_text(plugin, "type")))
			other = given;
		cJSON_AddItemToArray(mended, json_copy(other ? other : plugin));
		place++;
	}
	json_put(a->conf, "plugins", mended);
}
