#!/usr/bin/env bats
# Configurations that are refused: each with one error that names key, value and remedy, before anything is started or made. And
# what passes through to delegates as it is.
load ../lab/cni

setup_file()
{
	setup_node
	# Links of the node that are no masters: one that is down, and a port of a bridge.
	node_exec ip -batch - <<-END
		link add down0 type veth peer name down1
		link add bridge0 type bridge
		link add port0 type veth peer name port0-peer
		link set port0 master bridge0 up
		link set port0-peer up
	END
}

teardown_file()
{
	teardown_node
}

# The seed with a recorder for flannel: it shows whether anything was started.
setup()
{
	stub first
	GOOD=$(seed_conf '.delegates[0].type = "first"')
	CONF=$GOOD
	annotations
	GOOD=$CONF
	new_pod p1
	pod_args default web-1 uid-1
}

teardown()
{
	pod_down p1
	stub_reset first
}

# refused CODE REGEX FILTER ...: ADD of the good configuration, changed by each filter in turn, fails with that code and text.
refused()
{
	local filter
	for filter in "${@:3}"; do
		echo "configuration: $filter"
		CONF=$GOOD
		conf_edit "$filter"
		cni ADD
		assert_code "$1"
		assert_msg "$2"
	done
}

assert_nothing_done()
{
	assert_unchanged
	assert_equal "$(stub_calls first)" ''
}

# pasted KEY JSON: puts a key into delegates[0], letter by letter, which jq would not.
pasted()
{
	CONF=${CONF/'"type": "first"'/"\"type\": \"first\", \"$1\": $2"}
	[[ $CONF == *"\"$1\": $2"* ]]
}

@test "the configuration that the others are made of is served" {
	cni ADD
	assert_ok
	pod_link net1
	assert_equal "$(stub_calls first)" ADD
	cni DEL
	assert_ok
}

@test "a mode that macvlan does not have is refused" {
	snapshot
	refused 7 'delegates\[1\]\.mode is "nonsense": it must be bridge, private, vepa or passthru' '.delegates[1].mode = "nonsense"'
	refused 7 'delegates\[1\]\.mode is "source": it must be bridge' '.delegates[1].mode = "source"'
	refused 7 'delegates\[1\]\.mode is 4: it must be a string' '.delegates[1].mode = 4'
	assert_nothing_done
}

@test "an mtu above the master's, below what Ethernet has, or negative is refused with both numbers [check 69]" {
	snapshot
	refused 7 'delegates\[1\]\.mtu is 1501: .*1500' '.delegates[1].mtu = 1501'
	refused 7 'delegates\[1\]\.mtu is 9000: .*1500' '.delegates[1].mtu = 9000'
	refused 7 'delegates\[1\]\.mtu is -1: it must be 0 .*68 to 65535' '.delegates[1].mtu = -1'
	refused 7 'delegates\[1\]\.mtu is 67: it must be 0 .*68 to 65535' '.delegates[1].mtu = 67'
	refused 7 'delegates\[1\]\.mtu is 65536: it must be 0 .*68 to 65535' '.delegates[1].mtu = 65536'
	refused 7 'delegates\[1\]\.mtu is .*: it must be a whole number' '.delegates[1].mtu = "1400"' '.delegates[1].mtu = 1400.5' \
		'.delegates[1].mtu = 1000000000000000'
	refused 7 'delegates\[1\]\.bcqueuelen is -1: it must be 0 to 4294967295' '.delegates[1].bcqueuelen = -1'
	refused 7 'delegates\[1\]\.bcqueuelen is 4294967296: it must be 0 to 4294967295' '.delegates[1].bcqueuelen = 4294967296'
	assert_nothing_done
}

