#!/usr/bin/env bats
# deploy/rbac.yaml and deploy/kubeconfig.sh with the real kubectl, API server and controller manager: what the roles of a node and of an
# operator are enough for, what they may not do, and what is said where a right is missing.
# What setup and cluster.bash set is used in tests and the other way round; single quotes are for jq and for shells inside of the node.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster

DEPLOY=$LAB_DIR/../../deploy
NODE_ACCOUNT=system:serviceaccount:kube-system:lamina-node
OPERATOR_ACCOUNT=system:serviceaccount:kube-system:lamina-operator
OPERATOR=/etc/kubernetes/ssl/operator.kubeconfig
USED=/etcd-cni/networks/k8snet2/used

setup_file()
{
	local n
	setup_cluster 2
	setup_kube
	kube_kubeconfig admin >"$NODE_DIR/admin"
	# The lab's users have the same roles: the file makes its own.
	kubectl delete -f "$DEPLOY/rbac.yaml" --ignore-not-found >/dev/null
	kubectl apply -f "$DEPLOY/rbac.yaml"
	controller_up
	kubeconfig --role operator | node_exec sh -c 'umask 077; cat >"$1"' sh $OPERATOR
	for n in 1 2; do
		kubeconfig | on "$n" node_exec sh -c 'umask 077; cat >/etc/kubernetes/ssl/kube.kubeconfig'
	done
}

teardown_file()
{
	at 1
	[[ ! -e $KUBE_DIR/controller.pid ]] || kube_end controller
	kube_down
	teardown_cluster
}

setup()
{
	local n
	at 1
	# net1 alone, as eth0 of the pod: no other plugin runs.
	CONF=$(cluster_conf '.delegates = [.delegates[1]] | .cniVersion = "1.1.0"')
	for n in 1 2; do
		kube_put_node node-$n >/dev/null 2>&1 || true
		kube_renew_lease node-$n
	done
}

teardown()
{
	local n name
	at 1
	kubectl apply -f "$DEPLOY/rbac.yaml" >/dev/null
	for name in $(kube_api GET /api/v1/namespaces/default/pods | jq -r '.items[].metadata.name'); do
		kube_delete_pod default "$name"
	done
	etcd_ctl del --prefix /etcd-cni >/dev/null
	for n in 1 2; do
		on "$n" node_exec sh -c 'ip -all netns del; rm -rf /run/lamina /var/lib/cni'
		kube_untaint node-$n || true
	done
}

kubectl()
{
	kube_exec env HOME="$NODE_DIR" KUBECONFIG="${KUBECTL_CONFIG:-$NODE_DIR/admin}" \
		"$("$LAB_DIR/parts.sh" --path kubernetes)/kubectl" "$@"
}

# kubeconfig ARG ...: deploy/kubeconfig.sh as an administrator runs it, or who KUBECTL_CONFIG says.
kubeconfig()
{
	kube_exec env HOME="$NODE_DIR" KUBECONFIG="${KUBECTL_CONFIG:-$NODE_DIR/admin}" KUBECONFIG_PATIENCE="${PATIENCE:-30}" \
		PATH="$("$LAB_DIR/parts.sh" --path kubernetes):$PATH" "$DEPLOY/kubeconfig.sh" "$@"
}

# The part of the controller manager that gives the Secrets of service accounts their tokens.
controller_up()
{
	printf '%s\n' "$("$LAB_DIR/parts.sh" --path kubernetes)/kube-controller-manager" --kubeconfig "$NODE_DIR/admin" --secure-port 0 \
		--controllers serviceaccount-token-controller --service-account-private-key-file "$KUBE_DIR/accounts.pem" \
		--root-ca-file "$KUBE_DIR/certs/ca.pem" --leader-elect=false >"$KUBE_DIR/controller.flags"
	kube_run controller
}

