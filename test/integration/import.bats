#!/usr/bin/env bats
# Moving from kube-ipam: what its pods have is recorded before lamina gives anything out.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
}

teardown_file()
{
	teardown_node
}

setup()
{
	# net1 alone, as eth0 of the pod: no other plugin runs.
	CONF=$(seed_conf '.delegates = [.delegates[1]]')
	new_pod p1
	pod_args default web-1 uid-1
	annotations
	seed_conf '.delegates = [.delegates[1]]' | node_conf - 10-lamina.conf
}

teardown()
{
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni /etc/cni/net.d/*'
}

# Runs it and says what came of it: status, output, stderr.
person()
{
	run --separate-stderr lamina "$@"
}

# What libcni keeps of an attachment that multus and kube-ipam made. Usage: cached CONTAINER POD-NAMESPACE NAME UID ADDRESS [FILTER]
cached()
{
	local conf
	conf=$(seed_conf '.delegates[1] | .cniVersion = "0.3.1"' | base64 -w0)
	jq -n "{kind: \"cniCacheV1\", containerId: \$cid, config: \$conf, ifName: \"net1\", networkName: \"k8snet2\",
		netns: \"/run/netns/\\(\$cid)\", cniArgs: [[\"IgnoreUnknown\", \"1\"], [\"K8S_POD_NAMESPACE\", \$ns],
			[\"K8S_POD_NAME\", \$pod], [\"K8S_POD_UID\", \$uid]],
		result: {cniVersion: \"0.3.1\", interfaces: [{name: \"net1\"}],
			ips: [{version: \"4\", interface: 0, address: \"\\(\$addr)/16\", gateway: \"10.188.0.1\"}]}} | ${6:-.}" \
		--arg cid "$1" --arg ns "$2" --arg pod "$3" --arg uid "$4" --arg addr "$5" --arg conf "$conf" |
		node_exec sh -c 'mkdir -p /var/lib/cni/multus/results && cat >"/var/lib/cni/multus/results/k8snet2-$1-net1"' sh "$1"
}

listed()
{
	lamina ip ls --json | jq -r '.[] | "\(.address) \(.kind) \(.namespace)/\(.pod) \(.container) \(.interface) \(.node)"'
}

@test "ip import records what living attachments of kube-ipam have, fixed and dynamic" {
	pod_up old1
	pod_up old2
	cached old1 db database-1-0 uid-a 10.188.0.217
	cached old2 web web-1 uid-b 10.188.0.20
	person ip import --dry-run
	assert_equal "$status" 0
	run ! node_exec test -e /run/lamina
	run ! node_exec test -e /var/lib/cni/multus/imported
	person ip import
	assert_equal "$status/$stderr" 0/
	assert_equal "$(sort <<<"$output")" "$(
		cat <<-'END'
			imported 10.188.0.20 of network k8snet2: net1 of pod web/web-1, container old2: dynamic
			imported 10.188.0.217 of network k8snet2: net1 of pod db/database-1-0, container old1: fixed
		END
	)"
	assert_equal "$(listed)" "$(
		cat <<-'END'
			10.188.0.20 dynamic web/web-1 old2 net1 node-1
			10.188.0.217 fixed db/database-1-0 old1 net1 node-1
		END
	)"
	node_exec cat /var/lib/cni/multus/imported | jq -e '.v == 1 and .imported == 2 and .conflicts == 0'
	# The fixed one is its namespace's from now on.
	lamina ip ls --json | jq -e '.[1].keptFor == "db" and (.[0] | has("keptFor") | not)'
}

@test "a second ip import finds everything present, and changes nothing" {
	pod_up old1
	cached old1 db database-1-0 uid-a 10.188.0.217
	lamina ip import
	SNAPSHOT_IGNORE=multus/imported snapshot
	person ip import --json
	assert_equal "$status/$(jq -c 'map([.result, .address, .container, .interface, .namespace, .pod])' <<<"$output")" \
		'0/[["present","10.188.0.217","old1","net1","db","database-1-0"]]'
	SNAPSHOT_IGNORE=multus/imported assert_unchanged
}

@test "what is imported is given to nobody else, and taken over once its sandbox is gone" {
	pod_up old1
	cached old1 db database-1-0 uid-a 10.188.0.217
	lamina ip import
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-c
	cni ADD
	assert_code 11
	assert_msg 'held by db/database-1-0'
	pod_down old1
	cni ADD
	assert_ok
}

@test "the first ADD on a node imports, once, and a conflict does not fail it" {
	pod_up old1
	pod_up old2
	cached old1 db database-1-0 uid-a 10.188.0.217
	cached old2 db database-2-0 uid-b 10.188.0.217
	annotations kube-ipam.ip 10.188.0.217
	pod_args db thief uid-9
	cni ADD
	assert_code 11
	assert_msg 'held by db/database-'
	[[ $stderr == *"import: conflict 10.188.0.217 of network k8snet2"* ]]
	node_exec cat /var/lib/cni/multus/imported | jq -e '.imported == 1 and .conflicts == 1'
	# What is cached from now on is lamina's.
	cached old1 db database-3-0 uid-c 10.188.0.219
	annotations
	cni ADD
	assert_ok
	lamina ip ls --json | jq -e 'map(.address) == ["10.188.0.10", "10.188.0.217"]'
}

@test "the first ADD on a node where nothing is cached leaves no mark" {
	cni ADD
	assert_ok
	run ! node_exec test -e /var/lib/cni/multus/imported
}

@test "attachments that are gone, that lamina made, or that have no address of kube-ipam are not imported" {
	cached gone db database-9-0 uid-z 10.188.0.219
	pod_up static
	cached static default x uid-x 10.188.0.221 '.config = ({type: "macvlan", ipam: {type: "static"}} | tojson | @base64)'
	pod_up bare
	cached bare default y uid-y 10.188.0.222 '.result.ips = []'
	cni ADD
	assert_ok
	person ip import
	assert_equal "$status/$output/$stderr" 0//
	assert_equal "$(listed)" "10.188.0.10 dynamic default/web-1 p1 eth0 node-1"
}

@test "ip import names a conflict, goes on, and exits with 1" {
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	pod_up old1
	pod_up old2
	cached old1 db other uid-a 10.188.0.217
	cached old2 db another uid-b 10.188.0.220
	person ip import
	assert_equal "$status" 1
	[[ $output == *"conflict 10.188.0.217 of network k8snet2: net1 of pod db/other, container old1: 10.188.0.217 is held by db/database-1-0 on node node-1"* ]]
	[[ $output == *"imported 10.188.0.220 of network k8snet2: net1 of pod db/another"* ]]
	[[ $stderr == "lamina: 1 with a conflict, 0 skipped: see above" ]]
}

@test "ip import passes over files that are damaged, naming them, and exits with 1" {
	local filter
	pod_up old1
	cached old1 db database-1-0 uid-a 10.188.0.217
	while read -r filter; do
		cached bad db x uid-b 10.188.0.9 "$filter"
		person ip import
		assert_equal "$filter: $status" "$filter: 1"
		[[ $stderr == *"results/k8snet2-bad-net1 is damaged"*"0 with a conflict, 1 skipped"* ]] || fail "$filter: $stderr"
	done <<-'END'
		.config = "!"
		.config = ("x" | @base64)
		.containerId = "../../x"
		.ifName = "a/b"
		.networkName = ""
		.result.ips[0].address = "10.188.0.300/16"
		del(.result)
		.result.ips = [range(0; 17) as $i | {version: "4", address: "10.188.1.\($i)/16"}]
	END
	node_exec sh -c 'echo "{" >/var/lib/cni/multus/results/k8snet2-bad-net1'
	person ip import
	assert_equal "$status" 1
	assert_equal "$(listed)" "10.188.0.217 fixed db/database-1-0 old1 net1 node-1"
}

@test "a network that the configuration has no more is served by what the attachment was made with" {
	pod_up old1
	cached old1 db database-1-0 uid-a 10.188.0.217
	seed_conf '.delegates[1].name = "new"' | node_conf - 10-lamina.conf
	person ip import
	assert_equal "$status" 0
	assert_equal "$(listed)" "10.188.0.217 fixed db/database-1-0 old1 net1 node-1"
}

@test "without a cluster there is nothing to export and nothing to import from the API server" {
	person ip export
	assert_equal "$status/$output" 3/
	[[ $stderr == *"no cluster keeps addresses here"* ]]
	person ip import --from-api
	assert_equal "$status/$output" 3/
	person ip gc
	assert_equal "$status/$output" 3/
	[[ $stderr == *'`lamina gc` on a node'* ]]
}
