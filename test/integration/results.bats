#!/usr/bin/env bats
# What ADD answers: the default network's result, in the shape of the version that is asked for. The files in golden/ are what the
# reference macvlan prints for the same configuration, and what libcni's converters make of delegate.json.
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
	stub full
	stub_set full ADD out "$(<"$GOLDEN/delegate.json")"
	ARGS=
	new_pod p1
}

teardown()
{
	pod_down p1
	stub_reset full
}

readonly GOLDEN=$BATS_TEST_DIRNAME/golden
readonly VERSIONS=(0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0)

# delegate_conf VERSION [FILTER]: the default network is what a delegate says.
delegate_conf()
{
	CONF=$(jq -n '{cniVersion: $version, name: "node", type: "lamina", delegates: [{cniVersion: $version, name: "full", type: "full"}]}' \
		--arg version "$1")
	conf_edit "${2:-.}"
}

# macvlan_conf VERSION [FILTER]: the default network is a macvlan of ours, with fixed addresses.
macvlan_conf()
{
	CONF=$(jq -n '{cniVersion: $version, name: "node", type: "lamina", args: {cni: {ips: ["10.188.0.5", "fd00:188::5"]}},
		delegates: [{cniVersion: $version, name: "l2", type: "macvlan", master: "eth0", mac: "02:00:00:00:00:42",
			ipam: {type: "kube-ipam", subnet: "10.188.0.0/16", ranges: [[{subnet: "fd00:188::/64"}]],
				routes: [{dst: "0.0.0.0/0"}, {dst: "10.9.0.0/16", gw: "10.188.0.7", mtu: 1300}, {dst: "fd00:9::/64"}]},
			dns: {nameservers: ["10.0.0.10"], domain: "d.example", search: ["s.example"], options: ["ndots:5"]}}]}' \
		--arg version "$1")
	conf_edit "${2:-.}"
}

assert_golden()
{
	diff -u "$GOLDEN/$1.json" <(jq -S . <<<"$output")
}

added()
{
	cni ADD
	assert_ok
	cni DEL
	assert_ok
}

@test "a delegate's result has the shape of each version [check 26, 29, 30, 31]" {
	local version
	for version in "${VERSIONS[@]}"; do
		delegate_conf "$version"
		cni ADD
		assert_ok
		assert_golden "delegate-$version"
		cni DEL
		assert_ok
	done
}

@test "the result of lamina's own macvlan is the reference plugin's in each version [check 26, 29, 30, 31, 32]" {
	local version
	for version in "${VERSIONS[@]}"; do
		macvlan_conf "$version"
		cni ADD
		assert_ok
		assert_golden "macvlan-$version"
		cni DEL
		assert_ok
	done
}

@test "an older delegate's result is put into a newer version's shape, and the other way round [check 26, 31]" {
	stub_set full ADD out '{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
		"ip6": {"ip": "fd00:1::5/64", "routes": [{"dst": "fd00::/8", "gw": "fd00:1::2"}]}, "dns": {"domain": "d.example"}}'
	delegate_conf 1.1.0 '.delegates[0].cniVersion = "0.2.0"'
	cni ADD
	assert_ok
	assert_json '. == {cniVersion: "1.1.0", ips: [{address: "10.1.0.5/24", gateway: "10.1.0.1"}, {address: "fd00:1::5/64"}],
		routes: [{dst: "0.0.0.0/0"}, {dst: "fd00::/8", gw: "fd00:1::2"}], dns: {domain: "d.example"}}'
	cni DEL
	assert_ok

	stub_set full ADD out "$(jq '.cniVersion = "1.0.0"' "$GOLDEN/delegate.json")"
	delegate_conf 0.2.0 '.delegates[0].cniVersion = "1.0.0"'
	cni ADD
	assert_ok
	assert_golden delegate-0.2.0
	cni DEL
	assert_ok
}

