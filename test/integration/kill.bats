#!/usr/bin/env bats
# kill -9, SIGSTOP and hangs: whatever was under way, the next DEL leaves nothing, now and five seconds later.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
	warm_up
	# Real flannel, as slow as on a busy node: it runs on for a while when lamina is killed.
	node_exec sh -c 'cat >/opt/cni/bin/slow-flannel && chmod 755 /opt/cni/bin/slow-flannel' <<-'END'
		#!/bin/sh
		[ "$CNI_COMMAND" != ADD ] || sleep 0.3
		exec /opt/cni/bin/flannel
	END
	# The addresses that tests ask for are kept for the namespace from here on: DEL does not change that.
	CONF=$(seed_conf)
	annotations kube-ipam.ip 10.188.0.70
	new_pod first
	pod_args default web-1 uid-1
	cni ADD
	cni DEL
	pod_down first
	# What the last test compares with.
	lab_state "$NODE_DIR/at-first"
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.delegates[0].type = "slow-flannel"')
	new_pod "p$BATS_TEST_NUMBER"
	pod_args default web-1 uid-1
	annotations
	snapshot
}

teardown()
{
	pod_down "p$BATS_TEST_NUMBER"
}

# An ADD that lamina does not survive, and the DEL that follows at once. Usage: kill_and_delete [ADD's K=V ...]
kill_and_delete()
{
	cni ADD "$@"
	assert_equal "$status" 137
	assert_equal "$output" ''
	cni DEL
	assert_ok
	assert_unchanged
	assert_sound
}

# SQLite finds nothing wrong with the stores.
assert_sound()
{
	local file
	for file in $(node_exec find /run/lamina /var/lib/cni/multus -name '*.db'); do
		assert_equal "$(node_exec sqlite3 -readonly "$file" 'PRAGMA integrity_check')" ok
	done
}

# bats test_tags=fault
@test "lamina killed at any step of an ADD, flannel running on: DEL at once leaves nothing [check 82]" {
	local point
	for point in record_first recorded store_before_commit store_after_commit claimed linked started routed record_done; do
		kill_and_delete "LAMINA_FAULT=$point:kill"
	done
	cni ADD
	assert_ok
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni DEL
	assert_ok
}

# bats test_tags=fault
@test "lamina killed at any step of an ADD with a fixed address: DEL at once leaves nothing [check 82]" {
	local point
	annotations kube-ipam.ip 10.188.0.70
	for point in store_before_commit store_after_commit claimed linked routed record_done; do
		kill_and_delete "LAMINA_FAULT=$point:kill"
	done
}

# bats test_tags=fault
@test "lamina killed while another IPAM plugin has the address: DEL at once leaves nothing [check 82]" {
	local point
	conf_edit '.delegates[1].ipam = {type: "host-local", subnet: "10.188.0.0/16", rangeStart: "10.188.9.1"}'
	for point in recorded linked started routed record_done; do
		kill_and_delete "LAMINA_FAULT=$point:kill"
	done
}

# bats test_tags=fault
@test "lamina killed and its namespace gone: DEL at once leaves nothing [check 82]" {
	local point
	for point in claimed started routed; do
		cni ADD "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		pod_down "$POD"
		cni DEL
		assert_ok
		pod_up "$POD"
		assert_unchanged
	done
}

# bats test_tags=fault
@test "lamina killed and its record cut off: DEL at once awaits flannel, and leaves nothing [check 82]" {
	cni ADD LAMINA_FAULT=started:kill
	assert_equal "$status" 137
	node_exec truncate -s 99 "/var/lib/cni/multus/$CID"
	cni DEL
	assert_ok
	assert_unchanged
}

# bats test_tags=fault
@test "lamina killed and its record lost: DEL leaves nothing of what had been made [check 82]" {
	conf_edit '.delegates[0].type = "flannel"'
	cni ADD LAMINA_FAULT=record_done:kill
	assert_equal "$status" 137
	node_exec rm "/var/lib/cni/multus/$CID"
	cni DEL
	assert_ok
	assert_unchanged
}

