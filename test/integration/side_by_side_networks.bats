#!/usr/bin/env bats
# Side by side with the real multus: networks that a pod asks for by its annotation.
# What setup and side.bash set is used in tests and the other way round; single quotes are for jq and the stubs.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317
bats_require_minimum_version 1.5.0

load ../lab/side

setup_file()
{
	side_up
	side_namespace other
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

@test "S20 networks are attached in the annotation's order" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	side_nad default net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0"}'
	side_nad default net3 '{"name": "net3", "type": "no-such-plugin", "cniVersion": "0.4.0"}'
	NETWORKS=net2,net1
	side_by_side S20 '.ADD.exit == 0 and .ADD.calls.order == ["eth ADD/eth0/cid-web-1", "two ADD/net1/cid-web-1", "one ADD/net2/cid-web-1"]
		and (.ADD.api["web-1"].annotations["k8s.v1.cni.cncf.io/network-status"] | test("10.244.1.5"))
		and .DEL.calls.order == ["one DEL/net2/cid-web-1", "two DEL/net1/cid-web-1", "eth DEL/eth0/cid-web-1"]'
}

@test "S21 the short form: namespaces, interfaces, blanks" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	side_nad other net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0"}'
	NETWORKS=' net1@my_interface ,other/net2,  default/net1@foo, other/net2 '
	side_by_side S21 '.ADD.exit == 0 and (.ADD.calls.order[1:] | map(split("/")[1])) == ["my_interface", "net2", "foo", "net4"]'
}

@test "S22 the JSON form: all that an element may say, to a plugin that declares it and to one that does not" {
	local element='{namespace: "other", interface: "high", ips: ["10.1.1.5/24", "fd00::5/64"], mac: "c2:b0:57:49:47:f1",
		bandwidth: {ingressRate: 2048, ingressBurst: 1600, egressRate: 4096, egressBurst: 1600},
		portMappings: [{hostPort: 8080, containerPort: 80, protocol: "tcp"}], "infiniband-guid": "c2:11:22:33:44:55:66:77",
		deviceID: "0000:00:00.1", "cni-args": {some: "value", deep: {list: [1, "two"]}}, unknown: 1}'
	side_nad other net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0", "capabilities": {"ips": true, "mac": true, "bandwidth": true,
		"portMappings": true, "infinibandGUID": true, "deviceID": true, "CNIDeviceInfoFile": true}}'
	side_nad other net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0", "args": {"cni": {"mine": true}}}'
	NETWORKS=$(jq -nc "[{name: \"net1\"} + $element, {name: \"net2\"} + $element + {interface: \"low\"}]")
	side_by_side S22 '.ADD.exit == 0 and (.ADD.calls["one ADD/high/cid-web-1"].stdin.runtimeConfig | length) > 5
		and .ADD.calls["two ADD/low/cid-web-1"].stdin.runtimeConfig == null
		and (.ADD.calls["two ADD/low/cid-web-1"].env | any(test("^CNI_ARGS=.*;MAC=c2:b0:57:49:47:f1;IP=10.1.1.5/24,fd00::5/64$")))
		and .ADD.calls["two ADD/low/cid-web-1"].stdin.args.cni == {deep: {list: [1, "two"]}, mine: true, some: "value"}'
}

@test "S23 one network twice" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	NETWORKS=net1,net1
	side_by_side S23 '.ADD.exit == 0 and .ADD.calls.order[1:] == ["one ADD/net1/cid-web-1", "one ADD/net2/cid-web-1"]'
}

@test "S24 a list of plugins by annotation: what each of them gets" {
	side_nad default list '{"name": "list", "cniVersion": "0.4.0", "plugins": [{"type": "one", "capabilities": {"ips": true, "mac": true}},
		{"type": "two", "capabilities": {"portMappings": true}, "args": {"cni": {"mine": 1}}}]}'
	stub_set one ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/web-1"}],
		"ips": [{"version": "4", "interface": 0, "address": "10.1.1.5/24"}]}'
	stub_set two ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01", "mtu": 1400,
		"sandbox": "/run/netns/web-1"}, {"name": "veth-of-host"}], "ips": [{"version": "4", "interface": 0, "address": "10.1.1.6/24"}],
		"dns": {"nameservers": ["10.1.1.1"], "search": ["example.org"]}}'
	NETWORKS='[{"name": "list", "ips": ["10.1.1.5"], "mac": "02:00:00:00:00:01", "portMappings": [{"hostPort": 80, "containerPort": 80}],
		"cni-args": {"yours": 2}}]'
	side_by_side S24 '.ADD.exit == 0 and (.ADD.calls["two ADD/net1/cid-web-1"].stdin | .prevResult and .args.cni == {mine: 1, yours: 2})
		and .DEL.calls.order[0:2] == ["two DEL/net1/cid-web-1", "one DEL/net1/cid-web-1"]'
}

