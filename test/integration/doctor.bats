#!/usr/bin/env bats
# lamina doctor and lamina defaults: a good node, one with each fault of its own, and that nothing of it changes the node.
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

# Everything that a node may write to: names, kinds, rights, times, contents.
listing()
{
	node_exec sh -c 'find /run /etc /var/lib /opt -xdev -printf "%p %y %m %U %s %T@ %C@ %l\n" 2>/dev/null | sort
		find /run /etc/cni /etc/lamina /etc/kubernetes /var/lib/cni -type f -exec sha256sum {} + 2>/dev/null | sort
		ip -d link; ip addr; ip route show table all; ip rule; ls /sys/class/net'
}

@test "a good node: each check says so, and none of them anything bad" {
	doctor
	nothing_bad
	says ok binary "lamina [0-9.]+, /opt/cni/bin/lamina$"
	says ok kernel "Linux $(uname -r)"
	says ok macvlan 'the kernel makes them'
	says ok rights 'user 0'
	says ok configuration "$CONF_FILE: eth0 k8snet1 \(flannel\), net1 k8snet2 \(macvlan\)"
	says ok defaults "there is no $DEFAULTS"
	says ok node "node-1 \(the host's name.*, and the API server has it"
	says ok master 'eth0 of net1 is up, mtu 1500'
	says ok delegates 'all programs'
	says ok names '/opt/cni/bin/multus-cni, .* is this lamina'
	says ok folders 'cniDir /var/lib/cni/multus and dataDir /run/lamina'
	for n in 1 2 3; do
		says ok etcd "192.168.122.1$n:2379 answers, version 3.4[.0-9]+, TLS verified"
	done
	says ok etcd-access '/etcd-cni/'
	says ok certificates '3, the first to expire'
	says ok api 'https://192.168.122.10:6443 answers'
	says ok annotations "API server, by $SSL/kube.kubeconfig"
	says ok outbox 'no release waits'
	says note gc-timer 'not enabled'
	node_exec sh -c 'mkdir -p /etc/systemd/system/timers.target.wants && ln -s /nowhere /etc/systemd/system/timers.target.wants/lamina-gc.timer'
	doctor
	says ok gc-timer 'lamina-gc.timer is enabled'
}

@test "--json has the same findings" {
	node_exec rm /opt/cni/bin/flannel
	etcd_kill 3
	doctor
	text=$output
	doctor --json
	assert_equal "$status" 1
	jq -e 'type == "array" and all(.[]; (.check | type) == "string" and (.state | IN("ok", "note", "bad")) and (.text | length) > 0
		and (keys - ["check", "fix", "state", "text"]) == [] and (.fix == null or .state == "bad"))' <<<"$output"
	jq -e '.[] | select(.check == "delegates" and .state == "bad") | (.text | startswith("delegates[0]")) and (.fix | length) > 0' <<<"$output"
	# An election may have come between the two.
	assert_equal "$(jq -r '.[] | "\(.state) \(.check)"' <<<"$output" | grep -v etcd-access)" \
		"$(sed -E 's/^([a-z]+) +([a-z-]+): .*/\1 \2/' <<<"$text" | grep -v etcd-access)"
}

@test "nothing is written: not on a good node, nor on one with faults, nor into etcd" {
	revision=$(etcd_ctl get / -w json | jq .header.revision)
	listing >"$BATS_TEST_TMPDIR/before"
	doctor
	nothing_bad
	doctor --node-name node-9 --json
	conf '.delegates[1].master = "eth9" | .delegates[1].ipam.kubeConfig = "/nowhere"'
	node_exec sh -c 'mv /etc/kubernetes/ssl/kubernetes.pem /etc/kubernetes/ssl/gone; echo damaged >/run/good/x'
	listing >"$BATS_TEST_TMPDIR/faults"
	doctor
	assert_equal "$status" 1
	listing | diff "$BATS_TEST_TMPDIR/faults" -
	node_exec sh -c 'mv /etc/kubernetes/ssl/gone /etc/kubernetes/ssl/kubernetes.pem; rm /run/good/x'
	cluster_conf | node_exec sh -c "cat >$CONF_FILE"
	# Times of what the test itself has changed.
	listing | sed -E 's/ [0-9.]+ [0-9.]+ $//' | diff <(sed -E 's/ [0-9.]+ [0-9.]+ $//' "$BATS_TEST_TMPDIR/before") -
	assert_equal "$(etcd_ctl get / -w json | jq .header.revision)/$(etcd_dump)" "$revision/{}"
	# Nor does anything else that only looks.
	listing >"$BATS_TEST_TMPDIR/before"
	lamina ip ls
	listing | diff "$BATS_TEST_TMPDIR/before" -
}

