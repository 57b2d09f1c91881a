#!/usr/bin/env bats
# What the API server is told of a pod's networks: the annotation k8s.v1.cni.cncf.io/network-status and events; and that a server which
# does not listen holds no pod back.
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
	export PROXY_ADDRESS=192.168.122.11:6443
	proxy_up api "$PROXY_ADDRESS" 192.168.122.10:6443 --cert "$KUBE_DIR/certs/server.pem" --key "$KUBE_DIR/certs/server-key.pem" \
		--server-ca "$KUBE_DIR/certs/ca.pem"
	kube_kubeconfig lamina | sed "s|192.168.122.10:6443|$PROXY_ADDRESS|" |
		node_exec sh -c 'cat >/etc/kubernetes/ssl/slow.kubeconfig'
}

teardown_file()
{
	teardown_node
}

setup()
{
	networks_setup
	proxy_reset
	# A default network that says what it made.
	conf_edit '.delegates = [{name: "cbr0", cniVersion: "0.3.1", type: "bridge", bridge: "br-plain", isDefaultGateway: true,
		ipam: {type: "host-local", subnet: "10.66.0.0/24"}}]'
}

teardown()
{
	proxy_reset
	networks_teardown
}

network_status()
{
	kube_api GET /api/v1/namespaces/default/pods/web-1 | jq -r '.metadata.annotations["k8s.v1.cni.cncf.io/network-status"]'
}

# The events about the pod that is there now.
events()
{
	local uid
	uid=$(kube_api GET /api/v1/namespaces/default/pods/web-1 | jq -r .metadata.uid)
	kube_api GET /api/v1/namespaces/default/events |
		jq -r --arg uid "$uid" '.items[] | select(.involvedObject.uid == $uid) | "\(.type) \(.reason) \(.source.component) \(.message)"' |
		LC_ALL=C sort
}

@test "the annotation tells each network, its interface, addresses and MAC, in multus's layout" {
	networks_pod '[{"name": "vlan7", "ips": ["10.7.0.44"], "mac": "02:00:00:00:00:07", "interface": "db0"}]'
	cni ADD
	assert_ok
	mac=$(pod_link eth0 | jq -r .address)
	address=$(pod_addrs eth0)
	assert_equal "$(network_status)" '[{
    "name": "cbr0",
    "interface": "eth0",
    "ips": [
        "'"${address%/*}"'"
    ],
    "mac": "'"$mac"'",
    "default": true,
    "dns": {},
    "gateway": [
        "10.66.0.1"
    ]
},{
    "name": "default/vlan7",
    "interface": "db0",
    "ips": [
        "10.7.0.44"
    ],
    "mac": "02:00:00:00:00:07",
    "dns": {}
}]'
}

@test "events say what was added, and from where" {
	networks_pod '[{"name": "vlan7", "ips": ["10.7.0.44"], "interface": "db0"}]'
	cni ADD
	assert_ok
	assert_equal "$(events)" "Normal AddedInterface multus Add db0 [10.7.0.44/16] from default/vlan7
Normal AddedInterface multus Add eth0 [$(pod_addrs eth0)] from cbr0"
}

@test "a network that is not defined is an event" {
	networks_pod vlan8
	cni ADD
	assert_code 7
	[[ $(events) == 'Warning NoNetworkFound multus cannot find a network-attachment-definition (vlan8) in namespace (default): '* ]] ||
		fail "$(events)"
}

@test "without a kubeconfig of the plugin's own nothing is written" {
	networks_pod vlan7
	conf_edit 'del(.kubeconfig)'
	cni ADD
	assert_ok
	assert_equal "$(network_status)" null
	assert_equal "$(events)" ''
	refute_link net1
}

@test "in a pod, and without a kubeconfig, the account of that pod serves for all of it" {
	local account=/var/run/secrets/kubernetes.io/serviceaccount
	networks_pod vlan7@db0
	conf_edit 'del(.kubeconfig)'
	node_exec mkdir -p "$account"
	node_exec cp "$KUBE_DIR/certs/ca.pem" "$account/ca.crt"
	node_exec sh -c 'echo lamina-token >"$1/token"' sh "$account"
	cni ADD KUBERNETES_SERVICE_HOST="${PROXY_ADDRESS%:*}" KUBERNETES_SERVICE_PORT="${PROXY_ADDRESS#*:}"
	node_exec rm -r /var/run/secrets
	assert_ok
	assert_equal "$(pod_addrs db0)" 10.7.0.10/16
	assert_equal "$(network_status | jq -c 'map([.name, .interface])')" '[["cbr0","eth0"],["default/vlan7","db0"]]'
	assert_equal "$(events | wc -l)" 2
	assert_equal "$(proxy_count '^GET .*/network-attachment-definitions/vlan7') $(proxy_count '^PATCH')" '1 1'
}

@test "a server that takes no word of it holds no pod back" {
	networks_pod vlan7
	conf_edit '.kubeconfig = "/etc/kubernetes/ssl/slow.kubeconfig"'
	proxy_set match '^(PATCH|PUT|POST) '
	proxy_set fault hold
	local start=$SECONDS
	cni ADD
	assert_ok
	# It has two seconds; an answer would be waited for for twenty.
	((SECONDS - start < 15)) || fail "ADD took $((SECONDS - start)) s"
	[[ $stderr == *'the API server is not told'* ]]
	pod_link net1
	assert_equal "$(network_status)" null
}

@test "a pod that is gone when it is told of is made all the same" {
	networks_pod vlan7
	stub late
	stub_reset late
	conf_edit '.delegates += [{name: "late", cniVersion: "0.3.1", type: "late"}]'
	stub_set late ADD run 'touch /tmp/late; while test -e /tmp/late; do sleep 0.05; done'
	cni_start ADD
	until node_exec test -e /tmp/late; do sleep 0.05; done
	kube_delete_pod default web-1
	node_exec rm /tmp/late
	cni_wait
	assert_ok
	pod_link net2
}
