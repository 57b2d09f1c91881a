#!/bin/sh
# Writes a kubeconfig for lamina: that of one of rbac.yaml's service accounts.
#
#   kubeconfig.sh [--role node|operator] [--server URL] [--out FILE]
#
#   --role      node (default): for the key kubeConfig on each node. operator: for `lamina ip gc` and `lamina ip import --from-api`
#               (--kubeconfig FILE)
#   --server    the API server as nodes reach it (default: as kubectl's current context does)
#   --out       the file, which only its owner may read; replaced in one step (default: standard output)
#
# Runs where kubectl may read Secrets of kube-system, after `kubectl apply -f rbac.yaml`. Server and CA are those of kubectl's current
# context; the CA stands in the file itself. The token does not run out: who has the file may do what the role may, until
# the Secret is deleted. Needs kubectl and base64. Exit status: 0 done, 1 failed, 2 wrong call.
set -eu

NAMESPACE=kube-system
# How long the controller manager may take for a new Secret's token, in seconds.
PATIENCE=${KUBECONFIG_PATIENCE:-30}

complain()
{
	printf 'kubeconfig.sh: %s\n' "$1" >&2
	exit "${2:-1}"
}

# cluster KEY: what the current context's cluster has there, files read in; nothing when it has no such key.
cluster()
{
	kubectl config view --raw --flatten --minify -o "jsonpath={.clusters[0].cluster.$1}" ||
		complain "kubectl has no current context that it can read: set KUBECONFIG, or run 'kubectl config use-context NAME'"
}

# Prints the token, once the controller manager has put it there.
token()
{
	left=$PATIENCE
	while :; do
		found=$(kubectl -n "$NAMESPACE" get secret "lamina-$role-token" --ignore-not-found --request-timeout=10s \
			-o 'jsonpath={.metadata.name} {.data.token}') ||
			complain "Secret lamina-$role-token in $NAMESPACE cannot be read: kubectl has said why; it takes the right to get it"
		case $found in
		"") complain "there is no Secret lamina-$role-token in $NAMESPACE: run 'kubectl apply -f rbac.yaml' first" ;;
		*" "?*) break ;;
		esac
		[ "$left" -gt 0 ] || complain "Secret lamina-$role-token in $NAMESPACE has no token after $PATIENCE s: the controller manager \
fills it, if it runs, has --service-account-private-key-file, and there is a ServiceAccount lamina-$role"
		left=$((left - 1))
		sleep 1
	done
	printf '%s' "${found#* }" | base64 -d || complain "the token in Secret lamina-$role-token is not base64"
}

# What stands between double quotes in YAML as it is.
check_plain()
{
	case $2 in
	"" | *[!][A-Za-z0-9._~:/?#@%=+,-]*) complain "$1 is '$2', which cannot stand in a kubeconfig as it is" ;;
	esac
}

write()
{
	cat <<-END
		# ServiceAccount lamina-$role in $NAMESPACE, by kubeconfig.sh.
		apiVersion: v1
		kind: Config
		current-context: lamina
		contexts:
		- name: lamina
		  context:
		    cluster: cluster
		    user: lamina-$role
		clusters:
		- name: cluster
		  cluster:
		    server: "$server"
	END
	[ -z "$ca" ] || printf '    certificate-authority-data: %s\n' "$ca"
	[ -z "$name" ] || printf '    tls-server-name: "%s"\n' "$name"
	cat <<-END
		users:
		- name: lamina-$role
		  user:
		    token: $token
	END
}

role=node server='' out='' temporary=''
while [ $# -gt 0 ]; do
	case $1 in
	--help | -h)
		sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "$0"
		exit 0
		;;
	--role | --server | --out)
		[ -n "${2:-}" ] || complain "$1 wants a value (--help)" 2
		case $1 in
		--role) role=$2 ;;
		--server) server=$2 ;;
		--out) out=$2 ;;
		esac
		shift
		;;
	*) complain "'$1' is no option of it (--help)" 2 ;;
	esac
	shift
done
case $role in
node | operator) ;;
*) complain "--role is '$role': it must be node or operator" 2 ;;
esac
case $server in
"" | https://?*) ;;
*) complain "--server is '$server': it must be a URL such as https://192.168.122.10:6443" 2 ;;
esac
[ -z "$out" ] || [ ! -d "$out" ] || complain "--out is '$out', a folder: it must be a file" 2
for program in kubectl base64; do
	command -v "$program" >/dev/null || complain "there is no $program in PATH"
done

[ -n "$server" ] || server=$(cluster server)
check_plain "the API server's URL" "$server"
case $server in
https://?*) ;;
*) complain "kubectl's current context has the API server at '$server', without TLS: name its https:// with --server" ;;
esac
unverified=$(cluster insecure-skip-tls-verify)
[ "$unverified" != true ] ||
	complain "kubectl's current context has insecure-skip-tls-verify: lamina verifies the API server; give that context its CA"
ca=$(cluster certificate-authority-data)
name=$(cluster tls-server-name)
[ -z "$name" ] || check_plain "tls-server-name" "$name"
token=$(token)
# Its value is nobody's to see, not even a wrong one's.
(check_plain "the token" "$token") 2>/dev/null ||
	complain "the token in Secret lamina-$role-token has characters that no token has"

if [ -z "$out" ]; then
	write
	exit 0
fi
umask 077
trap '[ -z "$temporary" ] || rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
temporary=$(mktemp "$out.XXXXXX") || complain "no file can be made beside $out"
write >"$temporary" || complain "$temporary cannot be written"
mv -f -- "$temporary" "$out" || complain "$out cannot be replaced"
temporary=''