# As a pod of the API server on a node, which becomes the current one. Usage: pod NODE NAME [ADDRESS]
pod()
{
	local uid
	uid=$(kube_put_pod default "$2" ".spec.nodeName = \"node-$1\"${3:+ | .metadata.annotations[\"kube-ipam.ip\"] = \"$3\"}")
	at "$1"
	new_pod "$2" "$2-$uid"
	pod_args default "$2" "$uid"
}

# A pod that is gone from the API, and from its node 2, which has not told etcd.
leave_behind()
{
	pod 2 "$1" "$2"
	cni ADD
	assert_ok
	pod_down "$1"
	kube_delete_pod default "$1"
	at 1
}

person()
{
	run --separate-stderr lamina "$@"
	printf '%s\n' "--- lamina $*: $status" "$output" "--- stderr" "$stderr"
}

# set_rule KIND NAME RULE: the only rule that the role has from now on (none: no rule at all), for all to see.
set_rule()
{
	local namespace=()
	[[ $1 != role ]] || namespace=(-n kube-node-lease)
	kubectl "${namespace[@]}" patch "$1" "$2" --type json -p "[{\"op\": \"replace\", \"path\": \"/rules\", \"value\": [${3:-}]}]" >/dev/null
}

# may ACCOUNT VERB RESOURCE [ARG ...]
may()
{
	[[ $(kubectl auth can-i --as "$1" "${@:2}" 2>/dev/null) == yes ]]
}

may_not()
{
	! may "$@"
}

core()
{
	echo "{\"apiGroups\": [\"\"], \"resources\": $1, \"verbs\": $2}"
}

# What somebody may do in a namespace, but for what every account may: look at himself, and at what the server is.
rights()
{
	kubectl auth can-i --list --as "$1" -n "$2" --no-headers |
		awk '$1 !~ /^self/ && $1 !~ /^\[/ { gsub(/ +/, " "); print }' | sort
}

@test "the file applied a second time changes nothing" {
	run kubectl apply -f "$DEPLOY/rbac.yaml"
	echo "$output"
	assert_equal "$status/$(wc -l <<<"$output")" 0/10
	run ! grep -v unchanged <<<"$output"
}

@test "a node's account may get pods, nodes, definitions of networks and node leases and write a pod's status and events, an operator's list, and neither else" {
	local ns
	local -a node=('events [] [] [create]' 'network-attachment-definitions.k8s.cni.cncf.io [] [] [get]' 'nodes [] [] [get]'
		'pods [] [] [get]' 'pods/status [] [] [patch update]')
	for ns in default kube-system; do
		assert_equal "$(rights $NODE_ACCOUNT $ns)" "$(printf '%s\n' "${node[@]}" | sort)"
		assert_equal "$(rights $OPERATOR_ACCOUNT $ns)" "$(printf '%s\n' 'nodes [] [] [get list]' 'pods [] [] [get list]')"
	done
	assert_equal "$(rights $NODE_ACCOUNT kube-node-lease)" \
		"$(printf '%s\n' "${node[@]}" 'leases.coordination.k8s.io [] [] [get]' | sort)"
	assert_equal "$(rights $OPERATOR_ACCOUNT kube-node-lease)" \
		"$(printf '%s\n' 'leases.coordination.k8s.io [] [] [get]' 'nodes [] [] [get list]' 'pods [] [] [get list]')"
	# As the tokens have it, not only as their names would.
	kubeconfig >"$NODE_DIR/account"
	KUBECTL_CONFIG=$NODE_DIR/account
	kubectl get node node-1
	run ! kubectl get pods
	run ! kubectl get pods -n kube-system
	run ! kubectl -n kube-system get secret lamina-node-token
	run ! kubectl -n kube-system get secret lamina-operator-token
	run ! kubectl taint nodes node-1 a=b:NoExecute
	run ! kubectl -n kube-node-lease get leases
}

