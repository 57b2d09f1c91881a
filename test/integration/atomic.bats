#!/usr/bin/env bats
# All or nothing: whatever fails in an ADD, node, pod, store and files are as before, and the first error is the one reported.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

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
	CONF=$(seed_conf)
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	pod_down "p$BATS_TEST_NUMBER"
	node_exec umount -q /var/lib/cni/multus /run/lamina || true
}

# What was refused leaves no trace that a later ADD or DEL stumbles over.
assert_recovers()
{
	cni ADD
	assert_ok
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni DEL
	assert_ok
}

# Fails at every named step. Usage: fail_everywhere [POINT ...]
fail_everywhere()
{
	local point
	for point in "$@"; do
		snapshot
		cni ADD "LAMINA_FAULT=$point:fail"
		assert_code 5
		assert_msg '^fault'
		assert_unchanged
		cni DEL
		assert_ok
		assert_unchanged
	done
	assert_recovers
}

# A stub as the last of the seed's delegates.
add_stub()
{
	stub last
	stub_reset last
	conf_edit '.delegates += [{name: "last", type: "last"}]'
}

# bats test_tags=fault
@test "an ADD with a dynamic address that fails at any step leaves nothing [check 61]" {
	fail_everywhere record_first recorded store_before_commit claimed linked started routed record_done
}

# bats test_tags=fault
@test "an ADD with a fixed address that fails at any step leaves nothing, and keeps the address for nobody [check 61]" {
	annotations kube-ipam.ip 10.188.0.60,10.188.0.61
	fail_everywhere record_first recorded store_before_commit claimed linked started routed record_done
}

# bats test_tags=fault
@test "an ADD that fails at any step leaves an address kept for the namespace that had kept it" {
	annotations kube-ipam.ip 10.188.0.62
	assert_recovers
	lamina ip show 10.188.0.62 --json | jq -e '.[0].keptFor == "default"'
	annotations kube-ipam.ip 10.188.0.62,10.188.0.63
	fail_everywhere store_before_commit claimed routed record_done
}

# bats test_tags=fault
@test "an ADD with another IPAM plugin that fails at any step leaves nothing" {
	conf_edit '.delegates[1].ipam = {type: "host-local", subnet: "10.188.0.0/16", rangeStart: "10.188.9.1"}'
	assert_recovers
	fail_everywhere record_first recorded linked started routed record_done
}

# bats test_tags=fault
@test "an ADD with lamina's macvlan as the default network that fails at any step leaves nothing" {
	conf_edit '.delegates |= reverse'
	fail_everywhere record_first recorded store_before_commit claimed linked started routed record_done
}

@test "an address that another pod holds is refused with its holder, and nothing has changed" {
	annotations kube-ipam.ip 10.188.0.64
	pod_up holder
	pod_args default database-1-0 uid-0
	POD=holder CID=holder cni ADD
	assert_ok
	pod_args default web-1 uid-1
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.64 is held by default/database-1-0 .*: delete that pod first'
	assert_unchanged
	POD=holder CID=holder cni DEL
	assert_ok
	assert_recovers
	pod_down holder
}

@test "a full range is refused, and nothing has changed" {
	local n
	conf_edit '.delegates[1] |= (.name = "narrow" | .ipam |= (.rangeStart = "10.188.3.1" | .rangeEnd = "10.188.3.2"))'
	for n in a b; do
		pod_up "$n"
		POD=$n CID=$n cni ADD
		assert_ok
	done
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'no free address in 10.188.3.1-10.188.3.2 of network narrow: 2 are in use or kept'
	assert_unchanged
	for n in a b; do
		POD=$n CID=$n cni DEL
		assert_ok
		pod_down "$n"
	done
	assert_recovers
}

@test "a default network that fails undoes net1, and its error is the answer" {
	node_exec mv /run/flannel/subnet.env /run/flannel/away
	snapshot
	cni ADD
	assert_code 999
	assert_msg '^open /run/flannel/subnet.env: no such file or directory'
	assert_unchanged
	node_exec mv /run/flannel/away /run/flannel/subnet.env
	assert_recovers
}

