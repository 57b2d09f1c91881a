# shellcheck shell=bash
# What the proofs of this folder share: kube-ipam with three etcd members, and who kills these. To be sourced after node.sh and etcd.sh.
#
#   proof_conf [FILTER]        prints the seed's configuration of the network with kube-ipam, as the runtime hands it to that plugin
#                              with the pod's annotations; a jq filter changes it further.
#   proof_run SCRIPT ARG ...   runs a script of this folder in the node, with PROOF_DIR, a folder in memory, as its last argument.
#   nemesis_start              from now on a member (often the leader) is killed or stopped every few seconds, never two at a time
#                              but for moments; and the history is compacted.
#   nemesis_end                ends that, waits until all members answer, and prints what was done.

PROOF_FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROOF_DIR=/run/proof

proof_conf()
{
	jq ".delegates[1] | .cniVersion = \"1.1.0\" | .capabilities = {\"io.kubernetes.cri.pod-annotations\": true}
		| del(.ipam.routes, .ipam.resolvConf, .ipam.kubeConfig) | ${1:-.}" "$LAB_DIR/seed/10-multus.conf"
}

proof_run()
{
	node_exec mkdir -p "$PROOF_DIR"
	node_exec env PYTHONDONTWRITEBYTECODE=1 python3 "$PROOF_FOLDER/$1" "${@:2}" "$PROOF_DIR"
}

nemesis_start()
{
	rm -f "$ETCD_DIR/peace" "$ETCD_DIR/deeds"
	nemesis </dev/null >"$ETCD_DIR/nemesis.log" 2>&1 3>&- &
	NEMESIS_JOB=$!
}

nemesis_end()
{
	touch "$ETCD_DIR/peace"
	wait "$NEMESIS_JOB" || { cat "$ETCD_DIR/nemesis.log" >&2 && return 1; }
	# shellcheck disable=SC2046 # numbers
	etcd_await $(etcd_running)
	echo "members: $(sort "$ETCD_DIR/deeds" | uniq -c | awk '{ printf "%s%s %s", sep, $1, $2; sep = ", " }')"
}

# What follows is not for callers.

nemesis()
{
	local member
	while nemesis_sleep 2 4; do
		member=$((RANDOM % 3 + 1))
		((RANDOM % 2)) || member=$(etcd_leader) || member=1
		case $((RANDOM % 8)) in
		[0-3])
			etcd_kill "$member" || return
			nemesis_sleep 0 3 || true
			etcd_start "$member" || return
			echo killed
			;;
		[45])
			etcd_stop "$member" || return
			nemesis_sleep 1 4 || true
			etcd_cont "$member" || return
			echo stopped
			;;
		6)
			# No quorum, for a moment.
			etcd_stop 1 && etcd_stop 2 || return
			sleep 1
			etcd_cont 1 && etcd_cont 2 || return
			echo without-quorum
			;;
		7)
			nemesis_compact || return
			echo compacted
			;;
		esac >>"$ETCD_DIR/deeds"
	done
}

# nemesis_sleep LEAST MOST: seconds. Fails when there is to be peace.
nemesis_sleep()
{
	local tenths=$((10 * $1 + RANDOM % (10 * ($2 - $1))))
	while ((tenths-- > 0)); do
		[[ ! -e $ETCD_DIR/peace ]] || return 1
		sleep 0.1
	done
}

nemesis_compact()
{
	local revision
	revision=$(etcd_ctl get -w json /none | jq .header.revision) && etcd_ctl compact "$revision" >/dev/null
}
