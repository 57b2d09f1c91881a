#!/usr/bin/env bats
# The networks that a pod asks for by its annotation k8s.v1.cni.cncf.io/networks, with a real API server: their interfaces and
# addresses, and that what cannot be had leaves nothing behind.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

setup_file()
{
	networks_up
	kube_put_nad default vlan7 '{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth0", "ipam": {"type": "kube-ipam",
		"subnet": "10.7.0.0/16", "rangeStart": "10.7.0.10", "rangeEnd": "10.7.0.20", "gateway": "10.7.0.1"}}'
	kube_put_nad db plain '{"cniVersion": "0.3.1", "name": "plain-conf", "type": "bridge", "bridge": "br-plain",
		"ipam": {"type": "static", "addresses": [{"address": "10.9.0.5/24"}]}}'
	kube_put_nad default two '{"cniVersion": "0.3.1", "plugins": [{"type": "first"}, {"type": "second", "capabilities": {"mac": true, "portMappings": true, "bandwidth": true}}]}'
}

teardown_file()
{
	teardown_node
}

setup()
{
	networks_setup
}

# The plugins of network `two`.
fresh_stubs()
{
	local name
	for name in first second; do
		stub "$name"
		stub_reset "$name"
	done
}

teardown()
{
	networks_teardown
}

@test "the short form adds networks in order, in the pod's namespace or another, with names of their own" {
	networks_pod 'vlan7, db/plain@plain0,vlan7'
	cni ADD
	assert_ok
	# The answer is the default network's alone.
	assert_json '[.ips[].address] | length == 1 and (.[0] | startswith("10.244."))'
	pod_link eth0
	assert_equal "$(pod_addrs net2)" 10.7.0.10/16
	assert_equal "$(pod_addrs plain0)" 10.9.0.5/24
	assert_equal "$(pod_addrs net4)" 10.7.0.11/16
	# The configuration's own second network is there, too.
	assert_equal "$(pod_link net1 | jq -r .linkinfo.info_kind)" macvlan
	cni DEL
	assert_ok
	for name in eth0 net1 net2 plain0 net4; do
		refute_link "$name"
	done
	assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 0
	node_exec test ! -e "/var/lib/cni/multus/$CID"
	assert_equal "$(node_exec ls /var/lib/cni/multus/results)" ''
}

@test "of a pod whose record and cached answers are lost the store knows what it had: DEL releases it" {
	local how
	for how in 'rm $0/$1 $0/results/*' 'for f in $0/$1 $0/results/*; do truncate -s 20 $f; done'; do
		pod_down p1
		new_pod p1
		networks_pod vlan7,vlan7
		cni ADD
		assert_ok
		assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 3
		node_exec sh -c "$how" /var/lib/cni/multus "$CID"
		kube_delete_pod default web-1
		cni DEL
		assert_ok
		[[ $stderr == *'nothing is recorded, but network vlan7 has interface net3 of container p1: released'* ]]
		assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 0
		assert_equal "$(node_exec find /var/lib/cni/multus/results -type f)" ''
	done
}

@test "the JSON form gives a network its address, MAC and name" {
	networks_pod '[{"name": "vlan7", "ips": ["10.7.0.44/16", "10.7.0.45"], "mac": "0A:0b:0c:00:00:07", "interface": "db0"}]'
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs db0)" $'10.7.0.44/16\n10.7.0.45/16'
	assert_equal "$(pod_link db0 | jq -r .address)" 0a:0b:0c:00:00:07
	# Claimed like any fixed address: nobody else gets it, and it stays the namespace's afterwards.
	lamina ip ls --json | jq -e 'map(select(.address == "10.7.0.44" and .pod == "web-1" and .network == "vlan7")) | length == 1'
	cni DEL
	assert_ok
	lamina ip ls --json | jq -e 'map(select(.address == "10.7.0.44")) | all(.container == null)'
}

@test "an address asked of a network that does not hold it is refused before anything is made" {
	networks_pod '[{"name": "vlan7", "ips": ["10.8.0.44"]}]'
	snapshot
	cni ADD
	assert_code 7
	assert_msg '10\.8\.0\.44'
	assert_msg 'vlan7'
	assert_unchanged
}

