#!/usr/bin/env bats
# A node loses its power.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster

setup_file()
{
	seed_up
}

teardown_file()
{
	clean_up
}

node_is_lost()
{
	kubectl get node "$1" --no-headers | grep -q NotReady
}

@test "5 a database of a node without power waits for somebody's word, then starts elsewhere, and the node comes back in peace" {
	local life mac dead=node-2
	place database-1-0 "$dead"
	life=$(pod_get database-1-0 '{.metadata.uid}')
	machine_cut "$dead"
	until_true 60 node_is_lost "$dead"
	# Nothing moves by itself.
	assert_equal "$(pod_get database-1-0 '{.metadata.uid} {.spec.nodeName}')" "$life $dead"
	kubectl delete pod database-1-0 --force --grace-period 0
	await_says database-1-0 "address 10\.188\.0\.218 is held by default/database-1-0 on node $dead for [0-9]+[smh].*: that pod is gone, but its node does not answer and may still run it: if $dead is off, run .kubectl taint nodes $dead node\.kubernetes\.io/out-of-service=nodeshutdown:NoExecute., or delete the Node"
	assert_equal "$(pod_get database-1-0 '{.status.phase}')" Pending
	kubectl taint nodes "$dead" node.kubernetes.io/out-of-service=nodeshutdown:NoExecute
	until_true 60 pod_is_ready database-1-0
	assert_equal "$(pod_address database-1-0)" 10.188.0.218/16
	[[ $(pod_get database-1-0 '{.spec.nodeName}') != "$dead" ]]
	mac=$(pod_mac database-1-0 net1)

	kubernetes_node_up "$dead"
	kubernetes_await_node "$dead"
	kubectl taint nodes "$dead" node.kubernetes.io/out-of-service-
	until_true 60 node_is_back "$dead"
	# What the timer does: nobody else tells the node of a sandbox whose pod was deleted meanwhile.
	node_lamina "$dead" gc
	assert_equal "$(pod_address database-1-0) $(pod_mac database-1-0 net1)" "10.188.0.218/16 $mac"
	node_lamina "$dead" ip show 10.188.0.218 --json | jq -e --arg dead "$dead" '.[0] | .pod == "database-1-0" and .node != $dead' ||
		fail "$(node_lamina "$dead" ip show 10.188.0.218 --json)"
	assert_equal "$(who_answers 10.188.0.218)" "$mac"
	seed_await
	assert_records_true
}

node_is_back()
{
	! node_is_lost "$1"
}

@test "5 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
