#!/usr/bin/env bats
# What lamina writes to a real API server: an annotation through a pod's status, by each of its two ways, and Events.
# What setup and kube.sh set is used in tests and the other way round; single quotes are for jq.
# Builds: gcc
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/kube.sh

RBAC=/apis/rbac.authorization.k8s.io/v1
KEY=k8s.v1.cni.cncf.io/network-status

setup_file()
{
	setup_node
	kube_up
	for user in admin lamina nobody; do
		kube_kubeconfig "$user" >"$NODE_DIR/$user"
	done
	grant_nobody
}

teardown_file()
{
	kube_down
	teardown_node
}

# grant_nobody [RULE]: what nobody may do from now on.
grant_nobody()
{
	local method=PUT path=$RBAC/clusterroles/writer
	if ! kube_curl --fail "$KUBE_URL$path" >/dev/null 2>&1; then
		jq -n '{apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", metadata: {name: "writer"},
			roleRef: {apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "writer"},
			subjects: [{apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "nobody"}]}' |
			kube_api POST "$RBAC/clusterrolebindings" - >/dev/null
		method=POST path=$RBAC/clusterroles
	fi
	jq -n --argjson rules "[${1:-}]" '{apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: {name: "writer"},
		rules: $rules}' | kube_api "$method" "$path" - >/dev/null
}

# grant_nobody_multus: the role of multus's own manifests, which has no `patch`.
grant_nobody_multus()
{
	grant_nobody '{"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["get", "list", "update", "watch"]},
		{"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]}'
}

# probe USER WORD ...: on the node.
probe()
{
	local probe
	probe=$(realpath "${KUBE_PROBE:-$(dirname "${LAMINA:-$LAB_DIR/../../build/lamina}")/test/probe/kube_probe}")
	status=0
	output=$(node_exec "$probe" "$NODE_DIR/$1" 15000 "${@:2}") || status=$?
	echo "$output"
	# More is a crash, or a sanitizer's report.
	((status <= 1))
}

# await_probe USER WORD ...: the server learns of a change of rights in its own time.
await_probe()
{
	local end=$((SECONDS + 20))
	until probe "$@" && ((status == 0)); do
		((SECONDS < end)) || fail "not written" "$output"
		sleep 0.1
	done
}

# put_claimant NAME: a pod with what a client that is older than its API server would lose. Prints its UID.
put_claimant()
{
	kube_put_pod default "$1" '.metadata.labels = {app: "db"} | .metadata.annotations.note = "<&>\u2028\"\\"
		| .spec.resourceClaims = [{name: "gpu", resourceClaimTemplateName: "gpus"}]'
	jq -n '{status: {resourceClaimStatuses: [{name: "gpu", resourceClaimName: "gpu-1"}], hostIPs: [{ip: "192.168.122.11"}],
		hostIP: "192.168.122.11", conditions: [{type: "example.org/own", status: "True"}]}}' |
		KUBE_TYPE=application/strategic-merge-patch+json kube_api PATCH "/api/v1/namespaces/default/pods/$1/status" - >/dev/null
}

# rest_of NAME: all of the pod but for what a write changes.
rest_of()
{
	kube_api GET "/api/v1/namespaces/default/pods/$1" |
		jq -S --arg key "$KEY" 'del(.metadata.resourceVersion, .metadata.managedFields, .metadata.annotations[$key])'
}

annotation_of()
{
	kube_api GET "/api/v1/namespaces/default/pods/$1" | jq -r --arg key "$KEY" '.metadata.annotations[$key]'
}

@test "the annotation arrives by PATCH, with the rights of deploy/rbac.yaml, and all else stays" {
	uid=$(put_claimant patched)
	before=$(rest_of patched)
	probe lamina annotate default patched "$uid" "$KEY" $'[{\n    "name": "a\\u003cb"\n}]'
	assert_equal "$status" 0
	assert_equal "$(annotation_of patched)" $'[{\n    "name": "a\\u003cb"\n}]'
	assert_equal "$(rest_of patched)" "$before"
	# Nothing but PATCH could have done it.
	grant_nobody '{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}'
	await_probe nobody annotate default patched "" "$KEY" '[]'
	assert_equal "$(annotation_of patched)" '[]'
}

