#!/usr/bin/env bats
# What lamina may do in an etcd that has users: readwrite on the keys that begin with /etcd-cni/ is enough for all of it, and whatever is
# less is said to be. The administrator's commands are README's.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq and for shells inside of the node.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

# A log-in leaves its token, and a member that does not answer well is noted.
SNAPSHOT_IGNORE='/etcd-(token|endpoint)-'
SSL=/etc/kubernetes/ssl
USED=/etcd-cni/networks/k8snet2/used

setup_file()
{
	setup_cluster 1 3.5 --rbac
	setup_kube
	kube_put_node node-2
	etcd_certs
	node_exec install -m 644 "$ETCD_DIR/certs/client-no-cn.pem" $SSL/etcd.pem
	node_exec install -m 600 "$ETCD_DIR/certs/client-no-cn-key.pem" $SSL/etcd-key.pem
	node_exec sh -c 'umask 077; echo secret >/etc/kubernetes/ssl/password'
	kube_kubeconfig operator | node_exec sh -c 'umask 077; cat >/etc/kubernetes/ssl/operator.kubeconfig'
	follow_readme
	user reader --prefix=true read /etcd-cni/
	user writer --prefix=true write /etcd-cni/
	user short --prefix=true readwrite /etcd-cni/networks/
	user single readwrite /etcd-cni/
	user nothing
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
	as lamina
	new_pod p1
	pod_args default db-0 uid-1
}

teardown()
{
	local n name
	for n in 1 2 3; do
		[[ -e $ETCD_DIR/$n.pid ]] || ETCD_WAIT=0 etcd_start $n
	done
	etcd_await 1 2 3
	for name in $(kube_api GET /api/v1/namespaces/default/pods | jq -r '.items[].metadata.name'); do
		kube_delete_pod default "$name"
	done
	kube_untaint node-2
	kube_renew_lease node-2
	etcd_ctl del --prefix /etcd-cni >/dev/null
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni /etc/cni/net.d/05-*'
}

