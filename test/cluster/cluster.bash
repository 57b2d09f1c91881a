# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for jq, or for a shell inside
# What the points say about the cluster, on top of kubernetes.sh. In a test file: `load cluster`.
#
#   cluster_install            lamina with deploy/install.sh on every node, and the rights that it needs.
#   seed_up                    applies the seed's four files byte for byte and waits until every pod is Ready.
#   seed_down                  deletes what they made, and waits until the pods are gone.
#   clean_up                   after a file: every node on and untainted, no pods, no events.
#
#   until_true SECONDS CMD ... until the command succeeds; fails with its last output.
#   pods [SELECTOR]            names of pods, one a line.
#   pod_get POD JSONPATH       a field of a pod: pod_get web-1 '{.spec.nodeName}'
#   await_ready SELECTOR COUNT [SECONDS]
#                              until that many pods with that label exist, all of them Ready, and no other.
#   await_gone SELECTOR        until there is none.
#   in_pod POD CMD ...         kubectl exec.
#   pod_address POD [IF]       its address: 10.188.0.218/16 (default: net1).
#   pod_mac POD IF             its MAC.
#   on_nodes CMD ...           runs a command with each node that is on as last argument.
#   node_lamina NODE ARG ...   lamina's command line there.
#   describe POD               what a person sees: kubectl describe pod.
#   await_says POD REGEX       until that shows it.        why POD   only the last reason for which its sandbox failed.
#   place POD NODE             a pod of a StatefulSet starts again there.
#   sandbox_of POD             its node and the container of its sandbox, which runs. kill_sandbox NODE ID  ends that.
#   node_conf_write NODE       standard input becomes the node's CNI configuration.
#   plugin_requests            how many requests the nodes' plugins have sent to the API server so far.
#   who_answers ADDRESS        the MAC addresses that answer for it on the layer's wire.
#   listen NODE LINK EXPR      notes packets of a node's link (tcpdump); heard prints them. LISTEN=NAME: several at a time.
#
#   assert_equal A B           the same text.        fail TEXT   fails.
#   assert_records_true        `lamina ip ls` names exactly the addresses that pods have in the kernel, of all nodes.
#   assert_no_leak             no node has namespaces, links, records or addresses of pods that are not there any more.

# shellcheck source=test/cluster/kubernetes.sh
source "$(dirname "${BASH_SOURCE[0]}")/kubernetes.sh"
[[ -z ${BATS_VERSION:-} ]] || room_join "${ROOM:?test/cluster/run.sh runs these files}"

CLUSTER_DEPLOY=$(cd "$ROOM_LAB/../../deploy" && pwd)
SEED_FOLDER=$ROOM_LAB/seed
SEED_FILES=(db.yaml web.yaml web-svc.yaml web-ingress.yaml)

fail()
{
	printf '%s\n' "$@" >&2
	return 1
}

assert_equal()
{
	[[ $1 == "$2" ]] || fail "expected: $2" "actual:   $1"
}

until_true()
{
	local seconds=$1 end=$((SECONDS + $1)) said
	shift
	until said=$("$@" 2>&1); do
		((SECONDS < end)) || { fail "not within $seconds s: $*" "$said"; return 1; }
		sleep 0.3
	done
}

on_nodes()
{
	local node
	for node in "${KUBERNETES_NODES[@]}"; do
		! machine_is_up "$node" || "$@" "$node" || return
	done
}

node_lamina()
{
	machine_exec "$1" /opt/cni/bin/lamina "${@:2}"
}

# Neither nodes nor operators have an administrator's rights.
cluster_install()
{
	local role
	kubectl apply --filename "$CLUSTER_DEPLOY/rbac.yaml" || return
	for role in node operator; do
		machine_exec control env KUBECONFIG=/etc/kubernetes/admin.kubeconfig PATH="$KUBERNETES_PARTS:$PATH" \
			"$CLUSTER_DEPLOY/kubeconfig.sh" --role "$role" --out "$ROOM/$role.kubeconfig" || return
	done
	on_nodes cluster_install_node
}