@test "a node's account is enough for a pod's whole life, a takeover from another node and lamina gc" {
	leave_behind db-0 10.188.0.218
	pod 1 db-0 10.188.0.218
	cni ADD
	assert_ok
	assert_equal "$(pod_addrs eth0)" 10.188.0.218/16
	conf_edit '.prevResult = $result' --argjson result "$output"
	cni CHECK
	assert_ok
	conf_edit 'del(.prevResult)'
	cni STATUS
	assert_ok
	person ip ls
	assert_equal "$status" 0
	cni DEL
	assert_ok
	pod 1 web-1
	cni ADD
	assert_ok
	pod_down web-1
	person gc
	assert_equal "$status" 0
	conf_edit '."cni.dev/valid-attachments" = []'
	cni GC
	assert_ok
	assert_equal "$(etcd_ctl get --prefix --keys-only $USED)" ''
}

@test "a node's account is enough to release and reserve what a pod that is gone has" {
	leave_behind db-0 10.188.0.218
	leave_behind db-1 10.188.0.219
	person ip release 10.188.0.218
	assert_equal "$status" 0
	person ip reserve 10.188.0.219 --for default/db-9
	assert_equal "$status" 0
}

@test "ip gc and ip import --from-api take an operator's account, and say so to a node" {
	local said="list of pods: API server https://192.168.122.10:6443: HTTP 403: pods is forbidden: User \"$NODE_ACCOUNT\" cannot list"
	said+=" resource \"pods\" in API group \"\" at the cluster scope; give the user of /etc/kubernetes/ssl/kube.kubeconfig the right to"
	said+=" list pods, or name another user's file with --kubeconfig"
	leave_behind db-0 10.188.0.218
	kube_put_pod default db-1 '.metadata.annotations["kube-ipam.ip"] = "10.188.0.219"'
	kube_renew_lease node-2 300
	kube_taint node-2 node.kubernetes.io/out-of-service
	person ip gc
	assert_equal "$status/$stderr" "1/lamina: $said"
	person ip import --from-api
	assert_equal "$status/$stderr" "1/lamina: $said"
	assert_equal "$(etcd_ctl get --prefix --keys-only $USED | sed '/^$/d')" $USED/10.188.0.218
	person ip gc --kubeconfig $OPERATOR
	assert_equal "$status" 0
	[[ $output == "freed 10.188.0.218 "* ]]
	person ip import --from-api --kubeconfig $OPERATOR
	assert_equal "$status" 0
	[[ $output == "imported 10.188.0.219 "* ]]
	person ip gc --kubeconfig /etc/kubernetes/ssl/nobody
	[[ $status == 1 && $stderr == *"/etc/kubernetes/ssl/nobody"*"No such file"* ]]
}

@test "without the right to get pods an ADD says which one is missing, where and to whom" {
	set_rule clusterrole lamina-node "$(core '["nodes"]' '["get"]')"
	cluster_until may_not $NODE_ACCOUNT get pods
	pod 1 web-1
	snapshot
	cni ADD
	assert_code 11
	assert_msg "pods \"web-1\" is forbidden: User \"$NODE_ACCOUNT\" cannot get resource \"pods\" in API group \"\" in the namespace \"default\"; give the user of /etc/kubernetes/ssl/kube.kubeconfig the right to get pods"
	assert_unchanged
}

@test "without the right to get nodes a takeover says which one is missing" {
	leave_behind db-0 10.188.0.218
	set_rule clusterrole lamina-node "$(core '["pods"]' '["get"]')"
	cluster_until may_not $NODE_ACCOUNT get nodes
	pod 1 db-0 10.188.0.218
	cni ADD
	assert_code 11
	assert_msg "whether its node lives is not known: .*User \"$NODE_ACCOUNT\" cannot get resource \"nodes\" in API group \"\" at the cluster scope; .*the right to get nodes"
	refute_link eth0
}

@test "without the right to get leases a takeover says which one is missing, and in which namespace" {
	leave_behind db-0 10.188.0.218
	set_rule role lamina-node
	cluster_until may_not $NODE_ACCOUNT get leases -n kube-node-lease
	pod 1 db-0 10.188.0.218
	cni ADD
	assert_code 11
	assert_msg "User \"$NODE_ACCOUNT\" cannot get resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"kube-node-lease\"; .*the right to get leases"
	refute_link eth0
	# The operator's is the same.
	person ip gc --kubeconfig $OPERATOR
	assert_equal "$status" 1
	[[ $output == "left 10.188.0.218 "*"User \"$OPERATOR_ACCOUNT\" cannot get resource \"leases\""*kube-node-lease* ]]
}

