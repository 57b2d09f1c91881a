#!/usr/bin/env bats
# Other programs that make a pod's networks: what they are given, and what they may answer.
# What delegates.bash and cni.bash set is used in tests and the other way round; single quotes are for jq and for the stubs.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/delegates.bash

@test "a delegate has the whole environment, with its own CNI_COMMAND, CNI_IFNAME and CNI_PATH [check 59]" {
	stubs one two three
	cni ADD CNI_IFNAME=eth7 CNI_PATH=/opt/elsewhere:/opt/cni/bin SOMETHING=else HOME=/nowhere
	assert_ok
	assert_env one 1 CNI_COMMAND=ADD CNI_IFNAME=eth7 CNI_PATH=/opt/cni/bin:/opt/elsewhere:/opt/cni/bin "CNI_CONTAINERID=$CID" \
		"CNI_NETNS=/run/netns/$POD" "CNI_ARGS=$(delegate_args)" SOMETHING=else HOME=/nowhere PATH=/usr/sbin:/usr/bin:/sbin:/bin
	assert_env two 1 CNI_COMMAND=ADD CNI_IFNAME=net1 "CNI_CONTAINERID=$CID" "CNI_NETNS=/run/netns/$POD" "CNI_ARGS=$(delegate_args)"
	assert_env three 1 CNI_IFNAME=net2
	# One of each: programs differ in which of two they take.
	assert_equal "$(stub_env two 1 | grep -c '^CNI_')" 6
	cni DEL CNI_IFNAME=eth7 SOMETHING=new
	assert_ok
	assert_env three 2 CNI_COMMAND=DEL CNI_IFNAME=net2 "CNI_CONTAINERID=$CID" "CNI_NETNS=/run/netns/$POD" SOMETHING=new
}

@test "a delegate's standard input is its own configuration with name and cniVersion [check 59]" {
	stubs one two
	conf_edit '.delegates[0] += {masterplugin: true, some: {deep: [1, null, "\u003c"]}, args: {labels: {a: "b"}}}'
	cni ADD
	assert_ok
	stub_stdin one 1 | jq -e '. == $conf' --argjson conf "$(jq '.delegates[0]' <<<"$CONF")"
	stub_stdin two 1 | jq -e '. == {name: "net-two", type: "two", cniVersion: "0.4.0"}'
	cni DEL
	assert_ok
	# Its own result goes back to it from 0.4.0 on.
	stub_stdin two 2 | jq -e 'del(.prevResult) == {name: "net-two", type: "two", cniVersion: "0.4.0"} and .prevResult.cniVersion == "0.4.0"'
}

@test "large numbers reach a delegate as they were written [check 59]" {
	stubs one
	CONF=${CONF/'"type": "one"'/'"type": "one", "large": [1000000000000000, 1000000000000000000], "small": 1.5'}
	cni ADD
	assert_ok
	stub_stdin one 1 | grep -qE '"large": ?\[1000000000000000, ?1000000000000000000\]'
	stub_stdin one 1 | grep -qE '"small": ?1\.5'
}

@test "a delegate gets of runtimeConfig what it declares, and nothing else [check 59]" {
	stubs one two three
	conf_edit '.runtimeConfig += {portMappings: [{hostPort: 80}], bandwidth: {ingressRate: 1}, mac: "02:00:00:00:00:0a"}
		| .delegates[0].capabilities = {portMappings: true, bandwidth: false, dns: true}
		| .delegates[1].capabilities = {mac: true, portMappings: true}'
	cni ADD
	assert_ok
	stub_stdin one 1 | jq -e '.runtimeConfig == {portMappings: [{hostPort: 80, containerPort: 0}]}'
	stub_stdin two 1 | jq -e '.runtimeConfig == {portMappings: [{hostPort: 80, containerPort: 0}], mac: "02:00:00:00:00:0a"}'
	stub_stdin three 1 | jq -e 'has("runtimeConfig") | not'
}

