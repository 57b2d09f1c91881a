#!/usr/bin/env bats
# Servers are away while pods start.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster
load points

setup_file()
{
	seed_up
}

teardown_file()
{
	clean_up
}

# Whatever a point has ended and has not started again.
teardown()
{
	local node
	[[ -e $ROOM/service/control.apiserver.pid ]] || start_apiserver
	for node in node-1 node-2; do
		[[ -e $ROOM/service/$node.etcd.pid ]] || machine_restart "$node" etcd
	done
	kubernetes_await "the store of addresses" 30 etcdctl endpoint health
}

# Where there are several of them, controller manager and scheduler end when they cannot renew their leadership. One that lives on takes all
# nodes for lost, in the first second, since it has not heard of them.
stop_apiserver()
{
	machine_stop control controller-manager KILL
	machine_stop control scheduler KILL
	machine_stop control apiserver KILL
}

start_apiserver()
{
	machine_restart control apiserver
	kubernetes_await "the API server" 60 kubernetes_ready
	machine_restart control controller-manager
	machine_restart control scheduler
}

restarts()
{
	pod_get "$1" '{.status.containerStatuses[0].restartCount}'
}

has_restarted()
{
	[[ $(restarts "$1") != "$2" ]] && pod_is_ready "$1"
}

# How many sandboxes have failed so far on a node, by what its containerd wrote.
failed_sandboxes_of()
{
	grep -c 'failed to setup network for sandbox' "$ROOM/log/$1.containerd" || true
}

more_failed()
{
	(($(failed_sandboxes_of "$1") > $2))
}

is_replaced()
{
	[[ $(pod_get "$1" '{.metadata.uid}') != "$2" ]] && pod_is_ready "$1"
}

@test "8 one etcd member is down: nobody waits" {
	local life
	machine_stop node-1 etcd KILL
	life=$(pod_get database-2-0 '{.metadata.uid}')
	kubectl delete pod database-2-0
	until_true 20 is_replaced database-2-0 "$life"
	have_their_addresses
	assert_records_true
	machine_restart node-1 etcd
}

@test "8 etcd has no quorum: a deleted database waits, and comes up with its address when it is back" {
	local life
	life=$(pod_get database-1-0 '{.metadata.uid}')
	machine_stop node-1 etcd KILL
	machine_stop node-2 etcd KILL
	kubectl delete pod database-1-0
	await_says database-1-0 'failed to setup network.*etcd.*192\.168\.122\.1[123]'
	assert_equal "$(pod_get database-1-0 '{.status.phase}')" Pending
	machine_restart node-1 etcd
	machine_restart node-2 etcd
	until_true 60 is_replaced database-1-0 "$life"
	have_their_addresses
	assert_records_true
}

# Last: the watches of kubelets, which wait longer and longer between their tries, are late for a while.
@test "8 the API server is down for a minute while pods restart: they wait, and get their addresses" {
	local one two node_one node_two failed_one failed_two before_one before_two end
	one=$(sandbox_of database-1-0) two=$(sandbox_of database-2-0)
	node_one=${one% *} node_two=${two% *}
	before_one=$(restarts database-1-0) before_two=$(restarts database-2-0)
	failed_one=$(failed_sandboxes_of "$node_one") failed_two=$(failed_sandboxes_of "$node_two")
	stop_apiserver
	end=$((SECONDS + 60))
	# shellcheck disable=SC2086 # node and container
	kill_sandbox $one && kill_sandbox $two
	until_true 30 more_failed "$node_one" "$failed_one"
	until_true 30 more_failed "$node_two" "$failed_two"
	# Nobody got a random address meanwhile.
	assert_equal "$(etcdctl get --prefix --keys-only /etcd-cni/networks/k8snet2/used/ | grep -c '10\.188\.0\.[0-9]')" 2
	while ((SECONDS < end)); do
		sleep 1
	done
	start_apiserver
	until_true 90 has_restarted database-1-0 "$before_one"
	until_true 90 has_restarted database-2-0 "$before_two"
	have_their_addresses
	seed_await
	assert_records_true
}

@test "8 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
