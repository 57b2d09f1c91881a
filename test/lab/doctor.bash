# shellcheck shell=bash
# Single quotes are for shells in the node; tests use what is unused here, and pass what is not passed here.
# shellcheck disable=SC2016,SC2034,SC2119,SC2120,SC2154
# What the tests of `lamina doctor` have in common: a node of a cluster on which all is well, and words for findings. On top of
# cluster.bash. In a test file:
#
#   load ../lab/doctor
#   setup_file() { setup_doctor; }
#   teardown_file() { teardown_doctor; }
#   teardown() { mend_all; }
#   @test "..." { conf '.timeout = 0'; finds bad configuration 'timeout is 0'; }

# shellcheck source=test/lab/cluster.bash
source "$(dirname "${BASH_SOURCE[0]}")/cluster.bash"

CONF_FILE=/etc/cni/net.d/10-multus.conf
SSL=/etc/kubernetes/ssl
DEFAULTS=/etc/lamina/defaults.json

setup_doctor()
{
	setup_cluster 1
	setup_kube
	etcd_certs
	node_exec ln -s lamina /opt/cni/bin/multus-shim
	# What a test changes is put back from here.
	node_exec sh -c 'mkdir /run/good && cp -a /etc/cni/net.d /etc/kubernetes/ssl /opt/cni/bin /run/flannel /run/good/'
}

teardown_doctor()
{
	kube_down
	teardown_cluster
}

# What a test has changed is as it was.
mend_all()
{
	local n
	kube_cont || true
	for n in 1 2 3; do
		[[ ! -e $ETCD_DIR/$n.flags || -e $ETCD_DIR/$n.pid ]] || etcd_start "$n"
	done
	node_exec sh -c 'rm -rf /etc/cni/net.d /etc/kubernetes/ssl /opt/cni/bin /run/flannel /etc/lamina /run/lamina /var/lib/cni \
			/etc/systemd/system/timers.target.wants/lamina-gc.timer &&
		cp -a /run/good/net.d /etc/cni/ && cp -a /run/good/ssl /etc/kubernetes/ && cp -a /run/good/bin /opt/cni/ &&
		cp -a /run/good/flannel /run/ && ip link set eth0 up && { ip route add default via 192.168.122.1 2>/dev/null || true; }'
}

# Runs it and says what came of it: status, output, stderr.
doctor()
{
	run --separate-stderr lamina doctor "$@"
	echo "$output"
	assert_equal "$stderr" ''
}

# says STATE CHECK REGEX: there is such a finding.
says()
{
	grep -qE "^$(printf '%-5s' "$1") $2: .*$3" <<<"$output" || fail "no finding: $1 $2: $3" "$output"
}

# All is well, but for these (`bad CHECK REGEX`).
finds()
{
	doctor "${@:4}"
	assert_equal "$status" 1
	says "$1" "$2" "$3"
}

nothing_bad()
{
	assert_equal "$status" 0
	! grep '^bad' <<<"$output" || fail "bad:" "$output"
}

# conf FILTER: the configuration changed by jq.
conf()
{
	cluster_conf "$1" | node_exec sh -c "cat >$CONF_FILE"
}

defaults()
{
	node_exec sh -c "mkdir -p ${DEFAULTS%/*} && cat >$DEFAULTS" <<<"$1"
}
