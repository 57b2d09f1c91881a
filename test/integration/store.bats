#!/usr/bin/env bats
# The embedded store as pods see it: rotation, full ranges, holders that are gone, addresses that are kept, damaged files.
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
	annotations
	node_exec sh -c 'rm -rf /run/lamina /var/lib/cni/multus; ip -all netns del'
}

teardown()
{
	node_exec umount -q /run/lamina /var/lib/cni/multus || true
}

# Dynamic addresses come from these alone. Usage: range FIRST LAST
range()
{
	conf_edit '.delegates[0].ipam |= (.rangeStart = $first | .rangeEnd = $last)' --arg first "$1" --arg last "$2"
}

# A container in a namespace of its own, which is a pod of the namespace default, or of another. Usage: add NAME [NAMESPACE [UID]]
add()
{
	node_exec test -e "/run/netns/$1" || pod_up "$1"
	POD=$1 CID=$1
	pod_args "${2:-default}" "$1" "${3:-uid-$1}"
	cni ADD
}

# The same, and it must work. Usage: run_pod NAME [NAMESPACE [UID]]
run_pod()
{
	add "$@"
	assert_ok
}

# The way out of a container. Usage: delete NAME
delete()
{
	POD=$1 CID=$1 cni DEL
	assert_ok
}

# Whose the address is, by name of the container; nothing when it is nobody's.
holder()
{
	lamina ip ls --json | jq -r --arg address "$1" '.[] | select(.address == $address) | .container // empty'
}

# The addresses of the containers, as their kernels have them, on one line. Usage: addresses NAME ...
addresses()
{
	local name
	local -a list=()
	for name in "$@"; do
		list+=("$(POD=$name pod_addrs eth0)")
	done
	echo "${list[*]%/*}"
}

claims()
{
	node_exec sh -c 'ls /run/lamina/*.db'
}

@test "dynamic addresses rotate, and are never the gateway, the network or the broadcast address" {
	local n list=()
	conf_edit '.delegates[0].ipam = {type: "kube-ipam", subnet: "10.188.0.0/29", gateway: "10.188.0.3"}'
	for n in 1 2 3 4 5 6 7; do
		run_pod turn
		list+=("$(addresses turn)")
		delete turn
	done
	assert_equal "${list[*]}" "10.188.0.1 10.188.0.2 10.188.0.4 10.188.0.5 10.188.0.6 10.188.0.1 10.188.0.2"
	for n in a b c d e; do
		run_pod $n
	done
	assert_equal "$(addresses a b c d e | tr ' ' '\n' | sort | xargs)" "10.188.0.1 10.188.0.2 10.188.0.4 10.188.0.5 10.188.0.6"
	add f
	assert_code 11
}

@test "dynamic IPv6 addresses rotate, and are never the gateway or the subnet's own" {
	local n list=()
	conf_edit '.delegates[0].ipam = {type: "kube-ipam", subnet: "fd00:188::/126", gateway: "fd00:188::1"}'
	for n in 1 2 3; do
		run_pod turn
		list+=("$(addresses turn)")
		delete turn
	done
	assert_equal "${list[*]}" "fd00:188::2 fd00:188::3 fd00:188::2"
}

@test "a full range is code 11 with a text that says what to do, and after one DEL there is room" {
	range 10.188.0.10 10.188.0.11
	run_pod a
	run_pod b
	add c
	assert_code 11
	assert_msg 'no free address in 10.188.0.10-10.188.0.11 of network k8snet2: 2 are in use or kept; widen rangeEnd, or see `lamina ip ls`'
	delete a
	run_pod c
	assert_equal "$(addresses b c)" "10.188.0.11 10.188.0.10"
}

@test "with a range for each of two families a pod gets both addresses, or none when one range is full" {
	conf_edit '.delegates[0].ipam |= (del(.routes) | .rangeEnd = "10.188.0.11"
		| .ranges = [[{subnet: "fd00:188::/64", rangeStart: "fd00:188::10", rangeEnd: "fd00:188::10"}]])'
	run_pod a
	assert_equal "$(POD=a pod_addrs eth0 | sort | xargs)" "10.188.0.10/16 fd00:188::10/64"
	snapshot
	pod_up b
	snapshot
	add b
	assert_code 11
	assert_msg 'no free address in fd00:188::10-fd00:188::10'
	assert_unchanged
}

@test "a holder whose namespace is gone gives way, and its late DEL frees nothing" {
	range 10.188.0.10 10.188.0.11
	run_pod a
	run_pod b
	pod_down a
	run_pod c
	assert_equal "$(addresses b c)" "10.188.0.11 10.188.0.10"
	delete a
	assert_equal "$(holder 10.188.0.10)" c
	add d
	assert_code 11
}

@test "a namespace that came later at the same path does not keep the old one's address" {
	range 10.188.0.10 10.188.0.10
	run_pod a
	pod_down a
	pod_up a
	run_pod b
	assert_equal "$(holder 10.188.0.10)" b
}

