#!/usr/bin/env bats
# Moving from kube-ipam node by node, with pods running: the old plugins made them, lamina goes on.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

USED=/etcd-cni/networks/k8snet2/used
# Who may list pods; the node's own user may not.
OPERATOR=/etc/kubernetes/ssl/operator.kubeconfig

setup_file()
{
	local n
	setup_cluster 2
	kube_up
	for n in 1 2; do
		kube_kubeconfig lamina | on "$n" node_exec sh -c 'mkdir -p /etc/kubernetes/ssl; cat >/etc/kubernetes/ssl/kube.kubeconfig'
	done
	kube_kubeconfig operator | node_exec sh -c 'cat >"$1"' sh $OPERATOR
}

teardown_file()
{
	at 1
	kube_down
	teardown_cluster
}

setup()
{
	at 1
	CONF=$(cluster_conf)
}

teardown()
{
	local n name
	at 1
	for name in $(kube_api GET /api/v1/namespaces/default/pods | jq -r '.items[].metadata.name'); do
		kube_delete_pod default "$name"
	done
	etcd_ctl del --prefix /etcd-cni >/dev/null
	for n in 1 2; do
		on "$n" node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni'
	done
}

# Runs it and says what came of it: status, output, stderr.
person()
{
	run --separate-stderr lamina "$@"
}

# An ADD by the old plugins on a node. Usage: old_pod NODE NAME UID [ADDRESS]
old_pod()
{
	at "$1"
	new_pod "$2"
	pod_args default "$2" "$3"
	old_cni ADD ${4:+"$4/16"}
	at 1
	((status == 0)) || fail "the old plugins failed: $output"
}

listed()
{
	lamina ip ls --json | jq -r '.[] | "\(.address) \(.kind) \(.pod) \(.container) \(.interface) \(.node) \(.keptFor)"'
}

@test "ip import claims what kube-ipam's pods have, on the node that they are on" {
	local dynamic
	old_pod 1 web-1 uid-1
	dynamic=$(lamina ip ls --json | jq -r '.[0].address')
	old_pod 1 database-1-0 uid-2 10.188.0.217
	old_pod 2 database-2-0 uid-3 10.188.0.218
	person ip import
	assert_equal "$status/$stderr" 0/
	assert_equal "$(sort <<<"$output")" "$(
		cat <<-END
			imported $dynamic of network k8snet2: net1 of pod default/web-1, container web-1: dynamic
			imported 10.188.0.217 of network k8snet2: net1 of pod default/database-1-0, container database-1-0: fixed
		END
	)" || fail "$output"
	assert_equal "$(listed | sort)" "$(
		cat <<-END
			$dynamic dynamic web-1 web-1 net1 node-1 null
			10.188.0.217 fixed database-1-0 database-1-0 net1 node-1 default
		END
	)"
	person ip import --json
	assert_equal "$status/$(jq -c 'map(.result)' <<<"$output")" '0/["present","present"]'
}

@test "what the first ADD imports is under the name that the API server has for the node" {
	local uid
	old_pod 1 database-1-0 uid-1 10.188.0.217
	uid=$(kube_put_pod default web-1 '.spec.nodeName = "rack-7.example"')
	new_pod web-1
	pod_args default web-1 "$uid"
	cni ADD
	assert_ok
	assert_equal "$(etcd_dump | jq -r 'keys[] | select(test("/attachment/")) | split("/")[5] | "\(.)"' | sort -u)" rack-7.example
	lamina ip ls --json | jq -e 'map(.node) | unique == ["rack-7.example"]'
	cni DEL
	assert_ok
	etcd_dump | jq -e 'keys | map(select(test("/attachment/"))) | length == 1'
}

@test "a second pod does not get a fixed address that a pod of kube-ipam has" {
	old_pod 1 database-1-0 uid-1 10.188.0.217
	lamina ip import
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	annotations kube-ipam.ip 10.188.0.217
	kube_put_pod default database-1-0
	at 2
	new_pod thief
	pod_args default thief uid-9
	cni ADD
	at 1
	assert_code 11
	assert_msg 'held by default/database-1-0'
}

