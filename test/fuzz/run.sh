#!/usr/bin/env bash
# Gives the parsers whatever strangers could: libFuzzer with the address and undefined behaviour sanitizers.
#
#   test/fuzz/run.sh [--seconds N] [--merge] [NAME ...]       default: all of parsers.tsv, 20 s each
#
#   --seconds N      for how long each is fuzzed, as FUZZ_SECONDS in the environment; 0: its corpus only
#   --merge          puts what was found to take new ways into test/fuzz/corpus: few and small inputs, named by libFuzzer; those with a name
#                    of ours stay
#
# Installs missing Debian packages (as root) and builds into .cache/build-fuzz. As many at a time as there are processors. A fuzzer passes
# when neither its corpus nor what it makes of it is a finding, and when the corpus alone covers 70 % of the lines of each of the parser's
# files (or of the functions that stand behind @), so that no parser grows away from its corpus. Findings are kept in .cache/fuzz; once
# repaired, each belongs into the corpus under a name of its own. As last line `N passed, N failed, N skipped`; fails when one failed.
set -euo pipefail

FUZZ_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly FUZZ_ROOT
readonly FUZZ_BUILD=$FUZZ_ROOT/.cache/build-fuzz
readonly FUZZ_FINDINGS=$FUZZ_ROOT/.cache/fuzz
cd "$FUZZ_ROOT"

# shellcheck source=test/lab/install.sh
source test/lab/install.sh

# Of the lines of each file, in percent.
readonly LEAST_COVERAGE=70
# What --merge puts into the corpus of one fuzzer, beside what has a name of ours.
readonly MOST_INPUTS=64
readonly LONGEST_INPUT=4096
# A single input that takes longer hangs.
readonly INPUT_SECONDS=20

PASSED=0
FAILED=0

fuzz_build()
{
	local options="-Dwerror=true -Dfuzz=true -Dtests=disabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false"
	exec {FUZZ_LOCK}>"$FUZZ_ROOT/.cache/fuzz.lock"
	flock "$FUZZ_LOCK"
	if [[ ! -e $FUZZ_BUILD/build.ninja || $(cat "$FUZZ_BUILD/options" 2>/dev/null) != "$options" ]]; then
		rm -rf "$FUZZ_BUILD"
		# shellcheck disable=SC2086 # a list
		CC=clang meson setup "$FUZZ_BUILD" $options || return
		echo "$options" >"$FUZZ_BUILD/options"
	fi
	ninja -C "$FUZZ_BUILD" fuzzers || return
	exec {FUZZ_LOCK}>&-
}

# The names of the table, or a line of it without its name.
fuzz_names()
{
	awk -F '\t' '!/^#/ && NF { print $1 }' test/fuzz/parsers.tsv
}

# The files of a fuzzer's parser, each with its functions behind @ when it has any.
fuzz_sources()
{
	awk -F '\t' -v name="$1" '$1 == name { print $2 }' test/fuzz/parsers.tsv | tr ' ' '\n' | grep -v '^--'
}

# The words that the parser compares with, bare and as JSON has them: keys that chance alone would not find.
fuzz_dictionary()
{
	local source
	for source in $(fuzz_sources "$1"); do
		# shellcheck disable=SC2016 # the $ is sed's
		grep -oE '"[[:alnum:]_.:/@=-]+"' "${source%%@*}" || true
	done | sort -u | sed 's/"\(.*\)"/"\1"\n"\\"\1\\""/'
}

# fuzz_call NAME ARGUMENT ...: the fuzzer itself; what it prints goes to its log.
fuzz_call()
{
	local name=$1
	shift
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0 UBSAN_OPTIONS=print_stacktrace=1 TMPDIR=$FUZZ_TMP/files \
		"$FUZZ_BUILD/test/fuzz/fuzz_$name" -timeout="$INPUT_SECONDS" -rss_limit_mb=1024 -artifact_prefix="$FUZZ_FINDINGS/$name-" \
		-dict="$FUZZ_TMP/$name.dict" "$@" >>"$FUZZ_TMP/${FUZZ_LOG:-$name}.log" 2>&1
}

