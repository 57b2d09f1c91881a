#!/usr/bin/env bats
# Which way a pod's packets go: eth0's default route in the main table, net1's in a table of its own.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

# Where the next dynamic address is looked for, and which were released of late.
SNAPSHOT_IGNORE='INTO (cursor|released) '
# A fixed address stays its namespace's after DEL.
HOLDS_IGNORED='INTO (cursor|released|hold) '

# Somebody who is not in the pods' subnets, behind their gateway.
OUTSIDE=198.51.100.1

setup_file()
{
	setup_node
	warm_up
	switch_exec ip -batch - <<-END
		addr add $OUTSIDE/32 dev lo
		addr add 10.189.0.1/16 dev br0
	END
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf)
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default database-1 uid-1
	annotations kube-ipam.ip 10.188.0.218
}

teardown()
{
	cni DEL
	pod_down "p$BATS_TEST_NUMBER"
}

# The routes of net1's own configuration.
net1_routes()
{
	conf_edit '.delegates[1].ipam.routes = $routes' --argjson routes "$1"
}

# A further network, in a subnet of its own.
second_layer()
{
	conf_edit '.delegates[2] = (.delegates[1] | .name = "k8snet3" | .ipam += {subnet: "10.189.0.0/16", rangeStart: "10.189.0.10",
		rangeEnd: "10.189.0.200", gateway: "10.189.0.1"})'
}

# assert_answers IF ADDR: who is outside and speaks to the address, by ping and by TCP, gets his answer through that interface.
assert_answers()
{
	local mac wire server
	mac=$(pod_link "$1" | jq -r .address)
	wire_listen "ip and src host $2 and dst host $OUTSIDE"
	switch_exec ping -q -n -c 1 -W 2 -I "$OUTSIDE" "$2"
	pod_exec "$POD" timeout 20 /usr/bin/python3 -c 'if True:
		import socket
		server = socket.create_server(("", 5432))
		server.accept()[0].sendall(b"at your service")' 3>&- &
	server=$!
	switch_exec timeout 10 /usr/bin/python3 -c 'if True:
		import socket, sys, time
		while True:
			try:
				client = socket.create_connection((sys.argv[1], 5432), 2, (sys.argv[2], 0))
				break
			except ConnectionRefusedError:
				time.sleep(0.01)
		assert client.recv(100) == b"at your service"' "$2" "$OUTSIDE"
	wait "$server"
	wire=$(wire_heard)
	echo "$wire"
	grep -q 'ICMP echo reply' <<<"$wire"
	grep -q 'Flags \[S.\]' <<<"$wire"
	! grep -qv "^$mac > " <<<"$wire" || fail "not all of this came from $1, $mac"
}

# Where the pod sends what goes to an address: route_of ADDR [from ADDR]
route_of()
{
	pod_exec "$POD" ip -j route get "$@" | jq -r '.[0] | "\(.dev) \(.gateway)"'
}

@test "the main table's default route is eth0's, net1's stands in a table of its own with what is connected [check 76]" {
	cni ADD
	assert_ok
	assert_equal "$(pod_routes | grep default)" 'default via 10.244.1.1 dev eth0'
	assert_equal "$(pod_routes | grep net1)" '10.188.0.0/16 dev net1 proto kernel scope link src 10.188.0.218'
	assert_equal "$(pod_routes 101)" $'default via 10.188.0.1 dev net1\n10.188.0.0/16 dev net1 scope link'
	assert_equal "$(pod_rules)" $'30001:\tfrom 10.188.0.218 lookup 101\n31001:\tfrom 10.188.0.0/16 lookup 101'
	# As the kernel's other reader has it.
	assert_witness '[.routes[] | select(.dst == "0.0.0.0/0") | [.table, .link, .gateway]] | sort
		== [[101, "net1", "10.188.0.1"], [254, "eth0", "10.244.1.1"]]'
	assert_witness '[.rules[] | select(.table == 101) | [.priority, .from]] == [[30001, "10.188.0.218/32"], [31001, "10.188.0.0/16"]]'
	assert_equal "$(route_of 192.0.2.1)" 'eth0 10.244.1.1'
	assert_equal "$(route_of 192.0.2.1 from 10.188.0.218)" 'net1 10.188.0.1'
	assert_equal "$(route_of 10.188.7.7)" 'net1 null'
	pod_ping 10.244.1.1
	pod_ping 10.188.0.1
}