@test "a master that is missing, a port of a bridge, the loopback link or no name is code 7" {
	snapshot
	refused 7 'delegates\[1\]\.master is "nowhere": there is no such interface' '.delegates[1].master = "nowhere"'
	refused 7 'delegates\[1\]\.master is port0, a port of a bridge' '.delegates[1].master = "port0"'
	refused 7 'delegates\[1\]\.master is lo, the loopback' '.delegates[1].master = "lo"'
	refused 7 'delegates\[1\]\.master is .*: it must be an interface.s name' '.delegates[1].master = "eth 0"' \
		'.delegates[1].master = "../eth0"' '.delegates[1].master = "eth%d"' '.delegates[1].master = "abcdefghijklmnop"'
	refused 7 'delegates\[1\]\.master is 7: it must be a string' '.delegates[1].master = 7'
	assert_nothing_done
}

@test "a master that is down is code 11: it can come up" {
	snapshot
	refused 11 'delegates\[1\]\.master is down0, which is down: set it up' '.delegates[1].master = "down0"'
	assert_nothing_done
}

@test "without a master the default route's link is taken, and without such a route nothing is [check 71]" {
	conf_edit 'del(.delegates[1].master)'
	cni ADD
	assert_ok
	local index
	index=$(node_exec cat /sys/class/net/eth0/ifindex)
	pod_link net1 | jq -e '.link_index == $index' --argjson index "$index"
	cni DEL
	assert_ok

	stub_reset first
	node_exec ip route del default
	snapshot
	refused 7 'delegates\[1\]\.master is not set: ' 'del(.delegates[1].master)' '.delegates[1].master = ""'
	assert_nothing_done
	node_exec ip route add default via 192.168.122.1
}

@test "a master in the pod that no delegate has made is an error that undoes the others" {
	snapshot
	refused 7 'delegates\[1\]\.master is "nowhere": there is no such interface in the pod' \
		'.delegates[1] |= (.linkInContainer = true | .master = "nowhere")'
	assert_unchanged
	assert_equal "$(stub_calls first)" 'ADD DEL'
}

@test "a MAC address that no interface may have is refused before the link is made, naming where it stands [check 70]" {
	local mac
	snapshot
	for mac in 01:00:5e:00:00:01 00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 02:00:00:00:00 zz ' 02:00:00:00:00:01'; do
		refused 7 "delegates\[1\]\.mac is \"$mac\": it must be a MAC address" ".delegates[1].mac = \"$mac\""
	done
	refused 7 'runtimeConfig\.mac is "zz"' '.runtimeConfig.mac = "zz" | .delegates[1].capabilities = {mac: true}'
	ARGS+=';MAC=zz'
	refused 7 'MAC \(CNI_ARGS\) is "zz"' .
	assert_nothing_done
}

@test "a range that ends before it starts, or lies outside of its subnet, is refused" {
	local where='delegates\[1\]\.ipam\.'
	snapshot
	refused 7 "${where}rangeStart is 10\.188\.0\.201: it must not lie after rangeEnd 10\.188\.0\.200" \
		'.delegates[1].ipam.rangeStart = "10.188.0.201"'
	refused 7 "${where}rangeStart is 10\.187\.255\.255: it must lie in the subnet 10\.188\.0\.0/16" \
		'.delegates[1].ipam.rangeStart = "10.187.255.255"'
	refused 7 "${where}rangeEnd is 10\.189\.0\.0: it must lie in the subnet 10\.188\.0\.0/16" \
		'.delegates[1].ipam.rangeEnd = "10.189.0.0"'
	refused 7 "${where}rangeStart is 10\.188\.0\.0: this is the network address" '.delegates[1].ipam.rangeStart = "10.188.0.0"'
	refused 7 "${where}rangeEnd is 10\.188\.255\.255: this is the broadcast address" '.delegates[1].ipam.rangeEnd = "10.188.255.255"'
	refused 7 "${where}rangeEnd is 10\.188\.0\.300: it must be an IP address" '.delegates[1].ipam.rangeEnd = "10.188.0.300"'
	refused 7 "${where}rangeStart is fd00::1: it must lie in the subnet" '.delegates[1].ipam.rangeStart = "fd00::1"'
	refused 7 "${where}gateway is 10\.189\.0\.1: it must lie in the subnet" '.delegates[1].ipam.gateway = "10.189.0.1"'
	refused 7 "${where}gateway is 10\.188\.255\.255: this is the broadcast" '.delegates[1].ipam.gateway = "10.188.255.255"'
	assert_nothing_done
}

