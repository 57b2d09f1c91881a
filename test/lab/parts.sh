#!/usr/bin/env bash
# Builds the real programs that lamina works with, into .cache/ of the checkout.
#
#   parts.sh [PART ...]       builds those that are not there yet (default: all)
#   parts.sh --path PART      prints where a part's program (or folder of programs) lies
#   parts.sh --list           prints the names of all parts
#
# A part is built in a folder of its own beside the others and moved into place when it is complete: an interrupted run leaves
# nothing half-made that a later one would take for the real thing. Two runs at a time wait for each other.

PARTS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly PARTS_ROOT
readonly PARTS_CACHE=$PARTS_ROOT/.cache
readonly PARTS_GO_TOOLCHAIN=1.25.0

# shellcheck source=test/lab/install.sh
source "$PARTS_ROOT/test/lab/install.sh"

# name; folder in .cache, which carries the version so that a new one is built when it changes; what lies in it
readonly -a PARTS=(
	"cnitool       cnitool-1.3.0   cnitool"
	"cnitool-1.1.2 cnitool-1.1.2   cnitool-1.1.2"
	"flannel       flannel-0.9.1   flannel"
	"plugins       plugins-1.9.1   ."
	"multus        multus-4.2.2    multus"
	"etcd-3.4      etcd-3.4        ."
	"etcd-3.5      etcd-3.5.21     etcd"
	"apiserver     kubernetes-1.34.4 kube-apiserver"
	"kubernetes    kubernetes-1.34.4-node ."
	"flanneld      flanneld-0.28.10 flanneld"
	"containerd    containerd-1.6  ."
)

# Of the reference plugins, those that tests use.
readonly -a PARTS_PLUGINS=(
	main/bridge main/loopback main/macvlan main/ptp
	ipam/host-local ipam/static
	meta/bandwidth meta/portmap meta/tuning
)

# part_field NAME N: a field of the table above.
part_field()
{
	local -a row
	local line
	for line in "${PARTS[@]}"; do
		read -ra row <<<"$line"
		[[ ${row[0]} != "$1" ]] || { echo "${row[$2]}" && return; }
	done
	echo "parts.sh: there is no part '$1' (parts.sh --list)" >&2
	return 2
}

# part_path NAME: where the part's program, or folder of programs, lies or will lie.
part_path()
{
	local folder file
	folder=$(part_field "$1" 1) && file=$(part_field "$1" 2) || return
	[[ $file == . ]] && echo "$PARTS_CACHE/$folder" || echo "$PARTS_CACHE/$folder/$file"
}

# Runs go with a toolchain that is new enough, and with caches that `rm -r .cache` removes like everything else. The programs are
# static: they are started inside nodes, and start-up time is measured.
parts_go()
{
	local go=go
	go_is_new_enough || go=$PARTS_CACHE/go-$PARTS_GO_TOOLCHAIN/bin/go
	env GOPATH="$PARTS_CACHE/go" GOCACHE="$PARTS_CACHE/go-build" GOBIN="${GOBIN:-}" \
		GOFLAGS="-modcacherw -trimpath ${PARTS_GOFLAGS:-}" GOTOOLCHAIN=local CGO_ENABLED="${PARTS_CGO:-0}" "$go" "$@"
}

# Debian 12's Go is too old for the parts, but it can fetch a newer one as a module.
parts_toolchain()
{
	local target=$PARTS_CACHE/go-$PARTS_GO_TOOLCHAIN
	[[ ! -d $target ]] && ! go_is_new_enough || return 0
	local said dir module=golang.org/toolchain@v0.0.1-go$PARTS_GO_TOOLCHAIN.linux-
	module+=$(dpkg --print-architecture)
	echo "fetching the Go $PARTS_GO_TOOLCHAIN toolchain" >&2
	said=$(cd "$PARTS_TMP" && GOPATH=$PARTS_CACHE/go GOFLAGS=-modcacherw go mod download -json "$module" 2>&1) || true
	dir=$(sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p' <<<"$said")
	[[ -d $dir ]] || { echo "parts.sh: no toolchain: $said" >&2 && return 1; }
	cp -r "$dir" "$PARTS_TMP/toolchain"
	chmod -R u+w "$PARTS_TMP/toolchain"
	# Files of a module carry no execute bits.
	chmod +x "$PARTS_TMP"/toolchain/bin/* "$PARTS_TMP"/toolchain/pkg/tool/linux_*/*
	mv -T "$PARTS_TMP/toolchain" "$target"
}

# Builds the part $1 into the empty folder $2.
part_build()
{
	local plugins=github.com/containernetworking/plugins/plugins
	local -x GOBIN=$2
	case $1 in
	cnitool) parts_go install github.com/containernetworking/cni/cnitool@v1.3.0 ;;
	cnitool-1.1.2)
		parts_go install github.com/containernetworking/cni/cnitool@v1.1.2 &&
			mv "$2/cnitool" "$2/cnitool-1.1.2"
		;;
	flannel) parts_go install "$plugins/meta/flannel@v0.9.1" ;;
	plugins)
		local plugin
		for plugin in "${PARTS_PLUGINS[@]}"; do
			parts_go install "$plugins/$plugin@v1.9.1" || return
		done
		;;
	multus) part_build_multus "$2" ;;
	etcd-3.4) part_unpack "$2" etcd-server etcd-client ;;
	etcd-3.5) part_build_etcd "$2" ;;
	apiserver) part_build_kubernetes "$2" kube-apiserver ;;
	kubernetes) part_build_kubernetes "$2" kubelet kube-controller-manager kube-scheduler kubectl kube-proxy ;;
	flanneld) part_build_flanneld "$2" ;;
	containerd) part_unpack "$2" containerd runc ;;
	esac
}

