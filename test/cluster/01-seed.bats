#!/usr/bin/env bats
# A site's own configuration and manifests (test/lab/seed), byte for byte: its pods, their addresses and their traffic.
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
}

@test "1 the seed's configuration, alone in net.d, and its manifests: all pods run" {
	local node
	(cd "$SEED_FOLDER" && sha256sum --check --quiet) <<-END
		55011a5db381fe57d0bb9e4d741dd850e230c9583d5cde7b944c6ccbd3f0efab  10-multus.conf
		0b364d9c7031ebb59736c61861c655d8dedba85ab244cfc55098aef340b948fd  db.yaml
		8afd36c3a0d1d8138aab713b92913a73d1a85a8072788ea885cca4034a894aed  web.yaml
		fc418f1adfed34ffc009b1ccbda16ad177c3891c20cc37aada18e34ca48194c1  web-svc.yaml
		a8a087d64b3beeaf3f0207a4634c92caf34e9bbb9dd0c8092e0e65a3062c7041  web-ingress.yaml
	END
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

@test "2 names, addresses, mtu and routes inside of the pods are what the seed's configuration says" {
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

@test "1-4 and 6 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