@test "DEL removes the rules from a pod that lives on, with its record and without [check 76]" {
	SNAPSHOT_IGNORE=$HOLDS_IGNORED
	snapshot
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_routes 101)" ""
	assert_unchanged
	cni ADD
	assert_ok
	node_exec rm "/var/lib/cni/multus/$CID"
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ""
}

@test "who is outside of net1's subnet is answered over net1 [check 76]" {
	cni ADD
	assert_ok
	assert_answers net1 10.188.0.218
}

@test "also in a pod with a strict rp_filter [check 76]" {
	pod_exec "$POD" sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
	cni ADD
	assert_ok
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv4.conf.net1.rp_filter)" 1
	assert_answers net1 10.188.0.218
}

@test "an address of the subnet that moves to net1 later is answered over net1, too [check 76]" {
	cni ADD
	assert_ok
	pod_exec "$POD" ip addr add 10.188.0.250/32 dev net1
	assert_answers net1 10.188.0.250
}

@test "each of several fixed addresses has its rule [check 76]" {
	annotations kube-ipam.ip 10.188.0.218,10.188.0.219
	cni ADD
	assert_ok
	assert_equal "$(pod_rules)" \
		$'30001:\tfrom 10.188.0.218 lookup 101\n30001:\tfrom 10.188.0.219 lookup 101\n31001:\tfrom 10.188.0.0/16 lookup 101'
	assert_equal "$(pod_routes 101)" $'default via 10.188.0.1 dev net1\n10.188.0.0/16 dev net1 scope link'
	assert_answers net1 10.188.0.219
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ""
}

@test "two layers have two tables, and each answers for itself [check 76]" {
	second_layer
	annotations kube-ipam.ip 10.188.0.218,10.189.0.219
	cni ADD
	assert_ok
	assert_equal "$(pod_routes 101)" $'default via 10.188.0.1 dev net1\n10.188.0.0/16 dev net1 scope link'
	assert_equal "$(pod_routes 102)" $'default via 10.189.0.1 dev net2\n10.189.0.0/16 dev net2 scope link'
	assert_equal "$(pod_rules)" "$(printf '%s\n' $'30001:\tfrom 10.188.0.218 lookup 101' $'30002:\tfrom 10.189.0.219 lookup 102' \
		$'31001:\tfrom 10.188.0.0/16 lookup 101' $'31002:\tfrom 10.189.0.0/16 lookup 102')"
	assert_equal "$(pod_routes | grep default)" 'default via 10.244.1.1 dev eth0'
	assert_answers net1 10.188.0.218
	assert_answers net2 10.189.0.219
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ""
}

@test "without a default route for net1 there is no rule and no table [check 76]" {
	net1_routes '[{"dst": "10.99.0.0/16"}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_routes 101)" ""
	assert_equal "$(pod_routes | grep 10.99)" '10.99.0.0/16 via 10.188.0.1 dev net1'
	cni DEL
	assert_ok
	conf_edit 'del(.delegates[1].ipam.routes)'
	cni ADD
	assert_ok
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_routes | grep -c net1)" 1
}

@test "net1's other routes are in the main table and in its own [check 76]" {
	net1_routes '[{"dst": "10.99.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.188.0.9"}, {"dst": "10.98.0.0/16", "gw": "10.188.0.8"}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_routes | grep net1 | grep via)" $'10.98.0.0/16 via 10.188.0.8 dev net1\n10.99.0.0/16 via 10.188.0.1 dev net1'
	assert_equal "$(pod_routes 101)" "$(printf '%s\n' 'default via 10.188.0.9 dev net1' '10.98.0.0/16 via 10.188.0.8 dev net1' \
		'10.99.0.0/16 via 10.188.0.1 dev net1' '10.188.0.0/16 dev net1 scope link')"
}

