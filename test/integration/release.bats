#!/usr/bin/env bats
# The release: the binary as a file, what lies beside it, and that it needs nothing of the host but the kernel.
# The rest of test/integration runs with it too. What setup and cni.bash set is used in tests and the other way round.
# Builds: release
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
bats_require_minimum_version 1.5.0

load ../lab/cluster
load ../proof/proof

REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
RELEASE=$(dirname "${LAMINA:-$REPOSITORY/.cache/release/lamina}")
# In the node.
EMPTY=/run/empty

setup_file()
{
	setup_node
	etcd_up
}

teardown_file()
{
	etcd_down
	teardown_node
}

setup()
{
	[[ -e $RELEASE/SHA256SUMS ]] || fail "this is not a release: LAMINA=.cache/release/lamina, after deploy/release.sh"
	cd "$RELEASE" || return
	CONF=$(seed_conf '.delegates = [.delegates[1]]')
	new_pod p1
	pod_args default web-1 uid-1
	annotations
}

teardown()
{
	pod_down p1
	node_exec sh -c 'umount "$1"/run/netns/* "$1/proc"; rm -rf "$1" /run/lamina /var/lib/cni; true' sh "$EMPTY" 2>/dev/null
}

# A root file system with busybox, lamina and what every node has: /proc, and the pods' namespaces.
empty_root()
{
	node_exec sh -c 'mkdir -p "$1/bin" "$1/proc" "$1/run/netns" && cp /bin/busybox "$1/bin/" && cp /opt/cni/bin/lamina "$1/bin/" &&
		ln "$1/bin/lamina" "$1/bin/kube-ipam" && mount -t proc proc "$1/proc" &&
		touch "$1/run/netns/p1" && mount --bind /run/netns/p1 "$1/run/netns/p1"' sh "$EMPTY"
}

# in_empty CMD ...: runs a command there with nothing in its environment but what is given as K=V.
in_empty()
{
	node_exec env -i /usr/sbin/chroot "$EMPTY" /bin/busybox env "$@"
}

# cni_in_empty VERB [PLUGIN]: cni, there.
cni_in_empty()
{
	CNI_VERB=$1
	CNI_FILES=$BATS_TEST_TMPDIR/cni
	status=0
	output=$(in_empty CNI_COMMAND="$1" CNI_CONTAINERID="$CID" CNI_NETNS=/run/netns/p1 CNI_IFNAME=net1 CNI_PATH=/bin CNI_ARGS="$ARGS" \
		"/bin/${2:-lamina}" <<<"$CONF" 2>"$CNI_FILES.err") || status=$?
	stderr=$(<"$CNI_FILES.err")
	printf '%s\n' "$output" "$stderr"
	printf '%s' "$output" >"$CNI_FILES.out"
}

@test "it is one static file that is loaded anywhere, stripped, of at most 9 MB" {
	assert_equal "$(file -b lamina | grep -o 'static-pie linked')" 'static-pie linked'
	assert_equal "$(file -b lamina | grep -o ', stripped')" ', stripped'
	(($(stat -c %s lamina) <= 9000000))
	run -0 readelf --wide --dynamic --program-headers lamina
	[[ $output != *NEEDED* && $output != *INTERP* ]]
}

# symbol NAME [FIELD]: the address of a function, or another field of its line. What the compiler has put behind its name does not count.
symbol()
{
	readelf --wide --symbols lamina.debug | awk -v name="$1" -v field="${2:-2}" '{ sub(/\..*/, "", $8) }
		$8 == name && $4 == "FUNC" { sub(/^0*/, "", $field); print $field; exit }'
}

# disassemble FUNCTION
disassemble()
{
	local start
	start=$((0x$(symbol "$1")))
	objdump --disassemble --no-show-raw-insn --start-address "$start" --stop-address $((start + $(symbol "$1" 3))) lamina
}

@test "it is hardened" {
	run -0 readelf --wide --program-headers --dynamic --notes lamina
	[[ $output =~ 'GNU_RELRO' ]]
	[[ $output =~ 'GNU_STACK '[^$'\n']*' RW ' ]]
	[[ $output =~ 'FLAGS_1'[^$'\n']*NOW[^$'\n']*PIE ]]
	[[ $output != *' RWE '* && $output != *TEXTREL* ]]
	# Of lamina, curl and cJSON, which are compiled here: a function with an array guards its stack, and copies are checked.
	for name in main Curl_readwrite print_value; do
		disassemble "$name" | grep -q "call *0x$(symbol __stack_chk_fail)" || fail "$name does not guard its stack"
	done
	[[ -n $(symbol __memcpy_chk) && -n $(symbol __vasprintf_chk) ]]
}

@test "a debugger finds its symbols in the file beside it" {
	assert_equal "$(readelf --notes lamina | sed -n 's/.*Build ID: //p')" "$(readelf --notes lamina.debug | sed -n 's/.*Build ID: //p')"
	assert_equal "$(readelf --string-dump=.gnu_debuglink lamina | grep -o 'lamina\.debug')" lamina.debug
	run -0 readelf --wide --sections lamina.debug
	[[ $output == *.debug_info* ]]
}

@test "no folder of the machine that built it is named in it" {
	run ! grep -aF -e "$REPOSITORY" -e /build-release -e "${HOME:?}/" lamina
}

@test "the sums are right, and of every file" {
	run -0 sha256sum --check --strict SHA256SUMS
	assert_equal "$(sed 's/^[0-9a-f]*  //' SHA256SUMS | sort)" "$(find . -type f ! -name SHA256SUMS -printf '%P\n' | sort)"
}

