#!/usr/bin/env bats
# lamina gc: what is gone on a node is collected without a runtime that asks for it, once that is certain.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

# Where an address was is remembered for a while; the first ADD notes that it has looked for kube-ipam's pods; a lock leaves an empty file.
SNAPSHOT_IGNORE='INTO (cursor|released) |/imported|gc\.lock'

setup_file()
{
	setup_node
	warm_up
	clean_up
}

teardown_file()
{
	teardown_node
}

clean_up()
{
	node_exec sh -c 'ip -all netns delete
		rm -rf /var/lib/cni/multus /run/lamina /var/lib/cni/flannel/* /var/lib/cni/networks/*/10.* /etc/cni/net.d/*'
}

setup()
{
	CONF=$(seed_conf '.cniVersion = "1.1.0"')
	STATE=/var/lib/cni/multus
	pod_args default web-1 uid-1
	node_conf - 10-multus.conf <<<"$CONF"
	annotations
	new_pod other
	new_pod pod
}

teardown()
{
	clean_up
}

# collect [ARG ...]: lamina gc as the timer runs it, with the wait between two passes as in WAIT (none: as it is); what it prints as
# JSON in output, and one line for each thing in found.
collect()
{
	local -a env=(env)
	[[ -z ${WAIT:-} ]] || env+=(LAMINA_GC_WAIT="$WAIT") # builds with fault points only
	run --separate-stderr node_exec "${env[@]}" /opt/cni/bin/lamina gc --json "$@"
	echo "gc: $status" "$output" "$stderr"
	found=$(jq -r '.[] | "\(.what) \(.container) \(.why): \(.result)"' <<<"$output")
}

add()
{
	POD=$1 CID=$1 cni ADD "${@:2}"
	assert_ok
}

use_stub()
{
	stub hand
	stub_reset hand
	conf_edit '.delegates[0] = {cniVersion: "1.1.0", name: "hands", type: "hand"}'
}

recorded()
{
	node_exec find "$STATE" -type f ! -name '*.db*' ! -name imported -printf '%P\n' | sort
}

held()
{
	lamina ip ls --json | jq -r '[.[] | select(.kind != "kept") | .address] | join(" ")'
}

# edit_record NAME FILTER
edit_record()
{
	node_exec sh -c 'jq -c "$2" "$1" >/run/edited && mv /run/edited "$1"' sh "$STATE/$1" "$2"
}

# bats test_tags=fault
@test "a pod whose namespace is gone is collected in the second pass, five minutes later" {
	add other
	snapshot
	add pod
	pod_down pod
	collect
	assert_equal "$status/$found" "0/record pod namespace gone: waiting"
	assert_equal "$(jq -c '.[0] | [.interface, .network, .addresses, .waitSeconds]' <<<"$output")" \
		'["eth0","multus-demo",["10.188.0.11"],300]'
	collect
	assert_equal "$found" "record pod namespace gone: waiting"
	assert_equal "$(jq '.[0].waitSeconds | . <= 300 and . > 240' <<<"$output")" true
	WAIT=0 collect
	assert_equal "$status/$found" "0/record pod namespace gone: collected"
	collect
	assert_equal "$status/$output" "0/[]"
	pod_up pod
	assert_unchanged
	POD=other pod_ping 10.188.0.1
}

# bats test_tags=fault
@test "one pass is never enough, however short the wait" {
	add pod
	pod_down pod
	WAIT=0 collect
	assert_equal "$found" "record pod namespace gone: waiting"
	WAIT=0 collect
	assert_equal "$found" "record pod namespace gone: collected"
}

# bats test_tags=fault
@test "what is there again is struck: its five minutes begin anew" {
	add pod
	node_exec sh -c 'touch /run/kept && mount --bind /run/netns/pod /run/kept && umount /run/netns/pod'
	collect
	assert_equal "$found" "record pod namespace gone: waiting"
	node_exec mount --bind /run/kept /run/netns/pod
	collect
	assert_equal "$output" "[]"
	node_exec umount /run/netns/pod
	WAIT=0 collect
	assert_equal "$found" "record pod namespace gone: waiting"
	node_exec sh -c 'umount /run/kept; rm /run/kept'
}

# bats test_tags=fault
@test "what was noted in another boot, or in times to come, or is damaged, counts for nothing" {
	local change
	add pod
	pod_down pod
	collect
	for change in '.bootId = "another"' '.gone |= map_values(. + 1000000)' '.gone |= map_values("long ago")' '.gone = 7' '7' 'empty'; do
		node_exec sh -c 'cd /run/lamina && jq -c "$1" gc.json >gc && mv gc gc.json' sh "$change"
		WAIT=0 collect
		assert_equal "$found" "record pod namespace gone: waiting"
	done
}

@test "a record of an earlier boot is collected at once, though another pod has its namespace's path by now" {
	add pod
	add other
	edit_record pod 'map(.lamina.bootId = "00000000-0000-0000-0000-000000000000")'
	node_exec sh -c 'rm -r /run/lamina'
	collect
	assert_equal "$status/$found" "0/record pod earlier boot: collected"
	assert_equal "$(recorded)" $'other\nresults/k8snet1-other-eth0\nresults/k8snet2-other-net1'
	# Nothing was touched in the namespace, which is not known to be the same.
	pod_link net1 >/dev/null
	POD=other pod_ping 10.188.0.1
}

# bats test_tags=fault
@test "a dry run changes nothing, and says what would be done and what waits" {
	add pod
	add other
	pod_down pod
	edit_record other 'map(.lamina.bootId = "00000000-0000-0000-0000-000000000000")'
	snapshot
	collect --dry-run
	assert_equal "$status/$(sort <<<"$found")" $'0/record other earlier boot: would collect\nrecord pod namespace gone: waiting'
	node_exec test ! -e /run/lamina/gc.json
	assert_unchanged
	edit_record other 'map(.lamina.bootId = "")'
	collect
	snapshot
	WAIT=0 collect --dry-run
	assert_equal "$found" "record pod namespace gone: would collect"
	assert_unchanged
}

# bats test_tags=fault
@test "a table for people: what, whose, why, and what came of it" {
	run --separate-stderr lamina gc
	assert_equal "$status/$output/$stderr" "0/nothing to collect/"
	add pod
	pod_down pod
	run --separate-stderr lamina gc
	assert_equal "$status/$stderr" 0/
	[[ ${lines[0]} =~ ^WHAT\ +CONTAINER\ +INTERFACE\ +NETWORK\ +WHY\ +RESULT\ +ADDRESSES$ ]]
	[[ ${lines[1]} =~ ^record\ +pod\ +eth0\ +multus-demo\ +namespace\ gone\ +waits\ 300\ s\ more\ +10.188.0.10$ ]]
	run --separate-stderr node_exec env LAMINA_GC_WAIT=0 /opt/cni/bin/lamina gc
	[[ ${lines[1]} =~ collected\ +10.188.0.10$ ]]
}

# bats test_tags=fault
@test "a pod whose ADD or DEL is under way is left for the next pass" {
	use_stub
	stub_set hand ADD run "touch $NODE_DIR/begun; while [ ! -e $NODE_DIR/go ]; do sleep 0.01; done"
	cni_start ADD
	while [[ ! -e $NODE_DIR/begun ]]; do sleep 0.01; done
	edit_record pod 'map(.lamina.bootId = "00000000-0000-0000-0000-000000000000")'
	WAIT=0 collect
	assert_equal "$status/$found" "0/record pod earlier boot: busy"
	touch "$NODE_DIR/go"
	cni_wait
	assert_ok
	rm "$NODE_DIR/go" "$NODE_DIR/begun"
	pod_ping 10.188.0.1
}

# bats test_tags=fault
@test "programs that a killed ADD left running keep its record until they have ended" {
	use_stub
	stub_set hand ADD run "touch $NODE_DIR/begun; while [ ! -e $NODE_DIR/go ]; do sleep 0.01; done"
	cni_start ADD
	while [[ ! -e $NODE_DIR/begun ]]; do sleep 0.01; done
	kill -KILL "$CNI_PID"
	cni_wait
	pod_down pod
	collect
	assert_equal "$found" "record pod namespace gone: busy"
	WAIT=0 collect
	assert_equal "$found" "record pod namespace gone: busy"
	touch "$NODE_DIR/go"
	while node_exec grep -qsz '^CNI_CONTAINERID=pod$' /proc/[0-9]*/environ; do sleep 0.01; done
	WAIT=0 collect
	assert_equal "$status/$found" "0/record pod namespace gone: collected"
	assert_equal "$(stub_calls hand)/$(recorded)/$(held)" "ADD DEL//"
	rm "$NODE_DIR/go" "$NODE_DIR/begun"
}

