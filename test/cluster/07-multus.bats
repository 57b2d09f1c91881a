#!/usr/bin/env bats
# A live switch: the real multus is replaced by lamina, and put back, while 20 pods are renewed. kube-ipam is lamina's link all along.
# With the seed's configuration as it is, and with one that makes both read and write pods' annotations.
# shellcheck disable=SC2016,SC2154
bats_require_minimum_version 1.5.0

load cluster

MULTUS_KUBECONFIG=/etc/cni/net.d/multus.d/multus.kubeconfig
REPLICAS=20
# What pods ask for: those of web in the short form, each database in JSON, with an address and a port of the node of its own.
NETWORKS='(.spec.template.metadata | select(.)).annotations["k8s.v1.cni.cncf.io/networks"] = if .kind == "Deployment" then
		"plain@plain0, static, default/layer, chained"
	else
		{"database-1": 218, "database-2": 219}[.metadata.name] as $number |
		([{name: "static", namespace: "default", ips: ["10.31.0.\($number)/24"], interface: "static0"},
			{name: "chained", portMappings: [{hostPort: (8000 + $number), containerPort: 3306, protocol: "tcp"}]},
			{name: "plain"}] | tojson)
	end'

setup_file()
{
	on_nodes install_multus
}

teardown_file()
{
	clean_up
	on_nodes without_networks
	kubectl delete --ignore-not-found --filename "$KUBERNETES_FOLDER/networks.yaml" >/dev/null
	on_nodes cluster_install_node
}

# What points before have left there, a kube-ipam among it, is not to be found by the installation.
install_multus()
{
	machine_exec "$1" /var/lib/lamina/install/install.sh --uninstall
	machine_exec "$1" cp --remove-destination "$("$ROOM_LAB/parts.sh" --path multus)" /opt/cni/bin/multus-cni
	machine_exec "$1" rm -f /opt/cni/bin/kube-ipam
	cluster_install_node "$1" --keep multus-cni
}

# With multus's rights it cannot look at nodes, and waits where a dead one's address is wanted: that is told, and forced.
install_with_multus_rights()
{
	cluster_install_node "$1" --force
}

# It leaves the link kube-ipam, as there are pods with addresses of it.
put_multus_back()
{
	machine_exec "$1" /var/lib/lamina/install/install.sh --uninstall
}

# serves NAME NODE: `lamina` or `multus` does there.
serves()
{
	local name
	name=$(machine_exec "$2" readlink /opt/cni/bin/multus-cni || echo multus)
	assert_equal "$name" "$1" && assert_equal "$(machine_exec "$2" readlink /opt/cni/bin/kube-ipam)" lamina
}

# switch_all CMD ...: on all nodes at once.
switch_all()
{
	local node
	local -A pids=()
	for node in "${KUBERNETES_NODES[@]}"; do
		"$@" "$node" >"$BATS_TEST_TMPDIR/$node.switch" 2>&1 &
		pids[$node]=$!
	done
	for node in "${KUBERNETES_NODES[@]}"; do
		wait "${pids[$node]}" || { fail "$(<"$BATS_TEST_TMPDIR/$node.switch")"; return 1; }
	done
}

# Both plugins read the pods' annotations with multus's own rights. A delegate without a version answers multus in a form of which it
# makes no network-status.
with_networks()
{
	jq --arg file "$MULTUS_KUBECONFIG" '.kubeconfig = $file | .delegates[].cniVersion = "0.3.1"' \
		"$SEED_FOLDER/10-multus.conf" | node_conf_write "$1"
	cert_kubeconfig "$KUBERNETES_URL" "$ROOM/certs/ca.pem" multus "$MULTUS_TOKEN" | machine_write "$1" "$MULTUS_KUBECONFIG" 600
}

without_networks()
{
	node_conf_write "$1" <"$SEED_FOLDER/10-multus.conf"
	machine_exec "$1" sh -c 'rm -rf /etc/cni/net.d/multus.d
		for link in br-plain br-chained; do ip link delete "$link" 2>/dev/null || true; done
		iptables-save --table nat | sed -n "s/^-A CNI-HOSTPORT-DNAT/-D CNI-HOSTPORT-DNAT/p; s/^:\(CNI-DN-[^ ]*\).*/-F \1\n-X \1/p" |
			sort | { echo "*nat"; cat; echo COMMIT; } | iptables-restore --noflush'
}

