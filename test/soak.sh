#!/usr/bin/env bash
# The long form of test/integration/one_owner.bats: kube-ipam called at random by 32 processes on three etcd members, with plugins,
# workers and members killed at random moments.
#
#   test/soak.sh [--operations N] [--hours N] [--etcd VERSION] [-- OPTION ...]
#
#   --operations N    ends after so many calls (default: 100000; 0: only the time counts)
#   --hours N         ends after this time (default: 2)
#   --etcd VERSION    3.4 (default) or 3.5
#   -- OPTION ...     for test/proof/owner.py: workers, size of the pool, seed and so on
#
# Builds lamina in .cache/build-gcc as test/run.sh does, or takes LAMINA=FILE. Prints what was done and, as last line,
# `N violations, N leaks before gc, N after`; fails when there is a violation, or anything is left in the end.
# shellcheck disable=SC2119 # functions that take more arguments elsewhere
set -euo pipefail

SOAK_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOAK_ROOT
cd "$SOAK_ROOT"

# shellcheck source=test/lab/install.sh
source test/lab/install.sh
# shellcheck source=test/lab/node.sh
source test/lab/node.sh
# shellcheck source=test/lab/etcd.sh
source test/lab/etcd.sh
# shellcheck source=test/proof/proof.bash
source test/proof/proof.bash

parse()
{
	OPERATIONS=100000 HOURS=2 VERSION=3.4 OPTIONS=()
	while (($# > 0)); do
		case $1 in
		--operations) OPERATIONS=$2 && shift ;;
		--hours) HOURS=$2 && shift ;;
		--etcd) VERSION=$2 && shift ;;
		--) shift && OPTIONS=("$@") && return ;;
		--help | -h) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \?//p}' "${BASH_SOURCE[0]}" && exit ;;
		*) echo "soak.sh: unknown argument $1 (--help)" >&2 && exit 2 ;;
		esac
		shift
	done
	((OPERATIONS > 0)) || OPERATIONS=1000000000000
}

build()
{
	local dir=.cache/build-gcc
	[[ -e $dir/build.ninja ]] || meson setup "$dir" -Dwerror=true -Dtests=enabled -Dfault_points=true
	ninja -C "$dir" lamina
}

cleanup()
{
	[[ -z ${ETCD_DIR:-} ]] || touch "$ETCD_DIR/peace"
	wait
	etcd_down
	node_down
}

main()
{
	local rc=0
	parse "$@"
	((EUID == 0)) || { echo "soak.sh: network namespaces need root" >&2 && exit 1; }
	install_packages test
	test/lab/parts.sh flannel "etcd-$VERSION" etcd-3.4
	[[ -n ${LAMINA:-} ]] || build >/dev/null
	trap cleanup EXIT
	trap 'exit 130' INT TERM HUP
	node_up
	node_install "${LAMINA:-.cache/build-gcc/lamina}"
	etcd_up "$VERSION"
	proof_conf >"$NODE_DIR/conf.json"
	nemesis_start
	proof_run owner.py --conf "$NODE_DIR/conf.json" --operations "$OPERATIONS" \
		--seconds "$(awk "BEGIN { print int(3600 * $HOURS) }")" "${OPTIONS[@]}" >"$NODE_DIR/said" || rc=$?
	nemesis_end
	cat "$NODE_DIR/said"
	return "$rc"
}

main "$@"
