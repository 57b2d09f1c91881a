#!/usr/bin/env bats
# A pod's `default-route`, with a real API server and the real plugins: whose gateway is the pod's, what else it had, and what CHECK says.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

# Where the next dynamic address is looked for, and which were released of late.
SNAPSHOT_IGNORE='INTO (cursor|released) '

# Somebody who is not in the pods' subnets, behind the gateway of the macvlans.
OUTSIDE=198.51.100.1
SERVICE=10.96.0.10

setup_file()
{
	networks_up
	switch_exec ip -batch - <<-END
		addr add $OUTSIDE/32 dev lo
		addr add 10.7.0.1/16 dev br0
	END
	# A plugin's own default route, in either family.
	kube_put_nad db plain '{"cniVersion": "1.0.0", "name": "plain-conf", "type": "bridge", "bridge": "br-plain", "ipam": {"type": "static",
		"addresses": [{"address": "10.9.0.5/24", "gateway": "10.9.0.1"}, {"address": "fd00:9::5/64", "gateway": "fd00:9::1"}],
		"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.55.0.0/16", "gw": "10.9.0.77"}]}}'
	kube_put_nad db pair '{"cniVersion": "1.0.0", "type": "ptp", "ipam": {"type": "host-local",
		"ranges": [[{"subnet": "10.11.0.0/24"}], [{"subnet": "fd00:11::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}'
	kube_put_nad default vlan7 '{"cniVersion": "1.0.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "kube-ipam",
		"subnet": "10.7.0.0/16", "rangeStart": "10.7.0.10", "rangeEnd": "10.7.0.20", "gateway": "10.7.0.1",
		"routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.56.0.0/16"}]}}'
	kube_put_nad default vlan8 '{"cniVersion": "1.0.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local",
		"ranges": [[{"subnet": "10.8.0.0/24", "gateway": "10.8.0.1"}], [{"subnet": "fd00:8::/64"}]],
		"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}'
}

teardown_file()
{
	teardown_node
}

setup()
{
	networks_setup
}

teardown()
{
	networks_teardown
}

# What the kernel goes by: all default routes of the main table, IPv4 before IPv6.
defaults()
{
	{ pod_routes main && pod_routes main -6; } | grep '^default' || true
}

# route_to ADDR: the interface and gateway of a packet whose sender nobody has bound.
route_to()
{
	node_exec ip -n "$POD" -j route get "$1" | jq -r '.[0] | "\(.gateway) \(.dev)"'
}

# cached IF: the routes of its cached result, in whatever version its network has.
cached()
{
	node_exec sh -c "cat /var/lib/cni/multus/results/*-$CID-$1" | jq -c '[.result | (.routes, .ip4.routes, .ip6.routes)[]? | [.dst, .gw]]'
}

# check: CHECK with what ADD answered.
check()
{
	local CONF=$CONF
	conf_edit '.cniVersion = "1.0.0" | .prevResult = ($it | .cniVersion = "1.0.0")' --argjson it "$ADDED"
	cni CHECK
}

# add NETWORKS: a pod with that annotation, added.
add()
{
	networks_pod "$1"
	cni ADD
	assert_ok
	ADDED=$output
}

# The default network in both families, as a plugin of today makes it.
dual_stack_default_network()
{
	conf_edit '.cniVersion = "1.0.0" | .delegates[0] = {cniVersion: "1.0.0", name: "dual", type: "bridge", bridge: "br-plain", ipam: {type: "static",
		addresses: [{address: "10.1.0.5/24", gateway: "10.1.0.1"}, {address: "fd00:1::5/64", gateway: "fd00:1::1"}],
		routes: [{dst: "0.0.0.0/0"}, {dst: "::/0"}]}}'
}

