#!/usr/bin/env bats
# lamina ip on etcd, with two nodes and a real API server: ls, show, release, reserve, gc, export.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

USED=/etcd-cni/networks/k8snet2/used
# Who may list pods; the node's own user may not.
OPERATOR=/etc/kubernetes/ssl/operator.kubeconfig

setup_file()
{
	local n
	setup_cluster 2
	kube_up
	for n in 1 2; do
		kube_kubeconfig lamina | on "$n" node_exec sh -c 'mkdir -p /etc/kubernetes/ssl; cat >/etc/kubernetes/ssl/kube.kubeconfig'
	done
	kube_kubeconfig operator | node_exec sh -c 'cat >"$1"' sh $OPERATOR
	kube_kubeconfig nobody | node_exec sh -c 'cat >/etc/kubernetes/ssl/nobody.kubeconfig'
	# Nobody to ask, nobody who answers, and another cluster on the same wire.
	cluster_conf 'del(.delegates[1].ipam.kubeConfig)' | node_exec sh -c 'cat >/run/no-api.conf'
	cluster_conf '.delegates[1].ipam.kubeConfig = "/etc/kubernetes/ssl/nobody.kubeconfig"' | node_exec sh -c 'cat >/run/nobody.conf'
	cluster_conf '.cluster = "other"' | node_exec sh -c 'cat >/run/other.conf'
}

teardown_file()
{
	at 1
	kube_down
	teardown_cluster
}

setup()
{
	at 1
	kube_put_node node-1
	kube_put_node node-2
}

teardown()
{
	local n name
	at 1
	for name in $(kube_api GET /api/v1/namespaces/default/pods | jq -r '.items[].metadata.name'); do
		kube_delete_pod default "$name"
	done
	kube_delete_node node-1 || true
	kube_delete_node node-2 || true
	etcd_ctl del --prefix /etcd-cni >/dev/null
	for n in 1 2; do
		on "$n" node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni'
	done
}

# Runs it and says what came of it: status, output, stderr.
person()
{
	run --separate-stderr lamina "$@"
}

# An ADD of net1 alone, as eth0, by a pod that the API server has. Usage: start NODE NAME [ADDRESS]
start()
{
	local uid
	uid=$(kube_put_pod default "$2" ".spec.nodeName = \"node-$1\"")
	# The node's own name, not one that is guessed from its host's.
	CONF=$(cluster_conf ".delegates = [.delegates[1]] | .nodeName = \"node-$1\"")
	annotations ${3:+kube-ipam.ip "$3"}
	at "$1"
	new_pod "$2"
	pod_args default "$2" "$uid"
	cni ADD
	at 1
	assert_ok
}

# Makes a pod's node one that is off.
silence()
{
	kube_renew_lease "$1" 300
}

# What etcd has under a key; empty: nothing.
value_of()
{
	etcd_ctl get --print-value-only "$1"
}

@test "ip ls and show have every node's addresses, and kube-ipam's and unknown ones beside them" {
	start 1 web-1
	start 2 database-1-0 10.188.0.217
	etcd_ctl put "$USED/10.188.1.50" 0123456789abcdef
	etcd_ctl put "$USED/10.188.1.51" $'what?\e[31m'
	etcd_ctl put /etcd-cni/networks/k8snet2/fixed/10.188.1.52 db
	person ip ls
	assert_equal "$status/$stderr" 0/
	assert_equal "$(tail -n +2 <<<"$output" | sed -E 's/ +/ /g; s/[0-9]+s$/AGE/; s/[0-9.]+ dynamic/DYNAMIC dynamic/' | sort)" "$(
		cat <<-'END' | sort
			k8snet2 DYNAMIC dynamic default/web-1 node-1 web-1 eth0 AGE
			k8snet2 10.188.1.50 kube-ipam - - 0123456789abc - -
			k8snet2 10.188.1.51 unknown - - - - -
			k8snet2 10.188.1.52 kept (kept for db) - - - -
			k8snet2 10.188.0.217 fixed default/database-1-0 node-2 database-1-0 eth0 AGE
		END
	)" || fail "$output"
	on 2 person ip show 10.188.0.217 --json
	assert_equal "$status" 0
	jq -e '.[0] | .kind == "fixed" and .node == "node-2" and .pod == "database-1-0" and .keptFor == "default"' <<<"$output"
	person ip show 10.188.1.50 --json
	jq -e '. == [{network: "k8snet2", address: "10.188.1.50", kind: "kube-ipam", container: "0123456789abcdef"}]' <<<"$output"
	person ip show 10.188.0.99
	assert_equal "$status/$output" 3/
}

