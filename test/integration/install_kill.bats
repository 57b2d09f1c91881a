#!/usr/bin/env bats
# deploy/install.sh, killed, interrupted, or run twice at a time: the node works at any moment, and a second run completes it.
# That it is killed at any point is about the script: one build will do, and it is not the release.
# What setup and cni.bash set is used in tests and the other way round; single quotes are for shells inside of the node.
# Builds: release gcc:fault
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

# killed_at N ARG ...: false when the script ended before its N-th program. Sets rc, its exit status: assert_ended asks for that behind
# the loop, since nothing that fails in a loop's condition fails the test.
killed_at()
{
	rc=0
	in_node 'echo "$1" >/run/fake/at && echo 0 >/run/fake/n' "$1"
	host PATH="/run/fake/deadly:$SYSTEM_PATH" sh -c 'echo $$ >/run/fake/pid; exec "$@"' sh "$RELEASE/install.sh" "${@:2}" \
		>"$BATS_TEST_TMPDIR/killed" 2>&1 || rc=$?
	((rc == 137))
}

# assert_ended AT ROUNDS: after so many rounds it was not killed any more, and has done all that it had to.
assert_ended()
{
	((rc == 0)) || fail "killed at $1 it says $rc: $(<"$BATS_TEST_TMPDIR/killed")"
	(($1 > $2)) || fail "it was killed at $(($1 - 1)) places at most: more than $2 were expected"
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
	assert_ended $at 25
	assert_installed
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
	assert_ended $at 25
	assert_installed
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
	assert_ended $at 15
	assert_listing
}

# bats test_tags=fault
@test "killed at any point of an upgrade, the script that is kept is the old one or the new one, whole" {
	local at=0 script changed=0
	old_stack
	deadly_programs
	installed
	in_node 'cp -r "$1" "$1.old" && for file in "$1/install.sh" "$1"/install/*; do echo "# newer" >>"$file"; done' "$RELEASE"
	while killed_at $((++at)) --no-timer; do
		script=$(node_exec readlink -f "$KEPT/install.sh")
		if node_exec cmp -s "$RELEASE/install.sh" "$script"; then
			node_exec diff -r "$RELEASE/install" "${script%/*}/install"
			changed=1
		else
			node_exec cmp "$RELEASE.old/install.sh" "$script"
			node_exec diff -r "$RELEASE.old/install" "${script%/*}/install"
		fi
		host "$RELEASE.old/install.sh" >/dev/null
		assert_equal "$(in_node 'ls -d "$1"/script.* | wc -l' "$KEPT")" 1
	done
	assert_ended $at 15
	assert_equal "$changed" 1
	host "$KEPT/install.sh" --uninstall
	assert_equal "$(call multus)" 'old multus'
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
	for lock in flock link; do
		if [[ $lock == link ]]; then
			without_flock
			# A killed one has left its lock, and two that have died of removing it theirs. The first one's number is another's now.
			in_node 'ln -s 1-1 "$1" && ln -s 99999998-1 "$1.1-1" && ln -s 99999999-1 "$1.1-1.99999998-1"' /run/lamina-install.lock
		fi
		pids=()
		for n in 1 2 3 4; do
			if [[ $lock == link ]]; then
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

# Busybox alone in /run/fake, which has no flock then.
without_flock()
{
	in_node 'mkdir -p /run/fake && ln -s /bin/busybox /run/fake/busybox
		for name in $(busybox --list); do ln -sf /bin/busybox /run/fake/$name; done; rm -f /run/fake/flock'
}

# slow NAME PROGRAM PATTERN: in folder NAME, for a shell that has no ln or cp of its own, that program waits before a call whose arguments match, until /run/exec/go.NAME is there.
slow()
{
	in_node 'mkdir -p "/run/fake/$1" /run/exec && printf "%s\n" "#!/bin/busybox sh" \
		"case \$* in $3) touch /run/exec/at.$1; for n in \$(seq 150); do [ -e /run/exec/go.$1 ] || sleep 0.1; done ;; esac" \
		"exec /bin/busybox $2 \"\$@\"" >"/run/fake/$1/$2" && chmod 0755 "/run/fake/$1/$2"' "$@"
}

# reached NAME: the program of that folder waits.
reached()
{
	in_node 'for n in $(seq 100); do [ ! -e "/run/exec/at.$1" ] || exit 0; sleep 0.1; done; exit 1' "$1"
}

@test "without flock, one that takes the lock of a dead one for its own does not take it from who has done so meanwhile" {
	local first second
	without_flock
	in_node 'ln -s 99999999-1 /run/lamina-install.lock'
	# The second one has seen that its holder is dead, and is slow; the first one gets it, and is at work.
	for name in ln mv; do
		slow second $name '*/run/lamina-install.lock.*'
	done
	slow first cp '*'
	host PATH=/run/fake/second:/run/fake /bin/sh "$RELEASE/install.sh" >"$BATS_TEST_TMPDIR/second" 2>&1 3>&- &
	second=$!
	reached second
	host PATH=/run/fake/first:/run/fake /bin/sh "$RELEASE/install.sh" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	first=$!
	reached first
	in_node 'touch /run/exec/go.second'
	sleep 1.5
	assert_equal "$(<"$BATS_TEST_TMPDIR/second")" 'another install.sh runs: waiting for it'
	in_node 'touch /run/exec/go.first'
	wait "$first"
	wait "$second"
	assert_installed
}

@test "one that waits and is interrupted leaves alone what the other one makes" {
	local holder
	in_node 'touch /etc/cni/net.d/.lamina-install.x.conf.tmp
		exec flock /var/lib sh -c "echo \$\$ >/run/holder.new && mv /run/holder.new /run/holder && exec sleep 60"' 3>&- &
	holder=$!
	in_node 'while [ ! -e /run/holder ]; do sleep 0.1; done'
	run host timeout --preserve-status --signal=INT 1 "$RELEASE/install.sh"
	assert_equal "$status" 130
	said 'waiting for it'
	node_exec test -e /etc/cni/net.d/.lamina-install.x.conf.tmp
	in_node 'kill "$(cat /run/holder)"'
	wait "$holder" || true
}
