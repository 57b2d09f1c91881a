#!/usr/bin/env bash
# Measures lamina against what it replaces, in one run on one machine.
#
#   test/bench/run.sh [--n ROUNDS] [--json FILE] [--help]
#
#   --n ROUNDS     measured rounds, after warm-up (default: 50)
#   --json FILE    writes the figures to FILE as JSON, too
#
# Compares the time and the processor time of ADD and DEL (of the whole process tree), and shows lamina's peak memory:
#
#   net1 alone     with a fixed address            against   Debian's macvlan + host-local
#   the whole pod  the seed's configuration        against   flannel alone, as the seed has it
#   the same with etcd's three members over TLS and the annotations from a real API server    against   flannel alone
#   the whole pod                                  against   multus 4.2.2 + flannel + Debian's macvlan + host-local
#   VERSION        start, answer, exit             against   host-local and /bin/true
#
# Then kube-ipam alone, 20 processes at a time, with either store: claims and releases per second; and, for what it is worth, the
# same with the requests that kube-ipam 0.2 sends (by a script in Python: most of the time goes to its lock all the same).
#
# All of them take turns in each round, and go ahead of everything else on the machine. What counts are the ratios: they stay much the
# same on a slower or a busy machine, but a DEL waits for the kernel more than it works, and that depends on what else goes on.
# Installs and builds what is missing (lamina as a release build in .cache/build-bench, with libnl and SQLite from their
# archives, since a plugin is copied to hosts that have neither; LAMINA=FILE measures another binary), and runs in
# a node of its own (test/lab/node.sh). Fails when something could not be measured; a ceiling that is not reached is a result.
# shellcheck disable=SC2016,SC2119 # quoted jq; functions of node.sh that take more arguments elsewhere
set -euo pipefail

BENCH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly BENCH_ROOT
readonly BENCH_CACHE=$BENCH_ROOT/.cache
readonly BENCH_BUILD=$BENCH_CACHE/build-bench
readonly BENCH_LAMINA=${LAMINA:-$BENCH_BUILD/lamina}

# shellcheck source=test/lab/install.sh
source "$BENCH_ROOT/test/lab/install.sh"
# shellcheck source=test/lab/node.sh
source "$BENCH_ROOT/test/lab/node.sh"
# shellcheck source=test/lab/etcd.sh
source "$BENCH_ROOT/test/lab/etcd.sh"
# shellcheck source=test/lab/kube.sh
source "$BENCH_ROOT/test/lab/kube.sh"
# shellcheck source=test/proof/proof.bash
source "$BENCH_ROOT/test/proof/proof.bash"

usage()
{
	sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \?//p}' "${BASH_SOURCE[0]}"
}

wrong()
{
	echo "run.sh: $1 (--help)" >&2
	exit 2
}

parse()
{
	ROUNDS=50 JSON=
	while (($# > 0)); do
		case $1 in
		--n) ROUNDS=${2:-} ;;
		--json) JSON=${2:?--json wants a file} ;;
		--help | -h) usage && exit ;;
		*) wrong "unknown argument $1" ;;
		esac
		shift $(($# > 1 ? 2 : 1))
	done
	[[ $ROUNDS =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--n wants a number of rounds"
	[[ -z $JSON ]] || JSON=$(realpath -m -- "$JSON")
}

# quietly CMD ...: shows what a long command says only when it fails.
quietly()
{
	"$@" >"$BENCH_TMP/log" 2>&1 || { cat "$BENCH_TMP/log" >&2 && return 1; }
}

build()
{
	[[ -e $BENCH_BUILD/build.ninja ]] || quietly meson setup -Dprefer_static=true -Db_lto=true "$BENCH_BUILD" "$BENCH_ROOT"
	quietly ninja -C "$BENCH_BUILD" lamina
}

start_node()
{
	node_up
	node_subnet_env
	node_install "$BENCH_LAMINA"
	# /opt/cni/bin/multus is lamina.
	node_exec cp "$("$LAB_DIR/parts.sh" --path multus)" /opt/cni/bin/real-multus
	seed_conf >"$NODE_DIR/seed.json"
}

# What the seed's configuration wants, and the pod that measure.py calls for.
start_cluster()
{
	etcd_up
	kube_up
	kube_kubeconfig lamina | node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	kube_put_node node-1
	cp "$LAB_DIR/seed/10-multus.conf" "$NODE_DIR/cluster.json"
	kube_put_pod default database-1-0 '.metadata.annotations = {"kube-ipam.ip": "10.188.0.218", "kube-ipam.netmask": "255.255.0.0",
		"kube-ipam.gateway": "10.188.0.1"}' >"$NODE_DIR/uid"
}

# claims NAME FILTER [--plugin FILE]: 150 pods, 20 at a time, of a cluster's nodes or of one node.
claims()
{
	proof_conf "$2" >"$NODE_DIR/claims.json"
	quietly proof_run herd.py --conf "$NODE_DIR/claims.json" --processes 20 --pods 150 --addresses 191 --json "$NODE_DIR/claims-out" "${@:3}"
	jq -n --arg name "$1" '{($name): input}' "$NODE_DIR/claims-out"
}

all_claims()
{
	claims 'lamina, own store' 'del(.ipam.etcdConfig)'
	claims 'lamina, etcd' .
	node_exec install -D "$LAB_DIR/kubeipam.py" /opt/cni/old/kube-ipam
	claims "kube-ipam 0.2's requests" . --plugin /opt/cni/old/kube-ipam
}

cleanup()
{
	node_down
	rm -rf "$BENCH_TMP"
}

main()
{
	parse "$@"
	((EUID == 0)) || { echo "run.sh: network namespaces need root" >&2 && exit 1; }
	cd "$BENCH_ROOT"
	mkdir -p "$BENCH_CACHE"
	BENCH_TMP=$(mktemp -d)
	trap cleanup EXIT
	trap 'exit 130' INT TERM HUP
	# Two of these at a time would measure each other.
	exec {BENCH_LOCK}>"$BENCH_CACHE/bench.lock"
	flock "$BENCH_LOCK"
	install_packages demo
	test/lab/parts.sh flannel multus etcd-3.4 etcd-3.5 apiserver
	[[ -n ${LAMINA:-} ]] || build
	start_node
	start_cluster
	# A session of its own: its priority is its own, too.
	node_exec setsid --wait python3 "$BENCH_ROOT/test/bench/measure.py" "$NODE_DIR" "$ROUNDS" >"$BENCH_TMP/samples.json"
	all_claims | jq -s add >"$BENCH_TMP/claims.json"
	python3 test/bench/report.py "$BENCH_TMP/samples.json" "$BENCH_TMP/claims.json" "$JSON"
}

main "$@"