networks_up()
{
	local MULTUS_TOKEN
	until_true 30 kubectl apply --filename "$KUBERNETES_FOLDER/networks.yaml"
	MULTUS_TOKEN=$(kubectl create token multus --namespace kube-system --duration 2h)
	on_nodes with_networks
}

# pods_up [FILTER]: the seed's manifests byte for byte, or with what the filter adds to each.
pods_up()
{
	local file replicas
	for file in "${SEED_FILES[@]}"; do
		if (($# == 0)); then
			kubectl apply --filename "$SEED_FOLDER/$file"
		else
			kubectl create --dry-run=client --output json --filename "$SEED_FOLDER/$file" |
				jq "if .kind == \"List\" then .items[] else . end | $1" | kubectl apply --filename -
		fi
	done
	# So the churn takes longer than the switch, and goes no faster than multus can serve on two processors: it gives the API server a
	# quarter of a second for an answer, and fails the pod after that.
	kubectl patch deployment web --patch \
		'{"spec": {"minReadySeconds": 1, "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 2}}}}'
	for replicas in $((REPLICAS / 2)) "$REPLICAS"; do
		kubectl scale deployment web --replicas "$replicas"
		await_ready app=web "$replicas" 120
	done
	await_ready app=database-1 1
	await_ready app=database-2 1
}

# Of two database pods: whether one was touched, and what they have.
databases()
{
	local pod
	for pod in database-1-0 database-2-0; do
		echo "$pod $(pod_get "$pod" '{.metadata.uid} {.status.containerStatuses[0].restartCount}') $(pod_address "$pod")"
	done
}

have_their_addresses()
{
	assert_equal "$(pod_address database-1-0) $(pod_address database-2-0)" "10.188.0.218/16 10.188.0.219/16"
}

# Pods of web that were there when the churn began.
old_pods()
{
	local now
	now=$(pods app=web) || return
	grep -cxFf "$BATS_TEST_TMPDIR/old" <<<"$now" || true
}

old_are_at_most()
{
	local count
	count=$(old_pods) || return
	((count <= $1)) || fail "$count of the pods are there still"
}

# made_by NAME NODE: how many of its pods were started by `lamina` or `multus`.
made_by()
{
	machine_exec "$2" sh -c 'cd /var/lib/cni/multus && grep -c "\"lamina\":" /dev/null [0-9a-f]*[0-9a-f]' |
		awk -F: -v name="$1" 'NR > 1 && ($2 > 0) == (name == "lamina")' | wc -l
}

# switch_under_churn FROM CMD ...: while all pods of web are renewed, some at a time, the plugin is replaced on all nodes; then the
# databases, that ran all the time with their addresses, are renewed by the new one.
switch_under_churn()
{
	local before left
	before=$(databases)
	pods app=web >"$BATS_TEST_TMPDIR/old"
	kubectl rollout restart deployment/web
	# The one that goes deletes and makes pods, too, and most are left for its successor.
	until_true 60 old_are_at_most $((REPLICAS - 1))
	switch_all "${@:2}"
	left=$(on_nodes made_by "$1" | jq --slurp add)
	((left >= REPLICAS / 3)) || fail "the successor of $1 finds only $left pods of it"
	assert_equal "$(databases)" "$before"
	kubectl rollout restart statefulset/database-1 statefulset/database-2
	kubectl rollout status deployment/web --timeout 120s >/dev/null
	kubectl rollout status statefulset/database-1 --timeout 60s >/dev/null
	kubectl rollout status statefulset/database-2 --timeout 60s >/dev/null
	await_ready app=web "$REPLICAS" 60
	assert_equal "$(old_pods)" 0
	assert_equal "$(databases | grep -xFf <(cat <<<"$before"))" ''
	have_their_addresses
}

mark_logs()
{
	local node
	kubectl delete --raw /api/v1/namespaces/default/events >/dev/null
	for node in "${KUBERNETES_NODES[@]}"; do
		wc -c <"$ROOM/log/$node.containerd" >"$BATS_TEST_TMPDIR/$node.mark"
	done
}

# What has gone wrong with sandboxes, by the kubelets and by containerd, since the mark.
sandbox_failures()
{
	local node events mark log
	events=$(kubectl get events --output json) || return
	jq -r '.items[] | select(.reason == ("FailedCreatePodSandBox", "FailedKillPod")) | "\(.reason) \(.message)"' <<<"$events" || return
	for node in "${KUBERNETES_NODES[@]}"; do
		mark=$(<"$BATS_TEST_TMPDIR/$node.mark") && log=$(tail -c "+$((mark + 1))" "$ROOM/log/$node.containerd") || return
		grep -E 'level=error.*(PodSandbox.* failed|network for sandbox)' <<<"$log" || true
	done
}

# Those that count: what multus itself has given up since the API server took longer than its quarter of a second says nothing of the
# switch, and happens when this machine has much else to do. That nothing can be known is no good news.
failures()
{
	local all count excused='(Multus: |SetNetworkStatus: ).*context deadline exceeded'
	all=$(sandbox_failures) || { echo 'the failures cannot be read' && return 1; }
	count=$(grep -cE "$excused" <<<"$all" || true)
	((count == 0)) || echo "# multus gave up $count times, as the API server took too long for it: not counted" >&3
	grep -vE "$excused" <<<"$all" || true
}

# Multus does not tell the plugins of a pod's annotation on DEL which ports were mapped, and so the rules of its own pods stay, too. What
# lamina deletes has none.
without_known_leaks()
{
	if [[ ${DELETED_BY:-} == multus ]]; then
		grep -vE 'CNI-DN-|dnat name'
	else
		cat
	fi
}

# Whatever names a container on a node: records of either plugin, of delegates and of IPAM plugins, and rules.
named_containers()
{
	local text
	text=$(machine_exec "$1" sh -c 'find /var/lib/cni /run/lamina -type f; grep -rh . /var/lib/cni/networks; iptables-save') || return
	without_known_leaks <<<"$text" | grep -oE '[0-9a-f]{64}' | sort -u
}

live_containers()
{
	local tasks
	tasks=$(node_ctr "$1" tasks list) || return
	awk '$3 == "RUNNING" { print $1 }' <<<"$tasks"
}

# The namespaces of a node, and the devices that shape a pod's traffic, beyond those of pods that run.
surplus()
{
	local sandboxes
	sandboxes=$(node_ctr "$1" containers list --quiet 'labels."io.cri-containerd.kind"==sandbox' | grep -cxFf "$BATS_TEST_TMPDIR/living" || true)
	machine_exec "$1" sh -c 'ls -d /run/netns/cni-* 2>/dev/null | tail -n "+$(($1 + 1))"; ip -o link show type ifb | tail -n "+$(($1 + 1))"' sh "$sandboxes"
}

# Only pods that run have anything. A question that fails is not answered with nothing.
only_the_living()
{
	local node living names more left=
	living=$(on_nodes live_containers) || return
	sort <<<"$living" >"$BATS_TEST_TMPDIR/living"
	for node in "${KUBERNETES_NODES[@]}"; do
		names=$(named_containers "$node") && more=$(surplus "$node") || return
		left+=$(strangers <<<"$names" | sed "s/^/$node /")${more:+ $node $more}
	done
	names=$(etcdctl get --prefix /etcd-cni) || return
	left+=$(grep -oE '[0-9a-f]{64}' <<<"$names" | sort -u | strangers)
	[[ -z $left ]] || fail "$left"
}

# Of containers, one a line, those that do not run.
strangers()
{
	comm -23 - "$BATS_TEST_TMPDIR/living" | grep . || true
}

# What is in use when all pods are gone. An address that is kept for somebody keeps its place in its layer.
left_in_etcd()
{
	local keys
	keys=$(etcdctl get --prefix --keys-only /etcd-cni) || return
	awk -F/ '$3 == "domain" { place[$NF] = $0 } $5 == "fixed" { kept[$NF] }
		$5 == "used" || $5 == "attachment"
		END { for (address in place) if (!(address in kept)) print place[address] }' <<<"$keys"
}

left_on_node()
{
	machine_exec "$1" sh -c 'ip -o link show type ifb; ip -o -4 address show | grep -E " 10\.(188|189|31)\."
		ip route show table all | grep -E "^(local |broadcast )?10\.(188|189|31)\."; ip rule | grep -vE "lookup (local|main|default)"
		iptables-save | grep -E "[0-9a-f]{64}|CNI-DN-|CNI-[0-9a-f]{24}"; true'
}

# Beside what assert_no_leak looks at.
nothing_is_left()
{
	local left keys
	left=$(on_nodes left_on_node) && keys=$(left_in_etcd) || return
	left=$(without_known_leaks <<<"$left"$'\n'"$keys" | grep . || true)
	[[ -z $left ]] || fail "$left"
}

assert_nothing_left()
{
	clean_up
	assert_no_leak
	until_true 20 only_the_living
	until_true 20 nothing_is_left
}

# The networks that pods say they have, and how many of the pods say so: names, interfaces and which values there are. Multus names a
# default route's gateway <nil> when it has none; lamina does not.
shapes()
{
	local pods
	pods=$(kubectl get pods --output json) || return
	jq -cS '.items[] | select(.metadata.deletionTimestamp == null) | [.metadata.labels.app,
		(.metadata.annotations["k8s.v1.cni.cncf.io/network-status"] // "[]" | fromjson | map(
			(.ips, .gateway | select(.) | .[]) |= gsub("[0-9]+"; "0") | .mac |= gsub("[0-9a-f]"; "0")
			| if .gateway == ["<nil>"] then del(.gateway) else . end))]' <<<"$pods" | sort | uniq -c
}

