#!/usr/bin/env bats
# net1: the macvlan that lamina makes itself, read back by the witness.
# What macvlan.bash and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/macvlan.bash

@test "net1 is a macvlan of the master, in the mode that is asked for [check 68]" {
	local mode master
	master=$(node_exec cat /sys/class/net/eth0/ifindex)
	for mode in bridge private vepa passthru ""; do
		conf_edit '.delegates[0].mode = $mode' --arg mode "$mode"
		add
		assert_ok
		assert_net1 '.kind == "macvlan" and .mode == $mode and .parent == $master and .up' \
			--arg mode "${mode:-bridge}" --argjson master "$master"
		del
	done
	conf_edit 'del(.delegates[0].mode)'
	add
	assert_ok
	assert_net1 '.mode == "bridge"'
	del
}

@test "passthru takes over the master's MAC, and says so in the result [check 68]" {
	local mac
	mac=$(node_exec cat /sys/class/net/eth0/address)
	conf_edit '.delegates[0].mode = "passthru"'
	add
	assert_ok
	assert_json '.interfaces[0].mac == $mac' --arg mac "$mac"
	assert_net1 '.mac == $mac' --arg mac "$mac"
	del
	conf_edit '.delegates[0].mac = "02:11:22:33:44:55"'
	refused 7
	assert_msg 'passthru'
}

# bats test_tags=fault
@test "of an ADD with passthru that was killed, DEL leaves nothing [check 68, 82]" {
	snapshot
	conf_edit '.delegates[0].mode = "passthru"'
	add LAMINA_FAULT=linked:kill
	assert_equal "$status" 137
	pod_link net1
	del
	assert_unchanged
}

@test "passthru beside another macvlan of the master is refused [check 68]" {
	local first=$POD
	add
	assert_ok
	new_pod "$first-two"
	conf_edit '.delegates[0].mode = "passthru"'
	refused 7
	assert_msg 'passthru wants a master without other macvlans'
	pod_down "$first-two"
}

@test "a mode that does not exist is refused with its name [check 68]" {
	local mode
	for mode in nonsense source BRIDGE; do
		conf_edit '.delegates[0].mode = $mode' --arg mode "$mode"
		refused 7
		assert_msg "delegates\[0\]\.mode is \"$mode\": it must be bridge, private, vepa or passthru"
	done
}

@test "an mtu up to the master's is set, 0 and none are the master's [check 69]" {
	local mtu
	for mtu in 68 1400 1500; do
		conf_edit '.delegates[0].mtu = $mtu' --argjson mtu "$mtu"
		add
		assert_ok
		assert_net1 '.mtu == $mtu' --argjson mtu "$mtu"
		del
	done
	node_exec ip link set eth0 mtu 1480
	for mtu in 0 null; do
		conf_edit '.delegates[0].mtu = $mtu' --argjson mtu "$mtu"
		add
		assert_ok
		assert_net1 '.mtu == 1480'
		del
	done
}

@test "an mtu above the master's, negative or too small is refused with the numbers [check 69]" {
	conf_edit '.delegates[0].mtu = 1501'
	refused 7
	assert_msg 'delegates\[0\]\.mtu is 1501: .*1500'
	node_exec ip link set eth0 mtu 1480
	conf_edit '.delegates[0].mtu = 1500'
	refused 7
	assert_msg '1500: .*1480'
	node_exec ip link set eth0 mtu 1500
	conf_edit '.delegates[0].mtu = -1'
	refused 7
	assert_msg 'delegates\[0\]\.mtu is -1: it must be 0'
	conf_edit '.delegates[0].mtu = 67'
	refused 7
	assert_msg '67'
}

@test "the MAC is runtimeConfig's, then that of CNI_ARGS, then the configuration's [check 70]" {
	conf_edit '.delegates[0].capabilities = {mac: true}'
	add
	assert_ok
	# Nobody asked for one: unicast and locally administered, and not the same twice.
	assert_net1 '.mac | test("^.[26ae]:")'
	local first
	first=$(pod_link net1 | jq -r .address)
	del
	add
	assert_ok
	assert_net1 '.mac != $mac' --arg mac "$first"
	del

	conf_edit '.delegates[0].mac = "02:00:00:00:00:0C"'
	add
	assert_ok
	assert_json '.interfaces[0].mac == "02:00:00:00:00:0c"'
	assert_net1 '.mac == "02:00:00:00:00:0c"'
	del
	ARGS+=";MAC=02:00:00:00:00:0b"
	add
	assert_ok
	assert_net1 '.mac == "02:00:00:00:00:0b"'
	del
	conf_edit '.runtimeConfig.mac = "02-00-00-00-00-0a"'
	add
	assert_ok
	assert_net1 '.mac == "02:00:00:00:00:0a"'
	del
}

@test "runtimeConfig.mac without the capability, and args.cni.mac, are nobody's [check 70]" {
	conf_edit '.runtimeConfig.mac = "02:00:00:00:00:0a" | .delegates[0].mac = "02:00:00:00:00:0c"
		| .delegates[0].args.cni.mac = "02:00:00:00:00:0d"'
	add
	assert_ok
	assert_net1 '.mac == "02:00:00:00:00:0c"'
	del
}