cluster_install_node()
{
	machine_write "$1" /etc/kubernetes/ssl/kube.kubeconfig 600 <"$ROOM/node.kubeconfig" &&
		machine_exec "$1" "$CLUSTER_DEPLOY/install.sh" --binary "$LAMINA" "${@:2}"
}

pods()
{
	kubectl get pods ${1:+--selector "$1"} --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'
}

pod_get()
{
	kubectl get pod "$1" --output "jsonpath=$2"
}

# The Ready pods of a selector, of all: "READY ALL".
ready_count()
{
	kubectl get pods --selector "$1" --output json | jq -r '[.items[] | .metadata.deletionTimestamp == null and
		any(.status.conditions[]?; .type == "Ready" and .status == "True")] | "\(map(select(.)) | length) \(length)"'
}

are_ready()
{
	local counts
	counts=$(ready_count "$1")
	[[ $counts == "$2 $2" ]] || fail "Ready, all: $counts" "$(kubectl get pods --selector "$1" --output wide)"
}

await_ready()
{
	until_true "${3:-60}" are_ready "$1" "$2"
}

are_gone()
{
	[[ -z $(pods "$1") ]] || fail "$(kubectl get pods --selector "$1" --output wide)"
}

await_gone()
{
	until_true 120 are_gone "$1"
}

seed_up()
{
	local file
	for file in "${SEED_FILES[@]}"; do
		kubectl apply --filename "$SEED_FOLDER/$file" || return
	done
	seed_await
}

seed_await()
{
	await_ready app=database-1 1 && await_ready app=database-2 1 && await_ready app=web 2
}

seed_down()
{
	local file
	for file in "${SEED_FILES[@]}"; do
		kubectl delete --ignore-not-found --wait=false --filename "$SEED_FOLDER/$file"
	done
	await_gone ''
}

in_pod()
{
	kubectl exec "$1" -- "${@:2}"
}

pod_address()
{
	in_pod "$1" ip -4 address show "${2:-net1}" | awk '$1 == "inet" { print $2 }'
}

pod_mac()
{
	in_pod "$1" cat "/sys/class/net/$2/address"
}

describe()
{
	kubectl describe pod "$1"
}

# place POD NODE: a pod of a StatefulSet starts again there.
place()
{
	local node
	[[ $(pod_get "$1" '{.spec.nodeName}') != "$2" ]] || return 0
	for node in "${KUBERNETES_NODES[@]}"; do
		[[ $node == "$2" ]] || kubectl cordon "$node"
	done
	kubectl delete pod "$1" && until_true 60 pod_is_ready "$1"
	kubectl uncordon "${KUBERNETES_NODES[@]}"
	assert_equal "$(pod_get "$1" '{.spec.nodeName}')" "$2"
}

pod_is_ready()
{
	[[ $(pod_get "$1" '{.status.conditions[?(@.type=="Ready")].status}') == True ]] || fail "$(describe "$1")"
}

# The addresses of net1 in all namespaces of a node's pods, one a line.
node_addresses()
{
	machine_exec "$1" sh -c 'for netns in /run/netns/cni-*; do
		[ ! -e "$netns" ] || nsenter --net="$netns" ip -4 -o address show dev net1 2>/dev/null
	done' | awk '{ sub("/.*", "", $4); print $4 }'
}

records_are_true()
{
	local said kernel kube
	said=$(node_lamina "${1:-node-1}" ip ls --json) || return
	kernel=$(on_nodes node_addresses | sort)
	kube=$(kubectl get pods --output json | jq -r '.items[] | select(.status.phase == "Running") | .metadata.name' | sort)
	assert_equal "$(jq -r '.[] | select(.container or .pod) | .address' <<<"$said" | sort)" "$kernel" &&
		assert_equal "$(jq -r '.[] | select(.pod) | .pod' <<<"$said" | sort -u)" "$kube"
}

assert_records_true()
{
	until_true 20 records_are_true
}