@test "12 lamina replaces multus while 20 pods are renewed, and deletes its pods: no sandbox fails, nothing is left" {
	local said
	mark_logs
	pods_up
	have_their_addresses
	on_nodes serves multus
	switch_under_churn multus cluster_install_node
	on_nodes serves lamina
	assert_equal "$(failures)" ''
	# Neither of them has been told who may write one.
	said=$(shapes)
	[[ -n $said ]]
	assert_equal "$(grep -vF ',[]]' <<<"$said")" ''
	until_true 20 only_the_living
	assert_records_true
}

@test "12 multus is put back while 20 pods are renewed, and deletes lamina's pods: no sandbox fails, nothing is left" {
	mark_logs
	switch_under_churn lamina put_multus_back
	on_nodes serves multus
	assert_equal "$(failures)" ''
	until_true 20 only_the_living
}

@test "12 when all of it is deleted by multus, nothing is left on any node or in etcd" {
	local DELETED_BY=multus
	assert_nothing_left
}

# What the databases asked of these networks.
networks_are_given()
{
	local pod number address rules
	for pod in database-1-0 database-2-0; do
		number=21$((7 + ${pod:9:1}))
		assert_equal "$(pod_address "$pod" static0)" "10.31.0.$number/24"
		address=$(pod_address "$pod" net3)
		rules=$(machine_exec "$(pod_get "$pod" '{.spec.nodeName}')" iptables-save --table nat)
		grep -q -- "--dport 8$number -j DNAT --to-destination ${address%/*}:3306" <<<"$rules" || fail "$rules"
	done
}