@test "two networks of one cluster are listed once" {
	cluster_conf '.delegates += [.delegates[1] | .name = "k8snet3"]' | node_exec sh -c 'cat >/run/two.conf'
	start 1 web-1
	person ip ls --conf /run/two.conf --json
	assert_equal "$status/$(jq length <<<"$output")" 0/1
	person ip ls --conf /run/two.conf --network k8snet3 --json
	assert_equal "$status/$output" '0/[]'
}

@test "ip release is refused while the pod lives, and done once it is gone or has finished" {
	start 2 database-1-0 10.188.0.217
	start 2 job-1 10.188.0.218
	person ip release 10.188.0.217
	assert_equal "$status/$output" 4/
	[[ $stderr == "lamina: 10.188.0.217 is held by default/database-1-0 on node node-2"*"which lives: delete the pod, or use --force" ]]
	kube_delete_pod default database-1-0
	person ip release 10.188.0.217
	assert_equal "$status/$output" "0/released 10.188.0.217 of network k8snet2"
	kube_phase default job-1 Succeeded
	person ip release 10.188.0.218
	assert_equal "$status" 0
	assert_equal "$(lamina ip ls --json)" '[]'
	assert_equal "$(etcd_dump)" '{}'
}

@test "ip release is refused while the pod's node does not answer, until it is out of service" {
	start 2 database-1-0 10.188.0.217
	kube_delete_pod default database-1-0
	silence node-2
	person ip release 10.188.0.217
	assert_equal "$status/$output" 4/
	[[ $stderr == *"node-2 does not answer"*"node.kubernetes.io/out-of-service"* ]]
	kube_taint node-2 node.kubernetes.io/out-of-service
	person ip release 10.188.0.217
	assert_equal "$status" 0
}

@test "ip release of what nobody can judge is refused, unless forced, and then says what was overridden" {
	start 2 database-1-0 10.188.0.217
	etcd_ctl put "$USED/10.188.0.50" 0123456789abcdef
	person ip release 10.188.0.217 --conf /run/no-api.conf
	assert_equal "$status/$output" 4/
	[[ $stderr == *"no API server is configured"*--force* ]]
	person ip release 10.188.0.217 --conf /run/nobody.conf
	assert_equal "$status/$output" 4/
	person ip release 10.188.0.217 --conf /run/other.conf
	assert_equal "$status/$output" 4/
	[[ $stderr == *"a pod of another cluster"* ]]
	person ip release 10.188.0.50
	assert_equal "$status/$output" 4/
	[[ $stderr == *"names no pod that could be asked for"* ]]
	person ip release 10.188.0.50 --force
	assert_equal "$status/$output" \
		'0/released 10.188.0.50 of network k8snet2: by force from an unknown holder "0123456789abcdef", which names no pod that could be asked for'
	person ip release 10.188.0.217 --force
	[[ $status == 0 && $output == *"by force from default/database-1-0 on node node-2"*"which lives" ]]
	assert_equal "$(etcd_dump)" '{}'
}

@test "ip reserve keeps an address for a pod on whatever node, and refuses it to others" {
	person ip reserve 10.188.0.217 --for default/database-1-0
	assert_equal "$status/$output" "0/reserved 10.188.0.217 of network k8snet2: default/database-1-0"
	person ip reserve 10.188.0.217 --for default/database-1-0
	assert_equal "$status" 0
	on 2 person ip reserve 10.188.0.217 --for default/thief
	assert_equal "$status/$output" 4/
	at 2
	run ! start 2 thief 10.188.0.217
	at 1
	start 2 database-1-0 10.188.0.217
	lamina ip show 10.188.0.217 --json | jq -e '.[0] | .kind == "fixed" and .reservedFor == "default/database-1-0"'
	on 2 cni DEL
	assert_ok
	lamina ip show 10.188.0.217 --json | jq -e '.[0] | .kind == "reserved" and .reservedFor == "default/database-1-0"'
	lamina ip release 10.188.0.217
	assert_equal "$(etcd_dump)" '{}'
}

