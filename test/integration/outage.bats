#!/usr/bin/env bats
# etcd in trouble, as pods see it: members that die, hang or lie, no quorum, no room; requests and answers that are lost or late; and
# lamina killed at each step. No pod hangs, no address is lost or given twice.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	setup_cluster 1 3.5 --quota 20000000
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
}

teardown_file()
{
	teardown_cluster
}

setup()
{
	# net1 alone, as eth0 of the pod, and the runtime hands over the annotations.
	CONF=$(cluster_conf '.delegates = [.delegates[1]] | del(.delegates[0].ipam.kubeConfig)
		| .capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations kube-ipam.ip 10.188.0.218
	proxy_reset
	new_pod p1
	pod_args default db-0 uid-1
}

teardown()
{
	local n
	proxy_reset
	for n in 1 2 3; do
		if [[ -e $ETCD_DIR/$n.pid ]]; then
			etcd_cont $n
		else
			ETCD_WAIT=0 etcd_start $n
		fi
	done
	etcd_await 1 2 3
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni/multus'
	etcd_ctl del --prefix /etcd-cni >/dev/null
}

# All requests go through the proxy.
by_proxy()
{
	conf_edit '.delegates[0].ipam.etcdConfig.etcdURL = "https://192.168.122.11:3379"'
}

# What etcd holds, but for what is kept (fixed/<ip> and its domain/<domain>/<ip>) and for ways of lost requests that are closed.
held()
{
	etcd_dump | jq -c '. as $all | [to_entries[] | select((.key | test("/used/"))
		or ((.key | test("/attachment/")) and (.value | fromjson | .closed == null))
		or ((.key | test("/domain/")) and (.key | split("/")[-1] as $ip | $all["/etcd-cni/networks/k8snet2/fixed/" + $ip] == null)))
		| .key]'
}

assert_nothing_held()
{
	assert_equal "$(held)" '[]'
}

queued()
{
	node_exec sh -c 'ls /var/lib/cni/multus/outbox 2>/dev/null | wc -l'
}

# One life of the pod, which must work.
life()
{
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
	cni DEL
	assert_ok
	refute_link eth0
	assert_nothing_held
}

@test "any one member may be dead" {
	local n
	for n in 1 2 3; do
		etcd_kill $n
		life
		etcd_start $n
		etcd_await 1 2 3
	done
}

@test "any one member may accept connections and never answer" {
	local n
	for n in 1 2 3; do
		etcd_stop $n
		life
		etcd_cont $n
		etcd_await 1 2 3
	done
}

@test "without a quorum an ADD is code 11 and leaves nothing; with it again all works" {
	etcd_kill 2
	etcd_kill 3
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'etcd does not answer|no leader'
	refute_link eth0
	etcd_start 2
	etcd_await 1 2
	cni DEL
	assert_ok
	assert_equal "$(queued)" 0
	assert_nothing_held
	life
}

@test "without etcd a DEL succeeds: the link goes, the release is queued, and the next call sends it" {
	cni ADD
	assert_ok
	etcd_kill 2
	etcd_kill 3
	cni DEL
	assert_ok
	refute_link eth0
	assert_equal "$(queued)" 1
	cni DEL
	assert_ok
	etcd_start 2
	etcd_await 1 2
	new_pod p2
	pod_args default web-1 uid-2
	annotations
	cni ADD
	assert_ok
	assert_equal "$(queued)" 0
	cni DEL
	assert_ok
	assert_nothing_held
}

@test "a pod's next life finds its own queued release, and sends it first" {
	by_proxy
	cni ADD
	assert_ok
	# A member without a quorum may keep the release until it has one again.
	proxy_set fault cut-before
	cni DEL
	assert_ok
	assert_equal "$(queued)" 1
	proxy_reset
	new_pod p2
	pod_args default db-0 uid-2
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
	assert_equal "$(queued)" 0
}

@test "a queued release frees nothing of a later ADD of the same container" {
	by_proxy
	cni ADD
	assert_ok
	proxy_set fault cut-before
	cni DEL
	assert_ok
	assert_equal "$(queued)" 1
	cni ADD
	assert_code 11
	proxy_reset
	cni ADD
	assert_ok
	assert_equal "$(queued)" 0
	etcd_dump | jq -e '.["/etcd-cni/networks/k8snet2/used/10.188.0.218"] | fromjson | .cid == "p1"'
}

# bats test_tags=fault
@test "a release that is queued is of the node's name at its ADD" {
	cni ADD LAMINA_FAULT=etcd_after_claim:kill
	etcd_kill 2
	etcd_kill 3
	conf_edit '.nodeName = "rack-7.example"'
	cni DEL
	assert_ok
	assert_equal "$(queued)" 1
	etcd_start 2
	etcd_await 1 2
	new_pod p2
	pod_args default web-1 uid-2
	annotations
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(queued)" 0
	assert_nothing_held
}

