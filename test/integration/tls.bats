#!/usr/bin/env bats
# How etcd and the API server are found and spoken to: names, versions of TLS, our certificates and keys, and whose certificates we trust.
# The binary is called as kube-ipam: one ADD needs the API server for the pod's annotations, and etcd for its address.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq and for shells inside of the node.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

# Names for which the servers' certificates are good. The node's own files know neither.
ETCD_NAME=node-2
KUBE_NAME=kubernetes.default.svc

setup_file()
{
	# Member 1 speaks TLS 1.2, member 2 TLS 1.3, member 3 both.
	setup_cluster 1 3.5 --flag 1=--tls-max-version=TLS1.2 --flag 2=--tls-min-version=TLS1.3
	setup_kube --tls-min-version VersionTLS13
	station_up 53
	kube_put_pod default db-0 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"' >"$NODE_DIR/uid"
	make_keys
	etcd_certs
	node_exec sh -c 'cp /etc/hosts /etc/hosts.before; cp /etc/resolv.conf /etc/resolv.conf.before || :'
}

teardown_file()
{
	teardown_cluster
}

setup()
{
	PLUGIN=kube-ipam
	CONF=$(cluster_conf '.delegates[1] | .cniVersion = "1.0.0" | del(.ipam.resolvConf)')
	new_pod p1
	pod_args default db-0 "$(<"$NODE_DIR/uid")"
	use_members 3
	kube_kubeconfig lamina >"$BATS_TEST_TMPDIR/kubeconfig"
	place_kubeconfig
}

teardown()
{
	node_exec sh -c 'cp /etc/hosts.before /etc/hosts; cp /etc/resolv.conf.before /etc/resolv.conf; rm -rf /run/lamina /var/lib/cni'
	node_exec sh -c 'test ! -e /etc/before || { rm -rf /etc/ssl /etc/pki; mv /etc/before/* /etc; rmdir /etc/before; }'
	dns_down
	pod_down p1
	etcd_ctl del --prefix /etcd-cni >/dev/null
}

# Certificates of one user, whose keys are of each kind and in each form that a key is kept in.
make_keys()
{
	local dir=$NODE_DIR/keys kind
	mkdir "$dir"
	cp "$ETCD_DIR"/certs/ca{,-key}.pem "$dir"
	for kind in ec rsa; do
		cert_make "$dir" "$kind-pkcs8" cn=lamina usage=clientAuth key="$kind"
	done
	openssl rsa -in "$dir/rsa-pkcs8-key.pem" -traditional -out "$dir/rsa-pkcs1-key.pem"
	openssl ec -in "$dir/ec-pkcs8-key.pem" -out "$dir/ec-sec1-key.pem"
	{ openssl ecparam -name prime256v1 && cat "$dir/ec-sec1-key.pem"; } >"$dir/ec-parameters-key.pem"
	openssl pkcs8 -topk8 -in "$dir/ec-pkcs8-key.pem" -passout pass:secret -out "$dir/locked-pkcs8-key.pem"
	openssl rsa -aes256 -in "$dir/rsa-pkcs8-key.pem" -traditional -passout pass:secret -out "$dir/locked-pkcs1-key.pem"
	cp "$dir/ec-pkcs8.pem" "$dir/ec-sec1.pem"
	cp "$dir/ec-pkcs8.pem" "$dir/ec-parameters.pem"
	cp "$dir/rsa-pkcs8.pem" "$dir/rsa-pkcs1.pem"
	cp "$dir/ec-pkcs8.pem" "$dir/locked-pkcs8.pem"
	cp "$dir/rsa-pkcs8.pem" "$dir/locked-pkcs1.pem"
	# The API server's clients are of its own authority.
	mkdir "$dir/kube"
	cp "$KUBE_DIR"/certs/ca{,-key}.pem "$dir/kube"
	for kind in ec rsa; do
		cert_make "$dir/kube" "$kind" cn=lamina usage=clientAuth key="$kind"
	done
	openssl rsa -in "$dir/kube/rsa-key.pem" -traditional -out "$dir/kube/rsa-pkcs1-key.pem"
	openssl ec -in "$dir/kube/ec-key.pem" -out "$dir/kube/ec-sec1-key.pem"
	openssl pkcs8 -topk8 -in "$dir/kube/ec-key.pem" -passout pass:secret -out "$dir/kube/locked-key.pem"
	cp "$dir/kube/ec.pem" "$dir/kube/ec-sec1.pem"
	cp "$dir/kube/ec.pem" "$dir/kube/locked.pem"
	cp "$dir/kube/rsa.pem" "$dir/kube/rsa-pkcs1.pem"
} 2>/dev/null

# use_members NUMBER ...: those of etcd that are in etcdURL.
use_members()
{
	use_url "$(printf ',https://192.168.122.%d:2379' $(($1 + 10)))"
}