# bats test_tags=fault
@test "a record whose container came again meanwhile is not touched" {
	use_stub
	add pod
	add other
	pod_down pod
	pod_down other
	collect
	# Whoever is collected first puts a new record in the other one's place.
	stub_set hand DEL run 'cd /var/lib/cni/multus && for c in pod other; do
		[ "$c" = "$CNI_CONTAINERID" ] || sed -i "s/\"index\":0/\"index\":0,\"again\":true/" "$c"; done'
	WAIT=0 collect
	assert_equal "$status/$(jq -r 'map(.result) | sort | join(" ")' <<<"$output")" "0/busy collected"
	assert_equal "$(stub_calls hand)" "ADD ADD DEL"
	assert_equal "$(recorded | grep -cv results/)" 1
}

# bats test_tags=fault
@test "one DEL that fails does not keep the others: exit status 1, who and why on stderr, and the next pass goes on" {
	use_stub
	add pod
	add other
	pod_down pod
	pod_down other
	collect
	stub_set hand DEL run '[ "$CNI_CONTAINERID" != other ] || { echo "{\"code\": 123, \"msg\": \"no hand free\"}"; exit 1; }'
	WAIT=0 collect
	assert_equal "$status" 1
	assert_equal "$(sort <<<"$found")" $'record other namespace gone: failed\nrecord pod namespace gone: collected'
	assert_equal "$(jq -r '.[] | .error // empty' <<<"$output")" "no hand free"
	[[ $stderr == *"lamina: record of container other: no hand free"* ]]
	stub_set hand DEL run ''
	WAIT=0 collect
	assert_equal "$status/$found" "0/record other namespace gone: collected"
	assert_equal "$(recorded)/$(held)" /
}

