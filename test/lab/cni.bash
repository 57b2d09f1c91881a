# shellcheck shell=bash
# Single quotes are for jq and for shells inside of the node; tests use what is unused here, and pass what is not passed here.
# shellcheck disable=SC2016,SC2034,SC2119,SC2120
# What integration tests (bats) say: on top of node.sh, whose functions are all there too. In a test file:
#
#   load ../lab/cni
#   setup_file() { setup_node; }
#   teardown_file() { teardown_node; }
#   setup() { CONF=$(seed_conf); new_pod p1; pod_args default web-1 uid-1; annotations; }
#   teardown() { pod_down p1; }
#   @test "..." { snapshot; cni ADD CNI_IFNAME=../x; assert_code 4; assert_msg 'interface name'; assert_unchanged; }
#
# What a call uses: CONF (the text on standard input; or CONF_FILE, a file, for what a variable cannot hold), POD (name of the
# namespace), CID (container ID), ARGS (CNI_ARGS), PLUGIN (the name it is called by; default lamina).
#
#   setup_node                 a node with /run/flannel/subnet.env and plugins; $LAMINA names the binary (default: build/lamina).
#   teardown_node              ends it; fails when a sanitizer has reported anything that no test has seen.
#   warm_up                    one ADD and DEL of the seed's configuration, for what flannel leaves for good (bridge, cursor).
#   new_pod NAME [CID]         pod_up, and from now on the pod of all calls: sets POD and CID (default: NAME).
#   conf_edit FILTER [ARG ..]  changes CONF with jq (--arg and so on allowed).
#   annotations [K V ...]      puts a pod's annotations into CONF as the runtime does; without arguments: a pod that has none.
#   pod_args NS NAME UID       sets ARGS as the kubelet does. `ARGS=` is a container that is no pod.
#   delegate_args              prints what a delegate finds in CNI_ARGS then: multus's pairs, and ARGS behind them.
#
#   cni VERB [K=V | -K ...]    runs the plugin directly, with nothing in its environment but PATH and the CNI_ variables; K=V sets
#                              one more or another value, -K leaves one out. Sets status, output (stdout), stderr. A sanitizer's
#                              report fails the test.
#   cni_start VERB [...]       the same in the background, at once; sets CNI_PID, which can be signalled.
#                              A test that sets LAMINA_FAULT has `# bats test_tags=fault` above it: not every build has fault points.
#   cni_wait                   waits for it and sets what cni sets (status 128 + N: died of signal N).
#   lamina ARG ...             lamina's command line, in the node.
#
#   assert_ok                  exit status 0; stdout is one JSON object (ADD, VERSION) or empty (all others).
#   assert_code N              exit status not 0; stdout is one JSON object with this code, a msg and a cniVersion.
#   assert_msg REGEX           msg or details match (ERE, on `msg<newline>details`).
#   assert_json FILTER [ARG ..] jq says true of stdout.
#   assert_equal A B           the same text.
#   snapshot                   notes the state of the node and of all its namespaces: links, addresses, routes of all tables, rules,
#                              lamina's stores, files under /var/lib/cni and /run/lamina.
#   assert_unchanged           it is exactly as snapshot saw it. Lines that match SNAPSHOT_IGNORE (ERE) do not count, nor does what
#                              changes by itself (carrier, link-local IPv6), and where host-local and the store look for the next address.
#
#   pod_link IF                a link of the pod as JSON, `ip -d` included; fails when there is none. POD=x pod_link ...: of another.
#   refute_link IF             there is no such link; the pod's namespace has to be there.
#   pod_addrs IF               its addresses, one `address/prefix` a line, without link-local ones.
#   pod_routes [TABLE [-6]]    the routes of a table (default: main) as `ip route` prints them.
#   pod_rules [-6]             the rules but the three that every namespace has. Of a pod that is not there both print what is wrong.
#   pod_witness                all of that as JSON from the witness, which asks the kernel by another library than the code under test.
#   pod_ping ADDR              one ping, answered within two seconds.
#   assert_witness FILTER [ARG ..] jq says true of what pod_witness prints.
#   wire_listen EXPRESSION     from now on, notes the packets on the switch's port to the node (tcpdump's filter language).
#   wire_heard                 ends that and prints them, one a line, with MAC addresses; all that was sent before is among them.
#
#   stub NAME                  a delegate that does as it is told, as /opt/cni/bin/NAME: ADD prints an empty result, the rest nothing.
#   stub_set NAME VERB KEY VAL from now on, on VERB: out (stdout), err (stderr), exit (status), sleep (seconds, before everything),
#                              signal (dies of it), run (sh code, before printing; CNI_ variables and $stdin, a file, are there).
#   stub_calls NAME            the verbs it was called with so far, in order, on one line.
#   stub_env NAME N / stub_stdin NAME N    environment / standard input of its N-th call (1 is the first).
#   stub_reset NAME            forgets calls and settings.

