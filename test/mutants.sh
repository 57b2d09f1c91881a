#!/usr/bin/env bash
# Breaks the code on purpose, once for each patch in test/mutants/, and runs the test that must notice.
#
#   test/mutants.sh [PATCH ...]      default: all
#
# The head of a patch says what it breaks and who catches it:
#   Caught by: NAME.bats: WORDS OF THE TEST'S NAME        an integration test
#   Caught by: NAME_test                                  a unit test
# Several such lines: by each of these.
# Works on a copy of the tree under .cache/. One line per mutant; last line `N passed, N failed, N skipped`. A mutant that no test
# notices, that does not apply or does not compile, is a failure.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT
readonly TREE=$ROOT/.cache/mutants/tree BUILD=$ROOT/.cache/mutants/build LOG=$ROOT/.cache/mutants/log
cd "$ROOT"

if [[ ${1:-} == --help ]]; then
	sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
	exit 0
fi

# shellcheck source=test/lab/install.sh
source test/lab/install.sh

# The parts that the integration tests exec are looked for beside the tests.
copy_tree()
{
	mkdir -p "$TREE"
	find "$TREE" -mindepth 1 -maxdepth 1 ! -name .cache -exec rm -rf {} +
	git ls-files -co --exclude-standard -z | xargs -0 -I{} sh -c 'test ! -f "{}" || printf "%s\0" "{}"' |
		tar --null -T - -cf - | tar -xf - -C "$TREE"
	ln -sfn "$ROOT/.cache" "$TREE/.cache"
	# What an earlier run's last mutant was compiled to is newer than the file that it broke.
	sed -n "s|^+++ b/|$TREE/|p" test/mutants/*.patch | sort -u | xargs touch -c --
}

build()
{
	[[ -f $BUILD/build.ninja ]] || meson setup -Dfault_points=true -Dbuildtype=debugoptimized "$BUILD" "$TREE" >"$LOG" 2>&1 || return
	ninja -C "$BUILD" >"$LOG" 2>&1
}

# runs_clean NAME[: WORDS]: whether the test passes; fails, too, when there is no such test.
runs_clean()
{
	case $1 in
	*.bats*)
		LAMINA=$BUILD/lamina WITNESS=$BUILD/test/witness/witness timeout 300 \
			bats --filter "${1#*: }" "$TREE/test/integration/${1%%: *}" >"$LOG" 2>&1
		;;
	*) timeout 300 meson test -C "$BUILD" --no-rebuild "$1" >"$LOG" 2>&1 ;;
	esac
}

# A filter that matches nothing would let every mutant pass as caught.
exists()
{
	local file=$TREE/test/integration/${1%%: *}
	case $1 in
	*.bats*) [[ -f $file && $(bats --count --filter "${1#*: }" "$file") -gt 0 ]] ;;
	*) [[ -f $TREE/test/unit/$1.c ]] ;;
	esac
}

# try PATCH: prints what became of it; succeeds when the mutant was caught.
try()
{
	local patch=$1 line rc=0
	local -a lines
	mapfile -t lines < <(sed -n 's/^Caught by: //p' "$patch")
	((${#lines[@]})) || lines=(nobody)
	for line in "${lines[@]}"; do
		exists "$line" || {
			echo "no such test: $line"
			return 1
		}
	done
	patch -d "$TREE" -p1 --quiet --forward --no-backup-if-mismatch <"$patch" >"$LOG" 2>&1 || {
		echo "does not apply"
		return 1
	}
	if ! build; then
		echo "does not compile"
		rc=1
	else
		for line in "${lines[@]}"; do
			if runs_clean "$line"; then
				echo "NOT CAUGHT by $line"
				rc=1
			else
				echo "caught by $line"
			fi
		done
	fi
	patch -d "$TREE" -p1 --quiet --reverse --no-backup-if-mismatch <"$patch"
	return "$rc"
}

main()
{
	local -a patches=("$@")
	local passed=0 failed=0 patch said
	((${#patches[@]})) || patches=(test/mutants/*.patch)
	install_packages test
	mkdir -p "${LOG%/*}"
	copy_tree
	build || {
		cat "$LOG"
		exit 1
	}
	for patch in "${patches[@]}"; do
		if said=$(try "$patch" | paste -sd ";"); then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
		printf '%-34s %s\n' "$(basename "$patch" .patch)" "$said"
	done
	echo "$passed passed, $failed failed, 0 skipped"
	((failed == 0))
}

main "$@"
