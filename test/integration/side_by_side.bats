#!/usr/bin/env bats
# Side by side with the real multus: networks that stand in the configuration itself, and what goes wrong before and in them.
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
}

teardown()
{
	side_end
}

# Most scenarios: a pod comes and goes.
scenario()
{
	side_pod default web-1
	side_cni ADD
	side_cni DEL
}

two_stubs()
{
	side_stub one
	side_stub two
	side_conf '.delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0"}, {name: "net-two", type: "two", cniVersion: "0.4.0"}]'
}

@test "S01 two networks of the configuration, without an API server" {
	side_stub one
	side_stub two
	side_conf 'del(.kubeconfig) | .delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0", ipam: {type: "none"}},
		{name: "net-two", type: "two", some: {deep: [1, 2.5, null, "\u003c"]}, masterplugin: true, dns: {nameservers: ["10.0.0.1"]}}]'
	side_by_side S01 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1", "two ADD/net1/cid-web-1"]
		and .DEL.calls.order == ["two DEL/net1/cid-web-1", "one DEL/eth0/cid-web-1"]'
}

@test "S02 the default network by flannel" {
	side_conf '.delegates = [{name: "k8snet1", type: "flannel", masterplugin: true,
		delegate: {isDefaultGateway: true, bridge: "docker0", mtu: 1400}}]'
	side_by_side S02 '.ADD.exit == 0 and (.ADD.calls.order | length) == 3 and .ADD.pods["web-1"].links.eth0'
}

@test "S03 flannel, and a bridge with host-local beside it, in 1.0.0" {
	side_conf '.cniVersion = "1.0.0" | .delegates = [{name: "cbr0", cniVersion: "0.3.1", type: "flannel",
		delegate: {isDefaultGateway: true, bridge: "cni0"}}, {name: "second", cniVersion: "1.0.0", type: "bridge", bridge: "br-second",
		ipam: {type: "host-local", ranges: [[{subnet: "10.9.0.0/24"}], [{subnet: "fd00:9::/64"}]], routes: [{dst: "10.10.0.0/16"}]}}]'
	side_by_side S03 '.ADD.exit == 0 and .ADD.pods["web-1"].links.net1'
}

@test "S04 a delegate that makes no interface" {
	side_stub one
	side_conf '.delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0"}]'
	side_by_side S04 '.ADD.exit == 0 and .ADD.api["web-1"].events == []'
}

@test "S05 a network namespace that does not exist" {
	two_stubs
	scenario()
	{
		side_pod default web-1
		side_cni ADD CNI_NETNS=/run/netns/no-such
		side_cni DEL CNI_NETNS=/run/netns/no-such
	}
	side_by_side S05 '.ADD.exit != 0 and .ADD.calls.order == ["one DEL/eth0/cid-web-1"]'
}

@test "S06 a configuration that is no JSON" {
	CONF='{"cniVersion": "0.4.0", "name": "node-cni-network", "type": "multus", "delegates": [{"name": "a", "type": "b"}'
	side_by_side S06 '.ADD.exit != 0 and .DEL.exit != 0'
}

@test "S07 a second delegate that fails: both are deleted" {
	two_stubs
	stub_set two ADD out '{"cniVersion": "0.4.0", "code": 123, "msg": "expected plugin failure", "details": "of the stub"}'
	stub_set two ADD exit 1
	side_by_side S07 '.ADD.exit != 0 and (.ADD.calls.order | length) == 4 and .ADD.stdout.code == 999'
}

@test "S08 a delegate without a name that fails" {
	side_stub one
	side_stub two
	side_conf '.delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0"}, {type: "two", cniVersion: "0.4.0"}]'
	stub_set two ADD exit 1
	stub_set two ADD err "no reason given"
	side_by_side S08 '.ADD.exit != 0'
}

@test "S09 neither delegates nor clusterNetwork, and a misspelt key" {
	side_conf '.delegatez = [{name: "net-one", type: "one"}]'
	side_by_side S09 '.ADD.exit != 0 and .DEL.exit != 0'
}

@test "S10 what runtimeConfig holds reaches the plugins that declare it, the default network's too" {
	side_stub one
	side_stub two
	side_stub three
	side_conf '.runtimeConfig = {portMappings: [{hostPort: 8080, containerPort: 80, protocol: "tcp"}], mac: "02:00:00:00:00:0a",
			ips: ["10.1.1.5/24"], bandwidth: {ingressRate: 1000, ingressBurst: 2000, egressRate: 3000, egressBurst: 4000},
			infinibandGUID: "c2:11:22:33:44:55:66:77", dns: {servers: ["10.0.0.1"]}, "io.kubernetes.cri.pod-annotations": {}}
		| .delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0", capabilities: {portMappings: true, bandwidth: false, dns: true,
			mac: true, ips: true}},
			{name: "list", cniVersion: "0.4.0", plugins: [{type: "two", capabilities: {bandwidth: true, infinibandGUID: true}},
				{type: "three", capabilities: {portMappings: true}}]}]'
	side_by_side S10 '.ADD.exit == 0 and (.ADD.calls["one ADD/eth0/cid-web-1"].stdin.runtimeConfig | keys) == ["ips", "mac", "portMappings"]
		and (.ADD.calls["three ADD/net1/cid-web-1"].stdin.runtimeConfig | keys) == ["portMappings"]'
}