# shellcheck source=test/lab/node.sh
source "$(dirname "${BASH_SOURCE[0]}")/node.sh"

setup_node()
{
	local binary=${LAMINA:-$LAB_DIR/../../build/lamina}
	node_up
	node_subnet_env
	node_install "$binary"
	# A build without fault points passes many a test that needs them, and shows nothing.
	LAB_FAULTS=$(grep -c LAMINA_FAULT "$binary" || true)
	export LAB_FAULTS
	# The reports of a sanitizer go to files: neither an expected exit status nor a discarded stderr may hide one.
	export LAB_SANITIZED=
	if grep -q __asan_init "$binary"; then
		LAB_SANITIZED="log_path=$NODE_DIR/sanitizer:halt_on_error=1:print_stacktrace=1:detect_leaks=1"
		export ASAN_OPTIONS=$LAB_SANITIZED UBSAN_OPTIONS=$LAB_SANITIZED
	fi
}

teardown_node()
{
	local clean=0
	sanitizer_quiet || clean=1
	node_down
	return $clean
}

warm_up()
{
	local CONF POD CID ARGS=
	CONF=$(seed_conf)
	annotations
	new_pod warm-up
	cni ADD
	assert_ok
	cni DEL
	assert_ok
	pod_down warm-up
}

new_pod()
{
	pod_up "$1"
	POD=$1
	CID=${2:-$1}
}

conf_edit()
{
	CONF=$(jq "${@:2}" "$1" <<<"$CONF")
}

annotations()
{
	local json
	json=$(jq -n '$ARGS.positional as $it | [range(0; $it | length; 2) | {key: $it[.], value: $it[. + 1]}] | from_entries' \
		--args -- "$@")
	conf_edit '.runtimeConfig["io.kubernetes.cri.pod-annotations"] = $it' --argjson it "$json"
}

pod_args()
{
	ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=$1;K8S_POD_NAME=$2;K8S_POD_INFRA_CONTAINER_ID=${CID:-};K8S_POD_UID=$3"
}

delegate_args()
{
	local pairs=IgnoreUnknown=true key value
	for key in K8S_POD_NAMESPACE K8S_POD_NAME K8S_POD_INFRA_CONTAINER_ID K8S_POD_UID; do
		value=$(tr ';' '\n' <<<"${ARGS:-}" | sed -n "s/^$key=//p")
		pairs+=";$key=$value"
	done
	echo "$pairs${ARGS:+;$ARGS}"
}

cni_start()
{
	local change key
	local -A env=([PATH]=/usr/sbin:/usr/bin:/sbin:/bin [CNI_COMMAND]=$1 [CNI_CONTAINERID]=${CID:-} [CNI_NETNS]=/run/netns/${POD:-} [CNI_IFNAME]=eth0
		[CNI_PATH]=/opt/cni/bin [CNI_ARGS]=${ARGS:-})
	if [[ -n $LAB_SANITIZED ]]; then
		env+=([ASAN_OPTIONS]=$LAB_SANITIZED [UBSAN_OPTIONS]=$LAB_SANITIZED)
	fi
	for change in "${@:2}"; do
		case $change in
		-*) unset "env[${change#-}]" ;;
		*) env[${change%%=*}]=${change#*=} ;;
		esac
	done
	[[ -z ${env[LAMINA_FAULT]:-} || $LAB_FAULTS != 0 ]] ||
		fail 'this build has no fault points: the test must say so (# bats test_tags=fault)' || return
	local -a list=()
	for key in "${!env[@]}"; do
		list+=("$key=${env[$key]}")
	done
	CNI_VERB=$1
	CNI_FILES=${BATS_TEST_TMPDIR:-$NODE_DIR}/cni
	[[ -n ${CONF_FILE:-} ]] || printf '%s' "${CONF:-}" >"$CNI_FILES.in"
	# Not by node_exec: a shell in between would have its say on our stderr when the plugin dies of a signal.
	nsenter --target "$NODE_PID" --net --mount --pid --uts -- env -i "${list[@]}" "/opt/cni/bin/${PLUGIN:-lamina}" \
		<"${CONF_FILE:-$CNI_FILES.in}" >"$CNI_FILES.out" 2>"$CNI_FILES.err" 3>&- &
	CNI_JOB=$!
	CNI_PID=$(node_child "$CNI_JOB") || true
}