use_url()
{
	conf_edit '.ipam.etcdConfig.etcdURL = $url' --arg url "${1#,}"
}

# Usage: use_key NAME: our certificate for etcd, and its key, of make_keys.
use_key()
{
	conf_edit '.ipam.etcdConfig |= (.etcdCertFile = $it + ".pem" | .etcdKeyFile = $it + "-key.pem")' --arg it "$NODE_DIR/keys/$1"
}

place_kubeconfig()
{
	node_exec sh -c 'cat >/etc/kubernetes/ssl/kube.kubeconfig' <"$BATS_TEST_TMPDIR/kubeconfig"
}

# kubeconfig_edit EXPRESSION: sed's, on what is placed.
kubeconfig_edit()
{
	sed -i "$1" "$BATS_TEST_TMPDIR/kubeconfig"
	place_kubeconfig
}

# By which both servers are asked for from now on.
use_names()
{
	use_url "https://$ETCD_NAME:2379"
	kubeconfig_edit "s/192.168.122.10:/$KUBE_NAME:/"
}

dns_up()
{
	: >"$NODE_DIR/dns.log"
	station_exec 53 sh -c 'setsid "$@" >"$0" 2>&1 & echo $!' "$NODE_DIR/dns.stderr" "$LAB_DIR/dns.py" 192.168.122.53 \
		"$NODE_DIR/dns.names" "$NODE_DIR/dns.log" "$NODE_DIR/dns.ready" >"$NODE_DIR/dns.pid" 3>&-
	cluster_until test -e "$NODE_DIR/dns.ready"
}

dns_down()
{
	[[ -e $NODE_DIR/dns.pid ]] || return 0
	node_exec kill "$(<"$NODE_DIR/dns.pid")"
	rm "$NODE_DIR"/dns.*
}

resolv_conf()
{
	printf '%s\n' "$@" | node_exec sh -c 'cat >/etc/resolv.conf'
}

# An ADD gets the pod's address, and a DEL gives it back.
served()
{
	cni ADD
	assert_ok
	assert_json '.ips[0].address == "10.188.0.218/16"'
	cni DEL
	assert_ok
	assert_equal "$(etcd_dump /etcd-cni/networks/k8snet2/used)" '{}'
}

# refused CODE ERE: nothing is claimed, for that reason.
refused()
{
	cni ADD
	assert_code "$1"
	assert_msg "$2"
	assert_equal "$(etcd_dump /etcd-cni/networks/k8snet2/used)" '{}'
}

# The same in lamina's own configuration, which says how long it may take.
refused_in_time()
{
	local CONF=$CONF PLUGIN=lamina
	conf_edit '{cniVersion: "0.3.1", name: "lab", type: "multus-cni", timeout: 4, delegates: [.]}'
	refused "$@"
}

@test "names are looked up in /etc/hosts" {
	use_names
	resolv_conf 'nameserver 192.168.122.53'
	node_exec sh -c 'printf "192.168.122.13 %s\n192.168.122.10 other %s\n" "$1" "$2" >>/etc/hosts' sh "$ETCD_NAME" "$KUBE_NAME"
	served
}

@test "names are looked up where /etc/resolv.conf says, with its search list" {
	use_names
	printf '%s\n' "192.168.122.13 $ETCD_NAME.lab.test" "192.168.122.10 $KUBE_NAME" >"$NODE_DIR/dns.names"
	dns_up
	resolv_conf 'nameserver 192.168.122.53' 'search no.test lab.test'
	served
	grep -qx "$ETCD_NAME.lab.test" "$NODE_DIR/dns.log"
	grep -qx "$KUBE_NAME" "$NODE_DIR/dns.log"
}

@test "a name server that is silent gives way to the next one" {
	use_names
	printf '%s\n' "192.168.122.13 $ETCD_NAME" "192.168.122.10 $KUBE_NAME" >"$NODE_DIR/dns.names"
	dns_up
	# Nobody has the first address; the switch's gateway says nothing about it, either.
	switch_exec ip route add blackhole 192.0.2.1/32
	resolv_conf 'nameserver 192.0.2.1' 'nameserver 192.168.122.53' 'options timeout:1'
	served
}

@test "a name that there is not is named with its key" {
	: >"$NODE_DIR/dns.names"
	dns_up
	resolv_conf 'nameserver 192.168.122.53'
	use_url "https://no-such-etcd.test:2379"
	refused_in_time 11 'no-such-etcd.test.*(cannot be|was not) resolved.*etcdURL'
	use_members 3
	kubeconfig_edit 's/192.168.122.10:/no-such-server.test:/'
	refused_in_time 11 'no-such-server.test.*(cannot be|was not) resolved.*`server` in /etc/kubernetes/ssl/kube.kubeconfig'
}

