# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for jq, or for a shell inside
# Points that hold by whichever way the pods' annotations come: each is run with the seed's configuration as it is, and with annotations
# from the runtime. The seed's pods run already.

# 2: names, addresses, mtu and routes inside of the pods as the seed's configuration says.
point_interfaces()
{
	local pod said
	said=$(in_pod database-2-0 ip address)
	grep -qE '^[0-9]+: eth0@if[0-9]+: <BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1400 ' <<<"$said" || fail "$said"
	# What stands behind the @ is the number of the node's link, or the name of the pod's link that has the same number.
	grep -qE '^[0-9]+: net1@[a-z0-9]+: <BROADCAST,MULTICAST,UP,LOWER_UP(,M-DOWN)?> mtu 1500 ' <<<"$said" || fail "$said"
	grep -qE 'inet 10\.244\.[0-9.]+/24 brd 10\.244\.[0-9]+\.255 scope global eth0 *$' <<<"$said" || fail "$said"
	grep -qxE ' *inet 10\.188\.0\.219/16 brd 10\.188\.255\.255 scope global net1' <<<"$said" || fail "$said"
	assert_equal "$(grep -cE '^[0-9]+: ' <<<"$said")" 3
	assert_equal "$(pod_address database-1-0)" 10.188.0.218/16
	for pod in $(pods app=web); do
		# A dynamic one is of the range.
		[[ $(pod_address "$pod") =~ ^10\.188\.0\.([0-9]+)/16$ ]]
		((BASH_REMATCH[1] >= 10 && BASH_REMATCH[1] <= 200))
	done
	for pod in $(pods); do
		said=$(in_pod "$pod" ip route show table main)
		assert_equal "$(grep -c '^default' <<<"$said")" 1
		grep -qE '^default via 10\.244\.[0-9]+\.1 dev eth0' <<<"$said" || fail "$said"
		grep -qE '^10\.188\.0\.0/16 dev net1' <<<"$said" || fail "$said"
	done
}

# All pods of a node have to ask the wire again.
forget_neighbours()
{
	machine_exec "$1" sh -c 'for netns in /run/netns/cni-*; do
		nsenter --net="$netns" ip neigh flush dev net1 2>/dev/null || true
	done'
}

# hears_ping FROM TO ADDRESS: one pod pings another of another node over net1, seen on the wire of the first one's node with the MAC
# addresses of both net1, and nowhere on flannel's way.
hears_ping()
{
	local node mac peer said link
	node=$(pod_get "$1" '{.spec.nodeName}')
	mac=$(pod_mac "$1" net1) peer=$(pod_mac "$2" net1)
	on_nodes forget_neighbours
	LISTEN=eth0 listen "$node" eth0 'arp or icmp'
	for link in docker0 flannel.1; do
		LISTEN=$link listen "$node" "$link" 'net 10.188.0.0/16'
	done
	in_pod "$1" ping -c 2 -W 2 "$3"
	said=$(LISTEN=eth0 heard)
	grep -qE "$mac > ff:ff:ff:ff:ff:ff, .* ARP.* Request who-has $3 " <<<"$said" || fail "$said"
	grep -qE "$peer > $mac, .* ARP.* Reply $3 is-at $peer" <<<"$said" || fail "$said"
	grep -qE "$mac > $peer, .* ICMP echo request" <<<"$said" || fail "$said"
	grep -qE "$peer > $mac, .* ICMP echo reply" <<<"$said" || fail "$said"
	! grep ' ICMP echo ' <<<"$said" | grep -v "$mac" || fail "ICMP of another MAC" "$said"
	for link in docker0 flannel.1; do
		said=$(LISTEN=$link heard)
		! grep -E '^[0-9]+:' <<<"$said" || fail "on $link:" "$said"
	done
}

# 3: the layer of the databases is a layer of its own, and Services answer all the same.
point_traffic()
{
	local web pod
	place database-1-0 node-1
	place database-2-0 node-2
	web=$(kubectl get pods --selector app=web --output json |
		jq -r '[.items[] | select(.spec.nodeName != "node-1")][0].metadata.name')
	hears_ping "$web" database-1-0 10.188.0.218
	web=$(kubectl get pods --selector app=web --output json |
		jq -r '[.items[] | select(.spec.nodeName != "node-2")][0].metadata.name')
	hears_ping "$web" database-2-0 10.188.0.219
	hears_ping database-1-0 database-2-0 10.188.0.219
	hears_ping database-2-0 database-1-0 10.188.0.218
	point_client
	point_services
}

# A client behind the gateway of the layer gets its answers over the layer.
point_client()
{
	local mac said
	mac=$(pod_mac database-1-0 net1)
	LISTEN=eth0 listen node-1 eth0 'tcp port 3306'
	LISTEN=docker0 listen node-1 docker0 'tcp port 3306'
	room_client curl --silent --fail --max-time 5 http://10.188.0.218:3306/ >/dev/null
	said=$(LISTEN=eth0 heard)
	grep -qE "$mac > .* 10\.188\.0\.218\.3306 > 172\.31\.0\.2\.[0-9]+: Flags \[S\.\]" <<<"$said" || fail "$said"
	! grep -E ' 10\.188\.0\.218\.3306 > ' <<<"$said" | grep -v "$mac > " || fail "$said"
	said=$(LISTEN=docker0 heard)
	! grep -E '^[0-9]+:' <<<"$said" || fail "$said"
}

