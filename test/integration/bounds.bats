#!/usr/bin/env bats
# What is too long or too large, by mistake or by a tenant's will: refused before anything is made, and never in a DEL's way.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

STATE=/var/lib/cni/multus

setup_file()
{
	networks_up
}

teardown_file()
{
	teardown_node
}

setup()
{
	networks_setup
	stub base
	stub extra
	stub_reset base
	stub_reset extra
	conf_edit '.delegates = [{name: "base", type: "base", cniVersion: "0.3.1"}]'
	networks_pod ''
}

teardown()
{
	CONF_FILE='' networks_teardown
}

# A name of N characters.
name_of()
{
	printf '%*s' "$1" '' | tr ' ' n
}

# What is left of the container.
left()
{
	node_exec sh -c "cd $STATE 2>/dev/null && find . -type f -name '*$CID*' | sort" | xargs
}

# The ADD was refused, and its DEL has nothing to do.
assert_refused()
{
	assert_code 7
	assert_msg "$1"
	assert_equal "$(left)" ''
	assert_equal "$(stub_calls base)/$(stub_calls extra)" '/'
	assert_unchanged
	cni DEL
	assert_ok
	stub_reset base
	stub_reset extra
}

@test "a network whose name leaves no room for a container ID is refused, one that just leaves it is served" {
	local longest=$((255 - ${#CID} - 6))
	conf_edit '.delegates[1] = {name: $name, type: "extra"}' --arg name "$(name_of $((longest + 1)))"
	snapshot
	cni ADD
	assert_refused "delegates\[1\].name has $((longest + 1)) characters: .* at most 255: give the network a name of at most $longest"
	conf_edit '.delegates[1].name = $name' --arg name "$(name_of "$longest")"
	cni ADD
	assert_ok
	node_exec test -e "$STATE/results/$(name_of "$longest")-$CID-net1"
	cni DEL
	assert_ok
	assert_equal "$(stub_calls base)/$(stub_calls extra)" 'ADD DEL/ADD DEL'
	assert_equal "$(left)" ''
	assert_unchanged
}

@test "a DEL by a record with a network whose name is too long for a file" {
	conf_edit '.delegates[1] = {name: "extra", type: "extra"}'
	cni ADD
	assert_ok
	node_exec cat "$STATE/$CID" |
		jq --arg name "$(name_of 250)" '.[1].Bytes |= (@base64d | fromjson | .name = $name | tojson | @base64)' >"$BATS_TEST_TMPDIR/record"
	node_exec sh -c "cat >$STATE/$CID" <"$BATS_TEST_TMPDIR/record"
	cni DEL
	assert_ok
	assert_equal "$(stub_calls base)/$(stub_calls extra)" 'ADD DEL/ADD DEL'
	assert_equal "$(left)" "./results/extra-$CID-net1"
	node_exec rm "$STATE/results/extra-$CID-net1"
}