@test "the same in IPv6" {
	local where='delegates\[1\]\.ipam\.'
	snapshot
	GOOD=$(jq '.delegates[1].ipam = {type: "kube-ipam", subnet: "fd00:188::/64", rangeStart: "fd00:188::10", rangeEnd: "fd00:188::20"}' \
		<<<"$GOOD")
	refused 7 "${where}rangeStart is fd00:188::21: it must not lie after rangeEnd fd00:188::20" \
		'.delegates[1].ipam.rangeStart = "fd00:188::21"'
	refused 7 "${where}rangeStart is fd00:187::1: it must lie in the subnet fd00:188::/64" '.delegates[1].ipam.rangeStart = "fd00:187::1"'
	refused 7 "${where}rangeEnd is fd00:188:0:1::: it must lie in the subnet" '.delegates[1].ipam.rangeEnd = "fd00:188:0:1::"'
	refused 7 "${where}rangeStart is fd00:188::: this is the network address" '.delegates[1].ipam.rangeStart = "fd00:188::"'
	refused 7 "${where}rangeEnd is 10\.188\.0\.9: it must lie in the subnet" '.delegates[1].ipam.rangeEnd = "10.188.0.9"'
	refused 7 "${where}gateway is fd00:189::1: it must lie in the subnet" '.delegates[1].ipam.gateway = "fd00:189::1"'
	assert_nothing_done
}

@test "a subnet without room for a pod, or that is none, is refused" {
	local subnet where='delegates\[1\]\.ipam\.subnet is '
	snapshot
	for subnet in 10.188.0.0/31 10.188.0.0/32; do
		refused 7 "$where$subnet: it must not be longer than /30" ".delegates[1].ipam = {type: \"kube-ipam\", subnet: \"$subnet\"}"
	done
	for subnet in fd00:188::/127 fd00:188::/128; do
		refused 7 "$where$subnet: it must not be longer than /126" ".delegates[1].ipam = {type: \"kube-ipam\", subnet: \"$subnet\"}"
	done
	for subnet in 10.188.0.0 10.188.0.0/33 10.188.0/16 fd00::/129 10.188.0.0/-1 10.188.0.0/016 x; do
		refused 7 "$where$subnet: it must be a subnet such as" ".delegates[1].ipam.subnet = \"$subnet\""
	done
	refused 7 "${where}10.188.7.0/16: it must have no host bits: 10.188.0.0/16" '.delegates[1].ipam.subnet = "10.188.7.0/16"'
	refused 7 'delegates\[1\]\.ipam\.subnet is missing' 'del(.delegates[1].ipam.subnet)'
	for subnet in 127.0.0.0/8 224.0.0.0/8 0.0.0.0/8 ff00::/64; do
		refused 7 "$where$subnet: it must be unicast" ".delegates[1].ipam = {type: \"kube-ipam\", subnet: \"$subnet\"}"
	done
	assert_nothing_done
}

@test "a subnet of four addresses serves its one pod, in both families" {
	local subnet
	for subnet in 10.188.4.0/30 fd00:188::/126; do
		CONF=$(jq '.delegates[1].ipam = {type: "kube-ipam", subnet: $subnet}' --arg subnet "$subnet" <<<"$GOOD")
		cni ADD
		assert_ok
		[[ $(pod_addrs net1) =~ ^(10\.188\.4\.2/30|fd00:188::2/126)$ ]]
		cni DEL
		assert_ok
	done
}