@test "flannel's result is in the version of the configuration, its address on the pod's eth0 [check 26, 29, 31, 87]" {
	local version
	for version in 0.3.1 0.4.0; do
		CONF=$(seed_conf ".cniVersion = \"$version\" | .delegates[0].cniVersion = \"$version\"")
		cni ADD
		assert_ok
		assert_json '.cniVersion == $version and (.ips | length == 1) and .interfaces[.ips[0].interface] ==
			{name: "eth0", mac: $mac, sandbox: "/run/netns/p1"}' \
			--arg version "$version" --arg mac "$(pod_link eth0 | jq -r .address)"
		assert_json '[.interfaces[].name] | contains(["net1"]) | not'
		cni DEL
		assert_ok
	done
}

@test "an empty dns is {} up to 0.4.0, and left out from 1.0.0 on [check 26]" {
	local version
	stub_set full ADD out '{"ips": [{"version": "4", "address": "10.1.0.5/24"}]}'
	for version in 0.2.0 0.3.1 0.4.0; do
		delegate_conf "$version" '.delegates[0].cniVersion = "0.4.0"'
		cni ADD
		assert_ok
		assert_json '.dns == {}'
		cni DEL
	done
	for version in 1.0.0 1.1.0; do
		delegate_conf "$version" '.delegates[0].cniVersion = "0.4.0"'
		cni ADD
		assert_ok
		assert_json 'has("dns") | not'
		cni DEL
	done
}

@test "of two addresses of a family 0.1.0 and 0.2.0 tell the first, and the interface has both [check 27]" {
	local version
	for version in 0.1.0 0.2.0; do
		macvlan_conf "$version" '.args.cni.ips = ["10.188.0.6", "10.188.0.5"] | del(.delegates[0].ipam.ranges)
			| .delegates[0].ipam.routes = []'
		cni ADD
		assert_ok
		assert_json '.ip4 == {ip: "10.188.0.6/16", gateway: "10.188.0.1"} and (has("ip6") | not)'
		assert_equal "$(pod_addrs eth0)" $'10.188.0.6/16\n10.188.0.5/16'
		cni DEL
		assert_ok
	done
}

@test "a result without addresses cannot be told in 0.2.0: an error, and nothing is left [check 28]" {
	local version
	snapshot
	for version in 0.1.0 0.2.0; do
		macvlan_conf "$version" 'del(.args, .delegates[0].ipam)'
		cni ADD
		assert_code 7
		assert_msg '^cannot convert: no valid IP addresses'
		stub_set full ADD out '{"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]}'
		delegate_conf "$version"
		cni ADD
		assert_code 7
		assert_msg '^cannot convert: no valid IP addresses'
	done
	assert_unchanged
	assert_equal "$(stub_calls full)" 'ADD DEL ADD DEL'

	macvlan_conf 0.3.0 'del(.args, .delegates[0].ipam)'
	added
}

@test "sandbox is CNI_NETNS letter by letter [check 29]" {
	macvlan_conf 1.0.0
	cni ADD CNI_NETNS=/run/netns/../netns//p1
	assert_ok
	assert_json '.interfaces == [{name: "eth0", mac: "02:00:00:00:00:42", sandbox: "/run/netns/../netns//p1"}]'
	assert_json '[.ips[].interface] == [0, 0]'
	cni DEL CNI_NETNS=/run/netns/../netns//p1
	assert_ok
}

@test "a MAC that lamina chose is the link's own in the result" {
	macvlan_conf 1.0.0 'del(.delegates[0].mac)'
	cni ADD
	assert_ok
	assert_json '.interfaces[0].mac == $mac' --arg mac "$(pod_link eth0 | jq -r .address)"
	cni DEL
	assert_ok
}

