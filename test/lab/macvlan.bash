# A pod whose only network is net1, for the files about the macvlan that lamina makes. To be sourced after cni.bash.
# What is set here is used in the tests; single quotes are for jq.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# Where the next dynamic address is looked for, and which were released of late.
SNAPSHOT_IGNORE='INTO (cursor|released) '
# A fixed address stays its namespace's after DEL.
HOLDS_IGNORED='INTO (cursor|released|hold) '

setup_file()
{
	setup_node
	warm_up
}

teardown_file()
{
	teardown_node
}

# Most tests need no other network: the runtime's interface is net1.
setup()
{
	CONF=$(seed_conf '.delegates |= [.[1]]')
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default web-1 uid-1
	annotations
}

# Of a test that fails, too.
teardown()
{
	cni DEL CNI_IFNAME=net1
	pod_down "p$BATS_TEST_NUMBER"
	node_exec ip link set eth0 mtu 1500
	node_exec ip route replace default via 192.168.122.1
}

add()
{
	cni ADD CNI_IFNAME=net1 "$@"
}

del()
{
	cni DEL CNI_IFNAME=net1
	assert_ok
}

# An ADD that must fail with this code and leave no trace.
refused()
{
	snapshot
	add "${@:2}"
	assert_code "$1"
	assert_unchanged
}

# jq says true of net1 as the witness sees it.
assert_net1()
{
	assert_witness '[.links[] | select(.name == "net1")][0] | '"$1" "${@:2}"
}

# Without what changes by itself, such as a bridge's carrier.
links_of_node()
{
	node_exec ip -j link show | jq -c '.[] | [.ifindex, .ifname, .mtu]'
}

# stub_ipam OUT: an IPAM plugin that answers an ADD with that.
stub_ipam()
{
	stub other-ipam
	stub_reset other-ipam
	stub_set other-ipam ADD out "$1"
	conf_edit '.delegates[0].ipam = {type: "other-ipam", anything: [1, {two: 3}]}'
}