@test "a delegate is looked for in binDir, then along CNI_PATH; what is no file is passed over [check 60]" {
	local dir
	stubs one
	node_exec rm /opt/cni/bin/one
	for dir in first second; do
		stub "$dir"
		stub_reset "$dir"
		node_exec sh -c 'mkdir -p "/opt/$1" && mv "/opt/cni/bin/$1" "/opt/$1/one"' sh "$dir"
	done
	cni ADD CNI_PATH=/opt/first:/opt/second
	assert_ok
	assert_equal "$(stub_calls first)/$(stub_calls second)" "ADD/"
	cni DEL CNI_PATH=/opt/second:/opt/first
	assert_ok
	assert_equal "$(stub_calls first)/$(stub_calls second)" "ADD/DEL"
	# A folder, a socket's place, and a link that leads nowhere.
	node_exec sh -c 'rm /opt/first/one && mkdir /opt/first/one && mkfifo /opt/cni/bin/one && mkdir /opt/third && ln -s nowhere /opt/third/one'
	cni ADD CNI_PATH=/opt/first:/opt/third:/opt/second
	assert_ok
	assert_equal "$(stub_calls second)" "DEL ADD"
	cni DEL CNI_PATH=/opt/second
	assert_ok
	# binDir comes before CNI_PATH.
	conf_edit '.binDir = "/opt/second"'
	node_exec rm -r /opt/cni/bin/one
	noting_stub one
	cni ADD CNI_PATH=/opt/cni/bin
	assert_ok
	assert_equal "$(stub_calls one)" ""
	assert_equal "$(stub_calls second)" "DEL ADD DEL ADD"
	cni DEL
	assert_ok
}

@test "a delegate that is nowhere, or whose type is no name, is refused before anything is made [check 60]" {
	stubs one
	conf_edit '.delegates[1] = {name: "net-absent", type: "absent"}'
	snapshot
	cni ADD CNI_PATH=/opt/first:/opt/second
	assert_code 7
	assert_msg 'failed to find plugin "absent" in path \[/opt/cni/bin /opt/first /opt/second\]'
	assert_unchanged
	conf_edit '.delegates[1].type = "../absent"'
	refused 7 'delegates\[1\]\.type is "\.\./absent"'
	conf_edit '.delegates[1].type = ""'
	refused 7 'delegates\[1\]\.type'
	assert_order
}

@test "null is an empty result, and one without cniVersion is in the configuration's [check 62]" {
	local result='{"ips": [{"version": "4", "address": "10.9.8.7/24", "interface": 0}], "interfaces": [{"name": "eth0"}]}'
	stubs one
	stub_set one ADD out null
	cni ADD
	assert_ok
	assert_json '(.ips // []) == [] and .cniVersion == "0.3.1"'
	cni DEL
	assert_ok
	stub_set one ADD out "$result"
	cni ADD
	assert_ok
	assert_json '.ips == [{version: "4", address: "10.9.8.7/24", interface: 0}] and .interfaces[0].name == "eth0"'
	cni DEL
	assert_ok
	# Without a version anywhere it is 0.1.0.
	conf_edit 'del(.delegates[0].cniVersion)'
	stub_set one ADD out '{"ip4": {"ip": "10.9.8.7/24"}}'
	cni ADD
	assert_ok
	assert_json '.ips == [{version: "4", address: "10.9.8.7/24"}]'
}

@test "a result in another version than asked for is understood, and ours is in the version asked for [check 62, 31]" {
	stubs one
	stub_set one ADD out '{"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "mtu": 1300, "sandbox": "/x"}],
		"ips": [{"address": "10.9.8.7/24", "gateway": "10.9.8.1", "interface": 0}, {"address": "fd00:9::7/64", "interface": 0}]}'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "0.3.1" and .ips == [{version: "4", interface: 0, address: "10.9.8.7/24", gateway: "10.9.8.1"},
		{version: "6", interface: 0, address: "fd00:9::7/64"}]'
	cni DEL
	assert_ok
	conf_edit '.cniVersion = "1.1.0"'
	stub_set one ADD out '{"cniVersion": "0.2.0", "ip4": {"ip": "10.9.8.7/24", "gateway": "10.9.8.1", "routes": [{"dst": "0.0.0.0/0"}]}}'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "1.1.0" and .ips == [{address: "10.9.8.7/24", gateway: "10.9.8.1"}] and .routes == [{dst: "0.0.0.0/0"}]'
}

