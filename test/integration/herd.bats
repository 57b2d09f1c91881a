#!/usr/bin/env bats
# Many nodes claim at once. What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: release
# Alone
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/etcd.sh
load ../proof/proof

setup_file()
{
	setup_node
	etcd_up
}

teardown_file()
{
	etcd_down
	teardown_node
}

setup()
{
	CONF_FILE=$NODE_DIR/conf.json
	proof_conf >"$CONF_FILE"
}

teardown()
{
	etcd_ctl del --prefix /etcd-cni >/dev/null
	node_exec sh -c 'ip -all netns del; rm -rf "$1"' sh "$PROOF_DIR"
	sanitizer_quiet
}

# Usage: herd [options]. What it measured is shown.
herd()
{
	proof_run herd.py --conf "$CONF_FILE" "$@" >"$BATS_TEST_TMPDIR/said" || fail "$(cat "$BATS_TEST_TMPDIR/said")"
	sed 's/^/# /' "$BATS_TEST_TMPDIR/said" >&3
}

@test "1000 pods of 200 nodes at once get the 1000 addresses that there are, one each, and there is not one more" {
	herd --processes 200 --pods 1000
}

@test "150 pods, 20 at a time, get one address each" {
	herd --processes 20 --pods 150 --addresses 191
}

# Whether etcd has more than that many addresses in use.
claimed()
{
	(($(etcd_dump | jq '[keys[] | select(test("/used/"))] | length') > $1))
}

@test "the leader is killed in the middle of 200 claims: each pod gets one address, in the end" {
	local leader pid end=$((SECONDS + 30))
	leader=$(etcd_leader)
	herd --processes 20 --pods 200 &
	pid=$!
	until claimed 40; do
		((SECONDS < end))
	done
	etcd_kill "$leader"
	wait $pid
	etcd_start "$leader"
}

@test "as many pods as there are addresses come and go, again and again" {
	herd --processes 20 --pods 64 --rounds 5
}

@test "1000 pods of one node at once get one address each without etcd" {
	proof_conf 'del(.ipam.etcdConfig)' >"$CONF_FILE"
	herd --processes 200 --pods 1000
}