@test "a node that keeps its own addresses needs no server, and gets no store" {
	seed_conf | node_exec sh -c "cat >$CONF_FILE"
	doctor
	nothing_bad
	says ok etcd 'not used'
	says ok api 'not used'
	says ok annotations 'the runtime hands them over'
	says ok certificates 'none'
	node_exec test ! -e /run/lamina
	node_exec test ! -e /var/lib/cni
	# A store that is damaged is found.
	node_exec sh -c 'mkdir -m 700 /run/lamina && echo damaged >/run/lamina/$(cat /proc/sys/kernel/random/boot_id).db'
	finds bad folders '/run/lamina/.*\.db'
}

@test "which file the runtime reads" {
	node_exec rm "$CONF_FILE"
	finds bad configuration 'no file that ends in'
	cluster_conf | node_conf - 20-lamina.conf
	doctor
	nothing_bad
	says ok configuration '/etc/cni/net.d/20-lamina.conf'
	node_conf - 30-other.conflist <<<'{"name": "x", "cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}'
	doctor
	nothing_bad
	says note configuration '30-other.conflist$'
	node_conf - 10-flannel.conf <<<'{"name": "x", "cniVersion": "0.3.1", "type": "flannel"}'
	finds bad configuration '10-flannel.conf first, which is not lamina.s \(type flannel\).*20-lamina.conf; take it out'
	says ok master 'eth0'
	node_conf - 05-list.conflist <<<'{"name": "x", "cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}'
	finds bad configuration '05-list.conflist first, which is not lamina'
	node_conf - 00-broken.conf <<<'{'
	finds bad configuration '00-broken.conf first, which it cannot'
	# What ends otherwise is not read.
	node_exec sh -c 'rm /etc/cni/net.d/*-broken.conf /etc/cni/net.d/*list /etc/cni/net.d/10-flannel.conf && echo x >/etc/cni/net.d/00-x.bak'
	doctor
	nothing_bad
	# One that is asked for is judged by itself.
	node_exec mv /etc/cni/net.d/20-lamina.conf /run/mine
	doctor --conf /run/mine
	nothing_bad
	says ok configuration '/run/mine: eth0'
	finds bad configuration '/run/other' --conf /run/other
	node_exec rm /run/mine
}

@test "a configuration that no ADD would take, or no DEL" {
	conf '.delegates[1].mode = "brigde"'
	finds bad configuration "$CONF_FILE: .*delegates\[1\]\.mode is \"brigde\".*must be bridge"
	says ok etcd 192.168.122.11
	conf '.type = "kube-ipam"'
	finds bad configuration 'type is kube-ipam'
	conf 'del(.delegates[1].ipam.kubeConfig)'
	finds bad annotations 'capabilities lacks'
	says note api 'not taken over'
	conf '.timeout = 0'
	finds bad configuration 'timeout is 0'
}

@test "the defaults file" {
	defaults '{"nodeName": "node-1", "timeout": 30}'
	doctor
	nothing_bad
	says ok defaults "$DEFAULTS: .*\"timeout\":30"
	says ok node "node-1 \(nodeName in $DEFAULTS\)"
	defaults '{"nodename": "node-1", "colour": "red"}'
	doctor
	nothing_bad
	says note defaults '"colour" is no key'
	[[ $output != *'"nodename" is no key'* ]]
	defaults '{'
	finds bad defaults "$DEFAULTS"
	says note configuration 'not judged before'
	says ok etcd 192.168.122.12
	defaults '{"timeout": 100000}'
	finds bad defaults "$DEFAULTS: timeout is 100000"
	defaults '[]'
	finds bad defaults 'must be a JSON object'
}

@test "the node's name: where it comes from, and that the API server has it" {
	defaults '{"nodeName": "node-7"}'
	finds bad node "node-7 \(nodeName in $DEFAULTS\): the API server has no Node of that name; set nodeName"
	doctor --node-name node-1
	nothing_bad
	says ok node 'node-1 \(--node-name\), and'
	conf '.nodeName = "node-8"'
	finds bad node "node-8 \(nodeName in $CONF_FILE\)"
	cluster_conf | node_exec sh -c "cat >$CONF_FILE"
	node_exec sh -c 'rm -r /etc/lamina; mkdir -p /var/lib/cni/multus && printf node-1 >/var/lib/cni/multus/node'
	doctor
	nothing_bad
	says ok node 'node-1 \(the API server said so once: /var/lib/cni/multus/node'
	finds bad api 'no Node can have this name' --node-name NODE
	kube_put_node node-6
	kube_api DELETE /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-6 >/dev/null
	doctor --node-name node-6
	kube_api DELETE /api/v1/nodes/node-6 >/dev/null
	nothing_bad
	says note node 'node-6 has no Lease'
	run --separate-stderr lamina doctor --node-name ../x
	assert_equal "$status/$output" 2/
	[[ $stderr == *'--node-name is "../x"'* ]]
}