answers()
{
	grep -q 'Welcome to nginx!'
}

point_services()
{
	local port cluster_ip node pod
	port=$(kubectl get service web-svc --output 'jsonpath={.spec.ports[0].nodePort}')
	cluster_ip=$(kubectl get service web-svc --output 'jsonpath={.spec.clusterIP}')
	for node in 1 2 3; do
		room_client curl --silent --max-time 5 "http://192.168.122.1$node:$port/" | answers || fail "the NodePort of node-$node does not answer"
	done
	for pod in $(pods); do
		in_pod "$pod" wget -q -O - "http://$cluster_ip/" | answers || fail "the ClusterIP does not answer $pod"
	done
}

# Of a pod: what changes when it was made anew, and what changes when it was only restarted.
pod_life()
{
	pod_get "$1" '{.metadata.uid} {.status.containerStatuses[0].restartCount}'
}

have_their_addresses()
{
	assert_equal "$(pod_address database-1-0) $(pod_address database-2-0)" "10.188.0.218/16 10.188.0.219/16"
}

# 4: whatever becomes of a pod or of its node, the address stays.
point_stays()
{
	local node life
	life=$(pod_life database-2-0)
	kubectl delete pod database-2-0
	await_ready app=database-2 1
	[[ $(pod_life database-2-0) != "$life" ]]
	have_their_addresses

	node=$(pod_get database-2-0 '{.spec.nodeName}')
	kubectl drain "$node" --ignore-daemonsets --timeout 60s
	seed_await
	[[ $(pod_get database-2-0 '{.spec.nodeName}') != "$node" ]]
	have_their_addresses
	kubectl uncordon "$node"

	point_container_killed
	point_services_restarted
	point_node_rebooted
	assert_records_true
}

# The container's first process dies; the sandbox lives on.
point_container_killed()
{
	in_pod database-2-0 sh -c 'kill -KILL -1' || true
	until_true 60 restarted database-2-0 1
	have_their_addresses
}

restarted()
{
	[[ $(pod_get "$1" '{.status.containerStatuses[0].restartCount}') == "$2" ]] && pod_is_ready "$1"
}

point_services_restarted()
{
	local before node
	before=$(kubectl get pods --output 'jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[0].restartCount}')
	for node in "${KUBERNETES_NODES[@]}"; do
		machine_restart "$node" kubelet
		machine_restart "$node" containerd
	done
	until_true 60 kubelets_answer
	until_true 60 nodes_are_ready
	seed_await
	have_their_addresses
	assert_equal "$(kubectl get pods --output 'jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[0].restartCount}')" "$before"
}

# `kubectl exec` is a request to them.
kubelets_answer()
{
	local pod
	for pod in $(pods); do
		in_pod "$pod" sh -c : || return
	done
}

nodes_are_ready()
{
	local said
	said=$(kubectl get nodes --no-headers)
	! grep -v ' Ready ' <<<"$said"
}

point_node_rebooted()
{
	local node
	node=$(pod_get database-2-0 '{.spec.nodeName}')
	machine_cut "$node"
	kubernetes_node_up "$node"
	kubernetes_await_node "$node"
	# The pod is the same one, in a new sandbox.
	until_true 90 sandbox_is_new "$node"
	seed_await
	have_their_addresses
}

# All pods of a node run in sandboxes that were made since it came up.
sandbox_is_new()
{
	local count
	count=$(kubectl get pods --field-selector "spec.nodeName=$1,status.phase=Running" --output name | wc -l)
	[[ $(node_addresses "$1" | wc -l) == "$count" ]]
}

# rolls WORKLOAD: a rolling update.
rolls()
{
	kubectl rollout restart "$1" && kubectl rollout status "$1" --timeout 90s
}

# grow WHAT: web goes from 2 pods to 60, and the time that takes is told.
grow()
{
	local start
	start=$(date +%s%N)
	kubectl scale deployment web --replicas 60
	await_ready app=web 60 120
	echo "# web 2 -> 60 pods, all Ready, $1: $(($(date +%s%N) / 1000000 - start / 1000000)) ms" >&3
}

# 6: a rolling update, and many pods at once.
point_scale()
{
	rolls statefulset/database-1
	rolls statefulset/database-2
	have_their_addresses
	grow "with lamina"
	assert_records_true
	kubectl scale deployment web --replicas 2
	until_true 90 are_ready app=web 2
	assert_records_true
	assert_equal "$(failed_sandboxes)" ''
}

failed_sandboxes()
{
	kubectl get events --field-selector reason=FailedCreatePodSandBox --output 'jsonpath={range .items[*]}{.message}{"\n"}{end}'
}
