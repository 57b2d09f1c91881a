#!/usr/bin/env bats
# Side by side with the real multus: networks whose addresses kube-ipam gives. The real multus and the real macvlan execute it (it is
# lamina under that name); lamina does both in its own process.
# What setup and side.bash set is used in tests and the other way round; single quotes are for jq and the stubs.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317
bats_require_minimum_version 1.5.0

load ../lab/side

setup_file()
{
	side_up
	# A link until now, which multus must not find: what it executes is noted.
	node_exec sh -c 'cp --remove-destination /opt/cni/side/lamina /opt/cni/real/kube-ipam &&
		cp --remove-destination /opt/cni/side/recorder /opt/cni/bin/kube-ipam'
}

teardown_file()
{
	side_down
}

setup()
{
	side_begin
	side_conf '.delegates = [{name: "cbr0", cniVersion: "0.3.1", type: "flannel", delegate: {isDefaultGateway: true, bridge: "cni0"}}]'
	NETWORKS=layer
}

teardown()
{
	side_end
}

# layer [FILTER]: the network, a macvlan of the node's interface; the filter changes its configuration.
layer()
{
	side_nad default layer "$(jq -nc '{cniVersion: "0.4.0", type: "macvlan", master: "eth0", mode: "bridge", capabilities: {ips: true},
		ipam: {type: "kube-ipam", kubeConfig: $ARGS.named.kubeconfig, subnet: "10.188.0.0/16", rangeStart: "10.188.0.10",
			rangeEnd: "10.188.0.99", gateway: "10.188.0.1", routes: [{dst: "10.77.0.0/16"}]}} | '"${1:-.}" --arg kubeconfig "$SIDE_KUBECONFIG")"
}

# Most scenarios: a pod comes, with these networks, is looked at, and goes.
scenario()
{
	side_pod default web-1 "$(side_networks "$NETWORKS")${FILTER:+ | $FILTER}"
	side_cni ADD
	side_cni DEL
}

@test "S101 any address: two pods, and a third one when the first has gone" {
	layer
	scenario()
	{
		local first
		side_pod default web-1 "$(side_networks layer)"
		first=$ARGS
		side_cni ADD
		side_pod default web-2 "$(side_networks layer,layer@net7)"
		STEP=ADD-2 side_cni ADD
		POD=web-1 CID=cid-web-1 ARGS=$first side_cni DEL
		side_pod default web-3 "$(side_networks layer)"
		STEP=ADD-3 side_cni ADD
	}
	side_by_side S101 '.ADD.exit == 0 and .ADD.calls["kube-ipam ADD/net1/cid-web-1"] and .ADD.pods["web-1"].links.net1.kind == "macvlan"
		and any(.ADD.pods["web-1"].addrs[]; startswith("net1 10.188.0.10/16"))
		and any(."ADD-2".pods["web-2"].addrs[]; startswith("net7 10.188.0.12/16"))
		and any(."ADD-3".pods["web-3"].addrs[]; startswith("net1 10.188.0.13/16"))'
}

@test "S102 an address by the element's ips, to a network that declares them" {
	layer
	NETWORKS='[{"name": "layer", "ips": ["10.188.0.77"]}]'
	side_by_side S102 '.ADD.exit == 0 and any(.ADD.pods["web-1"].addrs[]; startswith("net1 10.188.0.77/16"))'
}

@test "S103 an address by ips, to a network that declares nothing: from CNI_ARGS" {
	layer 'del(.capabilities)'
	NETWORKS='[{"name": "layer", "ips": ["10.188.0.78/16"]}]'
	side_by_side S103 '.ADD.exit == 0 and (.ADD.calls["kube-ipam ADD/net1/cid-web-1"].env | any(test("^CNI_ARGS=.*;IP=10.188.0.78/16$")))'
}

@test "S104 an address by the pod's annotation kube-ipam.ip" {
	layer
	FILTER='.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"'
	side_by_side S104 '.ADD.exit == 0 and any(.ADD.pods["web-1"].addrs[]; startswith("net1 10.188.0.218/16"))'
}

@test "S105 an address that another pod has" {
	layer
	scenario()
	{
		side_pod default web-1 "$(side_networks '[{"name": "layer", "ips": ["10.188.0.77"]}]')"
		side_cni ADD
		side_pod default web-2 "$(side_networks '[{"name": "layer", "ips": ["10.188.0.77"]}]')"
		STEP=ADD-taken side_cni ADD
		STEP=DEL-taken side_cni DEL
	}
	side_by_side S105 '.ADD.exit == 0 and ."ADD-taken".exit != 0'
}

@test "S106 kube-ipam for a bridge, in a list, which both execute" {
	side_nad default bridged "$(jq -nc '{cniVersion: "1.0.0", plugins: [{type: "bridge", bridge: "br9", capabilities: {ips: true},
		ipam: {type: "kube-ipam", kubeConfig: $ARGS.named.kubeconfig, subnet: "10.188.0.0/16", rangeStart: "10.188.0.10"}},
		{type: "tuning", sysctl: {"net.ipv4.conf.IFNAME.arp_filter": "1"}}]}' --arg kubeconfig "$SIDE_KUBECONFIG")"
	NETWORKS='[{"name": "bridged", "ips": ["10.188.0.77"]}, {"name": "bridged"}]'
	side_by_side S106 '.ADD.exit == 0 and any(.ADD.pods["web-1"].addrs[]; startswith("net2 10.188.0.10/16"))'
}

@test "S107 a network of the configuration, and CHECK of it" {
	side_conf '.cniVersion = "1.0.0" | .delegates = [{name: "cbr0", cniVersion: "1.0.0", type: "ptp",
			ipam: {type: "host-local", subnet: "10.9.0.0/24"}}, {name: "layer", cniVersion: "1.0.0", type: "macvlan", master: "eth0",
			ipam: {type: "kube-ipam", kubeConfig: $ARGS.named.kubeconfig, subnet: "10.188.0.0/16", rangeStart: "10.188.0.10"}}]'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_check
		side_cni DEL
	}
	side_by_side S107 '.ADD.exit == 0 and .CHECK.exit == 0 and (.CHECK.calls | has("kube-ipam CHECK/net1/cid-web-1"))'
}
