#!/usr/bin/env bats
# What a person sees when an address cannot be had.
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

load cluster

setup_file()
{
	seed_up
}

teardown_file()
{
	kubectl delete pods --all --wait=false
	clean_up
}

# pod_with NAME ANNOTATION VALUE ...
pod_with()
{
	local name=$1
	shift
	jq -n --arg name "$name" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name, annotations:
		([$ARGS.positional | _nwise(2) | {key: .[0], value: .[1]}] | from_entries)},
		spec: {terminationGracePeriodSeconds: 1, containers: [{name: "c", image: "192.168.122.12:5000/db:v1.0"}]}}' \
		--args "$@" | kubectl apply --filename -
}

# Neither runs, and nothing of it is in the kernel.
refute_runs()
{
	[[ $(pod_get "$1" '{.status.phase}') == Pending ]]
	assert_equal "$(on_nodes node_addresses | sort)" "$(node_lamina node-1 ip ls --json | jq -r '.[] | select(.pod) | .address' | sort)"
	assert_equal "$(on_nodes node_addresses | wc -l)" 4
}

@test "9 a second pod with the address waits, saying why, and the first one keeps it" {
	local life mac node
	node=$(pod_get database-1-0 '{.spec.nodeName}')
	life=$(pod_get database-1-0 '{.metadata.uid}') mac=$(pod_mac database-1-0 net1)
	kubectl scale statefulset database-1 --replicas 2
	await_says database-1-1 "address 10\.188\.0\.218 is held by default/database-1-0 on node $node for [0-9]+s: delete that pod first, or give this one another address"
	refute_runs database-1-1
	assert_equal "$(pod_get database-1-0 '{.metadata.uid} {.status.phase}') $(pod_mac database-1-0 net1)" "$life Running $mac"
	assert_equal "$(pod_address database-1-0)" 10.188.0.218/16
	assert_equal "$(who_answers 10.188.0.218)" "$mac"
	kubectl scale statefulset database-1 --replicas 1
	await_ready app=database-1 1
	assert_equal "$(pod_get database-1-0 '{.metadata.uid}') $(pod_address database-1-0)" "$life 10.188.0.218/16"
	assert_records_true
}

@test "11 kubectl describe shows one sentence with the cause and the way out" {
	pod_with taken kube-ipam.ip 10.188.0.219
	pod_with outside kube-ipam.ip 10.189.0.1
	pod_with malformed kube-ipam.ip 10.188.0
	pod_with netmask kube-ipam.ip 10.188.0.220 kube-ipam.netmask 255.255.255.0
	await_says taken 'address 10\.188\.0\.219 is held by default/database-2-0 on node node-[123] for [0-9]+[smh].*: delete that pod first, or give this one another address'
	await_says outside 'kube-ipam\.ip.*10\.189\.0\.1.*10\.188\.0\.0/16'
	await_says malformed 'kube-ipam\.ip.*"10\.188\.0"'
	await_says netmask 'kube-ipam\.netmask is "255\.255\.255\.0", but .*subnet is 10\.188\.0\.0/16: leave the annotation out or make it 255\.255\.0\.0'
	for pod in taken outside malformed netmask; do
		refute_runs "$pod"
		# One line, no JSON, and nothing of it repeated.
		assert_equal "$(why "$pod" | wc -l)" 1
		assert_equal "$(why "$pod" | grep -cE '\{|"code"')" 0
		echo "# $(why "$pod" | sed 's/.*failed (add): //')" >&3
	done
	kubectl delete pod taken outside malformed netmask
	assert_records_true
}

@test "9 and 11 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
