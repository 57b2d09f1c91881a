#!/usr/bin/env bash
# Installs the Debian packages that are needed and not there yet.
#
#   install.sh build    what the binary needs to be built
#   install.sh release  build, and what deploy/release.sh needs
#   install.sh demo     build, and what deploy/demo.sh needs
#   install.sh test     everything that test/run.sh uses
#
# Nothing missing: nothing is changed and apt is not even started (0.1 s). Can also be sourced; then call `install_packages SET`.

# The oldest Go that can build the parts; an older one is only good for fetching a newer toolchain (parts.sh).
readonly INSTALL_GO_MINOR=24

# The packages of a set, one per line.
install_list()
{
	local -a build=(gcc libc6-dev meson ninja-build pkg-config
		libnl-3-dev libnl-route-3-dev libcjson-dev libcurl4-openssl-dev libsqlite3-dev libssl-dev libyaml-dev)
	local -a release=(debian-archive-keyring dpkg-dev git libc-ares-dev libssl-dev make python3 zlib1g-dev)
	local -a demo=(ca-certificates containernetworking-plugins curl iproute2 iputils-ping jq mount openssl python3-yaml)
	local -a test=(bats busybox-static clang clang-format clang-tidy git iptables libclang-rt-14-dev libcmocka-dev libmnl-dev libseccomp2 llvm nftables
		procps shellcheck sqlite3 strace tcpdump valgrind)

	go_is_new_enough || demo+=(golang-go)
	case $1 in
	build) printf '%s\n' "${build[@]}" ;;
	release) printf '%s\n' "${build[@]}" "${release[@]}" ;;
	demo) printf '%s\n' "${build[@]}" "${demo[@]}" ;;
	test) printf '%s\n' "${build[@]}" "${release[@]}" "${demo[@]}" "${test[@]}" ;;
	*)
		echo "install.sh: there is no set '$1' (build, release, demo, test)" >&2
		return 2
		;;
	esac
}

# True when the go on PATH can build the parts as it is.
go_is_new_enough()
{
	local version
	# With GOTOOLCHAIN=local go answers for itself instead of for a toolchain that it would have to fetch first.
	version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
	[[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= INSTALL_GO_MINOR))
}

# Those of the named packages that are not installed.
install_missing()
{
	local have
	# dpkg-query fails when one of them is unknown to it, which is what we ask for.
	have=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' "$@" 2>/dev/null || true)"
	local package
	for package in "$@"; do
		[[ $have == *" installed=$package "* ]] || echo "$package"
	done
}

# install_packages SET: installs what is missing of a set.
install_packages()
{
	local list missing
	list=$(install_list "$1") || return
	mapfile -t list <<<"$list"
	missing=$(install_missing "${list[@]}")
	[[ -n $missing ]] || return 0
	mapfile -t missing <<<"$missing"
	if ((EUID != 0)); then
		echo "install.sh: not root; please install: ${missing[*]}" >&2
		return 1
	fi
	echo "installing: ${missing[*]}" >&2
	install_by_apt "${missing[@]}"
}

# Quiet unless it fails.
install_by_apt()
{
	local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
	local said rc=0
	# Old lists may still do when the update fails; the install says so if not.
	said=$("${apt[@]}" update 2>&1) || true
	said+=$("${apt[@]}" install -y --no-install-recommends "$@" 2>&1) || rc=$?
	((rc == 0)) || echo "$said" >&2
	return $rc
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	set -euo pipefail
	install_packages "${1:-}"
fi