@test "13 with networks of the pods' own and multus's rights lamina replaces multus in the same way, and network-status stays" {
	local before
	mark_logs
	networks_up
	pods_up "$NETWORKS"
	before=$(shapes)
	assert_equal "$(grep -o '\[.*' <<<"$before" | jq -r '"\(.[0]): \(.[1] | map(.interface) | join(" "))"' | paste -sd , -)" \
		"database-1: eth0 net1 static0 net3 net4,database-2: eth0 net1 static0 net3 net4,web: eth0 net1 plain0 net3 net4 net5"
	networks_are_given
	on_nodes serves multus
	switch_under_churn multus install_with_multus_rights
	on_nodes serves lamina
	networks_are_given
	assert_equal "$(shapes)" "$before"
	assert_equal "$(failures)" ''
	until_true 20 only_the_living
}

@test "13 with networks of the pods' own multus is put back in the same way, and network-status stays" {
	local before DELETED_BY=multus
	mark_logs
	before=$(shapes)
	switch_under_churn lamina put_multus_back
	on_nodes serves multus
	networks_are_given
	assert_equal "$(shapes)" "$before"
	assert_equal "$(failures)" ''
	until_true 20 only_the_living
}

@test "13 when all of it is deleted by multus, nothing is left on any node or in etcd" {
	local DELETED_BY=multus
	assert_nothing_left
}
