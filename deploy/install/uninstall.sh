# shellcheck shell=sh
# How deploy/install.sh takes lamina off a node again, as far as the pods that run can be deleted without it.

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

# Configurations that are left, of plugins that are not.
say_what_lacks()
{
	conf_files | while read -r file; do
		for name in lamina $LINKS; do
			there "$BIN/$name" || ! grep -qi "\"type\"[[:space:]]*:[[:space:]]*\"$name\"" "$file" ||
				say "note  configuration: $file wants the plugin $name, which is not there: no pod starts with it until you change one of them"
		done
	done
}
