#include "plugin/cli.h"

#include "plugin/base/file.h"
#include "plugin/base/log.h"
#include "plugin/cli_conf.h"
#include "plugin/cli_defaults.h"
#include "plugin/cli_gc.h"
#include "plugin/cli_ip.h"
#include "plugin/doctor.h"
#include "plugin/selection.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

static const char help[] =
	"lamina " LAMINA_VERSION ": one interface per network layer for every pod, with addresses that stay\n"
	"\n"
	"A container runtime calls it as a CNI plugin (CNI_COMMAND set). For people:\n"
	"\n"
	"  lamina plan FILE [--annotation KEY=VALUE ...] [--json]\n"
	"                      what an ADD with this configuration would make, or the error; changes nothing.\n"
	"                      It does not look at the node: lamina doctor does\n"
	"  lamina ip ls [--network N]\n"
	"                      every address that is in use, kept for a namespace, or reserved\n"
	"  lamina ip show ADDR\n"
	"                      one of them\n"
	"  lamina ip release ADDR [--force]\n"
	"                      free it, and what is kept with it; refused while its holder may live, unless forced\n"
	"  lamina ip reserve ADDR --for NAMESPACE/NAME | --note TEXT [--network N]\n"
	"                      keep it for a pod that is not there yet, or for something outside of the cluster\n"
	"  lamina ip gc [--dry-run]\n"
	"                      free what pods have that are gone with their nodes; once for a cluster (etcd)\n"
	"  lamina ip import [--from-api] [--dry-run]\n"
	"                      record what this node's pods have of kube-ipam; --from-api: once for a cluster, before\n"
	"                      its first node is switched, every running pod's kube-ipam.ip\n"
	"  lamina ip export [--dry-run]\n"
	"                      give this node's dynamic addresses back to kube-ipam (etcd)\n"
	"  lamina gc [--dry-run]\n"
	"                      collect what pods that are gone have left on this node: of an earlier boot, or gone\n"
	"                      in two runs at least five minutes apart; send queued releases\n"
	"  lamina doctor [--defaults FILE] [--node-name NAME]\n"
	"                      whether this node can give pods their networks: a line for each finding, ok, note or\n"
	"                      bad, with the way out; changes nothing. --defaults: as if this file were\n"
	"                      " CONFIG_DEFAULTS "; --node-name: as if nodeName were this there\n"
	"  lamina defaults [--write] [KEY=VALUE ...]\n"
	"                      what " CONFIG_DEFAULTS " would be with these keys (KEY= removes one);\n"
	"                      --write replaces the file by that, in one step (`> FILE` would empty it first)\n"
	"  lamina --version, lamina --help\n"
	"\n"
	"  --conf FILE         for ip, gc and doctor: the configuration that says where addresses are kept; without it "
	"the\n"
	"                      first one of lamina or multus in /etc/cni/net.d\n"
	"  --kubeconfig FILE   for ip release, ip reserve, ip gc and ip import --from-api: the API server's user, in\n"
	"                      place of the configuration's: `ip gc` and `ip import` list pods, which a node may not\n"
	"  --json              for programs\n"
	"\n"
	"Exit status: 0 done, 1 failed (doctor: something is bad), 2 wrong call, 3 no such address, or (ip gc,\n"
	"ip import --from-api, ip export) no cluster keeps any, 4 refused: it is held, or its holder may live.\n"
	"LAMINA_TRACE=1 shows on stderr where the time of a call goes.\n";

struct options {
	bool json;
	struct cli_ip_options ip;
	const char *node;     /* doctor */
	const char *defaults; /* doctor */
	bool write;           /* defaults */
	bool help;
	cJSON *annotations; /* owned */
	char **arguments;   /* behind the options */
	int count;
};

static void clear_options(struct options *options)
{
	cJSON_Delete(options->annotations);
}

#define cleanup_options CLEANUP(clear_options)

static int wrong_call(struct error *e, const char *what)
{
	error_set(e, -EINVAL, ERROR_ENVIRONMENT, "%s (lamina --help)", what);
	return 2;
}

static int wrong_option(struct error *e, bool known, const char *option)
{
	cleanup_free char *what = format_text(known ? "%.99s wants a value" : "unknown option %.99s", option);

	return wrong_call(e, what);
}

static bool add_annotation(struct options *options, const char *pair)
{
	const char *value = strchr(pair, '=');

	if (!value || value == pair)
		return false;

	cleanup_free char *key = format_text("%.*s", (int)(value - pair), pair);

	cJSON_AddItemToObject(options->annotations, key, cJSON_CreateString(value + 1));
	return true;
}

