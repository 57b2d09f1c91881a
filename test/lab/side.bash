# shellcheck shell=bash
# Single quotes are for jq and for shells inside of the node; tests use what is unused here, and pass what is not passed here.
# shellcheck disable=SC2016,SC2034,SC2119,SC2120,SC2154
# What the side-by-side tests say: a scenario is run with the real multus, then in the same place with lamina under the same name, and
# what both have done is compared (side.py). In a test file:
#
#   load ../lab/side
#   setup_file() { side_up; }
#   teardown_file() { side_down; }
#   setup() { side_begin; }
#   teardown() { side_end; }
#   @test "S01 ..." {
#           side_conf '.delegates = [...]'
#           scenario() { side_pod default web-1; side_cni ADD; side_cni DEL; }
#           side_by_side S01 '.ADD.exit == 0'
#   }
#
# The scenario's number stands in front of the test's name, and in integration/differences.md where something is not the same.
#
#   side_up                    a node with the real multus and lamina, and a real API server that knows NetworkAttachmentDefinitions.
#                              Every plugin in /opt/cni/bin is a recorder that notes its call and becomes the real one.
#   side_begin, side_end       before and after each test.
#   side_conf FILTER [ARG ...] CONF is multus's usual configuration changed by jq: with a kubeconfig, without networks.
#   side_nad NS NAME CONFIG [RESOURCE]
#                              a NetworkAttachmentDefinition (kube_put_nad), until the end of the test.
#   side_namespace NAME        a namespace of the API server.
#   side_file PATH [MODE]      a file of the node that holds what stands on standard input. Files below /etc end with the test.
#   side_stub NAME             a delegate that does as stub_set tells it, behind a recorder as the others.
#
# In a scenario, which is run twice:
#   side_pod NS NAME [FILTER]  a pod in the API server with its UID (the filter changes it) and its network namespace: the pod of what
#                              follows (POD, CID, ARGS, UID).
#   side_networks TEXT         for FILTER: the annotation with the pod's networks.
#   side_cni VERB [K=V ...]    calls the plugin (cni), and notes what it said and did as the step VERB, or STEP.
#   side_check                 CHECK as a runtime calls it: with the result of the step ADD.
#   side_note STEP             notes what is there.
#                              SIDE_UNORDERED=true: calls at the same time have no order.
#   side_alias TEXT NAME       TEXT is random: it is compared as NAME.
#
#   side_by_side ID [EXPECT]   runs `scenario` with both, and fails for every difference that is not listed. EXPECT is a jq filter that is
#                              true of multus's notes: an object of steps with exit, stdout, calls, pods, host, files, api.
#                              SIDE_SHOW=1 prints these notes.

# shellcheck source=test/lab/cni.bash
source "$(dirname "${BASH_SOURCE[0]}")/cni.bash"
# shellcheck source=test/lab/kube.sh
source "$LAB_DIR/kube.sh"

SIDE_KUBECONFIG=/etc/cni/net.d/multus.d/multus.kubeconfig
SIDE_LIST=$LAB_DIR/../integration/differences.md
# What is met of that list, by the scenarios of all files: the last of them sees whether all of it is.
SIDE_USED=$LAB_DIR/../../.cache/side/${LAMINA_BUILD:-build}
SIDE_NETWORKS=k8s.v1.cni.cncf.io/networks
# multus gives its first requests a quarter of a second. That is no difference that anybody wants to see.
SIDE_TOO_LATE='context deadline exceeded|Client.Timeout exceeded|client rate limiter'

