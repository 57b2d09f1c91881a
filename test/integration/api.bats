#!/usr/bin/env bats
# The pod's annotations by the API server, a real one: which address a pod gets when the runtime does not hand them over, and that it
# gets none when they cannot be known.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

setup_file()
{
	setup_node
	kube_up
	kube_place lamina
	# In front of the API server, for what the real one does not do on demand.
	export PROXY_ADDRESS=192.168.122.11:6443
	proxy_up api "$PROXY_ADDRESS" 192.168.122.10:6443 --cert "$KUBE_DIR/certs/server.pem" --key "$KUBE_DIR/certs/server-key.pem" \
		--server-ca "$KUBE_DIR/certs/ca.pem"
}

teardown_file()
{
	teardown_node
}

# Puts a user's kubeconfig where the seed looks for it. Usage: kube_place USER [SERVER]
kube_place()
{
	kube_kubeconfig "$1" | sed "s|192.168.122.10:6443|${2:-192.168.122.10:6443}|" |
		node_exec sh -c 'mkdir -p /etc/kubernetes/ssl && cat >/etc/kubernetes/ssl/kube.kubeconfig'
}

setup()
{
	# The seed's file but for etcd: addresses are kept on the node here.
	CONF=$(cluster_conf 'del(.delegates[1].ipam.etcdConfig)')
	proxy_reset
	kube_place lamina
	new_pod p1
	UID1=$(kube_put_pod default db-0 '.metadata.annotations = {"kube-ipam.ip": "10.188.0.218", "kube-ipam.netmask": "255.255.0.0",
		"kube-ipam.gateway": "10.188.0.1"}')
	pod_args default db-0 "$UID1"
}

teardown()
{
	proxy_reset
	cni DEL
	pod_down p1
	kube_api DELETE '/api/v1/namespaces/default/pods/db-0?gracePeriodSeconds=0' >/dev/null || true
	node_exec rm -rf /run/lamina /var/lib/cni/multus
}

fixed()
{
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
}

@test "the annotations of the API server's pod decide, without a capability" {
	fixed
	assert_json '.ips | length == 1'
	conf_edit '.cniVersion = "0.4.0" | .prevResult = ($it | .cniVersion = "0.4.0")' --argjson it "$output"
	cni CHECK
	assert_ok
	lamina ip ls --json | jq -e '.[] | select(.address == "10.188.0.218") | .pod == "db-0" and .kind == "fixed"'
}

@test "what the runtime hands over comes first, and the API server is not asked" {
	kube_place lamina "$PROXY_ADDRESS"
	annotations kube-ipam.ip 10.188.0.219
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.219/16
	assert_equal "$(proxy_count)" 0
}

@test "an ADD asks once" {
	kube_place lamina "$PROXY_ADDRESS"
	fixed
	assert_equal "$(proxy_count)" 1
	assert_equal "$(proxy_count '^GET /api/v1/namespaces/default/pods/db-0')" 1
}

@test "no cache has the last word on a pod without UID, or of before it was bound to a node" {
	kube_place lamina "$PROXY_ADDRESS"
	pod_args default db-0 ""
	fixed
	assert_equal "$(proxy_count) $(proxy_count resourceVersion)" "1 0"
	cni DEL
	kube_delete_pod default db-0
	proxy_reset
	UID1=$(kube_put_pod default db-0 'del(.spec.nodeName) | .metadata.annotations["kube-ipam.ip"] = "10.188.0.218"')
	pod_args default db-0 "$UID1"
	fixed
	assert_equal "$(proxy_count) $(proxy_count resourceVersion)" "2 1"
}

@test "a pod without annotations gets a dynamic address" {
	kube_annotate default db-0 kube-ipam.ip
	kube_annotate default db-0 kube-ipam.netmask
	kube_annotate default db-0 kube-ipam.gateway
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.10/16
}

@test "a bad annotation takes the default network back and says what is wrong" {
	kube_annotate default db-0 kube-ipam.ip 10.99.0.1
	warm_up
	snapshot
	cni ADD
	assert_code 7
	assert_msg 'kube-ipam.ip is 10.99.0.1: no network of this node has a subnet that holds it'
	assert_unchanged
}

@test "a pod that the API server does not know waits" {
	kube_delete_pod default db-0
	cni ADD
	assert_code 11
	assert_msg 'annotations of pod default/db-0: the API server does not know the pod'
}