@test "the gateway of the pod's annotation is the one that is used [check 76]" {
	annotations kube-ipam.ip 10.188.0.218 kube-ipam.gateway 10.188.0.254
	cni ADD
	assert_ok
	assert_equal "$(pod_routes 101 | head -n 1)" 'default via 10.188.0.254 dev net1'
	assert_equal "$(pod_routes | grep default)" 'default via 10.244.1.1 dev eth0'
}

@test "a route that stands there twice is one [check 77]" {
	net1_routes '[{"dst": "10.99.0.0/16"}, {"dst": "10.99.0.0/16"}, {"dst": "10.99.0.0/16", "gw": "10.188.0.1"}, {"dst": "0.0.0.0/0"},
		{"dst": "0.0.0.0/0"}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_routes | grep -c 10.99)" 1
	assert_equal "$(pod_routes 101 | grep -c 10.99)" 1
	assert_equal "$(pod_routes 101 | grep -c default)" 1
}

# assert_noticed ROUTE: CHECK of RESULT is content, until that route is deleted.
assert_noticed()
{
	conf_edit '.cniVersion = "0.4.0" | .prevResult = $it' --argjson it "$RESULT"
	cni CHECK
	assert_ok
	# shellcheck disable=SC2086 # a route of several words
	pod_exec "$POD" ip route del $1
	cni CHECK
	assert_code 5
	conf_edit '.cniVersion = "0.3.1" | del(.prevResult)'
}

@test "a route to where eth0 leads already stands in front of eth0's, which stays [check 77]" {
	net1_routes '[{"dst": "10.244.0.0/16"}]'
	cni ADD
	assert_ok
	RESULT=$output
	assert_equal "$(pod_routes | grep ^10.244.0.0/16)" $'10.244.0.0/16 via 10.188.0.1 dev net1\n10.244.0.0/16 via 10.244.1.1 dev eth0'
	assert_equal "$(route_of 10.244.200.1)" 'net1 10.188.0.1'
	assert_noticed '10.244.0.0/16 dev net1'
	cni DEL
	assert_ok
	# The same destination with another priority is another route.
	net1_routes '[{"dst": "10.244.0.0/16", "priority": 50}]'
	cni ADD
	assert_ok
	assert_equal "$(route_of 10.244.200.1)" 'eth0 10.244.1.1'
}

@test "several ways to one destination, and one to the own subnet, are in the main table and in net1's own [check 77]" {
	local table
	net1_routes '[{"dst": "10.99.0.0/16"}, {"dst": "10.99.0.0/16", "gw": "10.188.0.2"}, {"dst": "10.188.0.0/16"}, {"dst": "0.0.0.0/0"},
		{"dst": "0.0.0.0/0", "gw": "10.188.0.2"}]'
	cni ADD
	assert_ok
	RESULT=$output
	for table in 254 101; do
		assert_equal "$(pod_routes $table | grep ^10.99)" $'10.99.0.0/16 via 10.188.0.2 dev net1\n10.99.0.0/16 via 10.188.0.1 dev net1'
		[[ $(pod_routes $table | grep ^10.188) == $'10.188.0.0/16 via 10.188.0.1 dev net1\n10.188.0.0/16 dev net1'* ]]
	done
	assert_equal "$(pod_routes 101 | grep ^default)" $'default via 10.188.0.2 dev net1\ndefault via 10.188.0.1 dev net1'
	assert_noticed '10.99.0.0/16 via 10.188.0.1 dev net1'
}

