#!/usr/bin/env bats
# lamina as the IPAM plugin kube-ipam of other plugins: the real macvlan and bridge, Debian's and the newest.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
	node_exec cp -r "$("$LAB_DIR/parts.sh" --path plugins)" /opt/cni/new
	node_exec sh -c 'printf "nameserver 192.0.2.53\nsearch db.example.org example.org\noptions ndots:2\n" >/run/resolv.conf'
	# What bridges leave for good.
	node_exec ip link add br9 type bridge
	node_exec ip addr add 10.188.0.1/16 dev br9
	node_exec ip link set br9 up
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.delegates[1] | .capabilities = {"io.kubernetes.cri.pod-annotations": true} | .cniVersion = "1.0.0"
		| .ipam.resolvConf = "/run/resolv.conf"')
	PLUGIN=macvlan
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	pod_down "p$BATS_TEST_NUMBER"
	node_exec sh -c 'rm -rf /run/lamina /var/lib/cni/multus'
}

# The real bridge plugin in macvlan's place.
use_bridge()
{
	PLUGIN=bridge
	conf_edit 'del(.master) | .type = "bridge" | .bridge = "br9"'
}

# What the plugin says, without what differs from call to call.
keep_result()
{
	RESULT=$(jq -c . <<<"$output")
}

# CHECK of what the last ADD answered.
check_result()
{
	local CONF=$CONF
	conf_edit '.prevResult = $it' --argjson it "$RESULT"
	cni CHECK
}

add_check_delete()
{
	snapshot
	cni ADD
	assert_ok
	keep_result
	assert_equal "$(pod_addrs eth0)" "$1"
	pod_ping 10.188.0.1
	[[ $2 == 0.[123].* ]] || { check_result && assert_ok; }
	cni DEL
	assert_ok
	refute_link eth0
	assert_unchanged
}

@test "the real macvlan and bridge get a dynamic address, routes and a gateway in every version that they speak" {
	local version last=9
	for PLUGIN in macvlan ../new/macvlan; do
		for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
			[[ $PLUGIN$version != macvlan1.1.0 ]] || continue
			conf_edit '.cniVersion = $it' --arg it $version
			add_check_delete "10.188.0.$((++last))/16" $version
		done
	done
	use_bridge
	for PLUGIN in bridge ../new/bridge; do
		for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
			[[ $PLUGIN$version != bridge1.1.0 ]] || continue
			conf_edit '.cniVersion = $it' --arg it $version
			add_check_delete "10.188.0.$((++last))/16" $version
		done
	done
}

@test "the real macvlan and bridge get a pod's fixed addresses" {
	annotations kube-ipam.ip '10.188.0.217, 10.188.0.218' kube-ipam.gateway 10.188.0.1
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0 | xargs)" "10.188.0.217/16 10.188.0.218/16"
	assert_equal "$(pod_routes | grep default)" "default via 10.188.0.1 dev eth0"
	cni DEL
	assert_ok
	use_bridge
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0 | xargs)" "10.188.0.217/16 10.188.0.218/16"
	cni DEL
	assert_ok
	lamina ip ls --json | jq -e 'map(.address + .keptFor) == ["10.188.0.217default", "10.188.0.218default"]'
}

@test "the result has addresses, routes, and the dns of resolvConf, in the form of each version" {
	PLUGIN=kube-ipam
	conf_edit '.cniVersion = "1.1.0" | .ipam.routes += [{dst: "10.9.0.0/24", gw: "10.188.0.9", mtu: 1300}]'
	annotations kube-ipam.ip 10.188.0.217
	cni ADD
	assert_ok
	assert_json '. == {cniVersion: "1.1.0", ips: [{address: "10.188.0.217/16", gateway: "10.188.0.1"}],
		routes: [{dst: "0.0.0.0/0"}, {dst: "10.9.0.0/24", gw: "10.188.0.9", mtu: 1300}],
		dns: {nameservers: ["192.0.2.53"], search: ["db.example.org", "example.org"], options: ["ndots:2"]}}'
	conf_edit '.cniVersion = "0.3.1"'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "0.3.1" and .ips == [{version: "4", address: "10.188.0.217/16", gateway: "10.188.0.1"}]
		and (has("interfaces") | not) and .dns.nameservers == ["192.0.2.53"]'
	conf_edit '.cniVersion = "0.2.0"'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "0.2.0" and .ip4.ip == "10.188.0.217/16" and .ip4.gateway == "10.188.0.1" and (.ip4.routes | length == 2)'
	conf_edit 'del(.cniVersion, .ipam.resolvConf)'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "0.1.0" and .dns == {}'
	cni DEL
	assert_ok
}

