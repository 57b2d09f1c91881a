# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for jq, or for a shell inside of the node
# A real API server (kube-apiserver with an etcd member of its own) where the seed's kubeconfig looks for it:
# https://192.168.122.10:6443. To be sourced after node.sh; a node has to be up. There is no kubelet, scheduler or controller: pods and
# nodes are what these functions make of them. It ends with the node that was current at kube_up, however that ends.
#
#   kube_up [FLAG ...]         starts it and waits until it is ready; flags are kube-apiserver's. Sets and exports KUBE_DIR; in
#                              KUBE_DIR/certs is what certs_cluster makes.
#   kube_down                  ends it. Does nothing when there is none.
#   kube_stop, kube_cont       SIGSTOP, SIGCONT: it accepts connections and never answers.
#   kube_kill, kube_start      ends it with SIGKILL, and starts it again with its data.
#   kube_log                   what it has written.
#   kube_api METHOD PATH [FILE|-]
#                              one request as administrator, prints the answer; fails on every status but 2xx.
#   kube_kubeconfig USER       prints a kubeconfig of a user, with his token: admin (may do everything), lamina and operator (may do
#                              what deploy/rbac.yaml's roles of a node and of an operator say), kubelet (node-1's own), nobody (may
#                              do nothing).
#   kube_put_pod NS NAME [FILTER]
#                              makes a running pod and prints its UID. The jq filter changes what is sent:
#                              kube_put_pod default web-1 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218" | .spec.nodeName = "node-2"'
#   kube_phase NS NAME PHASE   Pending, Running, Succeeded, Failed.
#   kube_annotate NS NAME K V  sets an annotation; without V: removes it.
#   kube_delete_pod NS NAME    removes it at once. It is gone then.
#   kube_terminate_pod NS NAME asks for its end: it stays, with a deletionTimestamp, until kube_delete_pod.
#   kube_put_node NAME         makes a node, with a Lease that is renewed now.
#   kube_renew_lease NAME [SECONDS]
#                              renews its Lease, SECONDS ago (default: 0): kube_renew_lease node-2 300 is what a dead node has.
#   kube_delete_node NAME      removes it and its Lease.
#   kube_nad_crd               installs the NetworkAttachmentDefinitions' CRD and waits until they are served.
#   kube_put_nad NS NAME CONFIG [RESOURCE]
#                              makes one, or replaces it: CONFIG is its spec.config, and "" one that has no spec; RESOURCE its
#                              annotation k8s.v1.cni.cncf.io/resourceName.
#   kube_delete_nad NS NAME    removes it.
#   kube_taint NAME KEY        adds a taint with the effect NoExecute; a second time is fine. kube_untaint NAME removes all.

# shellcheck source=test/lab/certs.sh
source "$(dirname "${BASH_SOURCE[0]}")/certs.sh"

KUBE_URL=https://192.168.122.10:6443
# A pod as it is made; the API server wants a node or a scheduler, and a container.
KUBE_POD='{apiVersion: "v1", kind: "Pod", metadata: {namespace: $ns, name: $name, annotations: {}},
	spec: {nodeName: "node-1", automountServiceAccountToken: false, containers: [{name: "c", image: "none"}]}}'

kube_up()
{
	export KUBE_DIR=$NODE_DIR/kube
	mkdir -p "$KUBE_DIR"
	echo "$NODE_PID $NODE_DIR" >"$KUBE_DIR/place"
	certs_cluster "$KUBE_DIR/certs" || return
	kube_write_users
	kube_write_flags "$@" || return
	node_exec test -e "$NODE_DIR/inside/station-10" || station_up 10 >/dev/null || return
	kube_exec mkdir -p "$(kube_data)" || return
	kube_run etcd || return
	kube_start || return
	kube_setup
}

kube_down()
{
	local name
	[[ -n ${KUBE_DIR:-} && -d $KUBE_DIR ]] || return 0
	for name in apiserver etcd; do
		[[ ! -e $KUBE_DIR/$name.pid ]] || kube_end "$name"
	done
	kube_exec rm -rf "$(kube_data)"
	rm -rf -- "$KUBE_DIR"
	unset KUBE_DIR
}

