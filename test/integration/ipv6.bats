#!/usr/bin/env bats
# net1 with IPv6: beside IPv4 and alone, usable at once, announced, and with a default route of its own.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

# Where the next dynamic address is looked for, and which were released of late; a fixed one stays its namespace's after DEL.
SNAPSHOT_IGNORE='INTO (cursor|released|hold) '

# Somebody who is not in the pods' subnet, behind their gateway.
OUTSIDE=2001:db8:99::1

setup_file()
{
	setup_node
	warm_up
	switch_exec ip -batch - <<-END
		addr add fd00:188::1/64 dev br0 nodad
		addr add $OUTSIDE/128 dev lo nodad
	END
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.cniVersion = "1.0.0" | .delegates[1].cniVersion = "1.0.0"
		| .delegates[1].ipam += {ranges: [[{subnet: "fd00:188::/64", rangeStart: "fd00:188::10", rangeEnd: "fd00:188::ff",
			gateway: "fd00:188::1"}]], routes: [{dst: "0.0.0.0/0"}, {dst: "::/0"}]}')
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default database-1 uid-1
	annotations
}

teardown()
{
	cni DEL
	pod_down "p$BATS_TEST_NUMBER"
}

# net1 alone, so that its result is the overall one.
only_net1()
{
	conf_edit '.delegates |= [.[1]]'
}

pod_ping6()
{
	pod_exec "$POD" ping -6 -q -n -c 1 -W 2 "$1"
}

@test "a pod gets one address of each family from its ranges [check 88]" {
	only_net1
	snapshot
	cni ADD
	assert_ok
	assert_json '(.ips | length) == 2 and (.ips[0].address | test("^10[.]188[.]0[.][0-9]+/16$")) and .ips[0].gateway == "10.188.0.1"
		and (.ips[1].address | test("^fd00:188::[0-9a-f]+/64$")) and .ips[1].gateway == "fd00:188::1" and all(.ips[]; .interface == 0)'
	assert_equal "$(pod_addrs eth0)" "$(jq -r '.ips[].address' <<<"$output")"
	pod_ping 10.188.0.1
	pod_ping6 fd00:188::1
	cni DEL
	assert_ok
	assert_unchanged
}

@test "the annotation may fix an address of each family, and the gateways [check 79, 88]" {
	annotations kube-ipam.ip 10.188.0.218,fd00:188::218 kube-ipam.netmask 16 kube-ipam.gateway 10.188.0.254,fd00:188::254
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" $'10.188.0.218/16\nfd00:188::218/64'
	assert_equal "$(pod_routes 101 | head -n 1)" 'default via 10.188.0.254 dev net1'
	assert_equal "$(pod_routes 101 -6 | grep default | sed 's/ dev .*//')" 'default via fd00:188::254'
	pod_ping 10.188.0.1
	pod_ping6 fd00:188::1
	cni DEL
	assert_ok
}

@test "an IPv6 address alone is an address [check 79]" {
	annotations kube-ipam.ip fd00:188::218
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" fd00:188::218/64
	pod_ping6 fd00:188::1
}

@test "a network may have IPv6 alone [check 79]" {
	conf_edit '.delegates[1].ipam = {type: "kube-ipam", subnet: "fd00:188::/64", rangeStart: "fd00:188::40", rangeEnd: "fd00:188::4f",
		gateway: "fd00:188::1", routes: [{dst: "::/0"}]}'
	cni ADD
	assert_ok
	[[ $(pod_addrs net1) == fd00:188::4?/64 ]]
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_rules -6 | grep -c 'lookup 101')" 2
	pod_ping6 fd00:188::1
	pod_ping 10.244.1.1
}

@test "an IPv6 address can be used at once, from both sides [check 79]" {
	annotations kube-ipam.ip fd00:188::218
	cni ADD
	assert_ok
	switch_exec ping -6 -q -n -c 1 -W 2 fd00:188::218
	assert_witness '[.addresses[] | select(.address == "fd00:188::218/64")] | length == 1 and (.[0] | .nodad and (.tentative | not))'
	# To bind to it is what a tentative address would refuse.
	pod_exec "$POD" ping -6 -q -n -c 1 -W 2 -I fd00:188::218 fd00:188::1
}

@test "a pod in which IPv6 is switched off gets its IPv6 address all the same [check 79]" {
	pod_exec "$POD" sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	annotations kube-ipam.ip 10.188.0.218,fd00:188::218
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" $'10.188.0.218/16\nfd00:188::218/64'
	pod_ping6 fd00:188::1
	pod_ping6 ::1
	# What nobody asked for stays off.
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv6.conf.eth0.disable_ipv6)" 1
}

@test "in a pod in which IPv6 is switched off IPv4 works, and IPv6 stays off [check 79]" {
	pod_exec "$POD" sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	conf_edit '.delegates[1].ipam |= (del(.ranges) | .routes = [{dst: "0.0.0.0/0"}])'
	cni ADD
	assert_ok
	pod_ping 10.188.0.1
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv6.conf.net1.disable_ipv6)" 1
}

