#!/usr/bin/env bash
# audit: the same JSON and HDF5 on every layout, with recipes and checkpoints, and what it refuses.
# usage: audit.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

export SOURCE_DATE_EPOCH=1000000000
head -150 "$pairs" > train.jsonl
sed -n 151,200p "$pairs" > held.jsonl

# Without mpirun, on 1 to 3 ranks, on two nodes; trained, too.
for layout in "0 0" "1 0" "2 0" "3 0" "3 2"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" audit --data train.jsonl --valid-data held.jsonl "${tiny[@]}" \
        --ranks-per-node "$per_node" --audit-batches 2 --train-iters 3 --json all.json \
        --output all.h5
    [ -e first.json ] || cp all.json first.json && [ -e first.h5 ] || cp all.h5 first.h5
    cmp -s all.json first.json || fail "$ranks ranks, $per_node per node: other JSON"
    cmp -s all.h5 first.h5 || fail "$ranks ranks, $per_node per node: another HDF5 file"
    [ "$(grep -c '^token-mean ' out)" = 1 ] || fail "$last: not one table"
done
for word in "double precision, one process" production micro-batch-mean rank-mean:4 \
    count-bf16-by-token "by accumulation steps" "by unevenness" "held-out loss after 3 steps" \
    "another seed" "packed by --micro-batch-tokens 200" "On these batches"; do
    says "$word"
done
/usr/bin/python3 - all.json << 'PYTHON' || fail "the JSON isn't as it should be"
import json, sys
audit = json.load(open(sys.argv[1]))
mean = audit["mean"]
assert mean["production"]["error"] < 1e-6, mean["production"]
steps = [cut["micro_batches"] for cut in mean["by_accumulation"]]
assert steps == sorted(steps) and steps[0] == 1 and steps[-1] == 24, steps
errors = [one["error"] for one in mean["by_accumulation"][-1]["weighed"]
          if one["name"] == "micro-batch-mean"]
assert errors[0] > 0.05, errors
assert len(audit["trained"]) == 7 and len(audit["batches"]) == 2
assert "NaN" not in open(sys.argv[1]).read()
PYTHON

# A recipe with what audits don't do: passed over, train-iters, too; a checkpoint of its run.
cat > recipe.ini << 'INI'
num-layers=2
hidden-size=24
num-attention-heads=3
seq-length=96
micro-batch-tokens=200
global-batch-size=24
lr=3e-3
seed=5
train-iters=4
save-interval=2
eval-interval=2
log-interval=7
INI
succeeds 2 train --data train.jsonl --valid-data held.jsonl --config recipe.ini --save run
succeeds 2 audit --data train.jsonl --config recipe.ini --resume run --audit-batches 1 \
    --audit-reductions micro-batch-mean constant:7 --json resumed.json
says "step 4: "
says "steps 5:"
says "constant:7"
! grep -q "held-out loss after\|sequence-mean" out || fail "$last: more than was asked for"
succeeds 1 audit --data train.jsonl --config recipe.ini --resume run/step-00000002.h5 \
    --audit-batches 1
says "steps 3:"

# Data without unevenness: a note.
for i in $(seq 1 40); do echo "{\"text\": \"line $((i + 100))\"}"; done > even.jsonl
succeeds 2 audit --data even.jsonl --config recipe.ini --audit-batches 1
says "same number of loss tokens (9)"
says "nothing to see but that rank-mean:4"

cp first.json kept.json
refuses 2 1 "--data is missing" "--audit-batches must be" "compares held-out losses" \
    "reduce-on-plateau follows held-out losses, and an audit" -- \
    audit --audit-batches 0 --train-iters 5 --lr-decay-style reduce-on-plateau
refuses 2 2 "--save means nothing to evengrad audit" "--dry-run means nothing" -- \
    audit --data train.jsonl --save run2 --dry-run
refuses 2 1 "--lr means nothing without --train-iters" "--valid-data means nothing" \
    "--optimizer means nothing without" -- \
    audit --data train.jsonl --lr 1 --valid-data held.jsonl --optimizer sgd
refuses 2 1 "--audit-reductions median: can be token-mean" "sum comes twice" -- \
    audit --data train.jsonl --audit-reductions median sum sum
refuses 2 1 "--resume: give a checkpoint" -- audit --data train.jsonl --resume
refuses 2 1 "--train-iters must be at least 1, not -3" -- \
    audit --data train.jsonl --valid-data held.jsonl --train-iters -3
refuses 1 3 nowhere -- audit --data train.jsonl --config recipe.ini --resume nowhere
refuses 1 2 "--seed is 5 in the checkpoint and 6 here" -- \
    audit --data train.jsonl --config recipe.ini --seed 6 --resume run
refuses 1 2 "nowhere/a.json" -- audit --data train.jsonl --config recipe.ini --json nowhere/a.json
refuses 2 1 "--json train.jsonl would replace what --data names" -- \
    audit --data train.jsonl --config recipe.ini --json train.jsonl
refuses 2 1 "--output run/latest would replace what --resume names" -- \
    audit --data train.jsonl --config recipe.ini --resume run --output run/latest
refuses 2 1 "--json a.x would replace what --output names" -- \
    audit --data train.jsonl --config recipe.ini --json a.x --output a.x
mkdir folder
refuses 1 2 "folder: Is a directory" -- \
    audit --data train.jsonl --config recipe.ini --output folder
# The last batch of an epoch is short.
head -n 20 even.jsonl > twenty.jsonl
succeeds 1 audit --data twenty.jsonl --config recipe.ini --global-batch-size 12 --micro-batch-size 10 \
    --audit-batches 2
says "2 of 8 to 12 sequences"
says "micro-batches of 10 sequences"
echo '{"text": "no loss at all", "weight": 0}' > masked.jsonl
refuses 1 2 masked.jsonl "no token carries a loss" -- \
    audit --data masked.jsonl --config recipe.ini --json kept.json
refuses 1 2 masked.jsonl "no token carries a loss" -- audit --data train.jsonl --config recipe.ini \
    --valid-data masked.jsonl --train-iters 3 --json kept.json
cmp -s first.json kept.json || fail "a failed audit changed an earlier result"
succeeds 2 audit --help
[ "$(grep -c -- '--audit-batches' out)" = 1 ] || fail "on 2 ranks, help comes more than once"
! grep -q -- '--save-interval\|--early-stop' out || fail "$last: options of another verb"
finish