cni_wait()
{
	status=0
	wait "$CNI_JOB" 2>/dev/null || status=$?
	output=$(tr -d '\0' <"$CNI_FILES.out")
	stderr=$(tr -d '\0' <"$CNI_FILES.err")
	# Seen only when the test fails.
	printf '%s\n' "--- $CNI_VERB: exit status $status" "$output" "--- stderr" "$stderr" "---"
	sanitizer_quiet || return
	# The one for undefined behaviour, beside the one for addresses, knows only stderr.
	[[ -z $LAB_SANITIZED || $stderr != *"runtime error: "* ]]
}

cni()
{
	cni_start "$@" || return
	cni_wait
}

lamina()
{
	node_exec /opt/cni/bin/lamina "$@"
}

# Shows and removes the reports of sanitizers; fails when there were any.
sanitizer_quiet()
{
	local report found=0
	for report in "$NODE_DIR"/sanitizer.*; do
		[[ -e $report ]] || continue
		# All that the leak check of a program says that is killed while it runs.
		if grep -qv '^==[0-9]*==Unable to get registers from thread [0-9]*\.$' "$report"; then
			cat "$report" >&2
			found=1
		fi
		rm "$report"
	done
	return $found
}

fail()
{
	printf '%s\n' "$@" >&2
	return 1
}

assert_ok()
{
	((status == 0)) || fail "$CNI_VERB failed: $output" || return
	case $CNI_VERB in
	ADD | VERSION) assert_json 'type == "object"' ;;
	*) [[ ! -s $CNI_FILES.out ]] || fail "$CNI_VERB printed: $output" ;;
	esac
}

assert_code()
{
	((status != 0)) || fail "$CNI_VERB succeeded, code $1 was expected" || return
	assert_json 'type == "object" and .code == $code and (.msg | type == "string" and length > 0)
		and (.cniVersion | type == "string" and length > 0)' --argjson code "$1"
}

assert_msg()
{
	local text
	text=$(jq -r '.msg + "\n" + (.details // "")' "$CNI_FILES.out")
	[[ $text =~ $1 ]] || fail "does not match: $1" "$text"
}

assert_json()
{
	jq -se "${@:2}" "length == 1 and (.[0] | $1)" "$CNI_FILES.out" >/dev/null || fail "not so: $1" "$output"
}

assert_equal()
{
	[[ $1 == "$2" ]] || fail "not the same:" "$1" "and:" "$2"
}

snapshot()
{
	lab_state "${BATS_TEST_TMPDIR:-$NODE_DIR}/before"
}

assert_unchanged()
{
	local dir=${BATS_TEST_TMPDIR:-$NODE_DIR}
	lab_state "$dir/after"
	diff -u --label before --label after "$dir/before" "$dir/after" || fail "something has changed"
}

lab_state()
{
	node_exec bash -euo pipefail -s <"$LAB_DIR/state.sh" >"$1.all" 3>&- || fail "the state cannot be read" || return
	grep -Ev "${SNAPSHOT_IGNORE:-^\$}" "$1.all" >"$1"
}

pod_link()
{
	local json
	json=$(node_exec ip -n "$POD" -j -d link show dev "$1" 2>/dev/null) && jq '.[0]' <<<"$json"
}

