#!/usr/bin/env bats
# ADD that is repeated, and the way down: DEL from the record, or from what is left to go by.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for jq.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

setup_file()
{
	setup_node
	warm_up
}

teardown_file()
{
	teardown_node
}

setup()
{
	CONF=$(seed_conf)
	new_pod "p$BATS_TEST_NUMBER"
	RECORD=/var/lib/cni/multus/$CID
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	pod_down "p$BATS_TEST_NUMBER"
}

@test "a second ADD fails, and the first one's interfaces, addresses and record stay byte for byte [check 34, 35]" {
	cni ADD
	assert_ok
	snapshot
	cni ADD
	assert_code 4
	assert_msg 'has interface eth0 of network multus-demo already: call DEL first'
	assert_unchanged
	annotations kube-ipam.ip 10.188.0.50
	cni ADD
	assert_code 4
	assert_unchanged
	pod_ping 10.188.0.1
	cni DEL
	assert_ok
}

@test "an ADD of another container into a pod whose interface exists is refused and undoes nothing of the first [check 34, 35]" {
	stub other
	cni ADD
	assert_ok
	snapshot
	CID=two cni ADD
	assert_code 4
	assert_msg "interface eth0 exists in /run/netns/$POD already"
	conf_edit '.delegates[0] = {name: "other", type: "other"}'
	CID=two cni ADD CNI_IFNAME=eth1
	assert_code 4
	assert_msg 'interface net1 exists'
	assert_equal "$(stub_calls other)" ""
	assert_unchanged
	CONF=$(seed_conf) cni DEL
	assert_ok
}

@test "DEL after an ADD that was refused for another container's interface leaves that one alone [check 42]" {
	cni ADD
	assert_ok
	snapshot
	CID=two cni ADD
	assert_code 4
	CID=two cni DEL
	assert_ok
	assert_unchanged
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni DEL
	assert_ok
	refute_link net1
}

@test "DEL a second time is success [check 36]" {
	snapshot
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	assert_unchanged
	cni DEL
	assert_ok
	assert_unchanged
}

@test "DEL of a container that never was is success [check 36]" {
	snapshot
	cni DEL CNI_CONTAINERID=never
	assert_ok
	assert_unchanged
}

@test "DEL after a failed ADD leaves nothing [check 40]" {
	snapshot
	node_exec mv /run/flannel/subnet.env /run/flannel/away
	cni ADD
	assert_code 999
	assert_msg 'subnet.env'
	node_exec mv /run/flannel/away /run/flannel/subnet.env
	assert_unchanged
	cni DEL
	assert_ok
	assert_unchanged
}

@test "DEL without the namespace frees everything on the node [check 37]" {
	local how
	for how in CNI_NETNS=/run/netns/$POD CNI_NETNS= -CNI_NETNS; do
		snapshot
		cni ADD
		assert_ok
		pod_down "$POD"
		cni DEL "$how"
		assert_ok
		pod_up "$POD"
		assert_unchanged
	done
}

@test "DEL with CNI_NETNS empty finds the namespace in the record [check 37]" {
	snapshot
	cni ADD
	assert_ok
	cni DEL CNI_NETNS=
	assert_ok
	assert_unchanged
}

@test "DEL with a path that is no namespace frees everything on the node [check 37]" {
	local path
	snapshot
	for path in /etc/passwd /run/nothing; do
		cni ADD
		assert_ok
		pod_down "$POD"
		cni DEL CNI_NETNS=$path
		assert_ok
		pod_up "$POD"
		assert_unchanged
	done
}

@test "DEL leaves a successor's namespace at the same path alone, its eth0 too [check 37]" {
	local before
	cni ADD
	assert_ok
	pod_down "$POD"
	pod_up "$POD"
	snapshot
	cni ADD CNI_CONTAINERID=successor
	assert_ok
	before=$(pod_witness)
	cni DEL
	assert_ok
	assert_equal "$(pod_witness)" "$before"
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	cni DEL CNI_CONTAINERID=successor
	assert_ok
	# The first container was a part of what the snapshot saw.
	lab_state "$BATS_TEST_TMPDIR/after"
	run ! grep -E '"veth","docker0"|multus/p|flannel/p|INTO claim|k8snet1/1' "$BATS_TEST_TMPDIR/after"
}

@test "DEL needs nothing of the configuration but where the record is [check 37]" {
	local filter
	for filter in '.delegates = []' 'del(.delegates)' '.delegates = "none"' '.delegates |= reverse' \
		'.delegates[0].type = "gone" | .delegates[1].master = "gone"' '.delegates[1].ipam.subnet = "nonsense"' \
		'.delegates[0].name = "a" | .delegates[1].name = "b"' '{cniVersion, name, type}' 'del(.type) | .timeout = "soon"'; do
		CONF=$(seed_conf)
		annotations
		snapshot
		cni ADD
		assert_ok
		conf_edit "$filter"
		cni DEL
		assert_ok
		assert_unchanged
	done
}

