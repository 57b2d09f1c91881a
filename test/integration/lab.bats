#!/usr/bin/env bats
# The lab itself: what tests of the cluster rely on is there and does what it is told to.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: gcc
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

RANGE=10.188.0.0/16,10.188.0.10,10.188.0.12,10.188.0.10

setup_file()
{
	setup_cluster 2
}

teardown_file()
{
	teardown_cluster
}

teardown()
{
	at 1
	proxy_down
	etcd_ctl del --prefix / >/dev/null
}

# curl_etcd CERTIFICATE ADDRESS: with a client's certificate of ETCD_DIR/certs, or without any.
curl_etcd()
{
	local -a cert=()
	[[ -z $1 ]] || cert=(--cert "$ETCD_DIR/certs/$1.pem" --key "$ETCD_DIR/certs/$1-key.pem")
	node_exec curl -sS --max-time 5 --cacert "$ETCD_DIR/certs/ca.pem" "${cert[@]}" -d '{"key": "Lw=="}' "https://$2/v3/kv/range"
}

# A key's value is put by way of the proxy.
put_by_proxy()
{
	node_exec curl -sS --max-time 20 --cacert "$ETCD_DIR/certs/ca.pem" --cert "$ETCD_DIR/certs/client.pem" \
		--key "$ETCD_DIR/certs/client-key.pem" -d "{\"key\": \"$(printf %s "$1" | base64)\", \"value\": \"$(printf %s "$2" | base64)\"}" \
		https://192.168.122.11:3379/v3/kv/put "${@:3}"
}

@test "a question that nothing comes to be asked is not answered with yes" {
	run ! jq -e '.x' < <(false)
	run ! jq -se '.[]' </dev/null
	run -0 jq -e '.x' <<<'{"x": 1}'
	assert_equal "$output" 1
	run -1 jq -re '.x' <<<'{"x": false}'
	assert_equal "$output" false
	# Others may be about nothing.
	run -0 jq -r '.x' </dev/null
	run -0 jq -rn '$ARGS.positional[0]' --args -- -e
	assert_equal "$output" -e
}

@test "two nodes on one switch have hosts' names, files and networks of their own" {
	assert_equal "$(on 1 node_exec hostname) $(on 2 node_exec hostname)" "node-1 node-2"
	on 2 node_exec ping -q -c 1 -W 2 192.168.122.11
	on 2 node_exec touch /etc/cni/only-here /run/only-here
	run ! node_exec ls /etc/cni/only-here
	run ! node_exec ls /run/only-here
	node_exec cmp /etc/cni/net.d/10-multus.conf "$LAB_DIR/seed/10-multus.conf"
	on 2 node_exec cmp /etc/cni/net.d/10-multus.conf "$LAB_DIR/seed/10-multus.conf"
	assert_equal "$(cluster_current)" 1
}

@test "three members are healthy, and all nodes reach them with the seed's certificates" {
	etcd_await 1 2 3
	assert_equal "$(etcd_ctl member list | wc -l)" 3
	for address in 192.168.122.11 192.168.122.12 192.168.122.13; do
		on 2 node_exec curl -sS --fail --cacert /etc/kubernetes/ssl/k8s-root-ca.pem --cert /etc/kubernetes/ssl/kubernetes.pem \
			--key /etc/kubernetes/ssl/kubernetes-key.pem "https://$address:2379/health"
	done
}

@test "TLS refuses a client without a certificate, with one of another authority, and with an expired one" {
	etcd_certs
	curl_etcd client 192.168.122.12:2379
	for name in '' client-other client-expired; do
		run ! curl_etcd "$name" 192.168.122.12:2379
	done
	curl_etcd client-rsa 192.168.122.12:2379
	curl_etcd client-no-cn 192.168.122.12:2379
}

@test "a member that was killed comes back with its data, and its like go on meanwhile" {
	local leader
	leader=$(etcd_leader)
	etcd_ctl put /etcd-cni/a before
	etcd_kill "$leader"
	etcd_leader
	etcd_ctl put /etcd-cni/b meanwhile
	etcd_start "$leader"
	assert_equal "$(etcd_ctl_at "$leader" get --print-value-only --prefix /etcd-cni/ | paste -sd ' ')" "before meanwhile"
}

@test "a member that is stopped accepts connections and does not answer until it goes on" {
	etcd_stop 2
	run -28 node_exec curl -sS --max-time 0.5 --cacert "$ETCD_DIR/certs/ca.pem" https://192.168.122.12:2379/health
	etcd_cont 2
	etcd_await 2
}