@test "an ADD of kube-ipam that is repeated while etcd does not answer takes nothing from the pod" {
	local PLUGIN=kube-ipam
	by_proxy
	CONF=$(jq '.delegates[0] + {cniVersion: "1.0.0"}' <<<"$CONF" | jq '.capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations kube-ipam.ip 10.188.0.218
	cni ADD
	assert_ok
	proxy_set fault hang
	cni ADD
	assert_code 11
	proxy_reset
	assert_equal "$(queued)" 0
	cni ADD
	assert_ok
	assert_json '.ips[0].address == "10.188.0.218/16"'
	cni DEL
	assert_ok
	assert_nothing_held
}

@test "a DEL of kube-ipam goes to the store that its ADD went to" {
	local PLUGIN=kube-ipam
	CONF=$(jq '.delegates[0] + {cniVersion: "1.0.0"}' <<<"$CONF" | jq '.capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations kube-ipam.ip 10.188.0.218
	cni ADD
	assert_ok
	conf_edit 'del(.ipam.etcdConfig)'
	cni DEL
	assert_ok
	assert_nothing_held
}

@test "lamina gc sends what is queued" {
	cni ADD
	assert_ok
	etcd_kill 2
	etcd_kill 3
	cni DEL
	assert_ok
	assert_equal "$(queued)" 1
	etcd_start 2
	etcd_await 1 2
	node_conf <(cat <<<"$CONF") 10-multus.conf 2>/dev/null || node_conf - 10-multus.conf <<<"$CONF"
	lamina gc
	assert_equal "$(queued)" 0
	assert_nothing_held
}

@test "every reply dropped once: each request is sent again, and counts once" {
	by_proxy
	proxy_set fault cut-after-once
	life
	annotations
	cni ADD
	assert_ok
	assert_equal "$(etcd_dump | jq '[keys[] | select(test("/used/"))] | length')" 1
	cni DEL
	assert_ok
	assert_nothing_held
}

@test "an ADD whose request is held back until behind the DEL claims nothing" {
	by_proxy
	conf_edit '.timeout = 4'
	proxy_set fault hold
	proxy_set match 'POST /v3/kv/txn'
	cni ADD
	assert_code 11
	assert_equal "$(queued)" 1
	proxy_set times 0
	rm "$PROXY/control/fault"
	cni DEL
	assert_ok
	proxy_deliver
	node_conf - 10-multus.conf <<<"$CONF"
	lamina gc
	assert_equal "$(queued)" 0
	assert_nothing_held
	life
}

@test "killed with its request held back: DEL closes the way, and what arrives late claims nothing" {
	by_proxy
	proxy_set fault hold
	proxy_set match 'POST /v3/kv/txn'
	cni_start ADD
	proxy_await 1 held
	kill -KILL "$CNI_PID"
	cni_wait
	rm "$PROXY/control/fault"
	cni DEL
	assert_ok
	proxy_deliver
	assert_equal "$(etcd_dump | jq '[keys[] | select(test("/(used|domain|fixed)/"))] | length')" 0
}

@test "what answers nonsense is no etcd, and is no reason for a random address" {
	local fault
	by_proxy
	conf_edit '.timeout = 4'
	for fault in html garbage half-json huge hang 'status 500' 'status 404'; do
		proxy_set fault "$fault"
		cni ADD
		[[ $status != 0 ]]
		assert_json '.code == 6 or .code == 7 or .code == 11'
		refute_link eth0
		rm "$PROXY/control/fault"
		cni DEL
		assert_ok
		assert_nothing_held
		node_exec rm -rf /run/lamina
	done
	life
}

@test "without space an ADD says so and what to do, and a DEL gives the address back all the same" {
	cni ADD
	assert_ok
	etcd_fill
	cni DEL
	assert_ok
	assert_equal "$(queued)" 0
	assert_nothing_held
	new_pod p2
	cni ADD
	assert_code 11
	assert_msg 'NOSPACE.*etcdctl'
	cni DEL
	assert_ok
	etcd_drain
	assert_nothing_held
	life
}

@test "compaction changes nothing" {
	local revision
	cni ADD
	assert_ok
	revision=$(etcd_ctl get /etcd-cni -w json | jq -r .header.revision)
	etcd_ctl compact "$revision"
	conf_edit '.cniVersion = "0.4.0" | .prevResult = ($it | .cniVersion = "0.4.0")' --argjson it "$output"
	cni CHECK
	assert_ok
	cni DEL
	assert_ok
	assert_nothing_held
	life
}

# bats test_tags=fault
@test "lamina killed at each step of an ADD: DEL leaves nothing" {
	local point
	for point in record_first recorded etcd_before_claim etcd_after_claim claimed linked routed record_done; do
		cni ADD "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		refute_link eth0
		assert_equal "$(etcd_dump | jq '[keys[] | select(test("/(used|fixed|domain)/"))] | length')" 0
	done
	life
}

# bats test_tags=fault
@test "lamina killed at each step of a DEL: the next one leaves nothing" {
	local point
	for point in links_deleted before_release etcd_before_release etcd_after_release released unmade; do
		cni ADD
		assert_ok
		cni DEL "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		refute_link eth0
		assert_nothing_held
	done
	life
}

@test "a node whose name is not the host's is called by its own everywhere" {
	conf_edit '.nodeName = "rack-7.example"'
	cni ADD
	assert_ok
	etcd_dump | jq -e 'has("/etcd-cni/networks/k8snet2/attachment/rack-7.example/p1.eth0")'
	etcd_dump | jq -e '.["/etcd-cni/networks/k8snet2/used/10.188.0.218"] | fromjson | .node == "rack-7.example" and .nodeGuessed == null'
	cni DEL
	assert_ok
	assert_nothing_held
}

@test "kube-ipam's lock makes a claim wait, and no longer than it is held" {
	kube_ipam lock k8snet2 2 &
	sleep 0.5
	cni ADD
	wait
	assert_ok
}
