#!/bin/sh
# Puts lamina on a node, or takes it off again. Runs on the node, as root; needs a POSIX shell (busybox will do) and nothing else.
#
#   install.sh [--binary FILE] [--node-name NAME] [--set KEY=VALUE ...] [--conf FILE] [--keep NAME ...]
#              [--bin-dir DIR] [--no-timer] [--force] [--check | --dry-run]
#   install.sh --uninstall [--force] [--dry-run]
#
#   --binary FILE     the release binary (default: lamina beside this file, else ../.cache/release/lamina)
#   --node-name NAME  what the API server calls this node (default: what /etc/lamina/defaults.json has; else the kubelet's
#                     --hostname-override; else the host name in lower case)
#   --set KEY=VALUE   another key for /etc/lamina/defaults.json, such as cluster=east
#   --conf FILE       goes to /etc/cni/net.d when no file there is lamina's or multus's yet; a file that is there is never changed
#   --keep NAME       leaves multus, multus-cni, multus-shim or kube-ipam in the binary's folder as it is
#   --bin-dir DIR     where the runtime looks for plugins (default: /opt/cni/bin)
#   --no-timer        without the systemd timer that runs `lamina gc`
#   --check           says whether this node is fit for lamina, and changes nothing
#   --dry-run         the same, and says what would be done
#   --force           installs although a check is bad; --uninstall although pods are left that nobody else can delete
#   --uninstall       puts back, byte for byte, what was there before the first installation
#
# Everything is checked before anything is changed. A pod may start at any moment: each file is made beside its place and renamed over it,
# so that no name is ever missing or half written; a run that was killed is repeated. What was there is kept in /var/lib/lamina/install,
# with a copy of this script. Two runs at a time wait for each other. Exit status: 0 done, 1 refused or failed, 2 wrong call.
set -eu
umask 022

# Kept beside other programs' state, which outlives a reboot, and not in /etc, which is for what people write.
STATE=/var/lib/lamina/install
DEFAULTS=/etc/lamina/defaults.json
NET_D=/etc/cni/net.d
UNITS=/etc/systemd/system
LOCK=/run/lamina-install.lock
LINKS="multus multus-cni multus-shim kube-ipam"
# Where the new binary is tried: only root writes there, and not all of them are mounted noexec.
TRIES="/run /var/lib /root"
# The checks of `lamina doctor` that the installation itself mends.
MENDED=" names gc-timer "

say()
{
	printf '%s\n' "$*"
}

complain()
{
	printf 'install.sh: %s\n' "$*" >&2
}

die()
{
	complain "$*"
	EXPLAINED=1
	exit 1
}

wrong_call()
{
	complain "$* (--help)"
	exit 2
}

there()
{
	[ -e "$1" ] || [ -h "$1" ]
}

readable()
{
	[ -f "$1" ] && [ -r "$1" ]
}

# Two links to one place, or two files with one content.
same()
(
	link=$(readlink "$1" || true)
	[ "$link" = "$(readlink "$2" || true)" ] && { [ -n "$link" ] || cmp -s "$1" "$2" 2>/dev/null; }
)

# contains LIST WORD
contains()
{
	case " $1 " in
	*" $2 "*) return 0 ;;
	esac
	return 1
}

