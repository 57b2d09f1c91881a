# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for a shell inside
# Machines of a room (room.sh), each as alone as a real one: own network, processes, mounts, host name, cgroups and boot id. To be
# sourced.
#
# In a machine: eth0 (192.168.122.LAST, default route by 192.168.122.1) on the room's switch; /etc, /opt, /var/lib and /var/log on a disk
# of its own, which begins as this machine's without anything of CNI; an empty /run.
#
#   machine_up NAME LAST       switches it on. Its disk is as it was when it was switched off.
#   machine_cut NAME           its power fails: every process is gone at once, with all namespaces and /run.
#   machine_is_up NAME         whether it is on.
#   machine_names              all that have a disk.
#   machine_exec NAME CMD ...  runs a command in it.
#   machine_start NAME SERVICE CMD ...
#                              starts a service there that runs on, with its output in ROOM/log/NAME.SERVICE.
#   machine_keep NAME SERVICE CMD ...
#                              the same, and starts it again whenever it ends, as systemd does.
#   machine_restart NAME SERVICE
#                              ends it and starts it again as it was started.
#   machine_stop NAME SERVICE [SIGNAL]
#                              ends it (default: TERM), and waits until it is gone.
#   machine_signal NAME SERVICE SIGNAL
#                              STOP, CONT: it accepts connections and never answers.
#   machine_write NAME FILE [MODE]
#                              writes standard input to a file there.

# shellcheck source=test/cluster/room.sh
source "$(dirname "${BASH_SOURCE[0]}")/room.sh"

machine_up()
{
	local name=$1 last=$2 line fd
	machine_is_up "$name" && { echo "machine.sh: $name is on already" >&2; return 1; }
	exec {fd}< <(
		node_close_files
		cgroup_enter "$name"
		exec nsenter --target "$ROOM_PID" --net --mount --pid --uts -- setsid \
			unshare --fork --kill-child --cgroup --pid --net --mount --uts --propagation private \
			bash -euo pipefail -c 'source "$1" && machine_hold "${@:2}"' bash "$ROOM_LAB/../cluster/machine.sh" "$ROOM" "$name" "$last" \
			2>"$ROOM/log/$name"
	)
	read -r -t 30 line <&"$fd" || line=
	exec {fd}<&-
	if [[ -z $line ]]; then
		echo "machine.sh: $name did not come up" >&2
		cat "$ROOM/log/$name" >&2
		return 1
	fi
	echo "$line $last" >"$ROOM/service/$name.init"
}

machine_cut()
{
	local pid
	read -r pid _ <"$ROOM/service/$1.init" || return
	room_exec sh -euc 'kill -KILL "$1"; while test -e "/proc/$1"; do sleep 0.01; done' sh "$pid" || return
	rm "$ROOM/service/$1.init"
	rm -f "$ROOM/service/$1".*.pid
	cgroup_remove "$1"
}

machine_is_up()
{
	[[ -e $ROOM/service/$1.init ]]
}

machine_names()
{
	room_exec ls "$ROOM/disk"
}

machine_exec()
{
	local pid
	read -r pid _ 2>/dev/null <"$ROOM/service/$1.init" || { echo "machine.sh: $1 is off" >&2 && return 1; }
	# The room's process namespace is the one in which that number is a machine's first process.
	nsenter --target "$ROOM_PID" --mount --pid -- \
		nsenter --target "$pid" --net --mount --pid --uts --cgroup --wd=/ -- "${@:2}"
}

machine_start()
{
	local name=$1 service=$2
	shift 2
	printf '%s\0' "$@" >"$ROOM/service/$name.$service.command"
	(
		node_close_files
		machine_exec "$name" bash -c 'for procs in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$procs"; done
			log=$1; shift; exec setsid "$@" >>"$log" 2>&1 & echo $!' bash "$ROOM/log/$name.$service" "$@"
	) >"$ROOM/service/$name.$service.pid"
}

machine_keep()
{
	machine_start "$1" "$2" sh -c 'while :; do "$@"; sleep 0.5; done' sh "${@:3}"
}

machine_stop()
{
	local pid left
	pid=$(<"$ROOM/service/$1.$2.pid") || return
	# What it started goes with it: a service may be a loop.
	machine_exec "$1" kill "-${3:-TERM}" -- "-$pid" || return
	for ((left = 1500; left > 0; left--)); do
		machine_exec "$1" test -e "/proc/$pid" || break
		sleep 0.02
	done
	((left > 0)) || { echo "machine.sh: $2 on $1 does not end" >&2 && return 1; }
	rm "$ROOM/service/$1.$2.pid"
}

