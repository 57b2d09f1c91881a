#!/usr/bin/env bats
# A pod must end: DEL succeeds whatever is the matter with etcd or with what is needed to reach it, and nothing is lost by that.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

SSL=/etc/kubernetes/ssl

setup_file()
{
	setup_cluster 1 3.5
	proxy_up etcd 192.168.122.11:3379 192.168.122.11:2379
	etcd_certs
}

teardown_file()
{
	teardown_cluster
}

setup()
{
	# net1 alone, as eth0 of the pod, and the runtime hands over the annotations.
	CONF=$(cluster_conf '.delegates = [.delegates[1]] | del(.delegates[0].ipam.kubeConfig)
		| .capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations kube-ipam.ip 10.188.0.218
	proxy_reset
	new_pod p1
	pod_args default db-0 uid-1
}

teardown()
{
	calm
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni/multus /var/lib/cni/lease'
	etcd_ctl del --prefix /etcd-cni >/dev/null
}

by_proxy()
{
	jq '(.delegates[0] // .).ipam.etcdConfig.etcdURL = "https://192.168.122.11:3379"' <<<"$CONF"
}

held()
{
	etcd_dump | jq -c '[keys[] | select(test("/(used|attachment)/"))]'
}

queued()
{
	node_exec sh -c 'ls /var/lib/cni/multus/outbox 2>/dev/null | wc -l'
}

place()
{
	node_exec sh -c 'cat >"$1"' sh "$SSL/$2" <"$ETCD_DIR/certs/$1"
}

# What may go wrong while a pod runs.
trouble()
{
	case $1 in
	no-quorum) etcd_kill 2 && etcd_kill 3 ;;
	silent) etcd_stop 1 && etcd_stop 2 && etcd_stop 3 ;;
	wrong-authority) place other-ca.pem k8s-root-ca.pem ;;
	no-authority) node_exec rm $SSL/k8s-root-ca.pem ;;
	no-key) node_exec rm $SSL/kubernetes-key.pem ;;
	other-key) place other-ca-key.pem kubernetes-key.pem ;;
	expired-certificate) place client-expired.pem kubernetes.pem && place client-expired-key.pem kubernetes-key.pem ;;
	empty-certificate) node_exec sh -c ": >$SSL/kubernetes.pem" ;;
	*) proxy_set fault "$1" ;;
	esac
}

calm()
{
	local n
	proxy_reset
	for n in 1 2 3; do
		if [[ -e $ETCD_DIR/$n.pid ]]; then
			etcd_cont $n
		else
			ETCD_WAIT=0 etcd_start $n
		fi
	done
	etcd_await 1 2 3
	etcd_place_certs
}

# Usage: ends_in_trouble TROUBLE [TIMEOUT], with CONF and the pod's interface. DEL has half of the key timeout: not all of them need to wait
# for long.
ends_in_trouble()
{
	local began
	echo "trouble: $1"
	cni ADD
	assert_ok
	trouble "$1"
	conf_edit ".timeout = ${2:-2}"
	began=$SECONDS
	cni DEL
	((SECONDS - began <= 30)) || fail "DEL took $((SECONDS - began)) s"
	assert_ok
	refute_link eth0
	assert_equal "$(queued)" 1
	conf_edit 'del(.timeout)'
	calm
	# The next call, whosever it is.
	CID=other ARGS='' cni DEL
	assert_ok
	assert_equal "$(queued) $(held)" '0 []'
}

@test "DEL succeeds with members that are dead or silent" {
	ends_in_trouble no-quorum 60
	ends_in_trouble silent 60
	ends_in_trouble silent
}

@test "DEL succeeds with files that are gone, broken or another's meanwhile" {
	local trouble
	for trouble in wrong-authority no-authority no-key other-key expired-certificate empty-certificate; do
		ends_in_trouble "$trouble"
	done
}

@test "DEL succeeds when something else answers in etcd's place" {
	local trouble
	CONF=$(by_proxy)
	for trouble in html half-json huge 'status 401' 'status 404' 'status 500' mute; do
		ends_in_trouble "$trouble"
	done
}

@test "as kube-ipam DEL succeeds, too, and goes by its record when the configuration is another one by now" {
	local began conf edit
	PLUGIN=kube-ipam
	CONF=$(jq '.delegates[0] + {cniVersion: "1.0.0", capabilities, runtimeConfig}' <<<"$CONF")
	conf=$CONF
	cni ADD
	assert_ok
	trouble no-quorum
	began=$SECONDS
	cni DEL
	((SECONDS - began <= 30)) || fail "DEL took $((SECONDS - began)) s"
	assert_ok
	assert_equal "$(queued)" 1
	calm
	CID=other cni DEL
	assert_ok
	assert_equal "$(queued) $(held)" '0 []'
	for edit in 'del(.ipam.etcdConfig)' '.ipam.etcdConfig.etcdURL = "https://192.168.122.99:2379"' '.ipam.etcdConfig.etcdURL = "nowhere"' \
		'.ipam.etcdConfig = 5'; do
		echo "$edit"
		CONF=$conf
		cni ADD
		assert_ok
		CONF=$(jq "$edit" <<<"$conf")
		cni DEL
		assert_ok
		assert_equal "$(queued) $(held)" '0 []'
	done
	# Nothing is recorded: such an ADD was refused.
	cni DEL
	assert_ok
}

@test "what is queued is sent behind the answer: the pod does not wait for it" {
	CONF=$(by_proxy)
	cni ADD
	assert_ok
	trouble 'status 503'
	cni DEL
	assert_ok
	assert_equal "$(queued)" 1

	proxy_reset
	proxy_set match 'delete_range'
	proxy_set times 1
	proxy_set fault 'delay 1'
	new_pod p2
	pod_args default web-1 uid-2
	annotations
	cni_start ADD
	cluster_until release_is_asked_for
	jq -e '.ips[0].address' "$CNI_FILES.out"
	assert_equal "$(queued)" 1
	cni_wait
	assert_ok
	assert_equal "$(queued)" 0
	assert_equal "$(held | jq length)" 2
}

release_is_asked_for()
{
	(($(proxy_count delete_range) > 0))
}

@test "a queued release that cannot be sent now costs the next call no error" {
	CONF=$(by_proxy)
	cni ADD
	assert_ok
	trouble 'status 503'
	cni DEL
	assert_ok
	proxy_reset
	proxy_set match 'delete_range'
	proxy_set fault hang
	new_pod p2
	pod_args default web-1 uid-2
	annotations
	cni ADD
	assert_ok
	assert_equal "$(queued)" 1
	proxy_reset
	cni DEL
	assert_ok
	assert_equal "$(queued) $(held)" '0 []'
}