# The nearest folder above, or the path itself, that exists.
standing()
(
	dir=$1
	while [ ! -d "$dir" ]; do
		dir=${dir%/*}
		dir=${dir:-/}
	done
	echo "$dir"
)

# A text value of a JSON file, where only one line has that key. The runtime matches keys in any case, and so does lamina.
json_text()
{
	sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/Ip" | sed -n 1p
}

parse()
{
	MODE=install BINARY="" BIN="" NODE="" SETTINGS="" CONF="" KEEP="" TIMER=1 FORCE="" DRY=""
	while [ $# -gt 0 ]; do
		case $1 in
		--binary | --bin-dir | --node-name | --set | --conf | --keep)
			[ -n "${2:-}" ] || wrong_call "$1 wants a value"
			parse_value "$1" "$2"
			shift
			;;
		--no-timer) TIMER="" ;;
		--force) FORCE=1 ;;
		--check) MODE=check ;;
		--dry-run) DRY=1 ;;
		--uninstall) MODE=uninstall ;;
		--help | -h)
			sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0"
			exit 0
			;;
		*) wrong_call "unknown argument $1" ;;
		esac
		shift
	done
}

parse_value()
{
	case $1 in
	--binary) BINARY=$2 ;;
	--bin-dir)
		case $2 in
		/*[!A-Za-z0-9/._+-]* | [!/]* | / | */../*) wrong_call "--bin-dir is \"$2\": an absolute path without blanks is wanted" ;;
		esac
		BIN=${2%/}
		;;
	--node-name)
		case $2 in
		*[!a-z0-9.-]* | [.-]* | *[.-]) wrong_call "--node-name is \"$2\": nodes have names of a-z, 0-9, - and ." ;;
		esac
		NODE=$2
		;;
	--set)
		case $2 in
		nodeName=*) wrong_call "--set $2: say --node-name" ;;
		*[[:space:]]*) wrong_call "--set \"$2\": without blanks" ;;
		[A-Za-z]*=*) SETTINGS="$SETTINGS $2" ;;
		*) wrong_call "--set is \"$2\": KEY=VALUE is wanted" ;;
		esac
		;;
	--conf) CONF=$2 ;;
	--keep)
		contains "$LINKS" "$2" || wrong_call "--keep is \"$2\": it may be one of $LINKS"
		KEEP="$KEEP $2"
		;;
	esac
}

# One run at a time. The lock of a file goes with its holder; a folder that a killed run has left is taken by the one that renames it.
take_lock()
{
	if command -v flock >/dev/null 2>&1; then
		exec 9<"$(standing "${STATE%/*/*}")"
		flock -n 9 || { say "another install.sh runs: waiting for it" && flock 9; }
		return
	fi
	nameless=0
	while ! mkdir "$LOCK" 2>/dev/null; do
		holder=$(cat "$LOCK/pid" 2>/dev/null) || holder=
		# One that was killed before it had said who it is has no name for long.
		[ -n "$holder" ] || nameless=$((nameless + 1))
		if { [ $nameless -gt 5 ] || { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; }; } &&
			mv "$LOCK" "$LOCK.$$" 2>/dev/null; then
			rm -rf "$LOCK.$$"
			nameless=0
			continue
		fi
		[ -n "$WAITS" ] || say "another install.sh runs: waiting for it"
		WAITS=1
		sleep 1
	done
	LOCKED=1
	echo $$ >"$LOCK/pid"
}

# However it ends: nothing half made stays.
at_end()
{
	ended=$?
	trap '' INT TERM HUP
	[ "$ended" = 0 ] || [ -n "$EXPLAINED" ] ||
		complain "it stopped at what is said above: what is in place works as it is; run the same again when that is mended"
	remove_temporary
	[ -z "$TRY" ] || rm -rf "$TRY"
	[ -z "$LOCKED" ] || rm -rf "$LOCK"
	exit "$ended"
}

interrupted()
{
	complain "interrupted: what is in place works as it is; run the same again to finish it"
	EXPLAINED=1
	exit 130
}

remove_temporary()
{
	for dir in "${BIN:-}" "${DEFAULTS%/*}" "$NET_D" "$UNITS" "$STATE"; do
		[ -z "$dir" ] || rm -f "$dir"/.lamina-install.*.tmp
	done
}

# ---- checks: nothing is changed

# What is called first fails first: the reason must be the one that helps.
check_all()
{
	check_places
	find_binary
	check_program
	find_name
	merge_defaults
	check_conf
	check_with_doctor
}

check_places()
{
	if [ -e "$STATE/bin-dir" ]; then
		was=$(cat "$STATE/bin-dir")
		[ "${BIN:-$was}" = "$was" ] ||
			die "lamina is installed in $was: leave out --bin-dir, or --uninstall first"
		BIN=$was
	fi
	BIN=${BIN:-/opt/cni/bin}
	for name in lamina $LINKS; do
		! [ -d "$BIN/$name" ] || die "$BIN/$name is a folder: move it away, lamina has this name"
	done
	for dir in "$BIN" "$STATE" "${DEFAULTS%/*}"; do
		[ -w "$(standing "$dir")" ] ||
			die "$(standing "$dir") cannot be written to: remount it, or choose another folder with --bin-dir where the runtime looks too"
	done
}

