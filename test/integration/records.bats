#!/usr/bin/env bats
# What is recorded of a pod's networks, in multus's files: real multus reads ours and deletes by them, lamina reads multus's, and a
# file that is lost or damaged leads to the other one.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../lab/networks.bash

STATE=/var/lib/cni/multus
DEVINFO=/var/run/k8s.cni.cncf.io/devinfo

setup_file()
{
	networks_up
	kube_put_nad default two '{"cniVersion": "0.4.0", "name": "two", "plugins": [
		{"type": "first", "own": {"deep": [1, 12345678901234567]}, "capabilities": {"mac": true, "ips": true}}, {"type": "second"}]}'
	kube_put_nad db one '{ "type": "first",  "name": "one-conf", "cniVersion": "0.3.1", "capabilities": {"bandwidth": true, "portMappings": true} }'
	# old_cni calls multus for both ways.
	old_install
}

teardown_file()
{
	teardown_node
}

setup()
{
	local name
	networks_setup
	for name in base first second; do
		stub "$name"
		node_exec cp "/opt/cni/bin/$name" /opt/cni/old/
	done
	conf_edit '.delegates = [{name: "base", type: "base", cniVersion: "0.3.1"}, {name: "extra", cniVersion: "0.4.0", plugins: [{type: "second", own: 1}]}]'
	stubs
}

# What the stubs do: `base` makes the default network's interface; with `links` all make theirs, as real plugins do.
stubs()
{
	local name
	for name in base first second; do
		stub_reset "$name"
		[[ ${1:-} != links ]] || stub_set "$name" ADD run 'ip -n "${CNI_NETNS##*/}" link add "$CNI_IFNAME" type bridge 2>/dev/null &&
			ip -n "${CNI_NETNS##*/}" addr add 10.7.0.4/16 dev "$CNI_IFNAME" && ip -n "${CNI_NETNS##*/}" link set "$CNI_IFNAME" up'
		[[ ${1:-} != links ]] || stub_set "$name" DEL run 'ip -n "${CNI_NETNS##*/}" link del "$CNI_IFNAME" 2>/dev/null || true'
	done
	stub_set base ADD out '{"cniVersion": "0.3.1", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
		"ips": [{"version": "4", "interface": 0, "address": "10.1.0.5/16", "gateway": "10.1.0.1"}]}'
}

# What the stubs have seen: arguments, and standard input by that filter.
seen()
{
	local name n
	for name in base first second; do
		for n in 1 2; do
			stub_env "$name" "$n" 2>/dev/null | grep -E '^CNI_(ARGS|IFNAME|COMMAND)=' || continue
			stub_stdin "$name" "$n" | jq -S "${1:-.}"
		done
	done
}

# The node's files of the container, decoded, what is lamina's own left out: Bytes and config are JSON, whose order is nobody's.
files()
{
	record | jq -S 'map(del(.lamina) | .Bytes |= (@base64d | fromjson))'
	node_exec sh -c "cd $STATE/results && cat *-$CID-*" |
		jq -sS 'map(del(.lamina) | .config |= (@base64d | fromjson)) | sort_by(.ifName)'
}

teardown()
{
	node_exec rm -rf "$STATE" "$DEVINFO" /var/log/lamina-test
	networks_teardown
}

record()
{
	node_exec cat "$STATE/$CID"
}

# What is left of the container.
left()
{
	node_exec sh -c "cd $STATE 2>/dev/null && find . -type f -name '*$CID*' | sort" | xargs
}

# The calls of a stub with their interfaces, and the N-th argument's.
calls()
{
	local name n=1
	for name in $(stub_calls "$1"); do
		echo "$name $(stub_env "$1" "$n" | sed -n 's/^CNI_IFNAME=//p')"
		n=$((n + 1))
	done | paste -sd,
}

@test "records, cached results, arguments and standard input are multus's own" {
	local of
	networks_pod '[{"name": "two", "interface": "db0", "mac": "02:00:00:00:00:07", "ips": ["10.7.0.4/16"], "default-route": ["10.7.0.1"]},
		{"name": "one", "namespace": "db", "bandwidth": {"ingressRate": 5}, "portMappings": [{"hostPort": 80, "containerPort": 81, "x": 1}],
			"infiniband-guid": "02:00:00:00:00:00:00:09"}]'
	for of in ours theirs; do
		stubs links
		stub_set second ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "some", "sandbox": "/x"}]}'
		if [[ $of == ours ]]; then
			cni ADD
		else
			old_cni ADD
		fi
		((status == 0))
		seen >"$BATS_TEST_TMPDIR/$of.seen"
		files >"$BATS_TEST_TMPDIR/$of.files"
		stubs links
		if [[ $of == ours ]]; then
			cni DEL
		else
			old_cni DEL
		fi
		((status == 0))
		# multus's DEL forgets the ports and the bandwidth that the pod asked for; lamina's does not.
		seen 'del(.runtimeConfig.portMappings, .runtimeConfig.bandwidth) | if .runtimeConfig == {} then del(.runtimeConfig) else . end' \
			>"$BATS_TEST_TMPDIR/$of.seen.del"
		assert_equal "$(left)" ''
	done
	cat "$BATS_TEST_TMPDIR/theirs.files"
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.files
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.seen
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.seen.del
}

