#!/usr/bin/env bats
# GC: the runtime says which attachments there are, and everything else of this network goes.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

# Where an address was is remembered for a while; the first ADD notes that it has looked for kube-ipam's pods.
SNAPSHOT_IGNORE='INTO (cursor|released) |/imported'

setup_file()
{
	setup_node
	warm_up
	clean_up
}

clean_up()
{
	node_exec sh -c 'ip -all netns delete
		rm -rf /var/lib/cni/multus /run/lamina /var/lib/cni/flannel/* /var/lib/cni/results /var/lib/cni/networks/*/10.* /etc/cni/net.d/*'
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf '.cniVersion = "1.1.0"')
	STATE=/var/lib/cni/multus
	pod_args default web-1 uid-1
	annotations
	new_pod other
	new_pod pod
}

teardown()
{
	clean_up
}

# gc VALID [K=V ...]: GC as libcni calls it, with that list.
gc()
{
	local CONF=$CONF
	conf_edit 'del(.runtimeConfig) | ."cni.dev/valid-attachments" = $it' --argjson it "$1"
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS= "${@:2}"
}

# valid CID [IFNAME]: a list with just this one.
valid()
{
	jq -cn '[{containerID: $cid, ifname: $ifname}]' --arg cid "$1" --arg ifname "${2:-eth0}"
}

# add NAME [K=V ...]: ADD of that pod, whose container is called so, too.
add()
{
	POD=$1 CID=$1 cni ADD "${@:2}"
	assert_ok
}

# A network of one delegate that does nothing, beside the database network.
use_stub()
{
	stub hand
	stub_reset hand
	conf_edit '.delegates[0] = {cniVersion: "1.1.0", name: "hands", type: "hand"}'
}

# What is recorded: names of files, one a line.
recorded()
{
	node_exec find "$STATE" -type f ! -name '*.db*' ! -name imported -printf '%P\n' | sort
}

# The addresses that the store has, on one line.
held()
{
	lamina ip ls --json | jq -r '[.[] | select(.kind != "kept") | .address] | join(" ")'
}

@test "GC keeps exactly what is listed: the other pod's interfaces, addresses, rules and files go [check 55]" {
	local before
	add pod
	before=$(recorded)
	add other
	conf_edit '.prevResult = $it' --argjson it "$output"
	cni CHECK CNI_CONTAINERID=other CNI_NETNS=/run/netns/other
	assert_ok
	gc "$(valid pod)"
	assert_ok
	assert_equal "$(recorded)" "$before"
	assert_equal "$(held)" 10.188.0.10
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni CHECK CNI_CONTAINERID=other CNI_NETNS=/run/netns/other
	assert_code 3
	POD=other
	refute_link eth0
	refute_link net1
	assert_equal "$(pod_rules)" ""
	assert_equal "$(node_exec find /var/lib/cni/networks /var/lib/cni/flannel -name '10.*' -o -name other | wc -l)" 1
}

@test "GC with an empty list, or with null, takes down everything of this network [check 56]" {
	local list
	for list in null '[]'; do
		snapshot
		add pod
		add other
		gc "$list"
		assert_ok
		assert_unchanged
	done
}

@test "GC without the list removes nothing, and says so in one line [check 57]" {
	add pod
	snapshot
	conf_edit 'del(.runtimeConfig)'
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	assert_ok
	assert_unchanged
	assert_equal "$(grep -c . <<<"$stderr")" 1
	[[ $stderr == *"GC without cni.dev/valid-attachments: nothing is removed"* ]]
	conf_edit '."CNI.dev/Valid-Attachments" = []'
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	assert_ok
	assert_unchanged
	# Nor is a delegate asked to, by a list that nobody sent.
	use_stub
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	assert_ok
	assert_equal "$(stub_calls hand)" ""
}

@test "cnitool's gc, which sends no list, removes nothing of a pod that it has not made [check 57]" {
	add pod
	snapshot
	node_conf - 10-multus.conf <<<"$(seed_conf '.cniVersion = "1.1.0"')"
	run node_cnitool gc multus-demo pod
	echo "$output"
	assert_equal "$status" 0
	assert_unchanged
	# What it has made it takes down itself.
	CAP_ARGS='{"io.kubernetes.cri.pod-annotations": {}}' node_cnitool add multus-demo other >/dev/null
	node_cnitool gc multus-demo other
	POD=other refute_link net1
	pod_ping 10.188.0.1
}

@test "a list that is none is code 7, and nothing is removed" {
	local list
	add pod
	snapshot
	for list in '{}' '"pod"' 7 '["pod"]' '[{}]' '[{"containerID": "pod"}]' '[{"containerID": "pod", "ifname": 7}]' \
		'[{"containerID": "pod", "ifname": "eth0"}, {"containerID": "", "ifname": "eth0"}]'; do
		gc "$list"
		assert_code 7
		assert_msg '^cni.dev/valid-attachments'
		assert_unchanged
	done
}

@test "what belongs to another network's configuration stays, and is named to the delegates that both have" {
	use_stub
	add pod
	snapshot
	conf_edit '.name = "another"'
	gc '[]'
	assert_ok
	assert_unchanged
	assert_equal "$(stub_stdin hand 2 | jq -c '."cni.dev/valid-attachments"')" "$(valid pod)"
}

@test "of two ADDs of one container only the one that is not listed goes" {
	use_stub
	conf_edit 'del(.delegates[1])'
	add pod
	add pod CNI_IFNAME=eth1
	gc "$(valid pod eth1)"
	assert_ok
	assert_equal "$(stub_calls hand)" "ADD ADD DEL GC"
	[[ $(stub_env hand 3) == *CNI_IFNAME=eth0* ]]
	assert_equal "$(node_exec jq -r '.[].lamina.for' "$STATE/pod")" eth1
}

@test "a namespace that is gone leaves nothing on the node, and one that came to its path is left alone" {
	snapshot
	add pod
	pod_down pod
	pod_up pod
	node_exec ip -n pod link add eth0 type bridge
	gc '[]'
	assert_ok
	pod_link eth0 >/dev/null
	node_exec ip -n pod link del eth0
	assert_unchanged
}

@test "the delegates' DEL is called as the runtime's would: namespace, arguments, capabilities, result" {
	use_stub
	conf_edit '.delegates[0].capabilities = {mac: true} | .runtimeConfig.mac = "02:00:00:00:00:01"'
	add pod
	gc '[]'
	assert_ok
	local env
	env=$(stub_env hand 2)
	[[ $env == *CNI_COMMAND=DEL* && $env == *CNI_CONTAINERID=pod* && $env == *CNI_NETNS=/run/netns/pod* && $env == *CNI_IFNAME=eth0* ]]
	[[ $env == *"$(stub_env hand 1 | grep ^CNI_ARGS=)"* && $env == *";$ARGS"* ]]
	assert_equal "$(stub_stdin hand 2 | jq -c '[.runtimeConfig.mac, .prevResult.cniVersion]')" '["02:00:00:00:00:01","1.1.0"]'
}

@test "GC goes on past a failing DEL, says which, and the next one finishes it [check 58]" {
	use_stub
	add pod
	add other
	stub_set hand DEL run '[ "$CNI_CONTAINERID" != other ] || { echo "{\"code\": 123, \"msg\": \"no hand free\"}"; exit 1; }'
	gc null
	assert_code 123
	assert_msg 'interface eth0 of container other: no hand free'
	assert_equal "$(recorded)" $'other\nresults/hands-other-eth0'
	assert_equal "$(held)" ""
	POD=other refute_link net1
	stub_set hand DEL run ''
	gc null
	assert_ok
	assert_equal "$(recorded)" ""
}

@test "several errors are all named: the first one's code, the others in the details [check 58]" {
	use_stub
	add pod
	add other
	stub_set hand DEL run 'echo "{\"code\": 123, \"msg\": \"no hand free for $CNI_CONTAINERID\"}"; exit 1'
	stub_set hand GC run 'echo "{\"code\": 50, \"msg\": \"no broom\"}"; exit 1'
	gc '[]'
	assert_code 123
	assert_json '(.msg + .details) | contains("no hand free for pod") and contains("no hand free for other") and contains("no broom")'
	assert_json '.details | contains("\"hands\" (hand)")'
}

@test "GC is forwarded to delegates of 1.1.0 in their own interface names, without a result; older ones are not asked [check 58]" {
	use_stub
	stub second
	stub old
	conf_edit '.delegates += [{cniVersion: "1.1.0", name: "seconds", type: "second"}, {cniVersion: "1.0.0", name: "olds", type: "old"}]'
	add pod
	gc '[{"containerID": "pod", "ifname": "eth0"}, {"containerID": "elsewhere", "ifname": "eth5"}]'
	assert_ok
	assert_equal "$(stub_calls hand)/$(stub_calls second)/$(stub_calls old)" "ADD GC/ADD GC/ADD"
	local key
	for key in cni.dev/valid-attachments cni.dev/attachments; do
		assert_equal "$(stub_stdin hand 2 | jq -c '.[$key]' --arg key "$key")" \
			'[{"containerID":"pod","ifname":"eth0"},{"containerID":"elsewhere","ifname":"eth5"}]'
		assert_equal "$(stub_stdin second 2 | jq -c '.[$key]' --arg key "$key")" \
			'[{"containerID":"pod","ifname":"net2"},{"containerID":"elsewhere","ifname":"net2"}]'
	done
	assert_equal "$(stub_stdin second 2 | jq -c '[.name, .cniVersion, has("prevResult")]')" '["seconds","1.1.0",false]'
	assert_equal "$(stub_env second 2 | grep -E '^CNI_(COMMAND|CONTAINERID|NETNS|IFNAME|ARGS)=.' | paste -sd ' ')" CNI_COMMAND=GC
}

@test "two delegates of one name: GC leaves what both have of a container that is listed, and takes what both have of another" {
	use_stub
	conf_edit '.delegates = [.delegates[0], .delegates[0]]'
	add pod
	add other
	# Without its record it is found by its answers.
	node_exec rm "$STATE/pod"
	gc '[{"containerID": "pod", "ifname": "eth0"}]'
	assert_ok
	assert_equal "$(recorded)" $'results/hands-pod-eth0\nresults/hands-pod-net1'
	assert_equal "$(stub_stdin hand 7 | jq -c '."cni.dev/valid-attachments"')" \
		'[{"containerID":"pod","ifname":"eth0"},{"containerID":"pod","ifname":"net1"}]'
	assert_equal "$(stub_calls hand)" "ADD ADD ADD ADD DEL DEL GC GC"
	POD=pod CID=pod cni DEL
	assert_ok
	assert_equal "$(stub_calls hand)/$(recorded)" "ADD ADD ADD ADD DEL DEL GC GC DEL DEL/"
}

@test "GC reaches every plugin of a list, and the IPAM plugin of a macvlan; disableGC keeps it from a list [check 58]" {
	local plugin
	for plugin in one two ipam; do
		stub "$plugin"
		stub_reset "$plugin"
	done
	stub_set one GC exit 1
	CONF=$(jq -n '{cniVersion: "1.1.0", name: "multus-demo", type: "multus-cni", delegates: [
		{cniVersion: "1.1.0", name: "list", plugins: [{type: "one"}, {type: "two"}]},
		{cniVersion: "1.1.0", name: "macvlans", type: "macvlan", master: "eth0", ipam: {type: "ipam"}}]}')
	gc '[]'
	assert_code 999
	assert_equal "$(stub_calls one)/$(stub_calls two)/$(stub_calls ipam)" GC/GC/GC
	conf_edit '.delegates[0].disableGC = true'
	gc '[]'
	assert_ok
	assert_equal "$(stub_calls one)/$(stub_calls two)/$(stub_calls ipam)" "GC/GC/GC GC"
}

@test "a hanging DEL takes only its share: the other pods and the delegates' GC have their turn" {
	use_stub
	conf_edit '.timeout = 8'
	add pod
	add other
	stub_set hand DEL run '[ "$CNI_CONTAINERID" != other ] || sleep 1000'
	gc '[]'
	assert_code 11
	assert_msg 'container other: .*did not answer within'
	assert_equal "$(recorded)" $'other\nresults/hands-other-eth0'
	[[ $(stub_calls hand) == *GC ]]
}

@test "an address that nobody remembers is given back, one of a listed container stays" {
	add pod
	add other
	node_exec rm "$STATE/pod" "$STATE/other"
	assert_equal "$(held)" "10.188.0.10 10.188.0.11"
	gc "$(valid pod)"
	assert_ok
	assert_equal "$(held)" 10.188.0.10
}

@test "a cached result goes with its container: what is listed, recorded or of another network stays" {
	add pod
	add other
	node_exec sh -c "cd $STATE/results && for c in lost kept; do sed s/other/\$c/g k8snet1-other-eth0 >k8snet1-\$c-eth0; done &&
		sed 's/other/lost/g; s/k8snet1/foreign/g' k8snet1-other-eth0 >foreign-lost-eth0"
	gc '[{"containerID": "pod", "ifname": "eth0"}, {"containerID": "other", "ifname": "eth0"}, {"containerID": "kept", "ifname": "eth0"}]'
	assert_ok
	assert_equal "$(recorded | grep results/)" "$(printf 'results/%s\n' foreign-lost-eth0 k8snet1-kept-eth0 k8snet1-other-eth0 k8snet1-pod-eth0 \
		k8snet2-other-net1 k8snet2-pod-net1)"
}

@test "a container of which only cached results are left gets its DEL, of multus's not while its namespace is there" {
	use_stub
	add pod
	add other
	node_exec sh -c "cd $STATE && rm pod other && cd results && for c in *-other-*; do jq -c 'del(.lamina)' \$c >/run/h && mv /run/h \$c; done"
	gc '[]'
	assert_ok
	assert_equal "$(stub_calls hand)" "ADD ADD GC DEL"
	[[ $(stub_env hand 4) == *CNI_CONTAINERID=pod* ]]
	assert_equal "$(recorded)" $'results/hands-other-eth0\nresults/k8snet2-other-net1'
	stub_set hand DEL exit 1
	pod_down other
	gc '[]'
	[[ $status != 0 ]]
	assert_equal "$(recorded)" results/hands-other-eth0
	stub_set hand DEL exit 0
	gc '[]'
	assert_ok
	assert_equal "$(recorded)/$(held)" /
}

@test "multus's records stay while their namespace is there, and go when it is not and they are not listed" {
	add pod
	add other
	node_exec sh -c "cd $STATE && for c in pod other; do jq -c 'map(del(.lamina))' \$c >/run/\$c && mv /run/\$c \$c; done"
	snapshot
	gc '[]'
	assert_ok
	assert_unchanged
	pod_down other
	gc "$(valid other)"
	assert_ok
	node_exec test -e "$STATE/other"
	gc '[]'
	assert_ok
	assert_equal "$(recorded)" $'pod\nresults/k8snet1-pod-eth0\nresults/k8snet2-pod-net1'
	assert_equal "$(held)" 10.188.0.10
	POD=pod pod_ping 10.188.0.1
}

@test "a damaged record is left alone and named" {
	add pod
	node_exec sh -c "echo '[{' >$STATE/pod"
	snapshot
	gc "$(valid other)"
	assert_ok
	[[ $stderr == *"$STATE/pod is damaged, and left alone"* ]]
	assert_unchanged
}

@test "a damaged record goes by the cached results when its namespace is gone and it is not listed" {
	use_stub
	add pod
	add other
	node_exec sh -c "echo '[{' >$STATE/pod; echo '[{' >$STATE/other"
	pod_down pod
	gc '[]'
	assert_ok
	assert_equal "$(stub_calls hand)" "ADD ADD DEL GC"
	[[ $(stub_env hand 3) == *CNI_CONTAINERID=pod* ]]
	[[ $stderr == *"$STATE/other is damaged, and left alone"* && $stderr != *"$STATE/pod is"* ]]
	assert_equal "$(recorded | grep -c pod)" 0
	assert_equal "$(held)" 10.188.0.11
}

@test "GC awaits the programs of an ADD that was killed before it undoes it" {
	use_stub
	stub_set hand ADD run "echo begun >>$NODE_DIR/order; sleep 0.5; echo ended >>$NODE_DIR/order"
	stub_set hand DEL run "echo gone >>$NODE_DIR/order"
	rm -f "$NODE_DIR/order"
	cni_start ADD
	while [[ ! -e $NODE_DIR/order ]]; do sleep 0.01; done
	kill -KILL "$CNI_PID"
	cni_wait
	gc '[]'
	assert_ok
	assert_equal "$(paste -sd ' ' "$NODE_DIR/order")" "begun ended gone"
	assert_equal "$(recorded)/$(held)" /
}

@test "a pod that is being added meanwhile, and is listed, is not disturbed" {
	use_stub
	add other
	stub_set hand ADD run "touch $NODE_DIR/begun; while [ ! -e $NODE_DIR/go ]; do sleep 0.01; done"
	cni_start ADD
	while [[ ! -e $NODE_DIR/begun ]]; do sleep 0.01; done
	local job=$CNI_JOB files=$CNI_FILES
	BATS_TEST_TMPDIR=$(mktemp -d "$BATS_TEST_TMPDIR/XXXX") gc "$(valid pod)"
	assert_ok
	touch "$NODE_DIR/go"
	CNI_JOB=$job CNI_FILES=$files CNI_VERB=ADD cni_wait
	CNI_FILES=$files CNI_VERB=ADD assert_ok
	assert_equal "$(recorded)" $'pod\nresults/hands-pod-eth0\nresults/k8snet2-pod-net1'
	conf_edit '.prevResult = $it' --argjson it "$output"
	cni CHECK
	assert_ok
	pod_ping 10.188.0.1
	rm "$NODE_DIR/go" "$NODE_DIR/begun"
}

# bats test_tags=fault
@test "GC that is killed half way is finished by the next one" {
	snapshot
	add pod
	add other
	gc '[]' LAMINA_FAULT=collected:kill
	assert_equal "$status" 137
	assert_equal "$(node_exec sh -c "ls $STATE | grep -cvE 'results|imported'")" 1
	gc '[]'
	assert_ok
	assert_unchanged
	add pod
	gc '[]' LAMINA_FAULT=before_release:kill
	assert_equal "$status" 137
	gc '[]'
	assert_ok
	assert_unchanged
}

@test "as kube-ipam GC gives back what is not listed of that network, by its files and by the store's word [check 55, 56]" {
	PLUGIN=kube-ipam
	CONF=$(seed_conf '.delegates[1] | .cniVersion = "1.1.0" | .capabilities = {"io.kubernetes.cri.pod-annotations": true}')
	annotations
	cni ADD CNI_CONTAINERID=one
	cni ADD CNI_CONTAINERID=two
	cni ADD CNI_CONTAINERID=three CNI_IFNAME=eth7
	node_exec rm "$STATE/lease/two.eth0"
	assert_equal "$(held)" "10.188.0.10 10.188.0.11 10.188.0.12"
	local before
	before=$(recorded)
	CONF=$(jq '.name = "foreign"' <<<"$CONF") gc '[]'
	assert_ok
	assert_equal "$(recorded)/$(held)" "$before/10.188.0.10 10.188.0.11 10.188.0.12"
	gc "$(valid three eth7)"
	assert_ok
	assert_equal "$(recorded)/$(held)" "lease/three.eth7/10.188.0.12"
	gc null
	assert_ok
	assert_equal "$(recorded)/$(held)" /
}

@test "as kube-ipam GC keeps what a record of lamina's pods has, and without a list everything [check 57]" {
	add pod
	PLUGIN=kube-ipam
	CONF=$(seed_conf '.delegates[1] | .cniVersion = "1.1.0"')
	annotations
	cni ADD CNI_CONTAINERID=one
	cni GC CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=
	assert_ok
	assert_equal "$(held)" "10.188.0.10 10.188.0.11"
	gc '[]'
	assert_ok
	assert_equal "$(held)" 10.188.0.10
}
