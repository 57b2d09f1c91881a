# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for the shell inside of the node
# A Kubernetes node in namespaces of its own, for the demo, the tests and the benchmarks. To be sourced.
#
# A node has its own network, mount, process and host name namespaces. In them: eth0 (192.168.122.11/24, default route by
# 192.168.122.1) on a switch with the gateways of both networks (br0: 192.168.122.1/24, 10.188.0.1/16); an empty /run; /etc, /opt and
# /var/lib as on this machine, but without anything of CNI, and written to memory only. The machine itself is not touched: no
# address, no bridge, no packet, no file. When the shell that started a node ends, however it ends, the node ends with it.
#
#   node_up                    starts a node, in well under a second. Sets and exports NODE_DIR (files of this node, outside of it;
#                              the same path inside) and NODE_PID (its first process, as seen from outside).
#   node_join NUMBER           starts another node on the switch of the current one, and makes it the current one: node-NUMBER with
#                              192.168.122.(10 + NUMBER). What it has of a node is its own. The switch stays as long as one of them.
#   node_down                  ends it with everything in it. Does nothing when there is none: fit for `trap node_down EXIT`.
#                              NODE_STAY=1 node_up starts one that outlives the shell; `NODE_DIR=... node_down` ends that.
#   node_exec CMD ...          runs a command in the node, in folder /. Standard streams and exit status are the command's.
#   node_child PID             the process id, as seen from here, of the command that `node_exec CMD &` with $! = PID runs:
#                              signals go there (`wait PID` then says 128 + signal, as without a node).
#   switch_exec CMD ...        runs a command on the switch: with the node's files, but in the network behind its eth0.
#   station_up LAST            makes a place on the switch with nothing but the address 192.168.122.LAST, for servers. It has the
#                              node's files and ends with the node. Prints the path of its network namespace, as seen in the node.
#   station_exec LAST CMD ...  runs a command there.
#   node_subnet_env [K=V ...]  writes /run/flannel/subnet.env as flanneld does; FLANNEL_MTU=1300 and so on change lines of it.
#   node_install BINARY        fills /opt/cni/bin: BINARY as lamina with its links, flannel, and Debian's reference plugins.
#   node_plugins FOLDER        copies other builds of plugins over those in /opt/cni/bin.
#   node_conf FILE [NAME]      puts a configuration (FILE - is standard input) into /etc/cni/net.d as NAME (default: FILE's).
#   seed_conf [FILTER]         prints seed/10-multus.conf without etcdConfig and kubeConfig, asking the runtime for the pod's
#                              annotations; a jq filter changes it further: seed_conf '.delegates[1].mtu = 1400'
#   node_cnitool VERB NETWORK POD
#                              runs cnitool (1.3.0, or the one that CNITOOL names) in the node, with CNI_ARGS, CAP_ARGS and
#                              CNI_IFNAME as the caller sets them.
#   pod_up NAME                makes the network namespace /run/netns/NAME of the node, lo up.
#   pod_down NAME              removes it. A second time is fine.
#   pod_exec NAME CMD ...      runs a command in the node with that network namespace.
#
# Several nodes at a time: `local NODE_DIR NODE_PID` around each, or cluster.bash.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/lab/jq.sh
source "$LAB_DIR/jq.sh"

node_up()
{
	node_start 1
}

node_join()
{
	node_start "$1" "/proc/$NODE_PID/root$NODE_DIR/inside/switch"
}

# node_start NUMBER [SWITCH]
node_start()
{
	local fd line
	local -a tether=(setpriv --pdeathsig KILL)
	# Away from the terminal and without a parent that it follows.
	[[ -z ${NODE_STAY:-} ]] || tether=(setsid)
	NODE_DIR=$(mktemp -d "${BATS_FILE_TMPDIR:-${TMPDIR:-/tmp}}/node.XXXXXX")
	export NODE_DIR
	mkdir "$NODE_DIR/inside"
	exec {fd}< <(
		node_close_files
		exec "${tether[@]}" unshare --fork --kill-child --pid --net --mount --uts --propagation private \
			bash -euo pipefail -c 'source "$1" && node_hold "${@:2}"' bash "$LAB_DIR/node.sh" "$NODE_DIR" "$@" 2>"$NODE_DIR/log"
	)
	read -r -t 20 line <&"$fd" || line=
	exec {fd}<&-
	if [[ -z $line ]]; then
		echo "node.sh: the node did not come up" >&2
		cat "$NODE_DIR/log" >&2
		node_down
		return 1
	fi
	echo "$line" >"$NODE_DIR/holder"
	export NODE_PID=${line%% *}
}

