#!/usr/bin/env bash
# A site's own configuration and manifests (test/lab/seed) on a real Kubernetes of three nodes, on this machine: the README's third command.
#
#   test/cluster/run.sh                  brings the cluster up with lamina on it, runs all points, takes it down
#   test/cluster/run.sh --only REGEX     only the points whose names match: --only '^5 ' or --only 'power|scale'
#   test/cluster/run.sh --list           the points
#   test/cluster/run.sh --keep           leaves the cluster up, and says how to use it; without --only it runs no point
#   test/cluster/run.sh --enter MACHINE [CMD ...]   a shell, or a command, on control, node-1, node-2 or node-3 of a kept cluster
#   test/cluster/run.sh --down           ends what --keep has left
#
# As root. Installs missing Debian packages and builds what is missing into .cache/ (the first time: fifteen minutes on two processors).
# The machines have namespaces and cgroups of their own; this machine's network stays as it is. As last line `N passed, N failed, N
# skipped`; fails when a test failed; with LAMINA_MUST_WORK=1 also when one was skipped.
# LAMINA names another binary than the release's, which deploy/release.sh builds.
set -euo pipefail

CLUSTER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly CLUSTER_ROOT
readonly CLUSTER_CACHE=$CLUSTER_ROOT/.cache
readonly CLUSTER_ROOM=$CLUSTER_CACHE/cluster
# All points together take a third of this.
readonly CLUSTER_SECONDS=1800
cd "$CLUSTER_ROOT"

# shellcheck source=test/lab/install.sh
source test/lab/install.sh
# shellcheck source=test/cluster/cluster.bash
source test/cluster/cluster.bash
# shellcheck source=test/lab/host.sh
source test/lab/host.sh

parse()
{
	ONLY="" KEEP="" ENTER=() ACTION=run
	while (($# > 0)); do
		case $1 in
		--only) ONLY=${2:?--only wants a regular expression} && shift ;;
		--keep) KEEP=1 ;;
		--list | --down) ACTION=${1#--} ;;
		--enter) ACTION=enter && shift && ENTER=("$@") && break ;;
		--help | -h) sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" && exit ;;
		*) echo "run.sh: unknown argument $1 (--help)" >&2 && exit 2 ;;
		esac
		shift
	done
}

# step TEXT CMD ...: what takes a while is announced, and how long it took; its output is shown only when it fails.
step()
{
	local text=$1 start=$SECONDS log=$CLUSTER_CACHE/cluster.log
	shift
	if ! "$@" >"$log" 2>&1; then
		cat "$log"
		echo "FAILED: $text"
		return 1
	fi
	printf '%s (%d s)\n' "$text" $((SECONDS - start))
}

take_lock()
{
	mkdir -p "$CLUSTER_CACHE"
	exec {CLUSTER_LOCK}>"$CLUSTER_CACHE/cluster.lock"
	flock --nonblock "$CLUSTER_LOCK" || { echo "run.sh: another run is under way in this checkout" >&2 && exit 1; }
}

prepare()
{
	cgroup_check
	take_lock
	if [[ -e $CLUSTER_ROOM ]]; then
		! room_join "$CLUSTER_ROOM" || { echo "run.sh: a cluster is up already: test/cluster/run.sh --down" >&2 && exit 1; }
		# What a run has left that was killed.
		room_down
	fi
	install_packages test
	step "the programs of a cluster are there" test/lab/parts.sh apiserver kubernetes flanneld containerd etcd-3.4 etcd-3.5 flannel multus
	if [[ -z ${LAMINA:-} ]]; then
		step "lamina's release is built" deploy/release.sh
		export LAMINA=$CLUSTER_CACHE/release/lamina
	fi
	LAMINA=$(realpath "$LAMINA")
}

up()
{
	step "three machines are made" room_up "$CLUSTER_ROOM" "$KEEP"
	step "Kubernetes is up: etcd, API server, three nodes" kubernetes_up
	step "lamina is installed on each node" cluster_install
}

