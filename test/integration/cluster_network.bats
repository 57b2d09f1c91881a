#!/usr/bin/env bats
# What the configuration only names: clusterNetwork and defaultNetworks, by definition, name, file or folder, for pods of which
# namespaces; and the pod's own default network in their place.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

setup_file()
{
	networks_up
	kube_put_nad kube-system base "$(bridge_conf 10.66.1)"
	kube_put_nad kube-system more "$(bridge_conf 10.66.2)"
	kube_put_nad kube-system other "$(bridge_conf 10.66.3)"
	kube_put_nad default in-default "$(bridge_conf 10.66.4)"
}

teardown_file()
{
	teardown_node
}

setup()
{
	networks_setup
	conf_edit 'del(.delegates)'
	networks_pod ''
}

teardown()
{
	networks_teardown
}

# bridge_conf PREFIX [NAME]: a bridge in that /24.
bridge_conf()
{
	jq -nc '{cniVersion: "0.3.1", type: "bridge", bridge: "br-plain", ipam: {type: "host-local", subnet: "\($p).0/24"}}
		| if $name == "" then . else .name = $name end' --arg p "$1" --arg name "${2:-}"
}

assert_net()
{
	[[ $(pod_addrs "$1") == "$2."* ]] || fail "$1 has $(pod_addrs "$1" 2>&1), not $2.x"
}

@test "clusterNetwork is the definition of that name in multusNamespace" {
	conf_edit '.clusterNetwork = "base"'
	cni ADD
	assert_ok
	assert_net eth0 10.66.1
	assert_json '.ips[0].address | startswith("10.66.1.")'
	cni DEL
	assert_ok
	refute_link eth0
	conf_edit '.multusNamespace = "default" | .clusterNetwork = "in-default"'
	cni ADD
	assert_ok
	assert_net eth0 10.66.4
}

@test "clusterNetwork is a name in confDir, a file, or a folder's first file" {
	networks_file 20-named.conf "$(bridge_conf 10.66.5 by-name)"
	networks_file 10-first.conf "$(bridge_conf 10.66.6 first)"
	for network in by-name:10.66.5 /etc/cni/multus/net.d/20-named.conf:10.66.5 /etc/cni/multus/net.d:10.66.6; do
		conf_edit '.clusterNetwork = $it' --arg it "${network%:*}"
		cni ADD
		assert_ok
		assert_net eth0 "${network#*:}"
		cni DEL
		assert_ok
	done
}

@test "a file of confDir that cannot be used is named once, and in no network's way" {
	networks_file 10-broken.conf '{"cniVersion": "0.3.1", "name": "by-na'
	networks_file 20-named.conf "$(bridge_conf 10.66.5 by-name)"
	networks_file 30-second.conf "$(bridge_conf 10.66.6 second)"
	conf_edit '.clusterNetwork = "by-name" | .defaultNetworks = ["second"]'
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
	assert_net net1 10.66.6
	assert_equal "$(grep -c 'passed over in the search for networks: .*/10-broken.conf' <<<"$stderr")" 1
	assert_equal "$(grep -c 10-broken <<<"$stderr")" 1
	cni DEL
	assert_ok
}

@test "with a file and no kubeconfig no API server is needed" {
	networks_file 20-named.conflist "{\"cniVersion\": \"0.4.0\", \"name\": \"listed\", \"plugins\": [$(bridge_conf 10.66.5)]}"
	conf_edit 'del(.kubeconfig) | .clusterNetwork = "/etc/cni/multus/net.d/20-named.conflist"'
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
}

@test "the file that multus's daemon writes for its shim has no kubeconfig: then that of defaults.json is needed" {
	local kubeconfig
	kubeconfig=$(jq -r .kubeconfig <<<"$CONF")
	networks_file 20-named.conf "$(bridge_conf 10.66.5 by-name)"
	conf_edit 'del(.delegates, .kubeconfig) | .type = "multus-shim" | .clusterNetwork = "/host/etc/cni/multus/net.d/20-named.conf"
		| .daemonSocketDir = "/run/multus"'
	networks_pod in-default
	PLUGIN=multus-shim
	node_exec ln -sf lamina /opt/cni/bin/multus-shim
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'set kubeconfig in /etc/lamina/defaults.json'
	assert_unchanged
	conf_edit '.cniVersion = "1.1.0"'
	cni STATUS CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
	assert_code 7
	cni DEL
	assert_ok
	node_exec sh -c 'mkdir /etc/lamina && cat >/etc/lamina/defaults.json' <<<"{\"kubeconfig\": \"$kubeconfig\"}"
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
	assert_net net1 10.66.4
	cni DEL
	assert_ok
	node_exec rm -r /opt/cni/bin/multus-shim /etc/lamina
	PLUGIN=lamina
}