@test "S11 a list of plugins: each gets the one before's result, and they are deleted in reverse" {
	side_conf '.delegates = [{name: "cbr0", cniVersion: "0.3.1", plugins: [
		{type: "bridge", bridge: "cni0", isDefaultGateway: true, ipMasq: false, ipam: {type: "host-local", subnet: "10.244.1.0/24"}},
		{type: "tuning", sysctl: {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
		{type: "portmap", capabilities: {portMappings: true}}, {type: "bandwidth", capabilities: {bandwidth: true}}]}]
		| .runtimeConfig = {portMappings: [{hostPort: 8080, containerPort: 80, protocol: "tcp"}],
			bandwidth: {ingressRate: 8000000, ingressBurst: 8000000}}'
	side_by_side S11 '.ADD.exit == 0 and (.ADD.calls.order | length) == 5 and (.ADD.filters | length) > 0
		and .ADD.pods["web-1"].sysctls["ipv4/conf/eth0/arp_filter"] == "1"'
}

@test "S12 CHECK of what the configuration holds" {
	side_stub two
	side_conf '.delegates = [{name: "cbr0", cniVersion: "0.4.0", type: "bridge", bridge: "cni0",
			ipam: {type: "host-local", subnet: "10.244.1.0/24"}}, {name: "list", cniVersion: "0.4.0", plugins: [{type: "two"}]}]'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_check
		STEP=CHECK-without-result side_cni CHECK
		stub_set two CHECK exit 1
		stub_set two CHECK out '{"cniVersion": "0.4.0", "code": 77, "msg": "it is not there"}'
		STEP=CHECK-fails side_check
		side_cni DEL
		stub_reset two
	}
	side_by_side S12 '.CHECK.exit == 0 and .CHECK.calls.order == ["bridge CHECK/eth0/cid-web-1", "host-local CHECK/eth0/cid-web-1",
		"two CHECK/net1/cid-web-1"] and ."CHECK-fails".exit != 0'
}

@test "S13 CHECK of a network whose version has no CHECK" {
	two_stubs
	side_conf '.delegates = [{name: "net-one", type: "one", cniVersion: "0.4.0"}, {name: "net-two", type: "two", cniVersion: "0.3.1"}]'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_check
		side_cni DEL
	}
	side_by_side S13 '.ADD.exit == 0 and .CHECK.exit != 0'
}

@test "S14 CNI_ARGS without a UID, with keys of others, and with one that is not allowed" {
	two_stubs
	scenario()
	{
		side_pod default web-1
		ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=;BLAHBLAH=foo'
		side_cni ADD
		side_cni DEL
		ARGS='IgnoreUnknown=0;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;BLAHBLAH=foo'
		STEP=ADD-unknown side_cni ADD
		ARGS='K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;BLAHBLAH'
		STEP=ADD-malformed side_cni ADD
		STEP=DEL-malformed side_cni DEL
	}
	side_by_side S14 '.ADD.exit == 0 and (.ADD.calls["one ADD/eth0/cid-web-1"].env | any(test("^CNI_ARGS=.*;BLAHBLAH=foo$"))) and ."ADD-unknown".exit != 0'
}

@test "S15 an interface of that name is there already" {
	two_stubs
	scenario()
	{
		side_pod default web-1
		pod_exec web-1 ip link add net1 type veth peer name other
		side_cni ADD
		side_cni DEL
	}
	side_by_side S15 '.ADD.exit != 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1", "two DEL/net1/cid-web-1", "one DEL/eth0/cid-web-1"]'
}

@test "S16 a folder for caches that cannot be made" {
	two_stubs
	conf_edit '.cniDir = "/proc/no-such"'
	side_by_side S16 '.ADD.exit != 0'
}

@test "S17 environment and search path" {
	two_stubs
	conf_edit '.binDir = "/opt/cni/bin"'
	scenario()
	{
		side_pod default web-1
		side_cni ADD CNI_IFNAME=eth7 CNI_PATH=/opt/elsewhere:/opt/cni/real SOMETHING=else HOME=/nowhere
		side_cni DEL CNI_IFNAME=eth7 SOMETHING=new
	}
	side_by_side S17 '.ADD.exit == 0 and (.ADD.calls | has("one ADD/eth7/cid-web-1"))'
}

@test "S18 a delegate that cannot be found, and one that prints no JSON" {
	two_stubs
	conf_edit '.delegates[1].type = "no-such-plugin"'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_cni DEL
		conf_edit '.delegates[1].type = "two"'
		stub_set two ADD out 'not JSON'
		STEP=ADD-garbage side_cni ADD
		STEP=DEL-garbage side_cni DEL
		conf_edit '.delegates[1].type = "no-such-plugin"'
	}
	side_by_side S18 '.ADD.exit != 0 and ."ADD-garbage".exit != 0'
}

@test "S19 a delegate that fails to delete, with and without retryDeleteOnError" {
	two_stubs
	stub_set two DEL exit 1
	stub_set two DEL out '{"cniVersion": "0.4.0", "code": 11, "msg": "try again"}'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_cni DEL
		conf_edit '.retryDeleteOnError = true'
		side_pod default web-2
		STEP=ADD-retry side_cni ADD
		STEP=DEL-retry side_cni DEL
		STEP=DEL-retry-again side_cni DEL
		conf_edit 'del(.retryDeleteOnError)'
	}
	side_by_side S19 '.DEL.exit != 0 and (.DEL.calls.order | length) == 2 and ."DEL-retry-again".exit != 0'
}