@test "multus deletes by lamina's records: interfaces by their names, lists with all that stands in them" {
	# A list without a version: multus makes one of the few members that it knows, unless the record has a version for it.
	conf_edit '.delegates[1] = {name: "extra", plugins: [{type: "second", own: 1}]}'
	networks_pod '[{"name": "two", "interface": "db0", "mac": "02:00:00:00:00:07"}, {"name": "one", "namespace": "db"}]'
	cni ADD
	assert_ok
	kube_delete_pod default web-1
	stubs
	old_cni DEL
	((status == 0))
	assert_equal "$(calls base)/$(calls first)/$(calls second)" "DEL eth0/DEL net3,DEL db0/DEL db0,DEL net1"
	stub_stdin first 2 | jq -e '.own.deep[0] == 1 and .runtimeConfig.mac == "02:00:00:00:00:07" and .cniVersion == "0.4.0"'
	stub_stdin second 2 | jq -e '.own == 1'
	assert_equal "$(left)" ''
}

@test "what is left when some of lamina's networks are gone keeps its name for multus" {
	networks_pod 'two@db0,db/one'
	cni ADD
	assert_ok
	stub_set first DEL run '[ "$CNI_IFNAME" != net3 ] || { echo "{\"code\": 77, \"msg\": \"not now\"}"; exit 1; }'
	cni DEL
	assert_code 77
	record | jq -e 'map(.lamina.interface) == ["net3"]'
	stubs
	old_cni DEL
	((status == 0))
	assert_equal "$(calls base)/$(calls first)/$(calls second)" "/DEL net3/"
	assert_equal "$(left)" ''
}

@test "lamina deletes by multus's records, and strikes each network only after its own success" {
	networks_pod '[{"name": "two", "interface": "db0", "mac": "02:00:00:00:00:07"}, {"name": "one", "namespace": "db"}]'
	old_cni ADD
	((status == 0))
	kube_delete_pod default web-1
	stubs
	stub_set first DEL run '[ "$CNI_IFNAME" != net3 ] || { echo "{\"code\": 77, \"msg\": \"not now\"}"; exit 1; }'
	cni DEL
	assert_code 77
	assert_equal "$(calls base)/$(calls first)/$(calls second)" "DEL eth0/DEL net3,DEL db0/DEL db0,DEL net1"
	stub_stdin first 2 | jq -e '.own.deep[0] == 1 and .runtimeConfig.mac == "02:00:00:00:00:07"'
	record | jq -e 'length == 1 and .[0].Name == "db/one" and .[0].ifnameRequest == "net3"'
	stubs
	cni DEL
	assert_ok
	assert_equal "$(calls base)/$(calls first)/$(calls second)" "/DEL net3/"
	assert_equal "$(left)" ''
}

@test "a list of which multus has recorded too little is taken from its other members, or from the cached result" {
	local how
	networks_pod ''
	for how in members cached; do
		stubs
		old_cni ADD
		((status == 0))
		# As multus 4.2.2 writes a list that stands in a file of its own (its lossy Bytes).
		record | jq -c --arg how "$how" '.[1].Bytes = ({cniVersion: "0.4.0", name: "extra", plugins: [{type: "second", ipam: {}}]} | tojson | @base64)
			| if $how == "members" then .[1].CNINetworkConfigList.Plugins = [{Network: {type: "second"}, Bytes: ({type: "second", own: 2} | tojson | @base64)}]
				else . end' >"$BATS_TEST_TMPDIR/record"
		node_exec sh -c "cat >$STATE/$CID" <"$BATS_TEST_TMPDIR/record"
		cni DEL
		assert_ok
		stub_stdin second 2 | jq -e --argjson own "$([[ $how == members ]] && echo 2 || echo 1)" '.own == $own'
		assert_equal "$(left)" ''
	done
}

@test "a list without a version gets the configuration's on DEL, as multus has it" {
	conf_edit '.cniVersion = "0.4.0" | .delegates[1] = {name: "extra", plugins: [{type: "second", own: 1}]}'
	networks_pod ''
	cni ADD
	assert_ok
	stub_stdin second 1 | jq -e '.cniVersion == ""'
	cni DEL
	assert_ok
	stub_stdin second 2 | jq -e '.cniVersion == "0.4.0" and .own == 1 and (.prevResult | type) == "object"'
}