@test "what a killed shell leaves of a node and its etcd is nothing" {
	local pid
	bash -euo pipefail -c 'unset CLUSTER_NODES; source "$1/node.sh"; source "$1/etcd.sh"; node_up; etcd_up 3.5 --members 1
		etcd_runs 1; echo "$NODE_PID" >"$2.new"; mv "$2.new" "$2"; sleep 600' bash "$LAB_DIR" "$BATS_TEST_TMPDIR/pid" 3>&- &
	cluster_until test -e "$BATS_TEST_TMPDIR/pid"
	pid=$(<"$BATS_TEST_TMPDIR/pid")
	# The first process of a process namespace is gone only after all others are.
	[[ -e /proc/$pid ]]
	kill -KILL $!
	cluster_until test ! -e "/proc/$pid"
}

@test "the proxy passes requests on by one connection, and counts them" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	put_by_proxy k v --next -sS --cacert "$ETCD_DIR/certs/ca.pem" --cert "$ETCD_DIR/certs/client.pem" \
		--key "$ETCD_DIR/certs/client-key.pem" -d '{"success": [{"requestPut": {"key": "aw=="}}]}' \
		https://192.168.122.11:3379/v3/kv/txn
	assert_equal "$(proxy_count) $(proxy_count /v3/kv/put) $(proxy_count 'txn put$') $(proxy_events connect)" "2 1 1 1"
	assert_equal "$(proxy_log | jq -c 'select(.event == "answer") | .status' | paste -sd ' ')" "200 200"
	run ! curl_etcd '' 192.168.122.11:3379
	proxy_await 1 tls-error
}

@test "the proxy drops every reply once, and the request has been done" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	proxy_set fault cut-after-once
	run -52 put_by_proxy k v
	assert_equal "$(etcd_ctl get --print-value-only k)" v
	put_by_proxy k v
	run -52 put_by_proxy k w
	put_by_proxy k w
	proxy_reset
	put_by_proxy k x
	assert_equal "$(proxy_count)" 1
}

@test "the proxy holds a request back and delivers it when it is told to" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	proxy_set times 1
	proxy_set fault hold
	run -52 put_by_proxy k old
	proxy_await 1 held
	put_by_proxy k new
	assert_equal "$(etcd_ctl get --print-value-only k)" new
	proxy_deliver
	assert_equal "$(etcd_ctl get --print-value-only k)" old
}

@test "the proxy delivers a request once more" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	proxy_set fault replay
	put_by_proxy k v
	etcd_ctl del k
	proxy_deliver
	assert_equal "$(etcd_ctl get --print-value-only k)" v
}

@test "the proxy answers what it is told to, so often as it is told to, to what it is told to" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	proxy_set match /v3/kv/put
	proxy_set times 1
	for code in 401 403 404 410 429 500; do
		proxy_set fault "status $code 3"
		run -0 put_by_proxy k v -o /dev/null -w '%{http_code} %header{retry-after}'
		assert_equal "$output" "$code 3"
		curl_etcd client 192.168.122.11:3379
	done
	put_by_proxy k v
	proxy_set times 9
	proxy_set fault html
	put_by_proxy k v | grep -i '<html>'
	proxy_set fault half-json
	run ! jq . <(put_by_proxy k v)
	proxy_set fault garbage
	assert_equal "$(put_by_proxy k v | wc -c)" 1024
	proxy_set fault huge
	assert_equal "$(put_by_proxy k v | wc -c)" 100000000
	proxy_set fault cut-half
	run -18 put_by_proxy k v
	proxy_set fault cut-before
	run -52 put_by_proxy k never
	assert_equal "$(etcd_ctl get --print-value-only k)" v
}

@test "the proxy delays, and keeps silent, with and without TLS" {
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	proxy_set fault 'delay 5'
	run -28 put_by_proxy k v --max-time 0.5
	proxy_set fault 'delay-reply 5'
	run -28 put_by_proxy k v --max-time 0.5
	proxy_await 1 answer
	assert_equal "$(etcd_ctl get --print-value-only k)" v
	proxy_set fault hang
	run -28 put_by_proxy k v --max-time 0.5
	assert_equal "$(proxy_events connect)" 3
	proxy_set fault mute
	run -28 put_by_proxy k v --max-time 0.5
	assert_equal "$(proxy_events connect)" 3
}

@test "kube-ipam's requests leave the keys that kube-ipam leaves" {
	assert_equal "$(kube_ipam add k8snet2 cid-1 "$RANGE")" 10.188.0.11
	assert_equal "$(kube_ipam add k8snet2 cid-2 "$RANGE")" 10.188.0.12
	etcd_dump | jq -e '. == {
		"/etcd-cni/networks/k8snet2": "[[{\"rangeStart\":\"10.188.0.10\",\"rangeEnd\":\"10.188.0.12\",\"subnet\":\"10.188.0.0/16\",\"gateway\":\"10.188.0.10\"}]]",
		"/etcd-cni/networks/k8snet2/lastReserved/0": "10.188.0.12",
		"/etcd-cni/networks/k8snet2/used/10.188.0.11": "cid-1",
		"/etcd-cni/networks/k8snet2/used/10.188.0.12": "cid-2"
	}'
	run ! kube_ipam add k8snet2 cid-3 "$RANGE"
	kube_ipam del k8snet2 cid-1
	etcd_ctl get --print-value-only /etcd-cni/networks/k8snet2/used/10.188.0.12 | grep -qx cid-2
	etcd_dump | jq -e 'has("/etcd-cni/networks/k8snet2/used/10.188.0.11") or has("/etcd-cni/networks/k8snet2/lock") | not'
	assert_equal "$(kube_ipam add k8snet2 cid-3 "$RANGE")" 10.188.0.11
}

