#!/usr/bin/env bats
# lamina doctor: what it says about etcd, the API server, certificates, and what waits for them.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq and for shells in the node.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/doctor

setup_file()
{
	setup_doctor
}

teardown_file()
{
	teardown_doctor
}

teardown()
{
	mend_all
}

@test "members of etcd that are away: one is a note, since pods start, and most of them bad" {
	etcd_stop 2
	SECONDS=0
	doctor
	etcd_cont 2
	nothing_bad
	says note etcd '192.168.122.12:2379.*pods start nevertheless'
	says ok etcd-access ''
	# Each has a few of the twenty seconds that there are for all, which would otherwise be used up.
	((SECONDS < 15))
	etcd_kill 2
	etcd_kill 3
	finds bad etcd '192.168.122.12:2379: connection refused; start etcd there'
	[[ $output != *nevertheless* ]]
	# It may still believe in its leader.
	grep -qE '^(bad|note)  ? etcd-access: ' <<<"$output"
	etcd_kill 1
	finds bad etcd '192.168.122.11:2379'
	says note etcd-access 'not tried'
	says ok api 6443
}

@test "what etcd or we cannot accept of the other" {
	node_exec cp "$ETCD_DIR/certs/other-ca.pem" "$SSL/k8s-root-ca.pem"
	finds bad etcd 'etcd.s certificate is not trusted.*192.168.122.11:2379'
	node_exec cp "$ETCD_DIR/certs/ca.pem" "$SSL/k8s-root-ca.pem"
	node_exec cp "$ETCD_DIR/certs/client-expired.pem" "$SSL/kubernetes.pem"
	node_exec cp "$ETCD_DIR/certs/client-expired-key.pem" "$SSL/kubernetes-key.pem"
	finds bad etcd 'does not accept our certificate'
	says bad certificates "$SSL/kubernetes.pem: the certificate has expired on 2020-01-02; renew it"
	node_exec rm "$SSL/kubernetes-key.pem"
	finds bad certificates "$SSL/kubernetes-key.pem"
	says bad etcd 'etcdKeyFile'
	conf '.delegates[1].ipam.etcdConfig.etcdURL = "http://192.168.122.11:2379" | .delegates[1].ipam.etcdConfig |= {etcdURL}'
	finds bad etcd 'https://'
}

@test "certificates that end soon, bundles, and keys that everybody reads" {
	books=$BATS_TEST_TMPDIR
	cp "$ETCD_DIR/certs/ca.pem" "$ETCD_DIR/certs/ca-key.pem" "$books/"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 10 -subj /CN=short -keyout "$books/short-key.pem" \
		-out "$books/short.pem" 2>/dev/null
	node_exec sh -c 'cat >/etc/kubernetes/ssl/kubernetes.pem' <"$books/short.pem"
	node_exec sh -c 'cat >/etc/kubernetes/ssl/kubernetes-key.pem && chmod 644 /etc/kubernetes/ssl/kubernetes-key.pem' <"$books/short-key.pem"
	doctor
	says note certificates "$SSL/kubernetes.pem: the certificate expires on [-0-9]+, in (9|10) days"
	says note certificates "$SSL/kubernetes-key.pem is a secret that everybody"
	says ok certificates "the first to expire is $SSL/kubernetes.pem"
	node_exec sh -c 'cp -a /run/good/ssl/. /etc/kubernetes/ssl/'
	# Of several CAs one is enough; of a chain the first one is ours.
	cert_make "$books" old-ca ca=ca expired=1
	cat "$books/old-ca.pem" "$books/ca.pem" | node_exec sh -c 'cat >/etc/kubernetes/ssl/k8s-root-ca.pem'
	node_exec sh -c 'cat >>/etc/kubernetes/ssl/kubernetes.pem' <"$books/old-ca.pem"
	doctor
	[[ $output != *'bad   certificates'* ]]
	node_exec sh -c 'cat >/etc/kubernetes/ssl/k8s-root-ca.pem' <"$books/old-ca.pem"
	finds bad certificates "$SSL/k8s-root-ca.pem: the CA certificate has expired"
	echo '-----BEGIN CERTIFICATE-----' | node_exec sh -c 'cat >/etc/kubernetes/ssl/k8s-root-ca.pem'
	finds bad certificates "$SSL/k8s-root-ca.pem: there is no certificate"
}

