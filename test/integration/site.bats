#!/usr/bin/env bats
# What sites differ in: lamina's own keys beside the seed's file, ways to etcd, and kubeconfigs, all with the real servers.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

SSL=/etc/kubernetes/ssl

setup_file()
{
	setup_cluster 2 3.5
	setup_kube
	etcd_certs
	cert_make "$KUBE_DIR/certs" lamina usage=clientAuth
	# An address that is in no certificate.
	node_exec ip addr add 192.168.122.77/24 dev eth0
	proxy_up_kube api 192.168.122.77:6443
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
	CONF=$(cluster_conf)
	proxy_reset
	new_pod p1
	place_kubeconfig
}

teardown()
{
	at 1
	proxy_reset
	kube_delete_pod default db-0 || true
	etcd_ctl del --prefix /etcd-cni/ >/dev/null
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /run/elsewhere /var/lib/cni /etc/lamina'
	on 2 node_exec ip addr flush dev eth0 to 10.188.0.218
}

# The pod of the API server. Usage: pod [NODE]
pod()
{
	local uid
	uid=$(kube_put_pod default db-0 ".spec.nodeName = \"${1:-node-1}\" | .metadata.annotations[\"kube-ipam.ip\"] = \"10.188.0.218\"")
	pod_args default db-0 "$uid"
}

used()
{
	etcd_dump | jq -r '.["/etcd-cni/networks/k8snet2/used/10.188.0.218"] // "{}"'
}

# One life of the pod, which must work.
life()
{
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	cni DEL
	assert_ok
	refute_link net1
	assert_equal "$(used)" '{}'
}

# place_kubeconfig [SED]: lamina's, changed.
place_kubeconfig()
{
	kube_kubeconfig lamina | sed "${1:-}" | node_exec sh -c 'cat >"$1"' sh "$SSL/kube.kubeconfig"
}

place()
{
	node_exec sh -c 'umask 077 && cat >"$1"' sh "$SSL/$2" <"$1"
}

# Whether these keys hold, wherever they stand: probe, name of the node, cluster, domain, folder.
own_keys_hold()
{
	pod rack-7.example
	on 2 node_exec ip addr add 10.188.0.218/16 dev eth0
	cni ADD
	assert_code 11
	assert_msg 'address 10.188.0.218 is in use on the wire'
	on 2 node_exec ip addr del 10.188.0.218/16 dev eth0
	cni ADD
	assert_ok
	used | jq -e '.node == "rack-7.example" and .nodeGuessed == null and .cluster == "east"'
	etcd_dump | jq -e 'has("/etcd-cni/domain/wire-1/10.188.0.218") and has("/etcd-cni/networks/k8snet2/attachment/rack-7.example/p1.net1")'
	node_exec test -d /run/elsewhere
	run ! node_exec test -e /run/lamina
	cni DEL
	assert_ok
	assert_equal "$(used)" '{}'
}

OWN_KEYS='{"nodeName": "rack-7.example", "cluster": "east", "domain": "wire-1", "conflictProbe": "always", "dataDir": "/run/elsewhere",
	"reuseDelay": 0, "timeout": 50}'

@test "lamina's own keys in /etc/lamina/defaults.json hold with the seed's file byte for byte" {
	cmp <(printf '%s\n' "$CONF") "$LAB_DIR/seed/10-multus.conf"
	node_exec sh -c 'mkdir -p /etc/lamina && cat >/etc/lamina/defaults.json' <<<"$OWN_KEYS"
	own_keys_hold
}

@test "lamina's own keys in the plugin's configuration hold, and win over the defaults" {
	node_exec sh -c 'mkdir -p /etc/lamina && cat >/etc/lamina/defaults.json' <<'END'
{"nodeName": "other", "cluster": "west", "domain": "wire-2", "conflictProbe": "off", "dataDir": "/run/third", "reuseDelay": 9, "timeout": 3}
END
	CONF=$(jq --argjson own "$OWN_KEYS" '. + $own' <<<"$CONF")
	own_keys_hold
}

@test "a mistake in /etc/lamina/defaults.json is named with the file and the key, before anything is made" {
	local line
	pod
	while IFS='|' read -r line text; do
		node_exec sh -c 'mkdir -p /etc/lamina && cat >/etc/lamina/defaults.json' <<<"$line"
		cni ADD
		assert_code 7
		assert_msg "$text"
		refute_link net1
	done <<-'END'
		{|/etc/lamina/defaults.json
		{"timeout": "soon"}|/etc/lamina/defaults.json.*timeout
		{"conflictProbe": "sometimes"}|conflictProbe is "sometimes": it must be takeover, always or off
		{"domain": "a/b"}|domain is "a/b"
	END
}

@test "etcdTrustedCAFile may be spelt like that; two that differ are refused" {
	pod
	conf_edit '.delegates[1].ipam.etcdConfig |= (.etcdTrustedCAFile = .etcdTrustedCAFileFile | del(.etcdTrustedCAFileFile))'
	life
	conf_edit '.delegates[1].ipam.etcdConfig.etcdTrustedCAFileFile = "/etc/other.pem"'
	cni ADD
	assert_code 7
	assert_msg 'etcdTrustedCAFile is .* and etcdTrustedCAFileFile is /etc/other.pem: one of them must go'
}

@test "an endpoint of the list that does not exist gives way to the others, wherever it stands" {
	local edit
	pod
	for edit in '"https://192.168.122.99:2379," + .' '. + ",https://192.168.122.99:2379"' \
		'" https://192.168.122.99:2379 , https://192.168.122.13:2379/ "'; do
		CONF=$(cluster_conf ".delegates[1].ipam.etcdConfig.etcdURL |= ($edit)")
		life
		node_exec rm -rf /run/lamina
	done
}

@test "a kubeconfig may name its authority and the client's certificate by files, beside itself or anywhere" {
	pod
	place "$KUBE_DIR/certs/ca.pem" kube-ca.pem
	place "$KUBE_DIR/certs/lamina.pem" kube.pem
	place "$KUBE_DIR/certs/lamina-key.pem" kube-key.pem
	place_kubeconfig 's|certificate-authority-data: .*|certificate-authority: kube-ca.pem|
		s|^\( *\)token: .*|\1client-certificate: kube.pem\n\1client-key: /etc/kubernetes/ssl/kube-key.pem|'
	life
	node_exec rm $SSL/kube-key.pem
	cni ADD
	assert_code 7
	assert_msg 'kube-key.pem'
}

@test "a kubeconfig may have the client's certificate within itself" {
	pod
	place_kubeconfig "s|^\\( *\\)token: .*|\\1client-certificate-data: $(base64 -w0 "$KUBE_DIR/certs/lamina.pem")\\n\\1client-key-data: $(
		base64 -w0 "$KUBE_DIR/certs/lamina-key.pem")|"
	life
}

