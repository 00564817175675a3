#!/usr/bin/env bash
# The verbs around training: help, inspect, generate, bench.
# usage: generate.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

# Every option in --help has a line with its default.
help_lists() {
    local verb=$1 line
    shift
    succeeds 0 "$verb" --help
    for option in "$@"; do
        line=$(grep -E -- "^ +--${option%%=*}[ =]" out) || fail "$verb --help: no --${option%%=*}"
        # (What has no default shows none.)
        [[ -z ${option#*=} || $line == *"(=${option#*=})"* ]] || fail "$verb --help: default of $option: $line"
    done
}
model=(num-layers=4 hidden-size=128 ffn-hidden-size=0 num-attention-heads=4 seq-length=128)
help_lists train config= data= valid-data= valid-fraction=0 save= overwrite=false "${model[@]}" \
    init-method-std=0.02 dropout=0 sequences=documents global-batch-size=32 micro-batch-size=4 \
    micro-batch-tokens=0 train-iters=1000 optimizer=adamw lr=0.0003 min-lr=0 lr-decay-style=cosine \
    lr-warmup-iters=0 weight-decay=0.1 adam-beta1=0.9 adam-beta2=0.95 adam-eps=1e-08 clip-grad=1 \
    seed=1234 save-interval=0 log-interval=10 eval-interval=0 ranks-per-node=0 \
    allow-mixed-cpus=false
grep -q -- '--resume' out || fail "train --help: no --resume"
help_lists generate checkpoint= prompt= max-new-tokens=200 temperature=1 top-k=0 seed=1234
help_lists inspect digest=false
help_lists bench num-layers=6 hidden-size=384 num-attention-heads=6 seq-length=256 \
    micro-batch-size=8 micro-batches-per-rank=2 ranks-per-node=0 steps=5
succeeds 0 --help
for verb in train generate inspect bench; do says "evengrad $verb"; done
succeeds 0 --version
says "evengrad "
succeeds 2 train --help
[ "$(grep -c -- '--global-batch-size' out)" = 1 ] || fail "on 2 ranks, help comes more than once"

succeeds 2 train --data "$pairs" --valid-fraction 0.05 --save run --train-iters 5 "${tiny[@]}"
for word in "2 ranks" "1 node" BLAS parameters memory "step 1/5" "step 5/5" "held-out loss" saved \
    "left 0:00"; do
    says "$word"
done
succeeds 0 inspect run
for word in "step 5" "2 layers x 24" adamw "held out" blocks.1.attn.qkv.weight; do says "$word"; done
succeeds 0 inspect run/step-00000005.h5 --digest
grep -qxE '[0-9a-f]+' out || fail "inspect --digest prints more than a digest"

# generated NAME OPTIONS...
generated() {
    local file=$1
    shift
    succeeds 0 generate --checkpoint run --prompt "Ahab said" --max-new-tokens 40 "$@"
    mv out "$file"
    [ "$(head -c 9 "$file")" = "Ahab said" ] || fail "$last: the prompt is not in the output"
    [ "$(wc -c < "$file")" -gt 15 ] || fail "$last: hardly any text"
}
generated a --seed 1
generated b --seed 1
generated c --seed 2
generated cold1 --temperature 0 --seed 1
generated cold2 --temperature 0 --seed 2
generated one --top-k 1 --seed 3
cmp a b || fail "the same seed gives another text"
! cmp -s a c || fail "another seed gives the same text"
cmp cold1 cold2 || fail "temperature 0 depends on the seed"
cmp cold1 one || fail "the likeliest of one is not the likeliest"
! cmp -s a cold1 || fail "temperature 0 changes nothing"

for ranks in 0 1 2; do
    succeeds $ranks bench --steps 1 --num-layers 1 --hidden-size 16 --num-attention-heads 2 \
        --seq-length 32 --micro-batch-size 2
    for word in plan compute accumulate wait reduce update share tokens/s "GFLOP/s" \
        "% of the sgemm peak" "bytes a parameter"; do
        says "$word"
    done
done
finish
