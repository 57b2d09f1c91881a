#!/usr/bin/env bats
# Other programs that make a pod's networks: what follows when they fail, hang or answer nothing useful.
# What delegates.bash and cni.bash set is used in tests and the other way round; single quotes are for jq and for the stubs.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/delegates.bash

@test "a failing ADD is undone by DEL of it and of all before it, newest first, and its own error is ours [check 61, 41]" {
	stubs one two three four
	stub_set three ADD out '{"cniVersion": "0.4.0", "code": 142, "msg": "the switch said no", "details": "port 17"}'
	stub_set three ADD exit 3
	refused 142
	assert_json '.msg == "the switch said no" and .details == "port 17"'
	assert_order one-ADD two-ADD three-ADD three-DEL two-DEL one-DEL
	assert_equal "$(stub_calls four)" ""
}

@test "a default network that fails takes net1 with it, and no later one is started [check 61]" {
	stubs one two
	conf_edit '.delegates = [.delegates[0], $net1, .delegates[1]]' --argjson net1 "$(seed_conf '.delegates[1]')"
	stub_set one ADD out '{"code": 11, "msg": "come back later"}'
	stub_set one ADD exit 1
	refused 11 'come back later'
	assert_order one-ADD one-DEL
}

@test "a DEL that fails on the way back does not hide the first error, nor stop the others' [check 61, 41]" {
	stubs one two three
	stub_set three ADD out '{"code": 142, "msg": "the first error"}'
	stub_set three ADD exit 1
	stub_set two DEL out '{"code": 5, "msg": "another error"}'
	stub_set two DEL exit 1
	cni ADD
	assert_code 142
	assert_msg 'the first error'
	assert_order one-ADD two-ADD three-ADD three-DEL two-DEL one-DEL
	# What could not be undone stays in the record, for the next DEL.
	assert_equal "$(node_exec jq -r '.[].Name' "$RECORD")" net-two
	stub_reset two
	cni DEL
	assert_ok
	assert_equal "$(stub_calls two)" "DEL"
	node_exec test ! -e "$RECORD"
}

@test "a delegate's ADD may print nothing useful: then it is undone, and the error shows what came [check 62]" {
	local out
	stubs one two
	for out in '' 'Segmentation fault (core dumped)' '[]' '"text"' '{"cniVersion": "0.4.0"} {}' '{"cniVersion": "7.0.0"}' \
		'{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "nonsense"}]}' '{"cniVersion": "0.4.0", "interfaces": {}}' \
		'{"cniVersion": 4}'; do
		stub_reset two
		noting_stub one
		stub_set two ADD out "$out"
		snapshot
		cni ADD
		assert_code 6
		assert_msg 'plugin type="two".*invalid result'
		assert_unchanged
		assert_equal "$(stub_calls two)/$(stub_calls one)" "ADD DEL/ADD DEL"
	done
}

@test "what a panicking delegate wrote to stderr is in the error [check 63]" {
	stubs one
	stub_set one ADD out ''
	stub_set one ADD err $'panic: runtime error: index out of range [1] with length 1\n\ngoroutine 1 [running]:\nmain.main()'
	stub_set one ADD exit 2
	refused 999 'netplugin failed: "panic: runtime error: index out of range .*goroutine 1 .*: exit status 2'
	assert_order one-ADD one-DEL
	stub_set one ADD err ''
	refused 999 'netplugin failed with no error message: exit status 2'
	stub_set one ADD out 'not JSON at all'
	refused 999 'netplugin failed but error parsing its diagnostic message "not JSON at all"'
}

@test "a delegate that is killed by a signal has failed, and is undone [check 67]" {
	local signal
	for signal in KILL SEGV TERM; do
		stubs one two
		stub_set two ADD signal "$signal"
		refused 999 'plugin type="two" killed by signal [0-9]+'
		assert_order one-ADD two-ADD two-DEL one-DEL
		: >"$ORDER"
	done
}

@test "a delegate that hangs is killed at its deadline with all that it started, and undone" {
	stubs one two
	conf_edit '.timeout = 2'
	stub_set two ADD run "echo two-ADD >>$ORDER; sleep 4711 & (sleep 4712 & exec sleep 4713) & sleep 4714"
	refused 11 'plugin type="two" did not answer within .* was killed'
	assert_equal "$(processes 'sleep 471')" ""
	assert_order one-ADD two-ADD two-DEL one-DEL
}

@test "a delegate whose child holds its output open does not hold us up" {
	stubs one
	stub_set one ADD run 'sleep 4721 &'
	cni ADD
	assert_ok
	node_exec pkill -f 'sleep 4721'
}

