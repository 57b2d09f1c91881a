# shellcheck shell=bash
# Single quotes are for jq and for shells inside of the node; tests use what is unused here, and pass what is not passed here.
# shellcheck disable=SC2016,SC2034,SC2119,SC2120
# What integration tests say about more than one node: on top of cni.bash, etcd.sh and kube.sh. In a test file:
#
#   load ../lab/cluster
#   setup_file() { setup_cluster 2; }
#   teardown_file() { teardown_cluster; }
#   setup() { CONF=$(cluster_conf); }
#   @test "..." { on 2 new_pod p1; on 2 cni ADD; assert_ok; }
#
#   setup_cluster [NODES [VERSION [OPTION ...]]]
#                              that many nodes (default: 1) as setup_node makes them, each with the seed's configuration byte for byte in
#                              /etc/cni/net.d and a subnet of its own for flannel, and etcd as etcd_up makes it (VERSION and the
#                              options are etcd_up's). Node 1 is the current one. Exports CLUSTER_NODES.
#   setup_kube [FLAG ...]      after it, the real API server (kube_up) with an object for each node, and lamina's kubeconfig on each node
#                              where the seed's configuration wants it: with that user's rights, not an administrator's.
#   teardown_cluster           ends all; fails when a sanitizer has reported anything that no test has seen.
#   on NUMBER CMD ...          runs a function or command with that node as the current one (in this shell).
#   at NUMBER                  makes that node the current one.
#   cluster_conf [FILTER]      the seed's configuration as it is, or changed by jq.
#
#   kube_ipam ARG ...          kube-ipam's own requests against etcd, from the current node: kubeipam.py --help
#   old_cni VERB [ADDRESS/LENGTH]
#                              cni's old twin: the real multus with flannel and macvlan, and kubeipam.py as its kube-ipam, in
#                              /opt/cni/old. CONF, POD, CID and ARGS as cni has them; ADDRESS is what the pod's annotation would say
#                              (10.188.0.218/16). Leaves links, etcd's keys and files under /var/lib/cni as the old programs do.
#
#   proxy_up NAME LISTEN SERVER [ARG ...]
#                              a proxy (proxy.py) on the current node, from LISTEN (192.168.122.11:3379) to SERVER. Further arguments
#                              are proxy.py's; without them it has the certificates of etcd's servers, and shows the client's.
#                              It is the proxy that the following mean until another one is started or PROXY=NAME is set.
#   proxy_up_kube NAME LISTEN  the same in front of the API server, with its certificates. For kubeconfigs: kube_kubeconfig lamina |
#                              sed 's/192.168.122.10:6443/192.168.122.11:7443/'
#   proxy_down [NAME]          ends it.
#   proxy_set KEY VALUE        fault, match or times (proxy.py --help): from the next request on. proxy_set fault cut-after-once
#   proxy_reset                no fault any more; the log is empty.
#   proxy_count [REGEX]        how many requests have come in whose `METHOD PATH KIND` matches.
#   proxy_events EVENT         how many lines of that event the log has: answer, held, delivered, connect, tls-error, lost
#   proxy_log                  the log.
#   proxy_await COUNT EVENT    waits (30 s) until the log has that many lines of an event; EVENT `request` counts requests.
#   proxy_deliver              delivers all that is held back, now, and waits until it is done.

# shellcheck source=test/lab/cni.bash
source "$(dirname "${BASH_SOURCE[0]}")/cni.bash"
# shellcheck source=test/lab/etcd.sh
source "$LAB_DIR/etcd.sh"
# shellcheck source=test/lab/kube.sh
source "$LAB_DIR/kube.sh"

setup_cluster()
{
	local count=${1:-1} n
	setup_node
	node_conf "$LAB_DIR/seed/10-multus.conf"
	export CLUSTER_NODES=$NODE_PID:$NODE_DIR
	for ((n = 2; n <= count; n++)); do
		node_join "$n"
		CLUSTER_NODES+=" $NODE_PID:$NODE_DIR"
		node_subnet_env "FLANNEL_SUBNET=10.244.$n.1/24"
		node_install "${LAMINA:-$LAB_DIR/../../build/lamina}"
		node_conf "$LAB_DIR/seed/10-multus.conf"
	done
	at 1
	etcd_up "${2:-3.4}" "${@:3}"
}

setup_kube()
{
	local n
	kube_up "$@" || return
	for n in $(seq "$(wc -w <<<"$CLUSTER_NODES")"); do
		kube_put_node "node-$n" || return
		kube_kubeconfig lamina |
			on "$n" node_exec sh -c 'umask 077 && mkdir -p /etc/kubernetes/ssl && cat >/etc/kubernetes/ssl/kube.kubeconfig'
	done
}

