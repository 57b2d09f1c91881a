#!/usr/bin/env bats
# What every CNI plugin owes its runtime: environment, standard input, versions, names, one JSON document, namespaces.
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
	new_pod p1
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	pod_down p1
}

readonly ALL_VERSIONS='["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]'

# The smallest thing that can be asked for: one macvlan without an address, as CNI_IFNAME.
l2_conf()
{
	CONF='{"cniVersion": "1.0.0", "name": "small", "type": "lamina",
		"delegates": [{"name": "l2", "type": "macvlan", "master": "eth0"}]}'
	conf_edit "${1:-.}"
}

# refused VERB CODE REGEX [K=V ...]: the call fails with that code, and msg or details match.
refused()
{
	cni "$1" "${@:4}"
	assert_code "$2"
	assert_msg "$3"
}

# stdin_refused CODE REGEX TEXT ...: each text on stdin is refused so.
stdin_refused()
{
	local text
	for text in "${@:3}"; do
		CONF=$text
		refused ADD "$1" "$2"
	done
}

@test "VERSION lists the seven versions, whatever stands on stdin and with no other variable [check 1]" {
	local text
	for text in '' '{' '[]' 'garbage' '{"cniVersion":7}' '{"cniVersion":"9.9.9"}' "$CONF"; do
		CONF=$text
		cni VERSION -CNI_CONTAINERID -CNI_NETNS -CNI_IFNAME -CNI_ARGS -CNI_PATH
		assert_ok
		assert_json '.supportedVersions == $all' --argjson all "$ALL_VERSIONS"
	done
}

@test "VERSION answers in the version that it is asked in, in one document [check 2]" {
	local version
	for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
		CONF="{\"cniVersion\":\"$version\"}"
		cni VERSION
		assert_ok
		assert_json '.cniVersion == $version' --arg version "$version"
	done
}

@test "without CNI_COMMAND it says on stderr what it is, and nothing on stdout [check 3]" {
	local change
	for change in -CNI_COMMAND CNI_COMMAND=; do
		cni nothing "$change"
		assert_ok
		[[ $stderr == *lamina* ]]
		[[ $stderr == *'CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'* ]]
	done
}

@test "missing and empty variables are named in one order, for each verb those that it needs [check 4, 5, 6, 7]" {
	local -A needed=(
		[ADD]='CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH'
		[CHECK]='CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH'
		[DEL]='CNI_CONTAINERID,CNI_IFNAME,CNI_PATH'
		[GC]=CNI_PATH
		[STATUS]=CNI_PATH
	)
	local verb
	for verb in "${!needed[@]}"; do
		cni "$verb" -CNI_PATH -CNI_IFNAME -CNI_ARGS -CNI_NETNS -CNI_CONTAINERID
		assert_code 4
		assert_json '.msg == $msg' --arg msg "required env variables [${needed[$verb]}] missing"
		cni "$verb" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS= CNI_PATH=
		assert_code 4
		assert_json '.msg == $msg' --arg msg "required env variables [${needed[$verb]}] missing"
	done
}

@test "DEL is served without CNI_NETNS, present or empty [check 5, 7]" {
	cni DEL -CNI_NETNS
	assert_ok
	cni DEL CNI_NETNS=
	assert_ok
}

@test "GC and STATUS need 1.1.0, and nothing but CNI_PATH [check 6, 20]" {
	local verb
	for verb in GC STATUS; do
		conf_edit '.cniVersion = "1.0.0"'
		refused "$verb" 1 "^config version does not allow $verb" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
		conf_edit '.cniVersion = "1.1.0"'
		cni "$verb" CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME= CNI_ARGS=
		assert_ok
	done
}

@test "an unknown command, also one in lower case, is named [check 8]" {
	local verb
	snapshot
	for verb in add Add DESTROY 'ADD '; do
		refused "$verb" 4 "^unknown CNI_COMMAND: $verb\$"
	done
	assert_unchanged
}

