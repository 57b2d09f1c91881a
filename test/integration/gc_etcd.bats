#!/usr/bin/env bats
# GC, STATUS and lamina gc where etcd keeps the addresses.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	setup_cluster 1 3.5
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
}

teardown_file()
{
	teardown_cluster
}

setup()
{
	STATE=/var/lib/cni/multus
	CONF=$(cluster_conf '.cniVersion = "1.1.0" | .delegates = [.delegates[1]] | del(.delegates[0].ipam.kubeConfig)
		| .delegates[0].ipam.etcdConfig.etcdURL = "https://192.168.122.11:3379"
		| .capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	node_conf - 10-multus.conf <<<"$CONF"
	pod_args default web-1 uid-1
	annotations
	proxy_reset
	new_pod other
	new_pod pod
}

teardown()
{
	proxy_reset
	node_exec sh -c 'ip -all netns delete; rm -rf /var/lib/cni/multus /run/lamina'
	etcd_ctl del --prefix /etcd-cni >/dev/null
}

# gc VALID: GC as libcni calls it, with that list.
gc()
{
	local CONF=$CONF
	conf_edit 'del(.runtimeConfig) | ."cni.dev/valid-attachments" = $it' --argjson it "$1"
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
}

# collect: lamina gc, the second pass at once.
collect()
{
	run --separate-stderr node_exec env LAMINA_GC_WAIT=0 /opt/cni/bin/lamina gc --json
	echo "gc: $status" "$output" "$stderr"
	found=$(jq -r '.[] | "\(.what) \(.container) \(.why): \(.result)"' <<<"$output")
}

add()
{
	POD=$1 CID=$1 cni ADD
	assert_ok
}

# The containers that etcd has addresses for, on one line.
held()
{
	etcd_dump | jq -r '[to_entries[] | select(.key | test("/used/")) | .value | (try fromjson catch {cid: .}) | .cid] | sort | join(" ")'
}

@test "GC gives back what is not listed, by its record and by etcd's word alone [check 55, 56]" {
	add pod
	add other
	gc '[{"containerID": "pod", "ifname": "eth0"}]'
	assert_ok
	assert_equal "$(held)" pod
	node_exec rm "$STATE/pod"
	gc '[{"containerID": "pod", "ifname": "eth0"}]'
	assert_ok
	assert_equal "$(held)" pod
	gc null
	assert_ok
	assert_equal "$(etcd_dump | jq -c 'keys')" '[]'
}

@test "GC leaves what other nodes hold, and what an import has written for a pod whose container is not known" {
	local key value
	add pod
	CONF=$(jq '.nodeName = "node-2"' <<<"$CONF") add other
	node_exec rm -r "$STATE"
	# As if the import had written it.
	while IFS=$'\t' read -r key value; do
		etcd_ctl del "$key" >/dev/null
		etcd_ctl put "${key/\/pod./\/pod-uid-1.}" "$(jq -c 'if .cid == "pod" then .cid = "pod-uid-1" else . end' <<<"$value")" >/dev/null
	done < <(etcd_dump | jq -r 'to_entries[] | select((.key | contains("/attachment/node-1/")) or (.value | tostring | contains("\"cid\":\"pod\"")))
		| "\(.key)\t\(.value)"')
	assert_equal "$(held)" "other pod-uid-1"
	gc '[]'
	assert_ok
	collect
	collect
	assert_equal "$status/$output" "0/[]"
	assert_equal "$(held)" "other pod-uid-1"
}

@test "without etcd GC takes the links down and queues the releases; lamina gc sends them when it is back" {
	add pod
	proxy_set fault cut-before
	gc '[]'
	# What etcd has beside that could not be seen.
	assert_code 11
	assert_msg 'network k8snet2'
	refute_link eth0
	assert_equal "$(node_exec find "$STATE" -type f ! -name imported | sed 's|[^/]*$||')" "$STATE/outbox/"
	assert_equal "$(held)" pod
	run --separate-stderr node_exec /opt/cni/bin/lamina gc --json
	assert_equal "$status" 1
	assert_equal "$(jq -r '.[] | select(.what == "release") | "\(.container) \(.result)"' <<<"$output")" "pod failed"
	proxy_reset
	collect
	assert_equal "$status/$(grep release <<<"$found")" "0/release pod queued: collected"
	assert_equal "$(held)" ""
	collect
	assert_equal "$status/$output" "0/[]"
}

@test "GC without a list sends what is queued, and nothing else" {
	add pod
	add other
	proxy_set fault cut-before
	cni DEL
	assert_ok
	proxy_reset
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
	assert_ok
	assert_equal "$(held)" other
}

# bats test_tags=fault
@test "an address that etcd has and no record names goes in the second pass of lamina gc, unless its namespace is there" {
	add pod
	add other
	node_exec rm "$STATE/pod"
	collect
	assert_equal "$status/$output" "0/[]"
	pod_down pod
	collect
	assert_equal "$status/$found" "0/address pod no record: waiting"
	assert_equal "$(held)" "other pod"
	collect
	assert_equal "$status/$found" "0/address pod no record: collected"
	assert_equal "$(held)" other
}

# bats test_tags=fault
@test "lamina gc finds the cluster of a lease of kube-ipam's, though its configuration is another plugin's" {
	PLUGIN=kube-ipam
	CONF=$(jq '.delegates[0] + {name: "elsewhere", cniVersion: "1.1.0", capabilities, runtimeConfig}' <<<"$CONF")
	add pod
	assert_equal "$(held)" pod
	pod_down pod
	collect
	collect
	assert_equal "$status/$found" "0/lease pod namespace gone: collected"
	assert_equal "$(held)" ""
}

# bats test_tags=fault
@test "a network that the configuration only names is known to lamina ip and lamina gc by what is cached of it" {
	jq '.delegates[0]' <<<"$CONF" | node_exec sh -c 'mkdir -p /etc/cni/multus/net.d && cat >/etc/cni/multus/net.d/net.conf'
	conf_edit 'del(.delegates) | .clusterNetwork = "/etc/cni/multus/net.d/net.conf"'
	node_conf - 10-multus.conf <<<"$CONF"
	add pod
	add other
	lamina ip ls --json | jq -e 'map(.container) | sort == ["other", "pod"]'
	node_exec sh -c "ip netns delete pod; rm $STATE/pod $STATE/results/*-pod-*"
	collect
	collect
	assert_equal "$(held)" other
	node_exec sh -c "rm $STATE/other $STATE/results/*-other-*; ip netns delete other"
	gc '[]'
	assert_ok
	assert_equal "$(held)" ''
	node_exec rm -r /etc/cni/multus/net.d
}

@test "a DEL without record releases what etcd has of its container, of a network that only other pods' answers name" {
	jq '.delegates[0]' <<<"$CONF" | node_exec sh -c 'mkdir -p /etc/cni/multus/net.d && cat >/etc/cni/multus/net.d/net.conf'
	conf_edit 'del(.delegates) | .clusterNetwork = "/etc/cni/multus/net.d/net.conf"'
	add pod
	add other
	node_exec sh -c "rm $STATE/pod $STATE/results/*-pod-*"
	conf_edit 'del(.clusterNetwork) | .delegates = [{name: "elsewhere", type: "bridge"}]'
	POD=pod CID=pod cni DEL
	assert_ok
	assert_equal "$(held)" other
	node_exec rm -r /etc/cni/multus/net.d
}

@test "a cached network that cannot be understood any more is left out by lamina ip with a word" {
	local cached

	add pod
	node_conf - 10-multus.conf <<<'{"name": "other", "type": "lamina", "delegates": [{"name": "eth", "type": "bridge"}]}'
	cached=$(node_exec sh -c "ls $STATE/results/*-pod-*")
	node_exec jq -c '.config |= (@base64d | fromjson | .ipam.subnet = "none" | tojson | @base64)' "$cached" | node_exec tee "$cached.new" >/dev/null
	node_exec mv "$cached.new" "$cached"
	run --separate-stderr lamina ip ls --json
	assert_equal "$status/$output" '0/[]'
	[[ $stderr == "lamina: network "*" is left out: ipam.subnet is none: "* ]]
}

# The list has code 50 here. Decided otherwise: an election, or etcd's end, would make every node NotReady, though pods start.
@test "STATUS is success without etcd, which is not asked: the opposite of the list's code 50, by decision [check 53]" {
	proxy_set fault hang
	cni STATUS CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
	assert_ok
	assert_equal "$(proxy_count)" 0
}