@test "S25 a definition without name, and one without cniVersion" {
	side_nad default net1 '{"type": "one", "cniVersion": "0.4.0"}'
	side_nad default net2 '{"name": "", "type": "two"}'
	side_nad default list '{"plugins": [{"type": "one"}, {"type": "two"}]}'
	NETWORKS=net1,net2,list
	side_by_side S25 '.ADD.exit == 0 and .ADD.calls["one ADD/net1/cid-web-1"].stdin.name == "net1"'
}

@test "S26 a definition that does not exist" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	NETWORKS=net1,missing
	side_by_side S26 '.ADD.exit != 0 and .ADD.calls.order == []'
}

# S27 tries many texts: each is a pod of its own.
@test "S27 annotations that cannot be read" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	scenario()
	{
		local text n=0
		for text in a/b/c net1@a@b NET1 net1@'a b' net1@sixteen-letters-x '[{"name": "net1"}' '{"name": "net1"}' \
			'[{"name": "net1", "ips": "10.1.1.5"}]' '[{"name": "default/net1"}]' '[{"name": "net1", "mac": "no"}]' \
			'[{"name": "net1", "ips": ["300.1.1.1"]}]' '[{"name": "net1", "default-route": ["here"]}]' '[{"namespace": "default"}]'; do
			n=$((n + 1))
			side_pod default "web-$n" "$(side_networks "$text")"
			STEP=ADD-$n side_cni ADD
		done
		side_pod default web-comma "$(side_networks net1,)"
		STEP=ADD-comma side_cni ADD
	}
	side_by_side S27 '[.[].exit] | index(0) == null'
}

@test "S28 an annotation that is empty" {
	side_by_side S28 '.ADD.exit == 0 and .ADD.calls.order == ["eth ADD/eth0/cid-web-1"]'
}

@test "S29 namespaces: what is isolated, and what is allowed" {
	side_nad other net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0"}'
	side_nad default net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0"}'
	conf_edit '.namespaceIsolation = true'
	scenario()
	{
		side_pod default web-1 "$(side_networks other/net1)"
		STEP=ADD-refused side_cni ADD
		side_pod other web-2 "$(side_networks 'net1, default/net2')"
		STEP=ADD-default side_cni ADD
		conf_edit '.globalNamespaces = "kube-system, donkey-kong"'
		side_pod other web-3 "$(side_networks 'net1, kube-system/net2')"
		STEP=ADD-global side_cni ADD
		side_pod other web-4 "$(side_networks 'default/net2')"
		STEP=ADD-replaced side_cni ADD
		conf_edit 'del(.globalNamespaces)'
	}
	side_by_side S29 '."ADD-refused".exit != 0 and ."ADD-default".exit == 0 and ."ADD-global".exit == 0 and ."ADD-replaced".exit != 0'
}

@test "S30 a definition without a configuration: a file of confDir has it" {
	side_nad default in-file ''
	side_nad default in-list ''
	side_nad default nowhere ''
	conf_edit '.confDir = "/etc/cni/multus"'
	side_file /etc/cni/multus/10-in-file.conf <<<'{"name": "in-file", "type": "one", "cniVersion": "0.4.0"}'
	side_file /etc/cni/multus/20-in-list.conflist <<<'{"name": "in-list", "cniVersion": "0.4.0", "plugins": [{"type": "one"}, {"type": "two"}]}'
	scenario()
	{
		side_pod default web-1 "$(side_networks in-list,in-file)"
		side_cni ADD
		side_cni DEL
		side_pod default web-2 "$(side_networks nowhere)"
		STEP=ADD-nowhere side_cni ADD
		side_file /etc/cni/multus/05-broken.conf <<<'{"name": '
		side_pod default web-3 "$(side_networks in-file)"
		STEP=ADD-broken side_cni ADD
		node_exec rm /etc/cni/multus/05-broken.conf
	}
	side_by_side S30 '.ADD.exit == 0 and (.ADD.calls.order | length) == 4 and ."ADD-nowhere".exit != 0 and ."ADD-broken".exit != 0'
}