@test "kube-ipam's lock lies there while it is held" {
	kube_ipam lock k8snet2 60 >"$BATS_TEST_TMPDIR/lock" 3>&- &
	cluster_until grep -q locked "$BATS_TEST_TMPDIR/lock"
	etcd_dump | jq -e '.["/etcd-cni/networks/k8snet2/lock"] | test("^[0-9]+$")'
	kill "$(node_child $!)"
}

@test "the old programs leave a pod with its links, its files, and a key for a dynamic address only" {
	CONF=$(cluster_conf)
	new_pod database-1-0 cid-1
	pod_args default database-1-0 uid-1
	old_cni ADD 10.188.0.218/16
	((status == 0))
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	new_pod web-1 cid-2
	pod_args default web-1 uid-2
	old_cni ADD
	((status == 0))
	assert_equal "$(pod_addrs net1)" 10.188.0.10/16
	etcd_dump | jq -e 'with_entries(select(.key | test("/used/"))) == {"/etcd-cni/networks/k8snet2/used/10.188.0.10": "cid-2"}'
	# Without a version in the delegate's configuration it is the oldest form.
	node_exec cat /var/lib/cni/multus/results/k8snet2-cid-1-net1 | jq -e '.result.ip4.ip == "10.188.0.218/16"
		and .networkName == "k8snet2" and .ifName == "net1" and .containerId == "cid-1" and (.cniArgs | contains([["K8S_POD_NAME", "database-1-0"]]))'
	node_exec cat /var/lib/cni/multus/cid-1 | jq -e 'length == 2'
	old_cni DEL
	((status == 0))
	etcd_dump | jq -e 'keys | any(test("/used/")) | not'
	POD=database-1-0 CID=cid-1 old_cni DEL 10.188.0.218/16
	pod_down web-1
	pod_down database-1-0
}

@test "etcd runs out of room, gets some again, and forgets what is old" {
	etcd_down
	etcd_up 3.5 --quota 20000000
	etcd_fill
	run ! etcd_ctl put k v
	[[ $output == *"database space exceeded"* ]]
	etcd_ctl del k
	etcd_drain
	etcd_ctl put k v
	etcd_ctl put k w
	etcd_compact
	run ! etcd_ctl get --rev 2 k
}

@test "etcd has users, and then refuses a common name by its gateway" {
	etcd_down
	etcd_up 3.5 --rbac --members 1
	etcd_certs
	run curl_etcd client 192.168.122.11:2379
	[[ $output == *"CommonName of client sending a request against gateway will be ignored"* ]]
	node_exec curl -sS --fail --cacert "$ETCD_DIR/certs/ca.pem" --cert "$ETCD_DIR/certs/client-no-cn.pem" \
		--key "$ETCD_DIR/certs/client-no-cn-key.pem" -d '{"name": "lamina", "password": "secret"}' \
		https://192.168.122.11:2379/v3/auth/authenticate | jq -e '.token | length > 0'
}

@test "etcd has no gateway, or a certificate that the gateway cannot use" {
	etcd_down
	etcd_up 3.4 --no-gateway --members 1
	run curl_etcd client 192.168.122.11:2379
	[[ $output == "404 page not found" ]]
	etcd_down
	etcd_up 3.4 --cert server-only --members 1
	run curl_etcd client 192.168.122.11:2379
	jq -e '.code == 14' <<<"$output"
}

@test "the API server knows the nodes, and lamina's user reads what it needs" {
	setup_kube
	proxy_up_kube api 192.168.122.11:7443
	kube_put_pod default web-1 >/dev/null
	for path in api/v1/namespaces/default/pods/web-1 api/v1/nodes/node-2 \
		apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-2; do
		node_exec curl -sS --fail --cacert "$KUBE_DIR/certs/ca.pem" -H 'Authorization: Bearer lamina-token' \
			"https://192.168.122.11:7443/$path" | jq -e .metadata.name
	done
	assert_equal "$(proxy_count '^GET /api/v1/')" 2
	on 2 node_exec grep -q 'token: lamina-token' /etc/kubernetes/ssl/kube.kubeconfig
	kube_down
}
