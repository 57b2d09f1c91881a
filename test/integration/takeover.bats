#!/usr/bin/env bats
# An address that somebody holds: who gives way to its pod's next life, on this node or another, and who does not.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	local n
	setup_cluster 2
	kube_up
	for n in 1 2; do
		kube_kubeconfig lamina | on $n node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	done
}

teardown_file()
{
	teardown_cluster
}

setup()
{
	local n
	# net1 alone, as eth0 of the pod: no other plugin runs.
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	for n in 1 2; do
		kube_put_node node-$n >/dev/null 2>&1 || true
		kube_renew_lease node-$n
	done
}

teardown()
{
	local n
	for n in 1 2; do
		at $n
		node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni/multus'
	done
	at 1
	etcd_ctl del --prefix /etcd-cni >/dev/null
	for n in 1 2; do
		kube_untaint node-$n || true
	done
	for n in db-0 db-1; do
		kube_delete_pod default $n >/dev/null 2>&1 || true
	done
}

# A pod of the API server with the fixed address, and its namespace on the current node. Usage: pod NAME NODE [FILTER]
pod()
{
	local uid
	uid=$(kube_put_pod default "$1" ".spec.nodeName = \"$2\" | .metadata.annotations[\"kube-ipam.ip\"] = \"10.188.0.218\" | ${3:-.}")
	new_pod "$1" "$1-$uid"
	pod_args default "$1" "$uid"
}

# The same and its ADD, which must work.
run_pod()
{
	pod "$@"
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
}

holder()
{
	etcd_dump | jq -r '.["/etcd-cni/networks/k8snet2/used/10.188.0.218"] // empty | (try fromjson catch {}) | .uid? // empty'
}

refused()
{
	cni ADD
	assert_code 11
	assert_msg "$1"
	assert_equal "$(holder)" "$2"
	refute_link eth0
}

@test "a pod that is deleted and made again keeps its address, also on another node" {
	at 1
	run_pod db-0 node-1
	cni DEL
	assert_ok
	pod_down db-0
	kube_delete_pod default db-0
	at 2
	run_pod db-0 node-2
	assert_equal "$(holder)" "${CID#db-0-}"
}

@test "a second pod with the address of one that runs waits, and is told who, where and since when" {
	at 1
	run_pod db-0 node-1
	at 2
	pod db-1 node-2
	refused '^address 10.188.0.218 is held by default/db-0 on node node-1 for [0-9]+[smh]: delete that pod first, .*`strategy: Recreate` or `maxSurge: 0`' \
		"$(on 1 holder)"
}

@test "a pod that is being deleted holds its address until it is gone" {
	at 1
	run_pod db-0 node-1
	kube_terminate_pod default db-0
	at 2
	pod db-1 node-2
	refused 'that pod is being deleted, and this one starts when it is gone' "$(on 1 holder)"
}

@test "a pod that has finished gives way once its interface is gone" {
	at 1
	run_pod db-0 node-1
	pod_down db-0
	kube_phase default db-0 Succeeded
	at 2
	run_pod db-1 node-2
	assert_equal "$(holder)" "${CID#db-1-}"
}

@test "a pod that was deleted by force, and whose interface still answers, does not give way" {
	local before
	at 1
	run_pod db-0 node-1
	before=$(holder)
	kube_delete_pod default db-0
	at 2
	pod db-0 node-2
	refused 'address 10.188.0.218 is in use on the wire: ([0-9a-f]{2}:){5}[0-9a-f]{2} answers for it' "$before"
	on 1 pod_down db-0
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
}

@test "who thinks that the address is elsewhere learns of a takeover at once" {
	at 1
	run_pod db-0 node-1
	switch_exec ping -c 1 -W 2 -q 10.188.0.218
	pod_down db-0
	kube_delete_pod default db-0
	at 2
	pod db-0 node-2
	wire_listen arp
	cni ADD
	assert_ok
	wire_heard | grep -q '10.188.0.218 tell 10.188.0.218'
	switch_exec ping -c 1 -W 2 -q 10.188.0.218
}

@test "a node that does not answer keeps its pods' addresses until somebody says that it is off" {
	at 1
	run_pod db-0 node-1
	pod_down db-0
	kube_delete_pod default db-0
	kube_renew_lease node-1 300
	at 2
	pod db-0 node-2
	refused 'its node does not answer and may still run it: if node-1 is off, run `kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`, or delete the Node' \
		"$(on 1 holder)"
	kube_taint node-1 node.kubernetes.io/out-of-service
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
}

# Its Lease is not over when the node controller gives it up, or the pod is deleted by force at once.
@test "a node that is unreachable keeps its pods' addresses, though its lease was renewed a moment ago" {
	at 1
	run_pod db-0 node-1
	pod_down db-0
	kube_delete_pod default db-0
	kube_taint node-1 node.kubernetes.io/unreachable
	at 2
	pod db-0 node-2
	kube_renew_lease node-1
	refused 'its node does not answer and may still run it: if node-1 is off' "$(on 1 holder)"
	kube_taint node-1 node.kubernetes.io/out-of-service
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
}

@test "a lease that is short is over when it says so" {
	at 1
	run_pod db-0 node-1
	pod_down db-0
	kube_delete_pod default db-0
	kube_renew_lease node-1 20
	jq -n '{spec: {leaseDurationSeconds: 10}}' | KUBE_TYPE=application/merge-patch+json kube_quietly PATCH "$KUBE_LEASES/node-1" -
	at 2
	pod db-0 node-2
	refused 'its node does not answer' "$(on 1 holder)"
	kube_renew_lease node-1
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
}