@test "kube-ipam.ip reaches the network whose subnet holds it" {
	networks_pod vlan7 kube-ipam.ip 10.7.1.9
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2)" 10.7.1.9/16
	[[ $(pod_addrs net1) == 10.188.* ]] || fail "net1 has $(pod_addrs net1)"
}

@test "a list runs in order, each plugin with the result before it, and is deleted in reverse order" {
	networks_pod '[{"name": "two", "mac": "02:00:00:00:00:09"}]'
	fresh_stubs
	stub_set first ADD out '{"cniVersion": "0.3.1", "interfaces": [{"name": "from-first"}]}'
	cni ADD
	assert_ok
	jq -e '.prevResult.interfaces[0].name == "from-first" and .runtimeConfig.mac == "02:00:00:00:00:09" and .name == "two"' \
		<<<"$(stub_stdin second 1)"
	jq -e 'has("runtimeConfig") | not' <<<"$(stub_stdin first 1)"
	stub_env second 1 | grep -x "CNI_ARGS=IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;.*;MAC=02:00:00:00:00:09"
	stub_set second DEL run 'echo second >>/tmp/order'
	stub_set first DEL run 'echo first >>/tmp/order'
	cni DEL
	assert_ok
	assert_equal "$(node_exec cat /tmp/order)" $'second\nfirst'
	assert_equal "$(stub_calls first) $(stub_calls second)" 'ADD DEL ADD DEL'
}

@test "DEL hands a plugin the ports and the bandwidth that the pod asked for, as ADD did" {
	local asked
	networks_pod '[{"name": "two", "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], "bandwidth": {"ingressRate": 5}}]'
	fresh_stubs
	cni ADD
	assert_ok
	asked=$(stub_stdin second 1 | jq -cS .runtimeConfig)
	jq -e '.portMappings[0].hostPort == 8080 and .bandwidth.ingressRate == 5' <<<"$asked"
	cni DEL
	assert_ok
	assert_equal "$(stub_stdin second 2 | jq -cS .runtimeConfig)" "$asked"
}

@test "cni-args are merged into the configuration that the plugin gets" {
	networks_pod '[{"name": "two", "cni-args": {"speed": 1000000000000001}}]'
	fresh_stubs
	cni ADD
	assert_ok
	stub_stdin second 1 | grep -F '"cni":{"speed":1000000000000001}'
}

@test "a network that is not defined is named, and nothing is left" {
	networks_pod 'vlan7,vlan8'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'cannot find a network-attachment-definition \(vlan8\) in namespace \(default\)'
	assert_unchanged
	cni DEL
	assert_ok
}

@test "an annotation that cannot be read is named with its place, and nothing is left" {
	snapshot
	while IFS='|' read -r bad said; do
		networks_pod "$bad"
		cni ADD
		assert_code 7
		assert_msg "k8s.v1.cni.cncf.io/networks: $said"
	done <<-'END'
		vlan7,a/b/c|network 2: it is "a/b/c"
		vlan7@much-too-long-a-name|network 1: the interface is "much-too-long-a-name"
		[{"name": "vlan7", "ips": "10.7.0.44"}]|network 1: ips
		[{"name": "db/plain"}]|network 1: the name is "db/plain": it must be without a namespace
		{"name": "vlan7"}|it must be a JSON array
	END
	assert_unchanged
}

@test "two networks cannot have one interface name" {
	networks_pod 'vlan7@db0,db/plain@db0'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'interface db0'
	networks_pod 'vlan7@eth0'
	cni ADD
	assert_code 7
	assert_msg 'interface eth0 of network default/vlan7, a name that network k8snet1 needs'
	networks_pod '[{"name": "two", "interface": "n%d"}]'
	cni ADD
	assert_code 7
	assert_msg 'interface n%d of network default/two'
	assert_unchanged
}

@test "a failing network takes all others back" {
	networks_pod 'vlan7,two'
	fresh_stubs
	stub_set second ADD exit 1
	stub_set second ADD out '{"code": 77, "msg": "not today"}'
	snapshot
	cni ADD
	assert_code 77
	assert_msg 'not today'
	assert_equal "$(stub_calls first) $(stub_calls second)" 'ADD DEL ADD DEL'
	assert_unchanged
}