@test "in net1's own table nobody else's routes are joined, and nothing is left [check 77]" {
	pod_exec "$POD" ip link add other type bridge
	pod_exec "$POD" ip link set other up
	pod_exec "$POD" ip route add default dev other table 101
	snapshot
	cni ADD
	assert_code 7
	assert_msg '0\.0\.0\.0/0: another one is there, through other'
	assert_unchanged
}

@test "the routes of two networks to one destination stand side by side, and go with their own interface" {
	second_layer
	conf_edit '.delegates[1,2].ipam.routes = [{dst: "10.99.0.0/16"}]'
	annotations
	cni ADD
	assert_ok
	RESULT=$output
	[[ $(pod_routes | grep ^10.99) == *"via 10.189.0.1 dev net2"*"via 10.188.0.1 dev net1"* ]]
	pod_exec "$POD" ip link del net2
	assert_equal "$(pod_routes | grep ^10.99)" '10.99.0.0/16 via 10.188.0.1 dev net1'
	cni DEL
	assert_ok
}

@test "a gateway that no address of net1 reaches is an error, and nothing is left [check 77]" {
	net1_routes '[{"dst": "10.98.0.0/16"}, {"dst": "10.99.0.0/16", "gw": "10.77.0.1"}]'
	snapshot
	cni ADD
	assert_code 7
	assert_msg '10\.99\.0\.0/16 through 10\.77\.0\.1'
	assert_unchanged
}

@test "mtu, advmss, priority, table and scope of a route are installed [check 78]" {
	net1_routes '[{"dst": "10.97.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 77}, {"dst": "10.98.0.0/16", "table": 500},
		{"dst": "10.77.0.1/32", "scope": 253}, {"dst": "10.96.0.0/16", "gw": "10.77.0.1"}]'
	cni ADD
	assert_ok
	assert_witness '[.routes[] | select(.dst == "10.97.0.0/16")] == [{dst: "10.97.0.0/16", table: 254, type: 1, scope: 0, protocol: 3,
		priority: 77, gateway: "10.188.0.1", link: "net1", mtu: 1300, advmss: 1200}]'
	assert_witness '[.routes[] | select(.dst == "10.98.0.0/16") | [.table, .gateway, .priority, .mtu]]
		== [[500, "10.188.0.1", 0, null]]'
	# What is on the link has no gateway, and can be one itself.
	assert_witness '[.routes[] | select(.dst == "10.77.0.1/32") | [.table, .scope, .gateway]] == [[254, 253, null]]'
	assert_equal "$(pod_routes | grep 10.96)" '10.96.0.0/16 via 10.77.0.1 dev net1'
	cni DEL
	assert_ok
}

@test "a default route that names a table of its own stays there, and is no reason for rules [check 78]" {
	net1_routes '[{"dst": "0.0.0.0/0", "table": 500}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_routes 500)" 'default via 10.188.0.1 dev net1'
	assert_equal "$(pod_rules)" ""
	assert_equal "$(pod_routes 101)" ""
}

@test "a macvlan's default route by another IPAM plugin goes into its own table as well [check 76]" {
	conf_edit '.delegates[1].ipam = {type: "host-local", subnet: "10.188.0.0/16", rangeStart: "10.188.0.210", gateway: "10.188.0.1",
		routes: [{dst: "0.0.0.0/0"}]}'
	annotations
	cni ADD
	assert_ok
	assert_equal "$(pod_routes | grep default)" 'default via 10.244.1.1 dev eth0'
	assert_equal "$(pod_routes 101 | head -n 1)" 'default via 10.188.0.1 dev net1'
	assert_answers net1 10.188.0.210
	cni DEL
	assert_ok
	assert_equal "$(pod_rules)" ""
}

@test "rules and tables that were there before stay as they are [check 76]" {
	pod_exec "$POD" ip rule add from 192.0.2.7 table 101 priority 29000
	pod_exec "$POD" ip rule add from 192.0.2.8 table 102 priority 30001
	SNAPSHOT_IGNORE=$HOLDS_IGNORED
	snapshot
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_unchanged
}
