# shellcheck shell=bash
# Three real etcd members with TLS client certificates, where the seed's configuration looks for them: https://192.168.122.11:2379,
# .12 and .13. To be sourced after node.sh; a node has to be up. Member N runs on node N of the cluster (cluster.bash), and where there
# is no such node in a place of its own on the switch. Members end with the node that they run on, however that ends.
#
#   etcd_up [VERSION] [OPTION ...]
#                              starts them and waits until all answer. VERSION is 3.4 (Debian's; the default) or 3.5. Puts kubernetes.pem,
#                              kubernetes-key.pem and k8s-root-ca.pem into /etc/kubernetes/ssl of each node. Sets and exports
#                              ETCD_DIR; in ETCD_DIR/certs is what certs_cluster makes (etcd_certs adds certs_odd).
#                              --members N      how many (default: 3)
#                              --rbac           users and roles: root (password `root`) and lamina (password `secret`), who may do all
#                                               under /etcd-cni/
#                              --no-gateway     members without the JSON gateway
#                              --quota BYTES    how large the data base may grow
#                              --cert NAME      the servers' certificate, of ETCD_DIR/certs (default: server)
#                              --flag N=FLAG    one more flag for member N, or for `all`: --flag all=--log-level=debug
#   etcd_down                  ends them. Does nothing when there are none.
#   etcd_start N               starts a member that was killed, with its data, and waits until it answers (or ETCD_WAIT=0).
#   etcd_kill N [SIGNAL]       ends a member (default: KILL), and waits until it is gone.
#   etcd_stop N, etcd_cont N   SIGSTOP, SIGCONT: it accepts connections and never answers.
#   etcd_await N ...           waits until these members answer (a quorum has to be there).
#   etcd_leader                prints the number of the leader; fails when there is none within ten seconds.
#   etcd_ctl ARG ...           etcdctl (API version 3) with the client's certificate, for all members that were started.
#   etcd_ctl_at N ARG ...      the same for one member.
#   etcd_dump [PREFIX]         everything under PREFIX (default: /etcd-cni) as one JSON object, key: value.
#   etcd_fill                  writes until the quota is used up: from now on etcd has the NOSPACE alarm. With --quota 20000000 that takes
#                              a second.
#   etcd_drain                 makes room again and ends the alarm.
#   etcd_compact               drops all revisions but the newest.
#   etcd_gateway PATH JSON [N] POST by the JSON gateway of member N (default: 1): etcd_gateway /v3/kv/range '{"key": "Lw=="}'
#   etcd_log N                 what a member has written.

# shellcheck source=test/lab/certs.sh
source "$(dirname "${BASH_SOURCE[0]}")/certs.sh"

etcd_up()
{
	local version=3.4 members n
	[[ -z ${1:-} || $1 == -* ]] || { version=$1 && shift; }
	export ETCD_DIR=$NODE_DIR/etcd ETCD_RBAC=
	mkdir -p "$ETCD_DIR"
	certs_cluster "$ETCD_DIR/certs" || return
	etcd_options "$version" "$@" || return
	members=$(<"$ETCD_DIR/members")
	etcd_place_certs || return
	for ((n = 1; n <= members; n++)); do
		ETCD_WAIT=0 etcd_start "$n" || return
	done
	# shellcheck disable=SC2046 # numbers
	etcd_await $(seq "$members") || return
	[[ ! -e $ETCD_DIR/rbac ]] || etcd_enable_rbac
}