@test "with namespaceIsolation a pod uses networks of its own namespace and of globalNamespaces only" {
	conf_edit '.namespaceIsolation = true'
	networks_pod db/plain
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'namespace isolation enabled, annotation violates permission, pod is in namespace default but refers to target namespace db'
	assert_unchanged
	networks_pod '[{"name": "plain", "namespace": "db"}]'
	cni ADD
	assert_code 7
	networks_pod '' v1.multus-cni.io/default-network db/plain
	cni ADD
	assert_code 7
	assert_msg 'refers to target namespace db'
	assert_unchanged
	networks_pod db/plain
	conf_edit '.globalNamespaces = "other , db"'
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2)" 10.9.0.5/24
}

@test "a definition without a configuration is a file of confDir" {
	kube_put_nad default in-file ''
	networks_pod in-file
	networks_file in-file.conf '{"cniVersion": "0.3.1", "name": "in-file", "type": "bridge", "bridge": "br-plain", "ipam": {}}'
	networks_file 00-broken.conf '{'
	cni ADD
	assert_ok
	pod_link net2
	cni DEL
	networks_file in-file.conf '{"cniVersion": "0.3.1", "name": "another", "type": "bridge"}'
	cni ADD
	assert_code 7
	assert_msg 'default/in-file'
	kube_delete_nad default in-file
}

@test "the pod's annotations come from the runtime where it hands them over, and the pod is not asked for" {
	networks_pod '' kube-ipam.ip 10.188.0.50
	annotations k8s.v1.cni.cncf.io/networks vlan7
	conf_edit '.capabilities["io.kubernetes.cri.pod-annotations"] = true'
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2)" 10.7.0.10/16
	assert_equal "$(pod_addrs net1)" 10.188.0.10/16
}

@test "DEL needs neither API server nor definition" {
	networks_pod 'vlan7,db/plain'
	cni ADD
	assert_ok
	kube_stop
	cni DEL
	kube_cont
	assert_ok
	refute_link net3
	assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 0
}

@test "DEL of what nobody recorded asks for the pod's networks, as multus does" {
	networks_pod two
	fresh_stubs
	cni DEL
	assert_ok
	assert_equal "$(stub_calls first) $(stub_calls second)" 'DEL DEL'
	stub_env first 1 | grep -x CNI_IFNAME=net2
}

@test "a pod that the API server does not know gets multus's answer, or is worth a retry when it may have a fixed address" {
	networks_pod ''
	kube_delete_pod default web-1
	snapshot
	cni ADD
	assert_code 11
	conf_edit 'del(.delegates[1])'
	cni ADD
	assert_ok
	assert_json '. == {cniVersion: "0.3.1", interfaces: [{name: "eth0", sandbox: $s}], ips: [{version: "4", address: "0.0.0.0/0", gateway: "0.0.0.0"}],
		dns: {}}' --arg s "/run/netns/$POD"
	assert_unchanged
}

@test "a pod of another UID is refused, and a static pod's UID is not the API server's" {
	networks_pod vlan7
	pod_args default web-1 another-uid
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'UID'
	assert_unchanged
	kube_annotate default web-1 kubernetes.io/config.source file
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2)" 10.7.0.10/16
}

@test "a pod that is written while ADD asks for it gets its networks" {
	# A static pod, so that its UID is known before.
	local uid=0123456789abcdef0123456789abcdef
	proxy_up_kube late 192.168.122.11:7443
	conf_edit '.kubeconfig += "-by-proxy"'
	kube_kubeconfig lamina | sed 's/192.168.122.10:6443/192.168.122.11:7443/' |
		node_exec sh -c 'cat >"$1"' sh "$NETWORKS_KUBECONFIG-by-proxy"
	pod_args default web-1 "$uid"
	cni_start ADD
	# A cache's, and the last word.
	proxy_await 2 answer
	kube_put_pod default web-1 '.metadata.annotations = {"k8s.v1.cni.cncf.io/networks": "vlan7@db0", "kubernetes.io/config.mirror": "'"$uid"'"}'
	cni_wait
	assert_ok
	jq -s -e '[.[] | select(.event == "answer").status] | .[:2] == [404, 404] and index(200) > 1' "$PROXY/log" || fail "$(proxy_log)"
	proxy_down
	assert_equal "$(pod_addrs db0)" 10.7.0.10/16
}