@test "DEL takes a prevResult, needs none, and does not believe one [check 38]" {
	local result
	snapshot
	cni ADD
	assert_ok
	result=$output
	conf_edit '.prevResult = $it' --argjson it "$result"
	cni DEL
	assert_ok
	assert_unchanged
	CONF=$(seed_conf '.prevResult = {cniVersion: "0.3.1", ips: [{version: "4", address: "10.9.9.9/24", interface: 7}], dns: {}}')
	annotations
	conf_edit 'del(.prevResult)'
	cni ADD
	assert_ok
	conf_edit '.prevResult = "nonsense"'
	cni DEL
	assert_ok
	assert_unchanged
}

@test "DEL with the master gone frees the address [check 39]" {
	snapshot
	node_exec ip link add m0 type bridge
	node_exec ip link set m0 up
	conf_edit '.delegates[1].master = "m0"'
	cni ADD
	assert_ok
	node_exec ip link del m0
	refute_link net1
	cni DEL
	assert_ok
	assert_unchanged
}

@test "DEL with a cniDir that cannot be written takes down what it can, says so, and ends it when it can" {
	node_exec sh -c 'mkdir -p /var/lib/cni/multus && mount -t tmpfs none /var/lib/cni/multus'
	snapshot
	cni ADD
	assert_ok
	node_exec mount -o remount,ro /var/lib/cni/multus
	cni DEL
	assert_code 5
	assert_msg 'cannot remove /var/lib/cni/multus/.*: Read-only file system'
	refute_link eth0
	refute_link net1
	lamina ip ls --json | jq -e 'all(.kind == "kept")'
	node_exec mount -o remount,rw /var/lib/cni/multus
	cni DEL
	assert_ok
	assert_unchanged
	node_exec umount /var/lib/cni/multus
}

@test "DEL needs no room on cniDir's disk" {
	node_exec sh -c 'mkdir -p /var/lib/cni/multus && mount -t tmpfs -o size=1m none /var/lib/cni/multus'
	cni ADD
	assert_ok
	node_exec sh -c 'dd if=/dev/zero of=/var/lib/cni/multus/filler bs=4096 2>/dev/null || true'
	cni DEL
	assert_ok
	assert_equal "$(node_exec find /var/lib/cni/multus -type f)" /var/lib/cni/multus/filler
	node_exec umount /var/lib/cni/multus
}

@test "DEL without a record goes by the configuration" {
	snapshot
	cni ADD
	assert_ok
	node_exec rm "$RECORD"
	cni DEL
	assert_ok
	assert_unchanged
	cni ADD
	assert_ok
	node_exec rm -r "$RECORD" /var/lib/cni/multus/results
	pod_down "$POD"
	cni DEL
	assert_ok
	pod_up "$POD"
	assert_unchanged
}

@test "DEL with a damaged record goes by the cached results, says so, and removes the record" {
	local damage
	snapshot
	for damage in 'truncate -s 100' 'truncate -s 0' 'sed -i s/.Bytes.:/0:/' 'sed -i s/^.//' 'cp /etc/passwd' 'cp /bin/true'; do
		cni ADD
		assert_ok
		# shellcheck disable=SC2086 # a command of several words
		node_exec $damage "$RECORD"
		cni DEL
		assert_ok
		[[ $stderr == *"$RECORD is damaged"*": going by /var/lib/cni/multus/results"* ]]
		assert_unchanged
	done
}

@test "DEL with a damaged record and without cached results goes by the configuration" {
	snapshot
	cni ADD
	assert_ok
	node_exec sh -c 'truncate -s 100 "$1" && rm -r /var/lib/cni/multus/results' sh "$RECORD"
	cni DEL
	assert_ok
	[[ $stderr == *"$RECORD is damaged: going by the configuration"* ]]
	assert_unchanged
}

@test "DEL with a damaged record: of two delegates of one name, that of which nothing is cached is deleted, too" {
	stub hand
	stub_reset hand
	CONF=$(jq -n '{cniVersion: "1.0.0", name: "twins", type: "multus", delegates: [{cniVersion: "1.0.0", name: "twin", type: "hand"}
		| ., .]}')
	cni ADD
	assert_ok
	node_exec truncate -s 100 "$RECORD"
	node_exec sh -c 'rm /var/lib/cni/multus/results/twin-*-net1'
	cni DEL
	assert_ok
	assert_equal "$(stub_calls hand)" "ADD ADD DEL DEL"
	node_exec test ! -e "$RECORD"
}

@test "DEL with a damaged record leaves a namespace alone that another container's record names" {
	cni ADD
	assert_ok
	snapshot
	node_exec sh -c 'head -c 100 "$1" >/var/lib/cni/multus/stale' sh "$RECORD"
	cni DEL CNI_CONTAINERID=stale
	assert_ok
	pod_link net1
	assert_unchanged
	cni DEL
	assert_ok
}

@test "DEL without a record deletes a macvlan of that name, and never a link of another kind [check 42]" {
	node_exec ip -n "$POD" link add net1 type bridge
	snapshot
	cni DEL
	assert_ok
	assert_unchanged
	node_exec ip -n "$POD" link del net1
	snapshot
	node_exec ip link add link eth0 name net1 netns "$POD" type macvlan mode bridge
	cni DEL
	assert_ok
	assert_unchanged
}