@test "a pod that gets a new sandbox takes its address over, and the old link is gone first" {
	annotations kube-ipam.ip 10.188.0.20
	run_pod old default uid-1
	run_pod new default uid-1
	POD=old refute_link eth0
	assert_equal "$(addresses new)" 10.188.0.20
	assert_equal "$(holder 10.188.0.20)" new
	POD=new pod_ping 10.188.0.1
	delete old
	assert_equal "$(holder 10.188.0.20)" new
	POD=new pod_ping 10.188.0.1
	delete new
	assert_equal "$(holder 10.188.0.20)" ''
}

@test "another pod does not get the address of one that runs: refused with holder, node and age" {
	annotations kube-ipam.ip 10.188.0.20
	run_pod old default uid-1
	pod_up new
	snapshot
	add new default uid-2
	assert_code 11
	assert_msg 'address 10.188.0.20 is held by default/old on node node-1 for [0-9]+s'
	assert_unchanged
	# Nor does a container that is no pod.
	ARGS='IP=10.188.0.20' POD=new CID=new CONF=$(jq 'del(.runtimeConfig)' <<<"$CONF") cni ADD
	assert_code 11
	assert_unchanged
	assert_equal "$(addresses old)" 10.188.0.20
}

@test "a fixed address is kept for its namespace when its pod ends: nobody else gets it, a pod of the namespace does" {
	local delay
	range 10.188.0.20 10.188.0.21
	annotations kube-ipam.ip 10.188.0.20
	run_pod a db
	delete a
	annotations
	run_pod b web
	assert_equal "$(addresses b)" 10.188.0.21
	for delay in 60 0; do
		conf_edit '.reuseDelay = $it' --argjson it $delay
		add c db
		assert_code 11
		assert_msg 'no free address in 10.188.0.20-10.188.0.21 .*: 2 are in use or kept'
	done
	annotations kube-ipam.ip 10.188.0.20
	add c web
	assert_code 11
	assert_msg 'address 10.188.0.20 is kept for namespace db, .*`lamina ip release 10.188.0.20` frees it'
	run_pod d db
	assert_equal "$(addresses d)" 10.188.0.20
}

@test "what is kept outlives a reboot, what was in use does not" {
	range 10.188.0.20 10.188.0.21
	annotations kube-ipam.ip 10.188.0.20
	run_pod a db
	annotations
	run_pod b web
	node_exec sh -c 'rm -r /run/lamina; ip -all netns del'
	lamina ip ls --json | jq -e 'map(.address + " " + .keptFor) == ["10.188.0.20 db"]'
	run_pod c web
	assert_equal "$(addresses c)" 10.188.0.21
	annotations kube-ipam.ip 10.188.0.20
	add d web
	assert_code 11
	run_pod e db
	assert_equal "$(addresses e)" 10.188.0.20
}

@test "a record of another boot holds nothing, though there is a namespace at its path" {
	range 10.188.0.20 10.188.0.20
	run_pod a
	node_exec sh -c 'rm -r /run/lamina && sed -i "s/\"bootId\":\"[^\"]*\"/\"bootId\":\"11111111-2222-3333-4444-555555555555\"/g" /var/lib/cni/multus/a'
	run_pod b
	assert_equal "$(holder 10.188.0.20)" b
}

@test "two networks on one wire never hand out one address, unless they say that the wires are two" {
	local one two
	range 10.188.0.10 10.188.0.13
	one=$CONF
	conf_edit '.name = "two" | .delegates[0].name = "k8snet3"'
	two=$CONF
	CONF=$one run_pod a
	CONF=$two run_pod b
	CONF=$one run_pod c
	CONF=$two run_pod d
	assert_equal "$(addresses a b c d | tr ' ' '\n' | sort | xargs)" "10.188.0.10 10.188.0.11 10.188.0.12 10.188.0.13"
	CONF=$one add e
	assert_code 11
	CONF=$two
	annotations kube-ipam.ip "$(addresses a)"
	add f
	assert_code 11
	assert_msg 'is held by default/a'
	conf_edit '.delegates[0].ipam.domain = "elsewhere"'
	run_pod f
	assert_equal "$(addresses f)" "$(addresses a)"
}

@test "a claims file that was deleted is made anew from the records of the pods that run" {
	range 10.188.0.10 10.188.0.12
	run_pod a
	run_pod b
	node_exec sh -c 'rm /run/lamina/*'
	run_pod c
	assert_equal "$(addresses a b c | tr ' ' '\n' | sort | xargs)" "10.188.0.10 10.188.0.11 10.188.0.12"
	assert_equal "$(holder 10.188.0.10) $(holder 10.188.0.11)" "a b"
	node_exec sh -c 'rm -r /run/lamina'
	add d
	assert_code 11
	delete a
	run_pod d
	assert_equal "$(addresses d)" 10.188.0.10
}