@test "a name server that never answers costs no more than the time there is, and the name is said" {
	dns_up # without names: silent
	resolv_conf 'nameserver 192.168.122.53'
	use_url "https://no-such-etcd.test:2379"
	refused_in_time 11 'no-such-etcd.test.*not resolved in time.*etcdURL'
	use_members 3
	kubeconfig_edit 's/192.168.122.10:/no-such-server.test:/'
	refused_in_time 11 'no-such-server.test.*not resolved in time.*`server` in /etc/kubernetes/ssl/kube.kubeconfig'
}

@test "servers that speak only TLS 1.2, or only TLS 1.3, are spoken to" {
	local version
	# That they are what they should be.
	run ! node_exec openssl s_client -connect 192.168.122.11:2379 -tls1_3 </dev/null
	run ! node_exec openssl s_client -connect 192.168.122.12:2379 -tls1_2 </dev/null
	run ! node_exec openssl s_client -connect 192.168.122.10:6443 -tls1_2 </dev/null
	for version in 2 3; do
		use_members $((version - 1))
		proxy_up api 192.168.122.11:6443 192.168.122.10:6443 --cert "$KUBE_DIR/certs/server.pem" \
			--key "$KUBE_DIR/certs/server-key.pem" --server-ca "$KUBE_DIR/certs/ca.pem" --tls "1.$version"
		kube_kubeconfig lamina | sed 's/192.168.122.10:/192.168.122.11:/' >"$BATS_TEST_TMPDIR/kubeconfig"
		place_kubeconfig
		served
		assert_equal "$(proxy_count)" 1
		proxy_down
	done
	use_members 3
	kube_kubeconfig lamina >"$BATS_TEST_TMPDIR/kubeconfig"
	place_kubeconfig
	served
}

@test "etcd takes our certificate whichever kind its key is of, and whichever form it is kept in" {
	local form member
	for form in ec-pkcs8 ec-sec1 ec-parameters rsa-pkcs8 rsa-pkcs1; do
		for member in 1 2; do # both versions of TLS
			use_members "$member"
			use_key "$form"
			served
		done
	done
}

# kube_user NAME [data]: a kubeconfig with that certificate of make_keys: in files, or in itself.
kube_user()
{
	local dir=$NODE_DIR/keys/kube
	kube_kubeconfig lamina | sed '/token:/d' >"$BATS_TEST_TMPDIR/kubeconfig"
	if [[ ${2:-} == data ]]; then
		printf '    client-%s-data: %s\n' certificate "$(base64 -w0 "$dir/$1.pem")" key "$(base64 -w0 "$dir/$1-key.pem")"
	else
		printf '    client-%s: %s\n' certificate "$dir/$1.pem" key "$dir/$1-key.pem"
	fi >>"$BATS_TEST_TMPDIR/kubeconfig"
	place_kubeconfig
}

@test "so does the API server, from files and from the kubeconfig itself" {
	local form
	for form in ec ec-sec1 rsa rsa-pkcs1; do
		kube_user "$form"
		served
		kube_user "$form" data
		served
	done
}

@test "an encrypted key is named with its key and file, and nobody is asked for its pass phrase" {
	local form asked
	for form in locked-pkcs8 locked-pkcs1; do
		use_key "$form"
		refused 7 "etcdKeyFile: .*/$form-key.pem is encrypted"
		# With a terminal, on which OpenSSL would ask.
		printf '%s' "$CONF" >"$NODE_DIR/conf"
		asked=$(node_exec env CNI_COMMAND=ADD CNI_CONTAINERID=p1 CNI_NETNS=/run/netns/p1 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin \
			CNI_ARGS="$ARGS" timeout 60 script -qec "/opt/cni/bin/kube-ipam <$NODE_DIR/conf" /dev/null </dev/null) || true
		[[ $asked == *'is encrypted'* && ! ${asked,,} =~ (enter|pass\ ?phrase\ for) ]] || fail "$asked"
	done
	use_key ec-pkcs8
	kube_user locked
	refused 7 'client-key.*kube/locked-key.pem is encrypted|kube/locked-key.pem is encrypted.*client-key'
	kube_user locked data
	refused 7 'client-key.*is encrypted|is encrypted.*client-key'
}

# Our own list of authorities in the place where a distribution has it. Usage: system_cas PATH
system_cas()
{
	node_exec sh -euc 'rm -rf /etc/pki /etc/ssl; mkdir -p "$(dirname "$1")" && cat "$2" "$3" >"$1"' sh \
		"$1" "$ETCD_DIR/certs/ca.pem" "$KUBE_DIR/certs/ca.pem"
}