/* One option that only `ip` has, or of its way to the stores. False: not known, or without its value. */
static bool read_ip_option(struct cli_ip_options *ip, int option)
{
	switch (option) {
	case 'f':
		ip->force = true;
		return true;
	case 'd':
		ip->dry_run = true;
		return true;
	case 'A':
		ip->from_api = true;
		return true;
	case 'c':
		ip->conf = optarg;
		return true;
	case 'k':
		ip->kubeconfig = optarg;
		return true;
	case 'n':
		ip->network = optarg;
		return true;
	case 'p':
		ip->pod = optarg;
		return true;
	case 't':
		ip->note = optarg;
		return true;
	default:
		return false;
	}
}

static int read_options(int argc, char *argv[], struct options *options, struct error *e)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'j'},
		{"force", no_argument, NULL, 'f'},
		{"dry-run", no_argument, NULL, 'd'},
		{"from-api", no_argument, NULL, 'A'},
		{"conf", required_argument, NULL, 'c'},
		{"kubeconfig", required_argument, NULL, 'k'},
		{"network", required_argument, NULL, 'n'},
		{"for", required_argument, NULL, 'p'},
		{"note", required_argument, NULL, 't'},
		{"annotation", required_argument, NULL, 'a'},
		{"node-name", required_argument, NULL, 'N'},
		{"defaults", required_argument, NULL, 'D'},
		{"write", no_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
		if (option == 'h')
			options->help = true;
		else if (option == 'j')
			options->json = true;
		else if (option == 'a' && !add_annotation(options, optarg))
			return wrong_call(e, "--annotation wants KEY=VALUE");
		else if (option == 'N')
			options->node = optarg;
		else if (option == 'D')
			options->defaults = optarg;
		else if (option == 'w')
			options->write = true;
		else if (option != 'a' && !read_ip_option(&options->ip, option))
			return wrong_option(e, option == ':', argv[optind - 1]);
	}
	options->ip.json = options->json;
	options->arguments = argv + optind;
	options->count = argc - optind;
	return 0;
}

static void print_attachment(FILE *out, const cJSON *attachment)
{
	const cJSON *member, *item;

	fprintf(out, "%s\n", json_text(attachment, "interface"));
	cJSON_ArrayForEach(member, attachment)
	{
		if (strcmp(member->string, "interface") == 0)
			continue;
		fprintf(out, "  %-8s", member->string);
		if (cJSON_IsString(member))
			fprintf(out, " %s", member->valuestring);
		cJSON_ArrayForEach(item, member)
		{
			fprintf(out, " %s", item->valuestring);
		}
		fputc('\n', out);
	}
}

/* As in an ADD, where nobody is told. */
static void warn_of_networks(const cJSON *annotations, const struct config *config)
{
	if (!config->reads_networks && json_text(annotations, ANNOTATION_NETWORKS))
		log_write(LOG_WARNING,
			ANNOTATION_NETWORKS " counts for nothing: there is no kubeconfig beside delegates");
}

static int plan_file(const char *path, const struct options *options, FILE *out, struct error *e)
{
	cleanup_json cJSON *conf = NULL;
	cleanup_config struct config config = {0};
	cleanup_plan struct plan plan = {0};

	if (cli_conf_read(path, &conf, e) < 0)
		return 1;
	if (options->annotations->child) {
		cJSON *runtime_config = cJSON_CreateObject();

		json_put(runtime_config, ANNOTATIONS_CAPABILITY, json_copy(options->annotations));
		json_put(conf, "runtimeConfig", runtime_config);
	}

	struct request request;

	if (cli_conf_plan(conf, CONFIG_DEFAULTS, &request, &config, &plan, e) < 0)
		return 1;

	warn_of_networks(options->annotations, &config);

	cleanup_json cJSON *described = plan_describe(&plan);
	const cJSON *attachment;

	if (options->json) {
		cleanup_free char *text = json_print(described);

		fprintf(out, "%s\n", text);
		return 0;
	}
	cJSON_ArrayForEach(attachment, described)
	{
		print_attachment(out, attachment);
	}
	return 0;
}

/* Which options a command of `ip` has, beside --conf and --json: what it would not heed is not accepted. */
struct ip_command {
	const char *name;
	int (*run)(const struct cli_ip_options *options, FILE *out, struct error *e);
	bool address, network, force, reserves, dry_run, from_api, kubeconfig;
};

static const struct ip_command ip_commands[] = {
	{.name = "ls", .run = cli_ip_list, .network = true},
	{.name = "show", .run = cli_ip_show, .address = true, .network = true},
	{.name = "release", .run = cli_ip_release, .address = true, .network = true, .force = true, .kubeconfig = true},
	{.name = "reserve",
		.run = cli_ip_reserve,
		.address = true,
		.network = true,
		.reserves = true,
		.kubeconfig = true},
	{.name = "gc", .run = cli_ip_gc, .network = true, .dry_run = true, .kubeconfig = true},
	{.name = "import", .run = cli_ip_import, .dry_run = true, .from_api = true, .kubeconfig = true},
	{.name = "export", .run = cli_ip_export, .dry_run = true},
};

