#!/usr/bin/env bats
# A node goes from multus, macvlan and kube-ipam to lamina, and back, with pods running: by its files being copied, and nothing else.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	setup_cluster 2
	setup_kube
}

teardown_file()
{
	at 1
	kube_down
	teardown_cluster
}

setup()
{
	local n
	at 1
	CONF=$(cluster_conf)
	for n in 1 2; do
		kube_renew_lease node-$n
	done
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
		on "$n" node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni; rm -f /etc/lamina/defaults.json'
	done
}

# A pod of the API server and its namespace on a node, which is the current one from then on; sets POD, CID, ARGS.
# Usage: make_pod NODE NAME [ADDRESS]
make_pod()
{
	local uid
	at "$1"
	uid=$(kube_put_pod default "$2" ".spec.nodeName = \"node-$1\"${3:+ | .metadata.annotations[\"kube-ipam.ip\"] = \"$3\"}")
	new_pod "$2"
	pod_args default "$2" "$uid"
}

# The same and its ADD by the old plugins.
old_pod()
{
	make_pod "$@"
	old_cni ADD ${3:+"$3/16"}
	((status == 0)) || fail "the old plugins failed: $output"
}

# As the kubelet would call for one of the pods that run already.
of_pod()
{
	POD=$1 CID=$1
	pod_args default "$1" "$(kube_api GET "/api/v1/namespaces/default/pods/$1" | jq -r .metadata.uid)"
}

used()
{
	etcd_dump | jq -c '[to_entries[] | select(.key | test("/used/"))
		| [(.key | split("/")[-1]), (.value | (try fromjson catch null) as $r | if ($r | type) == "object" then $r.pod else . end)]] | sort'
}

address()
{
	pod_addrs net1 | sed 's|/.*||'
}

@test "CHECK of an old pod is content after the switch, and notices that its address is gone" {
	old_pod 1 web-1
	conf_edit '.cniVersion = "0.4.0" | .prevResult = ($it | .cniVersion = "0.4.0")' --argjson it "$output"
	cni CHECK
	assert_ok
	pod_exec "$POD" ip addr flush dev net1
	cni CHECK
	assert_code 5
	assert_msg 'net1.*the address .* is missing'
	cni DEL
	assert_ok
}

@test "the first ADD on a node that was switched records its old pods; a second pod with a fixed address of theirs is refused; DEL frees all" {
	local dynamic
	old_pod 1 web-1
	dynamic=$(address)
	old_pod 1 database-1-0 10.188.0.217
	assert_equal "$(used)" "[[\"$dynamic\",\"web-1\"]]"

	# Lamina's first call on this node.
	make_pod 1 web-2
	cni ADD
	assert_ok
	assert_equal "$(used)" "$(jq -nc --arg web "$dynamic" --arg new "$(address)" \
		'[[$web, "web-1"], [$new, "web-2"], ["10.188.0.217", "database-1-0"]] | sort')"
	[[ $(address) != "$dynamic" ]]
	node_exec test -e /var/lib/cni/multus/imported

	make_pod 1 thief 10.188.0.217
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.217 is held by default/database-1-0 on node node-1'
	make_pod 2 thief-2 10.188.0.217
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.217 is held by default/database-1-0 on node node-1'

	at 1
	for pod in database-1-0 web-1 web-2; do
		of_pod $pod
		cni DEL
		assert_ok
		refute_link net1
		refute_link eth0
	done
	assert_equal "$(used)" '[]'
	assert_equal "$(etcd_dump | jq -c '[keys[] | select(test("/attachment/"))]')" '[]'
	run ! node_exec sh -c 'ls /var/lib/cni/multus/web-1 /var/lib/cni/multus/database-1-0 2>/dev/null'
	# The address is the namespace's still: the pod's next life has it.
	kube_delete_pod default database-1-0
	make_pod 2 database-1-0 10.188.0.217
	cni ADD
	assert_ok
	assert_equal "$(address)" 10.188.0.217
}

@test "without etcd the first ADD waits, rather than take a living pod's address" {
	old_pod 1 database-1-0 10.188.0.217
	etcd_kill 2
	etcd_kill 3
	make_pod 1 web-2
	conf_edit '.timeout = 4'
	cni ADD
	etcd_start 2
	etcd_start 3
	assert_code 11
	run ! node_exec test -e /var/lib/cni/multus/imported
	CONF=$(cluster_conf)
	cni ADD
	assert_ok
	[[ $(used) == *'"10.188.0.217","database-1-0"'* ]]
}