@test "without an authority in the configuration the system's are trusted, where distributions keep them" {
	local path
	conf_edit 'del(.ipam.etcdConfig.etcdTrustedCAFileFile)'
	kubeconfig_edit '/certificate-authority-data/d'
	# The machine's own list, if it has one, does not know this cluster's.
	refused 7 'certificate-authority'
	node_exec sh -c 'mkdir /etc/before; for d in ssl pki; do test ! -e /etc/$d || cp -a /etc/$d /etc/before; done'
	for path in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
		/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem; do
		system_cas "$path"
		served
	done
	node_exec rm -rf /etc/pki /etc/ssl
	refused 7 'certificate-authority'
	kube_kubeconfig lamina >"$BATS_TEST_TMPDIR/kubeconfig"
	place_kubeconfig
	refused 7 'etcdTrustedCAFile.*/etc/ssl/certs/ca-certificates.crt'
}

@test "etcd's connection is opened while the API server is awaited" {
	kube_stop
	cni_start ADD LAMINA_TRACE=1
	cluster_until grep -q 'with 192.168.122.13:2379 stands' "$CNI_FILES.err"
	# Nothing has been asked over it.
	assert_equal "$(etcd_dump)" '{}'
	kube_cont
	cni_wait
	assert_ok
	assert_equal "$(grep -c 'with 192.168.122.13:2379 begins' <<<"$stderr")" 1
}

@test "the default network is made, and etcd's connection opened, while the API server is awaited for a whole pod" {
	PLUGIN=lamina
	CONF=$(cluster_conf '.delegates[1].ipam.etcdConfig.etcdURL = "https://192.168.122.13:2379"')
	kube_stop
	cni_start ADD LAMINA_TRACE=1
	cluster_until grep -q 'with 192.168.122.13:2379 stands' "$CNI_FILES.err"
	cluster_until pod_link eth0
	assert_equal "$(etcd_dump)" '{}'
	kube_cont
	cni_wait
	assert_ok
	assert_equal "$(grep -c 'with 192.168.122.13:2379 begins' <<<"$stderr")" 1
	cni DEL
	assert_ok
}

# resumed COUNT: an ADD and a DEL, of whose three connections so many were resumed.
resumed()
{
	local said
	cni ADD LAMINA_TRACE=1
	assert_ok
	said=$stderr
	cni DEL LAMINA_TRACE=1
	assert_ok
	assert_equal "$(grep -c 'stands, resumed$' <<<"$said$stderr")" "$1"
}

@test "TLS sessions of both servers are resumed by later calls, and lie where nobody else can read them" {
	resumed 1 # etcd's, by the DEL
	resumed 3
	assert_equal "$(node_exec find /run/lamina -name 'tls-*' -type f -perm 600 | wc -l)" 2
	assert_equal "$(node_exec stat -c %a /run/lamina)" 700
}

@test "the TLS sessions of a server that was started again are made anew" {
	resumed 1
	etcd_kill 3
	etcd_start 3
	kube_kill
	kube_start
	cluster_until kube_knows_lamina
	resumed 1
	resumed 3
}

# For a moment after its start the API server knows no rights.
kube_knows_lamina()
{
	kube_exec curl --silent --fail --noproxy '*' --cacert "$KUBE_DIR/certs/ca.pem" -H 'Authorization: Bearer lamina-token' -o /dev/null \
		"$KUBE_URL/api/v1/namespaces/default/pods/db-0"
}

@test "a TLS session of TLS 1.2 is not kept" {
	use_members 1
	resumed 0
	resumed 1 # the API server's, and nothing else
	assert_equal "$(node_exec find /run/lamina -name 'tls-*' | wc -l)" 1
}

@test "an authority that was replaced is not trusted for the sake of an earlier session" {
	resumed 1
	node_exec cp "$ETCD_DIR/certs/other-ca.pem" /etc/kubernetes/ssl/k8s-root-ca.pem
	refused 7 'not trusted.*etcdTrustedCAFile is'
	node_exec cp "$ETCD_DIR/certs/ca.pem" /etc/kubernetes/ssl/k8s-root-ca.pem
	resumed 3
	kubeconfig_edit "s|certificate-authority-data: .*|certificate-authority-data: $(base64 -w0 "$ETCD_DIR/certs/other-ca.pem")|"
	refused 7 'correct certificate-authority'
}

@test "nobody gets the rights of whose session was kept, even in the same files" {
	local dir=$NODE_DIR/keys/kube
	cp "$dir/ec.pem" "$dir/ours.pem"
	cp "$dir/ec-key.pem" "$dir/ours-key.pem"
	kube_user ours
	resumed 1
	resumed 3
	cert_make "$dir" ours cn=nobody usage=clientAuth
	refused 11 'User "nobody" cannot get'
	cp "$dir/ec.pem" "$dir/ours.pem"
	cp "$dir/ec-key.pem" "$dir/ours-key.pem"
	served
}
