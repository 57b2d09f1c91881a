#!/usr/bin/env bats
# Through libcni, as cnitool has it: the seed's configuration and real flannel, in every version that it knows.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

# A fixed address stays its namespace's after DEL, and where it was is remembered for a while.
SNAPSHOT_IGNORE='INTO (cursor|released|hold) '

setup_file()
{
	setup_node
	warm_up
}

teardown_file()
{
	teardown_node
}

setup()
{
	new_pod "p$BATS_TEST_NUMBER"
	CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=database-1;K8S_POD_UID=uid-1"
	CAP_ARGS='{"io.kubernetes.cri.pod-annotations": {"kube-ipam.ip": "10.188.0.218", "kube-ipam.netmask": "255.255.0.0",
		"kube-ipam.gateway": "10.188.0.1"}}'
	node_exec sh -c 'rm -f /etc/cni/net.d/*'
}

teardown()
{
	pod_down "p$BATS_TEST_NUMBER"
}

# tool VERB: cnitool of the version at hand, on this pod and the seed's network.
tool()
{
	run --separate-stderr node_cnitool "$1" multus-demo "$POD"
	echo "$1: $status" "$output" "$stderr"
}

# Success, and nothing but a result on stdout.
tool_ok()
{
	tool "$1"
	assert_equal "$status" 0
	if [[ $1 != add ]]; then
		assert_equal "$output" ""
	fi
}

# What is left of a pod in libcni's and our own folders.
left_over()
{
	node_exec sh -c 'find /var/lib/cni/results /var/lib/cni/multus /var/lib/cni/networks /run/lamina -type f 2>/dev/null' |
		grep -Ev '/(lock|last_reserved_ip\.[0-9]+|holds\.db|[0-9a-f-]+\.db)(-journal)?$' || true
}

# through VERSION [VERB ...]: add, check where there is one, these, and del twice.
through()
{
	local verb
	node_conf - 10-multus.conf < <(seed_conf ".cniVersion = \"$1\"")
	snapshot
	tool_ok add
	jq -e '.cniVersion == $version' --arg version "$1" <<<"$output"
	case $1 in
	0.[12].*) jq -e '.ip4.ip | test("^10[.]244[.]1[.]")' <<<"$output" ;;
	*) jq -e '.ips[0].address | test("^10[.]244[.]1[.]")' <<<"$output" ;;
	esac
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	[[ -n $(left_over) ]]
	case $1 in
	0.[123].*)
		# libcni refuses it by itself.
		tool check
		((status != 0))
		;;
	*) tool_ok check ;;
	esac
	for verb in "${@:2}"; do
		tool_ok "$verb"
		# cnitool tells nobody which pods there are: libcni deletes all that it has made, and in 1.1.0 asks the plugin, too.
		if [[ $verb == gc ]]; then
			refute_link net1
			assert_equal "$(left_over)" ""
		fi
	done
	tool_ok del
	tool_ok del
	refute_link net1
	refute_link eth0
	assert_equal "$(left_over)" ""
	assert_unchanged
}

@test "cnitool 1.1.2 adds, checks and deletes twice, in all of its versions [check 86]" {
	local version
	CNITOOL=$("$LAB_DIR/parts.sh" --path cnitool-1.1.2)
	for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0; do
		through "$version"
	done
}

# Of a version below 1.1.0 libcni knows no STATUS either, and is content.
@test "cnitool 1.3.0 adds, checks, collects garbage, asks for the status and deletes twice, in all of its versions [check 86]" {
	local version
	for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
		through "$version" status
		through "$version" gc status
	done
}

@test "as a plugin of a list lamina works like alone, with others before and behind it [check 86, 33]" {
	node_conf - 10-list.conflist < <(jq -n '{cniVersion: "1.0.0", name: "multus-demo",
		plugins: [$lamina, {type: "tuning", sysctl: {"net.ipv4.conf.net1.arp_filter": "1"}}]}' \
		--argjson lamina "$(seed_conf 'del(.name, .cniVersion) | .delegates[0].cniVersion = "0.4.0"')")
	snapshot
	tool_ok add
	jq -e '.interfaces[2].name == "eth0"' <<<"$output"
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	assert_equal "$(pod_exec "$POD" sysctl -n net.ipv4.conf.net1.arp_filter)" 1
	tool_ok check
	tool_ok del
	tool_ok del
	assert_equal "$(left_over)" ""
	assert_unchanged
}

@test "behind a plugin that made the interface lamina refuses, and DEL clears away what both did [check 34, 86]" {
	node_conf - 10-list.conflist < <(jq -n '{cniVersion: "1.0.0", name: "multus-demo",
		plugins: [{type: "bridge", bridge: "br6", ipam: {type: "host-local", subnet: "10.76.0.0/24"}}, $lamina]}' \
		--argjson lamina "$(seed_conf 'del(.name, .cniVersion)')")
	tool add
	((status != 0))
	grep -qF 'interface eth0 exists' <<<"$stderr"
	pod_link eth0
	tool_ok del
	refute_link eth0
	node_exec ip link del br6
	assert_equal "$(left_over)" ""
}

@test "what lamina refuses is what cnitool shows [check 86]" {
	node_conf - 10-multus.conf < <(seed_conf '.delegates[1].mode = "nonsense"')
	snapshot
	tool add
	((status != 0))
	assert_equal "$output" ""
	grep -qF 'delegates[1].mode is "nonsense"' <<<"$stderr"
	assert_unchanged
	tool_ok del
	assert_equal "$(left_over)" ""
}

@test "cnitool deletes a pod whose namespace is gone [check 37, 86]" {
	node_conf - 10-multus.conf < <(seed_conf '.cniVersion = "1.0.0"')
	tool_ok add
	pod_down "$POD"
	tool_ok del
	tool_ok del
	assert_equal "$(left_over)" ""
	assert_equal "$(lamina ip ls --json | jq 'map(select(.kind != "kept")) | length')" 0
}
