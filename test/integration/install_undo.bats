#!/usr/bin/env bats
# deploy/install.sh --uninstall: what was there before comes back, byte for byte, as far as pods that run can be deleted then.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for shells inside of the node.
# Builds: release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/installer

setup()
{
	setup_installer
}

teardown()
{
	node_down
}

@test "undone it leaves what was there: content, modes, owners, times, links, folders; a second undoing finds nothing" {
	old_stack
	note_listing
	installed --set cluster=east
	assert_installed
	installed --uninstall
	assert_listing
	installed --uninstall
	said 'nothing to undo'
	assert_listing
}

@test "undone on a node that had nothing, or a lamina put there by hand, or its defaults" {
	note_listing
	installed
	installed --uninstall
	assert_listing

	in_node 'cp "$1/lamina" "$2/lamina" && echo " " >>"$2/lamina" && chmod 0700 "$2/lamina" && ln -s lamina "$2/multus-cni"
		mkdir -m 0750 /etc/lamina && printf "{ \"nodeName\":\"other\",\n\"cluster\": \"east\" }" >/etc/lamina/defaults.json
		chmod 0600 /etc/lamina/defaults.json' "$RELEASE" "$BIN"
	note_listing
	installed
	assert_installed
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" other
	installed --uninstall
	assert_listing
}

@test "the script that is kept beside what was there is whole, and the last one that has installed" {
	local part script
	old_stack
	note_listing
	for part in install.sh install/{checks,files,uninstall}.sh; do
		installed
		in_node 'echo "# newer" >>"$1"' "$RELEASE/$part"
		installed
		script=$(node_exec readlink -f "$KEPT/install.sh")
		node_exec cmp "$RELEASE/install.sh" "$script"
		node_exec diff -r "$RELEASE/install" "${script%/*}/install"
		assert_equal "$(in_node 'ls -d "$1"/script.*' "$KEPT")" "${script%/*}"
	done
	# It does not need the release, and can install as well.
	node_exec mv "$RELEASE" /run/other
	host "$KEPT/install.sh" --binary /run/other/lamina
	host "$KEPT/install.sh" --uninstall
	node_exec mv /run/other "$RELEASE"
	diff <(grep -v "$RELEASE" "$BATS_TEST_TMPDIR/before") <(listing | grep -v "$RELEASE")
}

@test "--keep leaves a name alone; what somebody has put under a name since then stays, too" {
	old_stack
	note_listing
	installed --keep kube-ipam
	assert_equal "$(call kube-ipam)" 'old kube-ipam'
	assert_equal "$(node_exec readlink "$BIN/multus")" lamina
	installed --uninstall
	assert_listing
	installed
	in_node 'cd "$1" && printf "#!/bin/sh\necho new multus\n" >new && chmod 0755 new && mv new multus' "$BIN"
	installed --uninstall
	said "/multus is not lamina's any more"
	assert_equal "$(call multus)" 'new multus'
}

@test "while pods are left that only lamina can delete, it is not undone, unless forced" {
	installed
	running_pod
	refused --uninstall
	said 'has recorded 1 pod .*drain the node first'
	assert_installed
	installed --uninstall --force
	run ! node_exec test -e "$BIN/lamina"
}

@test "going back to the real multus with pods: kube-ipam stays on lamina until they are gone" {
	old_stack
	node_exec cp "$("$LAB_DIR/parts.sh" --path multus)" "$BIN/multus"
	pod_up p0
	pod_down p0
	note_listing
	installed
	running_pod
	installed --uninstall
	said 'kube-ipam stays on lamina: .* of 1 pod, .*lamina ip export'
	node_exec cmp "$("$LAB_DIR/parts.sh" --path multus)" "$BIN/multus-cni"
	[[ $(call kube-ipam) == *supportedVersions* ]]
	node_exec test -e /etc/lamina/defaults.json
	# And forward again.
	installed
	assert_installed
	installed --uninstall
	[[ $(lamina ip ls) == *default/web-1* ]]
	cni DEL
	assert_ok
	refute_link net1
	assert_equal "$(lamina ip ls --json | jq length)" 0
	installed --uninstall
	said 'lamina is gone'
	in_node 'rm -rf /var/lib/cni /run/lamina; ip netns del p1'
	assert_listing
}

@test "going back with pods is refused where the old plugins lack something that deletes them" {
	old_stack
	installed
	running_pod
	in_node 'mv "$1/macvlan" "$1/macvlan.away"' "$BIN"
	refused --uninstall
	said 'multus.* cannot undo that without /opt/cni/bin/macvlan'
	in_node 'mv "$1/macvlan.away" "$1/macvlan"' "$BIN"
	installed --uninstall --force
	assert_equal "$(call kube-ipam)" 'old kube-ipam'

	# The old one has stayed, and does not know what lamina has given out.
	installed --keep kube-ipam
	refused --uninstall
	said 'kube-ipam cannot free: run /opt/cni/bin/lamina ip export'
}

@test "a configuration that is left without its plugin is said, whichever type it has" {
	installed
	installed --uninstall
	said '10-multus.conf wants the plugin multus-cni, which is not there: no pod starts'
	[[ $output != *'the plugin lamina'* ]]
	in_node 'cp /etc/cni/net.d/10-multus.conf /run/multus.conf'
	jq '.type = "lamina"' <(seed_conf) | node_conf - 10-multus.conf
	node_conf - 20-macvlan.conf <<<'{"name": "kube-ipam", "type": "macvlan", "ipam": {"type": "kube-ipam"}}'
	installed
	installed --uninstall
	said 'lamina is gone'
	said '10-multus.conf wants the plugin lamina, which is not there: no pod starts'
	said '20-macvlan.conf wants the plugin kube-ipam'
	[[ $output != *'the plugin multus'* ]]
	# Where the old ones come back, nothing lacks.
	node_exec mv /run/multus.conf /etc/cni/net.d/10-multus.conf
	old_stack
	installed
	installed --uninstall
	[[ $output != *'wants the plugin'* ]]
}
