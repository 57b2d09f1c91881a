#!/usr/bin/env bats
# lamina doctor where it could err: rights that are enough for some objects only, files and names that stand for others, stores that do
# not open; and lamina defaults --write.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq and for shells in the node.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/doctor

RBAC=/apis/rbac.authorization.k8s.io/v1
LEASES=/namespaces/kube-node-lease

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
	local path
	for path in "$RBAC"/clusterrole{binding,}s/doctor "$RBAC"{/namespaces/default,$LEASES}/role{binding,}s/doctor; do
		kube_api DELETE "$path" >/dev/null 2>&1 || true
	done
	mend_all
}

# The node's user is another one.
as_user()
{
	kube_kubeconfig "$1" | node_exec sh -c "cat >$SSL/kube.kubeconfig"
}

# may WHERE RULE ...: `nobody` may do that, in all namespaces (WHERE is empty) or in one (/namespaces/default).
may()
{
	local kind=${1:+Role}
	kind=${kind:-ClusterRole}
	jq -n --arg kind "$kind" --argjson rules "[$2]" '{apiVersion: "rbac.authorization.k8s.io/v1", kind: $kind, metadata: {name: "doctor"},
		rules: $rules}' | kube_api POST "$RBAC$1/${kind,,}s" - >/dev/null
	jq -n --arg kind "$kind" '{apiVersion: "rbac.authorization.k8s.io/v1", kind: "\($kind)Binding", metadata: {name: "doctor"},
		roleRef: {apiGroup: "rbac.authorization.k8s.io", kind: $kind, name: "doctor"},
		subjects: [{apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "nobody"}]}' |
		kube_api POST "$RBAC$1/${kind,,}bindings" - >/dev/null
}

# Rules as JSON.
get()
{
	jq -nc --arg group "$1" --arg resource "$2" --arg name "${3:-}" \
		'{apiGroups: [$group], resources: [$resource], verbs: ["get"]} + if $name == "" then {} else {resourceNames: [$name]} end'
}

# api_finds COUNT REGEX: so many faults about the API server, one of which says so. The API server hears of roles a moment later.
api_finds()
{
	local end=$((SECONDS + 10))
	until doctor >/dev/null && [[ $(grep -c '^bad   api: ' <<<"$output") == "$1" ]] && grep -qE "^bad   api: .*$2" <<<"$output"; do
		((SECONDS < end)) || fail "not $1 faults of api with: $2" "$output"
		sleep 0.1
	done
	assert_equal "$status" 1
	[[ $output != *'ok    api: '* ]]
}

# unbind WHERE: what `may` has granted there.
unbind()
{
	local kind=${1:+role}
	kube_api DELETE "$RBAC$1/${kind:-clusterrole}bindings/doctor" >/dev/null
	kube_api DELETE "$RBAC$1/${kind:-clusterrole}s/doctor" >/dev/null
}

@test "rights for pods of one namespace, or for the node's own objects, are not all that is needed" {
	as_user nobody
	may '' "$(get '' nodes)"
	may "$LEASES" "$(get coordination.k8s.io leases)"
	may /namespaces/default "$(get '' pods)"
	api_finds 1 'annotations are asked of the API server does not start.*pods "lamina-doctor" is forbidden.*right to get pods; the release.s rbac.yaml'
	unbind ''
	may '' "$(get '' pods), $(get '' nodes node-1)"
	api_finds 1 'only this node.s own Node may be read: .* on another node is not taken over.*right to get nodes; the release.s rbac.yaml'
	says ok node 'node-1 .*and the API server has it'
	unbind "$LEASES"
	may "$LEASES" "$(get coordination.k8s.io leases node-1)"
	api_finds 2 'only this node.s own Lease may be read: .*right to get leases; the release.s rbac.yaml'
	# Where none can be read, that is said, and not of others once more.
	unbind "$LEASES"
	api_finds 2 'leases: .*"node-1" is forbidden'
}

@test "where no network has addresses of lamina's, multus's own rights are enough" {
	as_user nobody
	may '' "$(get '' pods)"
	conf 'del(.delegates[1]) | .kubeconfig = "/etc/kubernetes/ssl/kube.kubeconfig"'
	doctor
	[[ $output != *'bad   api: '* ]]
	says note api 'of which this configuration has none: .*right to get nodes'
	says note api 'of which this configuration has none: .*right to get leases'
}

@test "a kubelet's own user reads its node's objects only: what that means is said" {
	as_user kubelet
	finds bad api 'a kubelet.s own user may read only pods that are bound to its node: these start, .* not taken over.*no relationship found.*; or rather give lamina a user of its own'
	says bad api 'only this node.s own Node may be read'
	says bad api 'only this node.s own Lease may be read'
	says ok node 'node-1 .*and the API server has it'
	assert_equal "$(grep -cE '^(bad  |ok   ) api: ' <<<"$output")" 3
	# They do start.
	local CONF_FILE=''
	CONF=$(cluster_conf)
	kube_put_pod default p1 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.218"' >/dev/null
	new_pod p1
	ARGS='IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p1' cni ADD
	kube_delete_pod default p1
	assert_ok
	node_exec ip -n p1 addr show net1 | grep -F 10.188.0.218/16
	cni DEL
	assert_ok
	node_exec ip netns del p1
}

