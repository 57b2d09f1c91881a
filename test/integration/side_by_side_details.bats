#!/usr/bin/env bats
# Side by side with the real multus: what is seldom configured, and what others have made a mistake in.
# What setup and side.bash set is used in tests and the other way round; single quotes are for jq and the stubs.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317
bats_require_minimum_version 1.5.0

load ../lab/side

setup_file()
{
	side_up
	side_namespace other
	# Who may do everything that multus does but read definitions.
	jq -n '{apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: {name: "no-definitions"},
		rules: [{apiGroups: [""], resources: ["pods", "events"], verbs: ["get", "create", "patch"]}]}' |
		kube_api POST /apis/rbac.authorization.k8s.io/v1/clusterroles - >/dev/null
	kube_bind nobody ClusterRole no-definitions
}

teardown_file()
{
	side_down
}

setup()
{
	side_begin
	# The default network is a stub: what is looked at is what stands beside it.
	side_stub eth
	stub_set eth ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/web-1"}],
		"ips": [{"version": "4", "interface": 0, "address": "10.244.1.5/24", "gateway": "10.244.1.1"}]}'
	side_conf '.delegates = [{name: "cbr0", type: "eth", cniVersion: "0.4.0"}]'
	side_stub one
	side_stub two
	NETWORKS=
	DEFAULT=
	CHECKPOINT=/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
	node_exec rm -f "$CHECKPOINT"
}

teardown()
{
	side_end
}

# wishes: the pod's annotations, NETWORKS and DEFAULT.
wishes()
{
	jq -rn --arg networks "$NETWORKS" --arg default "$DEFAULT" '".metadata.annotations = \(
		{"k8s.v1.cni.cncf.io/networks": $networks, "v1.multus-cni.io/default-network": $default} | map_values(select(. != "")) | tojson)"'
}

# Most scenarios: a pod comes, with these networks, and goes.
scenario()
{
	side_pod default web-1 "$(wishes)"
	side_cni ADD
	side_cni DEL
}

# devices ENTRY ...: the kubelet's file; each entry is one container's list of the pod's devices vendor.com/nic.
devices()
{
	jq -n --arg uid "$UID_" '{Data: {PodDeviceEntries: [$ARGS.positional[] | fromjson | {PodUID: $uid, ContainerName: "c",
		ResourceName: "vendor.com/nic", DeviceIDs: {"0": .}, AllocResp: ""}], RegisteredDevices: {}}, Checksum: 1}' --args "$@" |
		side_file "$CHECKPOINT"
}

@test "S81 a resource's name on a node without the kubelet's file: nobody has devices" {
	side_nad default ovs '{"name": "ovs", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' ovs-cni.network.kubevirt.io/br1
	NETWORKS=ovs
	scenario()
	{
		side_pod default web-1 "$(wishes)"
		side_cni ADD
	}
	side_by_side S81 '.ADD.exit != 0'
}

@test "S82 two delegates of one name, and a clusterNetwork and defaultNetworks of one" {
	side_nad kube-system main '{"name": "same", "type": "eth", "cniVersion": "0.4.0"}'
	side_nad kube-system more '{"name": "same", "type": "one", "cniVersion": "0.4.0"}'
	scenario()
	{
		conf_edit '.delegates = [{name: "cbr0", type: "eth", cniVersion: "0.4.0"}, {name: "cbr0", type: "one", cniVersion: "0.4.0"}]'
		side_pod default web-1
		side_cni ADD
		side_cni DEL
		STEP=ADD-again side_cni ADD
		node_exec rm /var/lib/cni/multus/cid-web-1
		STEP=DEL-without side_cni DEL
		conf_edit '.clusterNetwork = "main" | .defaultNetworks = ["more"]'
		STEP=ADD-cluster side_cni ADD
		STEP=DEL-cluster side_cni DEL
		conf_edit 'del(.clusterNetwork, .defaultNetworks)'
	}
	side_by_side S82 '.ADD.exit == 0 and .ADD.calls.order == ["eth ADD/eth0/cid-web-1", "one ADD/net1/cid-web-1"]
		and .DEL.calls.order == ["one DEL/net1/cid-web-1", "eth DEL/eth0/cid-web-1"] and ."ADD-cluster".calls.order == .ADD.calls.order
		and (.ADD.files | keys | map(select(test("results/cbr0"))) | length) == 2'
}

