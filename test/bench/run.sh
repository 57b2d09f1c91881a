#!/usr/bin/env bash
# Measures lamina against what it replaces, in one run on one machine.
#
#   test/bench/run.sh [--n ROUNDS] [--only PART] [--json FILE] [--markdown FILE] [--svg] [--help]
#
#   --n ROUNDS       measured rounds, after warm-up (default: 50)
#   --only PART      one of the parts below (default: all; can be given several times)
#   --json FILE      writes the figures to FILE as JSON, too (report.py --figures reads it)
#   --markdown FILE  writes the README's section to FILE
#   --svg            draws test/bench/*.svg anew
#
#   calls   ADD, DEL, CHECK and VERSION, one at a time. lamina: net1 alone; the whole pod with its own store, with three etcd members
#           over TLS, and with the annotations from an API server (the seed's file byte for byte). Against: Debian's macvlan +
#           host-local; flannel alone; multus 4.2.2 + flannel + macvlan + host-local. For each: time, processor time of all processes
#           and of the servers, highest memory, programs started, system calls (the last three in rounds of their own)
#   networks
#           with the plugin's own kubeconfig, so that the API server is asked for the pod, and told of its networks: a pod that asks for
#           two NetworkAttachmentDefinitions, by lamina and by multus with one configuration; a pod that asks for none, whose default
#           network has to wait for the answer; against lamina without a kubeconfig, and flannel alone
#   burst   1, 10 and 50 ADDs of whole pods at once, then their DELs
#   claims  kube-ipam alone: 1,000 pods of 200 nodes at once with three etcd members over TLS, and the same with /bin/true, which is
#           what the measuring costs; 150 pods, 20 at a time, with either store; and, for what it is worth, with the requests that
#           kube-ipam 0.2 sends (by a script in Python: most of the time goes to its lock all the same)
#   full    kube-ipam alone while 10, 1,000 and 60,000 addresses are in use
#
# All of them take turns in each round, and go ahead of everything else on the machine. What counts are the ratios: they stay much the
# same on a slower or a busy machine, but a DEL waits for the kernel more than it works, and that depends on what else goes on. Beside
# them stand the ceilings that lamina is held to.
#
# Installs and builds what is missing (the release binary by deploy/release.sh; LAMINA=FILE measures another one), and runs in a node
# of its own (test/lab/node.sh). Fails when something could not be measured; a ceiling that is not reached is a result.
# shellcheck disable=SC2016,SC2119 # quoted jq; functions of node.sh that take more arguments elsewhere
set -euo pipefail