@test "a MAC that is multicast, zero or none at all is refused wherever it comes from [check 70]" {
	local mac
	for mac in 01:00:5e:00:00:01 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00 02:00:00:00:00 zz; do
		conf_edit '.delegates[0].mac = $mac' --arg mac "$mac"
		refused 7
		assert_msg "$mac.*not multicast and not zero"
	done
	conf_edit 'del(.delegates[0].mac)'
	ARGS+=";MAC=01:00:5e:00:00:01" refused 7
	assert_msg '01:00:5e:00:00:01'
	conf_edit '.delegates[0].capabilities.mac = true | .runtimeConfig.mac = "00:00:00:00:00:00"'
	refused 7
	assert_msg '00:00:00:00:00:00'
}

@test "a MAC that another macvlan of the master or the master has is refused, and nothing is left [check 80]" {
	local first=$POD mac
	conf_edit '.delegates[0].mac = "02:00:00:00:00:0c"'
	add
	assert_ok
	new_pod "$first-two"
	refused 7
	assert_msg '02:00:00:00:00:0c is in use'
	mac=$(node_exec cat /sys/class/net/eth0/address)
	conf_edit '.delegates[0].mac = $mac' --arg mac "$mac"
	refused 7
	assert_msg "$mac is in use"
	pod_down "$first-two"
	POD=$first CID=$first del
}

@test "bcqueuelen is set, and the kernel's own when absent [check 68]" {
	add
	assert_ok
	assert_net1 '.bcqueuelen == 1000'
	del
	conf_edit '.delegates[0].bcqueuelen = 5000'
	add
	assert_ok
	assert_net1 '.bcqueuelen == 5000'
	del
	conf_edit '.delegates[0].bcqueuelen = -1'
	refused 7
	assert_msg 'delegates\[0\]\.bcqueuelen is -1'
	conf_edit '.delegates[0].bcqueuelen = 4294967296'
	refused 7
	assert_msg '4294967296'
}

@test "with linkInContainer the master is a link of the pod, also one that the default network made [check 68]" {
	local master
	CONF=$(seed_conf '.delegates[1].linkInContainer = true')
	annotations
	cni ADD
	assert_ok
	master=$(pod_link eth0 | jq .ifindex)
	assert_net1 '.kind == "macvlan" and .parent == $master and .parentNetns == null' --argjson master "$master"
	cni DEL
	assert_ok
	# The default route's link of the pod.
	conf_edit 'del(.delegates[1].master)'
	cni ADD
	assert_ok
	master=$(pod_link eth0 | jq .ifindex)
	assert_net1 '.parent == $master' --argjson master "$master"
	cni DEL
	assert_ok
	conf_edit '.delegates[1].master = "port9"'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'delegates\[1\]\.master is "port9": there is no such interface in the pod'
	assert_unchanged
}

@test "without master it is the default route's link, IPv4 before IPv6 [check 71]" {
	local up9
	node_exec ip -batch - <<-END
		link add up9 type veth peer name up9-peer
		link set up9 up
		link set up9-peer up
		addr add fd00:9::2/64 dev up9 nodad
		route add ::/0 via fd00:9::1
	END
	up9=$(node_exec cat /sys/class/net/up9/ifindex)
	conf_edit '.delegates[0].master = ""'
	add
	assert_ok
	assert_net1 '.parent != $up9' --argjson up9 "$up9"
	del
	node_exec ip route del default
	conf_edit 'del(.delegates[0].master)'
	add
	assert_ok
	assert_net1 '.parent == $up9' --argjson up9 "$up9"
	del
	node_exec ip link del up9
}

@test "without master and default route it is an error [check 71]" {
	conf_edit 'del(.delegates[0].master)'
	node_exec ip route del default
	refused 7
	assert_msg 'delegates\[0\]\.master is not set: no default route'
}

@test "the interface may have the name of one of the node's [check 72]" {
	local before
	before=$(node_exec ip -j link show eth0)
	cni ADD CNI_IFNAME=eth0
	assert_ok
	assert_witness '[.links[].name] == ["lo", "eth0"] and .links[1].kind == "macvlan"'
	assert_equal "$(node_exec ip -j link show eth0)" "$before"
	pod_ping 10.188.0.1
	cni DEL CNI_IFNAME=eth0
	assert_ok
}

# bats test_tags=fault
@test "where the kernel refuses the name of a link of the node, it is made under another and renamed [check 72, 73]" {
	local before
	before=$(links_of_node)
	snapshot
	cni ADD CNI_IFNAME=eth0 LAMINA_FAULT=macvlan_name:fail
	assert_ok
	assert_witness '[.links[].name] == ["lo", "eth0"] and .links[1].kind == "macvlan" and .links[1].up'
	assert_equal "$(links_of_node)" "$before"
	pod_ping 10.188.0.1
	cni DEL CNI_IFNAME=eth0
	assert_ok
	assert_unchanged
	# Every step behind it may fail as well.
	conf_edit '.delegates[0].ipam.routes = [{dst: "10.99.0.0/16", gw: "10.77.0.1"}]'
	refused 7 LAMINA_FAULT=macvlan_name:fail
}

