#!/usr/bin/env bats
# net1 with addresses that another IPAM plugin gives, or none.
# What macvlan.bash and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/macvlan.bash

@test "host-local is exec'd for the address of a macvlan, and gets it back" {
	CONF=$(seed_conf '.delegates[1].ipam = {type: "host-local", subnet: "10.77.0.0/24", routes: [{dst: "10.99.0.0/16"}]}')
	annotations
	snapshot
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.77.0.2/24
	assert_equal "$(pod_routes | grep 10.99)" '10.99.0.0/16 via 10.77.0.1 dev net1'
	assert_equal "$(node_exec cat /var/lib/cni/networks/k8snet2/10.77.0.2)" "$(printf '%s\r\nnet1' "$CID")"
	cni DEL
	assert_ok
	assert_unchanged
}

@test "static is exec'd for the addresses of a macvlan" {
	conf_edit '.cniVersion = "1.0.0" | .delegates[0].cniVersion = "1.0.0"
		| .delegates[0].ipam = {type: "static", addresses: [{address: "10.188.7.7/16", gateway: "10.188.0.1"}, {address: "fd00:188::7/64"}],
			routes: [{dst: "10.99.0.0/16"}], dns: {nameservers: ["10.188.0.1"]}}
		| .delegates[0].dns = {domain: "db.example"}'
	add
	assert_ok
	# The IPAM plugin's dns is not taken over: the reference plugin's is the configuration's.
	assert_json '.ips == [{address: "10.188.7.7/16", gateway: "10.188.0.1", interface: 0}, {address: "fd00:188::7/64", interface: 0}]
		and .routes == [{dst: "10.99.0.0/16"}] and .dns == {domain: "db.example"}
		and .interfaces[0].name == "net1" and .interfaces[0].sandbox == "/run/netns/" + $pod' --arg pod "$POD"
	assert_equal "$(pod_addrs net1)" $'10.188.7.7/16\nfd00:188::7/64'
	pod_ping 10.188.0.1
	del
}

@test "an IPAM plugin gets the macvlan's own configuration, and our environment [check 59]" {
	CONF=$(seed_conf)
	conf_edit '.delegates[1] += {cniVersion: "1.0.0", mode: "private", ipam: {type: "other-ipam", anything: [1, {two: 3}]},
			capabilities: {ips: true}, args: {cni: {ips: ["10.77.0.9"]}}}
		| .runtimeConfig.ips = ["10.77.0.8/24"]'
	annotations
	stub other-ipam
	stub_reset other-ipam
	stub_set other-ipam ADD out '{"cniVersion": "1.0.0", "ips": [{"address": "10.77.0.9/24"}]}'
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.77.0.9/24
	stub_stdin other-ipam 1 | jq -e '. == ($conf.delegates[1] + {runtimeConfig: {ips: ["10.77.0.8/24"]}})' --argjson conf "$CONF"
	stub_env other-ipam 1 >"$BATS_TEST_TMPDIR/env"
	grep -x 'CNI_COMMAND=ADD' "$BATS_TEST_TMPDIR/env"
	grep -x 'CNI_IFNAME=net1' "$BATS_TEST_TMPDIR/env"
	grep -x "CNI_CONTAINERID=$CID" "$BATS_TEST_TMPDIR/env"
	grep -x "CNI_NETNS=/run/netns/$POD" "$BATS_TEST_TMPDIR/env"
	grep -x "CNI_ARGS=$(delegate_args)" "$BATS_TEST_TMPDIR/env"
	cni DEL
	assert_ok
	assert_equal "$(stub_calls other-ipam)" "ADD DEL"
	stub_stdin other-ipam 2 | jq -e '.type == "macvlan" and .ipam.type == "other-ipam" and .name == "k8snet2"'
}