@test "masters: missing, down, loopback, a bridge's port, too small, none named" {
	conf '.delegates[1].master = "eth9"'
	finds bad master 'delegates\[1\].master is "eth9": there is no such interface'
	conf '.delegates[1].master = "lo"'
	finds bad master 'loopback'
	conf '.delegates[1].mtu = 9000'
	finds bad master 'delegates\[1\].mtu is 9000'
	node_exec sh -c 'ip link add test0 type bridge; ip link add test1 type veth peer name test2; ip link set test1 master test0 up'
	conf '.delegates[1].master = "test1"'
	finds bad master 'test1, a port of a bridge'
	node_exec ip link del test0
	conf '.delegates[1].master = "test1"'
	doctor
	says ok master 'test1 of net1 is up'
	says note master 'test1 has no carrier'
	conf '.delegates[1].master = "test2"'
	finds bad master 'test2, which is down'
	node_exec ip link del test1
	conf 'del(.delegates[1].master)'
	doctor
	nothing_bad
	says ok master "eth0 of net1 is up, mtu 1500 \(the default route's link"
	node_exec ip route del default
	finds bad master 'delegates\[1\].master is not set'
	conf '.delegates[1] |= . + {linkInContainer: true, master: "eth0"}'
	doctor
	nothing_bad
	says note master 'inside of the pod'
}

@test "delegates' programs, and theirs" {
	node_exec rm /opt/cni/bin/flannel
	finds bad delegates 'delegates\[0\] needs flannel, which is not in /opt/cni/bin; install it'
	node_exec sh -c 'cp /run/good/bin/flannel /opt/cni/bin/ && rm /opt/cni/bin/bridge /opt/cni/bin/host-local'
	finds bad delegates 'needs bridge'
	says bad delegates 'needs host-local'
	conf '.delegates[0].delegate.type = "ptp" | .delegates[0].delegate.ipam.type = "static"'
	doctor
	nothing_bad
	node_exec chmod 644 /opt/cni/bin/ptp
	finds bad delegates 'needs ptp, and /opt/cni/bin/ptp cannot be run.*chmod'
	cluster_conf | node_exec sh -c "cat >$CONF_FILE"
	node_exec sh -c 'cp -a /run/good/bin/. /opt/cni/bin/ && rm /run/flannel/subnet.env'
	finds bad delegates 'flanneld is not running.*/run/flannel/subnet.env'
	node_exec sh -c 'cp -a /run/good/flannel /run/'
	conf '.delegates[1].ipam = {type: "no-such-ipam"}'
	finds bad delegates 'delegates\[1\].ipam needs no-such-ipam'
	conf '.delegates[0] = {name: "l", cniVersion: "1.0.0", plugins: [{type: "bridge"}, {type: "no-such-plugin"}]}'
	finds bad delegates 'delegates\[0\] needs no-such-plugin'
	# binDir is looked in first, but not alone.
	conf '.binDir = "/opt/other"'
	finds bad names '/opt/other/multus-cni'
	says ok delegates 'all programs'
}

@test "the names that lead to lamina" {
	node_exec rm /opt/cni/bin/multus-cni
	finds bad names "type is multus-cni, and the runtime does not find /opt/cni/bin/multus-cni"
	node_exec sh -c 'ln -s lamina /opt/cni/bin/multus-cni && rm /opt/cni/bin/kube-ipam /opt/cni/bin/multus &&
		cp /usr/bin/true /opt/cni/bin/multus'
	doctor
	nothing_bad
	says note names '/opt/cni/bin/kube-ipam is not there'
	says note names '/opt/cni/bin/multus is not this lamina'
	node_exec ln -sfn bridge /opt/cni/bin/multus-cni
	doctor
	says note names '/opt/cni/bin/multus-cni is not this lamina, but leads to bridge'
}

