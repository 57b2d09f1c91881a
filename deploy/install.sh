#!/bin/sh
# Puts lamina on a node, or takes it off again. Runs on the node, as root; needs a POSIX shell (busybox will do) and the
# folder install/ beside it, which has its parts.
#
#   install.sh [--binary FILE] [--node-name NAME] [--set KEY=VALUE ...] [--conf FILE] [--keep NAME ...]
#              [--bin-dir DIR] [--no-timer] [--imported] [--force] [--check | --dry-run]
#   install.sh --uninstall [--force] [--dry-run]
#
#   --binary FILE     the release binary (default: lamina beside this file, else ../.cache/release/lamina)
#   --node-name NAME  what the API server calls this node (default: what the site's file or /etc/lamina/defaults.json
#                     has; else what pods are recorded under; else the kubelet's --hostname-override; else the host name in lower case)
#   --set KEY=VALUE   another key for /etc/lamina/defaults.json, such as cluster=east, or kubeconfig=FILE where the site's file
#                     has none (thick multus)
#   --conf FILE       goes to /etc/cni/net.d when no file there is lamina's or multus's yet; a file that is there is never changed
#   --keep NAME       leaves multus, multus-cni, multus-shim or kube-ipam in the binary's folder as it is
#   --bin-dir DIR     where the runtime looks for plugins (default: /opt/cni/bin)
#   --no-timer        without the systemd timer that runs `lamina gc`
#   --imported        confirms that `lamina ip import --from-api` has been run for this cluster: it records what pods have of kube-ipam
#   --check           says whether this node is fit for lamina, and changes nothing
#   --dry-run         checks, and lists each file that would be written; with --uninstall, each that would be put back; changes nothing
#   --force           installs although a check is bad; --uninstall although pods are left that nobody else can delete
#   --uninstall       puts back, byte for byte, what was there before the first installation
#
# Everything is checked before anything is changed. A pod may start at any moment: each file is made beside its place and renamed over it,
# so that no name is ever missing or half written; a run that was killed is repeated. What was there is kept in /var/lib/lamina/install,
# with a copy of this script and its parts. Two runs at a time wait for each other. Exit status: 0 done, 1 refused or failed, 2 wrong call.
set -eu
umask 022
# Names are in the order in which the runtime has them: that of their bytes.
LC_ALL=C
export LC_ALL

# Kept beside other programs' state, which outlives a reboot, and not in /etc, which is for what people write.
STATE=/var/lib/lamina/install
DEFAULTS=/etc/lamina/defaults.json
NET_D=/etc/cni/net.d
UNITS=/etc/systemd/system
LOCK=/run/lamina-install.lock
LINKS="multus multus-cni multus-shim kube-ipam"
# Where the new binary is tried: only root writes there, and not all of them are mounted noexec.
TRIES="/run /var/lib /root"
# What lies in install/: this script is whole with all of them.
PARTS="checks.sh files.sh uninstall.sh"
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
	MODE=install BINARY="" BIN="" NODE="" SETTINGS="" CONF="" KEEP="" TIMER=1 IMPORTED="" FORCE="" DRY="" CHECK=""
	while [ $# -gt 0 ]; do
		case $1 in
		--binary | --bin-dir | --node-name | --set | --conf | --keep)
			[ -n "${2:-}" ] || wrong_call "$1 wants a value"
			parse_value "$1" "$2"
			shift
			;;
		--no-timer) TIMER="" ;;
		--imported) IMPORTED=1 ;;
		--force) FORCE=1 ;;
		--check) CHECK=1 ;;
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
	[ -z "$CHECK" ] || [ "$MODE" = install ] || wrong_call "--check is about installing: with --uninstall say --dry-run"
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

