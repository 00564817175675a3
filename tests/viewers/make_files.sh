#!/usr/bin/env bash
# Every kind of file that viewers open, by small runs; beside each the same numbers as text.
# usage: make_files.sh EVENGRAD SOURCE_DIR FOLDER
set -euo pipefail
evengrad=$(realpath "$1")
data=$(realpath "$2")/data
recipes=$(realpath "$2")/launch/recipes
rm -rf "$3"
mkdir -p "$3"
cd "$3"

train() { timeout -k 5 60 "$evengrad" train "$@" > log 2>&1 || { cat log; exit 1; }; }

digits=(--config "$recipes/digits.ini" --data "$data/digits.csv.gz")
train "${digits[@]}" --layer-widths 64,32,32,32,10 --train-iters 30 --eval-interval 10 \
    --stats-interval 5 --save-interval 10 --save-gradients 1,20 --save mlp
head -60 "$data/pairs.jsonl" > pairs.jsonl
train --data pairs.jsonl --valid-fraction 0.2 --num-layers 2 --hidden-size 24 --num-attention-heads 3 \
    --seq-length 96 --micro-batch-tokens 200 --global-batch-size 24 --lr 3e-3 --train-iters 12 \
    --eval-interval 4 --stats-interval 4 --save gpt
# One layer with an activation, one sample, and nothing but zeros below the last layer.
train "${digits[@]}" --layer-widths 64,16,10 --activation relu --init zeros --train-iters 3 --save zeros
# It has no layer with an activation.
train "${digits[@]}" --layer-widths 64,10 --train-iters 11 --save linear

timeout 60 "$evengrad" sweep "${digits[@]}" --layer-widths 64,16,10 --train-iters 20 --eval-interval 10 \
    --target-accuracy 0.5 --grid activation=tanh,relu lr=0.1,0.3 --seeds 2 --json sweep.json \
    --output sweep.h5 > log
timeout 60 "$evengrad" audit --data pairs.jsonl --num-layers 1 --hidden-size 24 --num-attention-heads 3 \
    --seq-length 96 --micro-batch-size 2 --global-batch-size 8 --audit-batches 2 --json audit.json \
    --output audit.h5 > log
# 4: vanishing, exploding, saturated or dead is a finding, not a failure.
timeout 60 "$evengrad" diagnose mlp --json diagnosis.json > log || [ $? = 4 ]