@test "beside it lies what a host needs, as it is in deploy/" {
	local file
	for file in install.sh install/{checks,files,uninstall}.sh lamina-gc.service lamina-gc.timer rbac.yaml kubeconfig.sh; do
		[[ -e $REPOSITORY/deploy/$file ]] || continue
		cmp "$REPOSITORY/deploy/$file" "$file"
	done
	assert_equal "$(stat -c %a lamina install.sh install install/files.sh lamina-gc.service | xargs)" '755 755 755 644 644'
	./install.sh --help | grep -q -- --uninstall
}

@test "the list of what is inside is SPDX 2.3, and complete" {
	jq -e '.spdxVersion == "SPDX-2.3" and .dataLicense == "CC0-1.0" and .SPDXID == "SPDXRef-DOCUMENT" and (.name | length > 0)
		and (.documentNamespace | test("^https://[^#]+$")) and (.creationInfo.creators | all(test("^Tool: ")) and length > 0)
		and (.creationInfo.created | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$"))' lamina.spdx.json
	jq -e '.packages | all((.name | length > 0) and (.SPDXID | test("^SPDXRef-[A-Za-z0-9.-]+$")) and (.downloadLocation | length > 0)
		and .filesAnalyzed == false) and ([.[].SPDXID] | unique | length) == length' lamina.spdx.json
	# Debian's version with its revision, a licence, and where the source is: of each that is linked.
	jq -e '.packages | map(select(.name != "lamina")) | map(.name) == ["c-ares", "cjson", "curl", "gcc-12", "glibc", "libnl3", "libyaml",
		"openssl", "sqlite3"] and all(.versionInfo | test("-[0-9]")) and all(.licenseConcluded | test("^[A-Za-z]")) and
		all(.licenseConcluded != "NOASSERTION") and all(.supplier == "Organization: Debian") and
		all(.downloadLocation | startswith("https://snapshot.debian.org/package/"))' lamina.spdx.json
	jq -e '[.packages[].SPDXID] as $ids | (.relationships | all((.spdxElementId, .relatedSpdxElement) |
		. == "SPDXRef-DOCUMENT" or IN($ids[]))) and ([.relationships[] | select(.relationshipType == "STATIC_LINK")] | length) ==
		(.packages | length - 1)' lamina.spdx.json
	assert_equal "$(jq -r '.packages[] | select(.name == "lamina").checksums[0].checksumValue' lamina.spdx.json)" \
		"$(sha256sum <lamina | cut -d ' ' -f 1)"
	assert_equal "$(jq -r '.packages[] | select(.name == "lamina").versionInfo' lamina.spdx.json)" \
		"$(node_exec /opt/cni/bin/lamina --help | sed -n '1s/^lamina \([^:]*\):.*/\1/p')"
}

@test "the note about sources names each library with its version, and the licences are there in full" {
	while read -r name version; do
		grep -qF "| $name | $version |" SOURCES.md || fail "SOURCES.md does not have $name $version"
		grep -qxF "$name" LICENSES.txt || fail "LICENSES.txt does not have $name"
	done < <(jq -r '.packages[] | select(.name != "lamina") | "\(.name) \(.versionInfo)"' lamina.spdx.json)
	grep -q 'GNU LESSER GENERAL PUBLIC LICENSE' LICENSES.txt
	grep -q 'deploy/release.sh' SOURCES.md
}

@test "built again in another folder it is the same, byte for byte" {
	local other=$BATS_TEST_TMPDIR/somewhere/else
	mkdir -p "$other/.cache"
	(cd "$REPOSITORY" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$other")
	cp -r "$REPOSITORY"/.cache/release-{curl,cjson} "$other/.cache/"
	SOURCE_DATE_EPOCH=$(date -d "$(jq -r .creationInfo.created lamina.spdx.json)" +%s) "$other/deploy/release.sh" --out "$other/out"
	diff -r "$other/out" "$RELEASE"
}

@test "where there is nothing else, it answers for itself" {
	empty_root
	CONF='{"cniVersion": "1.0.0"}'
	cni_in_empty VERSION
	assert_ok
	assert_json '.supportedVersions | index("1.1.0")'
	assert_equal "$stderr" ''
	run -0 in_empty /bin/lamina --help
	[[ $output == 'lamina '* ]]
}

@test "where there is nothing else, a pod gets its interface, and it goes again" {
	empty_root
	cni_in_empty ADD
	assert_ok
	assert_json '.ips[0].address | startswith("10.188.")'
	assert_equal "$stderr" ''
	pod_link net1
	[[ $(pod_addrs net1) == 10.188.* ]]
	pod_ping 10.188.0.1
	run -0 in_empty /bin/lamina ip ls
	[[ $output == *default/web-1* ]]
	cni_in_empty DEL
	assert_ok
	refute_link net1
}

@test "where there is nothing else, it speaks TLS with etcd" {
	empty_root
	node_exec sh -c 'mkdir -p "$1/etc/kubernetes" && cp -r /etc/kubernetes/ssl "$1/etc/kubernetes/"' sh "$EMPTY"
	CONF=$(proof_conf)
	annotations
	cni_in_empty ADD kube-ipam
	assert_ok
	address=$(jq -r '.ips[0].address | sub("/.*"; "")' <<<"$output")
	assert_equal "$(etcd_dump | jq --arg it "$address" '[keys[] | select(endswith("/used/" + $it))] | length')" 1
	cni_in_empty DEL kube-ipam
	assert_ok
	assert_equal "$(etcd_dump | jq --arg it "$address" '[keys[] | select(endswith("/used/" + $it))] | length')" 0
}