# bats test_tags=fault
@test "an ADD that was killed must be deleted before the next, and CHECK says so" {
	cni ADD LAMINA_FAULT=routed:kill
	assert_equal "$status" 137
	cni ADD
	assert_code 4
	assert_msg 'call DEL first'
	conf_edit '.cniVersion = "0.4.0" | .prevResult = {cniVersion: "0.4.0"}'
	cni CHECK
	assert_code 5
	assert_msg 'never completed: call DEL'
	cni DEL
	assert_ok
	assert_unchanged
}

# bats test_tags=fault
@test "an ADD that hangs and is killed from outside: DEL at once leaves nothing [check 82]" {
	local point
	for point in recorded claimed linked started routed; do
		cni_start ADD "LAMINA_FAULT=$point:hang"
		await_asleep "$CNI_PID"
		kill -KILL "$CNI_PID"
		cni_wait
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_unchanged
	done
}

# Waits until a process sleeps in pause(2), where a fault point that hangs puts it.
await_asleep()
{
	until grep -q pause "/proc/$1/wchan" 2>/dev/null || [[ $(cut -d ' ' -f 1 "/proc/$1/syscall" 2>/dev/null) == 34 ]]; do
		[[ -e /proc/$1 ]] || fail "process $1 is gone" || return
		sleep 0.01
	done
}

# bats test_tags=fault
@test "DEL beside an ADD that hangs ends that one at its deadline, and leaves nothing" {
	local add pid
	conf_edit '.timeout = 4'
	cni_start ADD LAMINA_FAULT=linked:hang
	await_asleep "$CNI_PID"
	pid=$CNI_PID add=$CNI_JOB
	cni DEL
	assert_ok
	run -137 wait "$add"
	[[ ! -e /proc/$pid ]]
	assert_unchanged
}

@test "what a delegate of a killed ADD makes late is awaited by DEL, and deleted [check 82]" {
	late_delegate 'kill -KILL $PPID; sleep 0.5; ip link add late0 type bridge'
}

@test "what a grandchild in a session of its own makes late is awaited by DEL, too [check 82]" {
	late_delegate 'setsid sh -c "sleep 0.7; ip link add late0 type bridge" & kill -KILL $PPID'
}

# A delegate that kills lamina and makes its link, late0, afterwards; its DEL deletes that. Usage: late_delegate COMMAND
late_delegate()
{
	stub late
	stub_reset late
	stub_set late ADD run "$1"
	stub_set late DEL run 'ip link del late0 2>/dev/null || true'
	conf_edit '.delegates += [{name: "late", type: "late"}]'
	kill_and_delete
	assert_equal "$(stub_calls late)" "ADD DEL"
}

@test "a delegate of a killed ADD that hangs is killed at DEL's deadline, with its children" {
	stub stuck
	stub_set stuck ADD run 'sleep 1000 & kill -KILL $PPID; sleep 1001'
	conf_edit '.timeout = 12 | .delegates += [{name: "stuck", type: "stuck"}]'
	kill_and_delete
	assert_equal "$(stub_calls stuck)" "ADD DEL"
	run ! node_exec pgrep -f 'sleep 100[01]'
}

# bats test_tags=fault
@test "a DEL that is killed, or whose delegate hangs, is ended by the next one" {
	local point
	stub stuck
	stub_reset stuck
	conf_edit '.timeout = 4 | .delegates += [{name: "stuck", type: "stuck"}]'
	for point in store_before_commit store_after_commit; do
		cni ADD
		assert_ok
		cni DEL "LAMINA_FAULT=$point:kill"
		assert_equal "$status" 137
		cni DEL
		assert_ok
		assert_unchanged
		assert_sound
	done
	cni ADD
	assert_ok
	stub_set stuck DEL sleep 1000
	cni DEL
	assert_code 11
	assert_msg 'plugin type="stuck" did not answer within'
	refute_link eth0
	refute_link net1
	stub_reset stuck
	cni DEL
	assert_ok
	assert_unchanged
}