@test "a container ID of other than letters, digits, dot, dash and underscore is refused and shown [check 9]" {
	local id verb
	snapshot
	for id in -a .a _a a/b ../a 'a b' $'ab\n' ä; do
		for verb in ADD DEL CHECK; do
			cni "$verb" CNI_CONTAINERID="$id"
			assert_code 4
			assert_json '.msg == "invalid characters in containerID" and .details == $id' --arg id "$id"
		done
	done
	assert_unchanged
}

@test "an interface name has at most 15 bytes [check 10]" {
	l2_conf
	cni ADD CNI_IFNAME=abcdefghijklmno
	assert_ok
	pod_link abcdefghijklmno
	cni DEL CNI_IFNAME=abcdefghijklmno
	assert_ok

	local name
	snapshot
	for name in abcdefghijklmnop öäüöäüöä; do
		refused ADD 4 '^interface name is too long.*less than 16 characters' CNI_IFNAME="$name"
	done
	assert_unchanged
}

@test "an interface name that is a path, or holds a colon, white space or a format, is refused [check 11]" {
	local name
	l2_conf
	snapshot
	for name in . ..; do
		refused ADD 4 '^interface name is \. or \.\.' CNI_IFNAME="$name"
	done
	for name in a/b ../net1 a:b 'a b' $'a\tb' $'a\n' $'a\u0085b' $'a\u00a0b' $'a\u2003b' $'a\u2028b' $'a\u3000b'; do
		refused ADD 4 '^interface name contains / or : or whitespace characters' CNI_IFNAME="$name"
	done
	# The kernel would make another name of it.
	refused ADD 4 '^interface name contains %' CNI_IFNAME=a%d
	assert_unchanged
}

@test "an invalid variable is reported before missing ones, in the order of skel [check 12]" {
	refused ADD 4 'containerID' CNI_CONTAINERID=-a -CNI_NETNS -CNI_PATH
	refused ADD 4 'interface name' CNI_IFNAME=a/b -CNI_CONTAINERID -CNI_NETNS
	refused ADD 4 'containerID' CNI_CONTAINERID=-a CNI_IFNAME=a/b
	# And the environment before stdin, stdin before the command.
	CONF='{'
	refused ADD 4 'required env variables \[CNI_NETNS\] missing' -CNI_NETNS
	refused FOO 6 'error unmarshall network config'
	CONF='{}'
	refused FOO 7 'missing network name'
}

@test "CNI_ARGS may hold unknown keys, empty pairs and '=' in a value, but no word without '='" {
	l2_conf
	ARGS='IgnoreUnknown=1;;UNKNOWN=a=b;EMPTY=;'
	cni ADD
	assert_ok
	cni DEL
	assert_ok

	snapshot
	ARGS='IgnoreUnknown=1;K8S_POD_NAME'
	refused ADD 4 '^CNI_ARGS: invalid pair "K8S_POD_NAME": it must be KEY=VALUE'
	ARGS=$'K8S_POD_NAME=web\n1'
	refused ADD 4 '^CNI_ARGS: K8S_POD_NAME is too long or contains control characters'
	assert_unchanged
}

@test "stdin that is empty, cut off, no object, or goes on behind its end is code 6 [check 13]" {
	snapshot
	stdin_refused 6 '^error unmarshall network config: unexpected end of JSON input' '' ' ' '{' '{"name":"a"' '{"name":"a'
	stdin_refused 6 '^error unmarshall network config' '[]' '"text"' 1 true '[{"name":"a"}]'
	stdin_refused 6 '^error unmarshall network config: .*behind the value' "$(seed_conf) x" '{}{}' '{} null' '{}]'
	assert_unchanged
}

@test "stdin that only looks like JSON is code 6, not guessed at [check 13]" {
	snapshot
	stdin_refused 6 '^error unmarshall network config: invalid JSON at byte [0-9]+' '{"name":"a",}' "{'name':'a'}" '{name:"a"}' \
		'{"name":"a","n":01}' '{"name":"a","n":+1}' '{"name":"a","n":.5}' '{"name":"a","n":NaN}' $'{"name":"a\tb"}' \
		$'\ufeff{"name":"a"}' '{"name":"a"/**/}' '{"name":tru}'
	assert_unchanged
}