@test "a default network that hangs takes net1 with it at its deadline" {
	stubs one
	conf_edit '.timeout = 2 | .delegates[1] = $net1' --argjson net1 "$(seed_conf '.delegates[1]')"
	stub_set one ADD run 'trap "" TERM INT HUP; sleep 4731'
	refused 11 'plugin type="one" did not answer within'
	assert_equal "$(processes 'sleep 473')" ""
	assert_equal "$(stub_calls one)" "ADD DEL"
}

@test "a delegate that prints without end is killed, and undone" {
	stubs one two
	local stream
	for stream in '' '>&2'; do
		stub_set two ADD run "echo two-ADD >>$ORDER; head -c 1000000000 /dev/zero $stream; sleep 4741"
		refused 5 'plugin type="two".*more than 4 MiB'
		assert_equal "$(processes 'sleep 474')" ""
		assert_order one-ADD two-ADD two-DEL one-DEL
		: >"$ORDER"
	done
}

@test "DEL goes on past a failing delegate, keeps that one, and a second DEL finishes [check 41]" {
	stubs one two three
	cni ADD
	assert_ok
	stub_set three DEL out '{"code": 142, "msg": "not yet"}'
	stub_set three DEL exit 1
	stub_set one DEL out '{"code": 143, "msg": "not that either"}'
	stub_set one DEL exit 1
	: >"$ORDER"
	cni DEL
	assert_code 142
	assert_msg 'not yet'
	assert_order three-DEL two-DEL one-DEL
	assert_equal "$(node_exec jq -r '.[].Name' "$RECORD" | tr '\n' ' ')" "net-one net-three "
	assert_equal "$(node_exec ls /var/lib/cni/multus/results | grep -c "$CID")" 2
	noting_stub one
	noting_stub three
	: >"$ORDER"
	cni DEL
	assert_ok
	assert_order three-DEL one-DEL
	node_exec test ! -e "$RECORD"
	assert_equal "$(node_exec ls /var/lib/cni/multus/results | grep -c "$CID")" 0
}

@test "a delegate whose record says no type does not disturb the DEL of an older one" {
	stubs one two
	cni ADD
	assert_ok
	stub_set one DEL run "echo one-begins >>$ORDER; sleep 0.3; echo one-DEL >>$ORDER"
	node_exec sh -c 'jq -c "(.[] | select(.Name == \"net-two\")).Bytes = ({name: \"net-two\"} | tojson | @base64)" "$1" >"$1.new" &&
		mv "$1.new" "$1"' sh "$RECORD"
	: >"$ORDER"
	cni DEL
	assert_code 7
	assert_msg 'type'
	assert_order one-begins one-DEL
	node_exec rm "$RECORD"
}

@test "a failing delegate does not keep net1 and its address from being given back [check 41]" {
	stubs one
	conf_edit '.delegates[1] = $net1' --argjson net1 "$(seed_conf '.delegates[1]')"
	cni ADD
	assert_ok
	stub_set one DEL exit 1
	cni DEL
	assert_code 999
	refute_link net1
	assert_equal "$(pod_rules)" ""
	assert_equal "$(lamina ip ls --json | jq 'map(select(.kind != "kept")) | length')" 0
	assert_equal "$(node_exec jq -r '.[].Name' "$RECORD")" net-one
	stub_reset one
	cni DEL
	assert_ok
}

@test "a default network whose DEL hangs does not keep net1, nor the address that another IPAM gave it" {
	stubs one
	conf_edit '.delegates[1] = ($net1 | .ipam = {type: "host-local", subnet: "10.188.0.0/16", rangeStart: "10.188.0.77", rangeEnd: "10.188.0.77"})' \
		--argjson net1 "$(seed_conf '.delegates[1]')"
	cni ADD
	assert_ok
	node_exec test -e /var/lib/cni/networks/k8snet2/10.188.0.77
	stub_set one DEL run 'sleep 4751'
	cni_start DEL
	timeout 20 bash -c "while kill -0 $CNI_PID && nsenter --target $NODE_PID --mount test -e /var/lib/cni/networks/k8snet2/10.188.0.77; do sleep 0.1; done"
	refute_link net1
	node_exec test ! -e /var/lib/cni/networks/k8snet2/10.188.0.77
	assert_equal "$(processes 'sleep 4751' | wc -l)" 1
	node_exec pkill -f 'sleep 4751'
	cni_wait
	assert_ok
	node_exec test ! -e "$RECORD"
	stub_reset one
}
