#!/usr/bin/env bats
# Side by side with the real multus: real plugins and what they leave in the kernel.
# What setup and side.bash set is used in tests and the other way round; single quotes are for jq and the stubs.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317
bats_require_minimum_version 1.5.0

load ../lab/side

setup_file()
{
	side_up
}

teardown_file()
{
	side_down
}

setup()
{
	side_begin
	side_conf '.delegates = [{name: "cbr0", cniVersion: "0.3.1", type: "flannel", delegate: {isDefaultGateway: true, bridge: "cni0"}}]'
	NETWORKS=
}

teardown()
{
	side_end
}

# Most scenarios: a pod comes, with these networks, and goes.
scenario()
{
	side_pod default web-1 "$(side_networks "$NETWORKS")"
	side_cni ADD
	side_cni DEL
}

# peer POD: the name of the link on the node that eth0 of a pod ends at.
peer()
{
	local index
	index=$(POD=$1 pod_link eth0 | jq .link_index)
	node_exec ip -j link show | jq -r --argjson index "$index" '.[] | select(.ifindex == $index).ifname'
}

@test "S64 a pod without annotations on flannel" {
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_check
		side_cni DEL
	}
	side_by_side S64 '.ADD.exit == 0 and (.ADD.api["web-1"].events | length) == 1'
}

@test "S65 macvlan and tuning in a list, static addresses by the capability ips" {
	side_nad default macvlan-conf '{"cniVersion": "0.3.1", "plugins": [{"type": "macvlan", "capabilities": {"ips": true}, "master": "eth0",
		"mode": "bridge", "ipam": {"type": "static"}}, {"type": "tuning", "capabilities": {"mac": true}}]}'
	NETWORKS='[{"name": "macvlan-conf", "ips": ["10.1.1.11/12"], "mac": "c2:b0:57:49:47:f1"}]'
	side_by_side S65 '.ADD.exit == 0 and (.ADD.pods["web-1"].addrs | map(select(startswith("net1 10.1.1.11/12"))) | length) == 1'
}

@test "S66 a static pod on a bridge network" {
	side_nad default bridge-nad '{"cniVersion": "0.3.1", "type": "bridge", "bridge": "testbr", "ipam": {"type": "host-local", "subnet": "10.10.0.0/16"}}'
	NETWORKS=bridge-nad
	scenario()
	{
		side_pod default web-1 "$(side_networks "$NETWORKS") | .metadata.annotations[\"kubernetes.io/config.source\"] = \"file\""
		ARGS=${ARGS/$UID_/00000000-0000-4000-8000-000000000000}
		side_cni ADD
		side_cni DEL
	}
	side_by_side S66 '.ADD.exit == 0 and .ADD.pods["web-1"].links.net1'
}

@test "S67 default-route: the named gateway becomes the pod's default" {
	side_nad default macvlan-conf '{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth0", "mode": "bridge", "capabilities": {"ips": true},
		"ipam": {"type": "static"}}'
	NETWORKS='[{"name": "macvlan-conf", "ips": ["10.1.1.12/24"], "default-route": ["10.1.1.254"]}]'
	side_by_side S67 '.ADD.exit == 0'
}

@test "S68 default-route on a bridge, IPv4 and IPv6" {
	side_nad default dual '{"cniVersion": "1.0.0", "type": "bridge", "bridge": "brdual", "ipam": {"type": "host-local",
		"ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]}}'
	NETWORKS='[{"name": "dual", "default-route": ["10.9.0.1", "fd00:9::1"]}]'
	side_by_side S68 '.ADD.exit == 0'
}

@test "S69 default-route: an empty list, and two gateways of one family" {
	side_nad default net1 '{"cniVersion": "0.3.1", "type": "bridge", "bridge": "br1", "isDefaultGateway": true,
		"ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}'
	scenario()
	{
		side_pod default web-1 "$(side_networks '[{"name": "net1", "default-route": []}]')"
		side_cni ADD
		side_cni DEL
		side_pod default web-2 "$(side_networks '[{"name": "net1", "default-route": ["10.9.0.1", "10.9.0.2"]}]')"
		STEP=ADD-two side_cni ADD
	}
	side_by_side S69 '."ADD-two".exit != 0'
}

@test "S70 macvlan with host-local and a default route of its own" {
	side_nad default layer '{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth0", "mode": "bridge", "ipam": {"type": "host-local",
		"subnet": "10.188.0.0/16", "rangeStart": "10.188.0.10", "gateway": "10.188.0.1", "routes": [{"dst": "0.0.0.0/0"}]}}'
	NETWORKS=layer
	side_by_side S70 '.ADD.exit == 0 and .ADD.pods["web-1"].links.net1.kind == "macvlan"'
}