kube_start()
{
	kube_run apiserver && kube_await
}

kube_kill()
{
	kube_end apiserver
}

kube_stop()
{
	kube_exec kill -STOP "$(<"$KUBE_DIR/apiserver.pid")"
}

kube_cont()
{
	kube_exec kill -CONT "$(<"$KUBE_DIR/apiserver.pid")"
}

kube_log()
{
	cat "$KUBE_DIR/apiserver.log"
}

kube_api()
{
	local -a body=()
	[[ -z ${3:-} ]] || body=(--data-binary "@$3" -H "Content-Type: ${KUBE_TYPE:-application/json}")
	kube_curl --fail-with-body --max-time 20 -X "$1" "${body[@]}" "$KUBE_URL$2" || { kube_complain "$1 $2" && return 1; }
}

kube_kubeconfig()
{
	cert_kubeconfig "$KUBE_URL" "$KUBE_DIR/certs/ca.pem" "$1" "$1-token"
}

kube_put_pod()
{
	local ns=$1 name=$2 uid
	uid=$(jq -n --arg ns "$ns" --arg name "$name" "$KUBE_POD | ${3:-.}" |
		kube_api POST "/api/v1/namespaces/$ns/pods" - | jq -r .metadata.uid) || return
	kube_phase "$ns" "$name" Running || return
	echo "$uid"
}

kube_phase()
{
	jq -n --arg phase "$3" '{status: {phase: $phase}}' |
		KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "/api/v1/namespaces/$1/pods/$2/status" -
}

kube_annotate()
{
	jq -n --arg key "$3" --arg value "${4:-}" --argjson set $(($# > 3)) \
		'{metadata: {annotations: {($key): (if $set == 1 then $value else null end)}}}' |
		KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "/api/v1/namespaces/$1/pods/$2" -
}

kube_delete_pod()
{
	kube_quietly DELETE "/api/v1/namespaces/$1/pods/$2?gracePeriodSeconds=0"
}

kube_terminate_pod()
{
	kube_quietly DELETE "/api/v1/namespaces/$1/pods/$2?gracePeriodSeconds=3600"
}

kube_put_node()
{
	jq -n --arg name "$1" '{apiVersion: "v1", kind: "Node", metadata: {name: $name}}' | kube_quietly POST /api/v1/nodes - || return
	kube_lease "$1" 0 | kube_quietly POST "$KUBE_LEASES" -
}

kube_renew_lease()
{
	kube_lease "$1" "${2:-0}" | KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "$KUBE_LEASES/$1" -
}

kube_delete_node()
{
	kube_quietly DELETE "/api/v1/nodes/$1" || return
	kube_quietly DELETE "$KUBE_LEASES/$1"
}

kube_nad_crd()
{
	local end=$((SECONDS + 30))
	jq -n "$KUBE_NAD_CRD" | kube_quietly POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions - || return
	until kube_curl --fail --max-time 5 "$KUBE_URL$KUBE_NADS/network-attachment-definitions" >/dev/null 2>&1; do
		((SECONDS < end)) || { kube_complain kube_nad_crd && return 1; }
		sleep 0.05
	done
}

kube_put_nad()
{
	jq -n --arg ns "$1" --arg name "$2" --arg config "$3" --arg resource "${4:-}" \
		'{apiVersion: "k8s.cni.cncf.io/v1", kind: "NetworkAttachmentDefinition", metadata: {namespace: $ns, name: $name,
			annotations: (if $resource == "" then {} else {"k8s.v1.cni.cncf.io/resourceName": $resource} end)}}
			| if $config == "" then . else .spec.config = $config end' |
		KUBE_TYPE=application/apply-patch+yaml kube_quietly PATCH "$(kube_nad "$@")?fieldManager=lab&force=true" -
}

kube_delete_nad()
{
	kube_quietly DELETE "$(kube_nad "$@")"
}