@test "the extra fields of routes are in the result from 0.3.0 on, and not before [check 30]" {
	local version route='{dst: "10.9.0.0/16", gw: "10.188.0.7", mtu: 1300, advmss: 1260, priority: 7, table: 77, scope: 0}'
	for version in "${VERSIONS[@]}"; do
		macvlan_conf "$version" ".delegates[0].ipam.routes = [$route]"
		cni ADD
		assert_ok
		case $version in
		0.1.0 | 0.2.0) assert_json '.ip4.routes == [{dst: "10.9.0.0/16", gw: "10.188.0.7"}]' ;;
		*) assert_json ".routes == [$route]" ;;
		esac
		cni DEL
		assert_ok
	done
}

@test "the configuration's dns is in the result, in Go's members alone [check 32]" {
	macvlan_conf 1.0.0 '.delegates[0].dns = {NameServers: ["10.0.0.10"], unknown: 1, search: [], domain: ""}'
	cni ADD
	assert_ok
	assert_json '.dns == {nameservers: ["10.0.0.10"]}'
	cni DEL
	assert_ok
	macvlan_conf 1.0.0 'del(.delegates[0].dns)'
	cni ADD
	assert_ok
	assert_json 'has("dns") | not'
	cni DEL
	assert_ok
}

@test "the delegate's dns is in the result, and net1's is not [check 32]" {
	delegate_conf 1.0.0 '.delegates += [{name: "l2", type: "macvlan", master: "eth0", dns: {nameservers: ["10.9.9.9"]}}]'
	cni ADD
	assert_ok
	assert_golden delegate-1.0.0
	cni DEL
	assert_ok
}

@test "prevResult comes first, and what is ours behind it with its indexes shifted [check 33]" {
	local version prev
	for version in 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
		prev=$(jq -n '{cniVersion: $version, interfaces: [{name: "before0"}, {name: "before1", sandbox: "/run/netns/p1"}],
			ips: [{version: "4", address: "10.7.0.5/24", interface: 1}], routes: [{dst: "10.8.0.0/16"}], dns: {domain: "before.example"}}
			| if $version >= "1" then del(.ips[].version) else . end' --arg version "$version")
		delegate_conf "$version" ".prevResult = $prev"
		cni ADD
		assert_ok
		assert_json '.interfaces == $prev.interfaces + $own.interfaces and .routes == $prev.routes + $own.routes and .dns == $own.dns
			and .ips == $prev.ips + ($own.ips | map(.interface += 2)) and .cniVersion == $own.cniVersion' \
			--argjson prev "$prev" --argjson own "$(<"$GOLDEN/delegate-$version.json")"
		cni DEL
		assert_ok
	done
}

@test "prevResult is merged with a macvlan's result, and its dns stays when there is no other [check 33]" {
	macvlan_conf 1.0.0 'del(.delegates[0].dns) | .prevResult = {cniVersion: "1.0.0", interfaces: [{name: "before0"}],
		ips: [{address: "10.7.0.5/24", interface: 0}], dns: {domain: "before.example"}}'
	cni ADD
	assert_ok
	assert_json '[.interfaces[].name] == ["before0", "eth0"] and [.ips[].interface] == [0, 1, 1] and .dns == {domain: "before.example"}'
	cni DEL
	assert_ok
}

@test "prevResult of 0.2.0 is merged, too, and the first address of a family is the one before [check 33, 27]" {
	delegate_conf 0.2.0 '.prevResult = {ip4: {ip: "10.7.0.5/24", routes: [{dst: "10.8.0.0/16"}]}}'
	cni ADD
	assert_ok
	assert_json '.ip4.ip == "10.7.0.5/24" and .ip6.ip == "fd00:1::5/64"'
	cni DEL
	assert_ok
}

@test "a prevResult that is none is an error, and nothing is left [check 33]" {
	local prev
	snapshot
	for prev in '"text"' '[]' '{"cniVersion": "9.9.9"}' '{"ips": [{"address": "10.7.0.300/24"}]}' \
		'{"interfaces": [], "ips": [{"address": "10.7.0.5/24", "interface": -1}]}'; do
		macvlan_conf 1.0.0 ".prevResult = $prev"
		cni ADD
		assert_code 6
		assert_msg '^could not parse prevResult'
	done
	assert_unchanged
}