@test "folders: read-only, full, no folder, in memory or not" {
	node_exec sh -c 'mkdir /run/a /run/b && mount -t tmpfs -o size=64k tmpfs /run/a && mount -t tmpfs -o ro tmpfs /run/b'
	conf '.cniDir = "/run/a/x" | .dataDir = "/run/b/x/y"'
	finds bad folders 'cniDir: /run/a has only [0-9]+ KiB'
	says bad folders 'dataDir: /run/b cannot be written to: Read-only'
	node_exec sh -c 'umount /run/a /run/b; rmdir /run/a /run/b; echo >/run/file'
	conf '.cniDir = "/run/x" | .dataDir = "/run/file/x"'
	finds bad folders 'dataDir is /run/file/x, but /run/file is no folder'
	says note folders 'cniDir /run/x lies in memory'
	node_exec rm /run/file
	conf '.dataDir = "/var/lib/x"'
	doctor
	nothing_bad
	says note folders 'dataDir /var/lib/x does not lie in memory'
}

@test "without rights it says so first" {
	run --separate-stderr node_exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all /opt/cni/bin/lamina doctor
	assert_equal "$status" 1
	says bad rights 'user 65534 lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN.*; run it as root'
	says note macvlan 'not known'
	says bad folders 'cannot be written to'
}

# bats test_tags=fault
@test "a kernel without macvlan" {
	run --separate-stderr node_exec env LAMINA_FAULT=macvlan_kind:fail /opt/cni/bin/lamina doctor
	assert_equal "$status" 1
	says bad macvlan 'the kernel has no macvlan; load it'
}

@test "what is no call is refused" {
	for call in 'doctor now' 'doctor --dry-run' 'doctor --node-name' 'gc --node-name x' 'plan x --node-name y' 'defaults --json' \
		'defaults nodeName' 'defaults =x' 'defaults --conf x'; do
		# shellcheck disable=SC2086
		run --separate-stderr lamina $call
		assert_equal "$call: $status/$output" "$call: 2/"
		[[ $stderr == *'lamina --help'* ]]
	done
	lamina --help | grep -q '  lamina doctor'
	lamina --help | grep -q '  lamina defaults'
}

@test "defaults prints the file with what is set, and leaves it as it is" {
	assert_equal "$(lamina defaults)" '{
}'
	run --separate-stderr lamina defaults nodeName=node-3 timeout=30 cluster=a=b
	assert_equal "$status/$output" 1/
	[[ $stderr == *'cluster is "a=b"'* ]]
	assert_equal "$(lamina defaults nodeName=node-3 timeout=30 | jq -c .)" '{"nodeName":"node-3","timeout":30}'
	node_exec test ! -e /etc/lamina
	defaults '{"nodeName": "node-1", "colour": "red", "reuseDelay": 5}'
	before=$(node_exec cat "$DEFAULTS")
	assert_equal "$(lamina defaults nodeName=node-2 domain=x reuseDelay= conflictProbe=always | jq -Sc .)" \
		'{"colour":"red","conflictProbe":"always","domain":"x","nodeName":"node-2"}'
	assert_equal "$(lamina defaults colour= | jq -Sc .)" '{"nodeName":"node-1","reuseDelay":5}'
	assert_equal "$(node_exec cat "$DEFAULTS")" "$before"
	# Every key that a configuration may have there.
	defaults "$(lamina defaults cniDir=/a binDir=/b dataDir=/c nodeName=n cluster=c domain=d conflictProbe=off timeout=1 reuseDelay=0)"
	doctor
	says ok defaults '"binDir":"/b"'
}

@test "defaults refuses what no ADD would take" {
	refuses()
	{
		run --separate-stderr lamina defaults "${@:2}"
		assert_equal "$*: $status/$output" "$*: 1/"
		[[ $stderr =~ $1 ]] || fail "not so: $1" "$stderr"
	}
	refuses 'colour is no key of lamina.s: there are cniDir,' colour=red
	refuses 'delegates is no key' delegates=x
	refuses 'colour is no key' colour=
	refuses 'timeout is 601: it must be between 1 and 600' timeout=601
	refuses 'timeout is "1h": it must be a number' timeout=1h
	refuses 'reuseDelay is " 1"' 'reuseDelay= 1'
	refuses 'reuseDelay is "99999999999999999999"' reuseDelay=99999999999999999999
	refuses 'cniDir is "x": it must be an absolute path' cniDir=x
	refuses 'nodeName is "a b"' 'nodeName=a b'
	refuses 'conflictProbe is "never"' conflictProbe=never
	defaults '{"timeout": 100000}'
	refuses 'timeout is 100000' nodeName=x
	assert_equal "$(lamina defaults timeout=5 | jq -c .)" '{"timeout":5}'
	defaults '[]'
	refuses "$DEFAULTS: it must be a JSON object" nodeName=x
	defaults '{'
	refuses "$DEFAULTS" nodeName=x
}