# Runs one fuzzer: its corpus alone, which is what counts as covered, then what it makes of a copy. A run of its own in the background.
fuzz_one()
{
	local name=$1 start=$SECONDS rc=0
	local corpus=test/fuzz/corpus/$name
	fuzz_dictionary "$name" >"$FUZZ_TMP/$name.dict"
	mkdir -p "$FUZZ_TMP/$name"
	if [[ ! -d $corpus ]]; then
		echo "there is no corpus in $corpus: put an input into it" >"$FUZZ_TMP/$name.log"
		rc=1
	elif ! LLVM_PROFILE_FILE=$FUZZ_TMP/$name.raw fuzz_call "$name" -runs=0 "$corpus"; then
		rc=1
	elif ((FUZZ_SECONDS > 0)); then
		LLVM_PROFILE_FILE=/dev/null fuzz_call "$name" -max_total_time="$FUZZ_SECONDS" -print_final_stats=1 "$FUZZ_TMP/$name" "$corpus" || rc=1
	fi
	echo "$rc $((SECONDS - start))" >"$FUZZ_TMP/$name.end"
}

# Lines and covered lines of a file, or of those functions in it whose names match: of an lcov trace on stdin.
fuzz_count_lines()
{
	awk -F '[:,]' -v file="$1" -v wanted="^($2)\$" '
		/^SF:/ { here = substr($0, length($0) - length(file)) == "/" file; next }
		!here { next }
		/^FN:/ { name = $0; sub(/.*[,:]/, "", name); first[$2] = name; next }
		/^DA:/ { count[$2] = $3 }
		END {
			for (line in count) {
				at = line
				while (at > 0 && !(at in first))
					at--
				if (wanted == "^()$" || first[at] ~ wanted) {
					lines++
					covered += count[line] > 0
				}
			}
			print lines + 0, covered + 0
		}'
}

