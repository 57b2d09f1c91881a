# shellcheck shell=bash disable=SC2016 # what stands in single quotes is for a shell inside, or for jq
# A real Kubernetes in a room: control plane on the machine `control` (192.168.122.10), nodes node-1 to node-3 (.11 to .13), each with
# an etcd member of the addresses' store, containerd, kubelet, flanneld and kube-proxy. To be sourced.
#
#   kubernetes_up              starts all in an empty room and waits until every node has flannel's subnet. The nodes have the seed's
#                              configuration in /etc/cni/net.d and no plugin for it yet: the caller installs one.
#   kubernetes_node_up NODE    switches a node on and starts its services: kubernetes_node_up node-2
#   kubernetes_await_node NODE waits until its subnet is there.
#   kubectl ARG ...            as administrator. Files that it names must lie below /, not in /run or /tmp of a machine.
#   kubernetes_kubeconfig USER prints a kubeconfig of one of the users of ROOM/tokens.
#   etcdctl ARG ...            for the addresses' store, with the seed's client certificate, by all members that are up.

# shellcheck source=test/cluster/machine.sh
source "$(dirname "${BASH_SOURCE[0]}")/machine.sh"
# shellcheck source=test/lab/certs.sh
source "$ROOM_LAB/certs.sh"

KUBERNETES_FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBERNETES_NODES=(node-1 node-2 node-3)
KUBERNETES_URL=https://192.168.122.10:6443
# Of the API server's own etcd, which is none of the addresses' store: one may fail without the other.
KUBERNETES_ETCD=http://127.0.0.1:2379

kubernetes_up()
{
	local node
	kubernetes_files || return
	kubernetes_control_up || return
	for node in "${KUBERNETES_NODES[@]}"; do
		kubernetes_node_up "$node" || return
	done
	kubernetes_await "the API server" 60 kubernetes_ready || return
	kubectl apply --filename "$KUBERNETES_FOLDER/system.yaml" >/dev/null || return
	for node in "${KUBERNETES_NODES[@]}"; do
		kubernetes_await_node "$node" || return
	done
	kubernetes_await "the store of addresses" 30 etcdctl endpoint health >/dev/null
}