# Waits until lamina has stopped itself, and nsenter, which started it, does the same. To continue that continues both.
await_stopped()
{
	local pid
	for pid in "$CNI_PID" "$CNI_JOB"; do
		until grep -q '^State:.*stopped' "/proc/$pid/status"; do
			sleep 0.01
		done
	done
}

@test "what a DEL that was killed has left running is awaited by the next one, not disturbed [check 82]" {
	stub busy
	stub_reset busy
	# Fails when it is called while it is at work. Its first DEL kills lamina.
	stub_set busy DEL run '[ ! -e /run/busy ] || exit 1
		touch /run/busy
		[ -e /run/killed ] || { touch /run/killed; kill -KILL $PPID; sleep 0.5; }
		rm /run/busy'
	conf_edit '.delegates += [{name: "busy", type: "busy"}]'
	cni ADD
	assert_ok
	cni DEL
	assert_equal "$status" 137
	conf_edit '.cniVersion = "0.4.0" | .prevResult = {cniVersion: "0.4.0"}'
	cni CHECK
	assert_code 5
	assert_msg 'the DEL of container .* was never completed: call DEL'
	conf_edit 'del(.prevResult)'
	cni DEL
	assert_ok
	assert_unchanged

	# The same on the way back of an ADD that failed.
	node_exec rm /run/killed
	stub_set busy ADD exit 1
	cni ADD
	assert_equal "$status" 137
	cni DEL
	assert_ok
	assert_unchanged
	assert_equal "$(stub_calls busy)" "ADD DEL DEL ADD DEL DEL"
}

# bats test_tags=fault
@test "a stopped lamina that holds the store's lock: others get code 11 at their deadline, and all is well when it goes on" {
	local add
	cni_start ADD LAMINA_FAULT=store_before_commit:stop
	await_stopped
	add=$CNI_JOB
	# Its own answer must not be written over.
	mkdir "$BATS_TEST_TMPDIR/other"
	pod_up other
	conf_edit '.timeout = 2'
	BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR/other POD=other CID=other cni ADD
	assert_code 11
	assert_msg '/run/lamina/.*\.db is locked by another process until the deadline'
	POD=other refute_link eth0
	POD=other refute_link net1
	kill -CONT "$add"
	wait "$add"
	BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR/other POD=other CID=other cni ADD
	assert_ok
	BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR/other POD=other CID=other cni DEL
	assert_ok
	pod_down other
	pod_ping 10.188.0.1
	cni DEL
	assert_ok
	assert_unchanged
	assert_sound
}

# bats test_tags=fault
@test "a stopped lamina that holds the store's lock and is killed: the lock goes with it" {
	cni_start ADD LAMINA_FAULT=store_before_commit:stop
	await_stopped
	kill -KILL "$CNI_PID"
	kill -CONT "$CNI_JOB"
	cni_wait
	assert_equal "$status" 137
	pod_up other
	POD=other CID=other cni ADD
	assert_ok
	POD=other CID=other cni DEL
	assert_ok
	pod_down other
	cni DEL
	assert_ok
	assert_unchanged
	assert_sound
}

@test "five seconds later nothing of all that was killed has come back [check 82]" {
	local end=$((SECONDS + 5))
	pod_down "$POD"
	cp "$NODE_DIR/at-first" "$BATS_TEST_TMPDIR/before"
	while ((SECONDS <= end)); do
		assert_unchanged
	done
	run ! node_exec pgrep -f '/opt/cni/bin|flannel'
}

# bats test_tags=fault
@test "lamina killed with a fixed address: after DEL the address is kept for nobody [check 82]" {
	local point
	annotations kube-ipam.ip 10.188.0.77
	for point in store_before_commit claimed routed record_done; do
		cni ADD "LAMINA_FAULT=$point:kill"
		cni DEL
		assert_ok
		lamina ip ls --json | jq -e 'all(.address != "10.188.0.77")'
	done
}