@test "the API server: rights, token, silence, and a kubeconfig that is none" {
	kube_kubeconfig nobody | node_exec sh -c "cat >$SSL/kube.kubeconfig"
	finds bad api 'HTTP 403.*right to get pods; the release.s rbac.yaml'
	says bad api 'right to get nodes'
	says bad api 'right to get leases'
	says ok node 'node-1 \(the host'
	says note node 'is a guess'
	kube_kubeconfig lamina | sed 's/lamina-token/wrong/' | node_exec sh -c "cat >$SSL/kube.kubeconfig"
	finds bad api 'HTTP 401'
	assert_equal "$(grep -c '^bad   api' <<<"$output")" 1
	[[ $output != *wrong* ]]
	echo 'no: [kubeconfig' | node_exec sh -c "cat >$SSL/kube.kubeconfig"
	finds bad api "$SSL/kube.kubeconfig"
	kube_kubeconfig lamina | node_exec sh -c "cat >$SSL/kube.kubeconfig"
	kube_stop
	SECONDS=0
	finds bad api '192.168.122.10:6443.*; start it'
	((SECONDS < 15))
	says ok etcd-access ''
}

@test "with a kubeconfig of the plugin's own: definitions of networks, and the right to write network-status and events" {
	doctor
	[[ $output != *networks:* ]]
	conf '.type = "multus-shim"'
	finds bad configuration 'type is multus-shim, and nothing says how .*: set kubeconfig in /etc/lamina/defaults.json'
	conf ".kubeconfig = \"$SSL/kube.kubeconfig\""
	finds bad networks 'does not start: .*install the CustomResourceDefinition network-attachment-definitions.k8s.cni.cncf.io'
	kube_nad_crd
	doctor
	nothing_bad
	says ok networks 'NetworkAttachmentDefinitions may be read'
	assert_equal "$(grep -c ' networks:' <<<"$output")" 1
	kube_kubeconfig nobody | node_exec sh -c "cat >$SSL/kube.kubeconfig"
	finds bad networks 'HTTP 403.*right to get network-attachment-definitions'
	says note networks 'no network-status and no event is written: the user of /etc/kubernetes/ssl/kube.kubeconfig lacks the right to patch or update pods/status'
}

@test "queued releases are counted, and left as they are" {
	node_exec sh -c 'mkdir -p /var/lib/cni/multus/outbox && echo damaged >/var/lib/cni/multus/outbox/1.json && echo x >/var/lib/cni/multus/outbox/.2.json.7'
	doctor
	nothing_bad
	says note outbox '1 release waits in /var/lib/cni/multus/outbox'
	assert_equal "$(node_exec ls -A /var/lib/cni/multus/outbox | tr '\n' ' ')" '.2.json.7 1.json '
}

# The last one: it begins a cluster of its own.
@test "a user of etcd needs the right to read and to write" {
	etcd_down
	etcd_up --members 1 --rbac
	etcd_certs
	node_exec cp "$ETCD_DIR/certs/client-no-cn.pem" "$SSL/kubernetes.pem"
	node_exec cp "$ETCD_DIR/certs/client-no-cn-key.pem" "$SSL/kubernetes-key.pem"
	node_exec sh -c 'umask 077; echo secret >/etc/kubernetes/ssl/password'
	conf '.delegates[1].ipam.etcdConfig |= . + {etcdURL: "https://192.168.122.11:2379", etcdUsername: "lamina",
		etcdPasswordFile: "/etc/kubernetes/ssl/password"}'
	doctor
	nothing_bad
	says ok etcd-access 'by user lamina'
	etcd_ctl role revoke-permission lamina --prefix=true /etcd-cni/ >/dev/null
	etcd_ctl role grant-permission lamina --prefix=true read /etcd-cni/ >/dev/null
	finds bad etcd-access 'etcd does not permit it to user lamina.*readwrite on all keys that begin with /etcd-cni/'
	# Networks alone are not enough: addresses are claimed for their domain, too.
	etcd_ctl role grant-permission lamina --prefix=true readwrite /etcd-cni/networks/ >/dev/null
	finds bad etcd-access 'does not permit'
	etcd_ctl role grant-permission lamina --prefix=true readwrite /etcd-cni/domain/ >/dev/null
	doctor
	nothing_bad
	etcd_ctl role revoke-permission lamina --prefix=true /etcd-cni/ >/dev/null
	finds bad etcd-access 'does not permit'
	etcd_ctl role grant-permission lamina --prefix=true readwrite /etcd-cni/ >/dev/null
	node_exec sh -c 'echo wrong >/etc/kubernetes/ssl/password'
	finds bad etcd-access 'does not accept user lamina'
	node_exec test ! -e /run/lamina
	node_exec cp "$ETCD_DIR/certs/client.pem" "$SSL/kubernetes.pem"
	node_exec cp "$ETCD_DIR/certs/client-key.pem" "$SSL/kubernetes-key.pem"
	finds bad etcd 'RBAC.*CN'
}