# The names of the points, as the files have them.
points()
{
	sed -n 's/^@test "\(.*\)" {$/\1/p' test/cluster/*.bats
}

run_points()
{
	local log=$CLUSTER_CACHE/cluster.tap rc=0 start=$SECONDS shown
	: >"$log"
	# What bats leaves when it is killed goes with the room.
	mkdir -p "$CLUSTER_ROOM/tmp"
	TMPDIR=$CLUSTER_ROOM/tmp timeout -k 20 "$CLUSTER_SECONDS" bats --formatter tap --timing ${ONLY:+--filter "$ONLY"} test/cluster/*.bats >"$log" 2>&1 &
	BATS_PID=$!
	# What a person sees meanwhile; what failed is shown whole. It ends with bats; a signal is heard at once.
	tail --pid="$BATS_PID" -n +1 -f "$log" | grep --line-buffered -E '^(ok|not ok|#)' &
	shown=$!
	wait "$BATS_PID" || rc=$?
	BATS_PID=
	wait "$shown" || true
	PASSED=$(grep -cE '^ok ' "$log" || true)
	SKIPPED=$(grep -cE '^ok .*# skip' "$log" || true)
	FAILED=$(($(sed -n 's/^1\.\.//p' "$log" | head -n 1) - PASSED))
	PASSED=$((PASSED - SKIPPED))
	((FAILED > 0 || rc == 0)) || FAILED=1
	echo "the points took $((SECONDS - start)) s"
}

cleanup()
{
	# A second Ctrl-C must not end what the first one has begun.
	trap '' INT TERM HUP
	# With all that it has started, which is a process group: a test that is asked to end goes on with its loops.
	if [[ -n ${BATS_PID:-} ]]; then
		kill -KILL -- "-$BATS_PID" 2>/dev/null || true
		wait "$BATS_PID" 2>/dev/null || true
	fi
	[[ -n $KEEP && -n ${KEPT:-} ]] || room_down
}

say_how()
{
	cat <<-END

		The cluster is up. On this machine:
		  test/cluster/run.sh --enter control kubectl get pods -A -o wide
		  test/cluster/run.sh --enter node-1 lamina ip ls
		  test/cluster/run.sh --enter node-1          # a shell there
		  test/cluster/run.sh --down                  # ends it
	END
}

enter()
{
	room_join "$CLUSTER_ROOM" || { echo "run.sh: no cluster is up: test/cluster/run.sh --keep" >&2 && exit 1; }
	((${#ENTER[@]} > 0)) || { echo "run.sh: --enter wants control, node-1, node-2 or node-3" >&2 && exit 2; }
	((${#ENTER[@]} > 1)) || ENTER+=(bash)
	machine_exec "${ENTER[0]}" env KUBECONFIG=/etc/kubernetes/admin.kubeconfig \
		PATH="/opt/cni/bin:$KUBERNETES_PARTS:$KUBERNETES_CONTAINERD:$PATH" "${ENTER[@]:1}"
}

main()
{
	parse "$@"
	case $ACTION in
	list) points && exit ;;
	enter) enter && exit || exit $? ;;
	down) take_lock && ROOM=$CLUSTER_ROOM && room_down && exit ;;
	esac
	PASSED=0 FAILED=0 SKIPPED=0
	((EUID == 0)) || { echo "run.sh: it makes namespaces and cgroups, so it wants root" >&2 && exit 1; }
	prepare
	host_state >"$CLUSTER_CACHE/cluster.host"
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	up
	[[ -n $KEEP && -z $ONLY ]] || run_points
	if [[ -n $KEEP ]]; then
		KEPT=1
		say_how
	else
		# It says which cgroup stays, if one does.
		if room_down && host_unchanged "$CLUSTER_CACHE/cluster.host"; then
			PASSED=$((PASSED + 1))
		else
			echo "not ok the machine is as it was"
			FAILED=$((FAILED + 1))
		fi
	fi
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	((FAILED == 0)) && [[ ${LAMINA_MUST_WORK:-} != 1 || $SKIPPED == 0 ]]
}

main "$@"