@test "CHECK knows the pod's networks" {
	networks_pod 'vlan7@db0'
	cni ADD
	assert_ok
	conf_edit '.cniVersion = "0.4.0" | .prevResult = {cniVersion: "0.4.0", interfaces: [], ips: []}'
	cni CHECK
	assert_ok
	node_exec ip -n "$POD" link set db0 down
	cni CHECK
	assert_code 5
	assert_msg 'db0'
}

@test "an address is one interface's: asked for twice of a network it is refused, and once and by annotation it is placed once" {
	networks_pod '[{"name": "vlan7"}, {"name": "vlan7", "ips": ["10.7.0.44"]}]' kube-ipam.ip 10.7.0.44
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net2) $(pod_addrs net3)" '10.7.0.10/16 10.7.0.44/16'
	cni DEL
	assert_ok
	networks_pod '[{"name": "vlan7", "ips": ["10.7.0.44"]}, {"name": "vlan7", "ips": ["10.7.0.44/16"]}]'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'network default/vlan7 for 10.7.0.44 twice, for net2 and for net3'
	assert_unchanged
}

@test "a plugin of others with our addresses gets those that are meant for it, alone and in a list, by ips and by annotation" {
	local bridge='{"type": "bridge", "bridge": "br-plain", "ipam": {"type": "kube-ipam", "subnet": "10.9.0.0/24"}}'
	node_exec ln -sf lamina /opt/cni/bin/kube-ipam
	kube_put_nad default alone "$(jq -c '.cniVersion = "0.3.1"' <<<"$bridge")"
	kube_put_nad default listed "{\"cniVersion\": \"0.3.1\", \"plugins\": [$bridge]}"
	for name in alone listed; do
		networks_pod "[{\"name\": \"vlan7\"}, {\"name\": \"$name\"}]" kube-ipam.ip 10.9.0.7,10.7.0.44
		cni ADD
		assert_ok
		assert_equal "$(pod_addrs net2) $(pod_addrs net3)" '10.7.0.44/16 10.9.0.7/24'
		cni DEL
		assert_ok
		networks_pod "[{\"name\": \"$name\", \"ips\": [\"10.9.0.8/24\"]}]" kube-ipam.ip 10.188.0.50
		cni ADD
		assert_ok
		assert_equal "$(pod_addrs net1) $(pod_addrs net2)" '10.188.0.50/16 10.9.0.8/24'
		cni DEL
		assert_ok
	done
	assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 0
	node_exec rm /opt/cni/bin/kube-ipam
}

@test "GC keeps a running pod's networks" {
	networks_pod 'vlan7@db0,two'
	fresh_stubs
	cni ADD
	assert_ok
	conf_edit '.cniVersion = "1.1.0" | .["cni.dev/valid-attachments"] = [{containerID: $cid, ifname: "eth0"}]' --arg cid "$CID"
	cni GC
	assert_ok
	assert_equal "$(pod_addrs db0)" 10.7.0.10/16
	lamina ip ls --json | jq -e 'map(select(.address == "10.7.0.10" and .container)) | length == 1'
	node_exec test -e "/var/lib/cni/multus/$CID" -a -e "/var/lib/cni/multus/results/two-$CID-net3"
	assert_equal "$(stub_calls first)" ADD
}

@test "GC removes a pod's networks with the pod" {
	networks_pod 'vlan7@db0,two'
	fresh_stubs
	cni ADD
	assert_ok
	conf_edit '.cniVersion = "1.1.0" | .["cni.dev/valid-attachments"] = []'
	cni GC
	assert_ok
	refute_link db0
	# What is a program's, too.
	assert_equal "$(stub_calls first) $(stub_calls second)" 'ADD DEL ADD DEL'
	stub_env second 2 | grep -x CNI_IFNAME=net3
	assert_equal "$(lamina ip ls --json | jq 'map(select(.container)) | length')" 0
	node_exec test ! -e "/var/lib/cni/multus/$CID"
}
