# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for a shell inside
# A room for machines: everything that a cluster needs of its own, on one real machine. To be sourced.
#
# The room has its own processes, mounts and network. Its network is the switch that the machines' cables lead to, with both
# gateways (br0: 192.168.122.1/24, 10.188.0.1/16), and routes. The machines' disks lie in its memory. The real machine's network is
# not touched, and what ends the room's first process ends everything in it.
#
#   room_up FOLDER [STAY]      makes it, with its files in that folder, which must not exist. It ends with the shell that made it, however
#                              that ends; with STAY it outlives that.
#   room_join FOLDER           uses one that another shell has made; fails when it is gone.
#   room_down                  ends it with everything in it, and removes its cgroups and its folder. A second time is fine.
#   room_exec CMD ...          runs a command on the switch.
#   room_client CMD ...        runs a command on a client behind the gateways, 172.31.0.2: it reaches both layers by routes only.
#
# Sets ROOM (the folder), and exports it.

ROOM_LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/../lab" && pwd)
# shellcheck source=test/lab/node.sh
source "$ROOM_LAB/node.sh"

room_up()
{
	local line fd
	local -a tether=(setpriv --pdeathsig KILL)
	[[ -z ${2:-} ]] || tether=(setsid)
	export ROOM=$1
	mkdir "$ROOM" && mkdir "$ROOM"/{disk,net,log,service} || return
	cgroup_places >"$ROOM/cgroups"
	exec {fd}< <(
		node_close_files
		exec "${tether[@]}" unshare --fork --kill-child --pid --net --mount --uts --propagation private \
			bash -euo pipefail -c 'source "$1" && room_hold "$2"' bash "$ROOM_LAB/../cluster/room.sh" "$ROOM" 2>"$ROOM/log/room"
	)
	read -r -t 20 line <&"$fd" || line=
	exec {fd}<&-
	if [[ -z $line ]]; then
		kill -KILL $! 2>/dev/null
		echo "room.sh: the room did not come up" >&2
		cat "$ROOM/log/room" >&2
		return 1
	fi
	echo "$line" >"$ROOM/holder"
	room_join "$ROOM"
}

room_join()
{
	local pid start
	export ROOM=$1
	read -r pid start 2>/dev/null <"$ROOM/holder" && node_is_same "$pid" "$start" && export ROOM_PID=$pid
}

room_down()
{
	[[ -n ${ROOM:-} && -d $ROOM ]] || return 0
	node_end_holder "$ROOM/holder"
	unset ROOM_PID
	# Where they are is not forgotten before they are gone.
	[[ ! -e $ROOM/cgroups ]] || cgroup_remove '' || return
	rm -rf -- "$ROOM"
}

room_exec()
{
	nsenter --target "$ROOM_PID" --net --mount --pid --uts -- "$@"
}

room_client()
{
	nsenter --target "$ROOM_PID" --net="/proc/$ROOM_PID/root$ROOM/net/client" --mount --pid --uts -- "$@"
}

# What follows is not for callers.

# The room's first process: makes the switch and the client, says who it is, and stays.
room_hold()
{
	local room=$1 pid
	cd /
	read -r pid _ </proc/self/stat
	pid="$pid $(node_start_time "$pid")"
	mount -t proc -o nosuid,nodev,noexec proc /proc
	mount -t tmpfs -o mode=755 tmpfs "$room/disk"
	mount -t tmpfs -o mode=755 tmpfs "$room/net"
	hostname room
	touch "$room"/net/{client,switch}
	mount --bind /proc/self/ns/net "$room/net/switch"
	unshare --net="$room/net/client" true
	ip -batch - <<-END
		link set lo up
		link add br0 type bridge
		addr add 192.168.122.1/24 brd + dev br0
		addr add 10.188.0.1/16 brd + dev br0
		link set br0 up
		link add client type veth peer name eth0 netns $room/net/client
		addr add 172.31.0.1/24 dev client
		link set client up
	END
	echo 1 >/proc/sys/net/ipv4/ip_forward
	nsenter --net="$room/net/client" ip -batch - <<-END
		link set lo up
		addr add 172.31.0.2/24 dev eth0
		link set eth0 up
		route add default via 172.31.0.1
	END
	echo "$pid"
	exec env --ignore-signal=CHLD sleep infinity >/dev/null 2>&1
}

# Every machine has cgroups of its own, below the ones that we are in, and sees nothing above them: containers' limits are real, and
# what is left of a machine that lost its power is found and removed.

# Fails where the kernel has no cgroups of version 1: the kubelets are set up for these.
cgroup_check()
{
	[[ -z $(cgroup_hierarchies) ]] || return 0
	echo "room.sh: this machine has cgroups of version 2 only, and the cluster's kubelets are set up for version 1: boot it with" \
		"systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller" >&2
	return 1
}

# One line a hierarchy: where it is mounted, and its options.
cgroup_hierarchies()
{
	awk '$(NF - 2) == "cgroup" {
		n = split($NF, all, ","); options = ""
		for (i = 1; i <= n; i++)
			if (all[i] != "rw" && all[i] != "ro")
				options = options (options ? "," : "") all[i]
		print $5, options
	}' /proc/self/mountinfo
}

# Folders for a room, one a hierarchy, with a name that nobody else's cgroups have: below the cgroup that we are in, if it can be seen.
cgroup_places()
{
	local mount options path name
	name=lamina-cluster.$$.$(node_start_time "$$")
	while read -r mount options; do
		path=$(awk -F: -v options="$options" '$2 == options { print $3 }' /proc/self/cgroup)
		[[ -d $mount/$path ]] || path=
		path=${path%/}
		echo "$mount$path/$name"
	done < <(cgroup_hierarchies)
}

# cgroup_enter NAME: makes the cgroup NAME of the room in all hierarchies and moves the calling shell into it.
cgroup_enter()
{
	local place folder
	while read -r place; do
		for folder in "$place" "$place/$1"; do
			[[ ! -d $folder ]] || continue
			mkdir "$folder"
			# A cpuset without processors takes no process.
			[[ ! -e $folder/cpuset.cpus ]] || cp --no-preserve=all "${folder%/*}"/cpuset.{cpus,mems} "$folder/"
		done
		echo 0 >"$place/$1/cgroup.procs"
	done <"$ROOM/cgroups"
}

# cgroup_remove NAME: removes what is left of that one, or of all when it is empty; its processes have just been killed.
cgroup_remove()
{
	local place folder left status=0
	while read -r place; do
		folder=$place${1:+/$1}
		for ((left = 200; left > 0; left--)); do
			[[ -d $folder ]] || break
			find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
		done
		[[ ! -d $folder ]] || { echo "room.sh: the cgroup $folder cannot be removed" >&2; status=1; }
	done <"$ROOM/cgroups"
	return $status
}
