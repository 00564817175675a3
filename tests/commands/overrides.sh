#!/usr/bin/env bash
# Going on from a checkpoint with other options: refused, asked for, or said. (R20)
# usage: overrides.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

other=(train "${tiny[@]}" --train-iters 4 --data other.jsonl)
good=(train "${tiny[@]}" --train-iters 4 --data "$pairs")
succeeds 2 "${good[@]}" --save run --save-interval 2
head -c 60000 "$pairs" | sed '$d' > other.jsonl
first=run/step-00000002.h5

# What can't go on at all.
for ranks in 0 2; do
    refuses 1 $ranks "the architecture (num_layers) is 2 in the checkpoint and 3 here" -- \
        "${good[@]}" --save new --resume $first --num-layers 3
done
refuses 1 0 "the optimizer is adamw in the checkpoint and sgd here" -- \
    "${good[@]}" --save new --resume $first --optimizer sgd --override seed
refuses 1 2 "linear layers began as gpt2 (std 0.02) and not as he (normal, fan in, gain 2)" -- \
    "${good[@]}" --save new --resume $first --init he --init-gain 2
refuses 1 2 "--loss-reduction is token-mean in the checkpoint and sequence-mean here" -- \
    "${good[@]}" --save new --resume $first --loss-reduction sequence-mean

# The reduction is kept with the run, and a mistake is offered with a loud notice only.
succeeds 2 "${good[@]}" --save means --loss-reduction rank-mean:4 --save-interval 2
grep -q '^evengrad: warning: --loss-reduction rank-mean:4 averages averages' err ||
    fail "no notice: $(cat err)"
refuses 1 0 "--loss-reduction is rank-mean:4 in the checkpoint and rank-mean:2 here" -- \
    "${good[@]}" --save new --resume means/step-00000002.h5 --loss-reduction rank-mean:2
succeeds 3 "${good[@]}" --save again --resume means/step-00000002.h5 --loss-reduction rank-mean:4
[ "$(digest_of again)" = "$(digest_of means)" ] || fail "rank-mean:4 depends on the real ranks"

# What decides the result: both values, and how to go on all the same.
for ranks in 0 2; do
    refuses 1 $ranks "--seed is 5 in the checkpoint and 6 here" \
        "--global-batch-size is 24 in the checkpoint and 32 here" "--dropout is 0 in" \
        "--override seed dropout global-batch-size" -- \
        "${good[@]}" --save new --resume $first --seed 6 --global-batch-size 32 --dropout 0.5
done
refuses 1 0 "--data is tokens of digest" "--override data" -- \
    "${other[@]}" --save new --resume $first

# What may change when it is named: one warning each, and it does change.
succeeds 2 "${other[@]}" --save changed --resume $first --seed 6 --override data seed
for text in "warning: --override seed: it was 5 up to step 2 and is 6 now" \
    "warning: --override data: it was tokens of digest" \
    "info: changed since the checkpoint: --data $pairs -> other.jsonl, --save run -> changed"; do
    [ "$(grep -cF -e "$text" err)" = 1 ] || { fail "$last: '$text' isn't said once"; cat err; }
done
[ "$(digest_of changed)" != "$(digest_of run)" ] || fail "$last: changed nothing"
succeeds 0 "${other[@]}" --save alike --resume $first --seed 6 --override data --override seed
[ "$(digest_of changed)" = "$(digest_of alike)" ] || fail "$last: another digest"

# Given but never used.
refuses 1 0 "--override seed: it is 5 in the checkpoint, too" -- \
    "${good[@]}" --save new --resume $first --override seed
refuses 2 0 "--override means nothing without --resume" -- \
    "${good[@]}" --save new --override seed
refuses 2 0 "--override lr: can be data, seed, dropout, sequences, global-batch-size, micro-batch-size, micro-batch-tokens" -- \
    "${good[@]}" --save new --resume $first --override lr

# Everything else may change, and is said.
succeeds 2 "${good[@]}" --save new --resume $first --lr 0.001 --weight-decay 0 --train-iters 6
text="info: changed since the checkpoint: --save run -> new, --save-interval 2 -> 0, --train-iters 4 -> 6, --weight-decay 0.1 -> 0, --lr 0.003 -> 0.001"
grep -qF -e "$text" err || { fail "$last: '$text' isn't said"; cat err; }
succeeds 2 "${good[@]}" --save run --resume $first --save-interval 2
[ ! -s err ] || fail "$last: says something of the same run: $(cat err)"
finish
