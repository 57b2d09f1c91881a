#!/usr/bin/env bash
# Shows lamina at work, on one Debian 12 machine and without a cluster: the README's first command.
#
#   deploy/demo.sh           builds lamina, runs the demo, leaves nothing behind
#   deploy/demo.sh --keep    leaves its node running and says how to look around
#   deploy/demo.sh --down    ends the node that --keep left
#
# As root. Installs missing Debian packages and builds into build/ and .cache/; everything else happens in a node that has
# namespaces of its own (network, mounts, processes): the machine's network and its /etc, /opt, /run and /var/lib stay as they are.
#
# The node runs flannel's CNI plugin with a subnet as flanneld would lease it. cnitool starts the four pods of the seed's manifests
# as a container runtime does, with the seed's configuration.
# shellcheck disable=SC2119 # functions of node.sh that take more arguments elsewhere
set -euo pipefail

DEMO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly DEMO_ROOT
readonly DEMO_LAB=$DEMO_ROOT/test/lab
readonly DEMO_KEPT=$DEMO_ROOT/.cache/demo.node

# shellcheck source=test/lab/install.sh
source "$DEMO_LAB/install.sh"
# shellcheck source=test/lab/node.sh
source "$DEMO_LAB/node.sh"

# The first thing that did not hold.
FAILURE=
KEEP=

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
	heading "building lamina, and flannel and cnitool if need be"
	cd "$DEMO_ROOT"
	mkdir -p .cache
	FAILURE="packages are missing"
	install_packages demo
	FAILURE="lamina does not build"
	[[ -e build/build.ninja ]] || quietly meson setup build
	quietly ninja -C build lamina
	FAILURE="flannel or cnitool do not build"
	test/lab/parts.sh cnitool flannel
	FAILURE="the node does not start"
	NODE_STAY=$KEEP node_up
	[[ -z $KEEP ]] || echo "$NODE_DIR" >"$DEMO_KEPT"
	node_subnet_env
	node_install build/lamina
	seed_conf | node_conf - 10-multus.conf
	FAILURE=
	mapfile -t PODS < <(test/lab/pods.py test/lab/seed/db.yaml test/lab/seed/web.yaml | jq -c .)
	mapfile -t NAMES < <(printf '%s\n' "${PODS[@]}" | jq -r .name)
}

# The pod's own entry of PODS.
pod_field()
{
	printf '%s\n' "${PODS[@]}" | jq -c --arg name "$1" "select(.name == \$name) | $2"
}

# What the runtime passes for a pod; a new life has a new UID and a new container.
pod_life()
{
	local namespace
	namespace=$(pod_field "$1" .namespace)
	echo "IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace//\"/};K8S_POD_NAME=$1;$(
	)K8S_POD_INFRA_CONTAINER_ID=$(tr -d - </proc/sys/kernel/random/uuid);K8S_POD_UID=$(</proc/sys/kernel/random/uuid)"
}

declare -A LIFE=()

pod_cni()
{
	CNI_ARGS=${LIFE[$2]} CAP_ARGS=$(pod_field "$2" '{"io.kubernetes.cri.pod-annotations": .annotations}') \
		node_cnitool "$1" multus-demo "$2"
}

pod_start()
{
	pod_up "$1"
	LIFE[$1]=$(pod_life "$1")
	holds "$1 starts" pod_cni add "$1"
}

pod_stop()
{
	holds "$1 stops" pod_cni del "$1"
	holds "$1 has no interface but lo any more" only_lo "$1"
	pod_down "$1"
}

only_lo()
{
	[[ $(pod_exec "$1" ip -br link) == lo\ * && $(pod_exec "$1" ip -br link | wc -l) == 1 ]]
}

pod_address()
{
	pod_exec "$1" ip -j -4 addr show dev "$2" | jq -r '.[0].addr_info[0].local'
}

