#!/usr/bin/env bash
# Shows lamina at work, on one Debian 12 machine and without a cluster: the README's first command.
#
#   deploy/demo.sh           builds lamina, runs the demo, leaves nothing behind
#   deploy/demo.sh --etcd    the same on a cluster: two nodes, three etcd members, an API server (built once: ten minutes)
#   deploy/demo.sh --keep    leaves the node running and says how to look around; also --etcd --keep
#   deploy/demo.sh --down    ends what --keep left
#
# As root. Installs missing Debian packages and builds into build/ and .cache/; everything else happens in nodes that have
# namespaces of their own (network, mounts, processes): the machine's network and its /etc, /opt, /run and /var/lib stay as they are.
#
# A node runs flannel's CNI plugin with a subnet as flanneld would lease it. cnitool starts the four pods of the seed's manifests
# as a container runtime does. Without a cluster it hands their annotations over, and the seed's configuration goes without etcdConfig
# and kubeConfig. On the cluster that file is the seed's byte for byte: etcd knows who has an address, and the API server what a
# pod's annotations are.
# shellcheck disable=SC2016 # single quotes are for jq
# shellcheck disable=SC2119 # functions of node.sh that take more arguments elsewhere
set -euo pipefail

DEMO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly DEMO_ROOT
readonly DEMO_LAB=$DEMO_ROOT/test/lab
readonly DEMO_KEPT=$DEMO_ROOT/.cache/demo.node

# shellcheck source=test/lab/install.sh
source "$DEMO_LAB/install.sh"
# shellcheck source=test/lab/cluster.bash
source "$DEMO_LAB/cluster.bash"

# The first thing that did not hold.
FAILURE=
KEEP=
ETCD=
# The number of the node that a pod runs on; on a cluster one database moves.
declare -A NODE_OF=()
declare -A LIFE=()

heading()
{
	printf '\n== %s\n' "$*"
}

# holds TEXT CMD ...: a statement, and the command that shows whether it is true.
holds()
{
	local text=$1 said
	shift
	if said=$("$@" 2>&1); then
		echo "ok      $text"
		return
	fi
	echo "FAILED  $text"
	[[ -z $said ]] || echo "        ${said//$'\n'/$'\n        '}"
	FAILURE=${FAILURE:-$text}
}

# quietly CMD ...: shows what a long command says only when it fails.
quietly()
{
	local log=$DEMO_ROOT/.cache/demo.log
	"$@" >"$log" 2>&1 || { cat "$log" >&2 && return 1; }
}

prepare()
{
	local -a parts=(cnitool flannel ${ETCD:+etcd-3.4 etcd-3.5 apiserver})
	heading "building lamina, and ${parts[*]} if need be"
	cd "$DEMO_ROOT"
	mkdir -p .cache
	FAILURE="packages are missing"
	install_packages demo
	FAILURE="lamina does not build"
	[[ -e build/build.ninja ]] || quietly meson setup build
	quietly ninja -C build lamina
	FAILURE="${parts[*]}: one of these does not build"
	test/lab/parts.sh "${parts[@]}"
	mapfile -t PODS < <(test/lab/pods.py test/lab/seed/db.yaml test/lab/seed/web.yaml | jq -c .)
	mapfile -t NAMES < <(printf '%s\n' "${PODS[@]}" | jq -r .name)
	FAILURE="the node does not start"
	export LAMINA=build/lamina NODE_STAY=$KEEP
	prepare_nodes
	[[ -z $KEEP ]] || printf '%s\n' "$CLUSTER_NODES" >"$DEMO_KEPT"
	FAILURE=
}

# The pods go to the nodes in turn.
prepare_nodes()
{
	local pod number=0
	if [[ -z $ETCD ]]; then
		setup_node
		export CLUSTER_NODES=$NODE_PID:$NODE_DIR
		seed_conf | node_conf - 10-multus.conf
	else
		heading "two nodes, three etcd members and an API server start"
		setup_cluster 2
		setup_kube
		etcd_ctl endpoint health
	fi
	for pod in "${NAMES[@]}"; do
		NODE_OF[$pod]=$((number++ % $(nodes_count) + 1))
	done
}

nodes_count()
{
	wc -w <<<"$CLUSTER_NODES"
}

# on_node_of POD CMD ...
on_node_of()
{
	on "${NODE_OF[$1]}" "${@:2}"
}

# in_pod POD CMD ...
in_pod()
{
	on_node_of "$1" pod_exec "$@"
}

# The pod's own entry of PODS.
pod_field()
{
	printf '%s\n' "${PODS[@]}" | jq -c --arg name "$1" "select(.name == \$name) | $2"
}

