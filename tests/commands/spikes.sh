#!/usr/bin/env bash
# A text that makes the gradient jump is named, and its update left out on request: the same on any
# layout, and after a resume.
# usage: spikes.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

# Two epochs of 38 steps. From step 33 on there are enough to compare with, so the odd one is seen
# in the second epoch at least. (Under a constant its weight isn't divided away again.)
head -150 "$pairs" > odd.jsonl
odd=$(printf 'ÿ%.0s' {1..120})
printf '{"prompt":"Define whale.","completion":"%s","weight":50}\n' "$odd" >> odd.jsonl
head -300 "$pairs" | tail -150 >> odd.jsonl
job=(train --data odd.jsonl "${tiny[@]}" --seq-length 256 --global-batch-size 8 --micro-batch-tokens 500
    --train-iters 76 --save-interval 20 --keep-last 0 --loss-reduction constant:100)

curve() {
    sed -E 's/"seconds".*//' "$1/metrics.jsonl"
}
told="^evengrad: warning: step [0-9]+: gradient norm [0-9.]+ \(usual [0-9.]+, [0-9.]+ standard deviations\): [0-9]+ % along odd.jsonl line 151: begins 'Define whale\.ÿ+\.\.\.'"

succeeds 1 "${job[@]}" --save plain
grep -qE "$told\$" err || fail "not told: $(cat err)"
grep -q -- '--skip-on-spike' err || fail "no hint: $(cat err)"
succeeds 1 "${job[@]}" --save silent --report-spike 0
! grep -q 'gradient norm' err || fail "--report-spike 0 isn't silent"
[ "$(digest_of silent)" = "$(digest_of plain)" ] || fail "telling changes the result"

succeeds 1 "${job[@]}" --save skipped --skip-on-spike 6
grep -qE "$told; the update was left out\$" err || fail "nothing left out: $(cat err)"
grep -qE '^done: .*; [0-9]+ updates? left out' out || fail "not counted: $(tail -1 out)"
reference=$(digest_of skipped)
[ "$reference" != "$(digest_of plain)" ] || fail "nothing was left out"
left_out=$(grep -c '"skipped":true' skipped/metrics.jsonl)
[ "$left_out" -ge 1 ] || fail "no line of metrics.jsonl says it"
[ "$(grep -c '"spike":{' skipped/metrics.jsonl)" = "$left_out" ] || fail "spikes without documents"
succeeds 0 inspect skipped
says "$left_out update"
says "gradient noise scale"
succeeds 0 inspect --verify skipped
says " $((76 - left_out)) updates"

for layout in "2 0" "3 1" "4 2"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" "${job[@]}" --save run --overwrite --skip-on-spike 6 --ranks-per-node "$per_node"
    [ "$(digest_of run)" = "$reference" ] || fail "$ranks ranks: another digest"
    [ "$(curve run)" = "$(curve skipped)" ] || fail "$ranks ranks: other metrics"
done
# What was before a checkpoint is still what is usual after it.
for step in 20 40 60; do
    succeeds 2 "${job[@]}" --save "from$step" --resume "skipped/step-000000$step.h5" --skip-on-spike 6
    [ "$(digest_of "from$step")" = "$reference" ] || fail "resumed at step $step: another digest"
    [ "$(curve "from$step")" = "$(curve skipped | tail -n +$((step + 1)))" ] ||
        fail "resumed at step $step: other metrics"
done
finish