pod_show()
{
	local table
	heading "pod $1"
	pod_exec "$1" ip -br addr show
	echo "routes:"
	pod_exec "$1" ip route show | sed 's/^/  /'
	# Besides the three rules that every namespace has.
	pod_exec "$1" ip rule show | sed -n '/^\(0\|32766\|32767\):/!s/^[0-9]*:[[:space:]]*/  rule: /p'
	for table in $(pod_exec "$1" ip -j rule show | jq -r '.[].table | select(test("^[0-9]+$"))' | sort -un); do
		pod_exec "$1" ip route show table "$table" | sed "s/^/  table $table: /"
	done
}

one_default_route()
{
	local routes
	routes=$(pod_exec "$1" ip route show default)
	[[ $(wc -l <<<"$routes") == 1 && $routes == *" dev eth0 "* ]] || { echo "$routes" && return 1; }
}

answers()
{
	pod_exec "$1" ping -q -n -c 1 -W 2 -I net1 "$2"
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
	heading "the seed's four pods start on a node with flannel"
	for pod in "${NAMES[@]}"; do
		pod_start "$pod"
	done
	[[ -z $FAILURE ]] || return 0
	for pod in "${NAMES[@]}"; do
		pod_show "$pod"
	done
	heading "who holds which address (lamina ip ls)"
	node_exec /opt/cni/bin/lamina ip ls
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
	heading "$pod is deleted and starts again: new namespace, new UID"
	before=$(pod_address "$pod" net1)
	pod_stop "$pod"
	pod_start "$pod"
	holds "$pod has its address $before again" fixed_address "$pod" "$before"
	holds "database-1-0 reaches it" answers database-1-0 "$before"
}

stop_all()
{
	local pod
	heading "all pods stop, and nothing is left"
	for pod in "${NAMES[@]}"; do
		pod_stop "$pod"
	done
	holds "no pod holds an address" no_claims
	holds "no file of a pod is left under /var/lib/cni" no_files
	holds "no macvlan is left on the node" no_macvlan
}

# A fixed address is kept for its pod's next life; nobody holds it meanwhile.
no_claims()
{
	local claims
	claims=$(node_exec /opt/cni/bin/lamina ip ls --json)
	jq -e 'all(.kind == "kept")' <<<"$claims" >/dev/null || { echo "$claims" && return 1; }
}

# The holds of fixed addresses outlive their pods, and host-local keeps its cursor and its lock.
no_files()
{
	local files
	files=$(node_exec find /var/lib/cni -type f ! -name 'holds.db*' ! -name 'last_reserved_ip.*' ! -name lock)
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
	local enter="nsenter -t $NODE_PID -n -m -p -u"
	heading "the node keeps running; look around as root"
	echo "a shell on the node:       $enter bash"
	echo "a command in a pod:        $enter ip netns exec database-1-0 ip addr"
	echo "who holds which address:   $enter /opt/cni/bin/lamina ip ls"
	echo "take it down:              deploy/demo.sh --down"
	# verdict must not end it.
	unset NODE_DIR
}

down()
{
	if [[ ! -e $DEMO_KEPT ]]; then
		echo "demo: no node is running"
		return
	fi
	NODE_DIR=$(<"$DEMO_KEPT") node_down
	rm "$DEMO_KEPT"
	echo "demo: the node is gone"
}

# The last line, however the demo ended.
verdict()
{
	local rc=$?
	# keep() has forgotten a node that is to stay.
	[[ -z $KEEP || -z ${NODE_DIR:-} ]] || rm -f "$DEMO_KEPT"
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
	case ${1:-} in
	--help | -h)
		sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \?//p}' "${BASH_SOURCE[0]}"
		return
		;;
	"" | --keep | --down) ;;
	*)
		echo "demo.sh: unknown argument $1 (--help)" >&2
		return 2
		;;
	esac
	if ((EUID != 0)); then
		echo "demo.sh: network namespaces need root" >&2
		return 1
	fi
	case ${1:-} in
	--down)
		down
		return
		;;
	--keep)
		KEEP=1
		[[ ! -e $DEMO_KEPT ]] || { echo "demo.sh: a node is running already: deploy/demo.sh --down" >&2 && return 1; }
		;;
	esac
	trap verdict EXIT
	trap 'FAILURE=interrupted; exit 130' INT TERM HUP
	demo
}

main "$@"
