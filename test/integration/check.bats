#!/usr/bin/env bats
# CHECK: quiet while all is as ADD made it, and naming what is not.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
	warm_up
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.cniVersion = "0.4.0" | .delegates[].cniVersion = "0.4.0"')
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default database-1 uid-1
	annotations kube-ipam.ip 10.188.0.218,10.188.0.219
}

teardown()
{
	cni DEL
	pod_down "p$BATS_TEST_NUMBER"
}

# An ADD, whose result goes along with all later calls as the runtime does it.
added()
{
	cni ADD
	assert_ok
	conf_edit '.prevResult = $result' --argjson result "$output"
}

pod_ip()
{
	node_exec ip -n "$POD" "$@"
}

# assert_noticed CODE REGEX COMMAND ...: CHECK is quiet, fails so after that command, and has changed nothing itself.
assert_noticed()
{
	cni CHECK
	assert_ok
	"${@:3}"
	snapshot
	cni CHECK
	assert_code "$1"
	assert_msg "$2"
	assert_unchanged
}

@test "CHECK is quiet right after ADD, in every version that has it [check 43]" {
	local version
	for version in 0.4.0 1.0.0 1.1.0; do
		conf_edit '.cniVersion = $version | .delegates[1].cniVersion = $version' --arg version "$version"
		conf_edit 'del(.prevResult)'
		added
		snapshot
		cni CHECK
		assert_ok
		assert_unchanged
		cni DEL
		assert_ok
	done
}

@test "CHECK is quiet when the delegates have no version at all [check 43]" {
	CONF=$(seed_conf '.cniVersion = "1.0.0"')
	annotations kube-ipam.ip 10.188.0.218,10.188.0.219
	added
	cni CHECK
	assert_ok
	# And no less thorough.
	assert_noticed 5 '10\.188\.0\.219' pod_ip addr del 10.188.0.219/16 dev net1
}

@test "CHECK notices that net1 is gone [check 44]" {
	added
	assert_noticed 5 'interface net1 is missing' pod_ip link del net1
}

@test "CHECK notices another link in net1's place [check 44]" {
	added
	replace()
	{
		pod_ip link del net1
		pod_ip link add net1 type veth peer name net1-peer
	}
	assert_noticed 5 'interface net1 is not a macvlan' replace
}

@test "CHECK notices that an address is gone, whichever [check 45]" {
	added
	assert_noticed 5 'net1: the address 10\.188\.0\.219/16 is missing' pod_ip addr del 10.188.0.219/16 dev net1
	pod_ip addr add 10.188.0.219/16 brd + dev net1
	assert_noticed 5 'net1: the address 10\.188\.0\.218/16 is missing' pod_ip addr del 10.188.0.218/16 dev net1
}

@test "CHECK notices that an IPv6 address is gone [check 45]" {
	conf_edit '.delegates[1].ipam.ranges = [[{subnet: "fd00:188::/64"}]]'
	annotations kube-ipam.ip 10.188.0.218,fd00:188::218
	added
	assert_noticed 5 'net1: the address fd00:188::218/64 is missing' pod_ip addr del fd00:188::218/64 dev net1
}

@test "CHECK notices that a route of the main table is gone [check 46]" {
	conf_edit '.delegates[1].ipam.routes += [{dst: "10.99.0.0/16"}]'
	added
	assert_noticed 5 'net1: the route to 10\.99\.0\.0/16 is missing in table 254' pod_ip route del 10.99.0.0/16
}

@test "CHECK notices that net1's default route is gone from its table [check 46]" {
	added
	assert_noticed 5 'net1: the route to 0\.0\.0\.0/0 is missing in table 101' pod_ip route del default table 101
}

@test "CHECK notices that what is connected is gone from net1's table [check 46]" {
	added
	assert_noticed 5 'net1: the route to 10\.188\.0\.0/16 is missing in table 101' pod_ip route del 10.188.0.0/16 table 101
}

