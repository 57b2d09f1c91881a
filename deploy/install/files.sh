# shellcheck shell=sh disable=SC2034 # what is set here, install.sh reads
# How deploy/install.sh puts files on a node: each in one step, with what was there kept for uninstall.sh.

# A temporary name beside the target, which the runtime does not take for a configuration.
temporary()
{
	printf '%s/.lamina-install.%s.tmp' "${1%/*}" "${1##*/}"
}

# Written down for good: files, and folders for the names in them. Where sync cannot do that for some, for all, which may take its time.
flush()
{
	for file; do
		shift
		[ -h "$file" ] || set -- "$@" "$file"
	done
	sync "$@" 2>/dev/null || sync
}

# put SOURCE TARGET MODE: the target is the old file or the whole new one, at any moment.
put()
{
	if [ -f "$2" ] && same "$1" "$2" && chmod "$3" "$2"; then
		return
	fi
	made=$(temporary "$2")
	rm -f "$made"
	cp "$1" "$made"
	chmod "$3" "$made"
	flush "$made"
	mv -f -T "$made" "$2"
	CHANGED=1
	say "      $2"
}

# put_link TARGET
put_link()
{
	[ "$(readlink "$1" || true)" != lamina ] || return 0
	made=$(temporary "$1")
	rm -f "$made"
	ln -s lamina "$made"
	mv -f -T "$made" "$1"
	CHANGED=1
	say "      $1 -> lamina"
}

# Folders that are missing, noted so that --uninstall takes them away again, the deepest first.
make_folder()
{
	dir=$1 missing=
	while [ ! -d "$dir" ]; do
		missing="$missing $dir"
		dir=${dir%/*}
	done
	for dir in $missing; do
		echo "$dir"
	done >>"$STATE/folders"
	mkdir -p "$1"
}

# What is installed: a key and a path each, in the order in which it is put back.
items()
{
	[ -z "$CONF_TO" ] || say "conf $CONF_TO"
	for name in $LINKS; do
		contains "$KEEP" "$name" || say "$name $BIN/$name"
	done
	say "lamina $BIN/lamina"
	say "defaults $DEFAULTS"
	if [ -n "$SYSTEMD" ]; then
		say "timer $UNITS/lamina-gc.timer"
		say "service $UNITS/lamina-gc.service"
	fi
}

# Whether the copy is this very script, part for part.
script_is_kept()
(
	kept=$STATE/$(readlink "$STATE/install.sh") && cmp -s "$SELF" "$kept" || exit 1
	for part in $PARTS; do
		cmp -s "$HERE/install/$part" "${kept%/*}/install/$part" || exit 1
	done
)

# This script and its parts are whole in a folder of their own before the name leads there: it is the old script or the new one.
# The old one's folder goes with what is temporary.
keep_script()
{
	new=script.1
	[ "$(readlink "$STATE/install.sh" || true)" != $new/install.sh ] || new=script.2
	mkdir -p "$STATE/$new/install"
	for part in $PARTS; do
		cp "$HERE/install/$part" "$STATE/$new/install/$part"
	done
	cp "$SELF" "$STATE/$new/install.sh"
	chmod 0755 "$STATE/$new/install.sh"
	flush "$STATE/$new/install"/* "$STATE/$new/install" "$STATE/$new/install.sh" "$STATE/$new"
	ln -s "$new/install.sh" "$STATE/.lamina-install.script.tmp"
	mv -f -T "$STATE/.lamina-install.script.tmp" "$STATE/install.sh"
}

# What is there before the first change is copied; only when all copies are complete are they valid, each by its .path. One that is valid
# is never made again: it is from before the first installation.
keep_all()
{
	mkdir -p "$STATE"
	: >>"$STATE/folders"
	items >"$STATE/.lamina-install.items.tmp"
	while read -r key path; do
		[ ! -e "$STATE/$key.path" ] || continue
		rm -f "$STATE/$key.was"
		! there "$path" || cp -a "$path" "$STATE/$key.was"
	done <"$STATE/.lamina-install.items.tmp"
	if [ -n "$SYSTEMD" ] && [ ! -e "$STATE/timer.path" ]; then
		rm -f "$STATE/timer.enabled"
		! systemctl is-enabled --quiet lamina-gc.timer 2>/dev/null || : >"$STATE/timer.enabled"
	fi
	printf '%s\n' "$BIN" >"$STATE/.lamina-install.bin-dir.tmp"
	mv -f "$STATE/.lamina-install.bin-dir.tmp" "$STATE/bin-dir"
	flush "$STATE"/*
	while read -r key path; do
		[ ! -e "$STATE/$key.path" ] || continue
		printf '%s\n' "$path" >"$STATE/.lamina-install.path.tmp"
		mv -f "$STATE/.lamina-install.path.tmp" "$STATE/$key.path"
	done <"$STATE/.lamina-install.items.tmp"
	script_is_kept || keep_script
	flush "$STATE"/* "$STATE" "${STATE%/*}"
}

# The name comes before the binary that uses it, the binary before its links, and the configuration last: with it pods start.
install_all()
{
	say "installing$(with_what_was)"
	remove_temporary
	keep_all
	make_folder "$BIN"
	make_folder "${DEFAULTS%/*}"
	put "$TRY/defaults.json" "$DEFAULTS" 0644
	put "$TRY/lamina" "$BIN/lamina" 0755
	for name in $LINKS; do
		contains "$KEEP" "$name" || put_link "$BIN/$name"
	done
	flush "$BIN"
	install_timer
	if [ -n "$CONF_TO" ]; then
		make_folder "$NET_D"
		put "$CONF" "$CONF_TO" 0644
	fi
	[ -n "$CHANGED" ] || say "      all of it is in place already"
}

by_hand()
{
	say "note  timer: ${1}; let something run \`$BIN/lamina gc\` every five minutes, such as the line" \
		"\`*/5 * * * * root $BIN/lamina gc\` in /etc/crontab"
}

install_timer()
{
	if [ -z "$SYSTEMD" ]; then
		by_hand "$NO_TIMER"
		return
	fi
	sed "s|/opt/cni/bin/lamina|$BIN/lamina|g" "$HERE/lamina-gc.service" >"$TRY/lamina-gc.service"
	put "$TRY/lamina-gc.service" "$UNITS/lamina-gc.service" 0644
	put "$HERE/lamina-gc.timer" "$UNITS/lamina-gc.timer" 0644
	if ! systemctl daemon-reload || ! systemctl enable --now lamina-gc.timer; then
		complain "systemd does not start lamina-gc.timer: see systemctl status lamina-gc.timer, then run this again"
		FAILED=1
	fi
}