@test "S71 macvlan: modes, MTU, MAC by annotation, without addresses" {
	side_nad default private '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "mode": "private", "mtu": 1400}'
	side_nad default vepa '{"cniVersion": "1.0.0", "type": "macvlan", "mode": "vepa", "capabilities": {"mac": true}, "linkInContainer": false,
		"ipam": {"type": "static", "addresses": [{"address": "10.1.1.7/24", "gateway": "10.1.1.1"}, {"address": "fd00:1::7/64"}],
			"routes": [{"dst": "10.2.0.0/16", "gw": "10.1.1.9"}, {"dst": "fd00:2::/64", "gw": "fd00:1::1"}], "dns": {"nameservers": ["10.1.1.1"]}}}'
	NETWORKS='[{"name": "private"}, {"name": "vepa", "mac": "02:00:00:00:00:0b"}]'
	scenario()
	{
		side_pod default web-1 "$(side_networks "$NETWORKS")"
		side_cni ADD
		side_check
		side_cni DEL
	}
	side_by_side S71 '.ADD.exit == 0 and .ADD.pods["web-1"].links.net1.macvlan.mode == "private"
		and .ADD.pods["web-1"].links.net2.mac == "02:00:00:00:00:0b"'
}

@test "S72 macvlan that fails: its master is missing, its IPAM has nothing left" {
	side_stub eth
	side_conf '.delegates = [{name: "cbr0", cniVersion: "0.4.0", type: "eth"}]'
	side_nad default no-master '{"cniVersion": "0.4.0", "type": "macvlan", "master": "no-such", "ipam": {"type": "static"}}'
	side_nad default full '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local", "subnet": "10.5.0.0/24",
		"rangeStart": "10.5.0.10", "rangeEnd": "10.5.0.10"}}'
	scenario()
	{
		side_pod default web-1 "$(side_networks no-master)"
		STEP=ADD-no-master side_cni ADD
		STEP=DEL-no-master side_cni DEL
		side_pod default web-2 "$(side_networks full,full)"
		STEP=ADD-full side_cni ADD
		STEP=DEL-full side_cni DEL
	}
	side_by_side S72 '."ADD-no-master".exit != 0 and ."ADD-full".exit != 0'
}

@test "S73 portMappings by annotation, for bridge and portmap" {
	side_nad default ports '{"cniVersion": "0.4.0", "plugins": [{"type": "bridge", "bridge": "brport", "isGateway": true, "ipMasq": true,
		"ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}, {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}'
	NETWORKS='[{"name": "ports", "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
		{"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "192.168.122.11"}]}]'
	side_by_side S73 '.ADD.exit == 0 and (.ADD.filters | map(select(test("8080"))) | length) > 0'
}

@test "S74 bandwidth by annotation, for ptp and bandwidth" {
	side_nad default shaped '{"cniVersion": "1.0.0", "plugins": [{"type": "ptp", "mtu": 1450, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24",
		"routes": [{"dst": "10.77.0.0/16"}]}}, {"type": "bandwidth", "capabilities": {"bandwidth": true}}]}'
	NETWORKS='[{"name": "shaped", "bandwidth": {"ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 4000000, "egressBurst": 400000}}]'
	side_by_side S74 '.ADD.exit == 0 and (.ADD.host.qdiscs | map(select(test("tbf"))) | length) > 0'
}

@test "S75 one bridge network twice, with MAC addresses and addresses by CNI_ARGS" {
	side_nad default net1 '{"cniVersion": "0.4.0", "type": "bridge", "bridge": "br1", "capabilities": {"mac": true, "ips": true},
		"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}'
	NETWORKS='[{"name": "net1", "mac": "02:00:00:00:00:0c", "ips": ["10.9.0.77"]}, {"name": "net1", "interface": "again", "mac": "02:00:00:00:00:0d"}]'
	side_by_side S75 '.ADD.exit == 0 and .ADD.pods["web-1"].links.again.mac == "02:00:00:00:00:0d"'
}