@test "ip reserve is refused while another pod has the address, and done once that is gone" {
	start 2 database-1-0 10.188.0.217
	person ip reserve 10.188.0.217 --for default/database-2-0
	assert_equal "$status/$output" 4/
	[[ $stderr == *"held by default/database-1-0 on node node-2"* ]]
	kube_delete_pod default database-1-0
	person ip reserve 10.188.0.217 --for default/database-2-0
	assert_equal "$status/$stderr" 0/
	lamina ip show 10.188.0.217 --json | jq -e '.[0] | .kind == "reserved" and .reservedFor == "default/database-2-0"'
}

@test "ip gc frees what pods left behind on nodes that are gone or out of service, and nothing else" {
	local dump
	start 1 alive 10.188.0.210
	start 1 here 10.188.0.211
	start 2 silent 10.188.0.212
	etcd_ctl put "$USED/10.188.0.50" 0123456789abcdef
	lamina ip reserve 10.188.0.60 --note printer
	kube_delete_pod default here
	kube_delete_pod default silent
	silence node-2
	dump=$(etcd_dump)
	person ip gc --kubeconfig $OPERATOR
	assert_equal "$status/$stderr" 0/
	assert_equal "$(sed -E 's/ for [0-9]+s//' <<<"$output")" "$(
		cat <<-'END'
			left 10.188.0.50 of network k8snet2: an unknown holder "0123456789abcdef"
			left 10.188.0.211 of network k8snet2: default/here on node node-1: its pod is gone: left to its node node-1, which lives
			left 10.188.0.212 of network k8snet2: default/silent on node node-2: its pod is gone, but its node node-2 does not answer and may still run it: if it is off, taint it node.kubernetes.io/out-of-service
		END
	)"
	assert_equal "$(etcd_dump)" "$dump"
	kube_taint node-2 node.kubernetes.io/out-of-service
	person ip gc --kubeconfig $OPERATOR --dry-run
	[[ $status == 0 && $output == *"freed 10.188.0.212 of network k8snet2: default/silent on node node-2"*": gone with its node"* ]]
	assert_equal "$(etcd_dump)" "$dump"
	person ip gc --kubeconfig $OPERATOR
	[[ $status == 0 && $output == *"freed 10.188.0.212"* ]]
	# What it is kept for stays.
	lamina ip show 10.188.0.212 --json | jq -e '. == [{network: "k8snet2", address: "10.188.0.212", kind: "kept", keptFor: "default"}]'
	assert_equal "$(etcd_dump | jq -r 'keys[] | select(test("/attachment/node-2/"))')" ''
	lamina ip ls --json | jq -e 'map(select(.kind == "fixed") | .pod) == ["alive", "here"]'
	person ip gc --kubeconfig $OPERATOR
	[[ $output != *10.188.0.212* ]]
}

@test "ip gc frees the addresses of a node whose Node is gone, unless its name was only a host's" {
	local value
	start 2 lost 10.188.0.212
	start 1 guessed 10.188.0.213
	value=$(value_of "$USED/10.188.0.213" | jq -c '.node = "host-9" | .nodeGuessed = true')
	etcd_ctl put "$USED/10.188.0.213" "$value"
	kube_delete_pod default lost
	kube_delete_pod default guessed
	kube_delete_node node-2
	person ip gc --kubeconfig $OPERATOR --json
	assert_equal "$status/$(jq -c 'map([.result, .address])' <<<"$output")" '0/[["freed","10.188.0.212"],["left","10.188.0.213"]]'
	kube_put_node node-2
}

@test "ip gc takes a pod of the same name with another UID for another pod, and a finished one for gone" {
	start 2 web-1 10.188.0.212
	start 2 job-1 10.188.0.213
	kube_delete_pod default web-1
	kube_put_pod default web-1
	kube_phase default job-1 Failed
	kube_taint node-2 node.kubernetes.io/out-of-service
	silence node-2
	person ip gc --kubeconfig $OPERATOR --json
	assert_equal "$status/$(jq -c 'map([.result, .address])' <<<"$output")" '0/[["freed","10.188.0.212"],["freed","10.188.0.213"]]'
}

