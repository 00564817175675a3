#!/usr/bin/env bash
# The layout fuzzer finds a fault that is there: floats added up in the order of the work. It names
# the element, and the command that it gives finds the same again.
# usage: planted.sh FUZZ_LAYOUT
set -u
fuzz_layout=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
failures=0
fail() {
    printf 'FAILED: %s\n' "$*"
    cat out
    failures=$((failures + 1))
}

# finds CODE COMMAND...: what the fuzzer prints goes to the file out.
finds() {
    local expected=$1 code
    shift
    "$@" > out 2>&1
    code=$?
    [ $code = "$expected" ] || fail "$*: exit code $code, not $expected"
}
# says PATTERN
says() { grep -qE -e "$1" out || fail "'$1' is not in the output"; }

finds 1 "$fuzz_layout" --seed 2 --cases 10 --plant float-sum
says '^case [0-9]+, layout [0-9]+: not the same bits$'
number='0x1[.0-9a-f]*p[-+][0-9]+ \([-.e0-9]+\)'
says "^  saved:  checkpoint of step [0-9]+: (blocks\.0\.attn\.qkv|layers\.0)\.weight\[5\] \(weights\) is $number in the reference and $number here, bits [0-9a-f]{8} differ; in all 1 value of 1 tensor$"
says '^  reference: 1 rank$'
says '^  layout:    [2-6] ranks|, order '
says '^  case:      .*loss reduction'
grep -q '^  said: ' out && fail "the losses don't differ"
saved=$(grep '^  saved: ' out)
kept=$(sed -n 's/^  kept: *//p' out)
[ -e "$kept/reference/latest" ] || fail "the reference isn't kept"
compgen -G "$kept/layout-*/latest" > /dev/null || fail "the layout isn't kept"

read -r -a again <<< "$(sed -n 's/^  again: *//p' out)"
# Which of several orders such floats are added up in is also a matter of time, so it may take another try.
same() { "${again[@]}" > out 2>&1; [ $? = 1 ] && [ "$(grep '^  saved: ' out)" = "$saved" ]; }
for ((tries = 1; tries < 10; ++tries)); do same && break; done
[ $tries -lt 10 ] || fail "${again[*]}: another difference, or none, ten times, not: $saved"

# Without the fault there is nothing to find, in this very case.
finds 0 "${again[@]/float-sum/nothing}"
says ': 0 with other bits than one rank$'

finds 2 "$fuzz_layout" --layout 3
finds 2 "$fuzz_layout" --case 0 --layout 99
finds 2 "$fuzz_layout" --plant something
[ "$failures" = 0 ] && echo "all as expected"
exit $((failures > 0))