@test "without an operator's rights ip gc and ip import say which one is missing, and free nothing" {
	leave_behind db-0 10.188.0.218
	kube_renew_lease node-2 300
	kube_taint node-2 node.kubernetes.io/out-of-service
	set_rule clusterrole lamina-operator "$(core '["pods", "nodes"]' '["get"]')"
	cluster_until may_not $OPERATOR_ACCOUNT list pods
	for command in 'ip gc' 'ip import --from-api'; do
		# shellcheck disable=SC2086 # two words
		person $command --kubeconfig $OPERATOR
		assert_equal "$status/$output" 1/
		[[ $stderr == *"User \"$OPERATOR_ACCOUNT\" cannot list resource \"pods\" in API group \"\" at the cluster scope"*"$OPERATOR the right to list pods"* ]]
	done
	set_rule clusterrole lamina-operator "$(core '["pods"]' '["get", "list"]')"
	cluster_until may_not $OPERATOR_ACCOUNT get nodes
	cluster_until may $OPERATOR_ACCOUNT list pods
	person ip gc --kubeconfig $OPERATOR
	assert_equal "$status" 1
	[[ $output == "left 10.188.0.218 "*"User \"$OPERATOR_ACCOUNT\" cannot get resource \"nodes\""*"the right to get nodes"* ]]
	assert_equal "$(etcd_ctl get --prefix --keys-only $USED | sed '/^$/d')" $USED/10.188.0.218
}

@test "kubeconfig.sh writes a file of the account's own, which only its owner may read, in one step" {
	local folder=$NODE_DIR/out
	mkdir -m 755 "$folder"
	echo old >"$folder/kube.kubeconfig"
	chmod 644 "$folder/kube.kubeconfig"
	kubeconfig --out "$folder/kube.kubeconfig" >"$folder.said"
	assert_equal "$(<"$folder.said")" ''
	assert_equal "$(stat -c %a "$folder/kube.kubeconfig") $(ls -A "$folder")" '600 kube.kubeconfig'
	assert_equal "$(sed -n 's/.*certificate-authority-data: //p' "$folder/kube.kubeconfig" | base64 -d)" "$(<"$KUBE_DIR/certs/ca.pem")"
	assert_equal "$(KUBECTL_CONFIG=$folder/kube.kubeconfig kubectl auth whoami -o 'jsonpath={.status.userInfo.username}')" $NODE_ACCOUNT
	kubeconfig --role operator --out "$folder/kube.kubeconfig"
	assert_equal "$(KUBECTL_CONFIG=$folder/kube.kubeconfig kubectl auth whoami -o 'jsonpath={.status.userInfo.username}')" $OPERATOR_ACCOUNT
	# Of a token that does not run out.
	sed -n 's/.*token: //p' "$folder/kube.kubeconfig" | cut -d . -f 2 | tr '_-' '/+' | base64 -d 2>/dev/null | jq -e 'has("exp") | not'
	# What fails leaves the file, and nothing beside it.
	cp "$folder/kube.kubeconfig" "$folder.before"
	run ! kubeconfig --server ftp://x --out "$folder/kube.kubeconfig"
	PATIENCE=0 KUBECTL_CONFIG=$folder/kube.kubeconfig run ! kubeconfig --out "$folder/kube.kubeconfig"
	cmp "$folder/kube.kubeconfig" "$folder.before"
	assert_equal "$(ls -A "$folder")" kube.kubeconfig
	run ! kubeconfig --out "$folder/no/such/folder"
	[[ $output == *"no file can be made beside $folder/no/such/folder"* ]]
}