@test "what a delegate writes to stderr appears on ours, byte for byte [check 64]" {
	stubs one
	stub_set one ADD err $'noise: 100% \xc3\xa9\nsecond line\n'
	cni ADD
	assert_ok
	assert_json 'type == "object"'
	grep -qF 'noise: 100% é' <<<"$stderr"
	grep -qxF 'second line' <<<"$stderr"
	stub_set one DEL err 'on the way down'
	cni DEL
	assert_ok
	grep -qF 'on the way down' <<<"$stderr"
}

@test "a megabyte of configuration, of result and of stderr passes [check 65]" {
	stubs one
	head -c 1000000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/large"
	CONF_FILE=$BATS_TEST_TMPDIR/conf
	jq --rawfile large "$BATS_TEST_TMPDIR/large" '.delegates[0].large = $large' <<<"$CONF" >"$CONF_FILE"
	# Members that nobody knows are read, too, and those that are known reach the other side.
	jq -n '("x" * 4000) as $text | {cniVersion: "0.4.0", unknown: ($text * 250), dns: {search: [range(250) | $text]},
		ips: [{version: "4", address: "10.9.8.7/24"}]}' >"$BATS_TEST_TMPDIR/result"
	stub_set one ADD run "head -c 1000000 /dev/zero | tr '\\0' e >&2; cat $BATS_TEST_TMPDIR/result"
	stub_set one ADD out ''
	cni ADD
	assert_ok
	assert_json '(.dns.search | add | length) == 1000000 and .ips[0].address == "10.9.8.7/24"'
	((${#stderr} >= 1000000))
	stub_stdin one 1 | jq -e '(.large | length) == 1000000'
	cni DEL
	assert_ok
	stub_stdin one 2 | jq -e '(.large | length) == 1000000 and (.prevResult.dns.search | add | length) == 1000000'
	unset CONF_FILE
}

@test "a delegate that is being written is run when it is complete [check 66]" {
	stubs one two
	node_exec sh -c 'cp /bin/sleep /opt/cni/bin/writer && cp /opt/cni/bin/host-local /opt/cni/bin/two'
	conf_edit '.delegates[1] += {ipam: {type: "host-local", subnet: "10.77.0.0/24"}}'
	node_exec sh -c 'exec 9>>/opt/cni/bin/two; echo open; exec /opt/cni/bin/writer 60' >"$BATS_TEST_TMPDIR/writer" 3>&- &
	local writer=$!
	until [[ -s $BATS_TEST_TMPDIR/writer ]]; do sleep 0.01; done
	cni_start ADD
	# It was tried, and waits.
	until grep -q nanosleep "/proc/$CNI_PID/wchan" && [[ $(stub_calls one) == ADD ]]; do
		[[ -e /proc/$CNI_PID ]] || break
		sleep 0.01
	done
	kill "$(node_child "$writer")"
	cni_wait
	assert_ok
	node_exec cat "/var/lib/cni/multus/results/net-two-$CID-net1" | jq -e '.result.ips[0].address == "10.77.0.2/24"'
	cni DEL
	assert_ok
}

@test "a delegate that stays busy is an error that says so [check 66]" {
	stubs one two
	node_exec cp /opt/cni/bin/host-local /opt/cni/bin/two
	conf_edit '.timeout = 2'
	node_exec sh -c 'exec 9>>/opt/cni/bin/two; echo open; exec sleep 60' >"$BATS_TEST_TMPDIR/writer" 3>&- &
	local writer=$!
	until [[ -s $BATS_TEST_TMPDIR/writer ]]; do sleep 0.01; done
	cni ADD
	kill "$(node_child "$writer")"
	assert_code 5
	assert_msg 'cannot run /opt/cni/bin/two: Text file busy'
}

@test "a list is run in order with the result before, and undone backwards [check 59, 61]" {
	stubs one
	noting_stub two
	noting_stub three
	conf_edit '.runtimeConfig += {portMappings: [{hostPort: 80, containerPort: 0}], mac: "02:00:00:00:00:0a"}
		| .delegates = [{name: "a-list", cniVersion: "0.4.0", plugins: [{type: "one"}, {type: "two", capabilities: {portMappings: true}},
			{type: "three", key: 1}]}]'
	stub_set one ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0"}]}'
	stub_set two ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0"}, {"name": "two"}]}'
	stub_set three ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0"}, {"name": "two"}, {"name": "three"}]}'
	cni ADD
	assert_ok
	assert_json '[.interfaces[].name] == ["eth0", "two", "three"]'
	assert_order one-ADD two-ADD three-ADD
	assert_env three 1 CNI_IFNAME=eth0
	stub_stdin one 1 | jq -e '. == {type: "one", name: "a-list", cniVersion: "0.4.0"}'
	stub_stdin two 1 | jq -e '.runtimeConfig == {portMappings: [{hostPort: 80, containerPort: 0}]} and [.prevResult.interfaces[].name] == ["eth0"]'
	stub_stdin three 1 | jq -e '[.prevResult.interfaces[].name] == ["eth0", "two"] and .key == 1 and .name == "a-list" and
		(has("runtimeConfig") | not)'
	: >"$ORDER"
	cni DEL
	assert_ok
	assert_order three-DEL two-DEL one-DEL
	# Each gets the last result.
	stub_stdin one 2 | jq -e '[.prevResult.interfaces[].name] == ["eth0", "two", "three"]'
	: >"$ORDER"
	stub_set two ADD exit 1
	stub_set two ADD out '{"code": 142, "msg": "in the middle"}'
	refused 142 'in the middle'
	assert_order one-ADD two-ADD three-DEL two-DEL one-DEL
}

@test "a delegate sees no file of ours but its standard streams [check 85]" {
	stubs one
	# Ours, and one that our caller left open.
	node_exec sh -c 'cat >/opt/cni/bin/one && chmod 755 /opt/cni/bin/one' <<-'END'
		#!/usr/bin/python3 -IS
		import os, sys
		if os.environ["CNI_COMMAND"] == "ADD":
		    found = [fd for fd in range(1024) if os.path.exists(f"/proc/self/fd/{fd}")]
		    print('{"cniVersion": "0.4.0", "dns": {"search": %s}}' % str([str(fd) for fd in found]).replace("'", '"'))
	END
	conf_edit '.delegates[1] = $net1' --argjson net1 "$(seed_conf '.delegates[1]')"
	exec 7</dev/null 8>/dev/null
	cni ADD
	exec 7<&- 8>&-
	assert_ok
	assert_json '.dns.search == ["0", "1", "2"]'
}

@test "every program is run in the node's own network namespace [check 83]" {
	local name
	stubs one two other-ipam
	for name in one two other-ipam; do
		stub_set "$name" ADD run "echo \$(readlink /proc/self/ns/net) $name >>$ORDER"
		stub_set "$name" DEL run "echo \$(readlink /proc/self/ns/net) $name >>$ORDER"
	done
	stub_set other-ipam ADD out '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.77.0.9/24"}]}'
	conf_edit '.delegates[2] = ($net1 | .ipam = {type: "other-ipam"})' --argjson net1 "$(seed_conf '.delegates[1]')"
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(cut -d' ' -f1 "$ORDER" | sort -u)" "$(node_exec readlink /proc/self/ns/net)"
	assert_equal "$(wc -l <"$ORDER")" 6
}

@test "net1 is made while the default network's delegate runs, the later delegates after it in order" {
	stubs one two three
	conf_edit '.delegates = [.delegates[0], $net1, .delegates[1], .delegates[2]]' --argjson net1 "$(seed_conf '.delegates[1]')"
	# It ends only when it has seen net1 with its address.
	stub_set one ADD run "i=0; until ip -n $POD addr show dev net1 2>/dev/null | grep -q 'inet 10.188'; do
		i=\$((i + 1)); [ \$i -lt 500 ] || exit 9; sleep 0.02; done; echo one-ADD >>$ORDER"
	cni ADD
	assert_ok
	assert_order one-ADD two-ADD three-ADD
	assert_env two 1 CNI_IFNAME=net2
	assert_env three 1 CNI_IFNAME=net3
}

@test "flannel as the first delegate gives eth0, and its result comes first in ours [check 87]" {
	local network
	conf_edit '.cniVersion = "0.4.0" | .delegates[].cniVersion = "0.4.0"'
	snapshot
	cni ADD
	assert_ok
	network=$(node_exec sed -n 's/^FLANNEL_MTU=//p' /run/flannel/subnet.env)
	assert_json '.interfaces[0].name == "docker0" and (.interfaces[1].name | startswith("veth"))
		and .interfaces[2].name == "eth0" and .interfaces[2].sandbox == "/run/netns/" + $pod
		and (.ips | length) == 1 and .ips[0].interface == 2 and (.ips[0].address | test("^10[.]244[.]1[.][0-9]+/24$"))' --arg pod "$POD"
	assert_equal "$(pod_addrs eth0)" "$(jq -r '.ips[0].address' <<<"$output")"
	assert_equal "$(pod_link eth0 | jq .mtu)" "$network"
	pod_ping 10.244.1.1
	cni DEL
	assert_ok
	assert_unchanged
}

@test "flannel's own error is ours: without subnet.env there is no eth0, and nothing is left [check 87]" {
	node_exec mv /run/flannel/subnet.env /run/flannel/away
	snapshot
	cni ADD
	node_exec mv /run/flannel/away /run/flannel/subnet.env
	((status != 0))
	assert_msg 'subnet\.env'
	assert_unchanged
}

@test "the real bridge, ptp and loopback make further networks of a pod" {
	conf_edit '.delegates += [{name: "b", cniVersion: "0.4.0", type: "bridge", bridge: "br9",
			ipam: {type: "host-local", subnet: "10.71.0.0/24"}},
		{name: "p", cniVersion: "0.4.0", type: "ptp", ipam: {type: "host-local", subnet: "10.72.0.0/24"}}]'
	# What the bridge plugin keeps for good.
	SNAPSHOT_IGNORE+='|br9|10\.71\.'
	snapshot
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2)/$(pod_addrs net3)" 10.71.0.2/24/10.72.0.2/24
	pod_ping 10.72.0.1
	assert_equal "$(pod_routes | grep -c default)" 1
	cni DEL
	assert_ok
	refute_link net2
	refute_link net3
	assert_unchanged
}