@test "as multus-shim it reads the paths as its daemon sees them" {
	networks_file 20-named.conf "$(bridge_conf 10.66.5 by-name)"
	conf_edit '.type = "multus-shim" | .kubeconfig = "/host" + .kubeconfig | .clusterNetwork = "/host/etc/cni/multus/net.d/20-named.conf"
		| .daemonSocketDir = "/run/multus"'
	networks_pod in-default
	PLUGIN=multus-shim
	node_exec ln -sf lamina /opt/cni/bin/multus-shim
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
	assert_net net1 10.66.4
	cni DEL
	assert_ok
	node_exec rm /opt/cni/bin/multus-shim
	PLUGIN=lamina
}

@test "as multus-shim it reads the folders and the readiness file as its daemon sees them" {
	stub hand
	stub_reset hand
	stub_set hand ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0"}], "ips": [{"version": "4", "address": "10.1.0.5/16"}]}'
	node_exec sh -c 'mkdir -p /etc/other /opt/other && mv /opt/cni/bin/hand /opt/other/ && ln -sf lamina /opt/cni/bin/multus-shim &&
		cat >/etc/other/20-named.conf' <<<'{"cniVersion": "0.4.0", "name": "by-name", "type": "hand"}'
	conf_edit '.cniVersion = "1.1.0" | .type = "multus-shim" | .kubeconfig = "/host" + .kubeconfig | .clusterNetwork = "by-name"
		| .confDir = "/host/etc/other" | .binDir = "/host/opt/other" | .cniDir = "/host/var/lib/other"
		| .readinessindicatorfile = "/host/run/is-ready"'
	PLUGIN=multus-shim
	cni STATUS CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
	assert_code 50
	assert_msg 'readinessindicatorfile /run/is-ready'
	node_exec touch /run/is-ready
	cni STATUS CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
	assert_ok
	cni ADD
	assert_ok
	assert_equal "$(stub_calls hand)" ADD
	node_exec test -e "/var/lib/other/$CID" -a ! -e "/var/lib/cni/multus/$CID" -a ! -e /host
	cni DEL
	assert_ok
	assert_equal "$(stub_calls hand)" 'ADD DEL'
	node_exec test ! -e "/var/lib/other/$CID"
	node_exec rm -r /opt/cni/bin/multus-shim /etc/other /opt/other /var/lib/other /run/is-ready
	PLUGIN=lamina
}

@test "defaultNetworks come behind it, but for pods of a system namespace" {
	conf_edit '.clusterNetwork = "base" | .defaultNetworks = ["more", "other"]'
	networks_pod in-default
	cni ADD
	assert_ok
	assert_net eth0 10.66.1
	assert_net net1 10.66.2
	assert_net net2 10.66.3
	assert_net net3 10.66.4
	cni DEL
	assert_ok
	conf_edit '.systemNamespaces = ["default"]'
	cni ADD
	assert_ok
	assert_net net1 10.66.4
	refute_link net2
}

@test "the pod's own default network takes the place of the configuration's" {
	conf_edit '.clusterNetwork = "base"'
	networks_pod in-default v1.multus-cni.io/default-network other
	cni ADD
	assert_ok
	assert_net eth0 10.66.3
	assert_net net1 10.66.4
	assert_json '.ips[0].address | startswith("10.66.3.")'
	cni DEL
	conf_edit 'del(.clusterNetwork) | .delegates = [{name: "inline", type: "bridge", bridge: "br-plain", ipam: {}}]'
	cni ADD
	assert_ok
	assert_net eth0 10.66.3
	cni DEL
	networks_pod '' v1.multus-cni.io/default-network 'other, more'
	cni ADD
	assert_code 7
	assert_msg 'v1.multus-cni.io/default-network names 2 networks'
}

@test "a network that is neither defined nor in a file is named with both places" {
	conf_edit '.clusterNetwork = "nowhere"'
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'kube-system/nowhere'
	assert_msg '/etc/cni/multus/net.d'
	conf_edit '.clusterNetwork = "/etc/cni/no-such-file.conf"'
	cni ADD
	assert_code 7
	assert_msg '/etc/cni/no-such-file.conf'
	assert_unchanged
}

