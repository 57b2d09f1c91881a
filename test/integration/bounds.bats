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
	# A stub that takes next to no time, for lists of many; it notes what it was called with.
	node_exec sh -c 'cat >/opt/cni/bin/quick && chmod 755 /opt/cni/bin/quick' <<'EOF'
#!/bin/sh
read -r conf
echo "$CNI_COMMAND $conf" >>/run/quick
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "0.4.0"}'
EOF
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
	node_exec rm -f /run/quick
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

# How often `quick` was called, and for what.
quick()
{
	node_exec sh -c 'cut -d" " -f1 /run/quick 2>/dev/null | uniq -c' | xargs
}

# The ADD was refused, and its DEL has nothing to do.
assert_refused()
{
	assert_code 7
	assert_msg "$1"
	assert_equal "$(left)" ''
	assert_equal "$(stub_calls base)/$(stub_calls extra)/$(quick)" '//'
	assert_unchanged
	cni DEL
	assert_ok
	node_exec rm -f /run/quick
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

# CONF with a further delegate whose configuration has so many bytes more, as CONF_FILE.
large_conf()
{
	CONF_FILE=$BATS_TEST_TMPDIR/conf
	jq -c --argjson n "$1" '.delegates[1] = {name: "extra", type: "extra", dns: {search: ["x" * $n]}}' <<<"$CONF" >"$CONF_FILE"
}

@test "a record that would be larger than 8 MiB is refused before anything is made, a smaller one serves ADD and DEL" {
	large_conf 3800000
	snapshot
	cni ADD
	assert_refused "the record of the pod's networks is too large: .*/multus/p1 would have [0-9]* bytes, and may have 83[0-9]*; the largest \
configuration is that of delegates\[1\], 3800[0-9]* bytes: make it smaller, or give the pod fewer networks"
	# The cached result has more than 4 MiB by its own.
	large_conf 3400000
	cni ADD
	assert_ok
	node_exec sh -c "[ \$(stat -c %s $STATE/$CID) -gt 7900000 ] && [ \$(stat -c %s $STATE/results/extra-$CID-net1) -gt 4500000 ]"
	cni DEL
	assert_ok
	assert_equal "$(stub_calls base)/$(stub_calls extra)" 'ADD DEL/ADD DEL'
	assert_equal "$(left)" ''
	assert_unchanged
}

# The record, with so many bytes more that mean nothing.
pad_record()
{
	node_exec sh -c "head -c $1 /dev/zero | tr '\\0' ' ' >>$STATE/$CID"
}

@test "a record that is larger than 8 MiB is a damaged one: GC leaves it alone, DEL goes by the cached results" {
	conf_edit '.cniVersion = "1.1.0" | .delegates[0].cniVersion = "0.4.0" | .delegates[1] = {name: "extra", type: "extra"}'
	cni ADD
	assert_ok
	pad_record 5000000
	cni ADD
	assert_code 4
	assert_msg 'already: call DEL first'
	pad_record 5000000
	cni ADD
	assert_code 5
	assert_msg 'has a record already, call DEL first: .* is larger than 8388608 bytes'
	CONF=$(jq '.["cni.dev/valid-attachments"] = []' <<<"$CONF") cni GC
	assert_ok
	[[ $stderr == *"$STATE/$CID is damaged, and left alone"* ]]
	assert_equal "$(stub_calls base)/$(stub_calls extra)" "ADD/ADD"
	cni DEL
	assert_ok
	[[ $stderr == *"$STATE/$CID is larger than 8388608 bytes: going by $STATE/results"* ]]
	assert_equal "$(stub_calls base)/$(stub_calls extra)" "ADD DEL/ADD DEL"
	assert_equal "$(left)" ''
}

@test "a pod's networks may have 2 MiB of configuration together, one definition counted as often as it is asked for" {
	kube_put_nad default big "$(jq -nc '{cniVersion: "0.4.0", name: "big", type: "quick", pad: ("x" * 90000)}')"
	networks_pod "$(printf 'big,%.0s' {1..64})"
	snapshot
	cni ADD
	assert_refused "the configurations of the pod's networks, up to default/big, have more than 2097152 bytes together with .*: make them smaller"
	networks_pod "$(printf 'big,%.0s' {1..23})"
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(stub_calls base)/$(quick)" 'ADD DEL/23 ADD 23 DEL'
	assert_equal "$(left)" ''
	assert_unchanged
}

@test "a pod's cni-args count for each plugin of the list that they are put into" {
	kube_put_nad default many "$(jq -nc '{cniVersion: "0.4.0", name: "many", plugins: [range(31) | {type: "quick"}]}')"
	networks_pod "$(jq -nc '[{name: "many", "cni-args": {pad: ("x" * 70000)}}]')"
	snapshot
	cni ADD
	assert_refused "up to default/many, have more than 2097152 bytes together with the pod's cni-args"
	networks_pod "$(jq -nc '[{name: "many", "cni-args": ([range(1001) | {key: "k\(.)", value: 0}] | from_entries)}]')"
	cni ADD
	assert_refused 'networks: network 1: cni-args must be an object of at most 1000 members'
	networks_pod "$(jq -nc '[{name: "many", "cni-args": ([range(1000) | {key: "k\(.)", value: 0}] | from_entries)}]')"
	cni ADD
	assert_ok
	node_exec tail -n 1 /run/quick | sed 's/^ADD //' | jq -e '.args.cni | length == 1000 and .k999 == 0'
	cni DEL
	assert_ok
	assert_equal "$(quick)" '31 ADD 31 DEL'
	assert_unchanged
}

@test "a list has at most 64 plugins, of a definition and of the configuration; the DEL of a longer one calls them all" {
	local message='has 65 plugins, and a list may have 64: split it into several networks'
	kube_put_nad default long "$(jq -nc '{cniVersion: "0.4.0", name: "long", plugins: [range(65) | {type: "quick"}]}')"
	networks_pod long
	snapshot
	cni ADD
	assert_refused "NetworkAttachmentDefinition default/long $message"
	networks_pod ''
	conf_edit '.delegates[1] = {name: "listed", cniVersion: "0.4.0", plugins: [range(65) | {type: "quick"}]}'
	cni ADD
	assert_refused "delegates\[1\] $message"
	conf_edit '.delegates[1] = {name: "listed", cniVersion: "0.4.0", plugins: [range(64) | {type: "quick"}]}'
	cni ADD
	assert_ok
	# As multus has recorded it, or an older lamina.
	node_exec cat "$STATE/$CID" |
		jq '.[1].Bytes |= (@base64d | fromjson | .plugins += [{type: "quick"}] | tojson | @base64)' >"$BATS_TEST_TMPDIR/record"
	node_exec sh -c "cat >$STATE/$CID" <"$BATS_TEST_TMPDIR/record"
	cni DEL
	assert_ok
	assert_equal "$(quick)" '64 ADD 65 DEL'
	assert_equal "$(left)" ''
	assert_unchanged
}

@test "the kubelet's checkpoint, which has all pods of the node, is read once for all of a pod's networks" {
	local checkpoint=/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
	node_exec sh -c "cat >/opt/cni/bin/traced && chmod 755 /opt/cni/bin/traced && mkdir -p ${checkpoint%/*}" <<-'EOF'
		#!/bin/sh
		exec strace -e trace=openat,open -o /run/traced /opt/cni/bin/lamina
	EOF
	kube_put_nad default vf '{"cniVersion": "0.4.0", "name": "vf", "type": "quick", "capabilities": {"deviceID": true}}' intel.com/vf
	kube_put_nad default gpu '{"cniVersion": "0.4.0", "name": "gpu", "type": "quick", "capabilities": {"deviceID": true}}' nvidia.com/gpu
	networks_pod vf,gpu,vf
	jq -n --arg uid "${ARGS##*UID=}" '{Data: {PodDeviceEntries: [{PodUID: $uid, ResourceName: "intel.com/vf", DeviceIDs: {"0": ["a", "b"]}},
		{PodUID: $uid, ResourceName: "nvidia.com/gpu", DeviceIDs: ["c"]}]}, Checksum: 1}' | node_exec sh -c "cat >$checkpoint"
	# A leak cannot be looked for by a process that is traced.
	PLUGIN=traced cni ADD ASAN_OPTIONS="$LAB_SANITIZED:detect_leaks=0"
	assert_ok
	assert_equal "$(node_exec sed 's/^ADD //' /run/quick | jq -r .runtimeConfig.deviceID | xargs)" 'a c b'
	assert_equal "$(node_exec grep -c "$checkpoint" /run/traced)" 1
	node_exec rm "$checkpoint" /opt/cni/bin/traced
}