# What an error advises: the command in its parentheses.
follow_advice()
{
	local advice
	advice=$(jq -r .msg "$CNI_FILES.out" | grep -oE 'mv [^ ]+ [^)]+')
	[[ $advice == "mv $1 $1.bad" ]] || fail "advised: $advice" || return
	# shellcheck disable=SC2086 # a command of several words
	node_exec $advice
}

@test "a damaged claims file is code 5 with a way out, which works and loses nothing" {
	local damage file
	range 10.188.0.10 10.188.0.12
	run_pod a
	run_pod b
	pod_up c
	for damage in 'truncate -s 0' 'truncate -s 50' 'truncate -s 5000' 'cp /etc/passwd' 'cp /bin/true'; do
		file=$(claims)
		# shellcheck disable=SC2086 # a command of several words
		node_exec $damage "$file"
		snapshot
		add c
		assert_code 5
		assert_msg "$file is (empty|damaged)"
		assert_unchanged
		follow_advice "$file"
		run_pod c
		assert_equal "$(addresses c)" 10.188.0.12
		add d
		assert_code 11
		delete c
		node_exec rm "$file.bad"
	done
}

@test "with a damaged claims file DEL takes the link away, says what to do, and frees the address when that is done" {
	local file
	run_pod a
	file=$(claims)
	node_exec truncate -s 5000 "$file"
	CID=a cni DEL
	assert_code 5
	POD=a refute_link eth0
	follow_advice "$file"
	delete a
	assert_equal "$(lamina ip ls --json)" '[]'
}

@test "pages in the middle of the claims file that are damaged never give an address twice" {
	local file page
	range 10.188.0.10 10.188.0.13
	run_pod a
	run_pod b
	for page in 2 3 4 5 6; do
		file=$(claims)
		node_exec dd if=/dev/urandom of="$file" bs=4096 seek="$page" count=1 conv=notrunc status=none
		add c
		if ((status != 0)); then
			assert_code 5
			follow_advice "$file"
			run_pod c
		fi
		[[ $(addresses c) == 10.188.0.1[23] ]]
		POD=c CID=c cni DEL
		# What the damage hides shows here at the latest.
		if ((status != 0)); then
			assert_code 5
			follow_advice "$file"
			delete c
		fi
		node_exec sh -c 'rm -f /run/lamina/*'
		run_pod c
		delete c
	done
}

@test "a damaged file of what is kept is code 5 with a way out of its own" {
	local damage file=/var/lib/cni/multus/holds.db
	annotations kube-ipam.ip 10.188.0.20
	run_pod a db
	for damage in 'truncate -s 0' 'truncate -s 5000' 'cp /etc/passwd'; do
		# shellcheck disable=SC2086 # a command of several words
		node_exec $damage "$file"
		add b db
		assert_code 5
		assert_msg "$file is (empty|damaged).*kept again as their pods start"
		follow_advice "$file"
		delete a
		run_pod a db
		lamina ip show 10.188.0.20 --json | jq -e '.[0].keptFor == "db"'
	done
}

@test "a claims file of another program, or of a newer lamina, is left alone" {
	local file
	run_pod a
	file=$(claims)
	node_exec sqlite3 "$file" 'PRAGMA user_version = 99'
	add b
	assert_code 5
	assert_msg 'newer lamina \(layout 99'
	node_exec sh -c 'rm "$1" && sqlite3 "$1" "CREATE TABLE mine(x)"' sh "$file"
	snapshot
	add b
	assert_code 5
	assert_msg 'is an SQLite file of another program'
	assert_equal "$(node_exec sqlite3 "$file" .tables)" mine
}

@test "a store on a read-only file system is code 5 that says so, and nothing has changed" {
	run_pod a
	pod_up b
	node_exec sh -c 'mount --bind /run/lamina /run/lamina && mount -o remount,bind,ro /run/lamina'
	snapshot
	add b
	assert_code 5
	assert_msg 'cannot write /run/lamina/.*read-only.*make it writable'
	assert_unchanged
	lamina ip ls --json | jq -e 'map(.container) == ["a"]'
	node_exec umount /run/lamina
	run_pod b
}

@test "a full file system is code 5 that says so, and room is all that is needed" {
	node_exec sh -c 'mkdir -p /run/lamina && mount -t tmpfs -o size=64k none /run/lamina'
	run_pod a
	node_exec sh -c 'dd if=/dev/zero of=/run/lamina/filler bs=4096 2>/dev/null || true'
	pod_up b
	snapshot
	add b
	assert_code 5
	assert_msg 'cannot grow.*make room'
	assert_unchanged
	node_exec rm /run/lamina/filler
	run_pod b
	assert_equal "$(addresses a b)" "10.188.0.10 10.188.0.11"
}