side_up()
{
	# Whatever runs beside this: multus and the API server are to keep multus's short deadlines.
	renice -n -10 -p $$ >/dev/null 2>&1 || true
	setup_node
	node_exec sh -euc '
		mkdir -p /opt/cni/side
		mv /opt/cni/bin/lamina /opt/cni/side/lamina
		mv -T /opt/cni/bin /opt/cni/real
		cp "$1" /opt/cni/side/multus
		cp "$2"/* /opt/cni/real/
		cp "$3" /opt/cni/side/recorder
		mkdir /opt/cni/bin
		cd /opt/cni/real
		for name in *; do
			[ -h "$name" ] || cp ../side/recorder "../bin/$name"
		done
	' sh "$("$LAB_DIR/parts.sh" --path multus)" "$("$LAB_DIR/parts.sh" --path plugins)" "$LAB_DIR/recorder.sh"
	kube_up
	kube_nad_crd
	kube_kubeconfig admin | side_file "$SIDE_KUBECONFIG" 600
}

side_down()
{
	local met=0
	"$LAB_DIR/side.py" unused "$SIDE_LIST" "$SIDE_USED" "${LAMINA:-$LAB_DIR/../../build/lamina}" >&2 || met=1
	kube_down
	teardown_node && return $met
}

side_begin()
{
	SIDE_DIR=$BATS_TEST_TMPDIR/side
	mkdir "$SIDE_DIR"
	: >"$SIDE_DIR/nads"
	: >"$SIDE_DIR/inputs"
	node_exec sh -c 'rm -rf /run/etc && cp -a /etc/cni /run/etc'
	side_conf .
}

side_end()
{
	local ns name
	side_reset
	while read -r ns name; do
		kube_delete_nad "$ns" "$name"
	done < <(sort -u "$SIDE_DIR/nads")
	node_exec sh -c 'rm -rf /etc/cni && cp -a /run/etc /etc/cni'
}

side_conf()
{
	CONF=$(jq -n --arg kubeconfig "$SIDE_KUBECONFIG" \
		'{cniVersion: "0.4.0", name: "multus-cni-network", type: "multus", kubeconfig: $kubeconfig} | '"$1" "${@:2}")
	echo "$CONF" >>"$SIDE_DIR/inputs"
}

side_nad()
{
	kube_put_nad "$@"
	echo "$1 $2" >>"$SIDE_DIR/nads"
	echo "$3" >>"$SIDE_DIR/inputs"
}

side_namespace()
{
	jq -n --arg name "$1" '{apiVersion: "v1", kind: "Namespace", metadata: {name: $name}}' | kube_api POST /api/v1/namespaces - >/dev/null
}

side_file()
{
	node_exec sh -c 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"' sh "$1" "${2:-644}"
}

side_stub()
{
	stub "$1"
	stub_reset "$1"
	node_exec sh -euc 'mv "/opt/cni/bin/$1" /opt/cni/real/ && cp /opt/cni/side/recorder "/opt/cni/bin/$1"' sh "$1"
}

side_networks()
{
	jq -rn --arg key "$SIDE_NETWORKS" --arg value "$1" '".metadata.annotations[\($key | tojson)] = \($value | tojson)"'
}

side_pod()
{
	new_pod "$2" "cid-$2"
	UID_=$(kube_put_pod "$1" "$2" "${3:-.}")
	echo "$1 $2 $UID_" >>"$SIDE_DIR/pods"
	echo "${3:-}" >>"$SIDE_DIR/inputs"
	side_alias "$UID_" "<uid of $2>"
	pod_args "$1" "$2" "$UID_"
}

side_alias()
{
	SIDE_ALIASES=$(jq -c --arg text "$1" --arg name "$2" '.[$text] = $name' <<<"$SIDE_ALIASES")
}

side_cni()
{
	node_exec sh -c 'rm -rf /run/side && mkdir -p /run/side/calls'
	PLUGIN=multus cni "$@"
	[[ $SIDE != multus || ! "$output$stderr" =~ $SIDE_TOO_LATE ]] || SIDE_AGAIN=1
	side_note "${STEP:-$1}"
}

side_check()
{
	local CONF=$CONF
	conf_edit '.prevResult = $it' --argjson it "$(jq -r .stdout "$SIDE_DIR/$SIDE"/*-ADD.json)"
	side_cni CHECK
}

side_note()
{
	local file
	SIDE_COUNT=$((SIDE_COUNT + 1))
	file=$SIDE_DIR/$SIDE/$(printf %02d "$SIDE_COUNT")-$1
	node_exec "$LAB_DIR/side.py" note >"$file.state"
	side_api >"$file.api"
	jq -s --argjson aliases "$SIDE_ALIASES" --argjson unordered "${SIDE_UNORDERED:-false}" --argjson exit "${status:-0}" \
		--arg said "${output:-}" --arg log "${stderr:-}" --arg pod "${POD:-}" '.[0] + {aliases: $aliases, unordered: $unordered, exit: $exit,
			stdout: $said, log: $log, pod: $pod, api: (.[1:] | add)}' \
		"$file.state" "$file.api" >"$file.json"
}

# Of each pod, what the API server has of it.
side_api()
{
	local ns name uid
	echo '{}'
	[[ -e $SIDE_DIR/pods ]] || return 0
	while read -r ns name uid; do
		kube_curl "$KUBE_URL/api/v1/namespaces/$ns/pods/$name" "$KUBE_URL/api/v1/namespaces/$ns/events?fieldSelector=involvedObject.uid=$uid" |
			jq -s --arg name "$name" '{($name): {annotations: .[0].metadata.annotations, status: .[0].status,
				events: [.[1].items[] | "\(.type) \(.reason) \(.message)"]}}'
	done <"$SIDE_DIR/pods"
}

# The place is as it was before anything ran.
side_reset()
{
	local ns name uid
	if [[ -e $SIDE_DIR/pods ]]; then
		while read -r ns name uid; do
			kube_delete_pod "$ns" "$name" 2>/dev/null || true
		done <"$SIDE_DIR/pods"
		rm "$SIDE_DIR/pods"
	fi
	node_exec sh -c '
		ip -all netns del
		for link in $(ip -o link | sed "s/^[0-9]*: \([^:@]*\).*/\1/"); do
			[ "$link" = lo ] || [ "$link" = eth0 ] || ip link del "$link" 2>/dev/null
		done
		nft flush ruleset
		echo 0 | tee /proc/sys/net/ipv4/ip_forward >/proc/sys/net/ipv6/conf/all/forwarding
		rm -rf /var/lib/cni /run/lamina /run/side /run/k8s.cni.cncf.io
		rm -f /opt/cni/bin/multus
	'
}

