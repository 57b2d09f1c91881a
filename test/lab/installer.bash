# shellcheck shell=bash
# Single quotes are for shells inside of the node; tests use what is unused here, and pass what is not passed here.
# shellcheck disable=SC2016,SC2034,SC2154
# What the tests of deploy/install.sh have in common: on top of cni.bash. In a test file:
#
#   load ../lab/installer
#   setup() { setup_installer; }
#   teardown() { node_down; }
#   @test "..." { old_stack; note_listing; installed; assert_installed; installed --uninstall; assert_listing; }

# shellcheck source=test/lab/cni.bash
source "$(dirname "${BASH_SOURCE[0]}")/cni.bash"

REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
# What goes to a host, in the node.
RELEASE=/run/release
KEPT=/var/lib/lamina/install
BIN=/opt/cni/bin
SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
NAMES=(multus multus-cni multus-shim kube-ipam)

# A node with the seed's configuration, the plugins that lamina calls, and a release.
setup_installer()
{
	node_up
	node_subnet_env
	node_plugins /usr/lib/cni
	node_plugins "$(dirname "$("$LAB_DIR/parts.sh" --path flannel)")"
	node_exec mkdir -p "$RELEASE"
	node_exec cp -r "$REPOSITORY"/deploy/{install.sh,install,lamina-gc.service,lamina-gc.timer} "$RELEASE/"
	node_exec cp "$(realpath "${LAMINA:-$REPOSITORY/build/lamina}")" "$RELEASE/lamina"
	seed_conf | node_conf - 10-multus.conf
	LAB_SANITIZED=
}

# host [K=V ...] CMD ...: as a shell of root's on a host would run it.
host()
{
	node_exec env -i PATH="$SYSTEM_PATH" "$@"
}

# installer ARG ...: sets status and output (both streams).
installer()
{
	run host "${WITH[@]}" "$RELEASE/install.sh" "$@"
	printf '%s\n' "--- install.sh $*: exit status $status" "$output" "---"
}

installed()
{
	installer "$@"
	assert_equal "$status" 0
}

# in_node SCRIPT [ARG ...]
in_node()
{
	host sh -euc "$1" sh "${@:2}"
}

# What a node has where install.sh could do anything: folders with their modes, and all of a file or link but its place on the disk.
listing()
{
	in_node '
		folders=
		for dir in /opt/cni /etc/cni /etc/lamina /etc/systemd/system /var/lib/lamina* /var/lib/cni /run; do
			[ ! -e "$dir" ] || folders="$folders $dir"
		done
		find $folders -xdev \( -path /run/fake -o -path /run/exec \) -prune -o \
			\( -type d -printf "%p %y %m %U:%G\n" -o -type l -printf "%p %y %U:%G %l\n" \
			-o -printf "%p %y %m %U:%G %T@\n" \) | sort
		find $folders -xdev -type f -size -100k ! -path "/run/fake/*" ! -path "/run/exec/*" -exec sha256sum {} + | sort -k 2'
}

note_listing()
{
	listing >"$BATS_TEST_TMPDIR/before"
}

assert_listing()
{
	listing | diff "$BATS_TEST_TMPDIR/before" - || fail "the node is not as it was"
}

# The plugins that lamina replaces, as their own installers leave them; what they say is enough here.
old_stack()
{
	in_node '
		cd "$1"
		printf "#!/bin/sh\ncat >/dev/null\necho old multus\n" >multus && chmod 0755 multus
		ln -s multus multus-cni
		printf "#!/bin/sh\ncat >/dev/null\necho old kube-ipam\n" >kube-ipam && chmod 0750 kube-ipam && chown 3:4 kube-ipam
		touch -d "2020-01-02 03:04:05" multus kube-ipam' "$BIN"
}

# call NAME: asks a plugin for its version.
call()
{
	host CNI_COMMAND=VERSION "$BIN/$1" <<<'{"cniVersion": "1.0.0"}'
}

# Every name is one or the other, and works.
assert_works()
{
	local name
	for name in multus multus-cni kube-ipam; do
		call "$name" | grep -qE '^old|supportedVersions' || fail "$name does not answer"
	done
}

assert_installed()
{
	local name
	node_exec cmp "$RELEASE/lamina" "$BIN/lamina"
	assert_equal "$(node_exec stat -c '%a %U' "$BIN/lamina")" '755 root'
	for name in "${NAMES[@]}"; do
		assert_equal "$(node_exec readlink "$BIN/$name")" lamina
	done
	assert_no_temporary
}

assert_no_temporary()
{
	local output status lines
	run -0 node_exec find /opt/cni /etc /var/lib /run -xdev -name '*lamina-install*'
	assert_equal "$output" ''
}

# refused ARG ...: it says no with status 1, and the node is as it was.
refused()
{
	note_listing
	installer "$@"
	assert_equal "$status" 1
	assert_listing
}

said()
{
	[[ $output =~ $1 ]] || fail "it does not say: $1"
}

# A pod that lamina has started.
running_pod()
{
	CONF=$(seed_conf)
	PLUGIN=multus-cni
	new_pod p1
	pod_args default web-1 uid-1
	annotations
	cni ADD
	assert_ok
}