# What the runtime passes for a pod; a new life has a new UID and a new container.
pod_life()
{
	local namespace uid
	namespace=$(pod_field "$1" .namespace)
	namespace=${namespace//\"/}
	if [[ -n $ETCD ]]; then
		uid=$(kube_put_pod "$namespace" "$1" ".metadata.annotations = $(pod_field "$1" .annotations) |
			.spec.nodeName = \"node-${NODE_OF[$1]}\"")
	else
		uid=$(</proc/sys/kernel/random/uuid)
	fi
	echo "IgnoreUnknown=1;K8S_POD_NAMESPACE=$namespace;K8S_POD_NAME=$1;$(
	)K8S_POD_INFRA_CONTAINER_ID=$(tr -d - </proc/sys/kernel/random/uuid);K8S_POD_UID=$uid"
}

pod_cni()
{
	local capabilities='{}'
	[[ -n $ETCD ]] || capabilities=$(pod_field "$2" '{"io.kubernetes.cri.pod-annotations": .annotations}')
	CNI_ARGS=${LIFE[$2]} CAP_ARGS=$capabilities on_node_of "$2" node_cnitool "$1" multus-demo "$2"
}

pod_start()
{
	on_node_of "$1" pod_up "$1"
	LIFE[$1]=$(pod_life "$1")
	holds "$1 starts${ETCD:+ on node-${NODE_OF[$1]}}" pod_cni add "$1"
}

pod_stop()
{
	holds "$1 stops" pod_cni del "$1"
	holds "$1 has no interface but lo any more" only_lo "$1"
	on_node_of "$1" pod_down "$1"
	[[ -z $ETCD ]] || kube_delete_pod default "$1"
}

only_lo()
{
	[[ $(in_pod "$1" ip -br link) == lo\ * && $(in_pod "$1" ip -br link | wc -l) == 1 ]]
}

pod_address()
{
	in_pod "$1" ip -j -4 addr show dev "$2" | jq -r '.[0].addr_info[0].local'
}

pod_show()
{
	local table
	heading "pod $1"
	in_pod "$1" ip -br addr show
	echo "routes:"
	in_pod "$1" ip route show | sed 's/^/  /'
	# Besides the three rules that every namespace has.
	in_pod "$1" ip rule show | sed -n '/^\(0\|32766\|32767\):/!s/^[0-9]*:[[:space:]]*/  rule: /p'
	for table in $(in_pod "$1" ip -j rule show | jq -r '.[].table | select(test("^[0-9]+$"))' | sort -un); do
		in_pod "$1" ip route show table "$table" | sed "s/^/  table $table: /"
	done
}

one_default_route()
{
	local routes
	routes=$(in_pod "$1" ip route show default)
	[[ $(wc -l <<<"$routes") == 1 && $routes == *" dev eth0 "* ]] || { echo "$routes" && return 1; }
}

answers()
{
	in_pod "$1" ping -q -n -c 1 -W 2 -I net1 "$2"
}

fixed_address()
{
	local is
	is=$(pod_address "$1" net1)
	[[ $is == "$2" ]] || { echo "it has $is" && return 1; }
}

start_all()
{
	local pod
	heading "the seed's four pods start, with flannel for eth0"
	for pod in "${NAMES[@]}"; do
		pod_start "$pod"
	done
	[[ -z $FAILURE ]] || return 0
	for pod in "${NAMES[@]}"; do
		pod_show "$pod"
	done
	show_holders
}

show_holders()
{
	local n
	for n in $(seq "$(nodes_count)"); do
		heading "who holds which address (lamina ip ls${ETCD:+, asked on node-$n})"
		on "$n" lamina ip ls
	done
	[[ -n $ETCD ]] || return 0
	heading "what etcd has of it"
	etcd_dump | jq -r 'to_entries[] | "\(.key)  \(.value)"'
}

check_all()
{
	local pod fixed
	heading "does it hold?"
	for pod in "${NAMES[@]}"; do
		holds "$pod has one default route, eth0's" one_default_route "$pod"
		fixed=$(pod_field "$pod" '.annotations["kube-ipam.ip"] // empty')
		[[ -z $fixed ]] || holds "$pod has its fixed address ${fixed//\"/}" fixed_address "$pod" "${fixed//\"/}"
	done
	ping_all
}

# Every pod reaches every database by the database network.
ping_all()
{
	local from to
	for from in "${NAMES[@]}"; do
		for to in "${NAMES[@]}"; do
			[[ $to == database-* && $from != "$to" ]] || continue
			holds "$from reaches $to" answers "$from" "$(pod_address "$to" net1)"
		done
	done
}

restart_one()
{
	local pod=database-2-0 before
	before=$(pod_address "$pod" net1)
	heading "$pod is deleted and starts again${ETCD:+ on the other node}: new namespace, new UID"
	pod_stop "$pod"
	NODE_OF[$pod]=$((NODE_OF[$pod] % $(nodes_count) + 1))
	pod_start "$pod"
	holds "$pod has its address $before again" fixed_address "$pod" "$before"
	holds "database-1-0 reaches it" answers database-1-0 "$before"
	[[ -z $ETCD ]] || show_holders
}