# One line for each of the parser's files; fails when one is covered too little.
fuzz_coverage()
{
	local name=$1 source lines covered rc=0
	"$(clang -print-prog-name=llvm-profdata)" merge -sparse "$FUZZ_TMP/$name.raw" -o "$FUZZ_TMP/$name.profile" || return
	"$(clang -print-prog-name=llvm-cov)" export -format=lcov -instr-profile="$FUZZ_TMP/$name.profile" \
		"$FUZZ_BUILD/test/fuzz/fuzz_$name" >"$FUZZ_TMP/$name.lcov" || return
	for source in $(fuzz_sources "$name"); do
		read -r lines covered < <(fuzz_count_lines "${source%%@*}" "$([[ $source != *@* ]] || echo "${source#*@}")" <"$FUZZ_TMP/$name.lcov")
		if ((lines == 0)); then
			echo "#     ${source}: the fuzzer has nothing of it"
			rc=1
			continue
		fi
		printf '#     %3d %% of %3d lines of %s\n' $((covered * 100 / lines)) "$lines" "${source%%@*}"
		if ((covered * 100 < LEAST_COVERAGE * lines)); then
			echo "#     less than $LEAST_COVERAGE %: test/fuzz/run.sh --seconds 300 --merge $name, or add an input to test/fuzz/corpus/$name"
			rc=1
		fi
	done
	return $rc
}

# What a fuzzer has found, and how to see it again.
fuzz_show()
{
	local name=$1 unit
	grep -vE '^(#[0-9]|INFO:|Dictionary:|stat::|[[:space:]]*NEW_FUNC)' "$FUZZ_TMP/$name.log" || true
	while read -r unit; do
		echo "#     kept: ${unit#"$FUZZ_ROOT/"}; again: LLVM_PROFILE_FILE=/dev/null .cache/build-fuzz/test/fuzz/fuzz_$name ${unit#"$FUZZ_ROOT/"}"
	done < <(sed -n 's/.*Test unit written to //p' "$FUZZ_TMP/$name.log")
}

fuzz_count()
{
	local name=$1 rc seconds runs coverage
	read -r rc seconds <"$FUZZ_TMP/$name.end"
	coverage=""
	((rc != 0)) || coverage=$(fuzz_coverage "$name" 2>&1) || rc=2
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$FUZZ_TMP/$name.log")
	if ((rc == 1)); then
		fuzz_show "$name"
	fi
	if ((rc == 0)); then
		PASSED=$((PASSED + 1))
		echo "ok $name (${runs:-0} inputs, $seconds s)"
	else
		FAILED=$((FAILED + 1))
		echo "not ok $name (${runs:-0} inputs, $seconds s)"
	fi
	[[ -z $coverage ]] || echo "$coverage"
}

# The inputs of libFuzzer's naming are chosen anew, from those that were there and those that are new, the small ones first.
fuzz_merge()
{
	local name=$1 file corpus=test/fuzz/corpus/$1 kept=$FUZZ_TMP/$1.kept
	mkdir "$kept"
	for file in "$corpus"/*; do
		[[ $(basename "$file") =~ ^[0-9a-f]{40}$ ]] || cp "$file" "$kept"
	done
	FUZZ_LOG=$name.merge LLVM_PROFILE_FILE=/dev/null fuzz_call "$name" -set_cover_merge=1 -use_counters=0 -max_len="$LONGEST_INPUT" "$kept" "$corpus" "$FUZZ_TMP/$name" || return
	find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
	find "$kept" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -size -"$((LONGEST_INPUT + 1))"c -printf '%s %p\n' | sort -n |
		head -n "$MOST_INPUTS" | cut -d ' ' -f 2 | xargs -r cp -t "$corpus"
}

cleanup()
{
	local pid
	for pid in "${FUZZ_PIDS[@]}"; do
		# Of our own children only: one that has ended is not signalled, its id may be another's.
		! jobs -rp | grep -qx "$pid" || pkill -TERM -P "$pid" || true
	done
	wait || true
	rm -rf "$FUZZ_TMP"
}

parse()
{
	FUZZ_SECONDS=${FUZZ_SECONDS:-20} MERGE="" NAMES=()
	while (($# > 0)); do
		case $1 in
		--seconds) FUZZ_SECONDS=${2:?--seconds wants a number} && shift ;;
		--merge) MERGE=1 ;;
		--help | -h) sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" && exit ;;
		-*) echo "run.sh: unknown argument $1 (--help)" >&2 && exit 2 ;;
		*)
			fuzz_names | grep -qx -- "$1" || { echo "run.sh: there is no fuzzer $1 in test/fuzz/parsers.tsv" >&2 && exit 2; }
			NAMES+=("$1")
			;;
		esac
		shift
	done
	[[ $FUZZ_SECONDS =~ ^[0-9]+$ ]] || { echo "run.sh: --seconds is '$FUZZ_SECONDS': it must be a number" >&2 && exit 2; }
	((${#NAMES[@]} > 0)) || mapfile -t NAMES < <(fuzz_names)
}

main()
{
	local name
	parse "$@"
	install_packages test
	mkdir -p "$FUZZ_FINDINGS"
	# In memory: some parsers read files, a thousand times a second.
	FUZZ_TMP=$(mktemp -d -p /dev/shm)
	FUZZ_PIDS=()
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	mkdir "$FUZZ_TMP/files"
	if ! fuzz_build >"$FUZZ_TMP/build.log" 2>&1; then
		cat "$FUZZ_TMP/build.log"
		echo "not ok build of the fuzzers"
		echo "0 passed, 1 failed, 0 skipped"
		return 1
	fi
	for name in "${NAMES[@]}"; do
		while (($(jobs -rp | wc -l) >= $(nproc))); do
			wait -n || true
		done
		fuzz_one "$name" &
		FUZZ_PIDS+=($!)
	done
	wait
	for name in "${NAMES[@]}"; do
		[[ -z $MERGE ]] || fuzz_merge "$name" || echo "# $name: not merged"
		fuzz_count "$name"
	done
	echo "$PASSED passed, $FAILED failed, 0 skipped"
	((FAILED == 0))
}

main "$@"
