#!/usr/bin/env bash
# Runs all tests: the README's second command.
#
#   test/run.sh [--unit] [--integration] [--release] [--fuzz] [--style] [FILE.bats ...]       default: all of them
#
#   --unit           the cmocka tests, built with gcc, with clang, and with gcc's address and undefined behaviour sanitizers
#   --integration    the bats files of test/integration with the real kernel, flannel, plugins, cnitool, etcd and API server, each in
#                    nodes of its own, with the sanitizers' build, and with the gcc build what only a build with fault points can show
#                    (and what never runs lamina); and the demos
#   --release        the same files with the binary of deploy/release.sh, but for what needs fault points, which it does not have
#   --fuzz           each parser of what strangers write, for 20 s (test/fuzz/run.sh)
#   --style          clang-format, clang-tidy, shellcheck, the checks of test/style, the table of checks
#
# Installs missing Debian packages (as root) and builds into .cache/, which later runs use again. One line per stage, the whole
# output of what fails, and as last line `N passed, N failed, N skipped`. Fails when anything failed; with LAMINA_MUST_WORK=1 also
# when anything was skipped.
set -euo pipefail

RUN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly RUN_ROOT
readonly RUN_CACHE=$RUN_ROOT/.cache
cd "$RUN_ROOT"

# shellcheck source=test/lab/install.sh
source test/lab/install.sh
# shellcheck source=test/lab/host.sh
source test/lab/host.sh
# shellcheck source=test/lab/node.sh
source test/lab/node.sh

# Builds: name, compiler, options. The clang build is the one without fault points: what is released must build, too.
# Check 84: error paths are clean under the sanitizers, since everything runs on their build as well
readonly -a BUILDS=(
	"gcc   gcc   -Dfault_points=true"
	"clang clang "
	"asan  gcc   -Dfault_points=true -Dbuildtype=debugoptimized -Db_sanitize=address,undefined"
)
# A bats file that takes longer than this hangs.
readonly BATS_SECONDS=1500

PASSED=0
FAILED=0
SKIPPED=0
# The builds that have succeeded: what does not build is not tried with what an earlier run has left.
BUILT=()
# The shells that run bats files in the background.
BATS_PIDS=()

# tally LABEL PASSED FAILED SKIPPED [SECONDS]: adds a stage to the sums and prints its line.
tally()
{
	PASSED=$((PASSED + $2))
	FAILED=$((FAILED + $3))
	SKIPPED=$((SKIPPED + $4))
	printf '%-32s %4d passed %3d failed %3d skipped  (%d s)\n' "$1" "$2" "$3" "$4" "${5:-$((SECONDS - STAGE_START))}"
	STAGE_START=$SECONDS
}

# check LABEL CMD ...: one command that is one test. Quiet when it passes; status 77 is a skip.
check()
{
	local label=$1 rc=0
	shift
	"$@" >"$RUN_TMP/check.log" 2>&1 || rc=$?
	if ((rc != 0)); then
		echo "=== $label"
		cat "$RUN_TMP/check.log"
	fi
	tally "$label" $((rc == 0)) $((rc != 0 && rc != 77)) $((rc == 77))
}

# build_one NAME COMPILER OPTION ...: configures (again, when the options are others than last time) and builds.
build_one()
{
	local dir=$RUN_CACHE/build-$1
	local -a options=(-Dwerror=true -Dtests=enabled "${@:3}")
	if [[ ! -e $dir/build.ninja || $(cat "$dir/options" 2>/dev/null) != "$2 ${options[*]}" ]]; then
		rm -rf "$dir"
		CC=$2 meson setup "$dir" "${options[@]}" || return
		echo "$2 ${options[*]}" >"$dir/options"
	fi
	ninja -C "$dir"
}

# True when the stages that were asked for use this build.
build_needed()
{
	case $1 in
	# The witness of all bats files but the sanitizers' is of this build.
	gcc) [[ -n $UNIT$INTEGRATION$RELEASE ]] ;;
	asan) [[ -n $UNIT$INTEGRATION ]] ;;
	clang) [[ -n $UNIT$STYLE ]] ;;
	esac
}

# Runs at the same time in one checkout take turns here.
build_all()
{
	local row failed
	local -a field
	exec {RUN_LOCK}>"$RUN_CACHE/build.lock"
	flock "$RUN_LOCK"
	for row in "${BUILDS[@]}"; do
		read -ra field <<<"$row"
		build_needed "${field[0]}" || continue
		failed=$FAILED
		check "build ${field[0]}" build_one "${field[@]}"
		((FAILED > failed)) || BUILT+=("${field[0]}")
	done
	if [[ -n $RELEASE ]]; then
		failed=$FAILED
		check "build release" deploy/release.sh
		((FAILED > failed)) || BUILT+=(release)
	fi
	exec {RUN_LOCK}>&-
}

