#!/usr/bin/env bats
# What real etcd members say when something is wrong, and what is made of it: each trap ends in an error that names its cause.
# test/probe/etcd_probe drives the client alone.
# What setup, run and the lab set is used in tests and the other way round; single quotes are for jq.
# Builds: asan
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cni
load ../lab/etcd.sh

PROBE=${PROBE:-$(dirname "${LAMINA:-$BATS_TEST_DIRNAME/../../build/lamina}")/test/probe/etcd_probe}

# {"key": "/etcd-cni/a"}: put where it is absent, else read.
TXN='{"compare":[{"key":"L2V0Y2QtY25pL2E=","target":"CREATE","result":"EQUAL","create_revision":"0"}],
	"success":[{"request_put":{"key":"L2V0Y2QtY25pL2E=","value":"djE="}}],
	"failure":[{"request_range":{"key":"L2V0Y2QtY25pL2E="}}]}'
READ='{"key":"L2V0Y2QtY25pL2E="}'
DELETE='{"compare":[{"key":"L2V0Y2QtY25pL2E=","target":"VALUE","result":"EQUAL","value":"djE="}],
	"success":[{"request_delete_range":{"key":"L2V0Y2QtY25pL2E="}}]}'

setup()
{
	node_up
	TIME=4000
	DATA=$NODE_DIR/data
	mkdir "$DATA"
}

teardown()
{
	node_down
}

# config [FILTER]: an etcdConfig for the members that run.
config()
{
	local n urls=
	for n in $(seq "$(<"$ETCD_DIR/members")"); do
		urls+=,https://192.168.122.$((10 + n)):2379
	done
	jq -nc --arg urls "${urls#,}" --arg certs "$ETCD_DIR/certs" '{etcdURL: $urls, etcdCertFile: ($certs + "/client.pem"),
		etcdKeyFile: ($certs + "/client-key.pem"), etcdTrustedCAFileFile: ($certs + "/ca.pem")}' | jq -c --arg certs "$ETCD_DIR/certs" "${1:-.}"
}

