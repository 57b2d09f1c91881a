#!/bin/sh
# Stands in a plugin's place: notes what it was called with, in a folder of its own for each call, and becomes the real one.
name=${0##*/}
calls=/run/side/calls
number=1
# mkdir is atomic: calls at the same time get different numbers.
while ! mkdir "$calls/$(printf %04d $number)" 2>/dev/null; do
	number=$((number + 1))
done
call=$calls/$(printf %04d $number)
cat >"$call/stdin"
# As the caller has set it: this shell adds to its own.
cat /proc/$$/environ >"$call/env"
echo "$name" >"$call/name"
# This shell's own: what the real one calls in turn must not inherit it.
unset PWD OLDPWD
exec "/opt/cni/real/$name" <"$call/stdin"
