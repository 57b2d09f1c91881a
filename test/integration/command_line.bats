#!/usr/bin/env bats
# lamina for people: --help, plan, ip ls|show|release, and the trace. The rest of ip is in ip_command.bats.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
}

teardown_file()
{
	teardown_node
}

setup()
{
	# net1 alone, as eth0 of the pod: no other plugin runs.
	CONF=$(seed_conf '.delegates = [.delegates[1]]')
	new_pod p1
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni /etc/cni/net.d/* /run/elsewhere'
}

# A file in the node with the configuration that the filter makes of the seed's. Usage: conf_file NAME [FILTER]
conf_file()
{
	seed_conf "${2:-.}" | node_exec sh -c 'cat >"$1"' sh "$1"
}

# Runs it and says what came of it: status, output, stderr.
person()
{
	run --separate-stderr lamina "$@"
}

# Two pods: one with a fixed address, one with a dynamic one.
two_pods()
{
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	annotations
	pod_up p2
	pod_args default web-1 uid-2
	POD=p2 CID=p2 cni ADD
	assert_ok
}

@test "without arguments it says what it is, on stderr [check 3]" {
	person
	assert_equal "$status/$output" 0/
	[[ $stderr == *lamina*"CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0" ]]
}

@test "--help names every command and the exit statuses, --version the version" {
	local word
	person --help
	assert_equal "$status/$stderr" 0/
	for word in 'lamina plan FILE' 'lamina ip ls' 'lamina ip show ADDR' 'lamina ip release ADDR' 'lamina ip reserve ADDR' 'lamina ip gc' 'lamina ip import' 'lamina ip export' \
		--force --json --annotation --conf --network --for --note --dry-run --from-api --kubeconfig --version \
		'lamina doctor' 'lamina defaults' --node-name --defaults --write \
		'Exit status: 0 done, 1 failed (doctor: something is bad), 2 wrong call, 3 no such address' '4 refused' LAMINA_TRACE; do
		[[ $output == *"$word"* ]] || fail "not in the help: $word"
	done
	local whole=$output call
	for call in -h help 'ip --help' 'plan --help' 'doctor --json --help' 'ip release 10.188.0.9 -h'; do
		# shellcheck disable=SC2086 # a call of several words
		person $call
		assert_equal "$call: $status/$stderr/$output" "$call: 0//$whole"
	done
	person --version
	assert_equal "$status/$stderr" 0/
	[[ $output =~ ^lamina\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "a wrong call is exit status 2, says how on stderr, and prints nothing" {
	local call
	for call in nonsense '--nonsense' plan 'plan a b' ip 'ip nonsense' 'ip ls extra' 'ip show' 'ip show 1 2' 'ip show 10.188.0.300' \
		'ip release' 'ip release fd00::g' 'ip gc extra' 'ip import extra' 'ip export extra' 'ip ls --force' 'ip show 10.188.0.9 --dry-run' \
		'ip release 10.188.0.9 --note x' 'ip export --from-api' 'ip ls --for a/b' 'plan a --annotation' 'plan a --annotation nonsense' 'ip ls --conf' \
		'plan a --dry-run' 'plan a --conf b' 'ip ls --kubeconfig /a' 'ip import --kubeconfig /a' 'gc --kubeconfig /a' 'ip gc --kubeconfig'; do
		# shellcheck disable=SC2086 # a call of several words
		person $call
		assert_equal "$call: $status/$output" "$call: 2/"
		[[ $stderr == "lamina: "* ]]
	done
	person ip ls --nonsense
	[[ $stderr == "lamina: unknown option --nonsense (lamina --help)" ]]
	person ip ls --conf
	[[ $stderr == "lamina: --conf wants a value (lamina --help)" ]]
}

@test "an answer that cannot be written is a failure" {
	run ! node_exec sh -c '/opt/cni/bin/lamina --help >/dev/full'
	run ! node_exec sh -c '/opt/cni/bin/lamina ip ls >/dev/full'
}

@test "plan shows what each delegate would make, and changes nothing" {
	conf_file /run/good.conf
	snapshot
	person plan /run/good.conf
	assert_equal "$status/$stderr" 0/
	assert_equal "$output" "$(
		cat <<-'END'
			eth0
			  network  k8snet1
			  type     flannel
			  kind     exec
			net1
			  network  k8snet2
			  type     macvlan
			  kind     macvlan
			  master   eth0
			  mode     bridge
			  ipam     kube-ipam
			  dynamic  10.188.0.10-10.188.0.200
		END
	)"
	person plan /run/good.conf --json --annotation 'kube-ipam.ip=10.188.0.217, 10.188.0.218' --annotation kube-ipam.netmask=255.255.0.0
	assert_equal "$status/$stderr" 0/
	jq -e 'length == 2 and .[0] == {interface: "eth0", network: "k8snet1", type: "flannel", kind: "exec"}
		and .[1].interface == "net1" and .[1].fixed == ["10.188.0.217", "10.188.0.218"] and (.[1] | has("dynamic") | not)' <<<"$output"
	assert_unchanged
	person plan /run/good.conf --annotation k8s.v1.cni.cncf.io/networks=vlan7
	assert_equal "$status" 0
	[[ $stderr == "lamina: k8s.v1.cni.cncf.io/networks counts for nothing: there is no kubeconfig beside delegates" ]]
	# Nobody needs rights for it.
	run -0 node_exec setpriv --reuid 65534 --clear-groups /opt/cni/bin/lamina plan /run/good.conf
}

@test "plan finds lamina's plugin in a list, and says so when there is none" {
	seed_conf '{cniVersion, name: "a-list", plugins: [{type: "loopback"}, .]} | del(.plugins[1].name)' |
		node_exec sh -c 'cat >/run/list.conflist'
	person plan /run/list.conflist --json
	assert_equal "$status" 0
	jq -e 'map(.interface) == ["eth0", "net1"]' <<<"$output"
	node_exec sh -c 'echo "{\"name\": \"x\", \"plugins\": [{\"type\": \"bridge\"}]}" >/run/none.conflist'
	person plan /run/none.conflist
	assert_equal "$status/$output" 1/
	[[ $stderr == "lamina: /run/none.conflist has no plugin of type lamina"* ]]
}

@test "plan prints the error that ADD would give, naming the key, and exit status 1" {
	local filter wanted
	while IFS='|' read -r filter wanted; do
		conf_file /run/bad.conf "$filter"
		person plan /run/bad.conf
		assert_equal "$status/$output" 1/
		[[ $stderr == "lamina: "*"$wanted"* ]] || fail "$filter: $stderr"
	done <<-'END'
		.delegates[1].mode = "nonsense"|delegates[1].mode is "nonsense": it must be bridge, private, vepa or passthru
		.delegates[1].ipam.rangeStart = "10.188.9.9"|delegates[1].ipam.rangeStart
		.delegates[1].ipam.etcdConfig = {}|delegates[1].ipam.etcdConfig.etcdURL
		.delegates[0].type = "multus-cni"|delegates[0].type is "multus-cni"
		.delegates = []|delegates is missing or empty
		.type = "bridge"|type is bridge
	END
	conf_file /run/good.conf
	person plan /run/good.conf --annotation kube-ipam.ip=10.188.255.255
	assert_equal "$status/$output" 1/
	[[ $stderr == *"kube-ipam.ip is 10.188.255.255"* ]]
	person plan /run/nothing.conf
	assert_equal "$status/$output" 1/
	[[ $stderr == *"/run/nothing.conf: No such file"* ]]
	node_exec sh -c 'echo "{" >/run/bad.conf'
	person plan /run/bad.conf
	assert_equal "$status/$output" 1/
	[[ $stderr == *"/run/bad.conf: unexpected end of JSON input"* ]]
}

@test "plan takes the seed's own file byte for byte" {
	node_exec sh -c 'cat >/run/seed.conf' <"$LAB_DIR/seed/10-multus.conf"
	person plan /run/seed.conf --json --annotation kube-ipam.ip=10.188.0.217
	assert_equal "$status/$stderr" 0/
	jq -e 'map(.interface) == ["eth0", "net1"] and .[1].fixed == ["10.188.0.217"]' <<<"$output"
}

@test "ip ls on a node without pods is empty, and makes no files" {
	person ip ls --json
	assert_equal "$status/$output/$stderr" '0/[]/'
	person ip ls
	assert_equal "$status" 0
	[[ $output =~ ^NETWORK\ +ADDRESS\ +KIND\ +POD\ +NODE\ +CONTAINER\ +INTERFACE\ +AGE$ ]]
	run ! node_exec test -e /run/lamina
	run ! node_exec test -e /var/lib/cni
}

@test "ip ls shows network, address, kind, pod, node, container, interface and age, as a table and as JSON" {
	two_pods
	person ip ls
	assert_equal "$status/$stderr" 0/
	assert_equal "$(tail -n +2 <<<"$output" | sed -E 's/ +/ /g; s/[0-9]+s$/AGE/')" "$(
		cat <<-'END'
			k8snet2 10.188.0.10 dynamic default/web-1 node-1 p2 eth0 AGE
			k8snet2 10.188.0.217 fixed db/database-1-0 node-1 p1 eth0 AGE
		END
	)"
	person ip ls --json
	jq -e '(map(.time) | all(. > 1700000000)) and (map(.ageSeconds) | all(. >= 0 and . < 3600)) and map(del(.time, .ageSeconds)) == [
		{network: "k8snet2", address: "10.188.0.10", kind: "dynamic", namespace: "default", pod: "web-1", uid: "uid-2",
			container: "p2", interface: "eth0", node: "node-1"},
		{network: "k8snet2", address: "10.188.0.217", kind: "fixed", keptFor: "db", namespace: "db", pod: "database-1-0",
			uid: "uid-1", container: "p1", interface: "eth0", node: "node-1"}]' <<<"$output"
	cni DEL
	assert_ok
	person ip ls
	assert_equal "$(sed -nE '/217/ s/ +/ /gp' <<<"$output")" "k8snet2 10.188.0.217 kept (kept for db) - - - -"
	person ip ls --json
	jq -e '.[1] == {network: "k8snet2", address: "10.188.0.217", kind: "kept", keptFor: "db"}' <<<"$output"
}

@test "ip show shows one address, and exit status 3 says that nobody has it" {
	two_pods
	person ip show 10.188.0.217
	assert_equal "$status" 0
	[[ $output == *"db/database-1-0"* && $output != *10.188.0.10\ * ]]
	person ip show 10.188.0.10 --json
	assert_equal "$status/$(jq -r 'map(.address) | join(" ")' <<<"$output")" "0/10.188.0.10"
	person ip show 10.188.0.11
	assert_equal "$status/$output/$stderr" "3//lamina: nobody has 10.188.0.11"
}

@test "ip show takes an IPv6 address in any spelling" {
	conf_edit '.delegates[0].ipam = {type: "kube-ipam", subnet: "fd00:188::/64", rangeStart: "fd00:188::a"}'
	cni ADD
	assert_ok
	person ip show FD00:188:0:0::000A --json
	assert_equal "$status/$(jq -r '.[0].address' <<<"$output")" 0/fd00:188::a
}

@test "ip release refuses while the pod lives, unless forced; with the hold the address is anybody's" {
	two_pods
	snapshot
	person ip release 10.188.0.217
	assert_equal "$status/$output" 4/
	[[ $stderr == "lamina: 10.188.0.217 is held by db/database-1-0 on node node-1"*", which lives: delete the pod, or use --force" ]]
	assert_unchanged
	person ip release 10.188.0.217 --force
	assert_equal "$status" 0
	[[ $output == "released 10.188.0.217 of network k8snet2: by force from db/database-1-0 on node node-1"*", which lives" ]]
	person ip show 10.188.0.217
	assert_equal "$status" 3
	person ip release 10.188.0.217
	assert_equal "$status/$output/$stderr" "3//lamina: nobody has 10.188.0.217"
}

@test "ip release of a pod whose namespace is gone needs no force" {
	two_pods
	pod_down p2
	person ip release 10.188.0.10
	assert_equal "$status/$output" "0/released 10.188.0.10 of network k8snet2"
	person ip show 10.188.0.10
	assert_equal "$status" 3
}

@test "ip release of an address that is only kept makes it anybody's" {
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	pod_args web thief uid-2
	cni ADD
	assert_code 11
	assert_msg 'kept for namespace db'
	person ip release 10.188.0.217
	assert_equal "$status/$output" "0/released 10.188.0.217 of network k8snet2"
	cni ADD
	assert_ok
	lamina ip show 10.188.0.217 --json | jq -e '.[0].keptFor == "web"'
}

@test "a release by hand does not disturb the DEL of the pod that had the address" {
	cni ADD
	assert_ok
	person ip release 10.188.0.10 --force
	assert_equal "$status" 0
	cni DEL
	assert_ok
	person ip ls --json
	assert_equal "$output" '[]'
}

@test "ip finds its stores through the first configuration of lamina or multus, or the file that --conf names" {
	local places='.cniDir = "/run/elsewhere/cni" | .dataDir = "/run/elsewhere/data"'
	conf_edit "$places"
	cni ADD
	assert_ok
	person ip ls --json
	assert_equal "$status/$output" '0/[]'
	# A list, behind files that are not lamina's and one that nobody can read.
	node_exec sh -c 'echo "{\"type\": \"bridge\", \"name\": \"x\", \"dataDir\": \"/run/wrong\"}" >/etc/cni/net.d/00-other.conf
		echo "{" >/etc/cni/net.d/01-broken.conf; echo not-a-configuration >/etc/cni/net.d/02-readme.txt'
	jq '{cniVersion, name, plugins: [.]}' <<<"$CONF" | node_conf - 10-list.conflist
	seed_conf '.dataDir = "/run/wrong"' | node_conf - 20-later.conf
	person ip ls --json
	assert_equal "$status/$(jq -r 'map(.address) | join(" ")' <<<"$output")" "0/10.188.0.10"
	person ip ls --json --conf /etc/cni/net.d/20-later.conf
	assert_equal "$status/$output" '0/[]'
	person --conf /etc/cni/net.d/10-list.conflist ip show 10.188.0.10 --json
	assert_equal "$status" 0
	person ip ls --conf /run/nothing.conf
	assert_equal "$status/$output" 1/
	[[ $stderr == *"/run/nothing.conf: No such file"* ]]
	cni DEL
	assert_ok
}

@test "a damaged store is exit status 1 with what to do" {
	cni ADD
	assert_ok
	node_exec sh -c 'truncate -s 100 /run/lamina/*.db'
	person ip ls
	assert_equal "$status/$output" 1/
	[[ $stderr == "lamina: /run/lamina/"*".db is damaged"*"move it away"* ]]
}

# bats test_tags=fault
@test "ip ls beside a change that a kill cut off says what puts it right" {
	cni ADD LAMINA_FAULT=store_before_commit:kill
	assert_equal "$status" 137
	person ip ls
	assert_equal "$status/$output" 1/
	[[ $stderr == *"in the middle of a change by a process that was killed: the next ADD or DEL puts it right" ]]
	cni DEL
	assert_ok
	person ip ls --json
	assert_equal "$status/$output" '0/[]'
}

@test "LAMINA_TRACE=1 shows microseconds since exec for each step, on stderr" {
	local step last=-1 number
	cni ADD LAMINA_TRACE=1
	assert_ok
	[[ -n $stderr ]]
	while read -r line; do
		[[ $line =~ ^trace\ +([0-9]+)\ [a-z] ]] || fail "no time in: $line"
		number=${BASH_REMATCH[1]}
		((number >= last))
		last=$number
	done <<<"$stderr"
	for step in 'request read' planned inspected recorded 'address claimed' 'link created' 'link up' 'done'; do
		[[ $stderr == *"$step"* ]] || fail "no step $step"
	done
	cni DEL LAMINA_TRACE=1
	assert_ok
	[[ $stderr == *'links deleted'*'address released'* ]]
	cni ADD
	assert_equal "$stderr" ''
	cni DEL LAMINA_TRACE=0
	assert_equal "$stderr" ''
}

@test "plan refuses a name and a version that ADD would refuse" {
	seed_conf 'del(.name)' >"$NODE_DIR/nameless.conf"
	seed_conf '.cniVersion = "9.9.9"' >"$NODE_DIR/future.conf"
	run -1 lamina plan "$NODE_DIR/nameless.conf"
	[[ $output == *'missing network name'* ]]
	run -1 lamina plan "$NODE_DIR/future.conf"
	[[ $output == *'incompatible CNI versions'* ]]
}