# The user and the role of the lab are made again, as README says.
follow_readme()
{
	local line
	local -a lines words
	etcd_ctl user delete lamina
	etcd_ctl role delete lamina
	mapfile -t lines < <(sed -n 's/^    etcdctl \([^#]*\).*/\1/p' "$LAB_DIR/../../README.md")
	((${#lines[@]} == 4)) || fail "README has other commands" "${lines[@]}" || return
	for line in "${lines[@]}"; do
		read -ra words <<<"$line"
		# It asks for the password.
		[[ ${words[*]} != "user add lamina" ]] || words[2]=lamina:secret
		etcd_ctl "${words[@]}" || return
	done
}

# user NAME [RIGHT ...]: one with a role of his own.
user()
{
	etcd_ctl role add "$1"
	(($# == 1)) || etcd_ctl role grant-permission "$1" "${@:2}"
	etcd_ctl user add "$1:secret"
	etcd_ctl user grant-role "$1" "$1"
}

# as USER: net1 alone, as eth0 of the pod, with the address that ADDRESS says (none: dynamic); and the same for `lamina ip`.
as()
{
	CONF=$(cluster_conf '.delegates = [.delegates[1]] | .capabilities = {"io.kubernetes.cri.pod-annotations": true} |
		.nodeName = "node-1"')
	conf_edit '.delegates[0].ipam.etcdConfig |= (.etcdCertFile = $ssl + "/etcd.pem" | .etcdKeyFile = $ssl + "/etcd-key.pem"
		| .etcdUsername = $user | .etcdPasswordFile = $ssl + "/password")' --arg ssl $SSL --arg user "$1"
	node_conf - 05-lamina.conf <<<"$CONF"
	annotations ${ADDRESS:+kube-ipam.ip "$ADDRESS"}
}

person()
{
	run --separate-stderr lamina "$@"
	printf '%s\n' "--- lamina $*: $status" "$output" "--- stderr" "$stderr"
}

# add NAME [ADDRESS [UID]]: a pod that runs.
add()
{
	new_pod "$1"
	pod_args default "$1" "${3:-uid-$1}"
	annotations ${2:+kube-ipam.ip "$2"}
	cni ADD
	assert_ok
}

# The error of a user who may do less: cause and way out.
assert_refused()
{
	assert_code 7
	assert_msg "etcd does not permit it to user $1: .*permission denied.*readwrite.*etcdctl role grant-permission ROLE --prefix=true readwrite /etcd-cni/"
}

person_refused()
{
	[[ $status == 1 && $stderr == *"etcd does not permit it to user $1"*"etcdctl role grant-permission ROLE --prefix=true readwrite /etcd-cni/"* ]]
}

@test "README's role is enough for a pod's whole life, with a fixed and with a dynamic address" {
	local address
	conf_edit '.cniVersion = "1.1.0"'
	for address in 10.188.0.218 ''; do
		add db-0 "$address"
		conf_edit '.prevResult = $result' --argjson result "$output"
		cni CHECK
		assert_ok
		conf_edit 'del(.prevResult)'
		cni STATUS
		assert_ok
		conf_edit '."cni.dev/valid-attachments" = []'
		cni GC
		assert_ok
		conf_edit 'del(."cni.dev/valid-attachments")'
		refute_link eth0
		pod_down db-0
		assert_equal "$(etcd_ctl get --prefix --keys-only "$USED")" ''
		add db-0 "$address"
		cni DEL
		assert_ok
		assert_equal "$(etcd_ctl get --prefix --keys-only "$USED")" ''
		pod_down db-0
	done
}

@test "README's role is enough for a range that is nearly used up, which is read before it is claimed from" {
	local n
	conf_edit '.delegates[0].ipam.rangeEnd = "10.188.0.60"'
	{
		echo
		for ((n = 11; n <= 60; n++)); do
			echo "put $USED/10.188.0.$n of-another"
		done
		printf '\n\n'
	} | etcd_ctl txn >/dev/null
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.10/16
}

@test "README's role is enough for takeover, and for who is refused one" {
	local uid
	uid=$(kube_put_pod default db-0)
	add db-0 10.188.0.218 "$uid"
	# Only the API knows whether the pod is gone: this one's records would tell of a pod of this node.
	conf_edit '.nodeName = "node-2"'
	new_pod p2
	pod_args default db-1 uid-2
	cni ADD
	assert_code 11
	assert_msg 'held by default/db-0'
	pod_down db-0
	kube_delete_pod default db-0
	cni ADD
	assert_ok
	assert_equal "$(etcd_ctl get --print-value-only "$USED/10.188.0.218" | jq -r .uid)" uid-2
}

@test "README's role is enough for a release that was queued" {
	add db-0 10.188.0.218
	etcd_kill 2
	etcd_kill 3
	cni DEL
	assert_ok
	refute_link eth0
	etcd_start 2
	etcd_start 3
	etcd_await 1 2 3
	person gc
	assert_equal "$status" 0
	assert_equal "$(etcd_ctl get --prefix --keys-only "$USED")" ''
}

@test "README's role is enough for lamina ip: ls, show, reserve, release, export, gc" {
	local address
	add web-1
	address=$(pod_addrs eth0)
	add db-0 10.188.0.218
	person ip ls --json
	jq -e 'map(.pod) | sort == ["db-0", "web-1"]' <<<"$output"
	person ip show 10.188.0.218
	assert_equal "$status" 0
	person ip reserve 10.188.0.219 --for default/db-9
	assert_equal "$status" 0
	person ip release 10.188.0.219
	assert_equal "$status" 0
	person ip export
	assert_equal "$status" 0
	[[ $output == *"exported ${address%/*} "* ]]
	conf_edit '.nodeName = "node-2"'
	add gone 10.188.0.220
	kube_renew_lease node-2 300
	kube_taint node-2 node.kubernetes.io/out-of-service
	person ip gc --kubeconfig $SSL/operator.kubeconfig
	assert_equal "$status" 0
	[[ $output == *"freed 10.188.0.220 "* ]]
	person gc
	assert_equal "$status" 0
}

@test "README's role is enough to import, from a node's files and from the API server" {
	local conf
	pod_up old1
	etcd_ctl put "$USED/10.188.0.20" old1
	conf=$(jq '.delegates[0] | .cniVersion = "0.3.1"' <<<"$CONF" | base64 -w0)
	jq -n '{kind: "cniCacheV1", containerId: "old1", config: $conf, ifName: "net1", networkName: "k8snet2", netns: "/run/netns/old1",
		cniArgs: [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", "web-1"], ["K8S_POD_UID", "uid-9"]],
		result: {cniVersion: "0.3.1", interfaces: [{name: "net1"}],
			ips: [{version: "4", interface: 0, address: "10.188.0.20/16", gateway: "10.188.0.1"}]}}' --arg conf "$conf" |
		node_exec sh -c 'mkdir -p /var/lib/cni/multus/results && cat >/var/lib/cni/multus/results/k8snet2-old1-net1'
	person ip import
	assert_equal "$status" 0
	[[ $output == "imported 10.188.0.20 "* ]]
	kube_put_pod default db-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.217"'
	person ip import --from-api --kubeconfig $SSL/operator.kubeconfig
	assert_equal "$status" 0
	[[ $output == "imported 10.188.0.217 "* ]]
}

@test "who may only read under /etcd-cni/ lists, and is told what he cannot do" {
	add db-0 10.188.0.218
	as reader
	person ip ls --json
	jq -e 'map(.address) == ["10.188.0.218"]' <<<"$output"
	person ip reserve 10.188.0.219 --note printer
	person_refused reader
	new_pod p2
	pod_args default db-1 uid-2
	snapshot
	for address in 10.188.0.219 ''; do
		annotations ${address:+kube-ipam.ip "$address"}
		cni ADD
		assert_refused reader
		assert_unchanged
	done
}

@test "who may only write, has too short a prefix, one key in place of a prefix, or no right at all is told what he needs" {
	local who
	snapshot
	for who in writer short single nothing; do
		for ADDRESS in 10.188.0.218 ''; do
			as "$who"
			cni ADD
			assert_refused "$who"
			assert_unchanged
		done
		person ip reserve 10.188.0.219 --note printer
		person_refused "$who"
	done
	for who in writer single nothing; do
		as "$who"
		person ip ls
		person_refused "$who"
	done
}

# Etcd 3.5.21 looks at nothing that a transaction has inside of another one: it may carry out the release all the same.
@test "a role that is taken away while a pod runs: its DEL works, and when the role is back nothing of it is left" {
	add db-0 10.188.0.218
	etcd_ctl user revoke-role lamina lamina
	cni DEL
	assert_ok
	refute_link eth0
	new_pod p2
	pod_args default db-1 uid-2
	cni ADD
	assert_refused lamina
	etcd_ctl user grant-role lamina lamina
	person gc
	assert_equal "$status" 0
	assert_equal "$(etcd_ctl get --prefix --keys-only "$USED")" ''
}