etcd_down()
{
	local file n
	[[ -n ${ETCD_DIR:-} && -d $ETCD_DIR ]] || return 0
	# The data of members that were killed before, too: the next cluster has the same name, and one of its members would start
	# with the log of this one.
	for file in "$ETCD_DIR"/*.place; do
		[[ -e $file ]] || continue
		n=$(basename "$file" .place)
		[[ ! -e $ETCD_DIR/$n.pid ]] || etcd_kill "$n"
		etcd_exec "$n" rm -rf "$(etcd_data "$n")"
	done
	rm -rf -- "$ETCD_DIR"
	unset ETCD_DIR ETCD_RBAC
}

# A member is started inside of its node by a process that ends at once: it belongs to nobody but the node.
etcd_start()
{
	local n=$1
	local -a flags
	[[ ! -e $ETCD_DIR/$n.pid ]] || { echo "etcd.sh: member $n runs already" >&2 && return 1; }
	mapfile -t flags <"$ETCD_DIR/$n.flags"
	(
		node_close_files
		# shellcheck disable=SC2016 # for the shell in there
		etcd_exec "$n" sh -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 & echo $!' sh \
			"$ETCD_DIR/$n.log" env GOMAXPROCS=2 "${flags[@]}"
	) >"$ETCD_DIR/$n.pid" || return
	[[ ${ETCD_WAIT:-1} == 0 ]] || etcd_await "$n"
}

etcd_kill()
{
	local pid left
	pid=$(<"$ETCD_DIR/$1.pid") || return
	etcd_exec "$1" kill "-${2:-KILL}" "$pid" || return
	for ((left = 1000; left > 0; left--)); do
		etcd_exec "$1" test -e "/proc/$pid" || break
		sleep 0.01
	done
	((left > 0)) || { echo "etcd.sh: member $1 does not end" >&2 && return 1; }
	rm "$ETCD_DIR/$1.pid"
}

etcd_stop()
{
	etcd_exec "$1" kill -STOP "$(<"$ETCD_DIR/$1.pid")"
}

etcd_cont()
{
	etcd_exec "$1" kill -CONT "$(<"$ETCD_DIR/$1.pid")"
}

etcd_await()
{
	local n end=$((SECONDS + 30))
	for n in "$@"; do
		until etcd_healthy "$n"; do
			if ((SECONDS >= end)) || ! etcd_runs "$n"; then
				echo "etcd.sh: member $n does not answer" >&2
				tail -n 20 "$ETCD_DIR/$n.log" >&2
				return 1
			fi
			sleep 0.05
		done
	done
}

etcd_leader()
{
	local n end=$((SECONDS + 10))
	while ((SECONDS < end)); do
		for n in $(etcd_running); do
			# Field 5 of: endpoint, id, version, size, is it the leader, ...
			if etcd_ctl_at "$n" --dial-timeout 1s --command-timeout 1s endpoint status 2>/dev/null |
				awk -F ', ' '$5 != "true" { no = 1 } END { exit no || NR != 1 }'; then
				echo "$n"
				return
			fi
		done
		sleep 0.05
	done
	echo "etcd.sh: there is no leader" >&2
	return 1
}

etcd_ctl()
{
	local n list=
	for n in $(etcd_running); do
		list+=,https://$(etcd_address "$n"):2379
	done
	ETCD_AT=${list#,} etcd_ctl_run "$@"
}

etcd_ctl_at()
{
	ETCD_AT=https://$(etcd_address "$1"):2379 etcd_ctl_run "${@:2}"
}

etcd_dump()
{
	etcd_ctl get --prefix "${1:-/etcd-cni}" -w json |
		jq '(.kvs // []) | map({key: (.key | @base64d), value: ((.value // "") | @base64d)}) | from_entries'
}

etcd_fill()
{
	local n
	for ((n = 0; n < 1000; n++)); do
		head -c 1000000 /dev/zero | tr '\0' x | etcd_ctl put "/fill/$n" >/dev/null 2>&1 || break
	done
	etcd_ctl alarm list | grep -q NOSPACE || { echo "etcd.sh: the quota is not used up" >&2 && return 1; }
}

etcd_drain()
{
	local n
	etcd_ctl del --prefix /fill/ >/dev/null && etcd_compact || return
	for n in $(etcd_running); do
		etcd_ctl_at "$n" defrag >/dev/null || return
	done
	etcd_ctl alarm disarm >/dev/null
}

etcd_compact()
{
	local revision
	revision=$(etcd_ctl get / -w json | jq .header.revision) && etcd_ctl compact --physical "$revision" >/dev/null
}

etcd_gateway()
{
	etcd_curl --fail-with-body --max-time 10 --data-binary "$2" "https://$(etcd_address "${3:-1}"):2379$1"
}

etcd_log()
{
	cat "$ETCD_DIR/$1.log"
}

etcd_certs()
{
	certs_odd "$ETCD_DIR/certs"
}

# What follows is not for callers.

etcd_address()
{
	echo "192.168.122.$((10 + $1))"
}

# On the node's memory.
etcd_data()
{
	local dir
	read -r _ dir _ <"$ETCD_DIR/$1.place"
	echo "$dir/inside/etcd-$1"
}

etcd_running()
{
	local file
	for file in "$ETCD_DIR"/*.pid; do
		[[ ! -e $file ]] || basename "$file" .pid
	done
}

etcd_runs()
{
	etcd_exec "$1" test -e "/proc/$(<"$ETCD_DIR/$1.pid")"
}

# etcd_exec N CMD ...: where member N runs.
etcd_exec()
{
	local NODE_PID NODE_DIR net
	read -r NODE_PID NODE_DIR net <"$ETCD_DIR/$1.place" || return
	if [[ -n $net ]]; then
		node_exec_net "$net" "${@:2}"
	else
		node_exec "${@:2}"
	fi
}

# etcd_options VERSION [OPTION ...]: writes the files that say how the members are started.
etcd_options()
{
	local version=$1 members=3 cert=server n program cluster=''
	local -a common=() flags=()
	shift
	while (($# > 0)); do
		case $1 in
		--members) members=$2 && shift ;;
		--rbac) touch "$ETCD_DIR/rbac" ;;
		--no-gateway) common+=(--enable-grpc-gateway=false) ;;
		--quota) common+=("--quota-backend-bytes=$2") && shift ;;
		--cert) cert=$2 && shift ;;
		--flag) flags+=("$2") && shift ;;
		*) echo "etcd.sh: unknown option $1" >&2 && return 2 ;;
		esac
		shift
	done
	[[ -e $ETCD_DIR/certs/$cert.pem ]] || etcd_certs || return
	echo "$members" >"$ETCD_DIR/members"
	program=$("$LAB_DIR/parts.sh" --path "etcd-$version") || return
	[[ ! -d $program ]] || program+=/etcd
	# In memory there is nothing to be synced.
	[[ $version == 3.4 ]] || common+=(--unsafe-no-fsync)
	for ((n = 1; n <= members; n++)); do
		cluster+=,member-$n=http://$(etcd_address "$n"):2380
	done
	for ((n = 1; n <= members; n++)); do
		etcd_place "$n" || return
		printf '%s\n' "$program" --name "member-$n" --data-dir "$(etcd_data "$n")" \
			--listen-client-urls "https://$(etcd_address "$n"):2379" --advertise-client-urls "https://$(etcd_address "$n"):2379" \
			--listen-peer-urls "http://$(etcd_address "$n"):2380" --initial-advertise-peer-urls "http://$(etcd_address "$n"):2380" \
			--initial-cluster "${cluster#,}" --initial-cluster-state new --initial-cluster-token lab \
			--client-cert-auth --trusted-ca-file "$ETCD_DIR/certs/ca.pem" \
			--cert-file "$ETCD_DIR/certs/$cert.pem" --key-file "$ETCD_DIR/certs/$cert-key.pem" \
			--heartbeat-interval 100 --election-timeout "${ETCD_ELECTION:-1000}" "${common[@]}" >"$ETCD_DIR/$n.flags"
		etcd_own_flags "$n" "${flags[@]}" >>"$ETCD_DIR/$n.flags"
	done
}

# etcd_own_flags N [WHO=FLAG ...]
etcd_own_flags()
{
	local flag
	for flag in "${@:2}"; do
		case ${flag%%=*} in
		all | "$1") echo "${flag#*=}" ;;
		esac
	done
}

# Notes where member N runs: first process and folder of its node, and the network when it is not the node's own.
etcd_place()
{
	local node
	local -a nodes=()
	read -ra nodes <<<"${CLUSTER_NODES:-$NODE_PID:$NODE_DIR}"
	node=${nodes[$1 - 1]:-}
	if [[ -n $node ]]; then
		echo "${node%%:*} ${node#*:}" >"$ETCD_DIR/$1.place"
		return
	fi
	local last=$((10 + $1))
	[[ -e /proc/$NODE_PID/root$NODE_DIR/inside/station-$last ]] || station_up "$last" >/dev/null || return
	echo "$NODE_PID $NODE_DIR station-$last" >"$ETCD_DIR/$1.place"
}

# Onto each node, as kube-install leaves them.
etcd_place_certs()
{
	local node
	for node in ${CLUSTER_NODES:-$NODE_PID:$NODE_DIR}; do
		# shellcheck disable=SC2016 # for the shell in there
		NODE_PID=${node%%:*} NODE_DIR=${node#*:} node_exec sh -euc 'mkdir -p /etc/kubernetes/ssl
			install -m 644 "$1/client.pem" /etc/kubernetes/ssl/kubernetes.pem
			install -m 600 "$1/client-key.pem" /etc/kubernetes/ssl/kubernetes-key.pem
			install -m 644 "$1/ca.pem" /etc/kubernetes/ssl/k8s-root-ca.pem' sh "$ETCD_DIR/certs" || return
	done
}

etcd_curl()
{
	node_exec curl --silent --show-error --noproxy '*' --cacert "$ETCD_DIR/certs/ca.pem" \
		--cert "$ETCD_DIR/certs/client.pem" --key "$ETCD_DIR/certs/client-key.pem" "$@"
}

etcd_healthy()
{
	etcd_curl --max-time 2 "https://$(etcd_address "$1"):2379/health" 2>/dev/null | jq -e '.health == "true"' >/dev/null
}

# With users, a certificate's common name would be taken for one.
etcd_ctl_run()
{
	local -a who=()
	[[ -z ${ETCD_RBAC:-} ]] || who=(--user root:root)
	node_exec env ETCDCTL_API=3 "$("$LAB_DIR/parts.sh" --path etcd-3.4)/etcdctl" --endpoints "$ETCD_AT" "${who[@]}" \
		--cacert "$ETCD_DIR/certs/ca.pem" --cert "$ETCD_DIR/certs/client.pem" --key "$ETCD_DIR/certs/client-key.pem" "$@"
}

etcd_enable_rbac()
{
	{
		etcd_ctl user add root:root && etcd_ctl user grant-role root root &&
			etcd_ctl role add lamina && etcd_ctl role grant-permission lamina --prefix=true readwrite /etcd-cni/ &&
			etcd_ctl user add lamina:secret && etcd_ctl user grant-role lamina lamina && etcd_ctl auth enable
	} >"$ETCD_DIR/rbac" || return
	export ETCD_RBAC=1
}