@test "the rules for addresses are the same: each refusal has lamina's code and text through the real plugin" {
	annotations kube-ipam.ip 10.188.0.217
	pod_up other
	pod_args default database-1 uid-0
	POD=other CID=other cni ADD
	assert_ok
	pod_args default web-1 uid-1
	for PLUGIN in macvlan kube-ipam; do
		cni ADD
		assert_code_of_go 11
		assert_msg '10.188.0.217 is held by default/database-1'
	done
	PLUGIN=kube-ipam
	refuse 7 'kube-ipam.ip is 10.189.0.5: no subnet of network k8snet2 holds it' kube-ipam.ip 10.189.0.5
	refuse 7 'kube-ipam.ip' kube-ipam.ip 10.188.0.1
	refuse 7 'kube-ipam.ip' kube-ipam.ip 10.188.0.300
	refuse 7 'kube-ipam.netmask is "24", but ipam.subnet is 10.188.0.0/16: .* make it 255.255.0.0' kube-ipam.ip 10.188.0.5 kube-ipam.netmask 24
	conf_edit 'del(.runtimeConfig)'
	refuse 7 'did not hand over the annotations'
	conf_edit '.ipam.rangeStart = "10.188.0.220" | .ipam.rangeEnd = "10.188.0.1"'
	refuse 7 'ipam.rangeStart'
	conf_edit '.ipam.type = "host-local"'
	refuse 7 'ipam.type is host-local: it must be kube-ipam'
	PLUGIN=macvlan
	POD=other CID=other CONF=$(jq '.ipam.type = "kube-ipam"' <<<"$CONF") cni DEL
	pod_down other
}

# Go's plugins do not say the version in an error.
assert_code_of_go()
{
	((status != 0))
	assert_json '.code == $code' --argjson code "$1"
}