@test "a delegate that fails undoes what the others made, and its code, msg and details are the answer [check 61]" {
	add_stub
	stub_set last ADD out '{"cniVersion": "0.3.1", "code": 117, "msg": "no luck", "details": "today"}'
	stub_set last ADD exit 1
	snapshot
	cni ADD
	assert_code 117
	assert_msg $'^no luck\ntoday$'
	assert_equal "$(stub_calls last)" "ADD DEL"
	assert_unchanged
}

@test "a DEL that fails while an ADD is undone does not hide the first error, and a later DEL ends what is left [check 61]" {
	add_stub
	stub_set last ADD exit 3
	stub_set last ADD out ''
	stub_set last ADD err 'out of paper'
	stub_set last DEL exit 1
	snapshot
	cni ADD
	assert_code 999
	assert_msg 'out of paper'
	refute_link eth0
	refute_link net1
	cni ADD
	assert_code 4
	stub_set last DEL exit 0
	cni DEL
	assert_ok
	assert_unchanged
}

@test "a delegate that prints garbage, or half an answer, undoes what the others made [check 62]" {
	local text
	add_stub
	snapshot
	for text in 'hello' '{"cniVersion": "0.3.1", "ips": [' '[]' ''; do
		stub_set last ADD out "$text"
		cni ADD
		assert_code 6
		assert_msg 'plugin type="last".*invalid result'
		assert_unchanged
	done
}

@test "a delegate that dies of a signal undoes what the others made [check 67]" {
	add_stub
	snapshot
	stub_set last ADD signal KILL
	cni ADD
	assert_code 999
	assert_msg 'plugin type="last" killed by signal 9'
	assert_unchanged
	stub_set last ADD signal SEGV
	cni ADD
	assert_code 999
	assert_msg 'killed by signal 11'
	assert_unchanged
}

@test "a delegate that hangs is killed at its deadline with its children, and what the others made is undone" {
	add_stub
	conf_edit '.timeout = 4'
	stub_set last ADD run 'sleep 1000 & sleep 1001'
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'plugin type="last" did not answer within'
	assert_unchanged
	run ! node_exec pgrep -f 'sleep 100[01]'
}

@test "a default network that hangs is killed at its deadline, and net1 is undone" {
	stub first
	stub_reset first
	conf_edit '.timeout = 2 | .delegates[0].type = "first"'
	stub_set first ADD sleep 1000
	snapshot
	cni ADD
	assert_code 11
	assert_msg 'plugin type="first" did not answer within'
	assert_equal "$(stub_calls first)" "ADD DEL"
	assert_unchanged
	run ! node_exec pgrep -f 'sleep 1000'
}

@test "another IPAM plugin that fails, prints garbage, finds nothing or hangs leaves no link" {
	local setting
	stub addresses
	conf_edit '.timeout = 2 | .delegates = [.delegates[1] | .ipam = {type: "addresses"}]'
	snapshot
	for setting in 'exit 1' 'out hello' 'out {"cniVersion":"0.3.1","ips":[],"dns":{}}' 'signal KILL' 'sleep 1000'; do
		stub_reset addresses
		stub_set addresses ADD "${setting%% *}" "${setting#* }"
		cni ADD
		((status == 1))
		assert_json 'has("code")'
		assert_equal "$(stub_calls addresses)" "ADD DEL"
		assert_unchanged
	done
	assert_code 11
}

@test "what the plan can see to be impossible is refused before any program runs" {
	local filter
	stub first
	stub_reset first
	conf_edit '.delegates[0].type = "first"'
	snapshot
	for filter in '.delegates[1].master = "gone0"' '.delegates[1].mtu = 9000' '.delegates += [{name: "n3", type: "no-such-plugin"}]' \
		'.delegates[1].ipam = {type: "no-such-ipam"}'; do
		CONF_FILE='' CONF=$(jq "$filter" <<<"$CONF") cni ADD
		assert_code 7
		assert_msg 'gone0|mtu|no-such'
		assert_unchanged
	done
	assert_equal "$(stub_calls first)" ""
	node_exec ip -n "$POD" link add net1 type bridge
	snapshot
	cni ADD
	assert_code 4
	assert_msg 'interface net1 exists in'
	assert_unchanged
	assert_equal "$(stub_calls first)" ""
}