@test "lamina's DEL of an imported pod frees its address, and nothing of it is left" {
	old_pod 1 web-1 uid-1
	old_pod 1 database-1-0 uid-2 10.188.0.217
	lamina ip import
	POD=web-1 CID=web-1 cni DEL
	assert_ok
	POD=database-1-0 CID=database-1-0 cni DEL
	assert_ok
	lamina ip ls --json | jq -e 'map([.address, .kind]) == [["10.188.0.217", "kept"]]'
	assert_equal "$(etcd_dump | jq -r 'keys[] | select(test("/(used|attachment)/"))')" ''
}

@test "a DEL by lamina frees what ip export has given back to kube-ipam" {
	CONF=$(cluster_conf '.delegates = [.delegates[1]] | .capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations
	new_pod web-1
	pod_args default web-1 uid-1
	cni ADD
	assert_ok
	lamina ip export
	assert_equal "$(etcd_dump | jq -r 'to_entries | map(select(.key | test("/used/")) | .value) | join(" ")')" web-1
	cni DEL
	assert_ok
	etcd_dump | jq -e 'keys | map(select(test("/used/|/domain/|/attachment/"))) == []'
}

@test "ip import meets an address that another node's pod has: a conflict, named, and the rest is done" {
	old_pod 2 database-1-0 uid-1 10.188.0.217
	on 2 lamina ip import
	old_pod 1 database-2-0 uid-2 10.188.0.217
	old_pod 1 database-3-0 uid-3 10.188.0.219
	person ip import
	assert_equal "$status" 1
	[[ $output == *"conflict 10.188.0.217 of network k8snet2: net1 of pod default/database-2-0, container database-2-0: 10.188.0.217 is held by default/database-1-0 on node node-2"* ]]
	[[ $output == *"imported 10.188.0.219"* ]]
}

@test "ip import --from-api records every running pod's fixed address before a node is switched" {
	local uid
	uid=$(kube_put_pod default database-1-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.217" | .spec.nodeName = "node-2"')
	kube_put_pod default web-1
	kube_put_pod default over '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"'
	kube_phase default over Succeeded
	person ip import --from-api --kubeconfig $OPERATOR --dry-run
	assert_equal "$status" 0
	assert_equal "$(etcd_dump)" '{}'
	person ip import --from-api --kubeconfig $OPERATOR
	assert_equal "$status/$stderr" 0/
	assert_equal "$output" "imported 10.188.0.217 of network k8snet2: pod default/database-1-0 on node node-2"
	assert_equal "$(listed)" "10.188.0.217 fixed database-1-0 pod-$uid net1 node-2 default"
	# The node's own import replaces it by the container.
	old_pod 2 database-1-0 "$uid" 10.188.0.217
	on 2 person ip import
	assert_equal "$status" 0
	assert_equal "$(listed)" "10.188.0.217 fixed database-1-0 database-1-0 net1 node-2 default"
	assert_equal "$(etcd_dump | jq -r 'keys[] | select(test("/(attachment|domain)/")) | sub("/etcd-cni/"; "")' | sort | paste -sd' ')" \
		"domain/default/10.188.0.217 networks/k8snet2/attachment/node-2/database-1-0.net1"
	person ip import --from-api --kubeconfig $OPERATOR
	[[ $status == 0 && $output == "present 10.188.0.217 "* ]]
	at 2
	cni DEL
	at 1
	assert_ok
	assert_equal "$(listed)" "10.188.0.217 kept null null null null default"
}

@test "ip import --from-api names two running pods with one address, and what is no address of a network" {
	kube_put_pod default database-1-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.217" | .spec.nodeName = "node-1"'
	kube_put_pod default database-2-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.217, 10.188.0.220" | .spec.nodeName = "node-2"'
	kube_put_pod default elsewhere '.metadata.annotations["kube-ipam.ip"] = "10.9.0.1"'
	kube_put_pod default nonsense '.metadata.annotations["kube-ipam.ip"] = "nonsense"'
	person ip import --from-api --kubeconfig $OPERATOR
	assert_equal "$status" 1
	[[ $output == *"imported 10.188.0.217 of network k8snet2: pod default/database-1-0 on node node-1"* ]]
	[[ $output == *"conflict 10.188.0.217 of network k8snet2: pod default/database-2-0 on node node-2: 10.188.0.217 is held by default/database-1-0 on node node-1"* ]]
	[[ $output == *"skipped 10.9.0.1"*"pod default/elsewhere: no network of the configuration has it in a subnet"* ]]
	[[ $output == *"skipped nonsense"*"pod default/nonsense: kube-ipam.ip is no address"* ]]
	[[ $stderr == *"with a conflict, 2 skipped"* ]]
}