# Usage: refuse CODE REGEX [annotations]
refuse()
{
	[[ $# == 2 ]] || annotations "${@:3}"
	snapshot
	cni ADD
	assert_code "$1"
	assert_msg "$2"
	assert_unchanged
}

@test "an ADD that is repeated gets the same answer, and nothing changes" {
	local first
	PLUGIN=kube-ipam
	cni ADD
	assert_ok
	first=$output
	snapshot
	cni ADD
	assert_ok
	assert_equal "$output" "$first"
	assert_unchanged
	# What stands in the record counts, also when the claims file is lost.
	node_exec sh -c 'rm /run/lamina/*'
	cni ADD
	assert_ok
	assert_equal "$output" "$first"
	pod_up other
	CID=other POD=other cni ADD
	assert_ok
	assert_json '.ips[0].address == "10.188.0.11/16"'
	CID=other POD=other cni DEL
	pod_down other
	cni DEL
	assert_ok
}

@test "DEL goes by the record, without one by the network's name, twice, and with a configuration that is broken by now" {
	local damage
	PLUGIN=kube-ipam
	snapshot
	for damage in true 'rm' 'truncate -s 10' 'truncate -s 0'; do
		cni ADD
		assert_ok
		# shellcheck disable=SC2086 # a command of several words
		node_exec $damage "/var/lib/cni/multus/lease/$CID.eth0"
		cni DEL
		assert_ok
		assert_unchanged
		cni DEL CNI_NETNS=
		assert_ok
		assert_unchanged
	done
	cni ADD
	assert_ok
	conf_edit '.ipam = {type: "kube-ipam", subnet: "nonsense"} | .runtimeConfig = 7'
	pod_down "$POD"
	cni DEL CNI_NETNS=
	assert_ok
	pod_up "$POD"
	assert_unchanged
}

@test "two interfaces of one container have an address each, and DEL of one leaves the other's" {
	snapshot
	conf_edit '.ipam |= del(.routes)'
	cni ADD
	assert_ok
	use_bridge
	cni ADD CNI_IFNAME=lan0
	assert_ok
	assert_equal "$(pod_addrs eth0) $(pod_addrs lan0)" "10.188.0.10/16 10.188.0.11/16"
	cni DEL CNI_IFNAME=lan0
	assert_ok
	lamina ip ls --json | jq -e 'map(.address + .interface) == ["10.188.0.10eth0"]'
	PLUGIN=macvlan cni DEL
	assert_ok
	assert_unchanged
}

@test "CHECK succeeds after ADD, and fails when the address is not the container's any more" {
	cni ADD
	assert_ok
	keep_result
	check_result
	assert_ok
	lamina ip release 10.188.0.10 --force
	check_result
	assert_code_of_go 5
	assert_msg 'address 10.188.0.10 of eth0 is not recorded'
	node_exec rm "/var/lib/cni/multus/lease/$CID.eth0"
	PLUGIN=kube-ipam check_result
	assert_code 5
	assert_msg 'interface eth0 of container .* has no recorded address'
	cni DEL
	assert_ok
}

# bats test_tags=fault
@test "killed at any step of ADD or DEL, alone or under the real macvlan, DEL frees the address [check 82]" {
	local point
	PLUGIN=kube-ipam
	snapshot
	for point in record_first store_before_commit store_after_commit claimed record_done; do
		cni ADD "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_unchanged
	done
	for point in store_before_commit store_after_commit; do
		cni ADD
		assert_ok
		cni DEL "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_unchanged
	done
	PLUGIN=macvlan
	for point in store_before_commit claimed record_done; do
		cni ADD "LAMINA_FAULT=$point:kill"
		((status == 1))
		cni DEL
		assert_ok
		assert_unchanged
	done
}

# bats test_tags=fault
@test "a step of ADD that fails leaves nothing, and keeps the address for nobody" {
	local point
	PLUGIN=kube-ipam
	annotations kube-ipam.ip 10.188.0.217
	snapshot
	for point in record_first store_before_commit claimed record_done; do
		cni ADD "LAMINA_FAULT=$point:fail"
		assert_code 5
		assert_msg '^fault'
		assert_unchanged
	done
}

@test "a record of multus for the same container is never touched" {
	local file=/var/lib/cni/multus/$CID
	node_exec sh -c 'mkdir -p /var/lib/cni/multus && printf "[{\"Conf\": 1}" >"$1"' sh "$file"
	snapshot
	cni ADD
	assert_ok
	assert_equal "$(node_exec cat "$file")" '[{"Conf": 1}'
	cni DEL
	assert_ok
	assert_unchanged
}

@test "lamina's own macvlan and kube-ipam under the real one never hand out one address" {
	local own
	own=$(seed_conf '.delegates = [.delegates[1]] | .delegates[0].ipam |= (.rangeEnd = "10.188.0.11")')
	conf_edit '.ipam.rangeEnd = "10.188.0.11"'
	cni ADD
	assert_ok
	pod_up own
	CONF=$own
	annotations
	PLUGIN=lamina POD=own CID=own cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0) $(POD=own pod_addrs eth0)" "10.188.0.10/16 10.188.0.11/16"
	pod_up third
	PLUGIN=lamina POD=third CID=third cni ADD
	assert_code 11
	pod_down own
	pod_down third
}

@test "a pod whose namespace is gone gives way; one that runs does not, even to a new sandbox of the same pod" {
	annotations kube-ipam.ip 10.188.0.217
	cni ADD
	assert_ok
	pod_up new
	PLUGIN=kube-ipam POD=new CID=new cni ADD
	assert_code 11
	assert_msg 'is held by default/web-1'
	pod_down "$POD"
	POD=new CID=new cni ADD
	assert_ok
	cni DEL CNI_NETNS=
	assert_ok
	lamina ip show 10.188.0.217 --json | jq -e '.[0].container == "new"'
	pod_down new
}

@test "a repeated ADD does not believe its record when the store says otherwise" {
	PLUGIN=kube-ipam
	cni ADD
	assert_ok
	lamina ip release --force "$(jq -r '.ips[0].address | split("/")[0]' <<<"$output")"
	lamina ip ls --json | jq -e 'length == 0'
	cni ADD
	assert_ok
	lamina ip ls --json | jq -e --arg a "$(jq -r '.ips[0].address | split("/")[0]' <<<"$output")" '.[0].address == $a'
	cni DEL
	assert_ok
	lamina ip ls --json | jq -e 'length == 0'
}

@test "beside a network that lamina makes, an exec'd one gets just the address of its own subnet" {
	PLUGIN=lamina
	CONF=$(seed_conf '.delegates = [.delegates[1], {name: "exec", type: "bridge", bridge: "br7",
		capabilities: {"io.kubernetes.cri.pod-annotations": true},
		ipam: {type: "kube-ipam", subnet: "10.77.0.0/16", gateway: "10.77.0.1"}}] | .delegates[].cniVersion = "0.4.0"')
	annotations kube-ipam.ip "10.77.0.9, 10.188.0.91" kube-ipam.netmask 16
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)/$(pod_addrs net1)" "10.188.0.91/16/10.77.0.9/16"
	cni DEL
	assert_ok

	annotations kube-ipam.ip 10.188.0.91 kube-ipam.gateway 10.188.0.1
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" "10.188.0.91/16"
	[[ $(pod_addrs net1) == 10.77.* ]]
	cni DEL
	assert_ok
	lamina ip ls --json | jq -e 'all(.kind == "kept")'

	annotations kube-ipam.ip 10.99.0.9
	cni ADD
	assert_code 7
	assert_msg '10.99.0.9'
	node_exec ip link del br7
}