@test "without default-route the pod's default stays with its default network" {
	add 'vlan7, vlan8'
	assert_equal "$(defaults)" 'default via 10.244.1.1 dev eth0'
	assert_equal "$(route_to $SERVICE)" '10.244.1.1 eth0'
	pod_ping 10.244.1.1
	check
	assert_ok
}

@test "an IPv4 gateway takes eth0's place, and nothing else does" {
	add '[{"name": "plain", "namespace": "db", "default-route": ["10.9.0.254"]}, {"name": "vlan7"}]'
	# The bridge's own IPv6 default route is of a family that nobody asked for.
	assert_equal "$(defaults)" $'default via 10.9.0.254 dev net2\ndefault via fd00:9::1 dev net2 metric 1024 pref medium'
	assert_equal "$(route_to $SERVICE)" '10.9.0.254 net2'
	assert_equal "$(route_to 10.244.2.9)" '10.244.1.1 eth0'
	assert_equal "$(route_to 10.55.0.1)" '10.9.0.77 net2'
	assert_equal "$(route_to 10.56.0.1)" '10.7.0.1 net3'
	# What was installed is what is told.
	assert_json '[.routes[].dst] | index("0.0.0.0/0") == null and index("10.244.0.0/16") != null'
	assert_equal "$(cached eth0)" '[["10.244.0.0/16",null]]'
	assert_equal "$(cached net2)" '[["::/0",null],["10.55.0.0/16","10.9.0.77"],["0.0.0.0/0","10.9.0.254"]]'
	check
	assert_ok
	cni DEL
	assert_ok
	refute_link net2
}

@test "an IPv6 gateway takes eth0's place in its family only" {
	dual_stack_default_network
	add '[{"name": "vlan8", "default-route": ["fd00:8::254"]}]'
	assert_equal "$(defaults)" $'default via 10.1.0.1 dev eth0\ndefault via fd00:8::254 dev net2 metric 1024 pref medium'
	assert_equal "$(cached eth0)" '[["0.0.0.0/0",null]]'
	check
	assert_ok
}

@test "two gateways take both families, each from a network of its own" {
	dual_stack_default_network
	add '[{"name": "vlan8", "default-route": ["fd00:8::254"]}, {"name": "vlan7", "default-route": ["10.7.0.254"]}]'
	assert_equal "$(defaults)" $'default via 10.7.0.254 dev net3\ndefault via fd00:8::254 dev net2 metric 1024 pref medium'
	assert_equal "$(cached eth0)" '[]'
	check
	assert_ok
	cni DEL
	add '[{"name": "vlan8", "default-route": ["fd00:8::254", "10.8.0.254"]}]'
	assert_equal "$(defaults)" $'default via 10.8.0.254 dev net2\ndefault via fd00:8::254 dev net2 metric 1024 pref medium'
	check
	assert_ok
}

@test "an empty list keeps what the plugins do" {
	add '[{"name": "plain", "namespace": "db"}]'
	without=$(defaults)
	cni DEL
	add '[{"name": "plain", "namespace": "db", "default-route": []}]'
	assert_equal "$(defaults)" "$without"
	[[ $without == *'default via 10.244.1.1 dev eth0'* ]]
	check
	assert_ok
}

@test "a macvlan that has the pod's gateway needs no table of its own, others keep theirs" {
	add '[{"name": "vlan7", "default-route": ["10.7.0.1"]}, {"name": "vlan8"}]'
	assert_equal "$(defaults)" 'default via 10.7.0.1 dev net2'
	assert_equal "$(pod_rules | grep -c 10.7.0)" 0
	assert_equal "$(pod_routes 102)" ''
	assert_equal "$(pod_rules | grep -c 'from 10.8.0.*lookup 103')" 2
	[[ $(pod_routes 103) == *'default via 10.8.0.1 dev net3'* ]]
	check
	assert_ok
	# Packets to outside leave by it, and answers come back.
	wire_listen "icmp and host $OUTSIDE"
	pod_ping $OUTSIDE
	wire_heard | grep -F "$(pod_link net2 | jq -r .address) >"
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ''
}