kubernetes_node_up()
{
	local node=$1 number=${1#node-}
	machine_up "$node" "$((10 + number))" || return
	machine_exec "$node" test -e /etc/kubernetes/ssl || kubernetes_node_files "$node" || return
	# A firewall of a real node is not of interest here; routing is flannel's business.
	machine_exec "$node" sh -euc 'echo 1 >/proc/sys/net/ipv4/ip_forward; mkdir -p /run/netns
		mount --bind /run/netns /run/netns; mount --make-shared /run/netns' || return
	kubernetes_start_store "$number"
	machine_start "$node" containerd env PATH="$KUBERNETES_CONTAINERD:$PATH" containerd --config /etc/kubernetes/containerd.toml
	# They give up when they are earlier than what they need: the runtime, or their Node.
	machine_keep "$node" kubelet "$KUBERNETES_PARTS/kubelet" --config /etc/kubernetes/kubelet.yaml --v 2 \
		--kubeconfig /etc/kubernetes/kubelet.kubeconfig --hostname-override "$node" --node-ip "192.168.122.$((10 + number))"
	machine_keep "$node" flanneld env "NODE_NAME=$node" "$KUBERNETES_FLANNELD" --kube-subnet-mgr --iface eth0 --ip-masq \
		--kubeconfig-file /etc/kubernetes/flanneld.kubeconfig --net-config-path /etc/kubernetes/flannel.json
	machine_keep "$node" kube-proxy "$KUBERNETES_PARTS/kube-proxy" --config /etc/kubernetes/kube-proxy.yaml \
		--hostname-override "$node"
	kubernetes_images "$node"
}

kubernetes_await_node()
{
	kubernetes_await "flannel's subnet on $1" 60 machine_exec "$1" test -e /run/flannel/subnet.env
}

kubectl()
{
	machine_exec control env KUBECONFIG=/etc/kubernetes/admin.kubeconfig "$KUBERNETES_PARTS/kubectl" "$@"
}

kubernetes_kubeconfig()
{
	cert_kubeconfig "$KUBERNETES_URL" "$ROOM/certs/ca.pem" "$1" "$(awk -F, -v user="$1" '$2 == user { print $1 }' "$ROOM/tokens")"
}

etcdctl()
{
	local node endpoints=
	for node in "${KUBERNETES_NODES[@]}"; do
		! machine_is_up "$node" || endpoints+=,https://192.168.122.$((10 + ${node#node-})):2379
	done
	machine_exec control env ETCDCTL_API=3 "$KUBERNETES_ETCDCTL" --endpoints "${endpoints#,}" \
		--cacert "$ROOM/certs/ca.pem" --cert "$ROOM/certs/client.pem" --key "$ROOM/certs/client-key.pem" "$@"
}

# kubernetes_await WHAT SECONDS CMD ...: until the command succeeds.
kubernetes_await()
{
	local what=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || { echo "kubernetes.sh: $what is not there" >&2 && "$@" >&2; return 1; }
		sleep 0.2
	done
}

# What follows is not for callers.

kubernetes_paths()
{
	KUBERNETES_PARTS=$("$ROOM_LAB/parts.sh" --path kubernetes)
	KUBERNETES_APISERVER=$("$ROOM_LAB/parts.sh" --path apiserver)
	KUBERNETES_FLANNELD=$("$ROOM_LAB/parts.sh" --path flanneld)
	KUBERNETES_CONTAINERD=$("$ROOM_LAB/parts.sh" --path containerd)
	KUBERNETES_ETCD_SERVER=$("$ROOM_LAB/parts.sh" --path etcd-3.5)
	KUBERNETES_ETCDCTL=$("$ROOM_LAB/parts.sh" --path etcd-3.4)/etcdctl
}
kubernetes_paths

kubernetes_ready()
{
	[[ $(kubectl get --raw /readyz) == ok ]]
}

# Certificates, users and images: what all machines take from the room's folder.
kubernetes_files()
{
	local node
	certs_cluster "$ROOM/certs" || return
	openssl ecparam -name prime256v1 -genkey -noout -out "$ROOM/accounts.pem" || return
	{
		echo 'admin-token,admin,uid-admin,system:masters'
		echo 'controller-manager-token,system:kube-controller-manager,uid-controller-manager'
		echo 'scheduler-token,system:kube-scheduler,uid-scheduler'
		echo 'proxy-token,system:kube-proxy,uid-proxy'
		echo 'flanneld-token,flanneld,uid-flanneld'
		for node in "${KUBERNETES_NODES[@]}"; do
			echo "$node-token,system:node:$node,uid-$node,system:nodes"
		done
	} >"$ROOM/tokens"
	"$KUBERNETES_FOLDER/images.py" /bin/busybox "$ROOM/images.tar"
}

kubernetes_control_up()
{
	local data=/var/lib/control name user
	machine_up control 10 || return
	machine_exec control mkdir -p "$data" || return
	for name in admin controller-manager scheduler; do
		[[ $name == admin ]] && user=$name || user=system:kube-$name
		kubernetes_kubeconfig "$user" | machine_write control "/etc/kubernetes/$name.kubeconfig" 600 || return
	done
	machine_write control /etc/kubernetes/audit.yaml <"$KUBERNETES_FOLDER/audit.yaml" || return
	machine_start control etcd "$KUBERNETES_ETCD_SERVER" --data-dir "$data/etcd" --unsafe-no-fsync --log-level warn \
		--listen-client-urls "$KUBERNETES_ETCD" --advertise-client-urls "$KUBERNETES_ETCD"
	kubernetes_start_apiserver "$data"
	machine_start control controller-manager "$KUBERNETES_PARTS/kube-controller-manager" \
		--kubeconfig /etc/kubernetes/controller-manager.kubeconfig --leader-elect=false \
		--allocate-node-cidrs --cluster-cidr 10.244.0.0/16 --service-cluster-ip-range 10.254.0.0/16 \
		--service-account-private-key-file "$ROOM/accounts.pem" --root-ca-file "$ROOM/certs/ca.pem" \
		--use-service-account-credentials --node-monitor-period 1s --node-monitor-grace-period 20s
	machine_start control scheduler "$KUBERNETES_PARTS/kube-scheduler" \
		--kubeconfig /etc/kubernetes/scheduler.kubeconfig --leader-elect=false
}

kubernetes_start_apiserver()
{
	local data=$1 certs=$ROOM/certs
	machine_start control apiserver "$KUBERNETES_APISERVER" --etcd-servers "$KUBERNETES_ETCD" --cert-dir "$data" \
		--bind-address 0.0.0.0 --advertise-address 192.168.122.10 --secure-port 6443 \
		--tls-cert-file "$certs/server.pem" --tls-private-key-file "$certs/server-key.pem" --client-ca-file "$certs/ca.pem" \
		--token-auth-file "$ROOM/tokens" --authorization-mode Node,RBAC --anonymous-auth=false \
		--service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range 10.254.0.0/16 \
		--service-account-key-file "$ROOM/accounts.pem" --service-account-signing-key-file "$ROOM/accounts.pem" \
		--kubelet-preferred-address-types InternalIP \
		--kubelet-client-certificate "$certs/server.pem" --kubelet-client-key "$certs/server-key.pem" \
		--audit-policy-file /etc/kubernetes/audit.yaml --audit-log-path "$data/audit.log"
}

# A member of the addresses' store, where the seed's configuration looks for it.
kubernetes_start_store()
{
	local number=$1 certs=$ROOM/certs address=192.168.122.$((10 + $1))
	machine_start "node-$number" etcd "$KUBERNETES_ETCD_SERVER" --name "member-$number" --data-dir /var/lib/lab-etcd \
		--unsafe-no-fsync --log-level warn \
		--listen-client-urls "https://$address:2379" --advertise-client-urls "https://$address:2379" \
		--listen-peer-urls "http://$address:2380" --initial-advertise-peer-urls "http://$address:2380" \
		--initial-cluster "$(printf ',member-%s=http://192.168.122.1%s:2380' 1 1 2 2 3 3 | cut -c 2-)" \
		--initial-cluster-state new --initial-cluster-token lab --client-cert-auth --trusted-ca-file "$certs/ca.pem" \
		--cert-file "$certs/server.pem" --key-file "$certs/server-key.pem"
}

# What lies on a node's disk.
kubernetes_node_files()
{
	local node=$1 name user
	machine_exec "$node" sh -euc 'mkdir -p /etc/kubernetes/ssl
		install -m 644 "$1/client.pem" /etc/kubernetes/ssl/kubernetes.pem
		install -m 600 "$1/client-key.pem" /etc/kubernetes/ssl/kubernetes-key.pem
		install -m 644 "$1/ca.pem" /etc/kubernetes/ssl/k8s-root-ca.pem' sh "$ROOM/certs" || return
	for name in kubelet flanneld proxy; do
		case $name in
		kubelet) user=system:node:$node ;;
		flanneld) user=flanneld ;;
		proxy) user=system:kube-proxy ;;
		esac
		kubernetes_kubeconfig "$user" | machine_write "$node" "/etc/kubernetes/$name.kubeconfig" 600 || return
	done
	for name in containerd.toml kubelet.yaml kube-proxy.yaml flannel.json; do
		sed "s|@CNI_PLUGINS@|/opt/cni/bin|; s|@CERTS@|$ROOM/certs|" "$KUBERNETES_FOLDER/node/$name" |
			machine_write "$node" "/etc/kubernetes/$name" || return
	done
	machine_write "$node" /etc/cni/net.d/10-multus.conf <"$ROOM_LAB/seed/10-multus.conf" || return
	machine_exec "$node" cp -r /usr/lib/cni/. "$("$ROOM_LAB/parts.sh" --path flannel)" /opt/cni/bin/
}

# A node whose disk has them imports them again in no time.
kubernetes_images()
{
	kubernetes_await "containerd on $1" 30 machine_exec "$1" "$KUBERNETES_CONTAINERD/ctr" version || return
	machine_exec "$1" "$KUBERNETES_CONTAINERD/ctr" --namespace k8s.io images import "$ROOM/images.tar" >/dev/null
}
