#!/usr/bin/env bats
# Side by side with the real multus: which network is the default one, and what is attached to every pod.
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
	side_stub one
	side_stub two
	side_stub three
	side_conf '.clusterNetwork = "main" | .confDir = "/etc/cni/multus"'
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

@test "S35 clusterNetwork and defaultNetworks are definitions" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system more '{"name": "more", "cniVersion": "0.4.0", "plugins": [{"type": "two"}, {"type": "three"}]}'
	side_nad default own '{"name": "own", "type": "three", "cniVersion": "0.4.0"}'
	conf_edit '.defaultNetworks = ["more"] | .delegates = [{name: "ignored", type: "no-such-plugin"}]'
	scenario()
	{
		side_pod default web-1 "$(side_networks own)"
		side_cni ADD
		side_cni DEL
	}
	side_by_side S35 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1", "two ADD/net1/cid-web-1", "three ADD/net1/cid-web-1",
		"three ADD/net2/cid-web-1"]'
}

@test "S36 clusterNetwork by the name in a file of confDir" {
	side_file /etc/cni/multus/10-other.conf <<<'{"name": "other", "type": "two", "cniVersion": "0.4.0"}'
	side_file /etc/cni/multus/20-main.conf <<<'{"name": "main", "type": "one", "cniVersion": "0.4.0", "capabilities": {"mac": true}}'
	conf_edit '.runtimeConfig.mac = "02:00:00:00:00:0a"'
	side_by_side S36 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1"]'
}

@test "S37 clusterNetwork is a folder, and a file" {
	side_file /etc/cni/networks/20-second.conf <<<'{"name": "second", "type": "two", "cniVersion": "0.4.0"}'
	side_file /etc/cni/networks/10-first.conf <<<'{"name": "first", "type": "one", "cniVersion": "0.4.0"}'
	scenario()
	{
		side_pod default web-1
		conf_edit '.clusterNetwork = "/etc/cni/networks"'
		STEP=ADD-folder side_cni ADD
		STEP=DEL-folder side_cni DEL
		conf_edit '.clusterNetwork = "/etc/cni/networks/20-second.conf"'
		STEP=ADD-file side_cni ADD
		STEP=DEL-file side_cni DEL
	}
	side_by_side S37 '."ADD-folder".calls.order == ["one ADD/eth0/cid-web-1"] and ."ADD-file".calls.order == ["two ADD/eth0/cid-web-1"]'
}

@test "S38 clusterNetwork is a list, with more plugins in the folder of its name" {
	side_file /etc/cni/networks/10-kindnet.conflist <<<'{"name": "kindnet", "cniVersion": "0.4.0", "plugins": [
		{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local", "subnet": "10.244.1.0/24"}}]}'
	side_file /etc/cni/networks/kindnet/10-tuning.conf <<<'{"name": "chained", "type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}'
	conf_edit '.clusterNetwork = "/etc/cni/networks/10-kindnet.conflist"'
	side_by_side S38 '.ADD.exit == 0 and .ADD.pods["web-1"].sysctls["ipv4/conf/eth0/arp_filter"] == "1"'
}

@test "S39 loadOnlyInlinedPlugins leaves that folder alone" {
	side_file /etc/cni/networks/10-kindnet.conflist <<<'{"name": "kindnet", "cniVersion": "1.0.0", "loadOnlyInlinedPlugins": true,
		"plugins": [{"type": "one"}]}'
	side_file /etc/cni/networks/kindnet/10-two.conf <<<'{"name": "chained", "type": "two"}'
	conf_edit '.clusterNetwork = "/etc/cni/networks/10-kindnet.conflist"'
	side_by_side S39 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1"]'
}