# In a node: the tests of netlink/ make links, and whatever else a test leaves behind stays there.
unit_tests()
{
	local build dir counts
	for build in "${BUILT[@]}"; do
		[[ $build != release ]] || continue
		dir=$RUN_CACHE/build-$build
		node_up
		rm -f "$dir/meson-logs/testlog.json"
		node_exec env ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
			meson test -C "$dir" --no-rebuild --suite unit --num-processes "$(nproc)" >"$RUN_TMP/unit.log" 2>&1 || true
		node_down
		if ! counts=$(test/lab/tap.py "$dir/meson-logs/testlog.json"); then
			cat "$RUN_TMP/unit.log"
			counts="0 1 0"
		fi
		# shellcheck disable=SC2086 # three numbers
		tally "unit $build" $counts
	done
}

# bats_one BUILD TAGS FILE OUT: one bats file with one build, its TAP to a file. A run of its own in the background.
bats_one()
{
	local build=$1 tags=$2 file=$3 out=$4 rc=0 start=$SECONDS
	local dir=$RUN_CACHE/build-$build witness=$RUN_CACHE/build-$build
	[[ $build != release ]] || dir=$RUN_CACHE/release witness=$RUN_CACHE/build-gcc
	LAMINA=$dir/lamina WITNESS=$witness/test/witness/witness LAMINA_BUILD=$build TMPDIR=$RUN_TMP \
		timeout -k 20 "$BATS_SECONDS" bats --formatter tap ${tags:+--filter-tags "$tags"} "$file" >"$out" 2>&1 || rc=$?
	echo "$rc $((SECONDS - start))" >"$out.end"
}

# The figures of one such run; what failed is shown in full.
bats_count()
{
	local label=$1 out=$2 rc seconds plan passed failed skipped
	read -r rc seconds <"$out.end"
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$out" | head -n 1)
	skipped=$(grep -cE '^ok .*# skip' "$out" || true)
	passed=$(($(grep -cE '^ok ' "$out" || true) - skipped))
	# Tests that were planned and never reported have failed, and so has a file that failed beside its tests.
	failed=$((${plan:-0} - passed - skipped))
	((failed > 0 || rc == 0)) || failed=1
	if ((failed > 0)); then
		echo "=== $label"
		awk '/^(ok|not ok|1\.\.)/ { show = 0 } /^not ok/ { show = 1 } !/^(ok|1\.\.)/ && !/^#/ { show = 1 } show' "$out"
		((rc != 124 && rc != 137)) || echo "it took more than $BATS_SECONDS seconds"
	fi
	tally "$label" "$passed" "$failed" "$skipped" "$seconds"
}

# The builds that a file runs with, and after a colon which tests with that one (tags of bats; without: all). It may ask for others in
# its head: `# Builds: NAME ...`. There `# Alone` says that it measures or loads the machine: nothing runs beside it.
bats_builds()
{
	local file=$1 build asked
	asked=$(sed -n 's/^# Builds: //p' "$file")
	for build in ${asked:-asan release gcc:fault}; do
		[[ $build =~ ^(gcc|asan|release|gcc:fault)$ ]] || { echo "unknown:$build" && continue; }
		[[ $build != gcc:fault ]] || grep -q '^# bats test_tags=.*\bfault\b' "$file" || continue
		[[ " ${BUILT[*]} " == *" ${build%:*} "* ]] || continue
		case $build in
		release) [[ -z $RELEASE ]] || echo 'release:!fault' ;;
		*) [[ -z $INTEGRATION ]] || echo "$build" ;;
		esac
	done
}