# In the release folder, and in the copy that is kept for --uninstall.
load_parts()
{
	SELF=$(readlink -f "$0" 2>/dev/null) || SELF=$0
	HERE=$(cd "$(dirname "$SELF")" && pwd)
	readable "$SELF" || die "it must be run as a file, from the release folder"
	for part in $PARTS; do
		readable "$HERE/install/$part" ||
			die "a part of this script is not in the folder install beside it ($HERE/install/$part): bring the whole release folder"
	done
	# shellcheck source=deploy/install/checks.sh
	. "$HERE/install/checks.sh"
	# shellcheck source=deploy/install/files.sh
	. "$HERE/install/files.sh"
	# shellcheck source=deploy/install/uninstall.sh
	. "$HERE/install/uninstall.sh"
}

# identity PID: of a process that lives, its number and the time of its start, since numbers are used again.
identity()
{
	awk -v pid="$1" '{ sub(/^.*[)] /, ""); if ($1 != "Z" && $1 != "X") print pid "-" $20 }' "/proc/$1/stat" 2>/dev/null || true
}

# grab LOCK: false when somebody else has it, or had it until now. The lock is a link to what identity says of its holder: made in one
# step, and never without a name. That of a dead one is removed by whoever has grabbed the right to do so, and has looked again then: in
# the meantime somebody else may have done it and got the lock.
grab()
(
	ln -s "$ME" "$1" 2>/dev/null && exit 0
	holder=$(readlink "$1") || exit 1
	[ "$(identity "${holder%-*}")" != "$holder" ] || exit 1
	grab "$1.$holder" || exit 1
	[ "$(readlink "$1" || true)" != "$holder" ] || rm -f "$1"
	rm -f "$1.$holder"
	ln -s "$ME" "$1" 2>/dev/null
)

# One run at a time. The lock of a file goes with its holder; without flock, a link stands for it.
take_lock()
{
	if command -v flock >/dev/null 2>&1; then
		exec 9<"$(standing "${STATE%/*/*}")"
		flock -n 9 || { say "another install.sh runs: waiting for it" && flock 9; }
		HELD=1
		return
	fi
	ME=$(identity $$)
	while ! grab "$LOCK"; do
		[ -n "$WAITS" ] || say "another install.sh runs: waiting for it"
		WAITS=1
		sleep 1
	done
	LOCKED=1 HELD=1
	# Rights to remove the lock of a dead one that others have died with: there is no such lock any more.
	rm -f "$LOCK".*
}

# However it ends: nothing half made stays.
at_end()
{
	ended=$?
	trap '' INT TERM HUP
	[ "$ended" = 0 ] || [ -n "$EXPLAINED" ] ||
		complain "it stopped at what is said above: what is in place works as it is; run the same again when that is mended"
	# What another run makes is not ours to remove.
	[ -z "$HELD" ] || remove_temporary
	[ -z "$TRY" ] || rm -rf "$TRY"
	[ -z "$LOCKED" ] || rm -f "$LOCK"
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
	kept=$(readlink "$STATE/install.sh") || kept=
	for dir in "$STATE"/script.*; do
		[ "$dir/install.sh" = "$STATE/$kept" ] || rm -rf "$dir"
	done
}

# A second installation keeps what the first one found, not the lamina that it replaces.
with_what_was()
{
	if [ -e "$STATE/bin-dir" ]; then
		say " again; what was there before the first time stays kept in $STATE:"
	else
		say ", with what is there now kept in $STATE:"
	fi
}

show_plan()
{
	say "it would be installed$(with_what_was)"
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
	if [ -n "$CHECK" ]; then
		if [ "$BAD" -gt 0 ]; then
			say "nothing was changed"
			EXPLAINED=1
			return 1
		fi
		say "this node is fit for lamina; nothing was changed"
		return
	fi
	if [ -n "$DRY" ]; then
		show_plan
		return
	fi
	install_all
	conclude
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
	say_what_lacks
}

main()
{
	EXPLAINED="" LOCKED="" WAITS="" TRY="" FAILED="" BAD=0 CONF_TO="" SYSTEMD="" HELD="" CHANGED=""
	parse "$@"
	[ "$(id -u)" = 0 ] || die "root is needed to install into ${BIN:-/opt/cni/bin}: run it with sudo"
	load_parts
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