node_down()
{
	[[ -n ${NODE_DIR:-} && -d $NODE_DIR ]] || return 0
	node_end_holder "$NODE_DIR/holder"
	rm -rf -- "$NODE_DIR"
	unset NODE_DIR NODE_PID
}

node_exec()
{
	nsenter --target "$NODE_PID" --net --mount --pid --uts -- "$@"
}

switch_exec()
{
	node_exec_net switch "$@"
}

station_up()
{
	local net=$NODE_DIR/inside/station-$1
	node_exec sh -euc 'touch "$1" && unshare --net="$1" true' sh "$net"
	switch_exec nsenter --net="$net" ip link set lo up
	switch_exec ip -batch - <<-END
		link add station$1 type veth peer name eth0 netns $net
		link set station$1 master br0 up
	END
	station_exec "$1" ip -batch - <<-END
		addr add 192.168.122.$1/24 brd + dev eth0
		link set eth0 up
		route add default via 192.168.122.1
	END
	echo "$net"
}

station_exec()
{
	node_exec_net "station-$1" "${@:2}"
}

node_child()
{
	local pid=$1 child
	# Down from the shell that runs the function, by nsenter, to what is in the node's process namespace. A process that has forked
	# nothing yet gets the time to do so.
	while [[ "/proc/$pid/ns/pid" -ef /proc/self/ns/pid ]]; do
		child=
		read -r child _ 2>/dev/null <"/proc/$pid/task/$pid/children" || sleep 0.001
		pid=${child:-$pid}
	done
	[[ -e /proc/$pid ]] && echo "$pid"
}

