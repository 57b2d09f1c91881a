#!/usr/bin/env bats
# STATUS: whether this node could serve an ADD, by what lies on it alone.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.cniVersion = "1.1.0"')
	stub hand
	stub_reset hand
}

# STATUS as libcni calls it.
ask()
{
	cni STATUS CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
}

@test "STATUS of a good node is silent success and writes nothing [check 53]" {
	snapshot
	ask
	assert_ok
	assert_equal "$stderr" ""
	assert_unchanged
	node_exec test ! -e /run/lamina
	node_exec test ! -e /var/lib/cni/multus
}

@test "cnitool's status is success on a good node, and says what is wrong on another [check 53]" {
	node_conf - 10-multus.conf <<<"$CONF"
	node_cnitool status multus-demo nothing
	node_conf - 10-multus.conf <<<"$(jq '.delegates[1].master = "eth9"' <<<"$CONF")"
	run node_cnitool status multus-demo nothing
	echo "$output"
	assert_equal "$status" 1
	[[ $output == *'delegates[1].master is "eth9": there is no such interface on this node'* ]]
}

@test "STATUS says code 50 and names a master that is missing or down [check 53]" {
	conf_edit '.delegates[1].master = "eth9"'
	ask
	assert_code 50
	assert_msg 'delegates\[1\].master is "eth9": there is no such interface on this node'
	node_exec ip link add spare type bridge
	conf_edit '.delegates[1].master = "spare"'
	ask
	assert_code 50
	assert_msg 'delegates\[1\].master is spare, which is down'
	node_exec ip link set spare up
	ask
	assert_ok
	node_exec ip link del spare
}

@test "STATUS says code 50 and names a delegate's binary that is missing, also an IPAM plugin's [check 53]" {
	conf_edit '.delegates[0].type = "nowhere"'
	ask
	assert_code 50
	assert_msg 'failed to find plugin "nowhere"'
	assert_msg 'delegates\[0\] \(k8snet1\)'
	CONF=$(seed_conf '.cniVersion = "1.1.0" | .delegates[1].ipam = {type: "never"}')
	ask
	assert_code 50
	assert_msg 'delegates\[1\].ipam.type: failed to find plugin "never"'
}

@test "STATUS says of a configuration what ADD would say" {
	local change
	while read -r change; do
		CONF=$(seed_conf '.cniVersion = "1.1.0"')
		conf_edit "$change"
		ask
		assert_code 7
		local said=$output
		new_pod refused
		annotations
		cni ADD
		pod_down refused
		assert_equal "$(jq -r .msg <<<"$said")" "$(jq -r .msg <<<"$output")"
	done <<-'END'
		.delegates = []
		.timeout = 0
		.delegates[1].mode = "sideways"
		.delegates[1].ipam.rangeStart = "10.1.2.3"
		.delegates[0].type = "multus"
		.delegates += [.delegates[1]]
	END
}

@test "STATUS asks delegates of 1.1.0, every plugin of a list and an IPAM plugin; older ones are not asked [check 54]" {
	local plugin
	for plugin in one two ipam old; do
		stub "$plugin"
		stub_reset "$plugin"
	done
	conf_edit '.delegates = [{cniVersion: "1.1.0", name: "hands", type: "hand"},
		{cniVersion: "1.1.0", name: "list", plugins: [{type: "one"}, {type: "two"}]},
		{cniVersion: "1.1.0", name: "macvlans", type: "macvlan", master: "eth0", ipam: {type: "ipam"}},
		{cniVersion: "1.0.0", name: "olds", type: "old"},
		{cniVersion: "1.0.0", name: "oldvlans", type: "macvlan", master: "eth0", ipam: {type: "old"}}]'
	ask
	assert_ok
	for plugin in hand one two ipam; do
		assert_equal "$plugin $(stub_calls "$plugin")" "$plugin STATUS"
	done
	assert_equal "$(stub_calls old)" ""
	assert_equal "$(stub_stdin two 1 | jq -c '[.name, .cniVersion, .type]')" '["list","1.1.0","two"]'
	assert_equal "$(stub_stdin ipam 1 | jq -c '[.name, .type, .ipam.type]')" '["macvlans","macvlan","ipam"]'
	assert_equal "$(stub_env two 1 | grep -E '^CNI_(COMMAND|CONTAINERID|NETNS|IFNAME|ARGS)=.' | paste -sd ' ')" CNI_COMMAND=STATUS
}

@test "a delegate that is not ready is code 50, in its own words and named; its 51 stays [check 54]" {
	conf_edit '.delegates[0] = {cniVersion: "1.1.0", name: "hands", type: "hand"}'
	stub_set hand STATUS out '{"cniVersion": "1.1.0", "code": 7, "msg": "no hand on this node"}'
	stub_set hand STATUS exit 1
	ask
	assert_code 50
	assert_msg 'delegates\[0\] \(hands\): no hand on this node'
	stub_set hand STATUS out '{"cniVersion": "1.1.0", "code": 51, "msg": "only one hand"}'
	ask
	assert_code 51
	stub_set hand STATUS out ''
	stub_set hand STATUS err 'out of hands'
	ask
	assert_code 50
	assert_msg 'out of hands'
}

@test "a delegate that never answers STATUS is given up, and named" {
	conf_edit '.timeout = 1 | .delegates[0] = {cniVersion: "1.1.0", name: "hands", type: "hand"}'
	stub_set hand STATUS run 'sleep 1000'
	ask
	assert_code 50
	assert_msg 'plugin type="hand" did not answer'
}

@test "STATUS asks no server and opens no store: whatever the environment says of a pod" {
	conf_edit '.kubeconfig = "/etc/kubernetes/nothing" | .delegates[1].ipam.etcdConfig = {etcdURL: "http://192.0.2.1:2379"}'
	node_exec sh -c 'mkdir -p /run/lamina && echo damaged >/run/lamina/$(cat /proc/sys/kernel/random/boot_id).db'
	snapshot
	cni STATUS CNI_ARGS="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_UID=uid-1"
	assert_ok
	assert_unchanged
	node_exec rm -r /run/lamina
}

@test "as kube-ipam STATUS looks at the configuration alone [check 53]" {
	PLUGIN=kube-ipam
	CONF=$(seed_conf '.delegates[1] | .cniVersion = "1.1.0" | .master = "eth9"')
	snapshot
	ask
	assert_ok
	conf_edit '.ipam.rangeStart = "10.1.2.3"'
	ask
	assert_code 7
	assert_msg 'ipam.rangeStart'
	assert_unchanged
}