kube_taint()
{
	kube_api GET "/api/v1/nodes/$1" |
		jq --arg key "$2" '{spec: {taints: ([.spec.taints[]? | select(.key != $key)] + [{key: $key, effect: "NoExecute"}])}}' |
		KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "/api/v1/nodes/$1" -
}

kube_untaint()
{
	KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "/api/v1/nodes/$1" - <<<'{"spec": {"taints": null}}'
}

# What follows is not for callers.

KUBE_LEASES=/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases
KUBE_RBAC=/apis/rbac.authorization.k8s.io/v1
KUBE_NADS=/apis/k8s.cni.cncf.io/v1
# As the Network Plumbing Working Group publishes it.
KUBE_NAD_CRD='{apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition",
	metadata: {name: "network-attachment-definitions.k8s.cni.cncf.io"},
	spec: {group: "k8s.cni.cncf.io", scope: "Namespaced",
		names: {plural: "network-attachment-definitions", singular: "network-attachment-definition",
			kind: "NetworkAttachmentDefinition", shortNames: ["net-attach-def"]},
		versions: [{name: "v1", served: true, storage: true, schema: {openAPIV3Schema: {type: "object",
			properties: {spec: {type: "object", properties: {config: {type: "string"}}}}}}}]}}'

# kube_nad NS NAME: its path.
kube_nad()
{
	echo "$KUBE_NADS/namespaces/$1/network-attachment-definitions/$2"
}

# kube_lease NAME SECONDS: a Lease that was renewed so many seconds ago, as a kubelet writes it.
kube_lease()
{
	jq -n --arg name "$1" --argjson ago "$2" '{apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: {name: $name},
		spec: {holderIdentity: $name, leaseDurationSeconds: 40,
			renewTime: (now - $ago | strftime("%Y-%m-%dT%H:%M:%S.000000Z"))}}'
}

kube_quietly()
{
	kube_api "$@" >/dev/null
}

kube_complain()
{
	echo "kube.sh: $1 failed" >&2
}

# On the node's memory.
kube_data()
{
	local dir
	read -r _ dir <"$KUBE_DIR/place"
	echo "$dir/inside/kube"
}

# kube_exec CMD ...: where the API server runs.
kube_exec()
{
	local NODE_PID NODE_DIR
	read -r NODE_PID NODE_DIR <"$KUBE_DIR/place" || return
	station_exec 10 "$@"
}

kube_curl()
{
	# Standard input is for `@-`.
	kube_exec curl --silent --show-error --noproxy '*' --cacert "$KUBE_DIR/certs/ca.pem" -H 'Authorization: Bearer admin-token' "$@"
}

kube_write_users()
{
	cat >"$KUBE_DIR/tokens" <<-END
		admin-token,admin,uid-admin,system:masters
		lamina-token,lamina,uid-lamina
		operator-token,operator,uid-operator
		nobody-token,nobody,uid-nobody
		kubelet-token,system:node:node-1,uid-kubelet,system:nodes
	END
	openssl ecparam -name prime256v1 -genkey -noout -out "$KUBE_DIR/accounts.pem"
}

# One argument a line, as kube_run reads them.
kube_write_flags()
{
	local etcd server data certs=$KUBE_DIR/certs
	etcd=$("$LAB_DIR/parts.sh" --path etcd-3.5) && server=$("$LAB_DIR/parts.sh" --path apiserver) && data=$(kube_data) || return
	printf '%s\n' "$etcd" --data-dir "$data/etcd" --unsafe-no-fsync --log-level warn \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
		--initial-cluster default=http://127.0.0.1:2380 >"$KUBE_DIR/etcd.flags"
	printf '%s\n' "$server" --etcd-servers http://127.0.0.1:2379 --cert-dir "$data" \
		--bind-address 0.0.0.0 --advertise-address 192.168.122.10 --secure-port 6443 \
		--tls-cert-file "$certs/server.pem" --tls-private-key-file "$certs/server-key.pem" --client-ca-file "$certs/ca.pem" \
		--token-auth-file "$KUBE_DIR/tokens" --authorization-mode Node,RBAC --anonymous-auth=false \
		--service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range 10.254.0.0/16 \
		--service-account-key-file "$KUBE_DIR/accounts.pem" --service-account-signing-key-file "$KUBE_DIR/accounts.pem" \
		--disable-admission-plugins ServiceAccount,DefaultTolerationSeconds,TaintNodesByCondition --endpoint-reconciler-type none \
		"$@" >"$KUBE_DIR/apiserver.flags"
}

