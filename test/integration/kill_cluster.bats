#!/usr/bin/env bats
# kill -9 at each step of the seed's whole pod, with flannel, etcd and the API server, and of kube-ipam alone: what comes next leaves
# nothing behind, on the node or in etcd.
# Builds: asan
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	setup_cluster 1
	setup_kube
}

teardown_file()
{
	kube_down
	teardown_cluster
}

setup()
{
	local uid
	CONF=$(cluster_conf)
	new_pod p1
	uid=$(kube_put_pod default db-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"')
	pod_args default db-0 "$uid"
}

teardown()
{
	kube_delete_pod default db-0
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni'
	etcd_ctl del --prefix /etcd-cni/ >/dev/null
}

# Ways of lost requests that are closed may stay until GC, and so may, behind a DEL, whose the address is.
assert_nothing_left()
{
	refute_link eth0
	refute_link net1
	assert_equal "$(node_exec ip -j link show type macvlan)" '[]'
	assert_equal "$(node_exec ip -br link show type veth | grep -v ^eth0)" ''
	assert_equal "$(etcd_dump | jq -c --arg kept "$1" '[to_entries[] | select((.key | test("/used/")) or ($kept == "" and (.key | test("/(fixed|domain)/")))
		or ((.key | test("/attachment/")) and (.value | fromjson | .closed == null))) | .key]')" '[]'
	assert_equal "$(node_exec find /var/lib/cni -type f ! -name 'last_reserved_ip.*' ! -name lock ! -name imported ! -name node)" ''
}

# bats test_tags=fault
@test "the seed's pod, killed at each step of its ADD: DEL leaves nothing" {
	local point
	for point in record_first recorded started learned etcd_before_claim etcd_after_claim claimed linked routed record_done; do
		echo "at $point:"
		cni ADD "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_nothing_left ''
	done
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
}

# bats test_tags=fault
@test "the seed's pod, killed at each step of its DEL: the next one leaves nothing" {
	local point
	for point in links_deleted before_release etcd_before_release etcd_after_release released unmade; do
		echo "at $point:"
		cni ADD
		assert_ok
		cni DEL "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_nothing_left kept
	done
}

# bats test_tags=fault
@test "kube-ipam, killed at each step of its ADD and its DEL: the next DEL leaves nothing" {
	local point
	PLUGIN=kube-ipam
	CONF=$(cluster_conf '.delegates[1] + {cniVersion: "0.3.1"}')
	for point in record_first etcd_before_claim etcd_after_claim claimed record_done; do
		echo "ADD at $point:"
		cni ADD "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_nothing_left ''
	done
	for point in before_release etcd_before_release etcd_after_release released; do
		echo "DEL at $point:"
		cni ADD
		assert_ok
		cni DEL "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_nothing_left kept
	done
}