@test "ip gc frees nothing when the API server refuses, is not configured, or is another cluster's" {
	local dump
	start 2 lost 10.188.0.212
	kube_delete_pod default lost
	kube_delete_node node-2
	dump=$(etcd_dump)
	person ip gc --conf /run/nobody.conf
	assert_equal "$status" 1
	[[ $stderr == *nobody*pods* ]] || fail "$stderr"
	person ip gc --conf /run/no-api.conf
	assert_equal "$status" 1
	[[ $stderr == *kubeConfig* ]]
	person ip gc --kubeconfig $OPERATOR --conf /run/other.conf
	assert_equal "$status" 0
	[[ $output == "left 10.188.0.212 "*"of another cluster" ]]
	assert_equal "$(etcd_dump)" "$dump"
	kube_put_node node-2
}

@test "ip gc leaves a pod alone that starts while it looks: addresses are read before pods" {
	local certs=$KUBE_DIR/certs job
	kube_taint node-2 node.kubernetes.io/out-of-service
	silence node-2
	proxy_up api 192.168.122.11:7443 192.168.122.10:6443 --cert "$certs/server.pem" --key "$certs/server-key.pem" --server-ca "$certs/ca.pem"
	kube_kubeconfig operator | sed 's|192.168.122.10:6443|192.168.122.11:7443|' | node_exec sh -c 'cat >/run/proxy.kubeconfig'
	cluster_conf '.delegates[1].ipam.kubeConfig = "/run/proxy.kubeconfig"' | node_exec sh -c 'cat >/run/proxy.conf'
	# What the API server says is of now, and arrives when the new pod is up.
	proxy_set match '/api/v1/pods'
	proxy_set fault 'delay-reply 3'
	lamina ip gc --conf /run/proxy.conf >"$BATS_TEST_TMPDIR/gc" 3>&- &
	job=$!
	proxy_await 1 answer
	start 2 new 10.188.0.212
	wait "$job"
	proxy_down api
	assert_equal "$(<"$BATS_TEST_TMPDIR/gc")" ''
	lamina ip show 10.188.0.212 --json | jq -e '.[0].pod == "new"'
}

@test "ip export gives this node's dynamic addresses back to kube-ipam, and nothing else" {
	local address
	start 1 web-1
	start 1 database-1-0 10.188.0.217
	start 2 web-2
	address=$(lamina ip ls --json | jq -r '.[] | select(.pod == "web-1").address')
	node_exec sh -c 'echo "{}" >/var/lib/cni/multus/imported'
	person ip export --dry-run
	[[ $status == 0 && $output == *"exported $address of network k8snet2"* ]]
	[[ $(value_of "$USED/$address") == "{"* ]]
	person ip export
	assert_equal "$status/$stderr" 0/
	assert_equal "$(sed -E 's/ for [0-9]+s//' <<<"$output" | sort)" "$(
		cat <<-END
			exported $address of network k8snet2: default/web-1 on node node-1
			left 10.188.0.217 of network k8snet2: default/database-1-0 on node node-1: fixed
		END
	)"
	assert_equal "$(value_of "$USED/$address")" web-1
	run ! node_exec test -e /var/lib/cni/multus/imported
	lamina ip ls --json | jq -e 'map(select(.kind == "dynamic") | .pod) == ["web-2"]'
	# kube-ipam's own DEL finds it.
	kube_ipam del k8snet2 web-1
	assert_equal "$(value_of "$USED/$address")" ''
}

@test "etcd that is away is exit status 1, naming it" {
	cluster_conf '.delegates[1].ipam.etcdConfig.etcdURL = "https://192.168.122.99:2379"' | node_exec sh -c 'cat >/run/away.conf'
	person ip ls --conf /run/away.conf
	assert_equal "$status/$output" 1/
	[[ $stderr == *192.168.122.99:2379* ]] || fail "$stderr"
}
