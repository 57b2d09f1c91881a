#!/usr/bin/env bats
# The client of the Kubernetes API against a real API server: what a page of JSON in a unit test only claims.
# What setup and kube.sh set is used in tests and the other way round; single quotes are for jq.
# Builds: gcc
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/kube.sh

setup_file()
{
	setup_node
	kube_up
	for user in admin lamina operator nobody; do
		kube_kubeconfig "$user" >"$NODE_DIR/$user"
	done
	kube_put_node node-2
}

teardown_file()
{
	kube_down
	teardown_node
}

# ask WORD ...: the probe, on the node, with USER's kubeconfig.
ask()
{
	local probe
	probe=$(realpath "${KUBE_PROBE:-$(dirname "${LAMINA:-$LAB_DIR/../../build/lamina}")/test/probe/kube_probe}")
	status=0
	output=$(node_exec "$probe" "$NODE_DIR/${USER_NAME:-lamina}" "${MILLISECONDS:-15000}" "$@") || status=$?
	echo "$output"
	# More is a crash, or a sanitizer's report.
	((status <= 1))
}

says()
{
	jq -se "${@:2}" "$1" <<<"$output" >/dev/null || fail "not so: $1" "$output"
}

@test "a pod is read with its annotations, node and UID" {
	uid=$(kube_put_pod default web-1 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218" | .spec.nodeName = "node-2"')
	ask pod default web-1
	says '.[0] == {found: true, namespace: "default", name: "web-1", uid: $uid, node: "node-2", phase: "Running", terminating: false,
		annotations: {"kube-ipam.ip": "10.188.0.218"}}' --arg uid "$uid"
}

@test "a pod that ends is seen to end, and then to be gone" {
	kube_put_pod default web-2
	kube_terminate_pod default web-2
	ask pod default web-2
	says '.[0].terminating and .[0].found'
	kube_delete_pod default web-2
	ask pod default web-2
	assert_equal "$status" 0
	says '.[0].found == false'
	ask pod no-such-namespace web-2
	says '.[0].found == false'
}

@test "a static pod has the UID that its kubelet knows" {
	kube_put_pod kube-system static-1 '.metadata.annotations["kubernetes.io/config.mirror"] = "abc"'
	ask pod kube-system static-1
	says '.[0].uid == "abc"'
}

@test "a node is alive while it renews its lease" {
	ask node node-2
	says '.[0] == {found: true, outOfService: false, alive: true}'
	kube_renew_lease node-2 300
	ask node node-2
	says '.[0] == {found: true, outOfService: false, alive: false}'
	kube_taint node-2 node.kubernetes.io/out-of-service
	ask node node-2
	says '.[0].outOfService'
	ask node node-9
	says '.[0] == {found: false, outOfService: false, alive: false}'
}

@test "pods are listed, all of them or a node's" {
	kube_put_pod default here-1
	kube_put_pod default there-1 '.spec.nodeName = "node-3"'
	USER_NAME=operator ask pods
	says 'map(.name) | contains(["here-1", "there-1"])'
	USER_NAME=operator ask pods node-3
	says 'map(.name) == ["there-1"]'
}

@test "a network is read with its configuration and resource" {
	ask nad default net1
	says '.[0].code == 11 and (.[0].msg | contains("install the CustomResourceDefinition network-attachment-definitions.k8s.cni.cncf.io"))'
	kube_nad_crd
	ask nad default net1
	says '.[0].found == false'
	ask nad no-such-namespace net1
	says '.[0].found == false'
	kube_put_nad default net1 '{"type": "sriov", "n": 12345678901234567890}' intel.com/sriov
	ask nad default net1
	says '.[0] == {found: true, namespace: "default", name: "net1", config: $config, resource: "intel.com/sriov"}' \
		--arg config '{"type": "sriov", "n": 12345678901234567890}'
	kube_put_nad default net1 ''
	ask nad default net1
	says '.[0] == {found: true, namespace: "default", name: "net1", config: ""}'
	kube_delete_nad default net1
	ask nad default net1
	says '.[0].found == false'
	USER_NAME=operator ask nad default net1
	says '.[0].msg | contains("cannot get resource \"network-attachment-definitions\" in API group \"k8s.cni.cncf.io\"")'
}

@test "a missing right and a wrong token are said in the server's words" {
	USER_NAME=nobody ask pod default web-1
	assert_equal "$status" 1
	says '.[0].code == 11 and (.[0].msg | contains("User \"nobody\" cannot get resource \"pods\"") and contains("right to get pods"))'
	USER_NAME=nobody ask node node-2
	says '.[0].msg | contains("cannot get resource \"nodes\"")'
	USER_NAME=nobody ask pods
	says '.[0].msg | contains("cannot list resource \"pods\"")'
	sed 's/lamina-token/no-such-token/' "$NODE_DIR/lamina" >"$NODE_DIR/unknown"
	USER_NAME=unknown ask pod default web-1
	says '.[0].code == 11 and (.[0].msg | contains("HTTP 401: Unauthorized"))'
	[[ $output != *no-such-token* ]]
}

@test "a silent or restarted API server is waited for, until the deadline" {
	kube_stop
	MILLISECONDS=1500 ask pod default web-1
	kube_cont
	assert_equal "$status" 1
	says '.[0].code == 11 and (.[0].msg | contains("given up after"))'
	kube_kill
	MILLISECONDS=300 ask pod default web-1
	says '.[0].code == 11 and (.[0].msg | contains("https://192.168.122.10:6443"))'
	# An administrator: for a moment after its start the server knows nobody else's rights.
	(USER_NAME=admin MILLISECONDS=60000 ask pod default web-1 >"$NODE_DIR/answer") 3>&- &
	kube_start
	wait $!
	output=$(<"$NODE_DIR/answer")
	says '.[0].found'
}