find_binary()
{
	here=$(cd "$(dirname "$0")" && pwd)
	if [ -z "$BINARY" ]; then
		BINARY=$here/lamina
		[ -e "$BINARY" ] || BINARY=$here/../.cache/release/lamina
		[ -e "$BINARY" ] || die "there is no lamina beside this script: name the release binary with --binary"
	fi
	readable "$BINARY" || die "$BINARY cannot be read: name the release binary with --binary"
	kilobytes=$(($(wc -c <"$BINARY") / 1024 + 1024))
	free=$(df -Pk "$(standing "$BIN")" | awk 'NR == 2 { print $4 }')
	[ "${free:-$kilobytes}" -ge "$kilobytes" ] || die "$(standing "$BIN") has $free KiB left and lamina needs $kilobytes: make room there"
	kilobytes=1024
	for name in lamina $LINKS; do
		[ ! -f "$BIN/$name" ] || kilobytes=$((kilobytes + $(wc -c <"$BIN/$name") / 1024))
	done
	free=$(df -Pk "$(standing "$STATE")" | awk 'NR == 2 { print $4 }')
	[ "${free:-$kilobytes}" -ge "$kilobytes" ] ||
		die "$(standing "$STATE") has $free KiB left and what is to be kept for --uninstall needs $kilobytes: make room there"
}

# elf FILE: magic, class and machine of a program, as hexadecimal digits.
elf()
{
	od -An -v -tx1 -N20 "$1" | tr -d ' \n' | sed 's/^\(.\{8\}\)\(..\).*\(....\)$/\1 \2 \3/'
}

machine_name()
{
	case $1 in
	3e00) echo x86-64 ;;
	b700) echo arm64 ;;
	2800) echo arm ;;
	0300) echo i386 ;;
	f300) echo riscv64 ;;
	1500) echo ppc64le ;;
	0016) echo s390x ;;
	*) echo "machine 0x$1" ;;
	esac
}

# A copy of it runs from where programs may run: /run is mounted noexec on some hosts. It is this copy that is installed.
check_program()
{
	# shellcheck disable=SC2046 # three words each
	set -- $(elf "$BINARY") $(elf /proc/self/exe)
	[ "$#/$1" = 6/7f454c46 ] || die "$BINARY is no program: name the release binary with --binary"
	[ "$2 $3" = "$5 $6" ] ||
		die "$BINARY is for $(machine_name "$3") and this host is $(machine_name "$6"): bring the binary that was built for it"
	tried=126 said="there is no folder to try it in"
	for dir in $TRIES; do
		TRY=$dir/lamina-install.try
		mkdir "$TRY" 2>/dev/null || continue
		if cp "$BINARY" "$TRY/lamina" && chmod 0755 "$TRY/lamina"; then
			tried=0
			said=$(CNI_COMMAND='' LC_ALL=C "$TRY/lamina" --version 2>&1) || tried=$?
			[ $tried = 126 ] || break
		else
			tried=1 said="it cannot be copied to $dir"
		fi
		rm -rf "$TRY"
	done
	[ "$tried" != 0 ] || case $said in
	"lamina "*) return 0 ;;
	*) die "$BINARY is not lamina: asked for its version it says \"$said\"" ;;
	esac
	missing=$(missing_libraries "$said")
	[ -z "$missing" ] || die "$BINARY was built for shared libraries that this host does not have ($missing): take the binary of" \
		"deploy/release.sh, which needs none, or install them"
	die "$BINARY does not run on this host: ${said:-it ends with status $tried without a word}"
}

