#!/usr/bin/env bats
# Keys of multus's configuration that are about the call itself: its log, the file by which a default network says that it is ready, and
# what a failing delegate means for DEL.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

LOG=/var/log/lamina-test/multus.log
READY=/run/lamina-test/ready

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
	stub one
	stub two
	new_pod p1
	pod_args default web-1 uid-1
	CONF=$(jq -n '{cniVersion: "1.1.0", name: "outer", type: "multus", delegates: [{name: "net-one", type: "one", cniVersion: "0.3.1"},
		{name: "net-two", cniVersion: "1.1.0", plugins: [{type: "two", secret: "hush"}]}]}')
	stub_set one ADD out '{"cniVersion": "0.3.1", "interfaces": [{"name": "eth0"}], "ips": [{"version": "4", "address": "10.1.0.5/16"}]}'
}

teardown()
{
	cni DEL
	pod_down p1
	node_exec rm -rf "${LOG%/*}" "${READY%/*}" /var/lib/cni/multus
	stub_reset one
	stub_reset two
}

log()
{
	node_exec cat "$LOG"
}

# The log without its times, which have to be RFC 3339's.
log_lines()
{
	log | sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}) //'
}

log_to()
{
	conf_edit '.logFile = $log | .logLevel = $level' --arg log "$LOG" --arg level "$1"
}

@test "at level verbose each network's ADD and DEL has a line in multus's form, and no configuration stands there" {
	log_to verbose
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	log
	assert_equal "$(log_lines)" '[verbose] Add: default:web-1:uid-1:net-one(net-one):eth0 {"cniVersion":"0.3.1","interfaces":[{"name":"eth0"}],"ips":[{"version":"4","address":"10.1.0.5/16"}],"dns":{}}
[verbose] Add: default:web-1:uid-1:net-two(net-two):net1 {"cniVersion":"1.1.0"}
[verbose] Del: default:web-1:uid-1:net-two:net1
[verbose] Del: default:web-1:uid-1:net-one:eth0'
	assert_equal "$(node_exec stat -c %a "$LOG")" 600
	[[ $(log) != *hush* && -z $stderr ]]
}

@test "at level error there are warnings and errors; at panic, the default, nothing; another level counts as that" {
	local level
	stub_set two ADD out '{"code": 42, "msg": "no\nhands"}'
	stub_set two ADD exit 1
	log_to error
	cni ADD
	assert_code 42
	assert_equal "$(log_lines)" '[error] ADD of container p1: no hands: delegate "net-two" (two)'
	node_exec rm "$LOG"
	for level in panic loud; do
		log_to $level
		cni ADD
		assert_code 42
		run ! node_exec test -e "$LOG"
	done
	[[ $stderr == *'logLevel is "loud"'* ]]
	conf_edit 'del(.logLevel)'
	cni ADD
	run ! node_exec test -e "$LOG"
}

@test "logToStderr false keeps stderr for the delegates" {
	log_to error
	cni ADD
	assert_ok
	node_exec truncate -s 5 /var/lib/cni/multus/p1
	stub_set two DEL err 'two is here'
	conf_edit '.logToStderr = false'
	cni DEL
	assert_ok
	assert_equal "$stderr" 'two is here'
	[[ $(log_lines) == '[error] /var/lib/cni/multus/p1 is damaged: going by /var/lib/cni/multus/results' ]]
}

@test "a log file that cannot be written fails nothing, and is named" {
	local how
	log_to verbose
	for how in 'ln -s /etc/passwd' 'mkdir' 'mkfifo'; do
		node_exec sh -c "mkdir -p ${LOG%/*} && $how $LOG"
		before=$(node_exec cat /etc/passwd)
		cni ADD
		assert_ok
		[[ $stderr == *"logFile $LOG cannot be written"* ]]
		assert_equal "$(node_exec cat /etc/passwd)" "$before"
		cni DEL
		assert_ok
		node_exec rm -rf "$LOG"
	done
}