@test "a file that names us is refused" {
	networks_file 20-named.conf '{"cniVersion": "0.3.1", "name": "loop", "type": "multus", "delegates": []}'
	conf_edit '.clusterNetwork = "/etc/cni/multus/net.d/20-named.conf"'
	cni ADD
	assert_code 7
	assert_msg 'must not call itself'
	# Nor does anything else fall over it.
	cni DEL
	assert_ok
	conf_edit '.cniVersion = "1.1.0" | .["cni.dev/valid-attachments"] = []'
	cni GC
	assert_code 7
	cni STATUS
	assert_code 7
}

@test "a pod's own default network that is refused leaves nothing, and DEL ends with the configuration's" {
	stub hand
	stub_reset hand
	kube_put_nad default loop '{"cniVersion": "0.4.0", "type": "multus"}'
	networks_pod '' v1.multus-cni.io/default-network default/loop
	conf_edit '.delegates = [{name: "inline", type: "hand", cniVersion: "0.4.0"}]'
	cni ADD
	assert_code 7
	cni DEL
	assert_ok
	assert_equal "$(stub_calls hand)" DEL
}

@test "a pod that may have a fixed address on the cluster's network is worth a retry when it is not known" {
	networks_file 20-named.conf '{"cniVersion": "0.3.1", "name": "fixed", "type": "macvlan", "master": "eth0",
		"ipam": {"type": "kube-ipam", "subnet": "10.7.0.0/16"}}'
	conf_edit '.clusterNetwork = "fixed"'
	kube_delete_pod default web-1
	cni ADD
	assert_code 11
}

@test "a name that no definition can have is a file's, and so is one where there are no definitions at all" {
	networks_file 20-named.conf "$(bridge_conf 10.66.5 my_net)"
	conf_edit '.clusterNetwork = "my_net"'
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
}

@test "DEL without a record deletes the cluster's network, with nobody to ask" {
	stub hand
	stub_reset hand
	networks_file 20-named.conf '{"cniVersion": "0.4.0", "name": "by-name", "type": "hand"}'
	conf_edit 'del(.kubeconfig) | .clusterNetwork = "/etc/cni/multus/net.d/20-named.conf"'
	cni DEL
	assert_ok
	assert_equal "$(stub_calls hand)" DEL
}

@test "plugins of the list's own folder are chained behind a list's, and those of the auxiliary chain are a network of their own" {
	networks_file 20-base.conflist "{\"cniVersion\": \"0.4.0\", \"name\": \"base-list\", \"plugins\": [$(bridge_conf 10.66.5)]}"
	node_exec mkdir -p /etc/cni/multus/net.d/base-list /etc/cni/multus/net.d/vendor
	networks_file base-list/10-behind.conf '{"type": "behind"}'
	networks_file vendor/10-aux.conf '{"type": "aux"}'
	for name in behind aux passthru; do
		stub "$name"
		stub_reset "$name"
	done
	stub_set behind ADD run 'jq -c .prevResult <"$stdin"; exit 0'
	conf_edit '.clusterNetwork = "/etc/cni/multus/net.d/20-base.conflist" | .auxiliaryCNIChainName = "vendor"'
	cni ADD
	assert_ok
	assert_net eth0 10.66.5
	assert_equal "$(stub_calls behind) $(stub_calls passthru) $(stub_calls aux)" 'ADD ADD ADD'
	stub_env aux 1 | grep -x CNI_IFNAME=net1
	cni DEL
	assert_ok
	assert_equal "$(stub_calls behind) $(stub_calls passthru) $(stub_calls aux)" 'ADD DEL ADD DEL ADD DEL'
}

@test "STATUS and GC know the cluster's network by its file" {
	networks_file 20-named.conf "$(bridge_conf 10.66.5 by-name | jq -c '.cniVersion = "1.1.0" | .type = "hand" | .ipam = {}')"
	stub hand
	stub_reset hand
	conf_edit '.cniVersion = "1.1.0" | .clusterNetwork = "/etc/cni/multus/net.d/20-named.conf"'
	cni STATUS
	assert_ok
	conf_edit '.["cni.dev/valid-attachments"] = []'
	cni GC
	assert_ok
	assert_equal "$(stub_calls hand)" 'STATUS GC'
	conf_edit '.clusterNetwork = "/etc/cni/no-such-file.conf"'
	cni STATUS
	assert_code 7
}