stop_all()
{
	local pod number
	heading "all pods stop, and nothing is left"
	for pod in "${NAMES[@]}"; do
		pod_stop "$pod"
	done
	for number in $(seq "$(nodes_count)"); do
		holds "no pod holds an address, says node-$number" on "$number" no_claims
		holds "no file of a pod is left under /var/lib/cni of node-$number" on "$number" no_files
		holds "no macvlan is left on node-$number" on "$number" no_macvlan
	done
	[[ -z $ETCD ]] || holds "etcd keeps nothing but whose the fixed addresses are" only_holds
}

# A fixed address is kept for its pod's next life; nobody holds it meanwhile.
no_claims()
{
	local claims
	claims=$(lamina ip ls --json)
	jq -e 'all(.kind == "kept")' <<<"$claims" >/dev/null || { echo "$claims" && return 1; }
}

only_holds()
{
	local keys
	keys=$(etcd_dump | jq -r 'keys[] | select(test("/(fixed|domain)/") | not)')
	[[ -z $keys ]] || { echo "$keys" && return 1; }
}

# The holds of fixed addresses outlive their pods, and host-local keeps its cursor and its lock.
no_files()
{
	local files
	files=$(node_exec find /var/lib/cni -type f ! -name 'holds.db*' ! -name 'last_reserved_ip.*' ! -name lock \
		! -name imported)
	[[ -z $files ]] || { echo "$files" && return 1; }
}

no_macvlan()
{
	local links
	links=$(node_exec ip -br link show type macvlan)
	[[ -z $links ]] || { echo "$links" && return 1; }
}

demo()
{
	prepare
	start_all
	if [[ -z $FAILURE ]]; then
		check_all
		restart_one
	fi
	if [[ -n $KEEP ]]; then
		keep
	else
		stop_all
	fi
}

keep()
{
	local node pod=${NAMES[0]} number=0
	heading "everything keeps running; look around as root"
	for node in $CLUSTER_NODES; do
		echo "a shell on node-$((++number)):         $(enter "$node") bash"
	done
	echo "who holds which address:   $(enter "$node") /opt/cni/bin/lamina ip ls"
	echo "a command in a pod:        $(on_node_of "$pod" enter_here) ip netns exec $pod ip addr"
	echo "take it down:              deploy/demo.sh --down"
	# verdict must not end it.
	unset CLUSTER_NODES NODE_DIR
}

enter_here()
{
	enter "$NODE_PID"
}

enter()
{
	echo "nsenter -t ${1%%:*} -n -m -p -u"
}

# Ends all nodes, and with them all that runs on them.
nodes_down()
{
	local node
	for node in ${CLUSTER_NODES:-}; do
		NODE_PID=${node%%:*} NODE_DIR=${node#*:} node_down
	done
}

down()
{
	if [[ ! -e $DEMO_KEPT ]]; then
		echo "demo: no node is running"
		return
	fi
	CLUSTER_NODES=$(<"$DEMO_KEPT") nodes_down
	rm "$DEMO_KEPT"
	echo "demo: nothing is running any more"
}

# The last line, however the demo ended.
verdict()
{
	local rc=$?
	# keep() has forgotten nodes that are to stay.
	[[ -z $KEEP || -z ${CLUSTER_NODES:-} ]] || rm -f "$DEMO_KEPT"
	nodes_down
	# One that came up half.
	node_down
	echo
	if ((rc == 0)) && [[ -z $FAILURE ]]; then
		echo "demo: all of it held"
		exit 0
	fi
	echo "demo: FAILED: ${FAILURE:-a command of the demo itself failed}"
	exit $((rc ? rc : 1))
}

main()
{
	local argument
	for argument in "$@"; do
		case $argument in
		--help | -h)
			sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \?//p}' "${BASH_SOURCE[0]}"
			return
			;;
		--etcd) ETCD=1 ;;
		--keep) KEEP=1 ;;
		--down) ;;
		*)
			echo "demo.sh: unknown argument $argument (--help)" >&2
			return 2
			;;
		esac
	done
	if ((EUID != 0)); then
		echo "demo.sh: network namespaces need root" >&2
		return 1
	fi
	if [[ ${1:-} == --down ]]; then
		down
		return
	fi
	if [[ -n $KEEP && -e $DEMO_KEPT ]]; then
		echo "demo.sh: a node is running already: deploy/demo.sh --down" >&2
		return 1
	fi
	trap verdict EXIT
	trap 'FAILURE=interrupted; exit 130' INT TERM HUP
	demo
}

main "$@"