# What the loader misses: all of it if there is ldd, else the first, which the loader has named.
missing_libraries()
{
	list=
	! command -v ldd >/dev/null 2>&1 ||
		list=$(LC_ALL=C ldd "$BINARY" 2>/dev/null | awk '/not found/ { printf "%s%s", n++ ? ", " : "", $1 }') || list=
	[ -n "$list" ] || list=$(printf '%s\n' "$1" |
		sed -n 's/.*loading shared librar[a-z]* \([^:]*\): .*/\1/p; s/.*libraries: \([^:]*\): cannot open.*/\1/p' | sed -n 1p)
	# A program whose loader is missing is "not found" itself.
	[ -n "$list" ] || case $1 in
	*"not found"* | *"No such file"*) list="not even the C library that it was built with" ;;
	esac
	printf '%s' "$list"
}

# The argument of --hostname-override of a kubelet that runs.
kubelet_override()
{
	for proc in /proc/[0-9]*; do
		comm=
		read -r comm 2>/dev/null <"$proc/comm" || continue
		[ "$comm" = kubelet ] || continue
		tr '\0' '\n' <"$proc/cmdline" 2>/dev/null | awk '
			next_is { print; exit }
			/^--?hostname-override=/ { sub(/^[^=]*=/, ""); print; exit }
			/^--?hostname-override$/ { next_is = 1 }'
		return
	done
}

find_name()
{
	known=
	[ ! -e "$DEFAULTS" ] || known=$(json_text nodeName <"$DEFAULTS")
	from="--node-name"
	if [ -z "$NODE" ]; then
		NODE=$known from="$DEFAULTS has it"
	elif [ -n "$known" ] && [ "$known" != "$NODE" ] && [ -z "$FORCE" ] && [ "$(count_records)" -gt 0 ]; then
		die "pods of this node are recorded under the name $known: leave out --node-name, or drain the node first (--force: all the same)"
	fi
	if [ -z "$NODE" ]; then
		NODE=$(kubelet_override) from="the kubelet's --hostname-override"
	fi
	if [ -z "$NODE" ]; then
		NODE=$(uname -n | tr '[:upper:]' '[:lower:]') from="the host's name; if \`kubectl get nodes\` calls it otherwise: --node-name"
	fi
	say "ok    node name: $NODE ($from)"
}

merge_defaults()
{
	# Delegates lie where the runtime looks, too; until that is written, they are looked for in the wrong place.
	if [ "$BIN" != /opt/cni/bin ]; then
		case "$SETTINGS " in
		*" binDir="*) ;;
		*) SETTINGS="$SETTINGS binDir=$BIN" ;;
		esac
		MENDED="$MENDED delegates "
	fi
	# shellcheck disable=SC2086 # words without blanks
	CNI_COMMAND='' "$TRY/lamina" defaults "nodeName=$NODE" $SETTINGS >"$TRY/defaults.json" 2>"$TRY/said" ||
		die "$DEFAULTS stays as it is: $(sed 's/^lamina: //' "$TRY/said")"
}

