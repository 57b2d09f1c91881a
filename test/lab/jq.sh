# shellcheck shell=bash
# To be sourced; node.sh does. `jq -e` says yes to nothing: with jq 1.6 `echo -n | jq -e .x` succeeds, and so would an assertion whose
# command before the pipe has failed. Here a call that asks so and gets no answer fails, with jq's own status for that.

jq()
{
	local arg said rc=0
	for arg in "$@"; do
		[[ $arg != -- && $arg != --args && $arg != --jsonargs ]] || break
		[[ $arg =~ ^-[a-zA-Z]*e[a-zA-Z]*$ || $arg == --exit-status ]] || continue
		# The dot keeps the line's end, which a substitution cuts off.
		said=$(command jq "$@" || rc=$?; echo .; exit $rc) || rc=$?
		[[ $rc != 0 || $said != . ]] || { echo 'jq: there is nothing to be asked' >&2 && return 4; }
		printf '%s' "${said%.}"
		return $rc
	done
	command jq "$@"
}
