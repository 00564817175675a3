#!/usr/bin/env bash
# Evaluations in training: the best checkpoint stays, a run that gets no better ends, and one that
# was resumed ends at the same step.
# usage: early_stop.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

head -16 "$pairs" > train.jsonl
sed -n 151,170p "$pairs" > held.jsonl
# So little data is soon known by heart, and what is held out gets worse.
job=(train --data train.jsonl --valid-data held.jsonl --eval-interval 3 --early-stop-patience 2
    --train-iters 300 --lr-decay-style constant "${tiny[@]}" --lr 1e-2 --global-batch-size 8)

# losses FOLDER: "loss step" of its evaluations.
losses() {
    sed -nE 's/^\{"step":([0-9]+),"valid_loss":([^,]+),.*/\2 \1/p' "$1/metrics.jsonl"
}
# step_of FOLDER/LINK
step_of() {
    readlink "$1" | sed -E 's/step-0*([0-9]+)\.h5/\1/'
}
ended() {
    grep -o 'stopped early at step [0-9]* of 300' err
}

succeeds 2 "${job[@]}" --save run --save-interval 7 --keep-last 0
end=$(ended) || fail "$last: didn't stop early"
echo "$end"
grep -qF "brought no improvement; the best so far was" err || fail "$last: $(cat err)"
reference=$(digest_of run)
best=$(losses run | sort -g | head -1 | cut -d' ' -f2)
lowest=$(losses run | sort -g | head -1 | cut -d' ' -f1)
[ "$(step_of run/best)" = "$best" ] || fail "best is $(step_of run/best), not $best"
[ "$(losses run | tail -1 | cut -d' ' -f2)" = "$((best + 6))" ] || fail "not two evaluations after it"
[ "$(step_of run/latest)" = "$((best + 6))" ] || fail "the end isn't saved"
succeeds 3 evaluate --checkpoint run/best --data held.jsonl --json best.json
grep -qF "\"loss\": $lowest" best.json || fail "the best checkpoint has another loss than $lowest"

# An evaluation that is better by too little is no improvement, and yet the best.
succeeds 1 "${job[@]}" --save little --early-stop-min-delta 5
grep -qF "stopped early at step 9 of 300: 2 evaluations in a row brought no improvement by more than 5 nats (--early-stop-min-delta); the best so far was" \
    err || fail "$last: $(cat err)"

# The best is never deleted, and what was the best before is.
succeeds 1 "${job[@]}" --save few --keep-last 1
[ "$(ended)" = "$end" ] || fail "on 1 rank: '$(ended)', not '$end'"
[ "$(digest_of few)" = "$reference" ] || fail "on 1 rank: another digest"
[ "$(step_of few/best)" = "$best" ] || fail "few: best is $(step_of few/best)"
[ "$(cd few && echo step-*.h5)" = "$(readlink few/best) $(readlink few/latest)" ] ||
    fail "few holds $(ls few)"

# Resumed from between two evaluations, on other ranks, it ends where it ended, with the same bits.
for ranks in 1 3; do
    succeeds "$ranks" "${job[@]}" --save "from$ranks" --resume run/step-00000007.h5
    [ "$(ended)" = "$end" ] || fail "$last: '$(ended)', not '$end'"
    [ "$(digest_of "from$ranks")" = "$reference" ] || fail "$last: another digest"
done
# A run that has ended has ended; with more patience it goes on.
succeeds 2 "${job[@]}" --save few --resume
[ "$(ended)" = "$end" ] || fail "$last: '$(ended)', not '$end'"
[ "$(digest_of few)" = "$reference" ] || fail "$last: another digest"
cp -r few more
succeeds 2 "${job[@]}" --save more --resume --early-stop-patience 3
[ "$(step_of more/latest)" -gt "$((best + 6))" ] || fail "$last: more patience, but no more steps"

# Some of the sequences, the same ones on every layout and at every step.
some=(--eval-iters 1 --early-stop-patience 0 --train-iters 6)
succeeds 1 "${job[@]}" --save some "${some[@]}"
succeeds 3 "${job[@]}" --save some3 "${some[@]}"
[ "$(losses some)" = "$(losses some3)" ] || fail "--eval-iters on 3 ranks: other losses"
tokens() {
    sed -nE 's/.*"valid_loss_tokens":([0-9]+).*/\1/p' "$1/metrics.jsonl" | sort -u
}
[ "$(tokens some | wc -l)" = 1 ] || fail "--eval-iters: not the same sequences every time"
[ "$(tokens some)" -lt "$(tokens run)" ] || fail "--eval-iters 1 looks at all"
# What looked at other sequences can't be compared: it counts no more.
succeeds 2 "${job[@]}" --save other --resume some --train-iters 12
grep -qF "evaluations look at other sequences than before" err || fail "$last: doesn't say so"
[ "$(losses other | wc -l)" = 2 ] || fail "$last: $(losses other)"
[ "$(step_of other/best)" -gt 6 ] || fail "$last: best is $(step_of other/best)"

refuses 2 1 "--early-stop-patience" -- train --data train.jsonl --valid-data held.jsonl --save x \
    --early-stop-patience 2
refuses 2 1 "--early-stop-min-delta" -- "${job[@]}" --save x --early-stop-patience 0 \
    --early-stop-min-delta 0.1
refuses 2 2 "--eval-iters must be at least 0, not -1" -- "${job[@]}" --save x --eval-iters -1
refuses 2 1 "--early-stop-min-delta must be at least 0, not -1" -- "${job[@]}" --save x \
    --early-stop-min-delta=-1
echo '{"text": "no loss at all", "weight": 0}' > masked.jsonl
refuses 1 2 "masked.jsonl: no token carries a loss" -- \
    train --data train.jsonl --valid-data masked.jsonl --save y "${tiny[@]}"
[ ! -e y ] || fail "a refused run left a folder"
finish
