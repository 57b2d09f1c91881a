# shellcheck shell=sh disable=SC2034 # what is set here, install.sh reads
# What deploy/install.sh looks at before it changes anything: places, the binary, the node's name, the defaults, the configuration, and what
# `lamina doctor` says. Each check ends with a sentence that names the cause and the way out.

# What is called first fails first: the reason must be the one that helps.
check_all()
{
	check_places
	find_binary
	check_program
	check_conf
	find_name
	merge_defaults
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
	if [ -z "$BINARY" ]; then
		BINARY=$HERE/lamina
		[ -e "$BINARY" ] || BINARY=$HERE/../.cache/release/lamina
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

# What lamina calls this node until now, with its source in KNOWN_FROM: as it finds it, and nothing when that does not matter.
known_name()
{
	KNOWN="" KNOWN_FROM=""
	file=${CONF_TO:+$CONF}
	file=${file:-$(site_conf)}
	[ -z "$file" ] || KNOWN=$(json_text nodeName <"$file") KNOWN_FROM="$file has it"
	[ -n "$KNOWN" ] || [ ! -e "$DEFAULTS" ] || KNOWN=$(json_text nodeName <"$DEFAULTS") KNOWN_FROM="$DEFAULTS has it"
	[ -z "$KNOWN" ] && [ "$PODS" -gt 0 ] || return 0
	# What the API server has once said, else the host's name as it is.
	KNOWN_FROM="pods are recorded under it"
	file=$(records_folder)/node
	[ ! -f "$file" ] || KNOWN=$(cat "$file")
	KNOWN=${KNOWN:-$(uname -n)}
}

# Records and keys in etcd have the name: under another one, what pods have could be neither found nor freed.
find_name()
{
	PODS=$(count_records)
	known_name
	from="--node-name"
	if [ -z "$NODE" ]; then
		NODE=$KNOWN from=$KNOWN_FROM
	elif [ -n "$KNOWN" ] && [ "$KNOWN" != "$NODE" ] && [ "$PODS" -gt 0 ] && [ -z "$FORCE" ]; then
		die "pods of this node are recorded under the name $KNOWN: leave out --node-name, or drain the node first (--force: all the same)"
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
	# Delegates lie where the runtime looks, too.
	if [ "$BIN" != /opt/cni/bin ]; then
		case "$SETTINGS " in
		*" binDir="*) ;;
		*) SETTINGS="$SETTINGS binDir=$BIN" ;;
		esac
	fi
	# shellcheck disable=SC2086 # words without blanks
	CNI_COMMAND='' "$TRY/lamina" defaults "nodeName=$NODE" $SETTINGS >"$TRY/defaults.json" 2>"$TRY/said" ||
		die "$DEFAULTS stays as it is: $(sed 's/^lamina: //' "$TRY/said")"
}

# The files that the runtime reads, one a line, in its order: that of all their names together.
conf_files()
{
	for file in "$NET_D"/.* "$NET_D"/*; do
		case $file in
		*.conf | *.conflist | *.json) [ ! -f "$file" ] || say "$file" ;;
		esac
	done | sort
}

# The first file of lamina or multus, as the runtime would find it.
site_conf()
{
	conf_files | while read -r file; do
		if grep -qE '"type"[[:space:]]*:[[:space:]]*"(lamina|multus|multus-cni|multus-shim)"' "$file"; then
			say "$file"
			break
		fi
	done
}

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
	conf_files | while read -r file; do
		say "note  configuration: $file is there, too; the runtime takes the first in alphabetical order"
	done
}

# kube-ipam records its fixed addresses nowhere: to a lamina that shares its etcd they look free. Where kube-ipam is to stay, lamina gives
# out addresses too, and that was asked when it was installed.
check_moving()
{
	! is_lamina kube-ipam && there "$BIN/kube-ipam" || return 0
	! contains "$KEEP" kube-ipam || [ ! -e "$STATE/bin-dir" ] || return 0
	file=${CONF_TO:+$CONF}
	file=${file:-$(site_conf)}
	[ -n "$file" ] && grep -qi '"etcdConfig"' "$file" && [ -z "$IMPORTED" ] || return 0
	say "bad   moving: kube-ipam has given out addresses that no lamina knows; once for the cluster, before its first node, run" \
		"\`$BINARY ip import --from-api --kubeconfig OPERATOR-KUBECONFIG\` (kubeconfig.sh --role operator writes that file), then" \
		"this with --imported"
	BAD=$((BAD + 1))
}

# is_lamina NAME: it is a link to lamina, or a copy of it.
is_lamina()
{
	case $(readlink "$BIN/$1" || true) in
	lamina | */lamina) return 0 ;;
	esac
	cmp -s "$BIN/$1" "$BIN/lamina" || cmp -s "$BIN/$1" "$TRY/lamina"
}

check_with_doctor()
{
	check_moving
	set -- doctor --defaults "$TRY/defaults.json"
	[ -z "$CONF_TO" ] || set -- "$@" --conf "$CONF"
	checked=0
	report=$(CNI_COMMAND='' "$TRY/lamina" "$@" 2>&1) || checked=$?
	# A check that ended without a verdict is a bad one.
	verdict=$(printf '%s\n' "$report" | grep -c '^bad ') || true
	# What the installation mends is not said: it would only frighten.
	report=$(printf '%s\n' "$report" | sed "s|$TRY/defaults.json|$DEFAULTS|g" | awk -v mended="$MENDED" '
		{ name = $2; sub(/:$/, "", name) }
		!index(mended, " " name " ") { print }')
	[ -z "$report" ] || say "$report"
	bad=$(printf '%s\n' "$report" | grep -c '^bad ') || true
	[ "$checked" = 0 ] || { [ "$checked" = 1 ] && [ "$verdict" -gt 0 ]; } || bad=$((bad + 1))
	BAD=$((BAD + bad))
	[ "$BAD" -gt 0 ] || return 0
	if [ -n "$FORCE" ] && [ -n "$CHECK$DRY" ]; then
		complain "checks that are bad: $BAD; --force would install all the same"
		return
	elif [ -n "$FORCE" ]; then
		complain "checks that are bad: $BAD; installing all the same (--force)"
		return
	fi
	die "this node is not ready for lamina: mend what is marked bad above and run it again (--force installs all the same); nothing was changed"
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
	[ -z "$SYSTEMD" ] || { [ -r "$HERE/lamina-gc.service" ] && [ -r "$HERE/lamina-gc.timer" ]; } ||
		die "lamina-gc.service and lamina-gc.timer are not beside this script: bring the whole release folder, or say --no-timer"
}