@test "one gratuitous ARP goes out for each IPv4 address [check 74]" {
	local mac wire
	annotations kube-ipam.ip 10.188.0.218,10.188.0.219
	wire_listen arp
	add
	assert_ok
	wire=$(wire_heard)
	mac=$(pod_link net1 | jq -r .address)
	echo "$wire"
	assert_equal "$(grep -c "^$mac > ff:ff:ff:ff:ff:ff,.* who-has 10.188.0.218 tell 10.188.0.218," <<<"$wire")" 1
	assert_equal "$(grep -c "^$mac > ff:ff:ff:ff:ff:ff,.* who-has 10.188.0.219 tell 10.188.0.219," <<<"$wire")" 1
	assert_equal "$(grep -c "^$mac" <<<"$wire")" 2
	del
}

@test "who thinks that the address is elsewhere learns at once where it is now [check 74]" {
	local mac
	annotations kube-ipam.ip 10.188.0.218
	# Else an entry that is younger than a second stays.
	switch_exec sysctl -q -w net.ipv4.neigh.br0.locktime=0
	switch_exec ip neigh replace 10.188.0.218 lladdr 02:de:ad:00:00:01 dev br0 nud reachable
	add
	assert_ok
	mac=$(pod_link net1 | jq -r .address)
	switch_exec timeout 5 bash -c 'until ip neigh show 10.188.0.218 | grep -q "$1"; do sleep 0.01; done' bash "$mac"
	del
}

@test "the broadcast address is set, but not where there is none [check 75]" {
	add
	assert_ok
	assert_witness '[.addresses[] | select(.link == "net1" and .broadcast)] | length == 1 and .[0].broadcast == "10.188.255.255"'
	del
	conf_edit '.delegates[0] += {cniVersion: "0.4.0", ipam: {type: "static", addresses: [{address: "10.77.0.2/31"}, {address: "10.77.1.2/30"}]}}'
	add
	assert_ok
	assert_witness '[.addresses[] | select(.link == "net1" and (.address | startswith("10."))) | [.address, .broadcast]]
		== [["10.77.0.2/31", null], ["10.77.1.2/30", "10.77.1.3"]]'
	del
}

@test "a macvlan may be the default network, with flannel as a further one" {
	CONF=$(seed_conf '.cniVersion = "1.0.0" | .delegates |= [.[1], (.[0] | del(.delegate.isDefaultGateway))]')
	annotations kube-ipam.ip 10.188.0.218
	SNAPSHOT_IGNORE=$HOLDS_IGNORED
	snapshot
	cni ADD
	assert_ok
	assert_json '(.interfaces | length) == 1 and .interfaces[0].name == "eth0" and .ips[0].address == "10.188.0.218/16"'
	assert_witness '[.links[] | [.name, .kind]] - [["lo", null]] | sort == [["eth0", "macvlan"], ["net1", "veth"]]'
	# What would be another table's with a further network is the main table's here.
	assert_equal "$(pod_routes | grep default)" 'default via 10.188.0.1 dev eth0'
	assert_equal "$(pod_rules)" ""
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni DEL
	assert_ok
	assert_unchanged
}

@test "a pod may have three macvlans, and DEL leaves none of them" {
	CONF=$(seed_conf '.delegates[1] as $net | .delegates[2] = ($net | .name = "k8snet3" | .mode = "private"
			| .ipam = {type: "host-local", subnet: "10.77.0.0/24"})
		| .delegates[3] = ($net | .name = "k8snet4" | .mtu = 1400 | .ipam += {subnet: "10.189.0.0/16", rangeStart: "10.189.0.10",
			rangeEnd: "10.189.0.20", gateway: "10.189.0.1"})')
	annotations kube-ipam.ip 10.189.0.218
	SNAPSHOT_IGNORE=$HOLDS_IGNORED
	snapshot
	cni ADD
	assert_ok
	assert_witness '[.links[] | select(.kind == "macvlan") | [.name, .mode, .mtu]] | sort
		== [["net1", "bridge", 1500], ["net2", "private", 1500], ["net3", "bridge", 1400]]'
	assert_equal "$(pod_addrs net3)" 10.189.0.218/16
	[[ $(pod_addrs net1) == 10.188.0.* && $(pod_addrs net2) == 10.77.0.* ]]
	assert_equal "$(pod_rules | grep -c 'lookup 101')" 2
	assert_equal "$(pod_rules | grep -c 'lookup 103')" 2
	cni DEL
	assert_ok
	assert_unchanged
}

@test "of three macvlans of which the last cannot be made, none is left" {
	CONF=$(seed_conf '.delegates[1] as $net | .delegates[2] = ($net | .name = "k8snet3" | .mac = "02:00:00:00:00:0c" | del(.ipam))
		| .delegates[3] = ($net | .name = "k8snet4" | .mac = "02:00:00:00:00:0c" | del(.ipam))')
	annotations
	snapshot
	cni ADD
	assert_code 7
	assert_msg '02:00:00:00:00:0c is in use'
	assert_unchanged
}