@test "a useless answer of an IPAM plugin rolls back, and the plugin is told" {
	local answer
	stub_ipam ''
	for answer in '' 'null' '{"cniVersion": "0.3.1"}' '{"cniVersion": "0.3.1", "ips": []}' 'what?' '[]' \
		'{"cniVersion": "9.9.9", "ips": [{"version": "4", "address": "10.77.0.9/24"}]}' \
		'{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.77.0.999/24"}]}' \
		'{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.77.0.9/24", "interface": 0}], "routes": [{"dst": "10.99.0.0/16", "gw": "10.66.0.1"}]}'; do
		stub_reset other-ipam
		stub_set other-ipam ADD out "$answer"
		snapshot
		add
		((status != 0)) || fail "accepted: $answer"
		assert_json '.code > 0 and (.msg | length > 0)'
		assert_unchanged
		assert_equal "$(stub_calls other-ipam)" "ADD DEL"
	done
}

@test "an IPAM plugin's own error is reported as it is, and it is called for DEL [check 61]" {
	stub_ipam '{"code": 111, "msg": "no more addresses", "details": "of any kind"}'
	stub_set other-ipam ADD exit 1
	refused 111
	assert_json '.msg == "no more addresses" and .details == "of any kind"'
	assert_equal "$(stub_calls other-ipam)" "ADD DEL"
}

@test "an IPAM plugin that is not there is noticed before anything is done" {
	conf_edit '.delegates[0].ipam = {type: "absent-ipam"}'
	refused 7
	assert_msg 'failed to find plugin "absent-ipam" in path \[/opt/cni/bin'
}

@test "without ipam net1 is a link that is up and has no address" {
	local ipam
	for ipam in null '{}'; do
		conf_edit '.delegates[0].ipam = $ipam' --argjson ipam "$ipam"
		add
		assert_ok
		assert_json '(.interfaces | length) == 1 and .interfaces[0].name == "net1" and (.ips // []) == []'
		assert_net1 '.up and .kind == "macvlan"'
		assert_equal "$(pod_addrs net1)" ""
		del
	done
}

@test "an ipam section without a type makes no address, and who has written more is warned" {
	local ipam
	for ipam in '{"type": ""}' '{"type": null}' '{"type": "", "subnet": "10.188.0.0/16"}' '{"subnet": "10.188.0.0/16"}'; do
		conf_edit '.delegates[0].ipam = $ipam' --argjson ipam "$ipam"
		add
		assert_ok
		if [[ $ipam == *subnet* ]]; then
			[[ $stderr == *"delegates[0].ipam.type is missing: there will be no address"* ]]
		else
			[[ $stderr != *ipam* ]]
		fi
		assert_json '(.interfaces | length) == 1 and .interfaces[0].name == "net1" and (.ips // []) == []'
		assert_net1 '.up and .kind == "macvlan"'
		assert_equal "$(pod_addrs net1)" ""
		del
	done
}

@test "what an IPAM plugin misses after the namespace is gone is no reason to keep the macvlan" {
	local words='error dialing DHCP daemon: dial unix /run/cni/dhcp.sock: connect: no such file or directory'
	stub_ipam '{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.188.0.5/16"}]}'
	add
	assert_ok
	stub_set other-ipam DEL out "{\"code\": 999, \"msg\": \"$words\"}"
	stub_set other-ipam DEL exit 1
	# While the pod is there the plugin may come back.
	cni DEL CNI_IFNAME=net1
	assert_code 999
	pod_down "$POD"
	cni DEL CNI_IFNAME=net1
	assert_ok
	[[ $stderr == *"the namespace is gone, and what was in it: $words"* ]]
	run ! node_exec test -e "/var/lib/cni/multus/$CID"
	pod_up "$POD"
	# Another failure than that counts, with the namespace or without.
	add
	assert_ok
	pod_down "$POD"
	stub_set other-ipam DEL out '{"code": 43, "msg": "the database is away"}'
	cni DEL CNI_IFNAME=net1
	assert_code 43
	stub_reset other-ipam
	cni DEL CNI_IFNAME=net1
	assert_ok
	pod_up "$POD"
}

@test "a result without address cannot be said in version 0.2.0: then nothing is made [check 28]" {
	conf_edit '.cniVersion = "0.2.0" | del(.delegates[0].ipam)'
	refused 7
	assert_msg 'no valid IP addresses'
	# As a further network it is nobody's result.
	CONF=$(seed_conf '.cniVersion = "0.2.0" | del(.delegates[1].ipam)')
	annotations
	cni ADD
	assert_ok
	assert_net1 '.up'
	cni DEL
	assert_ok
}
