#!/usr/bin/env bats
# deploy/install.sh: it checks first, then puts lamina on a node without a moment in which a name is missing.
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
	said "again; what was there before the first time stays kept in $KEPT"
	said 'all of it is in place already'
	assert_equal "$(node_exec stat -c '%n %i' "$BIN"/{lamina,multus,kube-ipam})" "$(<"$BATS_TEST_TMPDIR/inodes")"
	# But for the times of the folder in which it keeps that, and of one file there.
	diff <(grep -vE "^$KEPT(/bin-dir)? [df] " "$BATS_TEST_TMPDIR/before") <(listing | grep -vE "^$KEPT(/bin-dir)? [df] ")
	installed --uninstall
	mv "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/before"
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

@test "without its parts it says that they are missing, and changes nothing" {
	local part
	for part in checks files uninstall; do
		node_exec mv "$RELEASE/install/$part.sh" /run/away
		refused
		said "is not in the folder install beside it \($RELEASE/install/$part.sh\): bring the whole release folder"
		refused --uninstall
		node_exec mv /run/away "$RELEASE/install/$part.sh"
	done
	node_exec rm -r "$RELEASE/install"
	refused
	said 'whole release folder'
	installed --help
	said '--uninstall'
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
		'--set nothing' '--keep lamina' '--check --uninstall' '--uninstall --check'; do
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
	refused --check --force
	said 'checks that are bad: 1; --force would install all the same'
	[[ $output != *'it stopped'* && $output != *'installing'* ]]
	note_listing
	installed --dry-run --force
	said '--force would install'
	assert_listing
	installed --force
	said 'checks that are bad: 1; installing all the same'
	said 'mend what is marked bad'
	assert_installed
}

@test "--check and --dry-run change nothing, and the latter says what would be done" {
	old_stack
	note_listing
	installed --check
	said 'fit for lamina; nothing was changed'
	assert_listing
	installed --dry-run
	said '/opt/cni/bin/multus-cni -> lamina'
	said '"nodeName"'
	assert_listing
	installed
	note_listing
	installed --check
	installed --dry-run
	said "again; what was there before the first time stays kept in $KEPT"
	assert_listing
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

@test "the timer is installed where systemd runs, for the binary's folder, and goes again" {
	fake_systemd
	in_node 'mkdir -p /opt/other/bin && cp "$1"/* /opt/other/bin/' "$BIN"
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

@test "another name for a node whose pods are recorded under its old one is refused" {
	installed
	running_pod
	refused --node-name other
	said 'recorded under the name node-1'
	# The site's own name is the one that counts.
	seed_conf '.nodeName = "site-1"' | node_conf - 10-multus.conf
	refused --node-name node-1
	said 'recorded under the name site-1'
	installed --check
	said 'node name: site-1 \(/etc/cni/net.d/10-multus.conf has it'
}

@test "a lamina that was put here by hand has recorded pods under the name that it found, and keeps it" {
	node_exec hostname Node-A
	in_node 'cp "$1/lamina" "$2/lamina" && ln -s lamina "$2/multus-cni"' "$RELEASE" "$BIN"
	running_pod
	refused --node-name node-a
	said 'recorded under the name Node-A:'
	installed --check
	said 'node name: Node-A \(pods are recorded under it'
	# What the API server has called it.
	in_node 'printf worker-7 >/var/lib/cni/multus/node'
	refused --node-name node-a
	said 'recorded under the name worker-7:'
	installed
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" worker-7
	installed --node-name other --force
	cni DEL
	assert_ok
	installed --node-name node-a
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" node-a
}

@test "the site's file is the first of ours in the order of all names together, as the runtime and lamina see it" {
	local name
	in_node 'cp /etc/cni/net.d/10-multus.conf /run/new.conf && cd /etc/cni/net.d && mv 10-multus.conf z.conf && cp z.conf a.conflist &&
		cp z.conf B.json && cp z.conf .C.json && cp z.conf 0.txt'
	for name in .C.json B.json a.conflist z.conf; do
		installed --check --conf /run/new.conf
		said "note  configuration: /etc/cni/net.d/$name is there and stays"
		node_exec rm "/etc/cni/net.d/$name"
	done
}

@test "where kube-ipam has given out a cluster's addresses, nothing is installed before they are imported" {
	old_stack
	installed --check
	seed_conf '.delegates[1].ipam.etcdConfig = {etcdURL: "http://127.0.0.1:1"}' | node_conf - 10-multus.conf
	refused
	said "bad   moving: .* \`$RELEASE/lamina ip import --from-api --kubeconfig OPERATOR-KUBECONFIG\`.*--imported"
	refused --check
	said 'bad   moving'
	refused --keep kube-ipam
	said 'bad   moving'
	# There is no etcd here: that alone is bad then.
	refused --imported
	said 'bad   etcd'
	[[ $output != *moving* ]]
	installed --force
	said 'bad   moving'
	installer
	[[ $output != *moving* ]]
	installed --uninstall
	# A copy of lamina is none, nor is one that stays since an installation before.
	in_node 'rm "$2/kube-ipam" && cp "$1/lamina" "$2/kube-ipam"' "$RELEASE" "$BIN"
	refused
	[[ $output != *moving* ]]
	in_node 'rm -f "$1/multus" "$1/multus-cni" "$1/kube-ipam"' "$BIN"
	old_stack
	installed --keep kube-ipam --force
	installer --keep kube-ipam
	[[ $output != *moving* ]]
}

@test "the node is checked with the defaults that it is to get, not with those that it has" {
	refused --set cniDir=/proc/sys/lamina
	said 'bad   folders: cniDir: /proc/sys cannot be written'
	said 'ok    defaults: /etc/lamina/defaults.json: .*"cniDir":"/proc/sys/lamina"'
	said 'ok    node: node-1 \(nodeName in /etc/lamina/defaults.json'
	# Delegates are looked for where they will be.
	in_node 'mkdir /run/exec && mv "$1"/* /run/exec/' "$BIN"
	refused --bin-dir /opt/other/bin
	said 'bad   delegates: .* needs flannel, which is not in /opt/other/bin'
	in_node 'mkdir -p /opt/other/bin && mv /run/exec/* /opt/other/bin/'
	refused
	said 'bad   delegates: .* needs flannel, which is not in /opt/cni/bin'
	installed --bin-dir /opt/other/bin
	[[ $output != *'bad   '* ]]
	# What is bad now may be what is corrected.
	in_node 'echo "{\"binDir\": \"/nowhere\"}" >/etc/lamina/defaults.json'
	refused --set timeout=30 --set binDir=/elsewhere
	said 'bad   delegates'
	installed
	# The site's own name counts, whatever is said.
	seed_conf '.nodeName = "site-1"' | node_conf - 10-multus.conf
	refused --node-name node-2
	said 'bad   node: '
	installed
	assert_equal "$(node_exec jq -r .nodeName /etc/lamina/defaults.json)" site-1
}
