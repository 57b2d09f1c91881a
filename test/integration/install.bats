#!/usr/bin/env bats
# deploy/install.sh: it checks first, then puts lamina on a node without a moment in which a name is missing, and takes it off again.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for shells inside of the node.
# Builds: release gcc:fault
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni

REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
# What goes to a host, in the node.
RELEASE=/run/release
KEPT=/var/lib/lamina/install
BIN=/opt/cni/bin
SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
NAMES=(multus multus-cni multus-shim kube-ipam)

setup()
{
	node_up
	node_subnet_env
	node_plugins /usr/lib/cni
	node_plugins "$(dirname "$("$LAB_DIR/parts.sh" --path flannel)")"
	node_exec mkdir -p "$RELEASE"
	node_exec cp "$REPOSITORY"/deploy/{install.sh,lamina-gc.service,lamina-gc.timer} "$RELEASE/"
	node_exec cp "$(realpath "${LAMINA:-$REPOSITORY/build/lamina}")" "$RELEASE/lamina"
	seed_conf | node_conf - 10-multus.conf
	LAB_SANITIZED=
}

teardown()
{
	node_down
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

# systemd as far as install.sh looks; its calls are in /run/fake/calls.
fake_systemd()
{
	in_node '
		mkdir -p /run/systemd/system /run/fake
		printf "%s\n" "#!/bin/sh" "echo \"\$*\" >>/run/fake/calls" "case \$1 in is-enabled) test -e /run/fake/enabled ;; esac" >/run/fake/systemctl
		chmod 0755 /run/fake/systemctl'
	WITH=(PATH="/run/fake:$SYSTEM_PATH")
}

calls()
{
	in_node 'cat /run/fake/calls && rm /run/fake/calls'
}

@test "fresh: binary, links and the node's name are there, the site's file is as it was, and a pod gets its interfaces" {
	local before
	before=$(node_exec sha256sum /etc/cni/net.d/10-multus.conf)
	installed
	assert_installed
	assert_equal "$(node_exec cat /etc/lamina/defaults.json | jq -c .)" '{"nodeName":"node-1"}'
	assert_equal "$(node_exec stat -c %a /etc/lamina/defaults.json)" 644
	assert_equal "$(node_exec sha256sum /etc/cni/net.d/10-multus.conf)" "$before"
	said 'crontab'
	said 'lamina is installed'
	CONF=$(seed_conf)
	PLUGIN=multus-cni
	new_pod p1
	pod_args default web-1 uid-1
	annotations
	cni ADD
	assert_ok
	pod_link net1
	cni DEL
	assert_ok
}

@test "a second time it changes nothing, and what is kept is what was there before the first" {
	old_stack
	note_listing
	cp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/first"
	installed
	note_listing
	node_exec stat -c '%n %i' "$BIN"/{lamina,multus,kube-ipam} >"$BATS_TEST_TMPDIR/inodes"
	installed
	assert_equal "$(node_exec stat -c '%n %i' "$BIN"/{lamina,multus,kube-ipam})" "$(<"$BATS_TEST_TMPDIR/inodes")"
	# But for its own copy of the script.
	diff <(grep -v "$KEPT" "$BATS_TEST_TMPDIR/before") <(listing | grep -v "$KEPT")
	installed --uninstall
	mv "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/before"
	assert_listing
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
	# The script that it has left beside what it keeps will do.
	host "$KEPT/install.sh" --uninstall
	assert_listing
}

@test "while it is installed and upgraded, each call finds a whole plugin" {
	local round callers
	old_stack
	# The old ones must be programs here: a script is opened a second time by its shell, which may then find the new plugin.
	in_node 'for name in multus kube-ipam; do cp /bin/true "$1/new" && mv "$1/new" "$1/$name"; done; mkdir /run/exec' "$BIN"
	in_node 'set +e
		for n in 1 2; do
			while [ ! -e /run/exec/stop ]; do
				for name in multus-cni kube-ipam multus; do
					echo "{\"cniVersion\": \"1.0.0\"}" | CNI_COMMAND=VERSION "$1/$name" >/dev/null 2>>/run/exec/failed || echo "$name: $?" >>/run/exec/failed
					echo >>/run/exec/count.$n
				done
			done &
		done
		wait' "$BIN" 3>&- &
	callers=$!
	for round in 1 2 3 4; do
		installed
		# Another build.
		in_node 'echo >>"$1/lamina"' "$RELEASE"
		installed
		installed --uninstall
	done
	in_node 'touch /run/exec/stop'
	wait "$callers"
	assert_equal "$(in_node 'cat /run/exec/failed')" ''
	(($(in_node 'cat /run/exec/count.* | wc -l') > 100))
}

# These are about the script: one build will do, and it is not the release.

# Programs that count, and kill the script before its N-th one; a copy is half made then.
deadly_programs()
{
	in_node '
		mkdir -p /run/fake/deadly && cd /run/fake/deadly
		for name in cp mv ln rm rmdir mkdir chmod sync; do
			real=$(command -v $name)
			printf "%s\n" "#!/bin/sh" "n=\$((\$(cat /run/fake/n) + 1))" "echo \$n >/run/fake/n" \
				"if [ \$n = \$(cat /run/fake/at) ]; then" \
				"	case $name/\$1 in cp/-a) ;; cp/*) $(command -v head) -c 100 \"\$1\" >\"\$2\" ;; esac" \
				"	kill -9 \$(cat /run/fake/pid)" \
				"	exit 1" \
				"fi" \
				"exec $real \"\$@\"" >$name
			chmod 0755 $name
		done'
}

# killed_at N ARG ...: false when the script ended before its N-th program.
killed_at()
{
	local rc=0
	in_node 'echo "$1" >/run/fake/at && echo 0 >/run/fake/n' "$1"
	host PATH="/run/fake/deadly:$SYSTEM_PATH" sh -c 'echo $$ >/run/fake/pid; exec "$@"' sh "$RELEASE/install.sh" "${@:2}" \
		>"$BATS_TEST_TMPDIR/killed" 2>&1 || rc=$?
	((rc == 137)) && return
	((rc == 0)) || fail "killed at $1 it says $rc: $(<"$BATS_TEST_TMPDIR/killed")"
	return 1
}

# bats test_tags=fault
@test "killed at any point of an installation, the node works, a second run completes it, and it can be undone" {
	local at=0
	old_stack
	deadly_programs
	note_listing
	while killed_at $((++at)) --no-timer; do
		assert_works
		installed
		assert_installed
		installed --uninstall
		assert_listing
	done
	assert_installed
	((at > 25))
}

# bats test_tags=fault
@test "killed at any point of an installation, it can be undone at once" {
	# Before that it has only tried the new binary.
	local at=12
	old_stack
	deadly_programs
	note_listing
	while killed_at $((++at)) --no-timer; do
		installed --uninstall
		assert_listing
	done
}

# bats test_tags=fault
@test "killed at any point of being undone, the node works, and a second run completes it" {
	local at=0
	old_stack
	deadly_programs
	note_listing
	installed
	while killed_at $((++at)) --uninstall; do
		assert_works
		installed --uninstall
		assert_listing
		installed
	done
	assert_listing
	((at > 15))
}

@test "interrupted it leaves a node that works and no temporary file" {
	local at
	old_stack
	deadly_programs
	in_node 'sed -i "s/kill -9/kill -INT/; s/exit 1/exit 0/" /run/fake/deadly/*'
	for at in 5 12 17 20; do
		in_node 'echo "$1" >/run/fake/at && echo 0 >/run/fake/n' $at
		WITH=(PATH="/run/fake/deadly:$SYSTEM_PATH")
		run host "${WITH[@]}" sh -c 'echo $$ >/run/fake/pid; exec "$@"' sh "$RELEASE/install.sh"
		assert_equal "$status" 130
		said 'interrupted: .* run the same again'
		assert_works
		assert_no_temporary
	done
	WITH=()
	installed
	assert_installed
}

@test "two at a time wait for each other, with flock and without" {
	local lock pids=()
	for lock in flock folder; do
		in_node 'rm -rf /run/fake && mkdir /run/fake && ln -s /bin/busybox /run/fake/busybox'
		if [[ $lock == folder ]]; then
			in_node 'for name in $(busybox --list); do ln -sf /bin/busybox /run/fake/$name; done; rm -f /run/fake/flock'
			# A killed one has left its lock.
			in_node 'mkdir /run/lamina-install.lock && (true & echo $! >/run/lamina-install.lock/pid; wait)'
		fi
		pids=()
		for n in 1 2 3 4; do
			if [[ $lock == folder ]]; then
				host PATH=/run/fake busybox sh "$RELEASE/install.sh" >"$BATS_TEST_TMPDIR/out.$n" 2>&1 3>&- &
			else
				host "$RELEASE/install.sh" >"$BATS_TEST_TMPDIR/out.$n" 2>&1 3>&- &
			fi
			pids+=($!)
		done
		for n in "${pids[@]}"; do
			wait "$n" || fail "$(cat "$BATS_TEST_TMPDIR"/out.*)"
		done
		grep -q 'waiting for it' "$BATS_TEST_TMPDIR"/out.*
		assert_installed
		installed --uninstall
	done
}

@test "each check that is bad is said in one sentence, and nothing is changed" {
	local site
	old_stack
	site=$(node_exec cat /etc/cni/net.d/10-multus.conf)

	node_conf - 10-multus.conf <<<"${site//eth0/eth9}"
	refused
	said 'bad +[a-z]+[^:]*: .*eth9'
	said 'nothing was changed'
	refused --check
	refused --dry-run
	node_conf - 10-multus.conf <<<"$site"

	in_node 'mkdir /etc/lamina && echo "{ damaged" >/etc/lamina/defaults.json'
	refused
	said '/etc/lamina/defaults.json'
	in_node 'rm -r /etc/lamina'
	refused --set timeout=x
	said timeout

	in_node 'mkdir "$1/multus-shim"' "$BIN"
	refused
	said 'multus-shim is a folder'
	in_node 'rmdir "$1/multus-shim"' "$BIN"

	refused --conf /nowhere.conf
	refused --binary /nowhere
	refused --binary "$RELEASE/install.sh"
	said 'is no program'
	refused --binary /bin/true
	said 'is not lamina'
}

@test "a binary of another machine is refused" {
	in_node 'printf "\267" | dd of="$1/lamina" bs=1 seek=18 conv=notrunc 2>/dev/null' "$RELEASE"
	refused
	said 'is for arm64 and this host is x86-64'
}

@test "a binary whose shared libraries are missing is refused, and all of them are named" {
	local dir=$BATS_TEST_TMPDIR/gone
	mkdir "$dir"
	for name in one two; do
		echo "int $name(void) { return 0; }" | gcc -shared -o "$dir/lib$name.so" -Wl,-soname,"lib$name.so.5" -x c -
	done
	echo 'int one(void), two(void); int main(void) { return one() + two(); }' | gcc -o "$dir/lamina" -x c - -L"$dir" -lone -ltwo
	refused --binary "$dir/lamina"
	said 'shared libraries that this host does not have \(libone.so.5, libtwo.so.5\)'
	# Without ldd the loader names the first.
	in_node 'mkdir /run/fake && for name in $(busybox --list); do ln -s /bin/busybox /run/fake/$name; done'
	WITH=(PATH=/run/fake)
	refused --binary "$dir/lamina"
	said 'does not have \(libone.so.5\)'
	patch_loader "$dir/lamina"
	refused --binary "$dir/lamina"
	said 'not even the C library'
}

# The name of its loader is one that is nowhere.
patch_loader()
{
	sed -i 's|/lib64/ld-linux|/nowhere/ld-li|' "$1"
}

@test "without root it is refused" {
	note_listing
	run node_exec setpriv --reuid 65534 --clear-groups "$RELEASE/install.sh"
	assert_equal "$status" 1
	said 'root is needed'
	assert_listing
}

@test "wrong calls end with status 2" {
	local arguments
	for arguments in --nonsense --binary '--bin-dir relative' '--bin-dir /a/../b' '--node-name Big' '--node-name -x' '--set nodeName=x' \
		'--set nothing' '--keep lamina'; do
		# shellcheck disable=SC2086
		installer $arguments
		assert_equal "$status" 2
		said '--help'
	done
	installed --help
	said '--uninstall'
}

@test "--force installs although a check is bad, and says so" {
	seed_conf '.delegates[1].master = "eth9"' | node_conf - 10-multus.conf
	installed --force
	said 'installing all the same'
	said 'mend what is marked bad'
	assert_installed
}

@test "--check and --dry-run change nothing, and the latter says what would be done" {
	old_stack
	note_listing
	installed --check
	assert_listing
	installed --dry-run
	said '/opt/cni/bin/multus-cni -> lamina'
	said '"nodeName"'
	assert_listing
	installed
	note_listing
	installed --uninstall --dry-run
	said '/opt/cni/bin/multus-cni would be as it was'
	said '/opt/cni/bin/lamina would be gone'
	assert_listing
}

@test "it runs with busybox alone" {
	old_stack
	note_listing
	in_node 'mkdir -p /run/fake && for name in $(busybox --list); do ln -s /bin/busybox /run/fake/$name; done'
	for arguments in --check '' '' --uninstall; do
		# shellcheck disable=SC2086
		run host PATH=/run/fake busybox sh "$RELEASE/install.sh" $arguments
		echo "$output"
		assert_equal "$status" 0
		[[ $output != *"not found"* && $output != *usage* ]]
		[[ -n $arguments ]] || assert_installed
	done
	assert_listing
}

@test "where programs may not run from /run, the new binary is tried elsewhere" {
	node_exec mount -o remount,noexec /run
	run host sh "$RELEASE/install.sh"
	echo "$output"
	assert_equal "$status" 0
	assert_installed
}

@test "the node's name: as said, else as it is known already, else the kubelet's, else the host's" {
	node_exec hostname Node-A.Example
	installed
	said 'node name: node-a.example \(the host'
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" node-a.example
	installed --uninstall

	in_node 'mkdir /run/exec && printf "%s\n" "#!/bin/sh" "sleep 1000" >/run/exec/kubelet && chmod 0755 /run/exec/kubelet
		/run/exec/kubelet --v=2 --hostname-override=worker-7 >/dev/null 2>&1 &'
	installed
	said 'node name: worker-7 \(the kubelet'
	installed --node-name other
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" other
	installed
	said 'node name: other \(/etc/lamina/defaults.json'
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" other
}

@test "the timer is installed where systemd runs, for the binary's folder, and goes again" {
	fake_systemd
	note_listing
	installed --bin-dir /opt/other/bin
	assert_equal "$(calls | grep -v is-enabled)" $'daemon-reload\nenable --now lamina-gc.timer'
	assert_equal "$(node_exec sed -n 's/^ExecStart=//p; s/^ConditionFileIsExecutable=//p' /etc/systemd/system/lamina-gc.service)" \
		$'/opt/other/bin/lamina\n/opt/other/bin/lamina gc'
	node_exec cmp "$RELEASE/lamina-gc.timer" /etc/systemd/system/lamina-gc.timer
	# It stays where it was installed.
	installed
	installer --bin-dir /opt/cni/bin
	assert_equal "$status" 1
	said 'installed in /opt/other/bin'
	calls >/dev/null
	installed --uninstall
	assert_equal "$(calls)" $'disable --now lamina-gc.timer\ndaemon-reload'
	assert_listing
}

@test "a timer that was there before comes back; --no-timer leaves systemd alone; without its files nothing is installed" {
	fake_systemd
	in_node 'echo old >/etc/systemd/system/lamina-gc.service && echo older >/etc/systemd/system/lamina-gc.timer && touch /run/fake/enabled'
	note_listing
	installed
	installed --uninstall
	assert_equal "$(calls | tail -n 1)" 'enable --now lamina-gc.timer'
	assert_listing
	installed --no-timer
	run ! node_exec test -e /run/fake/calls
	installed --uninstall
	assert_listing
	node_exec rm "$RELEASE/lamina-gc.timer"
	refused
	said 'whole release folder'
}

@test "a systemd that does not start the timer is said; lamina is installed" {
	fake_systemd
	in_node 'sed -i "2i case \$1 in enable) exit 1 ;; esac" /run/fake/systemctl'
	installer
	assert_equal "$status" 1
	said 'systemd does not start lamina-gc.timer'
	assert_installed
}

@test "--conf goes to a node that has no file of ours, never over one that has, and goes again" {
	in_node 'cp /etc/cni/net.d/10-multus.conf /run/new.conf'
	sed 's/multus-demo/other/' <(seed_conf) | node_exec sh -c 'cat >/run/other.conf'
	note_listing
	installed --conf /run/other.conf
	said '10-multus.conf is there and stays'
	installed --uninstall
	assert_listing

	node_exec rm /etc/cni/net.d/10-multus.conf
	note_listing
	installed --conf /run/new.conf
	node_exec cmp /run/new.conf /etc/cni/net.d/new.conf
	installed --conf /run/other.conf
	run ! node_exec test -e /etc/cni/net.d/other.conf
	installed --uninstall
	assert_listing
	in_node 'sed -i s/eth0/eth9/ /run/new.conf'
	refused --conf /run/new.conf
	said eth9
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

@test "another name for a node whose pods are recorded under its old one is refused" {
	installed
	running_pod
	refused --node-name other
	said 'recorded under the name node-1'
}