side_run()
{
	side_reset
	rm -rf "${SIDE_DIR:?}/$SIDE"
	mkdir "$SIDE_DIR/$SIDE"
	SIDE_COUNT=0 SIDE_AGAIN='' SIDE_ALIASES='{}'
	node_exec cp "/opt/cni/side/$SIDE" /opt/cni/bin/multus
	scenario
}

side_by_side()
{
	local SIDE tries=0
	SIDE=multus
	side_run
	while [[ -n $SIDE_AGAIN ]] && ((++tries < 10)); do
		side_run
	done
	side_show
	"$LAB_DIR/side.py" steps "$SIDE_DIR/multus" "$SIDE_DIR/inputs" | jq -e "${2:-.}" >/dev/null || fail "not so of multus: ${2:-}" || return
	[[ -z ${SIDE_ONLY:-} ]] || return 0
	SIDE=lamina
	side_run
	cat "$NODE_DIR"/stub/*/*.out >>"$SIDE_DIR/inputs" 2>/dev/null || true
	side_show
	"$LAB_DIR/side.py" compare "$1" "$SIDE_LIST" "$SIDE_DIR"/multus "$SIDE_DIR"/lamina "$SIDE_DIR/inputs" "$SIDE_USED"
}

side_show()
{
	[[ -z ${SIDE_SHOW:-} ]] || "$LAB_DIR/side.py" steps "$SIDE_DIR/$SIDE" "$SIDE_DIR/inputs" | jq .
}