BENCH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly BENCH_ROOT
readonly BENCH_CACHE=$BENCH_ROOT/.cache
readonly BENCH_LAMINA=${LAMINA:-$BENCH_CACHE/release/lamina}
readonly BENCH_MEMORY=/run/bench
readonly BENCH_PARTS=" calls networks burst claims full "

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
	BENCH_COMMAND="test/bench/run.sh${*:+ $*}"
	ROUNDS=50 JSON='' MARKDOWN='' SVG='' ONLY=()
	while (($# > 0)); do
		case $1 in
		--n) ROUNDS=${2:-} && shift ;;
		--only) ONLY+=("${2:-}") && shift ;;
		--json) JSON=${2:?--json wants a file} && shift ;;
		--markdown) MARKDOWN=${2:?--markdown wants a file} && shift ;;
		--svg) SVG=$BENCH_ROOT/test/bench ;;
		--help | -h) usage && exit ;;
		*) wrong "unknown argument $1" ;;
		esac
		shift || true
	done
	[[ $ROUNDS =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--n wants a number of rounds"
	parse_parts
	[[ -z $JSON ]] || JSON=$(realpath -m -- "$JSON")
	[[ -z $MARKDOWN ]] || MARKDOWN=$(realpath -m -- "$MARKDOWN")
}

parse_parts()
{
	local part
	for part in "${ONLY[@]}"; do
		[[ -n $part && $BENCH_PARTS == *" $part "* ]] || wrong "--only wants one of$BENCH_PARTS"
	done
	((${#ONLY[@]} > 0)) || read -ra ONLY <<<"$BENCH_PARTS"
}

# quietly CMD ...: shows what a long command says only when it fails.
quietly()
{
	"$@" >"$BENCH_TMP/log" 2>&1 || { cat "$BENCH_TMP/log" >&2 && return 1; }
}

start_node()
{
	node_up
	node_subnet_env
	node_install "$BENCH_LAMINA"
	# /opt/cni/bin/multus is lamina.
	node_exec cp "$("$LAB_DIR/parts.sh" --path multus)" /opt/cni/bin/real-multus
	node_exec mkdir -p "$BENCH_MEMORY"
	seed_conf >"$NODE_DIR/seed.json"
	proof_conf >"$NODE_DIR/proof.json"
}

# What the seed's configuration wants, and the pods that measure.py calls for.
start_cluster()
{
	etcd_up
	kube_up
	kube_kubeconfig lamina | node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	kube_put_node node-1
	cp "$LAB_DIR/seed/10-multus.conf" "$NODE_DIR/cluster.json"
	kube_nad_crd
	kube_put_nad default lan "$(bench_nad '.type = "macvlan" | .master = "eth0"' 10.189.0.0/16)"
	kube_put_nad default plain "$(bench_nad '.type = "bridge" | .bridge = "br-plain"' 10.190.0.0/16)"
	{
		bench_pod database-1-0 '{"kube-ipam.ip": "10.188.0.221", "kube-ipam.netmask": "255.255.0.0", "kube-ipam.gateway": "10.188.0.1"}'
		bench_pod lamina-networks '{"k8s.v1.cni.cncf.io/networks": "lan,plain"}'
		bench_pod multus-networks '{"k8s.v1.cni.cncf.io/networks": "lan,plain"}'
		bench_pod lamina-asks '{}'
		bench_pod multus-asks '{}'
	} | jq -s add >"$NODE_DIR/pods.json"
}

# bench_nad FILTER SUBNET: a network of that subnet.
bench_nad()
{
	jq -n --arg subnet "$2" '{cniVersion: "0.3.1", ipam: {type: "host-local", subnet: $subnet}} | '"$1"
}

# bench_pod NAME ANNOTATIONS: makes it and prints {NAME: UID}.
bench_pod()
{
	local uid
	uid=$(kube_put_pod default "$1" ".metadata.annotations = $2")
	jq -n --arg name "$1" --arg uid "$uid" '{($name): $uid}'
}

# What the parts before have left: holds, and namespaces of pods.
clean()
{
	node_exec ip -all netns del
	node_exec sh -c 'rm -rf /var/lib/cni /run/lamina "$1"; mkdir -p "$1"' sh "$BENCH_MEMORY"
	etcd_ctl del --prefix /etcd-cni >/dev/null
}

# measure SCRIPT ARG ...: in a session of its own, whose priority is its own, too.
measure()
{
	node_exec setsid --wait env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PROOF_FOLDER" python3 "$BENCH_ROOT/test/bench/$1" "${@:2}"
}

# Rounds that last for seconds are fewer.
part_calls()
{
	measure measure.py calls "$NODE_DIR" "$ROUNDS"
}

# Whoever does not see the annotation, or does not say what came of it, would be fast.
part_networks()
{
	local name said
	# multus says there what Events it sends.
	measure measure.py networks "$NODE_DIR" "$ROUNDS" 2>"$BENCH_TMP/said" || { tail -n 20 "$BENCH_TMP/said" >&2 && return 1; }
	for name in lamina multus; do
		said=$(kube_api GET "/api/v1/namespaces/default/pods/$name-networks" |
			jq -r '.metadata.annotations["k8s.v1.cni.cncf.io/network-status"]')
		jq -e 'map(.interface) == ["eth0", "net1", "net2"]' <<<"$said" >/dev/null || {
			echo "run.sh: the network-status that $name has written is $said" >&2
			return 1
		}
	done
}

part_burst()
{
	measure scale.py burst "$NODE_DIR" $(((ROUNDS + 9) / 10))
}

part_full()
{
	measure scale.py full "$NODE_DIR/proof.json" $(((ROUNDS + 1) / 2)) "$BENCH_MEMORY"
}

# herd NAME FILTER ARG ...: prints what herd.py measures as an object under this name.
herd()
{
	proof_conf "$2" >"$NODE_DIR/claims.json"
	quietly measure priority.py python3 "$PROOF_FOLDER/herd.py" --conf "$NODE_DIR/claims.json" --json "$NODE_DIR/claims-out" "${@:3}" "$BENCH_MEMORY"
	jq -n --arg name "$1" '{($name): input}' "$NODE_DIR/claims-out"
}

part_claims()
{
	local -a few=(--processes 20 --pods 150 --addresses 191)
	node_exec install -D "$LAB_DIR/kubeipam.py" /opt/cni/old/kube-ipam
	{
		herd 'lamina, three etcd members, 200 at a time' .
		herd '/bin/true, 200 at a time' . --bare --plugin /bin/true
		herd 'lamina, own store, 20 at a time' 'del(.ipam.etcdConfig)' "${few[@]}"
		herd 'lamina, three etcd members, 20 at a time' . "${few[@]}"
		herd "kube-ipam 0.2's requests, 20 at a time" . "${few[@]}" --plugin /opt/cni/old/kube-ipam
	} | jq -s add
}

cleanup()
{
	node_down
	rm -rf "$BENCH_TMP"
}

main()
{
	local part
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
	[[ -n ${LAMINA:-} ]] || deploy/release.sh >/dev/null
	start_node
	start_cluster
	for part in "${ONLY[@]}"; do
		"part_$part" >"$BENCH_TMP/$part"
		jq --arg part "$part" '{($part): .}' "$BENCH_TMP/$part" >>"$BENCH_TMP/parts"
		clean
	done
	jq -s --arg command "$BENCH_COMMAND" --argjson bytes "$(stat -L -c %s "$BENCH_LAMINA")" \
		'add + {command: $command, lamina_bytes: $bytes}' "$BENCH_TMP/parts" >"$BENCH_TMP/samples.json"
	PYTHONDONTWRITEBYTECODE=1 python3 test/bench/report.py ${JSON:+--json "$JSON"} ${MARKDOWN:+--markdown "$MARKDOWN"} \
		${SVG:+--svg "$SVG"} "$BENCH_TMP/samples.json"
}

main "$@"
