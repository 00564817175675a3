#!/usr/bin/env bash
# Multilayer perceptrons on tables: the same bits on every layout and after resuming, evaluation as
# in training, and what is refused.
# usage: mlp.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

gzip -dc "$source_dir/data/digits.csv.gz" > digits.csv
head -400 digits.csv > train.csv
tail -200 digits.csv > held.csv
small=(--model mlp --layer-widths 64,24,24,24,10 --norm layernorm --residual --activation gelu
    --input-normalization standardize --global-batch-size 30 --micro-batch-size 4 --lr 0.01 --seed 3
    --stats-interval 2)

# ---- one digest for all layouts, and across a resume on another one
for layout in "0 0" "1 0" "2 0" "3 0" "4 1" "4 3"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" train --data train.csv --save "run $ranks $per_node" --train-iters 8 \
        --ranks-per-node "$per_node" "${small[@]}"
    digest=$(digest_of "run $ranks $per_node")
    [ "$digest" = "${first:=$digest}" ] || fail "$last: digest $digest, not $first"
done
succeeds 3 train --data train.csv --save half --train-iters 8 --save-interval 3 --keep-last 0 \
    --valid-data held.csv --eval-interval 4 "${small[@]}"
succeeds 2 train --data train.csv --save resumed --resume half/step-00000003.h5 --train-iters 8 \
    --valid-data held.csv --eval-interval 4 "${small[@]}"
says "held-out loss"
says "accuracy"
[ "$(digest_of resumed)" = "$first" ] || fail "resumed: another digest"

# ---- evaluation: what training logged, with the scaling that training fitted, to the last digit
logged=$(grep -o '"valid_loss":[0-9.e+-]*' resumed/metrics.jsonl | tail -1 | cut -d: -f2)
accuracy=$(grep -o '"valid_accuracy":[0-9.e+-]*' resumed/metrics.jsonl | tail -1 | cut -d: -f2)
for ranks in 0 3; do
    succeeds "$ranks" evaluate --checkpoint resumed --data held.csv --json all.json
    says "200 rows, 10 classes"
    [ "$(grep -m1 -o '"loss": [-0-9.e+]*' all.json | cut -d' ' -f2)" = "$logged" ] ||
        fail "$last: not the loss of training, $logged"
    [ "$(grep -m1 -o '"accuracy": [-0-9.e+]*' all.json | cut -d' ' -f2)" = "$accuracy" ] ||
        fail "$last: not the accuracy of training, $accuracy"
done
succeeds 0 inspect resumed
says "mlp, 64-24-24-24-10, gelu, layernorm, residual, cross-entropy"

# ---- the recipe describes the run; the bundled one learns
succeeds 0 inspect resumed --print-config
cp out printed.ini
succeeds 0 train --config printed.ini --print-config
diff printed.ini out || fail "a printed recipe prints another"
! grep -qE '^(num-layers|seq-length|sequences|tokenizer|dropout)=' out || fail "options of a gpt are in it"
succeeds 2 train --config "$source_dir/launch/recipes/digits.ini" \
    --data "$source_dir/data/digits.csv.gz" --save learns
accuracy=$(grep -o '"valid_accuracy":[0-9.e+-]*' learns/metrics.jsonl | tail -1 | cut -d: -f2)
awk -v a="$accuracy" 'BEGIN { exit !(a > 0.85) }' || fail "$last: accuracy $accuracy"

# ---- values instead of classes; generated data; a dry run
regression=(--model mlp --layer-widths 3,16,2 --loss mse --data generate:polynomial:rows=200,features=3
    --global-batch-size 20 --lr 0.01)
printf 'a,b,c,d,e\n1,2,3,4,5\n2,3,4,5,6\n-1,0,1,2,3\n' > values.csv
succeeds 2 train --model mlp --layer-widths 3,8,2 --loss mse --data values.csv --target-columns d b \
    --global-batch-size 3 --train-iters 200 --lr 0.05 --optimizer adam --save values
loss=$(grep -o '"loss":[0-9.e+-]*' values/metrics.jsonl | tail -1 | cut -d: -f2)
awk -v l="$loss" 'BEGIN { exit !(l < 0.05) }' || fail "$last: loss $loss"
succeeds 0 evaluate --checkpoint values --data values.csv --json all.json
grep -q '"accuracy": null' all.json || fail "$last: an accuracy of values"
succeeds 0 train --model mlp --layer-widths 2,8,3 --data generate:spirals:rows=90,classes=3 --dry-run
says "90 rows"
refuses 1 2 "rows have 1 values, the model 2 outputs" -- train --save no "${regression[@]}"

# ---- audits go by rows, too
succeeds 2 audit --data train.csv --audit-batches 2 --model mlp --layer-widths 64,24,10 \
    --global-batch-size 20

# ---- refused, with nothing written
fit=(--model mlp --data train.csv --save no --train-iters 1)
refuses 1 2 "rows have 64 features, the model takes 63" -- train "${fit[@]}" --layer-widths 63,8,10
refuses 1 2 "rows have 10 classes, the model 9 outputs" -- train "${fit[@]}" --layer-widths 64,8,9
refuses 2 2 "--layer-widths" -- train "${fit[@]}"
refuses 2 0 "--layer-widths 64,x" -- train "${fit[@]}" --layer-widths 64,x
refuses 2 2 "--num-layers means nothing with --model mlp" "--tokenizer means nothing with --model mlp" \
    -- train "${fit[@]}" --layer-widths 64,8,10 --num-layers 2 --tokenizer byte
refuses 2 0 "--residual means nothing with --model gpt" -- train --data "$pairs" --save no --residual
refuses 2 0 "--negative-slope means nothing with --activation relu" -- train "${fit[@]}" \
    --layer-widths 64,8,10 --activation relu --negative-slope 0.1
refuses 2 0 "--activation can be identity" "swish" -- train "${fit[@]}" --layer-widths 64,8,10 \
    --activation swish
refuses 2 2 "--activation means nothing without a hidden layer in --layer-widths" \
    "--residual means nothing without a hidden layer" "--norm means nothing without a hidden layer" -- \
    train "${fit[@]}" --layer-widths 64,10 --activation relu --residual --norm layernorm
sed '7s/,[0-9]*$/,12/' held.csv > far.csv
refuses 1 2 "far.csv line 7" 12 -- train "${fit[@]}" --layer-widths 64,8,10 --valid-data far.csv
refuses 2 2 "means nothing to rows" -- evaluate --checkpoint half --data held.csv --sequences stream
refuses 2 0 "no text to go on with" -- generate --checkpoint half --prompt x
refuses 1 2 "--input-normalization" standardize none -- train --data train.csv --save no --train-iters 8 \
    --resume half/latest "${small[@]}" --input-normalization none
refuses 1 2 "layer_widths" -- train --data train.csv --save no --train-iters 8 \
    --resume half/latest "${small[@]}" --layer-widths 64,24,24,10
[ ! -e no ] || fail "a refused run wrote something"
finish
