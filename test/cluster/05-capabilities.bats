#!/usr/bin/env bats
# The runtime hands the annotations over: nodes need no kubeconfig, and ask the API server for nothing.
# shellcheck disable=SC2016,SC2154
bats_require_minimum_version 1.5.0

load cluster
load points

setup_file()
{
	on_nodes without_kubeconfig
	seed_up
}

teardown_file()
{
	clean_up
	on_nodes with_kubeconfig
}

without_kubeconfig()
{
	jq 'del(.delegates[1].ipam.kubeConfig) | .capabilities = {"io.kubernetes.cri.pod-annotations": true}' \
		"$SEED_FOLDER/10-multus.conf" | node_conf_write "$1"
	machine_exec "$1" mv /etc/kubernetes/ssl/kube.kubeconfig /etc/kubernetes/ssl/kube.kubeconfig.away
}

with_kubeconfig()
{
	node_conf_write "$1" <"$SEED_FOLDER/10-multus.conf"
	machine_exec "$1" mv /etc/kubernetes/ssl/kube.kubeconfig.away /etc/kubernetes/ssl/kube.kubeconfig
}

@test "7 with annotations from the runtime all of that holds, and no node's plugin asks the API server" {
	local before
	before=$(plugin_requests)
	# It counts: with the seed's configuration they have asked.
	((before > 0))
	assert_records_true
	point_interfaces
	point_traffic
	point_stays
	point_scale
	assert_equal "$(plugin_requests)" "$before"
}

@test "7 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