@test "S83 the pod's own default network and another one of the same resource" {
	side_nad kube-system base '{"name": "base", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/nic
	side_nad default sriov '{"name": "sriov", "type": "two", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/nic
	NETWORKS=sriov,sriov DEFAULT=base
	scenario()
	{
		side_pod default web-1 "$(wishes)"
		devices '["0000:03:02.0", "0000:03:02.1"]'
		side_cni ADD
		side_cni DEL
		conf_edit '.clusterNetwork = "base"'
		STEP=ADD-cluster side_cni ADD
		STEP=DEL-cluster side_cni DEL
		conf_edit 'del(.clusterNetwork)'
	}
	side_by_side S83 '.ADD.exit == 0 and ([.ADD.calls[]? | .stdin?.deviceID?] | map(select(.))) == ["0000:03:02.0", "0000:03:02.0", "0000:03:02.1"]'
}

@test "S84 an init container's device that the pod's other container has again" {
	side_nad default sriov '{"name": "sriov", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/nic
	NETWORKS=sriov,sriov
	scenario()
	{
		side_pod default web-1 "$(wishes)"
		devices '["0000:03:02.0"]' '["0000:03:02.0", "0000:03:02.1"]'
		side_cni ADD
		side_cni DEL
	}
	side_by_side S84 '.ADD.exit == 0 and .ADD.calls["one ADD/net2/cid-web-1"].stdin.deviceID == "0000:03:02.0"'
}

@test "S85 namespaces that are isolated: the pod's own default network" {
	side_nad other base '{"name": "base", "type": "one", "cniVersion": "0.4.0"}'
	conf_edit '.namespaceIsolation = true'
	DEFAULT=other/base
	side_by_side S85 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1"]'
}

@test "S86 an address of an interface that the result does not have" {
	local interfaces='"cniVersion": "0.4.0", "interfaces": [{"name": "veth-of-host"}, {"name": "eth0", "sandbox": "/run/netns/web-1"}]'
	stub_set eth ADD out "{$interfaces, \"ips\": [{\"version\": \"4\", \"interface\": 5, \"address\": \"10.244.1.5/24\",
		\"gateway\": \"10.244.1.1\"}, {\"version\": \"4\", \"address\": \"10.244.1.6/24\"}]}"
	stub_set one ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "net1", "sandbox": "/run/netns/web-1"}],
		"ips": [{"version": "4", "interface": 2, "address": "10.2.1.5/24"}]}'
	stub_set two ADD out '{"cniVersion": "0.4.0", "ips": [{"version": "4", "interface": 0, "address": "10.3.1.5/24"}]}'
	side_nad default n '{"name": "n", "type": "one", "cniVersion": "0.4.0"}'
	side_nad default list '{"name": "list", "cniVersion": "0.4.0", "plugins": [{"type": "one"}, {"type": "two"}]}'
	NETWORKS=n,list
	side_by_side S86 '.ADD.exit == 0 and .ADD.stdout.ips[0].interface == 5'
}

@test "S87 a chain's folder with a file that is broken" {
	side_file /etc/cni/networks/10-base.conflist <<<'{"name": "base", "cniVersion": "0.4.0", "plugins": [{"type": "eth"}]}'
	side_file /etc/cni/networks/vendor/10-good.conf <<<'{"name": "chained", "type": "one"}'
	side_file /etc/cni/networks/vendor/20-broken.conf <<<'{"name": '
	conf_edit '.clusterNetwork = "/etc/cni/networks/10-base.conflist" | .auxiliaryCNIChainName = "vendor"'
	side_by_side S87 '.ADD.exit == 0 and .ADD.calls.order == ["eth ADD/eth0/cid-web-1"]'
}

@test "S88 ADD with the result of a plugin before" {
	conf_edit '.prevResult = {cniVersion: "0.4.0", interfaces: [{name: "dummy0"}], ips: [{version: "4", address: "10.9.9.9/24"}]}'
	side_by_side S88 '.ADD.exit == 0 and (.ADD.stdout.interfaces | length) == 1'
}

