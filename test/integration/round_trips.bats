#!/usr/bin/env bats
# How often kube-ipam asks etcd, counted by a proxy. LAMINA_PROOF_CASES=N dynamic ADDs (default: 400).
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: release
# Alone
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../proof/proof

setup_file()
{
	setup_cluster 1
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
}

teardown_file()
{
	proxy_down
	teardown_cluster
}

teardown()
{
	proxy_reset
	etcd_ctl del --prefix /etcd-cni >/dev/null
	node_exec sh -c 'ip -all netns del; rm -rf "$1"' sh "$PROOF_DIR"
	sanitizer_quiet
}

# Usage: trips FILTER fixed|dynamic|full [--cases N]. The filter changes the configuration. Keeps what trips.py prints.
trips()
{
	proof_conf ".etcd = .ipam.etcdConfig.etcdURL | .ipam.etcdConfig.etcdURL = \"https://192.168.122.11:3379\" | $1" >"$NODE_DIR/trips.json"
	proof_run trips.py --conf "$NODE_DIR/trips.json" --log "$PROXY/log" "${@:2}" >"$BATS_TEST_TMPDIR/trips"
	sed 's/^/# /' "$BATS_TEST_TMPDIR/trips" >&3
	echo >&3
}

assert_trips()
{
	jq -e "$1" "$BATS_TEST_TMPDIR/trips" >/dev/null || fail "not so: $1" "$(cat "$BATS_TEST_TMPDIR/trips")"
}

@test "an ADD of fixed addresses asks etcd once, and a DEL once" {
	trips . fixed --cases 5
	assert_trips '."fixed ADD" == {"1": 1} and ."fixed ADD of a kept address" == {"1": 5} and ."ADD of two fixed addresses" == {"1": 1}
		and .DEL == {"1": 6} and ."DEL of two addresses" == {"1": 1}'
}

@test "an ADD of a dynamic address asks etcd once in 97 of 100 cases when four of five addresses are taken" {
	# What the node itself has released just now, it gives last; here that would soon be all that is free.
	trips '.ipam.rangeEnd = "10.188.1.253" | .reuseDelay = 0' dynamic --cases "${LAMINA_PROOF_CASES:-400}"
	assert_trips '(.DEL | keys) == ["1"] and (."dynamic ADD" | .["1"] >= 0.97 * ([.[]] | add))'
}

@test "that no address of the seed's range is free takes at most 5 questions, and the last free one is found in 3" {
	trips . full --cases 10
	assert_trips '(."ADD when none is free" | [keys[] | tonumber] | max <= 5) and (."ADD when one is free" | [keys[] | tonumber] | max <= 3)'
}

@test "that no address of a range of 65000 is free takes at most 5 questions, and the last free one is found in 6" {
	trips '.ipam.rangeEnd = "10.188.255.254"' full --cases 2
	assert_trips '(."ADD when none is free" | [keys[] | tonumber] | max <= 5) and (."ADD when one is free" | [keys[] | tonumber] | max <= 6)'
}