static bool heeds(const struct ip_command *command, const struct cli_ip_options *ip)
{
	return (command->network || !ip->network) && (command->force || !ip->force) &&
	       (command->reserves || (!ip->pod && !ip->note)) && (command->dry_run || !ip->dry_run) &&
	       (command->from_api || !ip->from_api) && (command->kubeconfig || !ip->kubeconfig) &&
	       (!command->from_api || ip->from_api || !ip->kubeconfig);
}

static int run_ip(struct options *options, FILE *out, struct error *e)
{
	const char *verb = options->count > 1 ? options->arguments[1] : "";

	for (size_t i = 0; i < ARRAY_SIZE(ip_commands); i++) {
		const struct ip_command *command = &ip_commands[i];

		if (strcmp(verb, command->name) != 0)
			continue;
		if (options->count != (command->address ? 3 : 2))
			return wrong_call(e, command->address ? "it wants one address" : "it wants no argument");
		if (!heeds(command, &options->ip))
			return wrong_call(e, "it does not have this option");
		options->ip.address = command->address ? options->arguments[2] : NULL;
		return command->run(&options->ip, out, e);
	}
	return wrong_call(e, "ip wants ls, show, release, reserve, gc, import or export");
}

static int run_gc(const struct options *options, FILE *out, struct error *e)
{
	const struct ip_command heeded = {.dry_run = true};
	const struct cli_gc_options gc = {
		.conf = options->ip.conf, .json = options->json, .dry_run = options->ip.dry_run};

	if (options->count != 1 || !heeds(&heeded, &options->ip))
		return wrong_call(e, "gc wants no argument, and only --dry-run, --json and --conf");
	return cli_gc(&gc, out, e);
}

static int run_doctor(const struct options *options, FILE *out, struct error *e)
{
	const struct ip_command heeded = {0};
	const struct doctor_options doctor = {
		.conf = options->ip.conf, .defaults = options->defaults, .json = options->json, .node = options->node};

	if (options->count != 1 || !heeds(&heeded, &options->ip))
		return wrong_call(e, "doctor wants no argument, and only --defaults, --node-name, --json and --conf");
	return doctor_examine(&doctor, out, e);
}

static int run_defaults(const struct options *options, FILE *out, struct error *e)
{
	const struct ip_command heeded = {0};

	if (options->json || options->ip.conf || !heeds(&heeded, &options->ip))
		return wrong_call(e, "defaults wants KEY=VALUE, and only --write");
	return cli_defaults(options->arguments + 1, (size_t)options->count - 1, options->write, out, e);
}

static int dispatch(struct options *options, FILE *out, struct error *e)
{
	const char *command = options->count > 0 ? options->arguments[0] : "";
	const struct ip_command nothing = {0};

	if ((options->node || options->defaults) && strcmp(command, "doctor") != 0)
		return wrong_call(e, "only doctor has --defaults and --node-name");
	if (options->write && strcmp(command, "defaults") != 0)
		return wrong_call(e, "only defaults has --write");
	if (strcmp(command, "plan") == 0) {
		if (options->count != 2 || options->ip.conf || !heeds(&nothing, &options->ip))
			return wrong_call(e, "plan wants one configuration file, and only --annotation and --json");
		return plan_file(options->arguments[1], options, out, e);
	}
	if (strcmp(command, "ip") == 0)
		return run_ip(options, out, e);
	if (strcmp(command, "gc") == 0)
		return run_gc(options, out, e);
	if (strcmp(command, "doctor") == 0)
		return run_doctor(options, out, e);
	if (strcmp(command, "defaults") == 0)
		return run_defaults(options, out, e);
	return wrong_call(e, "unknown command");
}

int cli_run(int argc, char *argv[], char **ret, struct error *e)
{
	cleanup_options struct options options = {.annotations = cJSON_CreateObject()};
	size_t length = 0;

	if (strcmp(argv[1], "--version") == 0) {
		*ret = copy_text("lamina " LAMINA_VERSION "\n");
		return 0;
	}
	if (read_options(argc, argv, &options, e) != 0)
		return 2;
	if (options.help || same_text(options.arguments[0], "help")) {
		*ret = copy_text(help);
		return 0;
	}

	FILE *out = open_memstream(ret, &length);

	if (!out)
		abort();

	int status = dispatch(&options, out, e);

	fclose(out);
	return status;
}