@test "a NUL, raw or escaped, is code 6, and a backslash before u0000 is none [check 13]" {
	CONF_FILE=$BATS_TEST_TMPDIR/conf
	snapshot
	printf '{"cniVersion":"1.0.0","name":"a\0b"}' >"$CONF_FILE"
	refused ADD 6 'NUL'
	printf '%s\0' "$CONF" >"$CONF_FILE"
	refused ADD 6 'NUL'
	CONF_FILE=
	stdin_refused 6 'NUL' '{"cniVersion":"1.0.0","name":"a\u0000b"}' '{"cniVersion":"1.0.0","a\u0000":1,"name":"a"}'
	assert_unchanged

	l2_conf
	CONF=${CONF/\{/'{"note":"a\\u0000",'}
	cni ADD
	assert_ok
	cni DEL
	assert_ok
}

@test "1 MiB of configuration is served, and passed on; 5 MiB are code 6 [check 13, 65]" {
	CONF_FILE=$BATS_TEST_TMPDIR/conf
	stub big
	conf_edit '.delegates = [.delegates[0] | .type = "big" | .note = ("0123456789abcdef" * 65536)] | del(.runtimeConfig)' >/dev/null
	printf '%s' "$CONF" >"$CONF_FILE"
	CONF=
	cni ADD
	assert_ok
	(($(stub_stdin big 1 | jq '.note | length') == 1048576))
	cni DEL
	assert_ok

	snapshot
	{ printf '{"cniVersion":"1.0.0","name":"a","type":"lamina","note":"' && head -c 5000000 /dev/zero | tr '\0' x && printf '"}'; } >"$CONF_FILE"
	refused ADD 6 'larger than'
	assert_unchanged
}

@test "deep nesting is code 6, however deep, and 100 levels are served [check 13]" {
	local depth
	CONF_FILE=$BATS_TEST_TMPDIR/conf
	snapshot
	for depth in 300 20000 1000000; do
		{
			printf '{"cniVersion":"1.0.0","name":"a","type":"lamina","x":'
			head -c "$depth" /dev/zero | tr '\0' '['
			head -c "$depth" /dev/zero | tr '\0' ']'
			printf '}'
		} >"$CONF_FILE"
		refused ADD 6 'nested deeper'
	done
	assert_unchanged

	CONF_FILE=
	l2_conf '.x = (reduce range(100) as $i (1; [.]))'
	cni ADD
	assert_ok
	cni DEL
	assert_ok
}

@test "a configuration without a name is code 7 [check 14]" {
	snapshot
	stdin_refused 7 '^missing network name' null '{}' '{"cniVersion":"1.0.0"}' '{"cniVersion":"1.0.0","name":""}' \
		'{"cniVersion":"1.0.0","name":null}'
	assert_unchanged
}

@test "a name that no network may have is code 7 and shown [check 15]" {
	local name
	snapshot
	for name in -x .x _x a/b ../../x 'a b' ä; do
		l2_conf
		conf_edit '.name = $name' --arg name "$name"
		cni ADD
		assert_code 7
		assert_json '.msg == "invalid characters found in network name" and .details == $name' --arg name "$name"
	done
	assert_unchanged
}

@test "a name or cniVersion that is no string is code 6 [check 16]" {
	snapshot
	stdin_refused 6 '^error unmarshall network config: name' '{"cniVersion":"1.0.0","name":1}' '{"cniVersion":"1.0.0","name":["a"]}'
	stdin_refused 6 '^decoding version from network config: ' '{"cniVersion":1,"name":"a"}' '{"cniVersion":{},"name":"a"}'
	assert_unchanged
}

@test "a version that is not one of the seven, letter by letter, is code 1 [check 17]" {
	local version verb
	snapshot
	for version in 9.9.9 1.2.0 1.0 1.0.0.0 v1.0.0 ' 1.0.0' 0.4.5; do
		conf_edit '.cniVersion = $version' --arg version "$version"
		for verb in ADD DEL; do
			cni "$verb"
			assert_code 1
			assert_json '.msg == "incompatible CNI versions" and .details == $details' --arg details \
				"config is \"$version\", plugin supports [\"0.1.0\" \"0.2.0\" \"0.3.0\" \"0.3.1\" \"0.4.0\" \"1.0.0\" \"1.1.0\"]"
		done
	done
	assert_unchanged
}

@test "no version, or an empty one, means 0.1.0, and the result says so [check 18]" {
	local change
	for change in 'del(.cniVersion)' '.cniVersion = ""' '.cniVersion = null'; do
		CONF=$(seed_conf "$change")
		annotations
		cni ADD
		assert_ok
		assert_json '.cniVersion == "0.1.0" and (.ip4.ip | test("^10[.]244[.]1[.][0-9]+/24$"))'
		cni DEL
		assert_ok
	done
}

@test "CHECK below 0.4.0 is code 1 [check 19]" {
	local version
	for version in 0.1.0 0.2.0 0.3.0 0.3.1; do
		conf_edit '.cniVersion = $version' --arg version "$version"
		refused CHECK 1 '^config version does not allow CHECK'
	done
}

@test "keys count in any case, the last one of a kind wins, unknown keys and capabilities do not disturb [check 21]" {
	CONF='{"CNIVERSION": "9.9.9", "cniVersion": "0.4.0", "name": "-bad", "NAME": "good", "Type": "lamina", "unknown": [{"a": 1}],
		"capabilities": {"portMappings": true, "io.kubernetes.cri.pod-annotations": false, "ips": true},
		"delegates": [], "Delegates": [
			{"Name": "l2", "TYPE": "macvlan", "MASTER": "nowhere", "master": "eth0", "mode": "nonsense", "Mode": "private", "more": {}}]}'
	cni ADD
	assert_ok
	assert_json '.cniVersion == "0.4.0" and .interfaces[0].name == "eth0"'
	pod_link eth0 | jq -e '.linkinfo.info_data.mode == "private"'
	cni DEL
	assert_ok
	refute_link eth0
}