@test "S40 auxiliaryCNIChainName: a list of its own at the end" {
	side_stub passthru
	stub_set passthru ADD out '{"cniVersion": "0.4.0", "interfaces": [], "ips": [], "routes": [], "dns": {}}'
	side_file /etc/cni/networks/10-kindnet.conflist <<<'{"name": "kindnet", "cniVersion": "0.4.0", "plugins": [
		{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local", "subnet": "10.244.1.0/24"}}]}'
	side_file /etc/cni/networks/vendor-cni-chain/10-tuning.conf <<<'{"name": "chained", "type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}'
	conf_edit '.clusterNetwork = "/etc/cni/networks/10-kindnet.conflist" | .auxiliaryCNIChainName = "vendor-cni-chain"'
	side_by_side S40 '.ADD.exit == 0 and .ADD.pods["web-1"].sysctls["ipv4/conf/eth0/arp_filter"] == "1"'
}

@test "S41 a clusterNetwork that nothing has" {
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		side_cni DEL
		conf_edit '.clusterNetwork = "/etc/cni/networks/no-such.conflist"'
		STEP=ADD-path side_cni ADD
		STEP=DEL-path side_cni DEL
		conf_edit '.clusterNetwork = "main"'
	}
	side_by_side S41 '.ADD.exit != 0 and .DEL.exit != 0'
}

@test "S42 the default network by annotation: in the place of clusterNetwork, and of delegates" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system special '{"name": "special", "type": "two", "cniVersion": "0.4.0", "capabilities": {"ips": true, "mac": true}}'
	side_nad default own '{"name": "own", "type": "three", "cniVersion": "0.4.0"}'
	scenario()
	{
		side_pod default web-1 "$(side_networks own) | .metadata.annotations[\"v1.multus-cni.io/default-network\"] = \"special\""
		side_cni ADD
		side_cni DEL
		conf_edit '.delegates = [{name: "first", type: "one", cniVersion: "0.4.0"}, {name: "second", type: "one", cniVersion: "0.4.0"}]
			| del(.clusterNetwork) | .multusNamespace = "default"'
		side_pod default web-2 '.metadata.annotations["v1.multus-cni.io/default-network"] =
			"[{\"name\": \"special\", \"namespace\": \"kube-system\", \"ips\": [\"10.1.1.5\"], \"mac\": \"02:00:00:00:00:0b\"}]"'
		STEP=ADD-delegates side_cni ADD
		STEP=DEL-delegates side_cni DEL
		conf_edit '.clusterNetwork = "main" | del(.delegates, .multusNamespace)'
	}
	side_by_side S42 '.ADD.exit == 0 and .ADD.calls.order == ["two ADD/eth0/cid-web-1", "three ADD/net1/cid-web-1"]
		and ."ADD-delegates".calls.order == ["two ADD/eth0/cid-web-2", "one ADD/net1/cid-web-2"]'
}

@test "S43 default-network annotations that cannot be followed" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	scenario()
	{
		local text n=0
		for text in missing main,main 'a b'; do
			n=$((n + 1))
			side_pod default "web-$n" ".metadata.annotations[\"v1.multus-cni.io/default-network\"] = $(jq -n --arg it "$text" '$it')"
			STEP=ADD-$n side_cni ADD
		done
		side_pod default web-4 '.metadata.annotations["v1.multus-cni.io/default-network"] = ""'
		STEP=ADD-empty side_cni ADD
	}
	side_by_side S43 '[."ADD-1", ."ADD-2", ."ADD-3"] | map(.exit) | index(0) == null'
}

@test "S44 a system namespace has no default networks, and its pods have a status" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system more '{"name": "more", "type": "two", "cniVersion": "0.4.0"}'
	stub_set one ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/web-1"}],
		"ips": [{"version": "4", "interface": 0, "address": "10.244.1.5/24"}]}'
	conf_edit '.defaultNetworks = ["more"]'
	scenario()
	{
		side_pod kube-system web-1
		side_cni ADD
		side_cni DEL
		conf_edit '.systemNamespaces = ["default", "web-3"]'
		side_pod default web-2
		STEP=ADD-default side_cni ADD
		# The name of a pod, where namespaces are listed.
		side_pod kube-system web-3
		STEP=ADD-named side_cni ADD
		conf_edit 'del(.systemNamespaces)'
	}
	side_by_side S44 '.ADD.calls.order == ["one ADD/eth0/cid-web-1"] and .ADD.api["web-1"].annotations != null
		and (."ADD-named".calls.order | length) == 2'
}