@test "no router adds addresses or routes to net1, whatever its families [check 79]" {
	local ranges
	for ranges in '[]' '[[{"subnet": "fd00:188::/64"}]]'; do
		conf_edit '.delegates[1].ipam += {ranges: $ranges, routes: []}' --argjson ranges "$ranges"
		cni ADD
		assert_ok
		assert_equal "$(pod_exec "$POD" sysctl -n net.ipv6.conf.net1.accept_ra net.ipv6.conf.net1.autoconf)" $'0\n0'
		cni DEL
		assert_ok
	done
}

@test "one unsolicited neighbour advertisement goes out for each IPv6 address [check 74, 79]" {
	local mac wire addr
	annotations kube-ipam.ip 10.188.0.218,fd00:188::218,fd00:188::219
	wire_listen 'arp or (icmp6 and ip6[40] == 136)'
	cni ADD
	assert_ok
	wire=$(wire_heard)
	echo "$wire"
	mac=$(pod_link net1 | jq -r .address)
	for addr in fd00:188::218 fd00:188::219; do
		assert_equal "$(grep -c "^$mac > 33:33:00:00:00:01,.* $addr > ff02::1: .*neighbor advertisement, tgt is $addr," <<<"$wire")" 1
	done
	assert_equal "$(grep "^$mac" <<<"$wire" | grep -c 'neighbor advertisement')" 2
	assert_equal "$(grep -c "^$mac.* who-has 10.188.0.218 tell 10.188.0.218," <<<"$wire")" 1
}

@test "who thinks that the IPv6 address is elsewhere learns at once where it is now [check 74, 79]" {
	local mac
	annotations kube-ipam.ip fd00:188::218
	switch_exec ip neigh replace fd00:188::218 lladdr 02:de:ad:00:00:01 dev br0 nud reachable
	cni ADD
	assert_ok
	mac=$(pod_link net1 | jq -r .address)
	switch_exec timeout 5 bash -c 'until ip neigh show fd00:188::218 | grep -q "$1"; do sleep 0.01; done' bash "$mac"
}

@test "net1's IPv6 default route stands in its own table with its own rules, and answers go that way [check 76, 79]" {
	local mac wire
	annotations kube-ipam.ip 10.188.0.218,fd00:188::218
	cni ADD
	assert_ok
	assert_equal "$(pod_routes main -6 | grep -c default)" 0
	assert_witness '[.routes[] | select(.table == 101 and .link == "net1") | [.dst, .gateway]] | sort
		== [["0.0.0.0/0", "10.188.0.1"], ["10.188.0.0/16", null], ["::/0", "fd00:188::1"], ["fd00:188::/64", null]]'
	assert_equal "$(pod_rules -6)" $'30001:\tfrom fd00:188::218 lookup 101\n31001:\tfrom fd00:188::/64 lookup 101'
	assert_equal "$(pod_rules)" $'30001:\tfrom 10.188.0.218 lookup 101\n31001:\tfrom 10.188.0.0/16 lookup 101'
	mac=$(pod_link net1 | jq -r .address)
	wire_listen "ip6 src fd00:188::218 and dst $OUTSIDE"
	switch_exec ping -6 -q -n -c 1 -W 2 -I "$OUTSIDE" fd00:188::218
	wire=$(wire_heard)
	echo "$wire"
	grep -q "^$mac > .*echo reply" <<<"$wire"
	cni DEL
	assert_ok
	assert_equal "$(pod_rules -6)" ""
	assert_equal "$(pod_rules)" ""
}

@test "a family without a default route has no rules, whatever the other one has [check 76]" {
	conf_edit '.delegates[1].ipam.routes = [{dst: "::/0"}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_rules -6 | grep -c 'lookup 101')" 2
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_routes 101)" ""
	assert_equal "$(pod_routes main -6 | grep -c default)" 0
}

@test "a macvlan with static addresses of both families is dual stack, too [check 88]" {
	only_net1
	conf_edit '.delegates[0].ipam = {type: "static", addresses: [{address: "10.188.7.7/16", gateway: "10.188.0.1"},
		{address: "fd00:188::7/64", gateway: "fd00:188::1"}], routes: [{dst: "::/0"}]}'
	cni ADD CNI_IFNAME=net1
	assert_ok
	assert_equal "$(pod_addrs net1)" $'10.188.7.7/16\nfd00:188::7/64'
	# It is the default network here: its route is the main table's.
	assert_equal "$(pod_routes main -6 | grep default | sed 's/ dev.*//')" 'default via fd00:188::1'
	pod_ping6 "$OUTSIDE"
	cni DEL CNI_IFNAME=net1
	assert_ok
}

@test "an mtu below 1280 leaves no room for IPv6, and nothing is left" {
	conf_edit '.delegates[1].mtu = 1200'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'net1 cannot have IPv6.* 1280'
	assert_unchanged
	conf_edit '.delegates[1].ipam |= (del(.ranges) | .routes = [])'
	cni ADD
	assert_ok
}