@test "dynamic addresses of old nodes and of lamina's do not collide, also at the same time" {
	local n
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	at 2
	for n in 1 2 3 4 5 6; do
		kube_ipam add k8snet2 "old-$n" 10.188.0.0/16,10.188.0.10,10.188.0.21,10.188.0.1 >"$BATS_TEST_TMPDIR/old-$n"
	done &
	at 1
	ARGS=
	conf_edit '.delegates[0].ipam |= (.rangeStart = "10.188.0.10" | .rangeEnd = "10.188.0.21")'
	for n in 1 2 3 4 5 6; do
		new_pod "new-$n"
		cni ADD
		assert_ok
		pod_addrs eth0 | sed 's|/.*||' >"$BATS_TEST_TMPDIR/new-$n"
	done
	wait
	# Twelve pods, and the twelve addresses that there are.
	assert_equal "$(cat "$BATS_TEST_TMPDIR"/old-? "$BATS_TEST_TMPDIR"/new-? | sort -u | wc -l)" 12
	assert_equal "$(used | jq length)" 12
}

@test "an address that is kept, and that an old node has given out, counts as taken until it is free" {
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	make_pod 1 database-1-0 10.188.0.10
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	pod_down database-1-0
	kube_delete_pod default database-1-0
	assert_equal "$(on 2 kube_ipam add k8snet2 old-1 10.188.0.0/16,10.188.0.10,10.188.0.20,10.188.0.1)" 10.188.0.10

	make_pod 1 database-1-0 10.188.0.10
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.10 is held by .*lamina ip import'
	on 2 kube_ipam del k8snet2 old-1
	cni ADD
	assert_ok
}

@test "a fixed address that an old node gives out a second time is found by conflictProbe always" {
	CONF=$(cluster_conf '.delegates = [.delegates[1]]')
	node_exec sh -c 'mkdir -p /etc/lamina && echo "{\"conflictProbe\": \"always\"}" >/etc/lamina/defaults.json'
	CONF=$(cluster_conf) old_pod 2 database-2-0 10.188.0.218
	# Nothing in etcd says so.
	assert_equal "$(used)" '[]'
	CONF=$(cluster_conf)
	make_pod 1 database-1-0 10.188.0.218
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.218 is in use on the wire: ([0-9a-f]{2}:){5}[0-9a-f]{2} answers for it'
	assert_equal "$(used)" '[]'
	refute_link net1
	refute_link eth0
}

@test "going back: after ip export multus and kube-ipam delete lamina's pods, and find nothing missing" {
	local dynamic
	make_pod 1 web-1
	cni ADD
	assert_ok
	dynamic=$(address)
	make_pod 1 database-1-0 10.188.0.217
	cni ADD
	assert_ok
	run --separate-stderr lamina ip export
	assert_equal "$status" 0
	assert_equal "$(etcd_dump | jq -r --arg key "/etcd-cni/networks/k8snet2/used/$dynamic" '.[$key]')" web-1

	# An old node's next pod does not get it.
	old_pod 2 web-2
	[[ $(address) != "$dynamic" ]]
	at 1
	of_pod web-1
	old_cni DEL
	((status == 0))
	refute_link net1
	refute_link eth0
	of_pod database-1-0
	old_cni DEL 10.188.0.217/16
	((status == 0))
	refute_link net1
	[[ $(used) != *"\"$dynamic\""* ]]
}

@test "going back by multus alone: the link kube-ipam stays on lamina, which frees what it gave out" {
	local dynamic
	make_pod 1 web-1
	cni ADD
	assert_ok
	dynamic=$(address)
	old_install
	node_exec sh -c 'rm /opt/cni/old/kube-ipam && cp /opt/cni/bin/lamina /opt/cni/old/kube-ipam'
	old_cni DEL
	node_exec rm -rf /opt/cni/old
	((status == 0))
	refute_link net1
	assert_equal "$(used)" '[]'
	# Nor is a way into the address left behind.
	assert_equal "$(etcd_dump | jq -c '[keys[] | select(test("/attachment/"))]')" '[]'
}

@test "going forth with kube-ipam switched before multus: DEL frees what lamina gave out as that, and forgets it" {
	make_pod 1 web-1
	old_install
	node_exec sh -c 'rm /opt/cni/old/kube-ipam && cp /opt/cni/bin/lamina /opt/cni/old/kube-ipam'
	old_cni ADD
	node_exec rm -rf /opt/cni/old
	((status == 0))
	assert_equal "$(used)" "[[\"$(address)\",\"web-1\"]]"
	node_exec test -e /var/lib/cni/multus/lease/web-1.net1
	cni DEL
	assert_ok
	refute_link net1
	assert_equal "$(used)" '[]'
	assert_equal "$(node_exec ls /var/lib/cni/multus/lease)" ''
}