@test "S76 six pods at the same time" {
	scenario()
	{
		local n pods=()
		for n in 1 2 3 4 5 6; do
			side_pod default "web-$n"
			pods+=("$ARGS")
		done
		node_exec sh -c 'rm -rf /run/side && mkdir -p /run/side/calls'
		for n in 1 2 3 4 5 6; do
			(
				POD=web-$n CID=cid-web-$n ARGS=${pods[n - 1]}
				PLUGIN=multus BATS_TEST_TMPDIR=$(mktemp -d "$BATS_TEST_TMPDIR/cni.XXXXXX")
				cni ADD >"$SIDE_DIR/said-$n"
				echo "$status $output" | tr -d '\n' >"$SIDE_DIR/said-$n"
			) 3>&- &
		done
		wait
		output=$(cat "$SIDE_DIR"/said-?)
		status=0
		[[ $SIDE != multus || ! $output =~ $SIDE_TOO_LATE ]] || SIDE_AGAIN=1
		for n in 1 2 3 4 5 6; do
			side_alias "$(POD=web-$n pod_addrs eth0 | sed 's|/.*||')" "<address of web-$n>"
			side_alias "$(peer "web-$n")" "<veth of web-$n>"
		done
		output=$(grep -l '^0 ' "$SIDE_DIR"/said-? | wc -l)
		# Whoever came last.
		node_exec rm /var/lib/cni/networks/cbr0/last_reserved_ip.0
		side_note ADD
		for n in 1 2 3 4 5 6; do
			POD=web-$n CID=cid-web-$n ARGS=${pods[n - 1]}
			PLUGIN=multus cni DEL
		done
		side_note DEL
	}
	SIDE_UNORDERED=true side_by_side S76 '.ADD.stdout == 6'
}

@test "S77 ipvlan, where the kernel has it" {
	local nad='{"cniVersion": "0.4.0", "type": "ipvlan", "master": "eth0", "mode": "l3", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}'
	# Elsewhere another plugin that nothing is known of.
	if node_exec ip link add link eth0 name try type ipvlan; then
		node_exec ip link del try
	else
		nad='{"cniVersion": "0.4.0", "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}'
	fi
	side_nad default net1 "$nad"
	NETWORKS=net1@sub
	side_by_side S77 '.ADD.exit == 0 and .ADD.pods["web-1"].links.sub'
}

@test "S91 macvlan: one network twice, each with a route to the same destination" {
	side_nad default m '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "capabilities": {"ips": true}, "ipam": {"type": "static",
		"routes": [{"dst": "10.50.0.0/16", "gw": "10.188.0.1"}]}}'
	NETWORKS='[{"name": "m", "ips": ["10.188.0.10/16"]}, {"name": "m", "ips": ["10.188.0.11/16"]}]'
	side_by_side S91 '.ADD.exit == 0 and (.ADD.pods["web-1"].routes | map(select(test("10.50.0.0/16"))) | length) == 2'
}

@test "S92 macvlan: two networks have one IPv6 route, which has two paths" {
	side_nad default one '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local",
		"ranges": [[{"subnet": "fd00:188::/64", "rangeStart": "fd00:188::10"}]], "routes": [{"dst": "fd00:50::/64", "gw": "fd00:188::1"}]}}'
	side_nad default two '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local",
		"ranges": [[{"subnet": "fd00:189::/64", "rangeStart": "fd00:189::10"}]], "routes": [{"dst": "fd00:50::/64", "gw": "fd00:189::1"}]}}'
	NETWORKS=one,two
	side_by_side S92 '.ADD.exit == 0 and (.ADD.pods["web-1"].routes | map(select(test("fd00:50::"))) | length) > 0'
}

@test "S93 macvlan: routes to its own subnet, and to where eth0 leads" {
	side_nad default own '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local", "subnet": "10.7.0.0/24",
		"routes": [{"dst": "10.7.0.0/24"}, {"dst": "10.244.0.0/16"}]}}'
	NETWORKS=own
	side_by_side S93 '.ADD.exit == 0 and (.ADD.pods["web-1"].routes | map(select(test("10.244.0.0/16"))) | length) == 2'
}

@test "S94 macvlan: two gateways for one destination" {
	side_nad default gateways '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local", "subnet": "10.7.0.0/24",
		"rangeStart": "10.7.0.10", "routes": [{"dst": "10.50.0.0/16", "gw": "10.7.0.1"}, {"dst": "10.50.0.0/16", "gw": "10.7.0.2"}]}}'
	NETWORKS=gateways
	side_by_side S94 '.ADD.exit == 0 and (.ADD.pods["web-1"].routes | map(select(test("10.50.0.0/16"))) | length) == 2'
}

@test "S95 macvlan with an ipam section that names no plugin" {
	side_nad default empty '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": ""}}'
	side_nad default none '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"subnet": "10.7.0.0/24"}}'
	NETWORKS=empty,none
	side_by_side S95 '.ADD.exit == 0 and .ADD.pods["web-1"].links.net2.kind == "macvlan"'
}
