/* Certificates end, and keys should be nobody else's: looked at before a server refuses us. */
#include "plugin/base/file.h"
#include "plugin/base/http_tls_expiry.h"
#include "plugin/doctor_checks.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PEM_MAX ((size_t)1 << 20)
#define DAY ((int64_t)86400)
#define SOON (30 * DAY)

struct inspection {
	struct doctor *doctor;
	cJSON *seen; /* files: several networks name the same ones */
	size_t certificates;
	bool good;
	int64_t next; /* the first end */
	char *whose;
};

static bool is_new(struct inspection *in, const char *path)
{
	if (!path || cJSON_GetObjectItemCaseSensitive(in->seen, path))
		return false;
	cJSON_AddTrueToObject(in->seen, path);
	return true;
}

static char *date_text(int64_t when)
{
	char text[32] = "?";
	time_t seconds = (time_t)when;
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	return copy_text(text);
}

/* authority: of several, the one that lasts longest counts. */
static void check_pem(struct inspection *in, const char *pem, const char *what, bool authority)
{
	cleanup_error struct error e = {0};
	int64_t first = 0, last = 0, now = (int64_t)time(NULL);

	if (http_tls_expiry(pem, what, &first, &last, &e) < 0) {
		doctor_bad(in->doctor, "certificates", "put a PEM certificate there", "%s", e.message);
		in->good = false;
		return;
	}

	const int64_t end = authority ? last : first;
	cleanup_free char *date = date_text(end);

	in->certificates++;
	if (end <= now) {
		doctor_bad(in->doctor, "certificates", "renew it", "%s: the %scertificate has expired on %s", what,
			authority ? "CA " : "", date);
		in->good = false;
	} else if (end - now < SOON) {
		doctor_note(in->doctor, "certificates", "%s: the %scertificate expires on %s, in %lld days: renew it",
			what, authority ? "CA " : "", date, (long long)((end - now) / DAY));
	}
	if (!in->whose || end < in->next) {
		free(in->whose);
		in->whose = copy_text(what);
		in->next = end;
	}
}

static void check_file(struct inspection *in, const char *path, bool authority)
{
	cleanup_free char *pem = NULL;
	cleanup_error struct error e = {0};

	if (!is_new(in, path))
		return;
	if (file_read(path, PEM_MAX, &pem, NULL, &e) == 0) {
		check_pem(in, pem, path, authority);
		return;
	}
	doctor_bad(in->doctor, "certificates", "put it there, or correct the path", "%s", e.message);
	in->good = false;
}

/* What only root should read. */
static void check_secret(struct inspection *in, const char *path)
{
	struct stat st;

	if (!path || !is_new(in, path))
		return;
	if (stat(path, &st) < 0) {
		doctor_bad(in->doctor, "certificates", "put it there, or correct the path", "%s cannot be read: %s",
			path, strerror(errno));
		in->good = false;
	} else if (st.st_mode & S_IROTH) {
		doctor_note(in->doctor, "certificates",
			"%s is a secret that everybody on this node can read: chmod 600", path);
	}
}

static void check_etcd(struct inspection *in, const struct etcd_config *config)
{
	check_file(in, config->ca_file, true);
	check_file(in, config->cert_file, false);
	check_secret(in, config->key_file);
	check_secret(in, config->password_file);
}

static void check_kubeconfig(struct inspection *in, const struct kubeconfig *config)
{
	cleanup_free char *ca = format_text("%s (certificate-authority-data)", config->path);
	cleanup_free char *cert = format_text("%s (client-certificate-data)", config->path);

	if (config->ca_pem)
		check_pem(in, config->ca_pem, ca, true);
	if (config->cert_pem)
		check_pem(in, config->cert_pem, cert, false);
	check_file(in, config->ca_file, true);
	check_file(in, config->cert_file, false);
	check_secret(in, config->key_file);
	check_secret(in, config->token_file);
	if (config->token || config->key_pem)
		check_secret(in, config->path);
}

void doctor_check_certificates(struct doctor *doctor)
{
	struct inspection in = {.doctor = doctor, .good = true};
	const struct cli_stores *stores = &doctor->stores;

	if (!doctor->opened)
		return;
	in.seen = cJSON_CreateObject();
	for (size_t i = 0; i < stores->count; i++) {
		if (stores->list[i].etcd)
			check_etcd(&in, stores->list[i].etcd);
	}
	if (stores->run.kubeconfig)
		check_kubeconfig(&in, stores->run.kubeconfig);
	if (in.good && in.certificates) {
		cleanup_free char *date = date_text(in.next);

		doctor_ok(doctor, "certificates", "%zu, the first to expire is %s, on %s", in.certificates, in.whose,
			date);
	} else if (in.good && !doctor->stores_error.err) {
		doctor_ok(doctor, "certificates", "none are used");
	}
	cJSON_Delete(in.seen);
	free(in.whose);
}
