#!/usr/bin/env bash
# The two libraries whose archives Debian does not have, or not as they are needed: cJSON, and curl with HTTP and HTTPS only.
# Sourced by deploy/release.sh.
#
# They are built from Debian's source packages with Debian's patches, which are the security fixes. apt fetches them with a list and
# folders of its own: the machine's lists, caches and settings stay as they are. Each lies in .cache/ in a folder of its own that is
# moved into place when it is complete.

# The newest of these suites is taken. The mirror can be another one.
readonly ARCHIVES_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org}
readonly ARCHIVES_SOURCES="\
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $ARCHIVES_MIRROR/debian bookworm main
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $ARCHIVES_MIRROR/debian bookworm-updates main
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $ARCHIVES_MIRROR/debian-security bookworm-security main"

# All that is compiled here: the two and lamina itself. GCC names parts of an object at random unless told otherwise; and the libraries'
# sources are named by absolute paths, since it writes the folder that others are relative to into an object as it is.
readonly -a ARCHIVES_CPPFLAGS=(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
readonly -a ARCHIVES_CFLAGS=(-O2 -g -fPIE -flto -ffunction-sections -fdata-sections -fstack-protector-strong
	-fstack-clash-protection -fcf-protection)

# What an archive was made by.
ARCHIVES_RECIPE=$(sha256sum <"${BASH_SOURCE[0]}") || exit
readonly ARCHIVES_RECIPE

# Off: all but HTTP(S) to servers that are named in a configuration file, with a bearer token or a client certificate.
readonly -a ARCHIVES_CURL=(
	--disable-shared --enable-static --disable-dependency-tracking --disable-versioned-symbols
	--with-openssl --enable-ares --disable-threaded-resolver --enable-ipv6
	--without-ca-bundle --without-ca-path --disable-openssl-auto-load-config
	--disable-{ftp,file,ldap,ldaps,rtsp,dict,telnet,tftp,pop3,imap,smb,smtp,gopher,mqtt,websockets}
	--disable-{proxy,ntlm,ntlm-wb,tls-srp,crypto-auth,http-auth,unix-sockets,cookies,netrc,mime,alt-svc,hsts,doh}
	--disable-{manual,libcurl-option,get-easy-options,progress-meter,dnsshuffle,headers-api,socketpair}
	--without-{zlib,brotli,zstd,libpsl,libidn2,nghttp2,nghttp3,ngtcp2,quiche,librtmp,libssh2,libgsasl,gssapi}
)

# archives_apt ARGUMENT ...: apt-get for source packages, in the folder $ARCHIVES_TMP. Scripts that the machine's settings want run after
# an update are for the machine's own lists.
archives_apt()
{
	apt-get -qq -c "$ARCHIVES_TMP/apt.conf" "$@"
}

archives_apt_prepare()
{
	mkdir -p "$ARCHIVES_TMP"/apt/{lists,cache/archives}/partial
	echo "$ARCHIVES_SOURCES" >"$ARCHIVES_TMP/apt/sources.list"
	cat >"$ARCHIVES_TMP/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$ARCHIVES_TMP/apt/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::lists "$ARCHIVES_TMP/apt/lists";
		Dir::Cache "$ARCHIVES_TMP/apt/cache";
		APT::Sandbox::User "root";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		#clear APT::Default-Release;
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	EOF
	# A suite that could not be fetched is an error: an older source without the security fixes would be taken.
	archives_apt update --error-on=any || { sleep 5 && archives_apt update --error-on=any; }
}

# archives_fetch NAME: Debian's source package, unpacked and patched, in $ARCHIVES_TMP/NAME. apt has verified it.
archives_fetch()
{
	[[ -e $ARCHIVES_TMP/apt.conf ]] || archives_apt_prepare || return
	cd "$ARCHIVES_TMP" || return
	archives_apt source --download-only "$1" || return
	dpkg-source --no-check -x "$1"_*.dsc "$1"
}

# archives_pc NAME VERSION LIBS [REQUIRES]: what pkg-config says about the archive in $ARCHIVES_TMP/out.
archives_pc()
{
	mkdir -p "$ARCHIVES_TMP/out/pkgconfig"
	# shellcheck disable=SC2016 # pkg-config's variable
	printf '%s\n' "Name: $1" "Description: $1" "Version: $2" 'Cflags: -I${pcfiledir}/../include' \
		"Libs: \${pcfiledir}/../$3" "Requires: ${4:-}" >"$ARCHIVES_TMP/out/pkgconfig/$1.pc"
}

archives_build_cjson()
{
	local out=$ARCHIVES_TMP/out
	cd "$ARCHIVES_TMP/cjson" || return
	mkdir -p "$out/include/cjson" && cp cJSON.h "$out/include/cjson/" || return
	gcc "${ARCHIVES_CPPFLAGS[@]}" "${ARCHIVES_CFLAGS[@]}" -frandom-seed=cJSON.c "-ffile-prefix-map=$PWD=/usr/src/cjson" \
		-c "$PWD/cJSON.c" -o cJSON.o || return
	gcc-ar rcsD "$out/libcjson.a" cJSON.o || return
	archives_pc libcjson "$1" libcjson.a
}

archives_build_curl()
{
	local out=$ARCHIVES_TMP/out
	local cflags="${ARCHIVES_CFLAGS[*]} -ffile-prefix-map=$ARCHIVES_TMP/curl=/usr/src/curl"
	mkdir "$ARCHIVES_TMP/curl/build" && cd "$ARCHIVES_TMP/curl/build" || return
	CC=gcc AR=gcc-ar RANLIB=gcc-ranlib CPPFLAGS="${ARCHIVES_CPPFLAGS[*]}" CFLAGS=$cflags \
		"$ARCHIVES_TMP/curl/configure" "${ARCHIVES_CURL[@]}" || return
	make -C lib -j"$(nproc)" CFLAGS="$cflags -frandom-seed=\$@" ARFLAGS=crD || return
	mkdir -p "$out/include" && cp -r ../include/curl "$out/include/" && cp lib/.libs/libcurl.a "$out/" || return
	archives_pc libcurl "$1" libcurl.a "libcares libssl libcrypto"
}

# archives_make NAME PACKAGE: builds .cache/release-NAME unless it is there, made by this very recipe, and no older than the package that
# the machine has installed.
archives_make()
{
	local name=$1 package=$2 target=$RELEASE_CACHE/release-$1 installed version
	installed=$(dpkg-query -W -f '${source:Version}' "$package" 2>/dev/null) || true
	if [[ $(cat "$target/recipe" 2>/dev/null) == "$ARCHIVES_RECIPE" ]]; then
		dpkg --compare-versions "$(<"$target/version")" lt "${installed:-0}" || return 0
	fi
	echo "building ${name} from Debian's source package" >&2
	rm -rf "$ARCHIVES_TMP/out"
	mkdir "$ARCHIVES_TMP/out"
	(
		archives_fetch "$name" || exit
		version=$(sed -n 's/^Version: //p' "$ARCHIVES_TMP/$name"_*.dsc | head -n 1)
		echo "$version" >"$ARCHIVES_TMP/out/version"
		cp "$ARCHIVES_TMP/$name"_*.dsc "$ARCHIVES_TMP/$name/debian/copyright" "$ARCHIVES_TMP/out/" || exit
		echo "$ARCHIVES_RECIPE" >"$ARCHIVES_TMP/out/recipe"
		"archives_build_$name" "${version%-*}"
	) >"$ARCHIVES_TMP/log" 2>&1 || {
		cat "$ARCHIVES_TMP/log" >&2
		echo "release.sh: $name could not be built" >&2
		return 1
	}
	rm -rf "$target"
	mv -T "$ARCHIVES_TMP/out" "$target"
}