# part_unpack FOLDER PACKAGE ...: the programs of Debian packages without installing these: as packages they start a service.
part_unpack()
{
	local target=$1 deb
	shift
	(cd "$PARTS_TMP" && apt-get -qq download "$@") || return
	for deb in "${@/%/_*.deb}"; do
		# shellcheck disable=SC2086 # the version is not known
		dpkg-deb --fsys-tarfile "$PARTS_TMP"/$deb | tar -x -C "$target" --strip-components=3 --skip-old-files --wildcards './usr/*bin/*' || return
	done
}

# part_wrapper NAME LINE ...: a module of our own in which other modules' programs build although their go.mod replaces modules,
# which `go install` refuses. Prints its folder.
part_wrapper()
{
	local folder=$PARTS_TMP/$1-wrapper
	shift
	mkdir "$folder"
	printf '%s\n' "module wrapper" "go 1.24" "$@" >"$folder/go.mod"
	echo "$folder"
}

# part_build_wrapped FOLDER TARGET GO_BUILD_ARGUMENT ...
part_build_wrapped()
{
	local folder=$1 target=$2
	shift 2
	(cd "$folder" && PARTS_GOFLAGS=-mod=mod parts_go build -o "$target" "$@")
}

part_build_etcd()
{
	local folder
	folder=$(part_wrapper etcd "require go.etcd.io/etcd/server/v3 v3.5.21")
	part_build_wrapped "$folder" "$1/etcd" go.etcd.io/etcd/server/v3
}

# part_build_kubernetes FOLDER PROGRAM ...: Kubernetes keeps its libraries in staging folders, which are modules of their own.
part_build_kubernetes()
{
	local target=$1 version=1.34.4
	shift
	local folder module said
	local -a programs=("${@/#/k8s.io/kubernetes/cmd/}")
	folder=$(part_wrapper "kubernetes-$1" "require k8s.io/kubernetes v$version")
	said=$(cd "$folder" && PARTS_GOFLAGS=-mod=mod parts_go mod download -json "k8s.io/kubernetes@v$version") || return
	while read -r module; do
		echo "replace $module => $module v0.${version#1.}" >>"$folder/go.mod"
	done < <(sed -n 's/^[[:space:]]*\(replace \)\?\([^ ]*\) => \.\/staging.*/\2/p' \
		"$(sed -n 's/^\t"GoMod": "\(.*\)",\?$/\1/p' <<<"$said")")
	part_build_wrapped "$folder" "$target/" \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" "${programs[@]}"
}

# One of its backends needs a library that no module proxy has; nobody asks for that backend here.
part_build_flanneld()
{
	local said folder=$PARTS_TMP/flannel-source module=github.com/flannel-io/flannel@v0.28.10
	said=$(cd "$PARTS_TMP" && parts_go mod download -json "$module") || return
	cp -r "$(sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p' <<<"$said")" "$folder"
	chmod -R u+w "$folder"
	echo "package tencentvpc" >"$folder/pkg/backend/tencentvpc/tencentvpc.go"
	(cd "$folder" && PARTS_CGO=1 parts_go build -ldflags "-s -w" -o "$1/flanneld" .)
}

part_build_multus()
{
	local folder module=gopkg.in/k8snetworkplumbingwg/multus-cni.v4
	folder=$(part_wrapper multus "require $module v4.2.2")
	part_build_wrapped "$folder" "$1/multus" "$module/cmd/multus"
}

# Builds one part unless it is there.
part_make()
{
	local folder log
	folder=$(part_field "$1" 1) || return
	[[ ! -d $PARTS_CACHE/$folder ]] || return 0
	echo "building $folder" >&2
	log=$PARTS_TMP/$folder.log
	mkdir "$PARTS_TMP/$folder"
	if ! part_build "$1" "$PARTS_TMP/$folder" >"$log" 2>&1; then
		cat "$log" >&2
		echo "parts.sh: $folder could not be built" >&2
		return 1
	fi
	mv -T "$PARTS_TMP/$folder" "$PARTS_CACHE/$folder"
}

# parts_make [PART ...]: builds what is missing of these (default: all). Run it in a subshell when sourced: it sets an EXIT trap.
parts_make()
{
	local -a names=("$@")
	local part
	if (($# == 0)); then
		mapfile -t names < <(parts_list)
	fi
	mkdir -p "$PARTS_CACHE"
	exec {PARTS_LOCK}>"$PARTS_CACHE/parts.lock"
	flock "$PARTS_LOCK"
	# With the lock held, what lies here was left by a run that was killed.
	rm -rf "$PARTS_CACHE"/tmp.*
	PARTS_TMP=$(mktemp -d "$PARTS_CACHE/tmp.XXXXXX")
	trap 'rm -rf "$PARTS_TMP"' EXIT
	parts_toolchain
	for part in "${names[@]}"; do
		part_make "$part"
	done
}

parts_list()
{
	printf '%s\n' "${PARTS[@]%% *}"
}

parts_main()
{
	case ${1:-} in
	--path) part_path "${2:?parts.sh --path PART}" ;;
	--list) parts_list ;;
	--help | -h) sed -n '2,/^$/s/^# \?//p' "${BASH_SOURCE[0]}" ;;
	*) parts_make "$@" ;;
	esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	set -euo pipefail
	parts_main "$@"
fi