@test "an error at any stage is one document with the configuration's version, and no result beside it [check 22, 23]" {
	stub late
	stub_set late ADD exit 1
	stub_set late ADD out '{"code": 42, "msg": "too late"}'
	conf_edit '.cniVersion = "0.4.0"'
	local good=$CONF
	snapshot
	refused ADD 4 'missing' -CNI_IFNAME
	refused ADD 3 'does not exist' CNI_NETNS=/run/netns/nowhere
	assert_json '.cniVersion == "0.4.0" and (keys - ["cniVersion", "code", "msg", "details"] == [])'
	conf_edit '.delegates[1].mode = "nonsense"'
	refused ADD 7 'nonsense'
	assert_json '.cniVersion == "0.4.0"'
	# eth0 and net1 are made by then.
	CONF=$good
	conf_edit '.delegates += [{"name": "late", "type": "late"}]'
	refused ADD 42 'too late'
	assert_json '.cniVersion == "0.4.0" and (keys - ["cniVersion", "code", "msg", "details"] == [])'
	assert_equal "$(stub_calls late)" 'ADD DEL'
	assert_unchanged
}

@test "the plugin's own namespace is code 8 before anything happens [check 24]" {
	stub first
	conf_edit '.delegates[0].type = "first"'
	local override
	snapshot
	for override in '' 0 no false 2; do
		refused ADD 8 'should not be the same' CNI_NETNS=/proc/self/ns/net CNI_NETNS_OVERRIDE="$override"
	done
	refused ADD 8 'should not be the same' CNI_NETNS=/proc/self/ns/net
	refused DEL 8 'should not be the same' CNI_NETNS=/proc/self/ns/net
	assert_unchanged
	assert_equal "$(stub_calls first)" ''
}

@test "CNI_NETNS_OVERRIDE allows the plugin's own namespace [check 24]" {
	local override
	l2_conf
	snapshot
	for override in 1 true TRUE; do
		cni ADD CNI_NETNS=/proc/self/ns/net CNI_NETNS_OVERRIDE="$override" CNI_IFNAME=own0
		assert_ok
		node_exec ip link show dev own0
		cni DEL CNI_NETNS=/proc/self/ns/net CNI_NETNS_OVERRIDE="$override" CNI_IFNAME=own0
		assert_ok
	done
	assert_unchanged
}