# The first file of lamina or multus, as the runtime would find it.
site_conf()
{
	for file in "$NET_D"/*.conf "$NET_D"/*.conflist "$NET_D"/*.json; do
		if [ -f "$file" ] && grep -qE '"type"[[:space:]]*:[[:space:]]*"(lamina|multus|multus-cni|multus-shim)"' "$file"; then
			echo "$file"
			return
		fi
	done
}

check_conf()
{
	CONF_TO=""
	[ -n "$CONF" ] || return 0
	readable "$CONF" || die "--conf $CONF cannot be read: name a configuration file"
	case $CONF in
	*.conf | *.conflist | *.json) ;;
	*) die "--conf $CONF would not be read by the runtime: its name must end in .conf or .conflist" ;;
	esac
	site=$(site_conf)
	if [ -n "$site" ]; then
		say "note  configuration: $site is there and stays as it is; $CONF is not used"
		return
	fi
	CONF_TO=$NET_D/${CONF##*/}
	! there "$CONF_TO" || die "$CONF_TO is there and is not lamina's: give the file of --conf another name"
	for file in "$NET_D"/*.conf "$NET_D"/*.conflist "$NET_D"/*.json; do
		[ ! -f "$file" ] || say "note  configuration: $file is there, too; the runtime takes the first in alphabetical order"
	done
}

check_with_doctor()
{
	set -- doctor --node-name "$NODE"
	[ -z "$CONF_TO" ] || set -- "$@" --conf "$CONF"
	checked=0
	report=$(CNI_COMMAND='' "$TRY/lamina" "$@" 2>&1) || checked=$?
	# A check that ended without a verdict is a bad one.
	verdict=$(printf '%s\n' "$report" | grep -c '^bad ') || true
	# What the installation mends is not said: it would only frighten.
	report=$(printf '%s\n' "$report" | awk -v mended="$MENDED" '
		{ name = $2; sub(/:$/, "", name) }
		!index(mended, " " name " ") { print }')
	[ -z "$report" ] || say "$report"
	bad=$(printf '%s\n' "$report" | grep -c '^bad ') || true
	[ "$checked" = 0 ] || { [ "$checked" = 1 ] && [ "$verdict" -gt 0 ]; } || bad=$((bad + 1))
	! there "$BIN/kube-ipam" || contains "$KEEP" kube-ipam || [ "$(readlink "$BIN/kube-ipam")" = lamina ] ||
		say "note  moving: on the first node of a cluster that has kube-ipam, once: lamina ip import --from-api"
	BAD=$bad
	[ "$bad" -gt 0 ] || return 0
	[ -z "$FORCE" ] || { complain "$bad of the checks are bad; installing all the same (--force)" && return 0; }
	die "this node is not ready for lamina: mend what is marked bad above and run it again (--force installs all the same); nothing was changed"
}

# ---- files

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
	cp "$0" "$STATE/.lamina-install.script.tmp"
	chmod 0755 "$STATE/.lamina-install.script.tmp"
	mv -f "$STATE/.lamina-install.script.tmp" "$STATE/install.sh"
	flush "$STATE"/* "$STATE" "${STATE%/*}"
}

# ---- installing

# The name comes before the binary that uses it, the binary before its links, and the configuration last: with it pods start.
install_all()
{
	say "installing, with what was there kept in $STATE:"
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
	sed "s|/opt/cni/bin/lamina|$BIN/lamina|g" "$here/lamina-gc.service" >"$TRY/lamina-gc.service"
	put "$TRY/lamina-gc.service" "$UNITS/lamina-gc.service" 0644
	put "$here/lamina-gc.timer" "$UNITS/lamina-gc.timer" 0644
	if ! systemctl daemon-reload || ! systemctl enable --now lamina-gc.timer; then
		complain "systemd does not start lamina-gc.timer: see systemctl status lamina-gc.timer, then run this again"
		FAILED=1
	fi
}

# Whether there is a timer to install; else NO_TIMER says why not.
find_systemd()
{
	SYSTEMD="" NO_TIMER="--no-timer"
	[ -n "$TIMER" ] || return 0
	NO_TIMER="systemd does not run here"
	[ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1 || return 0
	NO_TIMER=
	SYSTEMD=1
}

check_units()
{
	[ -z "$SYSTEMD" ] || { [ -r "$here/lamina-gc.service" ] && [ -r "$here/lamina-gc.timer" ]; } ||
		die "lamina-gc.service and lamina-gc.timer are not beside this script: bring the whole release folder, or say --no-timer"
}

show_plan()
{
	say "it would be installed, with what is there kept in $STATE:"
	items | while read -r key path; do
		if [ "$key" = defaults ]; then
			say "      $path:"
			sed 's/^/        /' "$TRY/defaults.json"
		elif contains "$LINKS" "$key"; then
			say "      $path -> lamina"
		else
			say "      $path"
		fi
	done
	[ -n "$SYSTEMD" ] || by_hand "$NO_TIMER"
	say "nothing was changed"
}

conclude()
{
	say "what the installed lamina says (lamina doctor):"
	checked=0
	CNI_COMMAND='' "$BIN/lamina" doctor || checked=$?
	say "undo: $STATE/install.sh --uninstall"
	if [ -n "$FAILED" ]; then
		EXPLAINED=1
		exit 1
	fi
	if [ $checked != 0 ]; then
		[ -n "$FORCE" ] || die "lamina is installed, but a check is bad: mend what is marked above"
		say "lamina is installed; mend what is marked bad, pods may not start until then (lamina doctor)"
		return
	fi
	say "lamina is installed: pods that start from now on get their interfaces from it, those that run keep theirs"
}

install()
{
	find_systemd
	check_all
	check_units
	if [ "$MODE" = check ]; then
		say "nothing was changed"
		[ "$BAD" = 0 ]
		return
	fi
	if [ -n "$DRY" ]; then
		show_plan
		return
	fi
	install_all
	conclude
}

# ---- uninstalling

# The folder of records: as the site's file says, else the defaults, else multus's.
records_folder()
{
	site=$(site_conf)
	folder=
	[ -z "$site" ] || folder=$(json_text cniDir <"$site")
	[ -n "$folder" ] || [ ! -e "$DEFAULTS" ] || folder=$(json_text cniDir <"$DEFAULTS")
	echo "${folder:-/var/lib/cni/multus}"
}

# Pods that lamina has recorded: in multus's format with a key of its own, or as an IPAM plugin in a folder of its own.
count_records()
{
	folder=$(records_folder)
	for file in "$folder"/* "$folder"/lease/*; do
		[ -f "$file" ] || continue
		case $file in
		*/lease/*) echo 1 ;;
		*) ! grep -q '"lamina"' "$file" || echo 1 ;;
		esac
	done | wc -l | tr -d ' '
}

# was_lamina NAME: what was under that name before was a lamina, too.
was_lamina()
{
	[ -e "$STATE/lamina.was" ] && { cmp -s "$STATE/$1.was" "$STATE/lamina.was" || case $(readlink "$STATE/$1.was" || true) in
	lamina | */lamina) true ;;
	*) false ;;
	esac }
}

