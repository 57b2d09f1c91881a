#!/usr/bin/env bats
# No address ever has two owners: kube-ipam called at random by many processes, with everything killed that can be.
#
# LAMINA_PROOF_SECONDS=N (default: 60, with a sanitizer 45) and LAMINA_PROOF_OPERATIONS=N (100000), whichever is over first.
# test/soak.sh is the long one. What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: gcc release
# Alone
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/etcd.sh
load ../lab/kube.sh
load ../proof/proof

setup_file()
{
	setup_node
	etcd_up
}

teardown_file()
{
	kube_down
	etcd_down
	teardown_node
}

setup()
{
	CONF_FILE=$NODE_DIR/conf.json
	proof_conf >"$CONF_FILE"
	SECONDS_LEFT=${LAMINA_PROOF_SECONDS:-60}
	[[ -n ${LAMINA_PROOF_SECONDS:-} || -z $LAB_SANITIZED ]] || SECONDS_LEFT=45
}

teardown()
{
	node_exec sh -c 'ip -all netns del; rm -rf "$1" /run/careless' sh "$PROOF_DIR"
	sanitizer_quiet
}

# Usage: owner [options]. Its last lines, which say what was done, are shown.
owner()
{
	proof_run owner.py --conf "$CONF_FILE" --seconds "$SECONDS_LEFT" --operations "${LAMINA_PROOF_OPERATIONS:-100000}" "$@" \
		>"$BATS_TEST_TMPDIR/said" || fail "$(cat "$BATS_TEST_TMPDIR/said")"
	tail -n 2 "$BATS_TEST_TMPDIR/said" | sed 's/^/# /' >&3
}

@test "no address has two owners, and none is lost, while plugins, workers and members are killed at random" {
	nemesis_start
	owner
	nemesis_end | sed 's/^/# /' >&3
}

@test "no address has two owners while the API server says who is gone, and the cluster's gc runs all the time" {
	kube_up
	# One configuration for the plugins and for the cluster's gc, which lists pods.
	kube_kubeconfig operator | node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	proof_conf 'del(.capabilities) | .ipam.kubeConfig = "/etc/kubernetes/ssl/kube.kubeconfig"' >"$CONF_FILE"
	jq -n --arg url "$KUBE_URL" --arg ca "$KUBE_DIR/certs/ca.pem" '{url: $url, ca: $ca, token: "admin-token"}' >"$NODE_DIR/kube.json"
	((SECONDS_LEFT < 30)) || SECONDS_LEFT=30
	owner --kube "$NODE_DIR/kube.json" --workers 16 --addresses 32 --collect 0.05
	kube_down
}

@test "no address has two owners on one node without etcd" {
	proof_conf 'del(.ipam.etcdConfig)' >"$CONF_FILE"
	((SECONDS_LEFT < 15)) || SECONDS_LEFT=15
	owner --nodes 1
}

@test "what gives an address to two is noticed" {
	node_exec install -D -m 755 "$PROOF_FOLDER/careless.sh" /opt/careless/kube-ipam
	run -1 proof_run owner.py --conf "$CONF_FILE" --seconds 60 --plugin /opt/careless/kube-ipam
	[[ $output =~ ' was given to '.*' has it'|' is kept for '.*', and was given to ' ]]
}