# kube_run NAME: starts etcd or apiserver by a process that ends at once: it belongs to nobody but the node.
kube_run()
{
	local -a flags
	mapfile -t flags <"$KUBE_DIR/$1.flags"
	(
		node_close_files
		kube_exec sh -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 & echo $!' sh \
			"$KUBE_DIR/$1.log" env GOMAXPROCS=2 "${flags[@]}"
	) >"$KUBE_DIR/$1.pid"
}

kube_end()
{
	local pid left
	pid=$(<"$KUBE_DIR/$1.pid") || return
	kube_exec kill -KILL "$pid" || return
	for ((left = 1000; left > 0; left--)); do
		kube_exec test -e "/proc/$pid" || break
		sleep 0.01
	done
	((left > 0)) || { echo "kube.sh: $1 does not end" >&2 && return 1; }
	rm "$KUBE_DIR/$1.pid"
}

kube_await()
{
	local end=$((SECONDS + 60))
	until [[ $(kube_curl --max-time 2 "$KUBE_URL/readyz" 2>/dev/null) == ok ]]; do
		if ((SECONDS >= end)) || ! kube_exec test -e "/proc/$(<"$KUBE_DIR/apiserver.pid")"; then
			echo "kube.sh: the API server does not get ready" >&2
			tail -n 20 "$KUBE_DIR/apiserver.log" >&2
			return 1
		fi
		sleep 0.1
	done
}

# The namespaces that tests use, and what lamina may do: its users read, and nothing else.
kube_setup()
{
	local ns
	for ns in default kube-system kube-node-lease; do
		kube_await_namespace "$ns" || return
	done
	kube_make_roles && kube_bind lamina ClusterRole lamina-node && kube_bind operator ClusterRole lamina-operator &&
		kube_bind lamina Role lamina-node kube-node-lease && kube_bind operator Role lamina-node kube-node-lease
}

# The roles of deploy/rbac.yaml. Accounts and bindings of it are for whoever tests them.
kube_make_roles()
{
	local folder=$KUBE_DIR/rbac file kind ns
	mkdir "$folder"
	awk -v folder="$folder" '/^---$/ { n++; next } { print >(folder "/" n + 0 ".yaml") }' "$LAB_DIR/../../deploy/rbac.yaml"
	for file in "$folder"/*; do
		kind=$(sed -n 's/^kind: //p' "$file")
		[[ $kind == *Role ]] || continue
		ns=$(sed -n 's/^  namespace: //p' "$file")
		KUBE_TYPE=application/yaml kube_quietly POST "$KUBE_RBAC${ns:+/namespaces/$ns}/${kind,,}s" - <"$file" || return
	done
}

# kube_bind USER KIND ROLE [NAMESPACE]
kube_bind()
{
	jq -n --arg user "$1" --arg kind "$2" --arg role "$3" '{apiVersion: "rbac.authorization.k8s.io/v1", kind: "\($kind)Binding",
		metadata: {name: "lab-\($user)"}, roleRef: {apiGroup: "rbac.authorization.k8s.io", kind: $kind, name: $role},
		subjects: [{apiGroup: "rbac.authorization.k8s.io", kind: "User", name: $user}]}' |
		kube_quietly POST "$KUBE_RBAC${4:+/namespaces/$4}/${2,,}bindings" -
}

# The API server makes its own namespaces in its own time.
kube_await_namespace()
{
	local end=$((SECONDS + 30))
	until kube_curl --fail --max-time 5 "$KUBE_URL/api/v1/namespaces/$1" >/dev/null 2>&1; do
		((SECONDS < end)) || { echo "kube.sh: there is no namespace $1" >&2 && return 1; }
		sleep 0.05
	done
}