@test "a record that is lost or damaged, of lamina or of multus: DEL goes by the cached results, without the API server" {
	local of damage
	for of in ours theirs; do
		for damage in 'truncate -s 60' 'truncate -s 0' 'rm'; do
			stubs
			networks_pod '[{"name": "two", "interface": "db0", "mac": "02:00:00:00:00:07"}, {"name": "one", "namespace": "db"}]'
			if [[ $of == ours ]]; then
				cni ADD
			else
				old_cni ADD
			fi
			((status == 0))
			kube_delete_pod default web-1
			# shellcheck disable=SC2086 # a command of several words
			node_exec $damage "$STATE/$CID"
			stubs
			stub_set first DEL run '[ "$CNI_IFNAME" != net3 ] || { echo "{\"code\": 77, \"msg\": \"not now\"}"; exit 1; }'
			cni DEL
			assert_code 77
			[[ $stderr == *"going by $STATE/results"* ]]
			assert_equal "$(calls base)/$(calls second)" "DEL eth0/DEL db0,DEL net1"
			stub_stdin first "$([[ $of == ours ]] && echo 2 || echo 1)" |
				jq -e '.own.deep[0] == 1 and .runtimeConfig.mac == "02:00:00:00:00:07"'
			# The damaged file stays until all is gone.
			[[ $damage == rm ]] || node_exec test -e "$STATE/$CID"
			assert_equal "$(left | grep -o 'results/.*')" "results/one-conf-$CID-net3"
			stubs
			cni DEL
			assert_ok
			assert_equal "$(calls first)" "DEL net3"
			assert_equal "$(left)" ''
		done
	done
}

@test "CHECK of a macvlan that multus made, in the default network's place and beside it" {
	local what
	kube_put_nad default lan '{"cniVersion": "0.4.0", "type": "macvlan", "master": "eth0", "ipam": {"type": "host-local", "subnet": "10.7.0.0/16",
		"rangeStart": "10.7.0.10", "gateway": "10.7.0.1", "routes": [{"dst": "10.50.0.0/16"}, {"dst": "0.0.0.0/0"}]}}'
	conf_edit '.cniVersion = "0.4.0" | .delegates = [{name: "front", cniVersion: "0.4.0", type: "macvlan", master: "eth0", mode: "private", ipam: {type: "host-local",
		subnet: "10.8.0.0/16", rangeStart: "10.8.0.10"}}]'
	for what in 'addr del 10.7.0.10/16 dev net1' 'addr del 10.8.0.10/16 dev eth0' 'route del 10.50.0.0/16' 'link set net1 down' \
		'link set net1 address 02:00:00:00:00:99' 'link del net1'; do
		networks_pod lan
		old_cni ADD
		((status == 0))
		conf_edit '.prevResult = $it' --argjson it "$output"
		old_cni CHECK
		((status == 0))
		cni CHECK
		assert_ok
		# What the pod has beside it is nobody's business.
		pod_exec "$POD" ip addr add 10.7.0.99/16 dev net1
		cni CHECK
		assert_ok
		# shellcheck disable=SC2086 # several words
		pod_exec "$POD" ip $what
		cni CHECK
		assert_code 5
		conf_edit 'del(.prevResult)'
		cni DEL
		assert_ok
		assert_equal "$(left)" ''
		# Whatever multus has left.
		pod_exec "$POD" ip link del net1 2>/dev/null || true
		node_exec rm -rf /var/lib/cni/networks
	done
}

@test "another interface of the container's is not taken for a lost record's" {
	networks_pod ''
	conf_edit '.delegates = [.delegates[0]]'
	cni ADD
	assert_ok
	# As multus has it, which notes no CNI_IFNAME.
	node_exec sh -c "cd $STATE/results && jq 'del(.lamina)' base-$CID-eth0 >/run/x && mv /run/x base-$CID-eth0"
	stubs
	cni DEL CNI_IFNAME=lan0
	assert_ok
	assert_equal "$(calls base)" "DEL lan0"
	node_exec test -e "$STATE/results/base-$CID-eth0"
	cni DEL
	assert_ok
	assert_equal "$(calls base)" "DEL lan0,DEL eth0"
}