@test "DEL by the record deletes the link that ADD made, under whatever name, and no other [check 42]" {
	snapshot
	cni ADD
	assert_ok
	node_exec ip -n "$POD" link set net1 down
	node_exec ip -n "$POD" link set net1 name mine
	node_exec ip link add link eth0 name net1 netns "$POD" type macvlan mode bridge
	cni DEL
	assert_ok
	refute_link mine
	pod_link net1 | jq -e '.linkinfo.info_kind == "macvlan"'
	node_exec ip -n "$POD" link del net1
	assert_unchanged
}

@test "DEL of one CNI_IFNAME leaves the container's other one alone" {
	local both first=$CONF second
	second=$(seed_conf '.name = "second" | .delegates = [.delegates[1] | .name = "k8snet3" | del(.ipam.routes)]')
	snapshot
	cni ADD
	assert_ok
	CONF=$second
	annotations
	second=$CONF
	cni ADD CNI_IFNAME=lan0
	assert_ok
	both=$(pod_addrs lan0)

	CONF=$first
	cni DEL
	assert_ok
	refute_link eth0
	refute_link net1
	assert_equal "$(pod_addrs lan0)" "$both"
	pod_ping 10.188.0.1
	CONF=$second
	conf_edit '.cniVersion = "0.4.0" | .prevResult = {cniVersion: "0.4.0"}'
	cni CHECK CNI_IFNAME=lan0
	assert_ok
	CONF=$first
	cni ADD
	assert_ok
	CONF=$second
	cni DEL CNI_IFNAME=lan0
	assert_ok
	refute_link lan0
	pod_ping 10.188.0.1
	pod_ping 10.244.1.1
	CONF=$first
	cni DEL
	assert_ok
	assert_unchanged
}

@test "a late DEL of a dead sandbox does not free the address that its successor has by now" {
	local how
	annotations kube-ipam.ip 10.188.0.77
	for how in record 'no record'; do
		cni ADD CNI_CONTAINERID=old
		assert_ok
		pod_down "$POD"
		pod_up "$POD"
		cni ADD CNI_CONTAINERID=new
		assert_ok
		[[ $how == record ]] || node_exec rm /var/lib/cni/multus/old
		cni DEL CNI_CONTAINERID=old CNI_NETNS=
		assert_ok
		[[ $(lamina ip show 10.188.0.77 --json) == *'"container":"new"'* ]]
		assert_equal "$(pod_addrs net1)" 10.188.0.77/16
		pod_args other thief uid-2
		pod_up p2
		POD=p2 CID=thief cni ADD
		assert_code 11
		assert_msg '10.188.0.77 is held by default/web-1'
		pod_args default web-1 uid-1
		pod_down p2
		cni DEL CNI_CONTAINERID=new
		assert_ok
	done
}

@test "DEL calls delegates in reverse order, past one that fails, and returns the first error; a second DEL does the rest [check 41]" {
	local name
	for name in one two three; do
		stub "$name"
		stub_set "$name" DEL run "echo $name >>$NODE_DIR/order"
	done
	conf_edit '.delegates = [{name: "n1", type: "one"}, .delegates[1], {name: "n2", type: "two"}, {name: "n3", type: "three"}]'
	snapshot
	cni ADD
	assert_ok
	stub_set three DEL out '{"code": 42, "msg": "three is unhappy", "details": "it said"}'
	stub_set three DEL exit 1
	stub_set one DEL exit 1
	cni DEL
	assert_code 42
	assert_msg $'^three is unhappy\nit said$'
	assert_equal "$(stub_calls one)/$(stub_calls two)/$(stub_calls three)" "ADD DEL/ADD DEL/ADD DEL"
	refute_link net1
	lamina ip ls --json | jq -e 'all(.kind == "kept")'

	stub_set three DEL exit 0
	stub_set three DEL out ''
	stub_set one DEL exit 0
	cni DEL
	assert_ok
	assert_equal "$(stub_calls two)" "ADD DEL"
	assert_equal "$(stub_calls one)/$(stub_calls three)" "ADD DEL DEL/ADD DEL DEL"
	assert_unchanged
	assert_equal "$(head -n 3 "$NODE_DIR/order" | xargs)" "three two one"
}

@test "DEL without a record succeeds where no ADD could have begun: a bad configuration, a plugin that is not there" {
	new_pod p9
	CONF=$(seed_conf '.timeout = 0')
	snapshot
	cni DEL
	assert_ok
	[[ $stderr == *timeout* ]]
	CONF=$(seed_conf '.delegates[1].ipam.rangeStart = "10.189.0.1"')
	cni DEL
	assert_ok
	CONF=$(seed_conf '.delegates[1] = {"name": "n", "type": "nowhere"}')
	cni DEL
	assert_ok
	assert_unchanged
	pod_down p9
}

@test "a container ID that is the name of one of lamina's own files is refused [check 9]" {
	local id
	for id in results lease holds.db holds.db-journal; do
		cni DEL CNI_CONTAINERID="$id"
		assert_code 4
		assert_msg "CNI_CONTAINERID is $id"
	done
}
