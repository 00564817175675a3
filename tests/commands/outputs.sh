#!/usr/bin/env bash
# Where output goes: links are followed, devices and pipes stay what they are, and what can't be
# written is never passed over.
# usage: outputs.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

succeeds 0 train --data "$pairs" --save run "${tiny[@]}" --train-iters 2
succeeds 0 prepare --input "$pairs" --output pairs.h5
evaluate=(evaluate --checkpoint run --data "$pairs")

# ------------------------------------------------------------------------- standard output is full
# loses_output ARGUMENTS...: with nowhere to write to, it says so, once, and fails.
loses_output() {
    timeout -k 5 180 "$evengrad" "$@" > /dev/full 2> err < /dev/null
    code=$?
    [ $code = 1 ] || fail "evengrad $* > /dev/full: exit code $code"
    [ "$(grep -c "^evengrad: error: cannot write to standard output" err)" = 1 ] ||
        fail "evengrad $* > /dev/full: says $(cat err)"
    grep -q "^hint: " err || fail "evengrad $* > /dev/full: no hint"
}
if [ -c /dev/full ]; then
    for verb in train evaluate generate inspect prepare audit diagnose sweep bench; do
        loses_output $verb --help
    done
    loses_output --help
    loses_output --version
    loses_output inspect run
    loses_output inspect run --digest
    loses_output inspect run --verify
    loses_output inspect run --print-config
    loses_output "${evaluate[@]}"
    loses_output generate --checkpoint run --max-new-tokens 3
    loses_output prepare --input "$pairs" --output masks.h5 --show-masks 2
    loses_output train --data "$pairs" "${tiny[@]}" --dry-run
    loses_output train --data "$pairs" --print-config
    loses_output train --data "$pairs" "${tiny[@]}" --train-iters 2 --save other
    [ -e other/latest ] || fail "a run whose output nobody gets saves nothing"
else
    echo "a full standard output: not tried, there is no /dev/full"
fi

# ------------------------------------------------------------------------------- links and streams
ln -s there.json link.json
succeeds 0 "${evaluate[@]}" --json link.json
[ -L link.json ] && [ -s there.json ] || fail "--json replaces a link"
ln -s there.h5 link.h5
succeeds 0 prepare --input "$pairs" --output link.h5 --overwrite
[ -L link.h5 ] && cmp -s <("$evengrad" inspect link.h5 --digest) <("$evengrad" inspect pairs.h5 --digest) ||
    fail "--output of prepare replaces a link"
[ -z "$(ls -- *.tmp 2> /dev/null)" ] || fail "leaves $(ls -- *.tmp)"

mkfifo pipe pipe.h5
cat pipe > got &
succeeds 0 "${evaluate[@]}" --json pipe
wait
[ -p pipe ] && cmp -s got there.json || fail "--json doesn't write to a pipe"
"$evengrad" "${evaluate[@]}" --json /dev/stdout --log-level error > both 2> err || fail "--json /dev/stdout: $(cat err)"
"$evengrad" "${evaluate[@]}" --log-level error > text
cmp -s <(cat there.json text | sort) <(sort both) || fail "--json /dev/stdout: it and the text mix"
for option in "prepare --input $pairs --overwrite" "sweep --data $pairs --grid lr=1e-3 --train-iters 1"; do
    # shellcheck disable=SC2086
    refuses 1 0 "cannot write pipe.h5: HDF5 can't be written to a device or a pipe" -- \
        $option --output pipe.h5
done
[ -p pipe.h5 ] || fail "a pipe was replaced"
finish