node_subnet_env()
{
	local -A line=([FLANNEL_NETWORK]=10.244.0.0/16 [FLANNEL_SUBNET]=10.244.1.1/24 [FLANNEL_MTU]=1400 [FLANNEL_IPMASQ]=true)
	local change key
	for change in "$@"; do
		line[${change%%=*}]=${change#*=}
	done
	for key in "${!line[@]}"; do
		echo "$key=${line[$key]}"
	done | node_exec sh -c 'mkdir -p /run/flannel && cat >/run/flannel/subnet.env'
}

node_install()
{
	local name
	node_exec install -D -m 755 "$(realpath "$1")" /opt/cni/bin/lamina
	for name in multus multus-cni kube-ipam; do
		node_exec ln -sf lamina "/opt/cni/bin/$name"
	done
	node_plugins /usr/lib/cni
	node_plugins "$(dirname "$("$LAB_DIR/parts.sh" --path flannel)")"
}

node_plugins()
{
	node_exec cp -r "$1/." /opt/cni/bin/
}

node_conf()
{
	local name=${2:-${1##*/}}
	cat -- "$1" | node_exec sh -c 'mkdir -p /etc/cni/net.d && cat >"/etc/cni/net.d/$1"' sh "$name"
}

seed_conf()
{
	jq "del(.delegates[1].ipam.etcdConfig, .delegates[1].ipam.kubeConfig)
		| .capabilities = {\"io.kubernetes.cri.pod-annotations\": true}
		| ${1:-.}" "$LAB_DIR/seed/10-multus.conf"
}

node_cnitool()
{
	local verb=$1 network=$2 pod=$3 tool
	tool=${CNITOOL:-$("$LAB_DIR/parts.sh" --path cnitool)}
	node_exec env CNI_PATH=/opt/cni/bin NETCONFPATH=/etc/cni/net.d CNI_ARGS="${CNI_ARGS:-}" CAP_ARGS="${CAP_ARGS:-}" \
		CNI_IFNAME="${CNI_IFNAME:-eth0}" "$tool" "$verb" "$network" "/run/netns/$pod"
}

pod_up()
{
	node_exec ip netns add "$1"
	node_exec ip -n "$1" link set lo up
}

pod_down()
{
	node_exec sh -c 'test ! -e "/run/netns/$1" || ip netns del "$1"' sh "$1"
}

pod_exec()
{
	local pod=$1
	shift
	node_exec nsenter --net="/run/netns/$pod" -- "$@"
}

# What follows is not for callers.

# node_exec_net NAME CMD ...: in the node, but with one of the networks that lie in its folder.
node_exec_net()
{
	nsenter --target "$NODE_PID" --net="/proc/$NODE_PID/root$NODE_DIR/inside/$1" --mount --pid --uts -- "${@:2}"
}

# node_end_holder FILE: ends the process that is noted there, if it is still that one. The first process of a process namespace takes
# all others with it, stopped ones too.
node_end_holder()
{
	local pid start
	read -r pid start 2>/dev/null <"$1" && node_is_same "$pid" "$start" || return 0
	kill -KILL "$pid" 2>/dev/null || true
	while node_is_same "$pid" "$start"; do
		sleep 0.01
	done
}

# A process is the one that was noted only when its start time is, too: ids are used again.
node_is_same()
{
	[[ -r /proc/$1/stat && $(node_start_time "$1") == "$2" ]]
}

node_start_time()
{
	local -a stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	# Field 22, counted from behind the name, which may contain anything.
	read -ra stat <<<"${stat##*) }"
	echo "${stat[19]}"
}

# A node lives on in the background: it must not keep files of its starter open, such as the one by which bats knows its end.
node_close_files()
{
	local fd
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		((fd <= 2)) || exec {fd}>&-
	done
	exec </dev/null
}

# The first process of a node: makes it what it is, says so on standard output, and stays.
node_hold()
{
	local dir=$1 number=$2 pid switch=
	cd /
	# Still the machine's /proc: this is our id as seen from outside, and the way to another node's switch.
	read -r pid _ </proc/self/stat
	pid="$pid $(node_start_time "$pid")"
	[[ -z ${3:-} ]] || exec {switch}<"$3"
	mount -t proc -o nosuid,nodev,noexec proc /proc
	mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
	hostname "node-$number"
	node_hold_files "$dir/inside"
	node_hold_switch "$dir/inside/switch" "$switch"
	node_hold_network "$dir/inside/switch" "$number"
	echo "$pid"
	# Children that lost their parent end up here; those of a process that ignores SIGCHLD leave no zombies.
	exec env --ignore-signal=CHLD sleep infinity >/dev/null 2>&1
}

# Everything is written to one tmpfs, which nobody else sees and which goes with the node.
node_hold_files()
{
	local memory=$1 dir name
	mount -t tmpfs -o mode=755 tmpfs "$memory"
	for dir in /etc /opt /var/lib; do
		name=${dir//\//_}
		mkdir "$memory/upper$name" "$memory/work$name"
		mount -t overlay -o "lowerdir=$dir,upperdir=$memory/upper$name,workdir=$memory/work$name" overlay "$dir"
	done
	mount -t tmpfs -o mode=755 tmpfs /run
	rm -rf /etc/cni /etc/lamina /opt/cni /var/lib/cni
	mkdir -p /etc/cni/net.d /opt/cni/bin
}

# node_hold_switch FILE [DESCRIPTOR]: the switch that this file descriptor leads to, or one of our own.
node_hold_switch()
{
	local switch=$1 other=$2
	touch "$switch"
	if [[ -n $other ]]; then
		# The name that mount would make of it leads nowhere.
		mount --no-canonicalize --bind "/proc/$$/fd/$other" "$switch"
		exec {other}<&-
		return
	fi
	unshare --net="$switch" true
	# The bridge comes first so that the two ends of a cable get different numbers: the kernel takes its time, up to a second,
	# before it notices the carrier of a link whose peer has its own number.
	nsenter --net="$switch" ip -batch - <<-END
		link set lo up
		link add br0 type bridge
		addr add 192.168.122.1/24 brd + dev br0
		addr add 10.188.0.1/16 brd + dev br0
		link set br0 up
	END
}

node_hold_network()
{
	local switch=$1 number=$2
	ip -batch - <<-END
		link set lo up
		link add eth0 type veth peer name port$number netns $switch
		addr add 192.168.122.$((10 + number))/24 brd + dev eth0
		link set eth0 up
		route add default via 192.168.122.1
	END
	nsenter --net="$switch" ip link set "port$number" master br0 up
}
