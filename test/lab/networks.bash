# shellcheck shell=bash disable=SC2154 # cni.bash sets them
# A node whose plugin has a kubeconfig of its own, so that what a pod's annotations ask for counts. To be sourced after cluster.bash.
#
#   networks_up                setup_node, an API server with NetworkAttachmentDefinitions and namespace db, a kubeconfig on the node.
#   networks_setup             CONF is the seed's with that kubeconfig and without etcd; the pod of all calls is p1. For setup().
#   networks_teardown          DEL, and all of it is gone again. For teardown().
#   networks_pod NETWORKS [K V ...]
#                              the pod default/web-1, made anew with that networks annotation ("": none) and others; sets ARGS.
#   networks_file NAME TEXT    a file of confDir.

NETWORKS_KUBECONFIG=/etc/kubernetes/ssl/kube.kubeconfig

networks_up()
{
	setup_node
	kube_up || return
	kube_nad_crd || return
	jq -n '{apiVersion: "v1", kind: "Namespace", metadata: {name: "db"}}' | kube_api POST /api/v1/namespaces - >/dev/null || return
	kube_kubeconfig lamina | node_exec sh -c "mkdir -p /etc/kubernetes/ssl /etc/cni/multus/net.d && cat >$NETWORKS_KUBECONFIG"
}

networks_setup()
{
	# shellcheck source=test/lab/cni.bash disable=SC2034
	CONF=$(seed_conf ".kubeconfig = \"$NETWORKS_KUBECONFIG\" | del(.capabilities)")
	new_pod p1
}

networks_teardown()
{
	cni DEL
	pod_down p1
	kube_delete_pod default web-1 2>/dev/null || true
	node_exec sh -c 'rm -rf /run/lamina /var/lib/cni/multus /etc/cni/multus/net.d/* /tmp/order; ip link del br-plain 2>/dev/null || true'
}

networks_pod()
{
	local uid annotations
	annotations=$(jq -n '$ARGS.positional as $it | [range(0; $it | length; 2) | {key: $it[.], value: $it[. + 1]}]
		| map(select(.value != "")) | from_entries' --args -- k8s.v1.cni.cncf.io/networks "$@")
	kube_delete_pod default web-1 2>/dev/null || true
	uid=$(kube_put_pod default web-1 ".metadata.annotations = $annotations") || return
	pod_args default web-1 "$uid"
}

networks_file()
{
	node_exec sh -c "mkdir -p /etc/cni/multus/net.d && cat >/etc/cni/multus/net.d/$1" <<<"$2"
}
