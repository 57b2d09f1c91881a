#!/usr/bin/env bats
# Which address a pod gets: what its annotations, the runtime and the configuration ask for, what of that is refused, and when the
# address is a dynamic one.
load ../lab/cni

setup_file()
{
	setup_node
}

teardown_file()
{
	teardown_node
}

# The seed with a recorder for flannel: it shows whether anything was started.
setup()
{
	stub first
	CONF=$(seed_conf '.delegates[0].type = "first"')
	annotations
	new_pod p1
	pod_args default web-1 uid-1
}

teardown()
{
	pod_down p1
	pod_down p2
	stub_reset first
}

# added [IF] ADDRESS ...: ADD succeeds, the interface (default: net1) has exactly these addresses, and DEL succeeds.
added()
{
	local if=net1
	[[ $1 != net* && $1 != eth* ]] || { if=$1 && shift; }
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs "$if")" "$(printf '%s\n' "$@")"
	cni DEL
	assert_ok
}

# An address of the seed's range, 10.188.0.10 to 10.188.0.200.
assert_dynamic()
{
	local addr
	addr=$(pod_addrs "${1:-net1}")
	[[ $addr =~ ^10\.188\.0\.([0-9]+)/16$ ]] || fail "not of the subnet, or not one: $addr"
	((BASH_REMATCH[1] >= 10 && BASH_REMATCH[1] <= 200)) || fail "not of the range: $addr"
}

added_dynamic()
{
	cni ADD
	assert_ok
	assert_dynamic
	cni DEL
	assert_ok
}

# refused CODE REGEX: ADD fails so.
refused()
{
	cni ADD
	assert_code "$1"
	assert_msg "$2"
}

assert_nothing_done()
{
	assert_unchanged
	assert_equal "$(stub_calls first)" ''
}

# second_network SUBNET: one more macvlan with addresses of ours, as net2.
second_network()
{
	conf_edit '.delegates += [{name: "k8snet3", type: "macvlan", master: "eth0", ipam: {type: "kube-ipam", subnet: $subnet}}]' \
		--arg subnet "$1"
}

@test "the address of kube-ipam.ip is on net1, with the subnet's prefix and its gateway" {
	annotations kube-ipam.ip 10.188.0.218
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	[[ $(pod_routes 101) == *'default via 10.188.0.1 dev net1'* ]]
	cni DEL
	assert_ok
}

@test "a fixed address may lie outside of rangeStart and rangeEnd, up to the edges of the subnet" {
	local addr
	for addr in 10.188.0.9 10.188.0.201 10.188.0.2 10.188.255.254 10.188.77.0 10.188.77.255; do
		annotations kube-ipam.ip "$addr"
		added "$addr/16"
	done
}