@test "ranges, routes and ipam itself are refused when they are something else" {
	local ipam='delegates\[1\]\.ipam'
	snapshot
	refused 7 "$ipam is not an object" '.delegates[1].ipam = "kube-ipam"' '.delegates[1].ipam = []'
	refused 7 "$ipam\.type is not a text" '.delegates[1].ipam.type = 5' '.delegates[1].ipam = {type: {}}'
	refused 7 "$ipam\.ranges is .*must be an array" '.delegates[1].ipam.ranges = {}'
	refused 7 "$ipam\.ranges\[0\] is .*list of ranges" '.delegates[1].ipam.ranges = [{subnet: "10.190.0.0/16"}]' \
		'.delegates[1].ipam.ranges = [[]]'
	refused 7 "$ipam\.ranges\[0\]\[1\]\.rangeStart is 10\.192\.0\.1: it must lie in the subnet 10\.191\.0\.0/16" \
		'.delegates[1].ipam.ranges = [[{subnet: "10.190.0.0/16"}, {subnet: "10.191.0.0/16", rangeStart: "10.192.0.1"}]]'
	refused 7 "$ipam\.ranges\[0\]\[0\] is .* must not overlap the range 10\.188\.0\.10-10\.188\.0\.200" \
		'.delegates[1].ipam.ranges = [[{subnet: "10.188.0.0/24"}]]'
	refused 7 "$ipam\.routes is .*must be an array" '.delegates[1].ipam.routes = "0.0.0.0/0"'
	refused 7 "$ipam\.routes\[1\]\.dst is x: it must be a prefix" '.delegates[1].ipam.routes += [{dst: "x"}]'
	refused 7 "$ipam\.routes\[0\]\.dst is 10\.0\.0\.1/8: it must have no host bits: 10\.0\.0\.0/8" \
		'.delegates[1].ipam.routes = [{dst: "10.0.0.1/8"}]'
	refused 7 "$ipam\.routes\[0\]\.gw is fd00::1: it must be an IPv4 address" \
		'.delegates[1].ipam.routes = [{dst: "10.0.0.0/8", gw: "fd00::1"}]'
	refused 7 "$ipam\.routes\[0\]\.mtu is -1: it must be between" '.delegates[1].ipam.routes = [{dst: "10.0.0.0/8", mtu: -1}]'
	refused 7 "$ipam\.fixedEnd is missing" '.delegates[1].ipam.fixedStart = "10.188.0.9"'
	refused 7 "$ipam\.fixedStart is 10\.188\.0\.9: it must not lie after fixedEnd 10\.188\.0\.8" \
		'.delegates[1].ipam += {fixedStart: "10.188.0.9", fixedEnd: "10.188.0.8"}'
	refused 7 "$ipam\.domain is a/b: " '.delegates[1].ipam.domain = "a/b"'
	assert_nothing_done
}

@test "what etcdConfig, kubeConfig and conflictProbe cannot mean is refused" {
	local ipam='delegates\[1\]\.ipam' url='{etcdURL: "https://192.168.122.11:2379"}'
	snapshot
	refused 7 "$ipam\.etcdConfig\.etcdURL" '.delegates[1].ipam.etcdConfig = {}' \
		'.delegates[1].ipam.etcdConfig = {etcdURL: "ftp://192.168.122.11:2379"}' \
		'.delegates[1].ipam.etcdConfig = {etcdURL: "https://192.168.122.11:2379,http://192.168.122.12:2379"}'
	refused 7 "$ipam\.etcdConfig\.etcd(Cert|Key)File" ".delegates[1].ipam.etcdConfig = $url + {etcdCertFile: \"x.pem\"}" \
		".delegates[1].ipam.etcdConfig = $url + {etcdCertFile: \"/x.pem\"}" ".delegates[1].ipam.etcdConfig = $url + {etcdKeyFile: \"/x.pem\"}"
	refused 7 'ipam\.kubeConfig is "kube.kubeconfig": it must be an absolute path' '.delegates[1].ipam.kubeConfig = "kube.kubeconfig"'
	refused 7 'conflictProbe is "never": it must be takeover, always or off' '.conflictProbe = "never"'
	assert_nothing_done
}

@test "a delegate that would call lamina itself is refused, alone, in a list and as an IPAM" {
	local type
	snapshot
	for type in lamina multus multus-cni multus-shim kube-ipam; do
		refused 7 "delegates\[0\]\.type is \"$type\": a plugin must not call itself" ".delegates[0].type = \"$type\""
		refused 7 "delegates\[0\]\.plugins\[1\]\.type is \"$type\": a plugin must not call itself" \
			".delegates[0] = {name: \"list\", plugins: [{type: \"first\"}, {type: \"$type\"}]}"
	done
	for type in lamina multus-cni; do
		refused 7 "delegates\[1\]\.ipam\.type is \"$type\": it must be an IPAM plugin" ".delegates[1].ipam.type = \"$type\""
	done
	assert_nothing_done
}