@test "S45 multusNamespace" {
	side_nad other main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	side_nad kube-system main '{"name": "main", "type": "two", "cniVersion": "0.4.0"}'
	conf_edit '.multusNamespace = "other"'
	side_by_side S45 '.ADD.exit == 0 and .ADD.calls.order == ["one ADD/eth0/cid-web-1"]'
}

@test "S46 STATUS: of the default network alone, with its own words" {
	side_stub one
	side_conf '.cniVersion = "1.1.0" | .delegates = [{name: "main", cniVersion: "1.1.0", plugins: [{type: "one"}, {type: "two"}]},
		{name: "second", cniVersion: "1.1.0", type: "three"}]'
	scenario()
	{
		ARGS='' POD='' CID=''
		side_cni STATUS -CNI_NETNS -CNI_CONTAINERID -CNI_IFNAME
		stub_set two STATUS out '{"cniVersion": "1.1.0", "code": 50, "msg": "no address is left", "details": "of ten"}'
		stub_set two STATUS exit 1
		STEP=STATUS-fails side_cni STATUS -CNI_NETNS -CNI_CONTAINERID -CNI_IFNAME
		stub_reset two
		conf_edit '.delegates[0].cniVersion = "1.0.0"'
		STEP=STATUS-old side_cni STATUS -CNI_NETNS -CNI_CONTAINERID -CNI_IFNAME
		conf_edit '.delegates[0].cniVersion = "1.1.0"'
	}
	side_by_side S46 '.STATUS.calls.order == ["one STATUS//", "two STATUS//"] and ."STATUS-fails".stdout.code == 999
		and ."STATUS-old".calls.order == []'
}

@test "S47 GC: what the default network's plugins are told" {
	side_conf '.cniVersion = "1.1.0" | .delegates = [{name: "main", cniVersion: "1.1.0", plugins: [{type: "one"}, {type: "two"}]},
		{name: "second", cniVersion: "1.1.0", type: "three"}]'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		conf_edit '."cni.dev/valid-attachments" = [{containerID: "cid-web-1", ifname: "eth0"}]'
		side_cni GC -CNI_NETNS -CNI_CONTAINERID -CNI_IFNAME -CNI_ARGS
		conf_edit 'del(."cni.dev/valid-attachments")'
		side_cni DEL
	}
	side_by_side S47 '.GC.exit == 0 and .GC.calls.order == ["one GC//", "two GC//"]'
}

@test "S48 VERSION, and a version that nobody knows" {
	scenario()
	{
		side_pod default web-1
		side_cni VERSION
		conf_edit '.cniVersion = "9.9.9"'
		side_cni ADD
		side_cni DEL
		conf_edit '.cniVersion = "0.4.0"'
		STEP=FOO side_cni FOO
	}
	side_by_side S48 '.VERSION.exit == 0 and .ADD.exit != 0'
}

@test "S49 readinessindicatorfile" {
	side_nad kube-system main '{"name": "main", "type": "one", "cniVersion": "0.4.0"}'
	conf_edit '.readinessindicatorfile = "/run/ready"'
	scenario()
	{
		side_pod default web-1
		# It comes while ADD waits.
		(sleep 0.3 && node_exec touch /run/ready) 3>&- &
		side_cni ADD
		node_exec rm /run/ready
		side_cni DEL
	}
	side_by_side S49 '.ADD.exit == 0 and .DEL.exit == 0'
}

@test "S112 GC of a default network of one plugin" {
	side_conf '.cniVersion = "1.1.0" | .delegates = [{name: "main", cniVersion: "1.1.0", type: "one"}]'
	scenario()
	{
		side_pod default web-1
		side_cni ADD
		conf_edit '."cni.dev/valid-attachments" = [{containerID: "cid-web-1", ifname: "eth0"}]'
		side_cni GC -CNI_NETNS -CNI_CONTAINERID -CNI_IFNAME -CNI_ARGS
		conf_edit 'del(."cni.dev/valid-attachments")'
		side_cni DEL
	}
	side_by_side S112 '.GC.exit == 0 and .GC.calls.order == [] and .DEL.calls.order == ["one DEL/eth0/cid-web-1"]'
}