@test "--defaults: another file in place of the node's own" {
	defaults '{"nodeName": "node-7", "cniDir": "/run/wrong"}'
	node_exec sh -c 'echo "{\"nodeName\": \"node-1\", \"dataDir\": \"/run/other\", \"colour\": 1}" >/run/defaults'
	doctor --defaults /run/defaults
	nothing_bad
	says ok defaults '/run/defaults: .*"nodeName":"node-1"'
	says note defaults '/run/defaults: "colour" is no key'
	says ok node 'node-1 \(nodeName in /run/defaults\), and'
	says ok folders 'cniDir /var/lib/cni/multus and dataDir /run/other'
	[[ $output != *$DEFAULTS* && $output != *node-7* && $output != */run/wrong* ]]
	doctor --defaults /run/defaults --node-name node-1
	nothing_bad
	says ok node 'node-1 \(--node-name\), and'
	node_exec sh -c 'echo "{\"timeout\": 100000}" >/run/defaults'
	finds bad defaults '/run/defaults: timeout is 100000.*; correct it' --defaults /run/defaults

	node_exec sh -c 'echo "{\"nodeName\": \"node-8\"}" >/run/defaults'
	finds bad node 'node-8 \(nodeName in /run/defaults\): the API server has no Node' --defaults /run/defaults
	# What stands in the node's own does not help a file that is not there.
	node_exec rm /run/defaults
	defaults '{"nodeName": "node-1"}'
	finds bad defaults 'cannot open /run/defaults' --defaults /run/defaults
	doctor
	nothing_bad
	for call in "gc --defaults x" "defaults --defaults x" "doctor --defaults"; do
		# shellcheck disable=SC2086
		run --separate-stderr lamina $call
		assert_equal "$call: $status/$output" "$call: 2/"
	done
	lamina --help | grep -q -- '--defaults FILE'
}

@test "--node-name stands for the defaults' key: the configuration's own name wins, and two names are a fault" {
	conf '.nodeName = "node-1"'
	finds bad node "pods start under the name node-1 \(nodeName in $CONF_FILE\), so that node-7 \(--node-name\) does nothing; take nodeName out of $CONF_FILE" \
		--node-name node-7
	says ok node "node-1 \(nodeName in $CONF_FILE\), and the API server has it"
	doctor --node-name node-1
	nothing_bad
	says ok node "node-1 \(nodeName in $CONF_FILE\), and"
	# What stands in the file that is to be installed is meant as much.
	node_exec sh -c 'echo "{\"nodeName\": \"node-7\"}" >/run/defaults'
	finds bad node 'node-7 \(nodeName in /run/defaults\) does nothing' --defaults /run/defaults
	node_exec rm /run/defaults
	defaults '{"nodeName": "node-7"}'
	doctor
	nothing_bad
	says note node "node-7 \(nodeName in $DEFAULTS\) does nothing"
	# The defaults' one gives way.
	cluster_conf | node_exec sh -c "cat >$CONF_FILE"
	doctor --node-name node-1
	nothing_bad
	says ok node 'node-1 \(--node-name\), and'
}

@test "defaults --write replaces the file in one step, and else leaves it" {
	umask 077
	assert_equal "$(lamina defaults --write nodeName=node-1 timeout=30 | jq -c .)" '{"nodeName":"node-1","timeout":30}'
	assert_equal "$(node_exec stat -c '%a %U' "$DEFAULTS")" '644 root'
	assert_equal "$(node_exec ls -A "${DEFAULTS%/*}")" "${DEFAULTS##*/}"
	doctor
	nothing_bad
	says ok defaults '"timeout":30'
	inode=$(node_exec stat -c %i "$DEFAULTS")
	lamina defaults timeout= >/dev/null
	assert_equal "$(node_exec cat "$DEFAULTS" | jq -c .)/$(node_exec stat -c %i "$DEFAULTS")" "{\"nodeName\":\"node-1\",\"timeout\":30}/$inode"
	node_exec chmod 600 "$DEFAULTS"
	# Not into the old one: who has it open reads on in that.
	node_exec sh -c "exec 3<$DEFAULTS; CNI_COMMAND= /opt/cni/bin/lamina defaults --write timeout= >/dev/null && cat <&3" | grep -q timeout
	assert_equal "$(node_exec cat "$DEFAULTS" | jq -c .)/$(node_exec stat -c %a "$DEFAULTS")" '{"nodeName":"node-1"}/644'
	before=$(node_exec cat "$DEFAULTS")
	run --separate-stderr lamina defaults --write timeout=0
	assert_equal "$status/$output" 1/
	assert_equal "$(node_exec cat "$DEFAULTS")" "$before"
	node_exec sh -c "rm -r ${DEFAULTS%/*} && echo >${DEFAULTS%/*}"
	run --separate-stderr lamina defaults --write timeout=1
	node_exec rm "${DEFAULTS%/*}"
	assert_equal "$status/$output" 1/
	[[ $stderr == *"${DEFAULTS%/*}"* ]]
	run --separate-stderr lamina gc --write
	assert_equal "$status/$output" 2/
}

