#!/usr/bin/env bash
# test/checks.tsv says which test covers which check of the conformance list that lamina is held to: number, file, name of the test.
#
#   test/checks.sh            fails when a check that must be covered has no test, or the table names a test that does not exist
#   test/checks.sh --write    writes the table anew from the tests' names, which end in [check N, N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# 89, that no libcurl is linked dynamically, is a matter of the build.
required()
{
	seq 1 88
	echo 90
}

# Rows from the names of the integration tests, and from unit tests and benchmarks whose comment says `Check N`.
rows()
{
	{
		for file in integration/*.bats; do
			sed -n -E "s|^@test \"(.*) \\[check ([0-9, ]+)\\]\" \\{\$|\\2\\t$file\\t\\1|p" "$file"
		done
		for file in unit/*_test.c run.sh bench/*.py; do
			sed -n -E "s|^ *(/\\*\|#) Check ([0-9, ]+): (.*[^ */])[ */]*\$|\\2\\t$file\\t\\3|p" "$file"
		done
	} | while IFS=$'\t' read -r numbers file name; do
		for number in ${numbers//,/ }; do
			printf '%s\t%s\t%s\n' "$number" "$file" "$name"
		done
	done | LC_ALL=C sort -n -k 1,1 -s
}

check_table()
{
	local failed=0 number file name
	while IFS=$'\t' read -r number file name; do
		if [[ ! -f $file ]] || ! grep -qF -- "$name" "$file"; then
			echo "check $number: no test \"$name\" in $file"
			failed=1
		fi
	done < <(grep -v '^#' checks.tsv)
	for number in $(required); do
		if ! grep -q "^$number"$'\t' checks.tsv; then
			echo "check $number has no test"
			failed=1
		fi
	done
	diff <(grep -v '^#' checks.tsv) <(rows) >/dev/null || {
		echo "checks.tsv is not what the tests say: test/checks.sh --write"
		failed=1
	}
	return "$failed"
}

if [[ ${1:-} == --write ]]; then
	{
		echo "# check, file, test; written by test/checks.sh --write"
		rows
	} >checks.tsv
fi
check_table
