#!/usr/bin/env bats
# Side by side with the real multus: pods that are not what they were, and caches that are not there.
# What setup and side.bash set is used in tests and the other way round; single quotes are for jq and the stubs.
# Builds: asan release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317
bats_require_minimum_version 1.5.0

load ../lab/side

setup_file()
{
	side_up
}

teardown_file()
{
	side_down
}

setup()
{
	side_begin
	# The default network is a stub: what is looked at is what stands beside it.
	side_stub eth
	stub_set eth ADD out '{"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/web-1"}],
		"ips": [{"version": "4", "interface": 0, "address": "10.244.1.5/24", "gateway": "10.244.1.1"}]}'
	side_conf '.delegates = [{name: "cbr0", type: "eth", cniVersion: "0.4.0"}]'
	side_stub one
	side_stub two
	side_nad default net1 '{"name": "net1", "type": "one", "cniVersion": "0.4.0", "capabilities": {"portMappings": true, "ips": true}}'
	side_nad default list '{"name": "list", "cniVersion": "0.4.0", "plugins": [{"type": "one"}, {"type": "two"}]}'
	NETWORKS='[{"name": "net1", "ips": ["10.1.1.5/24"], "portMappings": [{"hostPort": 80, "containerPort": 80}]}, {"name": "list"}]'
}

teardown()
{
	side_end
}

# added: a pod that is attached, and the step ADD.
added()
{
	side_pod default web-1 "$(side_networks "$NETWORKS")"
	side_cni ADD
}

CACHE=/var/lib/cni/multus

@test "S50 a pod that the API server does not have" {
	scenario()
	{
		side_pod default web-1
		kube_delete_pod default web-1
		side_cni ADD
		side_cni DEL
	}
	side_by_side S50 '.ADD.exit == 0 and .ADD.calls.order == [] and .ADD.stdout.ips[0].address == "0.0.0.0/0"'
}

@test "S51 another pod of that name, with another UID" {
	scenario()
	{
		side_pod default web-1 "$(side_networks "$NETWORKS")"
		ARGS=${ARGS/$UID_/00000000-0000-4000-8000-000000000000}
		side_cni ADD
		side_cni DEL
	}
	side_by_side S51 '.ADD.exit != 0 and .ADD.calls.order == []'
}

@test "S52 a static pod: the UID is another" {
	scenario()
	{
		side_pod default web-1 "$(side_networks "$NETWORKS") | .metadata.annotations[\"kubernetes.io/config.source\"] = \"file\""
		ARGS=${ARGS/$UID_/00000000-0000-4000-8000-000000000000}
		side_cni ADD
		side_cni DEL
	}
	side_by_side S52 '.ADD.exit == 0 and (.ADD.calls.order | length) == 4'
}

@test "S53 DEL after the pod has gone: from the cache" {
	scenario()
	{
		added
		kube_delete_pod default web-1
		side_cni DEL
	}
	side_by_side S53 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4'
}

@test "S54 DEL after another pod has come with that name" {
	scenario()
	{
		added
		kube_delete_pod default web-1
		kube_put_pod default web-1 >/dev/null
		side_cni DEL
	}
	side_by_side S54 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4'
}

@test "S55 DEL without a cache, with the pod: all is read again" {
	conf_edit '.logLevel = "error"'
	scenario()
	{
		added
		node_exec rm "$CACHE/cid-web-1"
		side_cni DEL
	}
	side_by_side S55 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4'
}

@test "S56 DEL without any cache, with the pod" {
	conf_edit '.logLevel = "error"'
	scenario()
	{
		added
		node_exec rm -r "$CACHE"
		side_cni DEL
	}
	side_by_side S56 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4'
}

@test "S57 DEL without any cache and without the pod" {
	scenario()
	{
		added
		node_exec rm -r "$CACHE"
		kube_delete_pod default web-1
		side_cni DEL
	}
	side_by_side S57 '.DEL.exit == 0 and .DEL.calls.order == []'
}

@test "S58 DEL with a cache that was cut off" {
	scenario()
	{
		added
		node_exec truncate -s 100 "$CACHE/cid-web-1"
		side_cni DEL
	}
	side_by_side S58 '.DEL.exit == 0 and .DEL.calls.order == []'
}

@test "S59 DEL after the network namespace has gone, and with none" {
	scenario()
	{
		added
		pod_down web-1
		side_cni DEL
		side_pod default web-2 "$(side_networks "$NETWORKS")"
		STEP=ADD-2 side_cni ADD
		STEP=DEL-none side_cni DEL -CNI_NETNS
	}
	side_by_side S59 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4 and ."DEL-none".exit == 0'
}

@test "S60 DEL twice" {
	scenario()
	{
		added
		side_cni DEL
		STEP=DEL-again side_cni DEL
		kube_delete_pod default web-1
		STEP=DEL-late side_cni DEL
	}
	side_by_side S60 '."DEL-late".exit == 0'
}

@test "S61 a kubeconfig that does not exist" {
	conf_edit '.kubeconfig = "/etc/cni/net.d/multus.d/no-such"'
	scenario()
	{
		added
		side_cni DEL
	}
	side_by_side S61 '.ADD.exit != 0 and .DEL.exit != 0'
}

@test "S62 an API server that is down: ADD fails, DEL goes by the cache" {
	sed 's/192.168.122.10:6443/192.168.122.10:6444/' <(kube_kubeconfig admin) | side_file /etc/cni/net.d/multus.d/down 600
	scenario()
	{
		added
		conf_edit '.kubeconfig = "/etc/cni/net.d/multus.d/down"'
		side_cni DEL
		STEP=ADD-down side_cni ADD
		conf_edit ".kubeconfig = \"$SIDE_KUBECONFIG\""
	}
	side_by_side S62 '.DEL.exit == 0 and (.DEL.calls.order | length) == 4 and ."ADD-down".exit != 0'
}

@test "S63 a user who may not read pods" {
	kube_kubeconfig nobody | side_file "$SIDE_KUBECONFIG" 600
	scenario()
	{
		added
		side_cni DEL
	}
	side_by_side S63 '.ADD.exit != 0'
}

@test "S111 a pod that the API server has a second later" {
	scenario()
	{
		local put
		side_pod default web-1
		kube_delete_pod default web-1
		# The UID that it will have is not known yet.
		ARGS=${ARGS%;K8S_POD_UID=*}
		(sleep 1 && echo "default web-1 $(kube_put_pod default web-1 "$(side_networks net1)")" >"$SIDE_DIR/pods") 3>&- &
		put=$!
		node_exec sh -c 'rm -rf /run/side && mkdir -p /run/side/calls'
		PLUGIN=multus cni ADD
		wait $put
		side_alias "$(cut -d ' ' -f 3 "$SIDE_DIR/pods")" '<uid of the one that came>'
		side_note ADD
		side_cni DEL
	}
	side_by_side S111 '.ADD.exit == 0 and .ADD.calls.order == [] and .ADD.stdout.ips[0].address == "0.0.0.0/0"'
}
