#!/usr/bin/env bash
# Builds lamina as it is released: one static file, and beside it all that goes to a host with it.
#
#   deploy/release.sh [--out DIR] [--help]       default: .cache/release
#
# Everything that it is linked with comes from Debian 12: the archives of its packages, and curl and cJSON from its source packages
# (deploy/release/archives.sh). Installs missing Debian packages (as root), builds into .cache/, which later runs use again.
# Two runs at a time wait for each other.
set -euo pipefail

RELEASE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly RELEASE_ROOT
readonly RELEASE_CACHE=$RELEASE_ROOT/.cache
readonly RELEASE_BUILD=$RELEASE_CACHE/build-release
readonly -a FOR_HOSTS=(install.sh install lamina-gc.service lamina-gc.timer rbac.yaml kubeconfig.sh)

# shellcheck source=test/lab/install.sh
source "$RELEASE_ROOT/test/lab/install.sh"
# shellcheck source=deploy/release/archives.sh
source "$RELEASE_ROOT/deploy/release/archives.sh"

# quietly CMD ...: shows what a long command says only when it fails.
quietly()
{
	"$@" >"$ARCHIVES_TMP/log" 2>&1 || { cat "$ARCHIVES_TMP/log" >&2 && return 1; }
}

# No name of a folder gets into the binary, and nothing that differs from one run to the next.
build()
{
	local flags="${ARCHIVES_CFLAGS[*]} -frandom-seed=lamina -ffile-prefix-map=$RELEASE_ROOT=/usr/src/lamina"
	local paths=$RELEASE_CACHE/release-curl/pkgconfig:$RELEASE_CACHE/release-cjson/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
	local -a options=(-Dbuildtype=plain -Dprefer_static=true -Dtests=disabled "-Dpkg_config_path=${paths//:/,}"
		"-Dc_args=${ARCHIVES_CPPFLAGS[*]} $flags" "-Dc_link_args=$flags -Wl,-Map=lamina.map")
	# ninja does not look at archives of the system: an update of one of them is a security fix.
	local made_by
	made_by="${options[*]} $(dpkg-query -W '*-dev' 'gcc*' 'binutils*' | sha256sum) $ARCHIVES_RECIPE"
	if [[ ! -e $RELEASE_BUILD/build.ninja || $(cat "$RELEASE_BUILD/options" 2>/dev/null) != "$made_by" ]]; then
		rm -rf "$RELEASE_BUILD"
		CC=gcc AR=gcc-ar quietly meson setup "$RELEASE_BUILD" "$RELEASE_ROOT" "${options[@]}"
		echo "$made_by" >"$RELEASE_BUILD/options"
	fi
	quietly ninja -C "$RELEASE_BUILD" lamina
}

# When what is built was written: as git says, also of a checkout that is another user's.
source_time()
{
	[[ -z ${SOURCE_DATE_EPOCH:-} ]] || { echo "$SOURCE_DATE_EPOCH" && return; }
	GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$RELEASE_ROOT git -C "$RELEASE_ROOT" log -1 --format=%ct || {
		echo "release.sh: this is no checkout: SOURCE_DATE_EPOCH must say when it was written" >&2
		return 1
	}
}

# The binary, what installs it and what a cluster needs once, what a debugger needs, and the papers.
files()
{
	local out=$ARCHIVES_TMP/files version file
	mkdir "$out"
	version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$RELEASE_ROOT/meson.build")
	objcopy --only-keep-debug "$RELEASE_BUILD/lamina" "$out/lamina.debug"
	(cd "$out" && objcopy --strip-all --add-gnu-debuglink=lamina.debug "$RELEASE_BUILD/lamina" lamina)
	"$RELEASE_ROOT/deploy/release/papers.py" --map "$RELEASE_BUILD/lamina.map" --binary "$out/lamina" --version "$version" \
		--licence "$RELEASE_ROOT/LICENSE" --parts "$RELEASE_CACHE" --time "$(source_time)" "$out"
	for file in "${FOR_HOSTS[@]}"; do
		[[ ! -e $RELEASE_ROOT/deploy/$file ]] || cp -r "$RELEASE_ROOT/deploy/$file" "$out/"
	done
	(cd "$out" && find . -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} + && chmod 0755 -- lamina *.sh &&
		find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- >"$ARCHIVES_TMP/sums" && mv "$ARCHIVES_TMP/sums" SHA256SUMS)
}

# The sums go first and come last: with them the folder is complete.
deliver()
{
	local file
	mkdir -p "$OUT/install"
	rm -f "$OUT/SHA256SUMS"
	for file in "$ARCHIVES_TMP"/files/{,install/}*; do
		[[ -d $file || $file == */SHA256SUMS ]] || mv -f "$file" "$OUT/${file#"$ARCHIVES_TMP/files/"}"
	done
	mv -f "$ARCHIVES_TMP/files/SHA256SUMS" "$OUT/"
}

parse()
{
	OUT=$RELEASE_CACHE/release
	while (($# > 0)); do
		case $1 in
		--out) OUT=$(realpath -m -- "${2:?--out wants a folder}") && shift ;;
		--help | -h) sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" && exit ;;
		*) echo "release.sh: unknown argument $1 (--help)" >&2 && exit 2 ;;
		esac
		shift
	done
}

main()
{
	parse "$@"
	install_packages release
	mkdir -p "$RELEASE_CACHE"
	exec {RELEASE_LOCK}>"$RELEASE_CACHE/release.lock"
	flock "$RELEASE_LOCK"
	# With the lock held, what lies here was left by a run that was killed.
	rm -rf "$RELEASE_CACHE"/release-tmp.*
	ARCHIVES_TMP=$(mktemp -d "$RELEASE_CACHE/release-tmp.XXXXXX")
	trap 'rm -rf "$ARCHIVES_TMP"' EXIT
	archives_make cjson libcjson-dev
	archives_make curl libcurl4-openssl-dev
	build
	files
	deliver
	echo "$OUT/lamina"
}

main "$@"
