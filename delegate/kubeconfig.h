/* How to reach an API server: a kubeconfig file (client-go's clientcmd, v1), the part of it that a plugin needs. */
#pragma once

#include "plugin/base/error.h"

struct kubeconfig {
	char *path;             /* of the file, for errors */
	char *server;           /* "https://192.168.122.10:6443", no slash at the end */
	char *ca_file, *ca_pem; /* at most one */
	char *cert_file, *cert_pem, *key_file, *key_pem;
	char *token;       /* at most one of token and token_file */
	char *token_file;  /* read at each use: tokens change */
	char *server_name; /* tls-server-name */
};

/**
 * Reads the file (YAML or JSON, at most 1 MiB): current-context, its cluster and user. Relative file names are relative
 * to the file's folder; data wins over files; token wins over tokenFile, as in client-go. Refused, with a sentence that
 * names the key and the way out (ERROR_CONFIG): `proxy-url`, `exec`, `auth-provider`, username/password, impersonation,
 * `insecure-skip-tls-verify: true`, a missing context, cluster, user or server, data that is not base64. A missing or
 * unreadable file is ERROR_CONFIG too. Freed with kubeconfig_free.
 */
int kubeconfig_read(const char *path, struct kubeconfig **ret, struct error *e);

/**
 * What a process in a pod is told of its API server, which multus goes by where it has no `kubeconfig`:
 * KUBERNETES_SERVICE_HOST and _PORT of the environment, token and CA of the service account (files that are read at
 * each use). *ret is NULL where the environment names none. ERROR_CONFIG: it names what is no server.
 */
int kubeconfig_in_cluster(struct kubeconfig **ret, struct error *e);

void kubeconfig_free(struct kubeconfig *config);
DEFINE_CLEANUP(struct kubeconfig, kubeconfig_free)
#define cleanup_kubeconfig CLEANUP(kubeconfig_free_cleanup)