# Who deletes the pods that run? Sets STAY to what must stay for them: the link kube-ipam, and what it needs.
find_heir()
{
	STAY=""
	pods=$(count_records)
	[ "$pods" -gt 0 ] && [ -z "$FORCE" ] || return 0
	pods="$pods $([ "$pods" = 1 ] && echo pod || echo pods)"
	heir=
	for name in multus multus-cni multus-shim; do
		if there "$STATE/$name.was"; then
			heir=$name
		elif [ ! -e "$STATE/$name.path" ] && there "$BIN/$name" && [ "$(readlink "$BIN/$name" || true)" != lamina ]; then
			heir=$name
		fi
	done
	[ -z "$heir" ] || ! was_lamina "$heir" || return 0
	[ -n "$heir" ] ||
		die "lamina has recorded $pods on this node and nothing was here before that could do the deleting: drain the node first" \
			"(kubectl drain $(json_text nodeName <"$DEFAULTS" || uname -n)), or say --force; nothing was changed"
	[ -x "$BIN/macvlan" ] ||
		die "lamina has recorded $pods on this node and $heir cannot undo that without $BIN/macvlan: install that plugin," \
			"or drain the node first, or say --force; nothing was changed"
	[ -e "$STATE/kube-ipam.path" ] ||
		die "lamina has recorded $pods on this node whose addresses kube-ipam cannot free: run $BIN/lamina ip export, then" \
			"--uninstall --force; nothing was changed"
	STAY="kube-ipam lamina defaults"
}

# returns KEY: it was installed, and it is put back now.
returns()
{
	[ -e "$STATE/$1.path" ] && ! contains "$STAY" "$1"
}

# replaced_since KEY: under a link's name there is something else, such as the multus that its own installer has put there again.
replaced_since()
(
	contains "$LINKS" "$1" || exit 1
	path=$(cat "$STATE/$1.path")
	there "$path" && [ "$(readlink "$path" || true)" != lamina ] && ! same "$path" "$STATE/$1.was"
)