@test "a token that was renewed while it was being used is read again, once" {
	pod
	place <(echo lamina-token) token
	place_kubeconfig 's|token: .*|tokenFile: /etc/kubernetes/ssl/token|; s|192.168.122.10:6443|192.168.122.77:6443|
		s|^\( *\)server: .*|&\n\1tls-server-name: kubernetes|'
	life
	proxy_reset
	place <(echo yesterdays-token) token
	proxy_set fault 'delay 1'
	proxy_set times 1
	cni_start ADD
	proxy_await 1 request
	place <(echo lamina-token) token
	cni_wait
	assert_ok
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	assert_equal "$(proxy_count 'GET /api/v1/namespaces/default/pods/db-0')" 2
	cni DEL
	assert_ok

	proxy_reset
	place <(echo yesterdays-token) token
	cni ADD
	assert_code 11
	assert_msg 'it does not take the tokenFile of the user'
	[[ $output$stderr != *yesterdays-token* ]]
	assert_equal "$(proxy_count)" 2
	refute_link net1
}

@test "tls-server-name is the name that the API server's certificate must have" {
	pod
	place_kubeconfig 's|192.168.122.10:6443|192.168.122.77:6443|'
	cni ADD
	assert_code 7
	assert_msg '192.168.122.77'
	place_kubeconfig 's|192.168.122.10:6443|192.168.122.77:6443|; s|^\( *\)server: .*|&\n\1tls-server-name: kubernetes.default|'
	life
}

@test "a kubeconfig with a proxy, a program for its credentials, or without verification is refused, and the key is named" {
	local change key
	pod
	while IFS='|' read -r key change; do
		place_kubeconfig "$change"
		cni ADD
		assert_code 7
		assert_msg "$key"
		refute_link net1
	done <<-'END'
		proxy-url|s/^\( *\)server: .*/&\n\1proxy-url: http:\/\/192.168.122.12:3128/
		insecure-skip-tls-verify|s/^\( *\)server: .*/&\n\1insecure-skip-tls-verify: true/
		exec|s/^\( *\)token: .*/\1exec: {command: aws, apiVersion: v1}/
		auth-provider|s/^\( *\)token: .*/\1auth-provider: {name: gcp}/
		username|s/^\( *\)token: .*/\1username: a\n\1password: b/
	END
}

@test "a static pod has the address of its mirror, by config.hash when config.mirror is empty" {
	local uid=0123456789abcdef0123456789abcdef
	kube_put_pod default db-0 ".metadata.annotations = {\"kube-ipam.ip\": \"10.188.0.218\", \"kubernetes.io/config.hash\": \"$uid\",
		\"kubernetes.io/config.mirror\": \"$uid\"}"
	pod_args default db-0 $uid
	cni ADD
	assert_ok
	used | jq -e --arg uid $uid '.uid == $uid'
	# Its kubelet makes another sandbox of it: the same pod, which replaces itself.
	POD=p2 CID=p2
	pod_up p2
	cni ADD
	assert_ok
	used | jq -e '.cid == "p2"'
	assert_equal "$(pod_addrs net1)" 10.188.0.218/16
	POD=p1 refute_link net1
}

# The last one: etcd has users from here on.
@test "etcdUsername and etcdPasswordFile: a user of etcd who may write under /etcd-cni/ alone is enough" {
	pod
	etcd_down
	etcd_up 3.5 --rbac
	etcd_certs
	place "$ETCD_DIR/certs/client-no-cn.pem" etcd.pem
	place "$ETCD_DIR/certs/client-no-cn-key.pem" etcd-key.pem
	place <(echo secret) password
	conf_edit '.delegates[1].ipam.etcdConfig |= (.etcdCertFile = $ssl + "/etcd.pem" | .etcdKeyFile = $ssl + "/etcd-key.pem"
		| .etcdUsername = "lamina" | .etcdPasswordFile = $ssl + "/password")' --arg ssl $SSL
	life
	cni ADD
	assert_ok
	node_exec sh -c 'cat >/etc/cni/net.d/05-lamina.conf' <<<"$CONF"
	lamina ip ls --json | jq -e 'map(.address) == ["10.188.0.218"]'
	# The password changes while the pod runs: its DEL is queued, and sent when the file has the new one.
	place <(echo wrong) password
	node_exec sh -c 'rm -f /run/lamina/etcd-token-*'
	cni DEL
	assert_ok
	refute_link net1
	place <(echo secret) password
	lamina gc
	lamina ip ls --json | jq -e 'map(.kind) == ["kept"]'
	run ! node_exec grep -rl secret /var/lib/cni /run/lamina
}