@test "a large log is renamed, and of the renamed ones the newest stay" {
	local n
	log_to verbose
	conf_edit '.logOptions = {maxSize: 1, maxBackups: 2, maxAge: 3, compress: true}'
	node_exec sh -c "mkdir -p ${LOG%/*} && touch ${LOG%.log}-2000-01-01T00-00-00.000.log ${LOG%.log}-2000-01-02T00-00-00.000.log.gz ${LOG%.log}-other.log"
	for n in 1 2 3; do
		node_exec truncate -s 1M "$LOG"
		cni ADD
		assert_ok
		cni DEL
		assert_ok
		(($(node_exec stat -c %s "$LOG") < 2000))
		assert_equal "$(node_exec sh -c "ls ${LOG%/*}/multus-2*" | wc -l)" $((n < 2 ? 1 : 2))
	done
	node_exec test -e "${LOG%.log}-other.log"
	# Those of many years ago went for their age.
	run ! node_exec sh -c "ls ${LOG%/*}/multus-2000*"
	# These go without a log that is large, too.
	node_exec touch "${LOG%.log}-2000-01-01T00-00-00.000.log"
	cni ADD
	assert_ok
	run ! node_exec sh -c "ls ${LOG%/*}/multus-2000*"
	assert_equal "$(node_exec sh -c "ls ${LOG%/*}/multus-2*" | wc -l)" 2
}

@test "ADD waits for the readiness file, and then has all of its time" {
	conf_edit '.readinessindicatorfile = $it | .timeout = 6' --arg it "$READY"
	cni_start ADD
	sleep 4.5
	assert_equal "$(stub_calls one)" ''
	node_exec sh -c "mkdir -p ${READY%/*} && touch $READY"
	# Longer than what was left of the six seconds, and much shorter than these: the machine may be busy.
	stub_set one ADD sleep 2
	cni_wait
	assert_ok
	assert_equal "$(stub_calls one)" ADD
}

@test "ADD gives up at its deadline and names the file; nothing was made" {
	conf_edit '.readinessindicatorfile = $it | .timeout = 1' --arg it "$READY"
	snapshot
	cni ADD
	assert_code 11
	assert_msg "readinessindicatorfile $READY"
	assert_equal "$(stub_calls one)" ''
	assert_unchanged
}

@test "STATUS looks once for the readiness file; DEL and GC go on without it" {
	local began=$SECONDS
	cni ADD
	assert_ok
	conf_edit '.readinessindicatorfile = $it' --arg it "$READY"
	cni STATUS -CNI_NETNS -CNI_IFNAME -CNI_CONTAINERID
	assert_code 50
	assert_msg "readinessindicatorfile $READY"
	conf_edit '.["cni.dev/valid-attachments"] = [{containerID: "p1", ifname: "eth0"}]'
	cni GC -CNI_NETNS -CNI_IFNAME -CNI_CONTAINERID
	assert_ok
	[[ $stderr == *"$READY"* ]]
	cni DEL
	assert_ok
	[[ $stderr == *"$READY"* ]]
	# ADD would have waited for 45 s.
	((SECONDS - began < 30))
	node_exec sh -c "mkdir -p ${READY%/*} && touch $READY"
	cni STATUS -CNI_NETNS -CNI_IFNAME -CNI_CONTAINERID
	assert_ok
}

@test "a delegate that fails on DEL is called again, whatever retryDeleteOnError says" {
	local retry
	for retry in true false null; do
		stub_reset two
		conf_edit ".retryDeleteOnError = $retry"
		cni ADD
		assert_ok
		stub_set two DEL out '{"code": 42, "msg": "busy: no such file or directory"}'
		stub_set two DEL exit 1
		cni DEL
		assert_code 42
		stub_reset two
		cni DEL
		assert_ok
		assert_equal "$(stub_calls two)" DEL
		run ! node_exec test -e /var/lib/cni/multus/p1
	done
}

@test "what a delegate misses of a namespace that is gone is no reason to keep it" {
	cni ADD
	assert_ok
	pod_down p1
	stub_set two DEL out '{"code": 42, "msg": "failed to open netns: no such file or directory"}'
	stub_set two DEL exit 1
	stub_set one DEL out '{"code": 43, "msg": "the ipam is away"}'
	stub_set one DEL exit 1
	cni DEL
	assert_code 43
	[[ $stderr == *"the namespace is gone, and what was in it: failed to open netns"* ]]
	stub_reset one
	cni DEL
	assert_ok
	assert_equal "$(stub_calls two)/$(stub_calls one)" "ADD DEL/DEL"
	pod_up p1
}