@test "a plugin that is not there is named with its place, before the others are called" {
	snapshot
	refused 7 'delegates\[2\]: failed to find plugin "nowhere" in path \[/opt/cni/bin' '.delegates += [{name: "third", type: "nowhere"}]'
	refused 7 'delegates\[0\]: failed to find plugin "nowhere" in path' '.delegates[0] = {name: "list", plugins: [{type: "first"}, {type: "nowhere"}]}'
	refused 7 'delegates\[1\]\.ipam\.type: failed to find plugin "nowhere" in path' '.delegates[1].ipam = {type: "nowhere"}'
	refused 7 "delegates\[0\]\.type is \"\.\./first\": it must be the name of a plugin, without '/'" '.delegates[0].type = "../first"'
	refused 7 'delegates\[0\]\.type is (missing|""): ' '.delegates[0].type = ""' 'del(.delegates[0].type)'
	assert_nothing_done
}

@test "two delegates of one network name are refused where addresses are claimed for both, and a name that no network may have" {
	snapshot
	refused 7 'delegates\[2\]\.name is "k8snet2", the name of delegates\[1\]' '.delegates[2] = .delegates[1]'
	refused 7 'delegates\[1\]\.name is "a/b": ' '.delegates[1].name = "a/b"'
	refused 7 'delegates\[0\]\.name is (missing|""): ' 'del(.delegates[0].name)' '.delegates[0].name = ""'
	assert_nothing_done
}

@test "delegates must be a list of at most 16 networks" {
	snapshot
	refused 7 'delegates is missing or empty' '.delegates = []' 'del(.delegates)' '.delegates = null'
	refused 7 'delegates is \{\}: it must be an array' '.delegates = {}'
	refused 7 'delegates\[1\] is not an object' '.delegates[1] = "macvlan"'
	refused 7 'delegates has 17 elements: at most 16' '.delegates = [range(17) | {name: "n\(.)", type: "macvlan"}]'
	refused 7 'delegates\[0\]\.plugins is ' '.delegates[0] = {name: "list", plugins: []}' '.delegates[0] = {name: "list", plugins: {}}'
	refused 7 'delegates\[0\]\.plugins\[0\] is not an object' '.delegates[0] = {name: "list", plugins: ["first"]}'
	refused 1 'delegates\[0\]\.cniVersion is "9\.9\.9": it must be one of 0\.1\.0' '.delegates[0].cniVersion = "9.9.9"'
	assert_nothing_done
}

@test "CNI_IFNAME is net1 beside a delegate that gets net1: code 4" {
	snapshot
	cni ADD CNI_IFNAME=net1
	assert_code 4
	assert_msg 'CNI_IFNAME is net1, which delegates\[1\] needs'
	assert_nothing_done
}

@test "an interface name that is taken is code 4, and its owner is left alone" {
	local name
	for name in eth0 net1; do
		pod_exec p1 ip link add "$name" type veth peer name other
		pod_exec p1 ip addr add 10.9.9.9/24 dev "$name"
		snapshot
		refused 4 "interface $name exists" .
		assert_nothing_done
		pod_exec p1 ip link del "$name"
	done
}

@test "keys of multus that change what a pod gets are refused when they are something else, or name what is not there" {
	local key
	snapshot
	for key in clusterNetwork auxiliaryCNIChainName confDir globalNamespaces multusNamespace readinessindicatorfile; do
		refused 7 "$key" ".$key = [\"x\"]"
	done
	for key in defaultNetworks systemNamespaces; do
		refused 7 "$key" ".$key = \"x\""
		refused 7 "$key\\[0\\]" ".$key = [5]"
	done
	refused 7 namespaceIsolation '.namespaceIsolation = "yes"'
	refused 7 retryDeleteOnError '.retryDeleteOnError = "yes"'
	refused 7 'kube-system/x does not exist' '.clusterNetwork = "x"'
	refused 7 'auxiliaryCNIChainName is "x", but clusterNetwork is missing' '.auxiliaryCNIChainName = "x"'
	assert_nothing_done
}