@test "a pod that is written late is found" {
	local uid
	kube_delete_pod default db-0
	cni_start ADD
	uid=$(kube_put_pod default db-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"')
	cni_wait
	# Another pod than the one that was asked for, though.
	assert_code 11
	assert_msg "has UID $uid, not $UID1"
	pod_args default db-0 "$uid"
	fixed
}

@test "a static pod whose mirror is written while ADD asks for it gets its address" {
	local uid=0123456789abcdef0123456789abcdef
	kube_place lamina "$PROXY_ADDRESS"
	kube_delete_pod default db-0
	pod_args default db-0 "$uid"
	cni_start ADD
	# A cache's, and the last word.
	proxy_await 2 answer
	kube_put_pod default db-0 '.metadata.annotations = {"kube-ipam.ip": "10.188.0.218", "kubernetes.io/config.mirror": "'"$uid"'"}'
	cni_wait
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	jq -s -e '[.[] | select(.event == "answer").status] | .[:2] == [404, 404] and index(200) > 1' "$PROXY/log" || fail "$(proxy_log)"
}

@test "an annotation that changes later changes nothing of a pod that runs" {
	fixed
	kube_annotate default db-0 kube-ipam.ip 10.188.0.219
	cni DEL
	assert_ok
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.219/16
}

@test "a mirror of a static pod is known by the kubelet's UID" {
	kube_delete_pod default db-0
	kube_put_pod default db-0 '.metadata.annotations = {"kube-ipam.ip": "10.188.0.218",
		"kubernetes.io/config.mirror": "0123456789abcdef0123456789abcdef"}'
	pod_args default db-0 0123456789abcdef0123456789abcdef
	fixed
	cni DEL
	pod_args default db-0 11111111111111111111111111111111
	cni ADD
	assert_code 11
}

@test "an API server that is away, and comes back" {
	kube_stop
	conf_edit '.timeout = 6'
	cni ADD
	assert_code 11
	assert_msg '192.168.122.10:6443'
	kube_cont
	conf_edit 'del(.timeout)'
	fixed
}

@test "failures that pass are waited out: 429, 500, lost connections, slow answers" {
	local fault
	kube_place lamina "$PROXY_ADDRESS"
	for fault in 'status 429 1' 'status 500' cut-before cut-after cut-half 'delay 1'; do
		proxy_set fault "$fault"
		proxy_set times 1
		fixed
		cni DEL
		assert_ok
		proxy_reset
	done
}

@test "an answer that is none is no answer: nothing becomes a random address" {
	local fault
	kube_place lamina "$PROXY_ADDRESS"
	conf_edit '.timeout = 5'
	for fault in html garbage half-json huge 'status 401' 'status 403' 'status 404' 'status 410' 'status 500' hang; do
		proxy_set fault "$fault"
		cni ADD
		assert_code 11
		assert_equal "$(lamina ip ls --json)" '[]'
	done
}

@test "who may not read pods is told which right is missing" {
	kube_place nobody
	cni ADD
	assert_code 11
	assert_msg 'pods "db-0" is forbidden: .*cannot get resource "pods"'
}

@test "a wrong authority is an error of the configuration" {
	certs_odd "$KUBE_DIR/certs"
	kube_kubeconfig lamina | sed "s|certificate-authority-data: .*|certificate-authority-data: $(base64 -w0 "$KUBE_DIR/certs/other-ca.pem")|" |
		node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	cni ADD
	assert_code 7
	assert_msg 'certificate'
}

@test "a kubeconfig that is not there, or cannot be used, is an error of the configuration" {
	node_exec rm /etc/kubernetes/ssl/kube.kubeconfig
	cni ADD
	assert_code 7
	assert_msg '/etc/kubernetes/ssl/kube.kubeconfig'
	kube_kubeconfig lamina | sed 's|^    token: .*|    exec: {command: aws}|' | node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig'
	cni ADD
	assert_code 7
	assert_msg 'exec'
}

@test "the plugin's own kubeconfig serves" {
	conf_edit 'del(.delegates[1].ipam.kubeConfig) | .kubeconfig = "/etc/kubernetes/ssl/kube.kubeconfig"'
	fixed
}

@test "the node is called what the API server calls it, from then on" {
	kube_delete_pod default db-0
	UID1=$(kube_put_pod default db-0 '.spec.nodeName = "rack-7.example" | .metadata.annotations["kube-ipam.ip"] = "10.188.0.218"')
	pod_args default db-0 "$UID1"
	fixed
	lamina ip ls --json | jq -e '.[0].node == "rack-7.example"'
	cni DEL
	# A container that is no pod: nobody is asked now.
	ARGS=
	cni ADD
	assert_ok
	lamina ip ls --json | jq -e '.[] | select(.kind == "dynamic") | .node == "rack-7.example"'
}

@test "a pod without UID, which may be on another node by now, names no node" {
	kube_delete_pod default db-0
	kube_put_pod default db-0 '.spec.nodeName = "node-2" | .metadata.annotations["kube-ipam.ip"] = "10.188.0.218"'
	ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=db-0"
	fixed
	lamina ip ls --json | jq -e --arg host "$(node_exec hostname)" '.[0].node == $host'
	node_exec test ! -e /var/lib/cni/multus/node
}

# bats test_tags=fault
@test "killed while the API server is asked, and DEL leaves nothing" {
	warm_up
	snapshot
	cni ADD LAMINA_FAULT=learned:kill
	cni DEL
	assert_ok
	assert_unchanged
}

@test "as the plugin kube-ipam, too" {
	PLUGIN=kube-ipam
	CONF=$(jq '.delegates[1] + {cniVersion: "1.0.0"}' <<<"$CONF")
	cni ADD
	assert_ok
	assert_json '.ips[0].address == "10.188.0.218/16"'
	cni DEL
	assert_ok
}