@test "kube-ipam.ip that is no address is refused with its value" {
	local text shown
	snapshot
	for text in 10.188.0.300 24 '' ' ' 10.188.0.5/16 '10.188.0.5 10.188.0.6' '10.188.0.5;10.188.0.6' 10.188.0.05 10.188.5 0x0abc0005 \
		web-1 10.188.0.5-10.188.0.9; do
		shown=${text# }
		annotations kube-ipam.ip "$text"
		refused 7 "^kube-ipam\.ip is \"$shown\": it must be an IP address, or several with commas"
	done
	for text in '10.188.0.5,' ',10.188.0.5' '10.188.0.5,,10.188.0.6' ','; do
		annotations kube-ipam.ip "$text"
		refused 7 '^kube-ipam\.ip is "": it must be an IP address'
	done
	conf_edit '.runtimeConfig["io.kubernetes.cri.pod-annotations"] = {"kube-ipam.ip": 24}'
	refused 7 '^kube-ipam\.ip must be a string'
	assert_nothing_done
}

@test "kube-ipam.ip that no pod can have is refused with the reason" {
	local addr
	snapshot
	annotations kube-ipam.ip 10.188.0.1
	refused 7 '^kube-ipam\.ip is 10\.188\.0\.1: this is the gateway of 10\.188\.0\.0/16'
	annotations kube-ipam.ip 10.188.255.255
	refused 7 '^kube-ipam\.ip is 10\.188\.255\.255: this is the broadcast address of 10\.188\.0\.0/16'
	annotations kube-ipam.ip 10.188.0.0
	refused 7 '^kube-ipam\.ip is 10\.188\.0\.0: this is the network address of 10\.188\.0\.0/16'
	for addr in 10.189.0.5 10.187.255.255 192.168.122.50 fd00::5 127.0.0.1 0.0.0.0 255.255.255.255; do
		annotations kube-ipam.ip "$addr"
		refused 7 "^kube-ipam\.ip is $addr: no network of this node has a subnet that holds it; there is 10\.188\.0\.0/16 \(delegates\[1\]\.ipam\)"
	done
	# One bad address spoils a list, wherever it stands.
	annotations kube-ipam.ip 10.188.0.5,10.188.0.1
	refused 7 'gateway'
	annotations kube-ipam.ip 10.189.0.5,10.188.0.5
	refused 7 '10\.189\.0\.5'
	assert_nothing_done
}

@test "all addresses of a list are on net1, up to 16, in order, with spaces around the commas" {
	annotations kube-ipam.ip ' 10.188.0.6 ,10.188.0.5, 10.188.9.9'
	added 10.188.0.6/16 10.188.0.5/16 10.188.9.9/16
	annotations kube-ipam.ip "$(seq -s , -f 10.188.1.%g 16)"
	# shellcheck disable=SC2046 # sixteen words
	added $(seq -f 10.188.1.%g/16 16)
}

@test "more than 16 addresses, or one twice, are refused" {
	snapshot
	annotations kube-ipam.ip "$(seq -s , -f 10.188.1.%g 17)"
	refused 7 '^kube-ipam\.ip has more than 16 addresses'
	annotations kube-ipam.ip "$(seq -s , -f 10.188.1.%g 250),$(seq -s , -f 10.188.2.%g 50)"
	refused 7 '^kube-ipam\.ip (has more than 16|is longer than)'
	annotations kube-ipam.ip "$(printf '10.188.1.1%*s' 5000 '')"
	refused 7 '^kube-ipam\.ip is longer than'
	annotations kube-ipam.ip 10.188.0.5,10.188.0.6,10.188.0.5
	refused 7 '^kube-ipam\.ip has 10\.188\.0\.5 twice'
	assert_nothing_done
}

@test "kube-ipam.netmask may be dotted or a length, and is the subnet's or refused" {
	local mask
	for mask in 255.255.0.0 16 ' 16 '; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.netmask "$mask"
		added 10.188.0.5/16
	done
	stub_reset first

	snapshot
	for mask in 33 255.0.255.0 '' -1 016 /16 0.0.255.255 255.255.0 255.255.0.256 mask; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.netmask "$mask"
		refused 7 "^kube-ipam\.netmask is \"$mask\": it must be a netmask as 255\.255\.0\.0 or a length from 0 to 32"
	done
	# The value is said as it was written, but for the white space around it.
	for mask in 24 255.255.255.0 $'\t255.255.255.0 \n' "$(printf '%*s24' 100 '')"; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.netmask "$mask"
		read -r mask <<<"${mask//$'\n'/}"
		refused 7 "^kube-ipam\.netmask is \"$mask\", but delegates\[1\]\.ipam\.subnet is 10\.188\.0\.0/16: leave the annotation out or make it 255\.255\.0\.0\$"
	done
	assert_nothing_done
}

@test "kube-ipam.gateway is net1's gateway" {
	annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway ' 10.188.0.254 '
	cni ADD
	assert_ok
	[[ $(pod_routes 101) == *'default via 10.188.0.254 dev net1'* ]]
	cni DEL
	assert_ok
}

@test "kube-ipam.gateway outside of the subnet, of another family, twice, or nobody's address is refused" {
	local text
	snapshot
	annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway 10.189.0.1
	refused 7 '^kube-ipam\.gateway is 10\.189\.0\.1: it must lie in 10\.188\.0\.0/16'
	for text in fd00:188::1 10.188.0.254,fd00:188::1; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway "$text"
		refused 7 '^kube-ipam\.gateway is fd00:188::1: kube-ipam\.ip has no address of that family'
	done
	annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway 10.188.0.254,10.188.0.253
	refused 7 '^kube-ipam\.gateway is "10\.188\.0\.254,10\.188\.0\.253": at most one per family'
	for text in 10.188.0.0 10.188.255.255; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway "$text"
		refused 7 "^kube-ipam\.gateway is $text, the network or broadcast address"
	done
	annotations kube-ipam.ip 10.188.0.5,10.188.0.6 kube-ipam.gateway 10.188.0.6
	refused 7 "^kube-ipam\.gateway is 10\.188\.0\.6, which is the pod's own"
	for text in '' x 10.188.0.254/16 224.0.0.1; do
		annotations kube-ipam.ip 10.188.0.5 kube-ipam.gateway "$text"
		refused 7 "^kube-ipam\.gateway is \"$text\": it must be an IP address"
	done
	assert_nothing_done
}

@test "a netmask or gateway without an address is a misspelt annotation, and refused" {
	snapshot
	annotations kube-ipam.netmask 255.255.0.0
	refused 7 '^kube-ipam\.netmask is set without kube-ipam\.ip'
	annotations kube-ipam.gateway 10.188.0.254
	refused 7 '^kube-ipam\.gateway is set without kube-ipam\.ip'
	assert_nothing_done
}

@test "a pod whose annotations nobody knows is refused, whether the capability is declared or not" {
	snapshot
	conf_edit 'del(.runtimeConfig)'
	refused 7 '^the runtime did not hand over the annotations of pod default/web-1'
	conf_edit '.runtimeConfig = {portMappings: []}'
	refused 7 '^the runtime did not hand over the annotations of pod default/web-1'
	conf_edit 'del(.capabilities, .runtimeConfig)'
	refused 7 '^capabilities lacks "io\.kubernetes\.cri\.pod-annotations": true'
	conf_edit '.runtimeConfig["io.kubernetes.cri.pod-annotations"] = []'
	refused 7 '^runtimeConfig\["io\.kubernetes\.cri\.pod-annotations"\] must be an object'
	# To ask for an address in another way tells nothing about the annotation, which would win.
	conf_edit 'del(.runtimeConfig)'
	ARGS+=';IP=10.188.0.5'
	refused 7 '^capabilities lacks'
	assert_nothing_done
}

@test "without K8S_POD_NAME there is no pod and no annotation: the address is dynamic" {
	conf_edit 'del(.capabilities, .runtimeConfig)'
	ARGS=
	added_dynamic
	ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME='
	added_dynamic
}

@test "a pod whose annotations are known and name no address gets a dynamic one" {
	annotations
	added_dynamic
	conf_edit '.runtimeConfig["io.kubernetes.cri.pod-annotations"] = null'
	added_dynamic
	annotations kubernetes.io/config.seen 2024-01-01 kube-ipam.io/ip 10.188.0.218 k8s.v1.cni.cncf.io/networks '[{"name":"a"}]'
	added_dynamic
}

@test "where no delegate gets its address from lamina nobody needs the annotations" {
	conf_edit 'del(.capabilities, .runtimeConfig, .delegates[1])'
	cni ADD
	assert_ok
	cni DEL
	assert_ok
}

@test "fixedStart and fixedEnd bound fixed addresses, and not dynamic ones" {
	local addr
	conf_edit '.delegates[1].ipam += {fixedStart: "10.188.5.0", fixedEnd: "10.188.5.20"}'
	for addr in 10.188.5.0 10.188.5.20; do
		annotations kube-ipam.ip "$addr"
		added "$addr/16"
	done
	annotations
	added_dynamic
	stub_reset first

	snapshot
	for addr in 10.188.4.255 10.188.5.21 10.188.0.50; do
		annotations kube-ipam.ip "$addr"
		refused 7 "^kube-ipam\.ip is $addr: it must lie between fixedStart 10\.188\.5\.0 and fixedEnd 10\.188\.5\.20.*ignored them"
	done
	assert_nothing_done
}

@test "args.cni.ips, IP= and runtimeConfig.ips ask for an address, too" {
	local plain=$CONF
	conf_edit '.args.cni.ips = ["10.188.0.5", "10.188.0.6/16"]'
	added 10.188.0.5/16 10.188.0.6/16
	CONF=$plain
	conf_edit '.delegates[1].args.cni.ips = ["10.188.0.7"]'
	added 10.188.0.7/16
	CONF=$plain
	conf_edit '.runtimeConfig.ips = ["10.188.0.8/16", "10.188.0.9"]'
	added 10.188.0.8/16 10.188.0.9/16
	CONF=$plain
	ARGS+=';IP=10.188.0.10'
	added 10.188.0.10/16
	ARGS+=,10.188.0.11
	added 10.188.0.10/16 10.188.0.11/16
}

@test "they add up, an address that is asked for twice counts once, and the annotation wins over all" {
	conf_edit '.args.cni.ips = ["10.188.0.5"] | .runtimeConfig.ips = ["10.188.0.7", "10.188.0.5"]'
	ARGS+=';IP=10.188.0.6'
	added 10.188.0.5/16 10.188.0.6/16 10.188.0.7/16
	annotations kube-ipam.ip 10.188.0.8
	conf_edit '.runtimeConfig.ips = ["10.188.0.7"]'
	added 10.188.0.8/16
}

@test "the same rules hold for them, and an error says which it was" {
	local plain=$CONF
	snapshot
	conf_edit '.args.cni.ips = ["10.188.0.1"]'
	refused 7 '^args\.cni\.ips is 10\.188\.0\.1: this is the gateway'
	CONF=$plain
	conf_edit '.runtimeConfig.ips = ["10.189.0.5/16"]'
	refused 7 '^runtimeConfig\.ips is 10\.189\.0\.5: no network'
	conf_edit '.runtimeConfig.ips = "10.188.0.5"'
	refused 7 '^runtimeConfig\.ips must be a list of addresses'
	CONF=$plain
	ARGS+=';IP=10.188.255.255'
	refused 7 '^IP \(CNI_ARGS\) is 10\.188\.255\.255: this is the broadcast'
	pod_args default web-1 uid-1
	ARGS+=';IP=10.188.0.300'
	refused 7 '^IP \(CNI_ARGS\) is "10\.188\.0\.300": it must be an IP address'
	assert_nothing_done
}

@test "runtimeConfig.ips may be meant for a delegate that takes them itself" {
	conf_edit '.delegates[0].capabilities = {ips: true} | .runtimeConfig.ips = ["10.244.1.9/24"]'
	cni ADD
	assert_ok
	assert_dynamic
	stub_stdin first 1 | jq -e '.runtimeConfig.ips == ["10.244.1.9/24"]'
	cni DEL
	assert_ok
	# It is not when nobody declares that.
	stub_reset first
	snapshot
	conf_edit 'del(.delegates[0].capabilities)'
	refused 7 '^runtimeConfig\.ips is 10\.244\.1\.9: no network'
	assert_nothing_done
}

@test "with several networks an address goes to the one whose subnet holds it, and the others are dynamic" {
	second_network 10.190.0.0/24
	annotations kube-ipam.ip 10.190.0.77
	cni ADD
	assert_ok
	assert_dynamic net1
	assert_equal "$(pod_addrs net2)" 10.190.0.77/24
	cni DEL
	assert_ok

	annotations kube-ipam.ip 10.190.0.77,10.188.0.5,10.190.0.78
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.5/16
	assert_equal "$(pod_addrs net2)" $'10.190.0.77/24\n10.190.0.78/24'
	cni DEL
	assert_ok
	stub_reset first

	snapshot
	annotations kube-ipam.ip 10.190.0.77,10.191.0.5
	refused 7 '^kube-ipam\.ip is 10\.191\.0\.5: no network .*10\.188\.0\.0/16 \(delegates\[1\]\.ipam\), 10\.190\.0\.0/24 \(delegates\[2\]\.ipam\)'
	# The second network's own rules.
	annotations kube-ipam.ip 10.188.0.5,10.190.0.255
	refused 7 '10\.190\.0\.255: this is the broadcast address of 10\.190\.0\.0/24'
	assert_nothing_done
}

@test "of two networks with one subnet the first gets the address, and the second a dynamic one" {
	second_network 10.188.0.0/16
	annotations kube-ipam.ip 10.188.7.7
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.7.7/16
	[[ $(pod_addrs net2) =~ ^10\.188\.[0-9]+\.[0-9]+/16$ && $(pod_addrs net2) != 10.188.7.7/16 ]]
	cni DEL
	assert_ok
}

@test "an IPv6 address takes its range's prefix, and a gateway of its family [check 88]" {
	conf_edit '.delegates[1].ipam.ranges = [[{subnet: "fd00:188::/64"}]] | .delegates[1].ipam.routes += [{dst: "::/0"}]'
	annotations kube-ipam.ip 10.188.0.5,fd00:188::5 kube-ipam.netmask 16 kube-ipam.gateway 10.188.0.254,fd00:188::fe
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" $'10.188.0.5/16\nfd00:188::5/64'
	[[ $(pod_routes 101) == *'default via 10.188.0.254'* ]]
	[[ $(pod_routes 101 -6) == *'default via fd00:188::fe'* ]]
	cni DEL
	assert_ok

	snapshot
	annotations kube-ipam.ip fd00:188::1
	refused 7 '^kube-ipam\.ip is fd00:188::1: this is the gateway of fd00:188::/64'
	annotations kube-ipam.ip fd00:188::
	refused 7 '^kube-ipam\.ip is fd00:188::: this is the network address of fd00:188::/64'
	annotations kube-ipam.ip fd00:189::5
	refused 7 '^kube-ipam\.ip is fd00:189::5: no network'
	assert_unchanged
}

@test "an address that another pod holds is code 11, naming that pod, until the pod is gone" {
	annotations kube-ipam.ip 10.188.0.218
	cni ADD
	assert_ok
	stub_reset first

	new_pod p2
	pod_args default web-2 uid-2
	snapshot
	refused 11 '^address 10\.188\.0\.218 is held by .*default/web-1'
	annotations kube-ipam.ip 10.188.0.219,10.188.0.218
	refused 11 '^address 10\.188\.0\.218 is held by .*default/web-1'
	assert_unchanged

	POD=p1 CID=p1
	cni DEL
	assert_ok
	POD=p2 CID=p2
	added 10.188.0.219/16 10.188.0.218/16
}

@test "an address that another namespace's pod had is kept for it: code 11, naming the namespace" {
	annotations kube-ipam.ip 10.188.0.230
	added 10.188.0.230/16
	snapshot
	pod_args other web-1 uid-9
	refused 11 '^address 10\.188\.0\.230 is kept for namespace default'
	assert_unchanged
	pod_args default web-3 uid-3
	added 10.188.0.230/16
}
