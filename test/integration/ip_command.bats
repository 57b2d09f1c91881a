#!/usr/bin/env bats
# lamina ip reserve, and what a reservation means for pods, on the store of one node. The same on etcd: ip_cluster.bats.
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
	seed_conf '.delegates = [.delegates[1]]' | node_conf - 10-lamina.conf
}

teardown()
{
	node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni /etc/cni/net.d/*'
}

# Runs it and says what came of it: status, output, stderr.
person()
{
	run --separate-stderr lamina "$@"
}

# The table without its head, and without what the clock says.
table()
{
	lamina ip ls | tail -n +2 | sed -E 's/ +/ /g; s/[0-9]+s$/AGE/'
}

@test "ip reserve keeps an address for a pod that is not there yet, and refuses it to every other" {
	person ip reserve 10.188.0.217 --for db/database-1-0
	assert_equal "$status/$output/$stderr" "0/reserved 10.188.0.217 of network k8snet2: db/database-1-0/"
	assert_equal "$(table)" "k8snet2 10.188.0.217 reserved (reserved for db/database-1-0) - - - AGE"
	lamina ip show 10.188.0.217 --json | jq -e '.[0] | .kind == "reserved" and .reservedFor == "db/database-1-0" and .ageSeconds < 3600
		and (has("pod") or has("keptFor") | not)'
	annotations kube-ipam.ip 10.188.0.217
	# Not even to the pod's own namespace.
	pod_args db database-2-0 uid-2
	cni ADD
	assert_code 11
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	lamina ip show 10.188.0.217 --json | jq -e '.[0] | .kind == "fixed" and .pod == "database-1-0" and .reservedFor == "db/database-1-0"'
}

@test "a reservation outlives its pod" {
	lamina ip reserve 10.188.0.217 --for db/database-1-0
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(table)" "k8snet2 10.188.0.217 reserved (reserved for db/database-1-0) - - - AGE"
	pod_args db database-2-0 uid-2
	cni ADD
	assert_code 11
}

@test "ip reserve --note keeps an address for something outside of the cluster: no pod gets it, fixed or dynamic" {
	person ip reserve 10.188.0.10 --note 'the printer, 2nd floor'
	assert_equal "$status/$output" "0/reserved 10.188.0.10 of network k8snet2: the printer, 2nd floor"
	assert_equal "$(table)" "k8snet2 10.188.0.10 reserved (reserved: the printer, 2nd floor) - - - AGE"
	lamina ip show 10.188.0.10 --json | jq -e '.[0] | .note == "the printer, 2nd floor" and (has("reservedFor") | not)'
	cni ADD
	assert_ok
	assert_json '.ips[0].address == "10.188.0.11/16"'
	annotations kube-ipam.ip 10.188.0.10
	new_pod p2
	cni ADD
	assert_code 11
}

@test "ip reserve of what is reserved just so is done, and changes nothing" {
	lamina ip reserve 10.188.0.217 --for db/database-1-0
	lamina ip reserve 10.188.0.218 --note printer
	snapshot
	person ip reserve 10.188.0.217 --for db/database-1-0
	assert_equal "$status" 0
	person ip reserve 10.188.0.218 --note printer
	assert_equal "$status" 0
	assert_unchanged
}

@test "ip reserve is refused, with exit status 4, while somebody else has the address or it is kept for him" {
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	lamina ip reserve 10.188.0.218 --for db/database-3-0
	snapshot
	person ip reserve 10.188.0.217 --for db/database-2-0
	assert_equal "$status/$output" 4/
	[[ $stderr == "lamina: 10.188.0.217 is held by db/database-1-0 on node node-1"*": delete the pod first"* ]]
	person ip reserve 10.188.0.217 --note printer
	assert_equal "$status/$output" 4/
	person ip reserve 10.188.0.218 --for db/database-2-0
	assert_equal "$status/$output" 4/
	[[ $stderr == *"10.188.0.218 is kept for pod db/database-3-0: "*'`lamina ip release` frees it'* ]] || fail "$stderr"
	assert_unchanged
	cni DEL
	assert_ok
	# Kept for its namespace now.
	person ip reserve 10.188.0.217 --for web/other
	assert_equal "$status/$output" 4/
	[[ $stderr == *"10.188.0.217 is kept for namespace db: "* ]] || fail "$stderr"
}

@test "a pod's own address, and one that is kept for its namespace, can be reserved for it" {
	annotations kube-ipam.ip 10.188.0.217
	pod_args db database-1-0 uid-1
	cni ADD
	assert_ok
	person ip reserve 10.188.0.217 --for db/database-1-0
	assert_equal "$status" 0
	assert_equal "$(table)" "k8snet2 10.188.0.217 fixed db/database-1-0 node-1 p1 eth0 AGE"
	cni DEL
	assert_ok
	assert_equal "$(table)" "k8snet2 10.188.0.217 reserved (reserved for db/database-1-0) - - - AGE"
	lamina ip release 10.188.0.217
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_equal "$(table)" "k8snet2 10.188.0.217 kept (kept for db) - - - -"
	person ip reserve 10.188.0.217 --for db/database-2-0
	assert_equal "$status" 0
	assert_equal "$(table)" "k8snet2 10.188.0.217 reserved (reserved for db/database-2-0) - - - AGE"
}

@test "what a pod had that is gone without a DEL can be reserved" {
	annotations kube-ipam.ip 10.188.0.217
	cni ADD
	assert_ok
	pod_down p1
	person ip reserve 10.188.0.217 --for default/web-2
	assert_equal "$status" 0
	assert_equal "$(table)" "k8snet2 10.188.0.217 reserved (reserved for default/web-2) - - - AGE"
}

@test "ip release frees a reservation" {
	lamina ip reserve 10.188.0.217 --for db/database-1-0
	person ip release 10.188.0.217
	assert_equal "$status/$output" "0/released 10.188.0.217 of network k8snet2"
	assert_equal "$(lamina ip ls --json)" '[]'
	person ip release 10.188.0.217 --json
	assert_equal "$status/$output" 3/
}

@test "ip reserve refuses what no pod could have, and what is no name and no note" {
	local call wanted
	while IFS='|' read -r call wanted; do
		# shellcheck disable=SC2086 # a call of several words
		person ip reserve $call
		assert_equal "$call: $status/$output" "$call: ${wanted%%:*}/"
		[[ $stderr == "lamina: "*"${wanted#*:}"* ]] || fail "$call: $stderr"
	done <<-'END'
		10.188.0.1 --note x|1:this is the gateway of 10.188.0.0/16
		10.188.255.255 --note x|1:this is the broadcast address
		10.189.0.1 --note x|1:no network of the configuration has 10.189.0.1
		10.188.0.5 --note x --network other|1:no network other of the configuration
		10.188.0.5|2:either --for NAMESPACE/NAME or --note TEXT
		10.188.0.5 --for a/b --note x|2:either --for NAMESPACE/NAME or --note TEXT
		10.188.0.5 --for web-1|2:--for wants NAMESPACE/NAME
		10.188.0.5 --for /web-1|2:--for wants NAMESPACE/NAME
		10.188.0.5 --for a/b/c|2:--for wants NAMESPACE/NAME
		10.188.0.5 --for Default/web|2:--for wants NAMESPACE/NAME
		nonsense --note x|2:is not an IP address
	END
	for call in '' $'a\nb' $'\e[31m' "$(printf '%201s' x)" $'\xff'; do
		person ip reserve 10.188.0.5 --note "$call"
		assert_equal "$status/$output" 2/
	done
	person ip reserve 10.188.0.5 --note "$(printf 'ü%.0s' {1..100})"
	assert_equal "$status" 0
}

@test "an address that lies in several networks is reserved in the one that --network names" {
	seed_conf '.delegates[0] = (.delegates[1] | .name = "k8snet1" | .ipam.domain = "other")' | node_conf - 10-lamina.conf
	person ip reserve 10.188.0.5 --note x
	assert_equal "$status/$output" 2/
	[[ $stderr == *"lies in networks k8snet1 and k8snet2: say --network which"* ]]
	person ip reserve 10.188.0.5 --note x --network k8snet2
	assert_equal "$status/$output" "0/reserved 10.188.0.5 of network k8snet2: x"
	person ip ls --network k8snet1 --json
	assert_equal "$status/$output" '0/[]'
	lamina ip ls --network k8snet2 --json | jq -e 'length == 1'
}

@test "a configuration whose networks cannot be read is exit status 1, naming the key" {
	seed_conf '.delegates[1].ipam.rangeStart = "10.9.9.9"' | node_conf - 10-lamina.conf
	person ip ls
	assert_equal "$status/$output" 1/
	[[ $stderr == *"delegates[1].ipam.rangeStart is"* ]] || fail "$stderr"
}