@test "hostile records and cached results name no file and no interface of others" {
	networks_pod ''
	node_exec sh -c "mkdir -p $STATE/results && echo keep >$STATE/keep"
	jq -n '[{Name: "../../x", ifnameRequest: "../keep", Bytes: ({type: "base", name: "../keep"} | tojson | @base64)},
		{Name: "x", ifnameRequest: 7, "default-route": "x", ipRequest: {}, Bytes: ({type: "second", name: "n"} | tojson | @base64)}]' |
		node_exec sh -c "cat >$STATE/$CID"
	cni DEL
	assert_code 7
	[[ $(calls second) == "DEL net1" ]]
	node_exec rm "$STATE/$CID"
	jq -n --arg cid "$CID" '{kind: "cniCacheV1", containerId: $cid, networkName: "../keep", ifName: "eth0", config: ({type: "base", name: "../keep"} | tojson | @base64)}' |
		node_exec sh -c "cat >$STATE/results/n-$CID-eth0"
	jq -n --arg cid "$CID" '{kind: "cniCacheV1", containerId: $cid, networkName: "n", ifName: "../../keep", config: ({type: "base", name: "n"} | tojson | @base64)}' |
		node_exec sh -c "cat >$STATE/results/n-$CID-eth1"
	echo '{"a' | node_exec sh -c "cat >$STATE/results/m-$CID-eth1"
	cni DEL
	assert_ok
	node_exec test -e "$STATE/keep"
}

# The pod of that UID has the device 0000:03:02.1 of intel.com/vf, and its plugin says something about it.
give_device()
{
	node_exec sh -c "mkdir -p $DEVINFO/dp /var/lib/kubelet/device-plugins && cat >$DEVINFO/dp/intel.com-vf-0000:03:02.1-device.json" \
		<<<'{"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.1"}}'
	jq -n --arg uid "$1" '{Data: {PodDeviceEntries: [{PodUID: $uid, ResourceName: "intel.com/vf", DeviceIDs: {"0": ["0000:03:02.1"]}}]}, Checksum: 1}' |
		node_exec sh -c 'cat >/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint'
}

@test "a device's information goes from the device plugin to the network's plugins and away again, as with multus" {
	local of
	kube_put_nad default vf '{"cniVersion": "0.4.0", "name": "vf", "type": "first", "capabilities": {"CNIDeviceInfoFile": true, "deviceID": true}}' intel.com/vf
	for of in ours theirs; do
		stubs
		networks_pod vf
		give_device "${ARGS##*UID=}"
		if [[ $of == ours ]]; then
			cni ADD
		else
			old_cni ADD
		fi
		((status == 0))
		node_exec sh -c "cat $DEVINFO/cni/default-vf-${CID}_net2" | jq -S . >"$BATS_TEST_TMPDIR/$of.info"
		{ seen && files; } | sed 's/UID=.*//; s/"[-0-9a-f]\{36\}"//' >"$BATS_TEST_TMPDIR/$of.seen"
		kube_api GET /api/v1/namespaces/default/pods/web-1 | jq -r '.metadata.annotations["k8s.v1.cni.cncf.io/network-status"]' >"$BATS_TEST_TMPDIR/$of.status"
		if [[ $of == ours ]]; then
			cni DEL
		else
			old_cni DEL
		fi
		((status == 0))
		assert_equal "$(node_exec ls "$DEVINFO/cni")" ''
	done
	cat "$BATS_TEST_TMPDIR"/theirs.*
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.info
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.seen
	diff -u "$BATS_TEST_TMPDIR"/{theirs,ours}.status
}

@test "of a device that a pod only names, and was not handed out to it, nothing is told, as with multus" {
	local of
	kube_put_nad default vf '{"cniVersion": "0.4.0", "name": "vf", "type": "first", "capabilities": {"CNIDeviceInfoFile": true, "deviceID": true}}' intel.com/vf
	for of in ours theirs; do
		stubs
		stub_set first ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "net2", "sandbox": "/x"}]}'
		networks_pod '[{"name": "vf", "deviceID": "0000:03:02.1"}]'
		give_device another
		if [[ $of == ours ]]; then
			cni ADD
		else
			old_cni ADD
		fi
		((status == 0))
		[[ $(stub_stdin first 1 | jq -r .runtimeConfig.deviceID) == 0000:03:02.1 ]]
		node_exec test ! -e "$DEVINFO/cni/default-vf-${CID}_net2"
		record | jq -e 'all(.[]; has("resourceName") | not)'
		kube_api GET /api/v1/namespaces/default/pods/web-1 |
			jq -e '.metadata.annotations["k8s.v1.cni.cncf.io/network-status"] | fromjson | length == 2 and all(.[]; has("device-info") | not)'
		if [[ $of == ours ]]; then
			cni DEL
		else
			old_cni DEL
		fi
		((status == 0))
	done
}

@test "the device's information that multus left for a macvlan goes with lamina's DEL" {
	kube_put_nad default vf '{"cniVersion": "0.4.0", "name": "vf", "type": "macvlan", "master": "eth0", "capabilities": {"CNIDeviceInfoFile": true, "deviceID": true}}' intel.com/vf
	networks_pod vf
	give_device "${ARGS##*UID=}"
	old_cni ADD
	((status == 0))
	assert_equal "$(node_exec ls "$DEVINFO/cni")" "default-vf-${CID}_net2"
	cni DEL
	assert_ok
	assert_equal "$(node_exec ls "$DEVINFO/cni")" ''
}