# What is left of pods on a node, one a line.
leftovers()
{
	machine_exec "$1" sh -c 'cd /
		ls -d /run/netns/cni-* /var/lib/cni/multus/[0-9a-f][0-9a-f]* /var/lib/cni/multus/results/* /var/lib/cni/multus/outbox/* \
			/var/lib/cni/networks/*/[0-9]* /var/lib/cni/flannel/* 2>/dev/null
		ip -o link show type veth | grep -o "veth[^:@]*"; ip -o link show type macvlan
		true'
}

is_empty()
{
	local left keys
	left=$(on_nodes leftovers) && keys=$(etcdctl get --prefix --keys-only /etcd-cni) || return
	left+=$(grep -E '/(used|attachment)/' <<<"$keys" || true)
	[[ -z $left ]] || fail "$left"
}

assert_no_leak()
{
	until_true 30 is_empty
}

clean_up()
{
	local node
	for node in "${KUBERNETES_NODES[@]}"; do
		machine_is_up "$node" || { kubernetes_node_up "$node" && kubernetes_await_node "$node"; }
	done
	kubectl uncordon "${KUBERNETES_NODES[@]}" >/dev/null
	kubectl taint nodes --all node.kubernetes.io/out-of-service- >/dev/null 2>&1 || true
	# All in one request.
	kubectl delete --raw /api/v1/namespaces/default/events >/dev/null
	seed_down >/dev/null
}

# listen NODE LINK EXPRESSION: from now on, notes the packets on a node's link; heard prints them, one a line, with MAC addresses.
# Several at a time: LISTEN=NAME in front of both.
listen()
{
	local file=$BATS_TEST_TMPDIR/${LISTEN:-wire}
	machine_start "$1" "tcpdump-${LISTEN:-wire}" tcpdump -i "$2" --immediate-mode -lnne "$3"
	echo "$1" >"$file"
	until_true 10 grep -q 'listening on' "$ROOM/log/$1.tcpdump-${LISTEN:-wire}"
}

heard()
{
	local name=tcpdump-${LISTEN:-wire} node
	node=$(<"$BATS_TEST_TMPDIR/${LISTEN:-wire}")
	# All that was sent before is written by then: tcpdump says how much it has seen.
	machine_stop "$node" "$name" INT
	cat "$ROOM/log/$node.$name"
	rm "$ROOM/log/$node.$name"
}

# What a person sees of a pod that does not start: the newest message of its events that say why.
why()
{
	kubectl get events --field-selector "involvedObject.name=$1,reason=FailedCreatePodSandBox" --output json |
		jq -r '.items | sort_by(.lastTimestamp // .eventTime) | last | .message // empty'
}

says()
{
	local said
	said=$(describe "$1")
	grep -qE "$2" <<<"$said" || fail "$said"
}

# await_says POD REGEX: until `kubectl describe pod` shows it.
await_says()
{
	until_true 60 says "$1" "$2"
}

# sandbox_of POD: its node and its sandbox's container: "NODE ID".
sandbox_of()
{
	local node running
	node=$(pod_get "$1" '{.spec.nodeName}') && running=$(node_ctr "$node" tasks list) || return
	# Sandboxes of earlier pods of that name may be there still.
	echo "$node $(node_ctr "$node" containers list --quiet \
		"labels.\"io.kubernetes.pod.name\"==$1,labels.\"io.cri-containerd.kind\"==sandbox" |
		grep -xF "$(awk '$3 == "RUNNING" { print $1 }' <<<"$running")")"
}

# kill_sandbox NODE ID: its first process dies; the kubelet makes a new sandbox of the same pod.
kill_sandbox()
{
	node_ctr "$1" tasks kill --signal KILL "$2"
}

node_ctr()
{
	machine_exec "$1" "$KUBERNETES_CONTAINERD/ctr" --namespace k8s.io "${@:2}"
}

# node_conf_write NODE: standard input becomes the seed's file there, at once.
node_conf_write()
{
	machine_write "$1" /etc/cni/net.d/new && machine_exec "$1" mv /etc/cni/net.d/new /etc/cni/net.d/10-multus.conf
}

# How many requests the nodes' plugins have sent to the API server so far.
plugin_requests()
{
	machine_exec control sh -c 'grep -c "lamina-node" /var/lib/control/audit.log || true'
}

# The MAC addresses that answer for an address on the layer's wire.
who_answers()
{
	room_exec /bin/busybox arping -c 3 -I br0 "$1" | grep -oE '[0-9a-f]{2}(:[0-9a-f]{2}){5}' | sort -u
}
