# shellcheck shell=bash
# What no test may change: this machine's own CNI folders and its own network. To be sourced.
#
#   host_state                 prints it.
#   host_unchanged FILE        compares it with what host_state has printed into a file; prints the difference and fails when there is one.

host_state()
{
	find /etc/cni /etc/lamina /opt/cni /var/lib/cni /var/lib/lamina /run/lamina /run/flannel /run/netns /run/multus \
		-printf '%p %T@ %C@ %s\n' 2>/dev/null | sort || true
	ip -o link show | sed 's/^[0-9]*: \([^:]*\).*/link \1/'
	ip -o addr show | awk '{ print "addr", $2, $4 }'
	cat /proc/sys/net/ipv4/ip_forward
}

host_unchanged()
{
	host_state | diff -u --label before --label after "$1" -
}