@test "S89 no addresses, where the runtime has some; ports and bandwidth of both" {
	side_nad default n '{"name": "n", "type": "one", "cniVersion": "0.4.0", "capabilities": {"ips": true, "portMappings": true,
		"bandwidth": true}}'
	conf_edit '.runtimeConfig = {ips: ["1.2.3.4"], portMappings: [{hostPort: 80, containerPort: 90, protocol: "tcp"}],
		bandwidth: {egressRate: 7, egressBurst: 8}}'
	NETWORKS='[{"name": "n", "ips": []}, {"name": "n", "portMappings": [{"hostPort": 81, "containerPort": 91}],
		"bandwidth": {"ingressRate": 5, "ingressBurst": 6}}, {"name": "n", "ips": ["5.6.7.8"]}]'
	side_by_side S89 '.ADD.exit == 0 and (.ADD.calls["one ADD/net1/cid-web-1"].stdin.runtimeConfig | has("ips") | not)
		and (.ADD.calls["one ADD/net1/cid-web-1"].env | any(test("^CNI_ARGS=.*;IP=$")))'
}

@test "S90 a device of the pod's own choice, of a resource that it has none of" {
	side_nad default n '{"name": "n", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/other
	NETWORKS='[{"name": "n", "deviceID": "0000:03:02.7"}]'
	scenario()
	{
		side_pod default web-1 "$(wishes)"
		devices '["0000:03:02.0"]'
		side_cni ADD
		side_cni DEL
	}
	side_by_side S90 '.ADD.exit == 0 and .ADD.calls["one ADD/net1/cid-web-1"].stdin.runtimeConfig.deviceID == "0000:03:02.7"'
}

@test "S96 the default route over the pod's own default network, and no other network" {
	side_nad kube-system base '{"name": "base", "type": "bridge", "cniVersion": "0.4.0", "bridge": "br0", "isDefaultGateway": true,
		"ipam": {"type": "static", "addresses": [{"address": "10.1.1.5/24", "gateway": "10.1.1.1"}]}}'
	DEFAULT='[{"name": "base", "default-route": ["10.1.1.254"]}]'
	side_by_side S96 '.ADD.exit == 0 and .ADD.files["/var/lib/cni/multus/cid-web-1"].is[0].IsFilterV6Gateway == false'
}

@test "S97 warnings about networks: names that none can have, and definitions that one may not read" {
	side_nad default n '{"name": "n", "type": "one", "cniVersion": "0.4.0"}'
	scenario()
	{
		side_pod default web-1 "$(side_networks '[{"name": "n"}, {"name": "N_x"}]')"
		side_cni ADD
		kube_kubeconfig nobody | side_file "$SIDE_KUBECONFIG" 600
		side_pod default web-2 "$(side_networks n)"
		STEP=ADD-forbidden side_cni ADD
		kube_kubeconfig admin | side_file "$SIDE_KUBECONFIG" 600
	}
	side_by_side S97 '.ADD.exit != 0 and ."ADD-forbidden".exit != 0 and (.ADD.api["web-1"].events | length) == 1
		and (."ADD-forbidden".api["web-2"].events | length) == 1'
}

@test "S98 an interface without a name" {
	side_nad default n '{"name": "n", "type": "one", "cniVersion": "0.4.0"}'
	NETWORKS='n@,n@ '
	side_by_side S98 '.ADD.exit == 0 and .ADD.calls.order[1:] == ["one ADD/net1/cid-web-1", "one ADD/net2/cid-web-1"]'
}

@test "S99 systemNamespaces that is null: there are none" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system more '{"name": "more", "type": "two", "cniVersion": "0.4.0"}'
	conf_edit '.clusterNetwork = "main" | .defaultNetworks = ["more"] | .systemNamespaces = null'
	scenario()
	{
		side_pod kube-system web-1
		side_cni ADD
		side_cni DEL
	}
	side_by_side S99 '.ADD.exit == 0 and (.ADD.calls.order | length) == 2'
}