@test "lamina's own keys are refused when they are something else" {
	local key
	snapshot
	for key in cniDir binDir dataDir; do
		refused 7 "^$key is \"relative\": it must be an absolute path" ".$key = \"relative\""
		refused 7 "^$key is 7: it must be a string" ".$key = 7"
	done
	refused 7 '^timeout is (0|601): it must be between 1 and 600' '.timeout = 0' '.timeout = 601'
	refused 7 '^timeout is "5": it must be a whole number' '.timeout = "5"'
	refused 7 '^reuseDelay is -1: it must be between' '.reuseDelay = -1'
	refused 7 '^nodeName is "a b": it must be a name' '.nodeName = "a b"'
	refused 7 '^runtimeConfig is "x": it must be an object' '.runtimeConfig = "x"'
	refused 7 'delegates\[1\]: dns\.nameservers is .* list of strings' '.delegates[1].dns = {nameservers: "10.0.0.10"}'
	refused 7 'delegates\[1\]: dns is .* object' '.delegates[1].dns = "10.0.0.10"'
	assert_nothing_done
}

@test "numbers of 10^15 and 10^18 reach a delegate as they were written" {
	pasted fifteen 1000000000000000
	pasted eighteen 1000000000000000000
	pasted negative -1000000000000000
	pasted half 0.5
	cni ADD
	assert_ok
	local text
	text=$(stub_stdin first 1)
	[[ $text =~ \"fifteen\":\ *1000000000000000[,}] ]]
	[[ $text =~ \"eighteen\":\ *1000000000000000000[,}] ]]
	[[ $text =~ \"negative\":\ *-1000000000000000[,}] ]]
	[[ $text =~ \"half\":\ *0\.5[,}] ]]
	cni DEL
	assert_ok
	# What DEL sends comes from the record.
	[[ $(stub_stdin first 2) =~ \"eighteen\":\ *1000000000000000000[,}] ]]
}

@test "Go reads such a number as an integer" {
	local number
	for number in 1000000000000000 1000000000000000000; do
		# bridge refuses its DEL, too, so that a record stays: of a container that nobody else uses.
		CID=p1-$number
		CONF=${GOOD/'"type": "first"'/"\"type\": \"bridge\", \"vlan\": $number"}
		cni ADD
		assert_code 999
		assert_msg "invalid VLAN ID $number "
	done
}

@test "unknown keys and masterplugin are passed on as they are" {
	conf_edit '.delegates[0] += {unknown: {deep: [1, null, true, "\u003c\u00e4\u0001"]}, Type2: "x"}'
	cni ADD
	assert_ok
	local sent
	sent=$(stub_stdin first 1)
	assert_equal "$(jq -S 'del(.cniVersion)' <<<"$sent")" "$(jq -S '.delegates[0]' <<<"$CONF")"
	jq -e '.masterplugin == true and .delegate.bridge == "docker0"' <<<"$sent"
	cni DEL
	assert_ok
}

@test "a delegate without cniVersion is given an empty one, as flannel expects it" {
	cni ADD
	assert_ok
	stub_stdin first 1 | jq -e 'has("cniVersion") and .cniVersion == ""'
	cni DEL
	assert_ok
	CONF=$GOOD
	conf_edit '.delegates[0].cniVersion = "0.4.0"'
	cni ADD
	assert_ok
	stub_stdin first 3 | jq -e '.cniVersion == "0.4.0"'
	cni DEL
	assert_ok
}

@test "a delegate is given what the runtime sent for its own capabilities, and nothing else" {
	conf_edit '.delegates[0].capabilities = {portMappings: true, bandwidth: false}
		| .runtimeConfig += {portMappings: [{hostPort: 80}], bandwidth: {ingressRate: 1}, aliases: ["a"]}'
	cni ADD
	assert_ok
	stub_stdin first 1 | jq -e '.runtimeConfig == {portMappings: [{hostPort: 80, containerPort: 0}]}'
	cni DEL
	assert_ok
}