@test "kubeconfig.sh takes the server from the context or from --server, and the CA from a file too" {
	kubectl config view --raw | sed "s|certificate-authority-data: .*|certificate-authority: $KUBE_DIR/certs/ca.pem|" >"$NODE_DIR/by-file"
	KUBECTL_CONFIG=$NODE_DIR/by-file
	kubectl config set-cluster lab --tls-server-name kubernetes
	kubeconfig --server https://192.168.122.10:6443/ >"$NODE_DIR/account"
	cat "$NODE_DIR/account"
	grep -qx '    server: "https://192.168.122.10:6443/"' "$NODE_DIR/account"
	grep -qx '    tls-server-name: "kubernetes"' "$NODE_DIR/account"
	run ! grep -q "$KUBE_DIR" "$NODE_DIR/account"
	node_exec sh -c 'cat >/etc/kubernetes/ssl/other.kubeconfig' <"$NODE_DIR/account"
	CONF=$(jq '.delegates[0].ipam.kubeConfig = "/etc/kubernetes/ssl/other.kubeconfig"' <<<"$CONF")
	pod 1 web-1
	cni ADD
	assert_ok
	# As nodes reach it where the administrator has another way.
	kubeconfig --server 'https://[fd00::1]:6443' | grep -qx '    server: "https://\[fd00::1]:6443"'
}

# says STATUS TEXT [ARG ...]: kubeconfig.sh fails with that status and one sentence with the text, and prints nothing else.
says()
{
	run --separate-stderr kubeconfig "${@:3}"
	echo "$status" "$output" "$stderr"
	assert_equal "$status/$output" "$1/"
	[[ $(tail -n 1 <<<"$stderr") == "kubeconfig.sh: "*"$2"* ]] || fail "not said: $2"
}

@test "kubeconfig.sh says in a sentence what is wrong" {
	says 2 "--role is 'root': it must be node or operator" --role root
	says 2 "--out wants a value" --out
	says 2 "'extra' is no option" extra
	says 2 "--server is 'http://x': it must be a URL such as https://" --server http://x
	says 2 'a folder: it must be a file' --out "$NODE_DIR"
	KUBECTL_CONFIG=/dev/null says 1 'kubectl has no current context that it can read'
	kubectl config view --raw | sed 's|certificate-authority-data: .*|insecure-skip-tls-verify: true|' >"$NODE_DIR/blind"
	KUBECTL_CONFIG=$NODE_DIR/blind says 1 'insecure-skip-tls-verify: lamina verifies the API server'
	kube_kubeconfig nobody >"$NODE_DIR/nobody"
	KUBECTL_CONFIG=$NODE_DIR/nobody says 1 'Secret lamina-node-token in kube-system cannot be read'
	[[ $stderr == *'User "nobody" cannot get resource "secrets"'* ]]
	kubectl -n kube-system delete secret lamina-node-token
	says 1 "there is no Secret lamina-node-token in kube-system: run 'kubectl apply -f rbac.yaml' first"
	run kubeconfig --help
	[[ $status == 0 && $output == *'[--role node|operator] [--server URL] [--out FILE]'* ]]
}

@test "kubeconfig.sh waits for the token of a new Secret, and says who should have made it" {
	kube_exec kill -STOP "$(<"$KUBE_DIR/controller.pid")"
	kubectl -n kube-system delete secret lamina-operator-token
	kubectl apply -f "$DEPLOY/rbac.yaml"
	PATIENCE=1 says 1 'Secret lamina-operator-token in kube-system has no token after 1 s: the controller manager' --role operator
	(sleep 2 && kube_exec kill -CONT "$(<"$KUBE_DIR/controller.pid")") 3>&- &
	kubeconfig --role operator >"$NODE_DIR/account"
	wait
	assert_equal "$(KUBECTL_CONFIG=$NODE_DIR/account kubectl auth whoami -o 'jsonpath={.status.userInfo.username}')" $OPERATOR_ACCOUNT
	node_exec sh -c 'cat >"$1"' sh $OPERATOR <"$NODE_DIR/account"
}