@test "CHECK notices that net1's default route has another gateway now [check 46]" {
	added
	assert_noticed 5 'net1: the route to 0\.0\.0\.0/0 is missing' pod_ip route replace default via 10.188.0.2 dev net1 table 101
}

@test "CHECK notices that a rule is gone, an address's or the subnet's [check 46]" {
	added
	assert_noticed 5 'net1: the rule from 10\.188\.0\.219/32 to table 101 is missing' pod_ip rule del from 10.188.0.219 table 101
	pod_ip rule add from 10.188.0.219 table 101 priority 30001
	assert_noticed 5 'net1: the rule from 10\.188\.0\.0/16 to table 101 is missing' pod_ip rule del from 10.188.0.0/16 table 101
}

@test "CHECK notices another MAC [check 47]" {
	added
	assert_noticed 5 'net1 has another MAC' pod_ip link set net1 address 02:00:00:00:00:99
}

@test "CHECK notices another mode, with both [check 48]" {
	added
	assert_noticed 5 'net1 has mode private: it was made with bridge' pod_ip link set net1 type macvlan mode private
}

@test "CHECK notices that net1 is down [check 49]" {
	conf_edit 'del(.delegates[1].ipam)'
	annotations
	added
	assert_noticed 5 'net1 is down' pod_ip link set net1 down
}

@test "CHECK notices that the address is recorded as the pod's no longer" {
	added
	assert_noticed 5 'address 10\.188\.0\.218 of net1 is not recorded' lamina ip release 10.188.0.218 --force
}

@test "CHECK lets the real bridge notice what is wrong with eth0 [check 52]" {
	conf_edit '.delegates[0] |= {name, cniVersion, type: "bridge", bridge: "br7", isDefaultGateway: true,
		ipam: {type: "host-local", subnet: "10.71.0.0/24"}}'
	added
	cni CHECK
	assert_ok
	pod_ip addr flush dev eth0
	cni CHECK
	((status != 0))
	assert_msg '10\.71\.0\.2'
	cni DEL
	assert_ok
	node_exec ip link del br7
}

@test "CHECK without prevResult is an error [check 50]" {
	added
	conf_edit 'del(.prevResult)'
	cni CHECK
	assert_code 7
	assert_msg 'required prevResult missing'
}

@test "CHECK does not mind further addresses, routes and interfaces, nor other interfaces' addresses in prevResult [check 51]" {
	added
	pod_ip addr add 10.188.0.250/32 dev net1
	pod_ip addr add 192.0.2.7/24 dev net1
	pod_ip route add 10.55.0.0/16 via 10.188.0.1
	pod_ip route add 10.55.0.0/16 via 10.188.0.1 table 101
	pod_ip rule add from 192.0.2.7 table 101 priority 100
	pod_ip link add veth7 type veth peer name veth8
	conf_edit '.prevResult |= (.interfaces += [{name: "eth9", sandbox: "/run/netns/other"}]
		| .ips += [{version: "4", address: "192.0.2.99/24", interface: (.interfaces | length - 1)}])'
	cni CHECK
	assert_ok
}

@test "CHECK is forwarded to the delegates in order, each with its own result [check 52]" {
	local name
	for name in one two old; do
		stub "$name"
		stub_reset "$name"
		stub_set "$name" CHECK run "echo $name >>$BATS_TEST_TMPDIR/order"
	done
	stub_set one ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/x"}]}'
	stub_set two ADD out '{"cniVersion": "1.0.0", "interfaces": [{"name": "net2", "mac": "02:00:00:00:00:02", "sandbox": "/x"}]}'
	conf_edit '.delegates = [{name: "a", type: "one", cniVersion: "0.4.0"}, .delegates[1], {name: "b", type: "two", cniVersion: "1.0.0"},
		{name: "c", type: "old", cniVersion: "0.3.1"}, {name: "d", disableCheck: true, cniVersion: "0.4.0", plugins: [{type: "one"}]}]'
	added
	cni CHECK
	assert_ok
	assert_equal "$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/order")" "one two "
	stub_stdin one 3 | jq -e '.name == "a" and .prevResult.cniVersion == "0.4.0" and [.prevResult.interfaces[].name] == ["eth0"]'
	stub_stdin two 2 | jq -e '.name == "b" and .prevResult.cniVersion == "1.0.0" and [.prevResult.interfaces[].name] == ["net2"]'
	stub_env two 2 | grep -qx CNI_IFNAME=net2
	# What has no CHECK yet is not asked.
	assert_equal "$(stub_calls old)" "ADD"
	stub_set two CHECK out '{"code": 142, "msg": "port 17 is gone", "details": "since noon"}'
	stub_set two CHECK exit 1
	cni CHECK
	assert_code 142
	assert_json '.msg == "port 17 is gone" and .details == "since noon"'
}