# probe [METHOD BODY ...]: calls by CONFIG within TIME milliseconds; sets status and output.
probe()
{
	(($# > 0)) || set -- /v3/kv/txn "$TXN"
	run node_exec timeout 30 "$PROBE" "$CONFIG" "$TIME" "$DATA" "$@"
}

# says CODE ERE: the last call ended with that code, and its message matches.
says()
{
	jq -e --argjson code "$1" --arg re "$2" 'select(.code == $code) | .msg | test($re)' <<<"${lines[-1]}" >/dev/null ||
		{ echo "not $1, $2: $output" && return 1; }
}

# gives FILTER: the last call was answered, and jq says true of it.
gives()
{
	jq -e "$1" <<<"${lines[-1]}" >/dev/null || { echo "not $1: $output" && return 1; }
}

# both FUNCTION [OPTION ...]: with a cluster of each version, started with these options.
both()
{
	local version
	for version in 3.4 3.5; do
		echo "etcd $version:"
		etcd_up "$version" "${@:2}"
		etcd_certs
		CONFIG=$(config)
		"$1" # not in a condition: there a failure would not end it
		etcd_down
		rm -rf "${DATA:?}"/*
	done
}

# without_await CMD ...: the members that it starts never will be healthy.
without_await()
{
	etcd_await()
	{
		local n
		for n in "$@"; do
			until etcd_log "$n" | grep -qE 'serving client (requests|traffic)'; do
				sleep 0.05
			done
		done
	}
	"$@"
}

answers()
{
	probe
	gives '.reply.succeeded and .sent'
	probe /v3/kv/range "$READ" /v3/kv/txn "$TXN"
	gives '(.reply | has("succeeded") | not) and .reply.responses[0].response_range.kvs[0].value == "djE="'
}

@test "three members with client certificates answer, in one round trip each" {
	both answers
}

gateway_off()
{
	probe
	says 7 'no JSON gateway at 192.168.122.11:2379.*--enable-grpc-gateway'
	gives '.sent == false'
}

@test "a gateway that is switched off is named" {
	both gateway_off --members 1 --no-gateway
}

rbac()
{
	probe
	says 7 'RBAC.*CN.*etcdUsername'
	gives '.sent == false'

	echo secret >"$DATA/password"
	CONFIG=$(config '.etcdCertFile = $certs + "/client-no-cn.pem" | .etcdKeyFile = $certs + "/client-no-cn-key.pem"')
	probe
	says 7 'set etcdUsername and etcdPasswordFile'
	CONFIG=$(jq -c --arg file "$DATA/password" '.etcdUsername = "lamina" | .etcdPasswordFile = $file' <<<"$CONFIG")
	probe /v3/kv/txn "$TXN" /v3/kv/range "$READ"
	gives '.reply.kvs[0].value == "djE="'
	[[ $(stat -c %a "$DATA"/etcd-token-*) == 600 ]]
	# A token of another life.
	echo -n stale.7 >"$(echo "$DATA"/etcd-token-*)"
	probe /v3/kv/range "$READ"
	gives '.reply.kvs[0].value == "djE="'
	[[ $(cat "$DATA"/etcd-token-*) != stale.7 ]]
	probe /v3/kv/range '{"key":"L290aGVy"}'
	says 7 'does not permit.*user lamina.*/etcd-cni/'
	rm "$DATA"/etcd-token-*
	echo wrong >"$DATA/password"
	probe
	says 7 'does not accept user lamina.*etcdPasswordFile'
	rm "$DATA/password"
	probe
	says 7 'etcdPasswordFile.*No such file'
	refute_secret
}

refute_secret()
{
	[[ $output != *wrong* && $output != *secret* ]]
}

@test "users: a certificate with a CN is named, one without a CN and a password is served" {
	both rbac --members 1 --rbac
}

no_rbac()
{
	echo secret >"$DATA/password"
	CONFIG=$(jq -c --arg file "$DATA/password" '.etcdUsername = "lamina" | .etcdPasswordFile = $file' <<<"$CONFIG")
	probe
	gives '.reply.succeeded'
}

@test "a user where authentication is off is no harm" {
	both no_rbac --members 1
}

server_only()
{
	probe
	says 7 'gateway cannot reach its own member.*clientAuth'
}

@test "a server certificate without client usage is named" {
	without_await both server_only --members 1 --cert server-only
}

nospace()
{
	local value
	value=$(head -c 60000 /dev/zero | base64 -w 0)
	for _ in $(seq 60); do
		etcd_gateway /v3/kv/put "{\"key\": \"L2JpZw==\", \"value\": \"$value\"}" >/dev/null || break
	done
	probe
	says 11 'NOSPACE.*etcdctl alarm disarm'
	gives '.err == "ENOSPC" and .sent == false'
	probe /v3/kv/txn "$DELETE" /v3/kv/range "$READ"
	gives '.reply.header'
}

@test "no space: claims are refused with the way out, releases and reads go on" {
	both nospace --members 1 --quota 600000
}

leaderless()
{
	etcd_kill 2
	etcd_kill 3
	TIME=2500
	probe
	says 11 '192.168.122.11:2379'
	says 11 '192.168.122.12:2379: connection refused.*192.168.122.13:2379: connection refused|192.168.122.13:2379: connection refused.*192.168.122.12:2379: connection refused'
	TIME=8000
	ETCD_WAIT=0 etcd_start 2
	probe
	gives '.reply.header'
}

@test "without quorum it is an error that is worth a retry, and with one again an answer" {
	both leaderless
}

one_down()
{
	local n
	n=$(etcd_leader)
	probe
	etcd_kill "$n"
	probe
	gives '.reply.responses[0].response_range.kvs[0].value == "djE="'
	etcd_start "$n"
	etcd_stop "$n"
	rm "$DATA"/etcd-endpoint-*
	for _ in 1 2 3; do
		probe
		gives '.reply.header'
	done
	etcd_cont "$n"
}

@test "a member that died, and one that accepts and never answers, give way to the others" {
	both one_down
}

certificates()
{
	local edit
	TIME=20000
	CONFIG=$(config '.etcdTrustedCAFileFile = $certs + "/other-ca.pem"')
	probe
	says 7 'not trusted.*etcdTrustedCAFile is .*/other-ca.pem'
	CONFIG=$(config 'del(.etcdTrustedCAFileFile)')
	probe
	says 7 'not trusted.*set etcdTrustedCAFile'
	for edit in client-other client-expired; do
		CONFIG=$(config "(.etcdCertFile, .etcdKeyFile) |= sub(\"/client\"; \"/$edit\")")
		probe
		says 7 "not accept our certificate.*etcdCertFile is .*/$edit.pem"
	done
	CONFIG=$(config 'del(.etcdCertFile, .etcdKeyFile)')
	probe
	says 7 'wants a client certificate.*set etcdCertFile and etcdKeyFile'
	CONFIG=$(config '(.etcdCertFile, .etcdKeyFile) |= sub("/client"; "/client-encrypted")')
	probe
	says 7 'etcdKeyFile: .*client-encrypted-key.pem is encrypted'
	CONFIG=$(config '.etcdKeyFile = $certs + "/server-key.pem"')
	probe
	says 7 'etcdKeyFile: .*server-key.pem cannot be used'
	CONFIG=$(config '.etcdCertFile = "/nowhere.pem"')
	probe
	says 7 'etcdCertFile: .*/nowhere.pem: No such file'
	CONFIG=$(config '.etcdTrustedCAFileFile = "/nowhere.pem"')
	probe
	says 7 'etcdTrustedCAFile: .*/nowhere.pem: No such file'
	CONFIG=$(config '{etcdURL: .etcdURL | sub("https"; "http")}')
	TIME=500
	probe
	[[ $output == *'etcdURL must begin with https://'* ]]
}

@test "certificates that do not fit are named with key and file, and not tried for long" {
	both certificates --members 1
}

expired()
{
	probe
	says 7 'expired.*renew'
}

@test "a member's expired certificate is named" {
	without_await both expired --members 1 --cert server-expired
}

compaction()
{
	probe
	etcd_ctl compact 2
	probe
	gives '.reply.responses[0].response_range.count == "1"'
	probe /v3/kv/range '{"key":"L2V0Y2QtY25pL2E=","revision":"1"}'
	says 11 'compacted'
}

@test "a compaction is no harm, and its refusal is told" {
	both compaction --members 1
}