# bats test_tags=fault
@test "an address without a record is given back in the second pass, when its namespace is gone" {
	add pod
	add other
	node_exec rm -r "$STATE"
	pod_down pod
	collect
	assert_equal "$status/$found" "0/address pod no record: waiting"
	WAIT=0 collect
	assert_equal "$status/$found" "0/address pod no record: collected"
	# Another configuration may have the record.
	assert_equal "$(held)" 10.188.0.11
}

# bats test_tags=fault
@test "leases of the stand-alone kube-ipam are collected like records" {
	PLUGIN=kube-ipam
	CONF=$(jq '.delegates[1] + {cniVersion: "1.1.0", capabilities}' <<<"$CONF")
	annotations
	add pod
	add other
	pod_down pod
	collect
	assert_equal "$status/$found" "0/lease pod namespace gone: waiting"
	WAIT=0 collect
	assert_equal "$status/$found" "0/lease pod namespace gone: collected"
	assert_equal "$(recorded)/$(held)" "lease/other.eth0/10.188.0.11"
}

# bats test_tags=fault
@test "gc that is killed half way is finished by the next one" {
	snapshot
	add pod
	add other
	pod_down pod
	pod_down other
	collect
	run node_exec env LAMINA_GC_WAIT=0 LAMINA_FAULT=collected:kill /opt/cni/bin/lamina gc
	assert_equal "$status" 137
	assert_equal "$(recorded | grep -cv results/)" 1
	WAIT=0 collect
	assert_equal "$status" 0
	assert_equal "$(recorded)/$(held)" /
}

# bats test_tags=fault
@test "two at once do not do one DEL twice: the second says that another is at work" {
	use_stub
	add pod
	pod_down pod
	collect
	stub_set hand DEL run "touch $NODE_DIR/begun; while [ ! -e $NODE_DIR/go ]; do sleep 0.01; done"
	WAIT=0 collect >"$BATS_TEST_TMPDIR/first" &
	local first=$!
	while [[ ! -e $NODE_DIR/begun ]]; do sleep 0.01; done
	WAIT=0 collect
	assert_equal "$status/$output" 1/
	[[ $stderr == *"another gc is at work on this node"* ]]
	touch "$NODE_DIR/go"
	wait "$first"
	grep -q '"collected"' "$BATS_TEST_TMPDIR/first"
	assert_equal "$(stub_calls hand)" "ADD DEL"
	rm "$NODE_DIR/go" "$NODE_DIR/begun"
}

@test "a node without configuration or records has nothing to collect; a wrong call is exit status 2" {
	clean_up
	collect
	assert_equal "$status/$output/$stderr" "0/[]/"
	local call
	for call in 'gc everything' 'gc --force' 'gc --network k8snet2'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr lamina $call
		assert_equal "$call: $status/$output" "$call: 2/"
		[[ $stderr == *"gc wants no argument, and only --dry-run, --json and --conf"* ]]
	done
	run --separate-stderr lamina gc --conf /etc/nothing
	assert_equal "$status/$output" 1/
}
