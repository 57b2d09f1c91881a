#!/usr/bin/env bash
# Prints the state of the node that it runs in, one fact a line, in an order of its own: for comparing before and after.
# Left out: what changes by itself (carrier, link-local IPv6), and what reference plugins keep for good (host-local's cursor and
# lock, address and mtu of a bridge, which follow its ports), or lamina (where to look for the next free address, TLS sessions).
set -euo pipefail

# What ip says, as JSON, each list after a string that says what it is: `NAMESPACE KIND`. Usage: state_ask LABEL [ip options ...]
state_ask()
{
	local label=$1 family
	shift
	echo "\"$label link\""
	ip "$@" -j -d link show
	echo "\"$label addr\""
	ip "$@" -j addr show
	for family in -4 -6; do
		echo "\"$label route\""
		ip "$@" "$family" -j route show table all
		echo "\"$label rule\""
		ip "$@" "$family" -j rule show
	done
}

state_ask_all()
{
	local file
	state_ask node
	for file in /run/netns/*; do
		[[ -e $file ]] || continue
		echo "\"namespace $file\" []"
		# Tests put other things there, too.
		if [[ $(stat -f -c %T "$file") == nsfs ]]; then
			state_ask "${file##*/}" -n "${file##*/}"
		fi
	done
}

# One process for all of it: jq takes longer to start than to do this.
state_namespaces()
{
	state_ask_all | jq -rn '
		def link: .linkinfo.info_kind as $kind | [.ifname, .ifindex, .link, .link_index, $kind, .master, .txqlen, .group,
			.promiscuity, .ifalias, if $kind == "bridge" then null else .mtu, .address end,
			if $kind == "macvlan" then .linkinfo.info_data else null end, (.flags - ["NO-CARRIER", "LOWER_UP", "M-DOWN"])];
		def addr: .ifname as $name | .addr_info[] | select(.local | startswith("fe80:") | not)
			| [$name, .local, .address, .prefixlen, .broadcast, .scope, .label, .valid_life_time];
		def route: select((.dst | test("^(fe80:|ff00:)") | not) and .type != "anycast")
			| .flags = ((.flags // []) - ["linkdown", "dead"]);
		foreach inputs as $it (null; if $it | type == "string" then $it else . end; . as $what | $it
			| if type == "string" then ($what | select(startswith("namespace "))) else
				.[] | "\($what) \(if $what | endswith(" link") then link
					elif $what | endswith(" addr") then addr
					elif $what | endswith(" route") then route
					else . end)"
			end)'
}

# The rows of a store. Of a copy: reading must not change it, and it may stem from a process that was killed.
state_store()
{
	local copy=$STATE_TMP/${1##*/}
	cp "$1" "$copy"
	[[ ! -e $1-journal ]] || cp "$1-journal" "$copy-journal"
	{ sqlite3 "$copy" .dump 2>&1 || true; } | { grep -iE '^INSERT|error' || true; } |
		{ grep -vE '^INSERT INTO (cursor|released) ' || true; } | sed "s|^|store $1 |"
	rm -f "$copy"*
}

state_files()
{
	local file
	while IFS= read -r -d '' file; do
		# Its name, kind and rights, and what it holds.
		stat -c 'file %N %F %a' "$file"
		[[ ! -f $file ]] || sha256sum "$file"
	done < <(state_find ! -name '*.db' ! -name '*.db-*' \
		! -path '/var/lib/cni/networks/*/last_reserved_ip.*' ! -path '/var/lib/cni/networks/*/lock' \
		! -path /var/lib/cni/multus/imported ! -path '/run/lamina/tls-*')
	while IFS= read -r -d '' file; do
		state_store "$file"
	done < <(state_find -name '*.db')
}

state_find()
{
	# A folder that does not exist holds nothing.
	{ find /var/lib/cni /run/lamina \( -type f -o -type l \) "$@" -print0 2>/dev/null || true; } | sort -z
}

STATE_TMP=$(mktemp -d)
trap 'rm -rf "$STATE_TMP"' EXIT
state_namespaces
state_files