@test "a cniDir that cannot be written is an I/O error before anything is made" {
	node_exec mount -t tmpfs -o ro none /var/lib/cni/multus
	stub first
	stub_reset first
	conf_edit '.delegates[0].type = "first"'
	snapshot
	cni ADD
	assert_code 5
	assert_msg 'cannot write /var/lib/cni/multus/.*: Read-only file system'
	assert_unchanged
	assert_equal "$(stub_calls first)" ""
}

# Mounts a small file system and fills it but for some pages. Usage: leave_room FOLDER PAGES
leave_room()
{
	node_exec sh -c 'umount -q "$1"; mount -t tmpfs -o size=128k none "$1"; dd if=/dev/zero of="$1/filler" bs=4096 count=$((32 - $2)) status=none' \
		sh "$1" "$2"
}

@test "however little room cniDir has, ADD either works or leaves nothing" {
	local pages refused=0 done=0
	node_exec mkdir -p /var/lib/cni/multus
	for pages in 0 1 2 3 4 5 6 7 8 9 10 20; do
		leave_room /var/lib/cni/multus "$pages"
		annotations kube-ipam.ip "10.188.5.$((pages + 1))"
		snapshot
		cni ADD
		if ((status == 0)); then
			((++done))
			cni DEL
			assert_ok
			continue
		fi
		((++refused))
		assert_code 5
		assert_msg '/var/lib/cni/multus/.*(No space left on device|file system is full)'
		# Tables without a row in them are nothing.
		assert_unchanged
	done
	((refused >= 3 && done >= 1))
}

@test "however little room dataDir has, ADD either works or leaves nothing" {
	local pages refused=0 done=0
	node_exec mkdir -p /run/lamina
	for pages in 0 1 2 4 6 8 9 10 11 12 13 14 20; do
		leave_room /run/lamina "$pages"
		annotations kube-ipam.ip "10.188.6.$((pages + 1))"
		snapshot
		cni ADD
		if ((status == 0)); then
			((++done))
			# To release it takes room, too.
			node_exec rm /run/lamina/filler
			cni DEL
			assert_ok
			continue
		fi
		((++refused))
		assert_code 5
		assert_msg '/run/lamina.*(No space left on device|file system is full)'
		assert_unchanged
	done
	((refused >= 3 && done >= 1))
}

# Installs lamina without some rights as another plugin. Usage: without_rights setpriv-option ...
without_rights()
{
	printf '#!/bin/sh\nexec setpriv %s -- /opt/cni/bin/lamina\n' "$*" |
		node_exec sh -c 'cat >/opt/cni/bin/powerless && chmod 755 /opt/cni/bin/powerless'
}

@test "without the rights that it needs ADD answers code 100, and nothing has changed" {
	local rights
	snapshot
	for rights in '--bounding-set -net_admin' '--bounding-set -sys_admin' '--bounding-set -all' '--reuid 65534 --clear-groups'; do
		without_rights "$rights"
		PLUGIN=powerless cni ADD
		assert_code 100
		assert_unchanged
	done
	assert_recovers
}

@test "a default network that takes longer than the time for the way back is awaited, and then undone [check 61]" {
	local own=$POD
	new_pod holder
	pod_args default holder-1 uid-holder
	annotations kube-ipam.ip 10.188.0.61
	cni ADD
	assert_ok

	POD=$own CID=$own
	pod_args default web-9 uid-9
	stub slow
	stub_reset slow
	stub_set slow ADD sleep 2
	conf_edit '.timeout = 4 | .delegates[0] = {name: "slow", type: "slow"}'
	snapshot
	cni ADD
	assert_code 11
	assert_msg '10.188.0.61 is held by default/holder-1'
	assert_unchanged
	assert_equal "$(stub_calls slow)" "ADD DEL"

	CONF=$(seed_conf) POD=holder CID=holder
	cni DEL
	assert_ok
	pod_down holder
}

@test "an ADD whose answer cannot be written is undone" {
	snapshot
	printf '%s' "$CONF" >"$NODE_DIR/full.conf"
	run ! node_exec env -i PATH="$PATH" CNI_COMMAND=ADD CNI_CONTAINERID="$CID" CNI_NETNS="/run/netns/$POD" CNI_IFNAME=eth0 \
		CNI_PATH=/opt/cni/bin CNI_ARGS="$ARGS" sh -c "/opt/cni/bin/lamina <$NODE_DIR/full.conf >/dev/full"
	assert_unchanged
	assert_recovers
}