machine_restart()
{
	local -a command
	mapfile -d '' -t command <"$ROOM/service/$1.$2.command"
	[[ ! -e $ROOM/service/$1.$2.pid ]] || machine_stop "$1" "$2" || return
	machine_start "$1" "$2" "${command[@]}"
}

machine_signal()
{
	machine_exec "$1" kill "-$3" -- "-$(<"$ROOM/service/$1.$2.pid")"
}

machine_write()
{
	# In one step: pods start meanwhile, and their plugins read it.
	machine_exec "$1" sh -euc 'mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"' sh "$2" "${3:-644}"
}

# What follows is not for callers.

# The first process of a machine: makes it what it is, says which process of the room it is, and stays.
machine_hold()
{
	local room=$1 name=$2 last=$3 pid
	cd /
	read -r pid _ </proc/self/stat
	mount -t proc -o nosuid,nodev,noexec proc /proc
	hostname "$name"
	machine_hold_cgroups
	machine_hold_disk "$room/disk/$name" "$name"
	machine_hold_kernel "$room/disk/$name"
	machine_hold_network "$room/net/switch" "$last"
	# As systemd leaves it: what the kubelet mounts is seen by containers.
	mount --make-rshared /
	echo "$pid"
	exec env --ignore-signal=CHLD sleep infinity >/dev/null 2>&1
}

# In this namespace of cgroups the top of each hierarchy is the machine's own.
machine_hold_cgroups()
{
	local mount options hierarchies
	hierarchies=$(cgroup_hierarchies)
	umount --recursive --lazy /sys
	mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	while read -r mount options; do
		mkdir "/sys/fs/cgroup/${mount##*/}"
		mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/${mount##*/}"
	done <<<"$hierarchies"
}

machine_hold_disk()
{
	local disk=$1 dir
	if [[ ! -d $disk ]]; then
		mkdir -p "$disk"/{etc,opt,var_lib,work_etc,work_opt,work_var_lib,containerd,kubelet,log}
		tr -d - </proc/sys/kernel/random/uuid >"$disk/etc/machine-id"
	fi
	mount -t overlay -o "lowerdir=/etc,upperdir=$disk/etc,workdir=$disk/work_etc" overlay /etc
	mount -t overlay -o "lowerdir=/opt,upperdir=$disk/opt,workdir=$disk/work_opt" overlay /opt
	mount -t overlay -o "lowerdir=/var/lib,upperdir=$disk/var_lib,workdir=$disk/work_var_lib" overlay /var/lib
	mount -t tmpfs -o mode=755 tmpfs /run
	if [[ ! -e $disk/installed ]]; then
		rm -rf /etc/cni /etc/lamina /etc/kubernetes /opt/cni /var/lib/cni /var/lib/lamina /var/lib/containerd /var/lib/kubelet
		mkdir -p /etc/cni/net.d /opt/cni/bin /var/lib/containerd /var/lib/kubelet
		touch "$disk/installed"
	fi
	# What is an overlay cannot be a layer of another one.
	for dir in containerd kubelet; do
		mount --bind "$disk/$dir" "/var/lib/$dir"
	done
	mount --bind "$disk/log" /var/log
}

# What the kernel shows to all who share it, but not to real machines: the boot's id is new each time, and what a kubelet would set on the
# real machine looks as if it had.
machine_hold_kernel()
{
	local folder=$1/kernel pair file
	mkdir -p "$folder"
	cat /proc/sys/kernel/random/uuid >"$folder/boot_id"
	mount --bind "$folder/boot_id" /proc/sys/kernel/random/boot_id
	for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
		kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
		file=/proc/sys/${pair%=*}
		echo "${pair#*=}" >"$folder/$(basename "$file")"
		mount --bind "$folder/$(basename "$file")" "$file"
	done
}

# Its card has the same address at each boot.
machine_hold_network()
{
	local switch=$1 last=$2
	# Its own end comes second, so that the two get different numbers: see node.sh.
	nsenter --net="$switch" ip -batch - <<-END
		link add port$last type veth peer name eth0 address 52:54:00:00:00:$last netns $$
		link set port$last master br0 up
	END
	ip -batch - <<-END
		link set lo up
		addr add 192.168.122.$last/24 brd + dev eth0
		link set eth0 up
		route add default via 192.168.122.1
	END
}
