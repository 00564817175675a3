#!/usr/bin/env bash
# evaluate: the same JSON on every layout, the number that training logged, and what it refuses.
# usage: evaluate.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

head -150 "$pairs" > train.jsonl
sed -n 151,200p "$pairs" > held.jsonl
head -c 3000 "$source_dir/data/moby-dick.txt" > held.txt
succeeds 2 train --data train.jsonl --valid-data held.jsonl --eval-interval 2 --train-iters 4 \
    --save run "${tiny[@]}"

# number NAME: the first value of this name in the last JSON.
number() {
    grep -m1 -o "\"$1\": [-0-9.e+]*" all.json | cut -d' ' -f2
}

for layout in "0 0" "1 0" "2 0" "3 0" "4 0" "2 1" "3 2" "4 3"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" evaluate --checkpoint run --data held.jsonl held.txt --json all.json \
        --ranks-per-node "$per_node"
    [ -e first.json ] || cp all.json first.json
    cmp -s all.json first.json || fail "$ranks ranks, $per_node per node: other results"
    [ "$(wc -l < out)" -gt 8 ] && [ "$(grep -c '^total' out)" = 1 ] || fail "$last: no table"
done
for word in held.jsonl held.txt documents perplexity "bits per byte" "loss tokens" total " to "; do
    says "$word"
done

# What training logged of the same data at its last step, to the last digit.
succeeds 3 evaluate --checkpoint run/step-00000004.h5 --data held.jsonl --json all.json
logged=$(grep -o '"valid_loss":[0-9.e+-]*' run/metrics.jsonl | tail -1 | cut -d: -f2)
[ -n "$logged" ] && [ "$(number loss)" = "$logged" ] || fail "loss $(number loss), not $logged"
[ "$(number sequences)" -ge 50 ] || fail "not all sequences"

# Another way to make sequences is another number; the checkpoint's own way is the default.
succeeds 1 evaluate --checkpoint run --data held.jsonl --json all.json --sequences documents
[ "$(number loss)" = "$logged" ] || fail "the checkpoint's way isn't the default"
succeeds 1 evaluate --checkpoint run --data held.jsonl --json all.json --sequences stream
[ "$(number loss)" != "$logged" ] || fail "--sequences stream changes nothing"

# Prepared data give what raw data gave; with another tokenizer they are refused.
succeeds 0 prepare --input held.jsonl --output held.h5
succeeds 2 evaluate --checkpoint run --data held.h5 --json all.json
[ "$(number loss)" = "$logged" ] || fail "prepared: loss $(number loss), not $logged"
echo '{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}' > ids.jsonl
succeeds 0 prepare --input ids.jsonl --output ids.h5 --tokenizer ids:100:0
refuses 1 2 ids.h5 "another tokenizer" "prepare the file again with the tokenizer asked for" -- \
    evaluate --checkpoint run --data ids.h5

echo '{"text": "no loss at all", "weight": 0}' > masked.jsonl
cp first.json kept.json
refuses 1 2 masked.jsonl "no token carries a loss" -- \
    evaluate --checkpoint run --data masked.jsonl --json kept.json
cmp -s first.json kept.json || fail "a failed evaluation changed an earlier result"
succeeds 2 evaluate --checkpoint run --data masked.jsonl held.jsonl --json all.json
grep -qE '^masked.jsonl( +[0-9]+){3}( +-){3}$' out || fail "$last: no dashes for a file without loss"
[ "$(grep -c '"loss": null' all.json)" -ge 1 ] || fail "$last: no null"
! grep -qi nan out all.json || fail "$last: NaN"

refuses 2 1 "--json ids.h5 would replace what --data names" -- \
    evaluate --checkpoint run --data ids.h5 --json ids.h5
refuses 2 1 "--checkpoint is missing" "--data is missing" -- evaluate
refuses 2 2 "leave the shares out" -- evaluate --checkpoint run --data held.jsonl:2
refuses 2 1 "--sequences can be documents, stream" -- \
    evaluate --checkpoint run --data held.jsonl --sequences none
refuses 1 3 nowhere -- evaluate --checkpoint nowhere --data held.jsonl
refuses 1 2 missing.jsonl -- evaluate --checkpoint run --data missing.jsonl
succeeds 2 evaluate --help
[ "$(grep -c -- '--checkpoint' out)" = 1 ] || fail "on 2 ranks, help comes more than once"
finish