@test "a list of the real macvlan and tuning, with lamina as kube-ipam, is a network like net1" {
	conf_edit '.delegates[1] |= {name, cniVersion: "0.4.0", plugins: [{type, master, ipam,
			capabilities: {"io.kubernetes.cri.pod-annotations": true}},
		{type: "tuning", sysctl: {"net.ipv4.conf.net1.arp_filter": "1"}, mtu: 1420}]}'
	annotations kube-ipam.ip 10.188.0.218
	# A fixed address stays its namespace's after DEL; kube-ipam's records have a folder of their own.
	SNAPSHOT_IGNORE='INTO (cursor|released|hold) '
	snapshot
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv4.conf.net1.arp_filter)" 1
	assert_equal "$(pod_link net1 | jq .mtu)" 1420
	cni DEL
	assert_ok
	refute_link net1
	assert_unchanged
}

@test "the real plugins of today make further networks in version 1.1.0" {
	node_plugins "$("$LAB_DIR/parts.sh" --path plugins)"
	conf_edit '.cniVersion = "1.1.0" | .delegates = [{name: "b", type: "bridge", bridge: "br8", isDefaultGateway: true,
			ipam: {type: "host-local", subnet: "10.75.0.0/24"}},
		(.delegates[1] | .ipam = {type: "host-local", subnet: "10.74.0.0/24"}),
		{name: "l", plugins: [{type: "ptp", ipam: {type: "static", addresses: [{address: "10.72.0.2/24", gateway: "10.72.0.1"}]}},
			{type: "tuning", sysctl: {"net.ipv4.conf.net2.arp_filter": "1"}}]}]
		| .delegates[].cniVersion = "1.1.0"'
	SNAPSHOT_IGNORE+='|br8|10\.75\.'
	snapshot
	cni ADD
	assert_ok
	assert_json '.cniVersion == "1.1.0" and (.interfaces | map(.name) | contains(["br8", "eth0"])) and .ips[0].address == "10.75.0.2/24"'
	assert_equal "$(pod_addrs net1)/$(pod_addrs net2)" 10.74.0.2/24/10.72.0.2/24
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv4.conf.net2.arp_filter)" 1
	conf_edit '.prevResult = $result' --argjson result "$output"
	cni CHECK
	assert_ok
	cni DEL
	assert_ok
	assert_unchanged
}
