#!/bin/sh
# A delegate that does as it is told; cni.bash (stub) installs it with a folder for @DIR@ and documents it.
dir=@DIR@
number=1
# mkdir is atomic: calls at the same time get different numbers.
while ! mkdir "$dir/calls/$(printf %04d $number)" 2>/dev/null; do
	number=$((number + 1))
done
call=$dir/calls/$(printf %04d $number)
stdin=$call.stdin
cat >"$stdin"
# Complete or not there: a test may look while we run.
env >"$call.tmp"
mv "$call.tmp" "$call.env"

verb=$CNI_COMMAND
[ ! -e "$dir/$verb.sleep" ] || sleep "$(cat "$dir/$verb.sleep")"
# shellcheck source=/dev/null # written by the test
[ ! -e "$dir/$verb.run" ] || . "$dir/$verb.run"
[ ! -e "$dir/$verb.err" ] || cat "$dir/$verb.err" >&2
if [ -e "$dir/$verb.out" ]; then
	cat "$dir/$verb.out"
elif [ "$verb" = ADD ]; then
	version=$(sed -n 's/.*"cniVersion"[ ]*:[ ]*"\([^"]*\)".*/\1/p' "$stdin" | head -n 1)
	printf '{"cniVersion":"%s"}' "${version:-0.1.0}"
elif [ "$verb" = VERSION ]; then
	printf '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}'
fi
[ ! -e "$dir/$verb.signal" ] || kill -s "$(cat "$dir/$verb.signal")" $$
[ ! -e "$dir/$verb.exit" ] || exit "$(cat "$dir/$verb.exit")"
exit 0