@test "S31 interfaceRequest, keys in any case, MAC addresses as Go reads them" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0", "capabilities": {"mac": true, "infinibandGUID": true}}'
	NETWORKS='[{"NAME": "net1", "InterfaceRequest": "foo", "Mac": "C2-B0-57-49-47-F1"}, {"name": "net1", "interface": "bar",
		"interfaceRequest": "ignored", "mac": "c2b0.5749.47f2"}, {"name": "net1", "mac": "00:11:22:33:44:55:66:77",
		"infiniband-guid": "00-11-22-33-44-55-66-88"}]'
	side_by_side S31 '.ADD.exit == 0 and (.ADD.calls.order[1:] | map(split("/")[1])) == ["foo", "bar", "net3"]'
}

@test "S32 a device by resourceName, from the kubelet's file" {
	side_nad default sriov '{"name": "sriov", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/nic
	side_nad default list '{"name": "list", "cniVersion": "0.4.0", "plugins": [{"type": "one"}, {"type": "two"}]}' vendor.com/nic
	scenario()
	{
		side_pod default web-1 "$(side_networks sriov,list)"
		jq -n --arg uid "$UID_" '{Data: {PodDeviceEntries: [
				{PodUID: "another", ContainerName: "c", ResourceName: "vendor.com/nic", DeviceIDs: {"0": ["0000:03:02.9"]}, AllocResp: ""},
				{PodUID: $uid, ContainerName: "c", ResourceName: "vendor.com/nic", DeviceIDs: {"-1": ["0000:03:02.0", "0000:03:02.1"]},
					AllocResp: ""}], RegisteredDevices: {"vendor.com/nic": ["0000:03:02.0", "0000:03:02.1"]}}, Checksum: 1}' |
			side_file /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
		side_cni ADD
		side_cni DEL
	}
	side_by_side S32 '.ADD.exit == 0 and .ADD.calls["one ADD/net1/cid-web-1"].stdin.deviceID == "0000:03:02.0"
		and .ADD.calls["two ADD/net2/cid-web-1"].stdin.pciBusID == "0000:03:02.1"'
}

@test "S33 a network that fails after others: all are deleted" {
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0"}'
	side_nad default net2 '{"name": "net2", "type": "two", "cniVersion": "0.4.0"}'
	stub_set two ADD exit 1
	stub_set two ADD err 'it does not work'
	NETWORKS=net1,net2,net1
	side_by_side S33 '.ADD.exit != 0 and .ADD.calls.order[3:] == ["two DEL/net2/cid-web-1", "one DEL/net1/cid-web-1", "eth DEL/eth0/cid-web-1"]'
}

@test "S34 results of all versions in one status" {
	side_nad default old '{"name": "old", "type": "one", "cniVersion": "0.2.0"}'
	side_nad default new '{"name": "new", "type": "two", "cniVersion": "1.0.0"}'
	stub_set one ADD out '{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.1.5/24", "gateway": "10.1.1.1", "routes": [{"dst": "0.0.0.0/0"}]}}'
	stub_set two ADD out '{"cniVersion": "1.0.0", "interfaces": [{"name": "br0", "mac": "02:00:00:00:00:01"},
		{"name": "net2", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/web-1"},
		{"name": "extra", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/web-1"}],
		"ips": [{"interface": 1, "address": "10.2.1.5/24", "gateway": "10.2.1.1"}, {"address": "fd00::7/64"}],
		"routes": [{"dst": "0.0.0.0/0", "gw": "10.2.1.1"}, {"dst": "10.3.0.0/16", "gw": "10.2.1.1"}, {"dst": "::/0"}],
		"dns": {"nameservers": ["10.2.1.1"], "domain": "example.org", "options": ["ndots:5"]}}'
	NETWORKS=old,new
	side_by_side S34 '.ADD.exit == 0'
}

@test "S113 a definition without a configuration, and a confDir that does not exist" {
	side_nad default nowhere ''
	conf_edit '.confDir = "/etc/cni/no-such"'
	NETWORKS=nowhere
	side_by_side S113 '.ADD.exit != 0 and .ADD.calls.order == []'
}

@test "S115 a device by resourceName, and a kubelet's file that is damaged" {
	side_nad default sriov '{"name": "sriov", "type": "one", "cniVersion": "0.4.0", "capabilities": {"deviceID": true}}' vendor.com/nic
	NETWORKS=sriov
	side_file /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint <<<'{"Data": {"PodDeviceEntries": [{"PodUID": "a", '
	side_by_side S115 '.ADD.exit != 0 and .ADD.calls.order == []'
}
