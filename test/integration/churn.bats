#!/usr/bin/env bats
# Many pods at a time, and a storm of pods whose lamina is killed at random moments.
#
# LAMINA_STORM=N lives in the storm (default: 1000), LAMINA_STORM_JOBS=N of them at a time (4), LAMINA_STORM_SEED=N to repeat one.
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
	CONF=$(seed_conf '.cniVersion = "0.4.0" | .delegates[].cniVersion = "0.4.0" | .delegates[1].ipam.rangeEnd = "10.188.1.200"')
}

teardown()
{
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni'
}

# Usage: crowd add|check|del|storm COUNT JOBS
crowd()
{
	local -a options=()
	[[ -z $LAB_SANITIZED ]] || options=(ASAN_OPTIONS="$LAB_SANITIZED" UBSAN_OPTIONS="$LAB_SANITIZED")
	node_exec env "${options[@]}" python3 "$LAB_DIR/crowd.py" "$@" "$NODE_DIR" <<<"$CONF"
	sanitizer_quiet
}

# One process makes all namespaces: pod-0 to pod-(N - 1).
pods_up()
{
	node_exec sh -c 'n=0; while [ $n -lt $1 ]; do echo "netns add pod-$n"; n=$((n + 1)); done | ip -batch -
		n=0; while [ $n -lt $1 ]; do ip -n pod-$n link set lo up; n=$((n + 1)); done' sh "$1"
}

# What each pod's own kernel says: its addresses on eth0 and net1, and the interfaces of its default routes, one pod a line.
pods_addresses()
{
	local number
	node_exec sh -c 'n=0; while [ $n -lt $1 ]; do ip -n pod-$n -j -4 addr show; ip -n pod-$n -j route show default; n=$((n + 1)); done' sh "$1" |
		jq -rn '[inputs] | [range(0; length; 2) as $i | {addr: .[$i], route: .[$i + 1]}] | to_entries[]
			| ["pod-\(.key)", (.value.addr | sort_by(.ifname)[] | select(.ifname != "lo") | .ifname, (.addr_info | map(.local) | join(","))),
				(.value.route | map(.dev) | join(","))] | join(" ")'
}

# Each has an eth0 and a net1 with an address of its own, which the store says is its own, and one default route.
assert_all_correct()
{
	local count=$1
	pods_addresses "$count" >"$BATS_TEST_TMPDIR/seen"
	assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/seen")" "$count"
	run ! grep -vE '^pod-[0-9]+ eth0 10\.244\.1\.[0-9]+ net1 10\.188\.[0-9]+\.[0-9]+ eth0$' "$BATS_TEST_TMPDIR/seen"
	assert_equal "$(cut -d ' ' -f 3 "$BATS_TEST_TMPDIR/seen" | sort -u | wc -l)" "$count"
	assert_equal "$(cut -d ' ' -f 5 "$BATS_TEST_TMPDIR/seen" | sort -u | wc -l)" "$count"
	assert_equal "$(lamina ip ls --json | jq -r '.[] | "\(.container) \(.address)"' | sort)" \
		"$(cut -d ' ' -f 1,5 "$BATS_TEST_TMPDIR/seen" | sort)"
	assert_equal "$(awk '{ n = substr($1, 5); if (n % 5 == 0 && $5 != "10.188.200." n + 1) print }' "$BATS_TEST_TMPDIR/seen")" ''
	crowd check "$count" 4
}

# What is kept for the namespace of the fixed addresses stays, and nothing else.
assert_nothing_left()
{
	SNAPSHOT_IGNORE='INTO hold ' assert_unchanged
}

take_snapshot()
{
	SNAPSHOT_IGNORE='INTO hold ' snapshot
}

@test "50 ADDs at once in 50 namespaces all succeed and do not mix anything up [check 81]" {
	pods_up 50
	take_snapshot
	crowd add 50 50
	assert_all_correct 50
	crowd del 50 50
	assert_nothing_left
}

@test "50 ADDs at once without a store yet, nor the folders, all succeed" {
	pods_up 50
	node_exec rm -rf /run/lamina /var/lib/cni/multus
	take_snapshot
	crowd add 50 50
	assert_all_correct 50
	crowd del 50 50
	assert_nothing_left
}

@test "200 pods, 20 at a time: each is correct, none has what another has, and nothing is left" {
	pods_up 200
	take_snapshot
	crowd add 200 20
	assert_all_correct 200
	crowd del 200 20
	assert_nothing_left
}

@test "a storm of pods whose lamina is killed at random moments leaves nothing, now and five seconds later [check 82]" {
	local jobs=${LAMINA_STORM_JOBS:-4} end
	pods_up "$jobs"
	take_snapshot
	crowd storm "${LAMINA_STORM:-1000}" "$jobs"
	end=$((SECONDS + 5))
	while ((SECONDS <= end)); do
		assert_nothing_left
	done
	run ! node_exec pgrep -f '/opt/cni/bin/|flannel'
}