@test "CHECK is forwarded to the IPAM plugin of a macvlan, with its result [check 52]" {
	stub other-ipam
	stub_reset other-ipam
	stub_set other-ipam ADD out '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.77.0.9/24"}]}'
	conf_edit '.delegates[1].ipam = {type: "other-ipam"}'
	annotations
	added
	cni CHECK
	assert_ok
	assert_equal "$(stub_calls other-ipam)" "ADD CHECK"
	stub_stdin other-ipam 2 | jq -e '.type == "macvlan" and .prevResult.ips == [{version: "4", interface: 0, address: "10.77.0.9/24"}]
		and .prevResult.interfaces[0].name == "net1"'
	stub_set other-ipam CHECK out '{"code": 142, "msg": "nobody knows 10.77.0.9"}'
	stub_set other-ipam CHECK exit 1
	cni CHECK
	assert_code 142
	assert_msg 'nobody knows 10.77.0.9'
}

@test "CHECK works with the real static, and notices what host-local has forgotten [check 43, 52]" {
	conf_edit '.delegates[1].ipam = {type: "static", addresses: [{address: "10.188.7.7/16", gateway: "10.188.0.1"}]}'
	annotations
	added
	cni CHECK
	assert_ok
	cni DEL
	assert_ok
	conf_edit '.delegates[1].ipam = {type: "host-local", subnet: "10.77.0.0/24"} | del(.prevResult)'
	added
	cni CHECK
	assert_ok
	node_exec rm /var/lib/cni/networks/k8snet2/10.77.0.2
	cni CHECK
	((status != 0))
	assert_msg 'host-local'
}

@test "CHECK notices that another namespace is at the pod's path now" {
	added
	pod_down "$POD"
	pod_up "$POD"
	cni CHECK
	assert_code 5
	assert_msg "/run/netns/$POD is another namespace"
	pod_down "$POD"
	cni CHECK
	assert_code 3
}

@test "CHECK of a container whose record is lost goes by the cached results, and notices what is missing" {
	added
	node_exec rm "/var/lib/cni/multus/$CID"
	cni CHECK
	assert_ok
	[[ $stderr == *"container $CID has no record: going by /var/lib/cni/multus/results"* ]]
	pod_ip addr flush dev net1
	cni CHECK
	assert_code 5
	assert_msg '10.188.0.218'
	cni DEL
	assert_ok
}

@test "CHECK of what was never added, or is deleted, is an error" {
	conf_edit '.prevResult = {cniVersion: "0.4.0"}'
	cni CHECK
	assert_code 3
	assert_msg "container $CID has no recorded interface eth0"
	conf_edit 'del(.prevResult)'
	added
	cni CHECK CNI_IFNAME=eth5
	assert_code 3
	assert_msg 'eth5'
	cni DEL
	assert_ok
	cni CHECK
	assert_code 3
}

# bats test_tags=fault
@test "CHECK of an ADD that was killed asks for DEL" {
	conf_edit '.prevResult = {cniVersion: "0.4.0"}'
	cni ADD LAMINA_FAULT=routed:kill
	assert_equal "$status" 137
	cni CHECK
	assert_code 5
	assert_msg 'never completed: call DEL'
}
