#!/usr/bin/env bats
# The real multus with flannel, macvlan and kube-ipam's requests, on all nodes, is replaced by lamina.
# shellcheck disable=SC2016,SC2154
bats_require_minimum_version 1.5.0

load cluster
load points

setup_file()
{
	etcdctl del --prefix /etcd-cni >/dev/null
	on_nodes install_old
	seed_up
}

teardown_file()
{
	clean_up
}

install_old()
{
	machine_exec "$1" /var/lib/lamina/install/install.sh --uninstall
	machine_exec "$1" cp "$("$ROOM_LAB/parts.sh" --path multus)" /opt/cni/bin/multus-cni
	machine_exec "$1" cp "$ROOM_LAB/kubeipam.py" /opt/cni/bin/kube-ipam
}

# Of the seed's pods, whatever would show that one was touched: UID, restarts, address and MAC.
lives()
{
	local pod
	for pod in "$@"; do
		echo "$pod $(pod_life "$pod") $(pod_address "$pod") $(pod_mac "$pod" net1)"
	done
}

two_have_one()
{
	on_nodes node_addresses | sort | uniq -d
}

@test "10 multus and kube-ipam are replaced node by node under running pods: none restarts, none has another's address, all are recorded" {
	local node before replicas=2
	local -a names
	mapfile -t names < <(pods)
	before=$(lives "${names[@]}")
	# It is what kube-ipam leaves: container IDs for dynamic addresses, nothing for fixed ones.
	have_their_addresses
	assert_equal "$(etcdctl get --prefix --keys-only /etcd-cni/networks/k8snet2/used/ | grep -c .)" 2
	assert_equal "$(etcdctl get --prefix --keys-only /etcd-cni | grep -cE '10\.188\.0\.21[89]')" 0
	machine_exec node-1 "$LAMINA" ip import --from-api --kubeconfig "$ROOM/operator.kubeconfig"
	# From now on no switched node gives them away, wherever their pods are.
	assert_equal "$(machine_exec node-1 "$LAMINA" ip ls --json | jq -r '[.[] | select(.kind == "fixed") | "\(.address) \(.pod)"] | sort | join(" ")')" \
		"10.188.0.218 database-1-0 10.188.0.219 database-2-0"
	for node in "${KUBERNETES_NODES[@]}"; do
		cluster_install_node "$node" --imported
		node_lamina "$node" ip import
		assert_equal "$(lives "${names[@]}")" "$before"
		# More of them start, on nodes of either kind.
		replicas=$((replicas + 4))
		kubectl scale deployment web --replicas "$replicas"
		await_ready app=web "$replicas"
		assert_equal "$(two_have_one)" ''
	done
	assert_equal "$(lives "${names[@]}")" "$before"
	assert_records_true
	kubectl delete pod database-2-0
	await_ready app=database-2 1
	have_their_addresses
	kubectl scale deployment web --replicas 2
	until_true 60 are_ready app=web 2
	assert_records_true
}

@test "10 when all of it is deleted, nothing is left on any node or in etcd" {
	clean_up
	assert_no_leak
}