# put_back KEY: as it was, in one step.
put_back()
{
	path=$(cat "$STATE/$1.path")
	if ! there "$STATE/$1.was"; then
		rm -f "$path"
		return
	fi
	made=$(temporary "$path")
	rm -f "$made"
	mkdir -p "${path%/*}"
	cp -a "$STATE/$1.was" "$made"
	flush "$made"
	mv -f -T "$made" "$path"
}

# In the order in which nothing is missing: no pod starts with a configuration whose plugin has gone, no link leads nowhere.
put_back_all()
{
	[ ! -e "$STATE/timer.path" ] || there "$STATE/timer.was" || [ -z "$SYSTEMD" ] ||
		systemctl disable --now lamina-gc.timer || complain "systemd does not stop lamina-gc.timer: see systemctl status lamina-gc.timer"
	for key in conf $LINKS lamina defaults timer service; do
		returns "$key" || continue
		if replaced_since "$key"; then
			say "      $(cat "$STATE/$key.path") is not lamina's any more and stays as it is"
			continue
		fi
		put_back "$key"
		say "      $(cat "$STATE/$key.path") $(there "$STATE/$key.was" && echo "is as it was" || echo "is gone")"
	done
	if [ -e "$STATE/timer.path" ] && [ -n "$SYSTEMD" ]; then
		systemctl daemon-reload || true
		[ ! -e "$STATE/timer.enabled" ] || systemctl enable --now lamina-gc.timer || true
	fi
	for dir in "$BIN" "${DEFAULTS%/*}" "$NET_D" "$UNITS"; do
		[ ! -d "$dir" ] || flush "$dir"
	done
}

forget()
{
	if [ -n "$STAY" ]; then
		for key in conf $LINKS timer service; do
			contains "$STAY" "$key" || rm -f "$STATE/$key.path" "$STATE/$key.was" "$STATE/$key.enabled"
		done
		return
	fi
	while read -r dir; do
		rmdir "$dir" 2>/dev/null || true
	done <"$STATE/folders"
	# In one step: a half of it would be taken for the whole by the next installation.
	mv "$STATE" "$STATE.gone"
	remove_gone
}

remove_gone()
{
	rm -rf "$STATE.gone"
	rmdir "${STATE%/*}" 2>/dev/null || true
}

uninstall()
{
	remove_gone
	if [ ! -e "$STATE/bin-dir" ]; then
		rm -rf "$STATE"
		remove_gone
		say "there is nothing to undo: this script has installed nothing here ($STATE)"
		return
	fi
	BIN=$(cat "$STATE/bin-dir")
	find_systemd
	find_heir
	if [ -n "$DRY" ]; then
		for key in conf $LINKS lamina defaults timer service; do
			returns "$key" || continue
			say "      $(cat "$STATE/$key.path") would be $(there "$STATE/$key.was" && echo "as it was" || echo "gone")"
		done
		say "nothing was changed"
		return
	fi
	say "putting back what was there before lamina:"
	remove_temporary
	put_back_all
	forget
	if [ -n "$STAY" ]; then
		say "$BIN/kube-ipam stays on lamina: it gave out the addresses of $pods, and the old one could not free them; run" \
			"--uninstall again when they are gone, or after \`$BIN/lamina ip export\` with --force"
		return
	fi
	say "lamina is gone"
	site=$(site_conf)
	for name in $LINKS; do
		[ -z "$site" ] || there "$BIN/$name" || ! grep -q "\"$name\"" "$site" ||
			say "note  configuration: $site wants the plugin $name, which is not there: no pod starts until you change one of them"
	done
}

main()
{
	EXPLAINED="" LOCKED="" WAITS="" TRY="" FAILED="" BAD=0 CONF_TO="" SYSTEMD="" here=""
	parse "$@"
	[ "$(id -u)" = 0 ] || die "root is needed to install into ${BIN:-/opt/cni/bin}: run it with sudo"
	trap at_end EXIT
	trap interrupted INT TERM HUP
	take_lock
	# What a killed run has left.
	for dir in $TRIES; do
		rm -rf "$dir/lamina-install.try"
	done
	case $MODE in
	uninstall) uninstall ;;
	*) install ;;
	esac
}

main "$@"
