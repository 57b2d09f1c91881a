#!/bin/sh
# A kube-ipam that does not look who has an address: what the proof must notice. It keeps what a container has in a file of its own,
# which is whole or not there, as it is killed at any moment. GC has no container, and collects nothing.
set -eu
conf=$(cat)
mkdir -p /run/careless
file=/run/careless/${CNI_CONTAINERID:-}.${CNI_IFNAME:-}
case $CNI_COMMAND in
ADD)
	if [ ! -e "$file" ]; then
		printf '%s' "$conf" | jq -c '.ipam.rangeStart as $first
			| (.runtimeConfig["io.kubernetes.cri.pod-annotations"]["kube-ipam.ip"]
				// ($first | sub("[0-9]+$"; "")) + "\(($first | sub(".*[.]"; "") | tonumber) + (now * 1000000 | floor) % 64)")
			| {cniVersion: "1.1.0", ips: split(",") | map({address: "\(.)/16"})}' >"$file.$$"
		mv "$file.$$" "$file"
	fi
	cat "$file"
	;;
DEL) rm -f "$file" ;;
esac