refute_link()
{
	local links
	links=$(node_exec ip -n "$POD" -o link show) || fail "the links of $POD cannot be seen" || return
	[[ $links != *": $1"[:@]* ]] || fail "there is a link $1 in $POD"
}

pod_addrs()
{
	node_exec ip -n "$POD" -j addr show dev "$1" |
		jq -r '.[0].addr_info[] | select(.local | startswith("fe80:") | not) | "\(.local)/\(.prefixlen)"'
}

pod_routes()
{
	local -a family=()
	[[ -z ${2:-} ]] || family=("$2")
	# A table that never had a route is an error to ip (2), and simply empty to us. It ends lines with a space.
	{ node_exec ip -n "$POD" "${family[@]}" route show table "${1:-main}" 2>/dev/null || (($? == 2)) || echo "there is no $POD"; } |
		sed 's/ *$//'
}

pod_rules()
{
	node_exec ip -n "$POD" "$@" rule show 2>&1 | grep -Ev '^(0|32766|32767):' || true
}

pod_witness()
{
	node_exec "$(realpath "${WITNESS:-$LAB_DIR/../../build/test/witness/witness}")" "/run/netns/$POD"
}

assert_witness()
{
	local state
	state=$(pod_witness)
	jq -e "${@:2}" "$1" <<<"$state" >/dev/null || fail "the kernel does not say: $1" "$(jq -c '.[][]' <<<"$state")"
}

# wire_await REGEX FILE: until tcpdump has written that.
wire_await()
{
	local left
	for ((left = 1000; left > 0; left--)); do
		! grep -q "$1" "$2" || return 0
		[[ -e /proc/$WIRE_JOB ]] || break
		sleep 0.01
	done
	fail "tcpdump does not say: $1" "$(cat "$WIRE_FILE.err")"
}

# The filter also lets a packet of our own pass, by which wire_heard knows that nothing more is under way.
wire_listen()
{
	WIRE_FILE=${BATS_TEST_TMPDIR:-$NODE_DIR}/wire
	: >"$WIRE_FILE.err"
	switch_exec tcpdump -Z root -n -e -l -t -i port1 "($1) or dst host 224.0.1.99" >"$WIRE_FILE" 2>"$WIRE_FILE.err" 3>&- &
	WIRE_JOB=$!
	wire_await 'listening on' "$WIRE_FILE.err"
}

wire_heard()
{
	# Multicast: nobody has to be asked for a MAC, nor to answer.
	node_exec bash -c 'echo >/dev/udp/224.0.1.99/9' || fail "nothing can be sent" || return
	wire_await ' > 224.0.1.99.9:' "$WIRE_FILE" || return
	kill "$(node_child "$WIRE_JOB")"
	wait "$WIRE_JOB" || true
	grep -v ' > 224.0.1.99.9:' "$WIRE_FILE" || true
}

pod_ping()
{
	pod_exec "$POD" ping -q -n -c 1 -W 2 "$1"
}

stub()
{
	local dir=$NODE_DIR/stub/$1
	mkdir -p "$dir/calls"
	# Not written over what is there: that may be a link to lamina.
	sed "s|@DIR@|$dir|" "$LAB_DIR/stub.sh" |
		node_exec sh -c 'rm -f "/opt/cni/bin/$1" && cat >"/opt/cni/bin/$1" && chmod 755 "/opt/cni/bin/$1"' sh "$1"
}

stub_set()
{
	printf '%s' "$4" >"$NODE_DIR/stub/$1/$2.$3"
}

stub_reset()
{
	rm -rf "$NODE_DIR/stub/$1"
	mkdir -p "$NODE_DIR/stub/$1/calls"
}

stub_calls()
{
	local call calls=()
	for call in "$NODE_DIR/stub/$1/calls"/*.env; do
		[[ ! -e $call ]] || calls+=("$(sed -n 's/^CNI_COMMAND=//p' "$call")")
	done
	echo "${calls[*]}"
}

stub_env()
{
	cat "$NODE_DIR/stub/$1/calls/$(printf %04d "$2").env"
}

stub_stdin()
{
	cat "$NODE_DIR/stub/$1/calls/$(printf %04d "$2").stdin"
}
