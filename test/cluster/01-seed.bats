#!/usr/bin/env bats
# The seed's document, step by step, with its files as they are.
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
	on_nodes as_before
	clean_up
	assert_no_leak
}

@test "1 the seed's configuration, alone in net.d, and its manifests: all pods run" {
	local node file
	for file in "${SEED_FILES[@]}" 10-multus.conf; do
		cmp "$SEED_FOLDER/$file" "${SEED_ORIGINALS:-$SEED_FOLDER}/$file"
	done
	for node in "${KUBERNETES_NODES[@]}"; do
		assert_equal "$(machine_exec "$node" ls /etc/cni/net.d)" 10-multus.conf
		machine_exec "$node" cmp /etc/cni/net.d/10-multus.conf "$SEED_FOLDER/10-multus.conf"
	done
	seed_await
	assert_equal "$(kubectl get pods --output 'jsonpath={.items[*].status.phase}')" "Running Running Running Running"
	kubectl get ingress web-ingress
	assert_equal "$(failed_sandboxes)" ''
	assert_records_true
}

@test "2 names, addresses, mtu and routes inside of the pods are the document's" {
	point_interfaces
}

@test "3 the databases' traffic goes over net1 only, and Services answer" {
	point_traffic
}

@test "4 the address stays when pod, container, kubelet, containerd or node go and come" {
	point_stays
}

@test "6 rolling updates, and web from 2 to 60 pods and back: nothing fails, nothing leaks" {
	point_scale
	# Beside it, flannel alone.
	seed_down
	on_nodes only_flannel
	kubectl apply --filename "$SEED_FOLDER/web.yaml"
	await_ready app=web 2
	grow "with flannel alone"
	kubectl delete --filename "$SEED_FOLDER/web.yaml"
	await_gone app=web
	on_nodes as_before
}

only_flannel()
{
	jq '.delegates[0] + {cniVersion: "0.3.1"} | del(.masterplugin)' "$SEED_FOLDER/10-multus.conf" |
		machine_write "$1" /etc/cni/net.d/05-flannel.conf
}

as_before()
{
	machine_exec "$1" rm -f /etc/cni/net.d/05-flannel.conf
}