@test "plugins behind the network that has the gateway do not take it away" {
	add '[{"name": "vlan7", "default-route": ["10.7.0.1"]}, {"name": "plain", "namespace": "db"}, {"name": "pair", "namespace": "db"}]'
	assert_equal "$(pod_routes | grep default)" 'default via 10.7.0.1 dev net2'
	for name in net3 net4; do
		cached $name | jq -e 'all(.[0] != "0.0.0.0/0") and any(.[0] == "::/0")'
	done
	check
	assert_ok
}

@test "the network that takes the default network's place may have the gateway" {
	networks_pod vlan7 v1.multus-cni.io/default-network '[{"name": "plain", "namespace": "db", "default-route": ["10.9.0.254"]}]'
	cni ADD
	assert_ok
	ADDED=$output
	assert_equal "$(defaults | head -n 1)" 'default via 10.9.0.254 dev eth0'
	assert_json '.routes | map(select(.dst == "0.0.0.0/0")) == [{dst: "0.0.0.0/0", gw: "10.9.0.254"}]'
	check
	assert_ok
}

@test "several gateways of a family are refused before anything is made" {
	snapshot
	for bad in '[{"name": "vlan7", "default-route": ["10.7.0.1", "10.7.0.2"]}]' \
		'[{"name": "vlan7", "default-route": ["10.7.0.1"]}, {"name": "vlan8", "default-route": ["fd00:8::1", "10.8.0.1"]}]'; do
		networks_pod "$bad"
		cni ADD
		assert_code 7
		assert_msg 'multus does not support ECMP for default-route.* IPv4 gateway 10.7.0.1 of network default/vlan7 \(net2\)'
	done
	networks_pod '[{"name": "vlan7", "default-route": ["0.0.0.0"]}]'
	cni ADD
	assert_code 7
	assert_msg 'default/vlan7 \(net2\) is 0.0.0.0'
	assert_unchanged
}

@test "a gateway that cannot be reached is named, and nothing is left" {
	add '[{"name": "plain", "namespace": "db", "default-route": ["10.9.0.254"]}, {"name": "vlan7"}]'
	cni DEL
	snapshot
	for bad in '[{"name": "plain", "namespace": "db", "default-route": ["10.99.0.1"]}, {"name": "vlan7"}]' \
		'[{"name": "vlan7"}, {"name": "plain", "namespace": "db", "default-route": ["fd00:99::1"]}]' \
		'[{"name": "plain", "namespace": "db"}, {"name": "vlan7", "default-route": ["10.9.0.1"]}]'; do
		networks_pod "$bad"
		cni ADD
		assert_code 7
		assert_msg 'default-route of network (db/plain|default/vlan7): interface net[23] must be up, with an address in the subnet of gateway (10|fd00)'
		for name in eth0 net1 net2 net3; do
			refute_link $name
		done
		assert_unchanged
	done
}

@test "CHECK notices when the pod's default is another one" {
	add '[{"name": "plain", "namespace": "db", "default-route": ["fd00:9::254"]}, {"name": "vlan7", "default-route": ["10.7.0.1"]}]'
	check
	assert_ok
	node_exec ip -n "$POD" route replace default via 10.244.1.1
	check
	assert_code 5
	assert_msg 'IPv4 default route is not the one .* 10.7.0.1 over net3 .*: there is via 10.244.1.1 dev eth0'
	node_exec ip -n "$POD" route replace default via 10.7.0.1
	check
	assert_ok
	node_exec ip -n "$POD" -6 route add default via fe80::9 dev eth0 metric 512
	check
	assert_code 5
	assert_msg 'IPv6 default route is not the one .* fd00:9::254 over net2 .*: there is via fe80::9 dev eth0 metric 512'
	node_exec ip -n "$POD" -6 route del default via fe80::9 dev eth0
	check
	assert_ok
}