@test "nothing suggests to write onto the file that is read" {
	defaults '{"nodeName": "node-7", "timeout": 0}'
	finds bad defaults 'timeout is 0.*lamina defaults --write KEY=VALUE'
	defaults '{"nodeName": "node-7"}'
	finds bad node 'no Node of that name; .*lamina defaults --write nodeName=NAME'
	run ! grep -E 'lamina defaults .*> ' "$LAB_DIR/../../README.md"
	lamina --help | grep -q 'lamina defaults \[--write\]'
}

@test "where a folder lies is not said before somebody could look" {
	node_exec sh -c 'mkdir /run/a /run/b && mount -t tmpfs -o ro tmpfs /run/a && mount -t tmpfs -o ro tmpfs /run/b'
	conf '.cniDir = "/run/a/x" | .dataDir = "/run/b/x"'
	finds bad folders 'dataDir: /run/b cannot be written to'
	[[ $output != *'does not lie in memory'* ]]
	says note folders 'cniDir /run/a/x lies in memory'
	node_exec sh -c 'umount /run/a /run/b; rmdir /run/a /run/b'
	node_exec sh -c 'mkdir -m 700 /run/a && mkdir /run/a/b'
	conf '.dataDir = "/run/a/b"'
	run --separate-stderr node_exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all \
		/opt/cni/bin/lamina doctor --conf "$CONF_FILE"
	node_exec rm -r /run/a
	says bad folders 'dataDir /run/a/b: Permission denied'
	[[ $output != *'does not lie in memory'* ]]
}

@test "a store that does not open does not make etcd unused" {
	conf '.delegates += [.delegates[1] | .name = "k8snet3"] | del(.delegates[1].ipam.etcdConfig)'
	node_exec sh -c 'mkdir -m 700 /run/lamina && echo damaged >/run/lamina/$(cat /proc/sys/kernel/random/boot_id).db'
	finds bad folders '/run/lamina/.*\.db'
	[[ $output != *'not used: this node'* && $output != *'none are used'* ]]
	says note etcd 'not asked before'
	node_exec rm -r /run/lamina
	doctor
	says ok etcd 192.168.122.11
	[[ $output != *'not asked before'* ]]
}

# bats test_tags=fault
@test "why no server can be asked is said" {
	run --separate-stderr node_exec env LAMINA_FAULT=http:fail /opt/cni/bin/lamina doctor
	assert_equal "$status" 1
	says bad folders 'libcurl does not start'
	[[ $output != *'not used: '* ]]
	conf 'del(.delegates[1].ipam.etcdConfig)'
	run --separate-stderr node_exec env LAMINA_FAULT=http:fail /opt/cni/bin/lamina doctor
	assert_equal "$status" 1
	says ok etcd 'not used: this node'
	says bad api 'libcurl does not start'
}

# bats test_tags=fault
@test "a kernel without macvlan is a fault where a network of the configuration is one" {
	kube_nad_crd
	conf 'del(.delegates[1]) | .kubeconfig = "/etc/kubernetes/ssl/kube.kubeconfig"'
	run --separate-stderr node_exec env LAMINA_FAULT=macvlan_kind:fail /opt/cni/bin/lamina doctor
	nothing_bad
	says note macvlan 'the kernel has none: only a network of type macvlan'
	conf '.delegates[1].ipam = {type: "host-local"}'
	run --separate-stderr node_exec env LAMINA_FAULT=macvlan_kind:fail /opt/cni/bin/lamina doctor
	assert_equal "$status" 1
	says bad macvlan 'the kernel has no macvlan; load it'
}

@test "of three members of etcd one may be away, and not two" {
	etcd_kill 3
	doctor
	nothing_bad
	says note etcd '192.168.122.13:2379: connection refused; start etcd there.*pods start nevertheless'
	says ok etcd 192.168.122.11
	# Of two that are configured one is no majority of the cluster.
	conf '.delegates[1].ipam.etcdConfig.etcdURL = "https://192.168.122.12:2379,https://192.168.122.13:2379"'
	finds bad etcd '192.168.122.13:2379: connection refused; start etcd there'
	[[ $output != *nevertheless* ]]
}
