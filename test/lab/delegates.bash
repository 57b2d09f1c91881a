# Stubs as delegates of a pod, for the files about programs that lamina runs. To be sourced after cni.bash.
# What is set here is used in the tests; single quotes are for jq.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# Where the next dynamic address is looked for, and which were released of late.
SNAPSHOT_IGNORE='INTO (cursor|released) '

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
	ORDER=$BATS_TEST_TMPDIR/order
	: >"$ORDER"
	new_pod "p$BATS_TEST_NUMBER"
	RECORD=/var/lib/cni/multus/$CID
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	cni DEL
	pod_down "p$BATS_TEST_NUMBER"
}

# A fresh stub that also notes in $ORDER when it was called for what.
noting_stub()
{
	local verb
	stub "$1"
	stub_reset "$1"
	for verb in ADD DEL CHECK; do
		stub_set "$1" "$verb" run "echo $1-$verb >>$ORDER"
	done
}

# stubs NAME ...: the pod's networks are these stubs, and nothing else.
stubs()
{
	local name
	for name in "$@"; do
		noting_stub "$name"
	done
	CONF=$(jq '.delegates = [$ARGS.positional[] | {name: "net-\(.)", type: ., cniVersion: "0.4.0"}]' --args "$@" <<<"$CONF")
}

assert_order()
{
	assert_equal "$(tr '\n' ' ' <"$ORDER" | sed 's/ $//')" "$*"
}

# assert_env STUB N NAME=VALUE ...: what the stub's N-th call found in its environment.
assert_env()
{
	local line
	for line in "${@:3}"; do
		stub_env "$1" "$2" | grep -qFx "$line" || fail "$1's call $2 has no $line" "$(stub_env "$1" "$2")"
	done
}

# refused CODE [REGEX]: an ADD fails so and leaves no trace.
refused()
{
	snapshot
	cni ADD
	assert_code "$1"
	[[ -z ${2:-} ]] || assert_msg "$2"
	assert_unchanged
}

# Processes in the node that have the text in their command line.
processes()
{
	node_exec pgrep -f -- "$1" || true
}