@test "a node that is gone from the API gives way, unless its name was a guess" {
	local before
	at 1
	run_pod db-0 node-1
	before=$(holder)
	pod_down db-0
	kube_delete_pod default db-0
	kube_delete_node node-1
	at 2
	pod db-0 node-2
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
	cni DEL
	# The same, of a node that has only its host's name: no API server was asked for the pod.
	at 1
	pod db-1 node-1
	CONF=$(jq '.capabilities = {"io.kubernetes.cri.pod-annotations": true}' <<<"$CONF") && annotations kube-ipam.ip 10.188.0.218
	node_exec rm -f /var/lib/cni/multus/node
	cni ADD
	assert_ok
	before=$(holder)
	pod_down db-1
	kube_delete_pod default db-1
	at 2
	pod_down db-0
	kube_delete_pod default db-0
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	pod db-0 node-2
	refused 'no Node is called node-1, which was only the host.s name: .*`lamina ip release 10.188.0.218` frees it' "$before"
}

@test "a new sandbox of the same pod on the same node replaces the old one, whose link goes first" {
	at 1
	run_pod db-0 node-1
	pod_up second
	CID=second POD=second
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
	POD=db-0 refute_link eth0
}

@test "a pod that was deleted by force and still runs on the same node keeps its interface" {
	local before
	at 1
	run_pod db-0 node-1
	before=$(holder)
	kube_delete_pod default db-0
	pod db-1 node-1
	refused 'address 10.188.0.218 is in use on the wire' "$before"
	POD=db-0
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
}

@test "an older sandbox's late DEL frees nothing" {
	local old
	at 1
	run_pod db-0 node-1
	old=$CID
	pod_up second
	CID=second POD=second
	cni ADD
	assert_ok
	CID=$old POD=db-0 cni DEL
	assert_ok
	assert_equal "$(holder)" "${old#db-0-}"
	etcd_dump | jq -e '.["/etcd-cni/networks/k8snet2/used/10.188.0.218"] | fromjson | .cid == "second"'
}

@test "without an API server nobody is taken over from, and the way out is named" {
	local before
	at 1
	conf_edit 'del(.delegates[0].ipam.kubeConfig) | .capabilities = {"io.kubernetes.cri.pod-annotations": true}'
	pod db-0 node-1
	annotations kube-ipam.ip 10.188.0.218
	cni ADD
	assert_ok
	before=$(holder)
	at 2
	pod db-1 node-2
	refused 'without an API server nobody can say whether that pod is gone: set ipam.kubeConfig, or run `lamina ip release 10.188.0.218`' "$before"
}

@test "pods of another cluster are never taken over from" {
	at 1
	CONF=$(jq '.cluster = "east"' <<<"$CONF")
	run_pod db-0 node-1
	pod_down db-0
	kube_delete_pod default db-0
	at 2
	CONF=$(jq '.cluster = "west"' <<<"$CONF")
	pod db-0 node-2
	refused 'of cluster east on node node-1 .*pods of another cluster are never replaced' "$(on 1 holder)"
}

@test "what kube-ipam wrote, or nobody knows, counts as held" {
	local value
	at 1
	pod db-0 node-1
	for value in 0123456789abcdef '{"v":99}' ''; do
		etcd_ctl put /etcd-cni/networks/k8snet2/used/10.188.0.218 "$value"
		refused 'address 10.188.0.218 is held by .*lamina ip import.*lamina ip release 10.188.0.218' ''
	done
}

@test "a missing right is named, and refuses" {
	local before
	at 1
	run_pod db-0 node-1
	before=$(holder)
	pod_down db-0
	kube_delete_pod default db-0
	at 2
	pod db-0 node-2
	CONF=$(jq '.capabilities = {"io.kubernetes.cri.pod-annotations": true}' <<<"$CONF") && annotations kube-ipam.ip 10.188.0.218
	kube_kubeconfig nobody | node_exec sh -c 'cat >/etc/kubernetes/ssl/nobody.kubeconfig'
	conf_edit '.delegates[0].ipam.kubeConfig = "/etc/kubernetes/ssl/nobody.kubeconfig"'
	refused 'is held, and whether by a living pod is not known: .*cannot get resource "pods"' "$before"
}

@test "conflictProbe always finds a machine that nobody recorded, and off asks nobody" {
	at 2
	node_exec ip addr add 10.188.0.218/16 dev eth0
	at 1
	pod db-0 node-1
	conf_edit '.conflictProbe = "always"'
	refused 'address 10.188.0.218 is in use on the wire' ''
	conf_edit '.conflictProbe = "off"'
	cni ADD
	assert_ok
	on 2 node_exec ip addr del 10.188.0.218/16 dev eth0
}

@test "with conflictProbe always, too, who answers keeps his record" {
	local before
	at 1
	run_pod db-0 node-1
	before=$(holder)
	kube_delete_pod default db-0
	at 2
	pod db-0 node-2
	conf_edit '.conflictProbe = "always"'
	refused 'address 10.188.0.218 is in use on the wire' "$before"
	on 1 pod_down db-0
	cni ADD
	assert_ok
	assert_equal "$(holder)" "${CID#db-0-}"
}

@test "with conflictProbe always an address that is free is given, and announced" {
	at 1
	conf_edit '.conflictProbe = "always"'
	pod db-0 node-1
	wire_listen arp
	cni ADD
	assert_ok
	wire_heard | grep -q '10.188.0.218 tell 10.188.0.218'
	switch_exec ping -c 1 -W 2 -q 10.188.0.218
	conf_edit 'del(.delegates[0].ipam.kubeConfig)'
}