teardown_cluster()
{
	local clean=0 n
	local -a nodes
	read -ra nodes <<<"${CLUSTER_NODES:-}"
	for ((n = ${#nodes[@]}; n > 0; n--)); do
		at "$n"
		sanitizer_quiet || clean=1
		node_down
	done
	unset CLUSTER_NODES ETCD_DIR KUBE_DIR
	return $clean
}

at()
{
	local -a nodes
	read -ra nodes <<<"$CLUSTER_NODES"
	[[ -n ${nodes[$1 - 1]:-} ]] || fail "there is no node $1" || return
	export NODE_PID=${nodes[$1 - 1]%%:*} NODE_DIR=${nodes[$1 - 1]#*:}
	[[ -z ${LAB_SANITIZED:-} ]] || export LAB_SANITIZED=log_path=$NODE_DIR/sanitizer:${LAB_SANITIZED#*:}
}

# Not with `||`: what a function does on an error is up to the caller's shell. After an error in a test, teardown begins with `at 1`.
on()
{
	local before result
	before=$(cluster_current)
	at "$1"
	"${@:2}"
	result=$?
	at "$before"
	return $result
}

cluster_current()
{
	local node n=0
	for node in $CLUSTER_NODES; do
		n=$((n + 1))
		[[ $node != "$NODE_PID:"* ]] || echo "$n"
	done
}

cluster_conf()
{
	if (($# > 0)); then
		jq "$1" "$LAB_DIR/seed/10-multus.conf"
	else
		cat "$LAB_DIR/seed/10-multus.conf"
	fi
}

kube_ipam()
{
	node_exec "$LAB_DIR/kubeipam.py" "$@"
}

old_cni()
{
	node_exec test -e /opt/cni/old || old_install
	CNI_VERB=$1
	CNI_FILES=${BATS_TEST_TMPDIR:-$NODE_DIR}/cni
	jq '.binDir = "/opt/cni/old"' <<<"$CONF" >"$CNI_FILES.in"
	status=0
	node_exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin CNI_COMMAND="$1" CNI_CONTAINERID="$CID" CNI_NETNS="/run/netns/$POD" \
		CNI_IFNAME=eth0 CNI_PATH=/opt/cni/old CNI_ARGS="${ARGS:-}" OLD_ADDRESS="${2:-}" /opt/cni/old/multus \
		<"$CNI_FILES.in" >"$CNI_FILES.out" 2>"$CNI_FILES.err" || status=$?
	output=$(<"$CNI_FILES.out")
	stderr=$(<"$CNI_FILES.err")
	printf '%s\n' "--- old $1: exit status $status" "$output" "--- stderr" "$stderr" "---"
}

old_install()
{
	node_exec mkdir -p /opt/cni/old
	node_exec cp -r /usr/lib/cni/. "$("$LAB_DIR/parts.sh" --path flannel)" "$("$LAB_DIR/parts.sh" --path multus)" \
		"$("$LAB_DIR/parts.sh" --path plugins)/macvlan" /opt/cni/old/
	node_exec cp "$LAB_DIR/kubeipam.py" /opt/cni/old/kube-ipam
}

proxy_up()
{
	local certs=${ETCD_DIR:-}/certs
	local -a args=("${@:4}")
	export PROXY=$NODE_DIR/proxy-$1
	mkdir -p "$PROXY/control"
	: >"$PROXY/log"
	(($# > 3)) || args=(--cert "$certs/server.pem" --key "$certs/server-key.pem" --client-ca "$certs/ca.pem" --server-ca "$certs/ca.pem"
		--server-cert "$certs/client.pem" --server-key "$certs/client-key.pem")
	(
		node_close_files
		node_exec sh -c 'log=$1; shift; setsid "$@" >"$log" 2>&1 & echo $!' sh "$PROXY/stderr" "$LAB_DIR/proxy.py" \
			--listen "$2" --server "$3" --control "$PROXY/control" --log "$PROXY/log" --ready "$PROXY/ready" "${args[@]}"
	) >"$PROXY/pid"
	cluster_until test -e "$PROXY/ready" || fail "the proxy does not start" "$(<"$PROXY/stderr")"
}

proxy_up_kube()
{
	local certs=$KUBE_DIR/certs
	proxy_up "$1" "$2" 192.168.122.10:6443 --cert "$certs/server.pem" --key "$certs/server-key.pem" --server-ca "$certs/ca.pem"
}

proxy_down()
{
	local folder=${1:+$NODE_DIR/proxy-$1}
	folder=${folder:-${PROXY:-}}
	[[ -e $folder/pid ]] || return 0
	node_exec kill "$(<"$folder/pid")"
	cluster_until node_exec test ! -e "/proc/$(<"$folder/pid")"
	rm -r "$folder"
}

# Into place in one step: it may be read at any time.
proxy_set()
{
	echo "$2" >"$PROXY/control/.$1"
	mv "$PROXY/control/.$1" "$PROXY/control/$1"
}

proxy_reset()
{
	rm -f "$PROXY"/control/*
	: >"$PROXY/log"
}

proxy_log()
{
	cat "$PROXY/log"
}

proxy_count()
{
	jq -n --arg match "${1:-}" '[inputs | select(.method and ("\(.method) \(.path) \(.kind)" | test($match)))] | length' "$PROXY/log"
}

proxy_events()
{
	jq -n --arg event "$1" '[inputs | select(.event == $event)] | length' "$PROXY/log"
}

proxy_await()
{
	cluster_until proxy_has "$@" || fail "the proxy's log has less than $1 of $2" "$(<"$PROXY/log")"
}

proxy_deliver()
{
	touch "$PROXY/control/deliver"
	proxy_await "$(proxy_events held)" delivered
	rm "$PROXY/control/deliver"
}

# What follows is not for callers.

proxy_has()
{
	local is
	[[ $2 == request ]] && is=$(proxy_count) || is=$(proxy_events "$2")
	((is >= $1))
}

# cluster_until CMD ...: until it succeeds; fails after 30 s.
cluster_until()
{
	local end=$((SECONDS + 30))
	until "$@"; do
		((SECONDS < end)) || return
		sleep 0.02
	done
}