@test "a namespace that does not exist is code 3, what is none is code 8, and nothing is made [check 25]" {
	local path
	stub first
	conf_edit '.delegates[0].type = "first"'
	node_exec mkfifo /run/fifo
	node_exec ln -s /run/nowhere /run/dangling
	snapshot
	for path in /run/netns/nowhere /nowhere/at/all /etc/hostname/x /run/dangling /proc/4000000/ns/net; do
		refused ADD 3 "$path does not exist" CNI_NETNS="$path"
	done
	for path in /etc/hostname /run /run/fifo /dev/null /proc/self/ns/mnt; do
		refused ADD 8 "$path is not a network namespace" CNI_NETNS="$path"
	done
	assert_unchanged
	assert_equal "$(stub_calls first)" ''
}

@test "the result is in the configuration's version [check 31]" {
	local version
	for version in 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
		conf_edit '.cniVersion = $version' --arg version "$version"
		cni ADD
		assert_ok
		assert_json '.cniVersion == $version' --arg version "$version"
		cni DEL
		assert_ok
	done
}

@test "types lamina, multus-cni and multus mean the same, under each name that it is installed as" {
	local type name
	for type in lamina multus-cni multus; do
		for name in lamina multus-cni multus; do
			conf_edit '.type = $type' --arg type "$type"
			PLUGIN=$name
			cni ADD
			assert_ok
			pod_link eth0
			pod_link net1
			cni DEL
			assert_ok
			refute_link net1
		done
	done
}

@test "another type, or none, is refused" {
	local type
	snapshot
	for type in '"kube-ipam"' '"flannel"' '""' null; do
		conf_edit '.type = $type' --argjson type "$type"
		refused ADD 7 '^type is .*lamina, multus-cni, multus or multus-shim'
	done
	assert_unchanged
}

@test "each type works alone and as a plugin of a list, before and behind others, by cnitool" {
	local type file
	stub before
	stub_set before ADD out '{"cniVersion": "1.0.0", "interfaces": [{"name": "first"}]}'
	stub behind
	stub_set behind ADD run 'jq .prevResult "$stdin"; exit'
	export CNI_ARGS=$ARGS CAP_ARGS='{"io.kubernetes.cri.pod-annotations": {"kube-ipam.ip": "10.188.0.77"}}'
	for type in lamina multus-cni multus; do
		for file in 10-node.conf 10-node.conflist; do
			node_exec rm -f /etc/cni/net.d/10-node.conf /etc/cni/net.d/10-node.conflist
			jq '(.type = $type | .name = "node" | .cniVersion = "1.0.0") as $it | if $alone then $it else {cniVersion: "1.0.0", name: "node",
				plugins: [{type: "before"}, ($it | del(.name, .cniVersion)), {type: "behind"}]} end' \
				--arg type "$type" --argjson alone "$([[ $file == *.conf ]] && echo true || echo false)" <<<"$CONF" | node_conf - "$file"
			node_cnitool add node p1 >"$BATS_TEST_TMPDIR/result"
			jq -e '.ips[0].address | startswith("10.244.1.")' "$BATS_TEST_TMPDIR/result"
			[[ $file == *.conf ]] || jq -e '.interfaces[0].name == "first"' "$BATS_TEST_TMPDIR/result"
			assert_equal "$(pod_addrs net1)" 10.188.0.77/16
			node_cnitool del node p1
			refute_link net1
			refute_link eth0
		done
	done
}

@test "a user without rights is told so, with code 100" {
	snapshot
	printf '%s' "$CONF" >"$BATS_TEST_TMPDIR/conf"
	status=0 CNI_VERB=ADD CNI_FILES=$BATS_TEST_TMPDIR/cni
	node_exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH=/usr/bin CNI_COMMAND=ADD CNI_CONTAINERID=p1 \
		CNI_NETNS=/run/netns/p1 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin "CNI_ARGS=$ARGS" /opt/cni/bin/lamina \
		<"$BATS_TEST_TMPDIR/conf" >"$CNI_FILES.out" || status=$?
	output=$(<"$CNI_FILES.out")
	assert_code 100
	assert_unchanged
}