# bats_queue JOBS FILE ...: starts the files with their builds, that many at a time, and waits. Adds to `outs` of bats_all.
bats_queue()
{
	local jobs=$1 rows row build tags file name
	shift
	for file in "$@"; do
		rows=$(bats_builds "$file")
		name=$(basename "$file" .bats)
		# A file that was asked for, or a build that nobody knows: no test must be lost in silence.
		if [[ $rows == *unknown:* || (-z $rows && ${#FILES[@]} -gt 0) ]]; then
			echo "=== $file runs with no build of these stages${rows:+ ($rows)}"
			tally "integration $name" 0 1 0
			continue
		fi
		for row in $rows; do
			IFS=: read -r build tags <<<"$row"
			while (($(jobs -rp | wc -l) >= jobs)); do
				wait -n || true
			done
			bats_one "$build" "$tags" "$file" "$RUN_TMP/$name.$build" &
			BATS_PIDS+=($!)
			outs+=("$name $build")
		done
	done
	wait
}

# All bats files, a few more at a time than there are processors, since tests wait a lot: each has a node of its own.
bats_all()
{
	local file name
	local -a files=("$@") together=() alone=() outs=()
	((${#files[@]} > 0)) || files=(test/integration/*.bats)
	for file in "${files[@]}"; do
		if grep -qx '# Alone' "$file"; then
			alone+=("$file")
		else
			together+=("$file")
		fi
	done
	bats_queue $(($(nproc) + 1)) "${together[@]}"
	bats_queue 1 "${alone[@]}"
	for name in "${outs[@]}"; do
		bats_count "integration $name" "$RUN_TMP/${name/ /.}"
	done
}

# The repository's files that match; what is not committed yet counts.
sources()
{
	git ls-files -z --cached --others --exclude-standard -- "$@"
}

integration_tests()
{
	bats_all "${FILES[@]}"
	if [[ -n $INTEGRATION ]] && ((${#FILES[@]} == 0)); then
		check "demo" deploy/demo.sh
		check "demo on a cluster" deploy/demo.sh --etcd
	fi
}

# The fuzzers print what they cover, which is shown; their last line is the sum.
fuzz_tests()
{
	test/fuzz/run.sh 2>&1 | tee "$RUN_TMP/fuzz.log" | sed '$d' || true
	if [[ $(tail -n 1 "$RUN_TMP/fuzz.log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
		tally "fuzzers" "${BASH_REMATCH[@]:1:3}"
	else
		tail -n 1 "$RUN_TMP/fuzz.log"
		tally "fuzzers" 0 1 0
	fi
}

style_format()
{
	local file rc=0
	while IFS= read -r -d '' file; do
		clang-format "$file" | diff -u --label "$file" --label "$file as clang-format has it" "$file" - || rc=1
	done < <(sources '*.[ch]')
	return $rc
}

style_tidy()
{
	sources 'plugin/*.c' 'netlink/*.c' 'ipam/*.c' 'delegate/*.c' |
		xargs -0r -n 1 -P "$(nproc)" clang-tidy --quiet --warnings-as-errors='*' -p "$RUN_CACHE/build-clang"
}

# bats defines what its files use, and runs each test in a shell of its own.
style_shell()
{
	local rc=0
	sources '*.sh' '*.bash' .ci/run | xargs -0r shellcheck -x || rc=1
	sources '*.bats' |
		xargs -0r shellcheck -s bats -e SC2016,SC2030,SC2031,SC2034,SC2119,SC2154 || rc=1
	return $rc
}

style_all()
{
	local script
	check "clang-format" style_format
	check "clang-tidy" style_tidy
	check "shellcheck" style_shell
	for script in test/style/*.py; do
		[[ ! -x $script ]] || check "style $(basename "$script" .py)" "$script"
	done
	[[ ! -x test/checks.sh ]] || check "table of checks" test/checks.sh
}

cleanup()
{
	local pid
	# Of our own children only: one that has ended is not signalled, its id may be another's.
	for pid in "${BATS_PIDS[@]}"; do
		! jobs -rp | grep -qx "$pid" || pkill -TERM -P "$pid" || true
	done
	wait || true
	node_down
	rm -rf "$RUN_TMP"
}

parse()
{
	UNIT="" INTEGRATION="" RELEASE="" FUZZ="" STYLE="" FILES=()
	while (($# > 0)); do
		case $1 in
		--unit) UNIT=1 ;;
		--integration) INTEGRATION=1 ;;
		--release) RELEASE=1 ;;
		--fuzz) FUZZ=1 ;;
		--style) STYLE=1 ;;
		--help | -h) sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" && exit ;;
		*.bats) FILES+=("$1") ;;
		*) echo "run.sh: unknown argument $1 (--help)" >&2 && exit 2 ;;
		esac
		shift
	done
	[[ -n $UNIT$INTEGRATION$RELEASE$FUZZ$STYLE ]] || UNIT=1 INTEGRATION=1 RELEASE=1 FUZZ=1 STYLE=1
}

main()
{
	parse "$@"
	STAGE_START=$SECONDS
	install_packages test
	mkdir -p "$RUN_CACHE"
	RUN_TMP=$(mktemp -d)
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	host_state >"$RUN_TMP/host"
	if [[ -n $UNIT$INTEGRATION$RELEASE ]]; then
		check "parts" test/lab/parts.sh
	fi
	build_all
	[[ -z $UNIT ]] || unit_tests
	[[ -z $INTEGRATION$RELEASE ]] || integration_tests
	[[ -z $FUZZ ]] || fuzz_tests
	[[ -z $STYLE ]] || style_all
	check "machine untouched" host_unchanged "$RUN_TMP/host"
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	((FAILED == 0)) && [[ ${LAMINA_MUST_WORK:-} != 1 || $SKIPPED == 0 ]]
}

main "$@"