@test "with multus's own role it arrives by GET and PUT, and no field of a newer API is lost" {
	uid=$(put_claimant put)
	before=$(rest_of put)
	jq -e '.status.resourceClaimStatuses[0].resourceClaimName == "gpu-1"' <<<"$before" >/dev/null
	grant_nobody_multus
	await_probe nobody annotate default put "$uid" "$KEY" '[{}]'
	assert_equal "$(annotation_of put)" '[{}]'
	assert_equal "$(rest_of put)" "$before"
}

@test "a pod of that name with another UID is left alone, and one that is gone needs nothing" {
	kube_put_pod default other >/dev/null
	grant_nobody_multus
	await_probe nobody annotate default put "" "$KEY" '[1]'
	for user in lamina nobody; do
		probe "$user" annotate default other 7d5ab5d0-0000-4000-8000-000000000000 "$KEY" '[]'
		assert_equal "$status" 0
		assert_equal "$(annotation_of other)" null
		probe "$user" annotate default no-such-pod "" "$KEY" '[]'
		assert_equal "$status" 0
	done
}

@test "a static pod is known by its kubelet's UID, too" {
	kube_put_pod default static '.metadata.annotations["kubernetes.io/config.mirror"] = "0123abcd"' >/dev/null
	probe lamina annotate default static 0123abcd "$KEY" '[]'
	assert_equal "$status" 0
	assert_equal "$(annotation_of static)" '[]'
}

@test "a pod that others write to at the same time loses none of it" {
	grant_nobody_multus
	kube_put_pod default busy >/dev/null
	await_probe nobody annotate default busy "" "$KEY" '[0]'
	for ((i = 0; i < 40; i++)); do
		kube_annotate default busy "note-$i" here
	done 3>&- &
	for ((i = 0; i < 10; i++)); do
		probe nobody annotate default busy "" "$KEY" "[$i]"
		assert_equal "$status" 0
		assert_equal "$(annotation_of busy)" "[$i]"
	done
	wait $!
	kube_api GET /api/v1/namespaces/default/pods/busy |
		jq -e '.metadata.annotations | [range(40) as $i | .["note-\($i)"]] | all(. == "here")' >/dev/null || fail "a note is lost"
}

@test "both Events appear as multus's do" {
	uid=$(kube_put_pod default told)
	probe lamina events default told "$uid" 7 'Add net1 [10.1.1.11/24] from default/macvlan-conf'
	assert_equal "$status" 0
	kube_api GET '/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dtold' >"$NODE_DIR/events"
	jq -e --arg uid "$uid" '[.items[] | {type, reason}] | sort_by(.reason) == [{type: "Normal", reason: "AddedInterface"},
		{type: "Warning", reason: "NoNetworkFound"}]' "$NODE_DIR/events" || fail "other events" "$(<"$NODE_DIR/events")"
	jq -e --arg uid "$uid" '.items | all(.source == {component: "multus"} and .count == 1 and .metadata.namespace == "default" and
		.firstTimestamp == .lastTimestamp and (.firstTimestamp | fromdate) > now - 60 and
		(.metadata.name | test("^told\\.[0-9a-f]{16}$")) and .message == "Add net1 [10.1.1.11/24] from default/macvlan-conf" and
		.involvedObject == {kind: "Pod", apiVersion: "v1", namespace: "default", name: "told", uid: $uid, resourceVersion: "7"})' \
		"$NODE_DIR/events" || fail "other fields" "$(<"$NODE_DIR/events")"
}

@test "who may write nothing is told which right is missing" {
	kube_put_pod default denied >/dev/null
	grant_nobody '{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}'
	local end=$((SECONDS + 20))
	until
		probe nobody annotate default denied "" "$KEY" '[]'
		jq -e '.code == 11 and (.msg | contains("cannot update resource \"pods/status\"") and
			contains("the right to patch or update pods/status"))' <<<"$output" >/dev/null
	do
		((SECONDS < end)) || fail "another answer" "$output"
		sleep 0.1
	done
	probe nobody events default denied "" "" m
	jq -e '.code == 11 and (.msg | contains("cannot create resource \"events\"") and contains("the right to create events"))' <<<"$output"
}
