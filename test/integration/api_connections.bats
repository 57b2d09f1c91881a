#!/usr/bin/env bats
# How often an ADD with the plugin's own kubeconfig asks the API server, and over how many connections, counted by a proxy.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

setup_file()
{
	local conf name
	networks_up
	proxy_up_kube api 192.168.122.11:7443
	node_exec sed -i 's/192.168.122.10:6443/192.168.122.11:7443/' "$NETWORKS_KUBECONFIG"
	conf='{"cniVersion": "0.3.1", "type": "macvlan", "master": "eth0", "ipam": {"type": "kube-ipam", "subnet": "10.7.0.0/16",
		"rangeStart": "10.7.0.10", "rangeEnd": "10.7.0.20"}}'
	for name in a b c d; do
		kube_put_nad default "$name" "$conf"
	done
}

teardown_file()
{
	proxy_down
	teardown_node
}

setup()
{
	networks_setup
	conf_edit '.delegates |= [.[0] + {cniVersion: "0.3.1"}]'
}

teardown()
{
	networks_teardown
}

# added NETWORKS: an ADD of a pod that asks for them, while all else is quiet.
added()
{
	networks_pod "$1"
	proxy_reset
	cni ADD
	assert_ok
}

# Usage: assert_asked CONNECTIONS GETS EVENTS: at most so many connections; and the status is written once.
assert_asked()
{
	local connections
	connections=$(proxy_events connect)
	((connections >= 1 && connections <= $1)) || fail "$connections connections, not 1 to $1" "$(proxy_log)"
	assert_equal "$(proxy_count '^GET') GETs, $(proxy_count '^PATCH') PATCHes, $(proxy_count '^POST') POSTs" \
		"$2 GETs, 1 PATCHes, $3 POSTs"
	assert_equal "$(proxy_count)" $(($2 + 1 + $3))
}

@test "a pod that asks for no network: one GET, its status and one Event, over one connection" {
	added ''
	assert_asked 1 1 1
}

@test "a pod that asks for two: a GET for each, one status and three Events, over two connections at most" {
	added a,b
	assert_asked 2 3 3
	# What other programs wait for goes first.
	assert_equal "$(jq -r 'select(.method == "PATCH" or .method == "POST").method' "$PROXY/log" | head -n 1)" PATCH
}

# at_once REGEX: how many requests whose path matches were there, and how many of them waited for their answers at the same time. The
# proxy notes an answer before it hands it back.
at_once()
{
	jq -s --arg match "$1" -r 'reduce .[] as $it ({open: [], all: 0, most: 0};
			if $it.path // "" | test($match) then .open += [$it.n] | .all += 1 | .most = ([.most, (.open | length)] | max)
			elif $it.event == "answer" then .open -= [$it.n] else . end) | "\(.all) \(.most)"' "$PROXY/log"
}

@test "of four definitions two at a time are asked for, on a connection each" {
	networks_pod a,b,c,d
	proxy_reset
	proxy_set fault 'delay 2'
	proxy_set match '^GET .*network-attachment'
	cni ADD
	assert_ok
	assert_equal "$(at_once network-attachment)" '4 2'
}

@test "a DEL asks nobody" {
	added a,b
	proxy_reset
	cni DEL
	assert_ok
	assert_equal "$(proxy_count) $(proxy_events connect)" '0 0'
}
