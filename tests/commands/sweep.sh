#!/usr/bin/env bash
# sweep: the same JSON and HDF5 on every layout, cells that are what runs are, divergence as a
# result, and what is refused.
# usage: sweep.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

export SOURCE_DATE_EPOCH=1000000000
# Three arms of a spiral, mixed.
awk 'BEGIN {
    for (i = 0; i < 240; ++i) {
        c = i % 3; r = 0.1 + (i * 7 % 80) / 90; a = 3 * r + 2.0943951 * c
        printf "%.6f,%.6f,%d\n", r * cos(a), r * sin(a), c
    } }' > rows.csv
run_of=(--model mlp --data rows.csv --valid-fraction 0.25 --input-normalization standardize
    --global-batch-size 30 --micro-batch-size 8 --optimizer sgd --weight-decay 0.01 --clip-grad 0
    --lr-decay-style constant --train-iters 20 --eval-interval 5 --stats-interval 20)
grid=(--layer-widths 2,8,3 --grid activation=tanh,relu depth=1,3 lr=0.2,1e6 --seeds 2 --seed 5
    --target-accuracy 0.6)

# ---- one result for all layouts
for layout in "0 1" "1 1" "2 1" "2 2" "3 2" "4 1" "4 2"; do
    read -r ranks per_cell <<< "$layout"
    succeeds "$ranks" sweep "${run_of[@]}" "${grid[@]}" --ranks-per-cell "$per_cell" \
        --json all.json --output all.h5
    [ -e first.json ] || { cp all.json first.json; cp all.h5 first.h5; cp out first.out; }
    cmp -s all.json first.json || fail "$last: other JSON"
    cmp -s all.h5 first.h5 || fail "$last: another HDF5 file"
    cmp -s out first.out || fail "$last: another table"
done
[ "$(grep -c 'diverged at step' out)" = 4 ] || fail "not four points that diverge: $(cat out)"
[ "$(grep -c '(2 of 2)$' out)" = 4 ] || fail "not all of their seeds: $(cat out)"
for word in "steps to 60 %" "accuracy, %" "training loss" "ratio, first step" "16 cells, 20 steps each" \
    "seeds 5 to 6"; do
    says "$word"
done

# ---- a cell is the run with its options
succeeds 2 train "${run_of[@]}" --layer-widths 2,8,8,8,3 --activation relu --lr 0.2 --seed 6 --save one
digest=$(digest_of one)
/usr/bin/python3 - "$digest" << 'PYTHON' || fail "the JSON or HDF5 isn't as it should be"
import json, sys, h5py, numpy
text = open("first.json").read()
assert "NaN" not in text
sweep = json.loads(text)
assert sweep["grid"] == {"activation": ["tanh", "relu"], "depth": ["1", "3"], "lr": ["0.2", "1e6"]}
assert len(sweep["points"]) == 8 and sweep["options"]["train-iters"] == "20"
point = sweep["points"][6]
assert point["values"] == {"activation": "relu", "depth": "3", "lr": "0.2"}, point
assert point["options"]["layer-widths"] == "2,8,8,8,3"
cell = point["cells"][1]
assert cell["seed"] == 6 and cell["digest"] == sys.argv[1], cell
accuracies = [one["valid_accuracy"] for one in point["cells"]]
summary = point["summary"]["valid_accuracy"]
assert abs(summary["mean"] - numpy.mean(accuracies)) < 1e-12
assert abs(summary["std"] - numpy.std(accuracies, ddof=1)) < 1e-12
for point in sweep["points"]:
    for cell in point["cells"]:
        diverges = point["values"]["lr"] == "1e6"
        assert (cell["diverged_at"] is not None) == diverges, cell
        assert (cell["digest"] is None) == (cell["train_loss"] is None) == diverges, cell
        assert cell["steps"] in ([cell["diverged_at"] - 1, cell["diverged_at"]] if diverges else [20]), cell
with h5py.File("first.h5") as file:
    entry = file["sweep"]
    assert file.attrs["schema"] == "evengrad-sweep" and file.attrs["complete"] == 1
    accuracy = entry["valid_accuracy/valid_accuracy"]
    assert accuracy.shape == (2, 2, 2, 2)
    assert [d[0].name.split("/")[-1] for d in accuracy.dims] == ["activation", "depth", "lr", "seed"]
    assert list(entry["depth"]) == [1, 3] and list(entry["activation"]) == [0, 1]
    assert list(entry["activation_values"].asstr()) == ["tanh", "relu"]
    assert accuracy[1, 1, 0, 1] == accuracies[1]
    assert numpy.isnan(accuracy[..., 1, :]).all() and not numpy.isnan(accuracy[..., 0, :]).any()
    assert (entry["diverged_at/diverged_at"][..., 1, :] > 1).all()
    assert entry["digest"].asstr()[13] == sys.argv[1]
    assert json.loads(file["result/data"].asstr()[()]) == sweep
PYTHON

# ---- seeds alone; no held-out data; values; text; a recipe that can be read once
cat > recipe.ini << 'INI'
model=mlp
layer-widths=2,8,3
activation=leaky-relu
negative-slope=0.2
train-iters=3
save-interval=2
INI
succeeds 0 sweep --config <(cat recipe.ini) --data rows.csv --grid activation=leaky-relu,elu
says "leaky-relu"
! grep -q "accuracy" out || fail "$last: an accuracy without held-out data"
succeeds 0 sweep --config recipe.ini --data rows.csv --seeds 3 --json seeds.json
grep -q '"grid": {}' seeds.json || fail "$last: a grid"
printf 'a,b,c\n1,2,3\n2,3,4\n-1,0,1\n0,1,2\n' > values.csv
succeeds 2 sweep --model mlp --layer-widths 2,4,1 --loss mse --data values.csv --valid-fraction 0.25 \
    --train-iters 3 --grid optimizer=sgd,adam lr-decay-style=reduce-on-plateau,linear \
    --eval-interval 1
head -60 "$pairs" > train.jsonl
for ranks in 1 3; do
    succeeds "$ranks" sweep --data train.jsonl "${tiny[@]}" --train-iters 2 --valid-fraction 0.2 \
        --grid optimizer=adamw,lion sequences=documents,stream --json "text$ranks.json"
done
cmp -s text1.json text3.json || fail "$last: other JSON"

# ---- the recipe after Glorot and Bengio, of a few images and steps
succeeds 2 sweep --config "$source_dir/launch/recipes/glorot.ini" --layer-widths 1024,8,8,9 --train-iters 3 \
    --data generate:shapeset:rows=90 --valid-data generate:shapeset:rows=30,skip=90 \
    --grid activation=sigmoid,tanh,softsign init=uniform,xavier lr=0.01,0.03
[ "$(grep -c 'xavier' out)" = 6 ] || fail "$last: not six points with Xavier's weights"

# ---- refused, with nothing written
rm -f all.json all.h5
out_to=(--json all.json --output all.h5)
refuses 2 2 "--grid is missing" -- sweep "${run_of[@]}" --layer-widths 2,8,3 "${out_to[@]}"
refuses 2 2 "lr=x: --lr: 'x' is not a number" "activation=swish lr=1: --activation can be" -- \
    sweep "${run_of[@]}" --layer-widths 2,8,3 --grid activation=tanh,swish lr=1,x "${out_to[@]}"
refuses 2 3 "--ranks-per-cell must be between 1 and the job's 3, not 4" -- \
    sweep "${run_of[@]}" "${grid[@]}" --ranks-per-cell 4 "${out_to[@]}"
refuses 1 2 "layer-widths=3,8,3 seed=1234: rows.csv: rows have 2 features" -- \
    sweep "${run_of[@]}" --layer-widths 2,8,3 --grid "layer-widths=2,8,3;3,8,3" "${out_to[@]}"
refuses 2 2 "--output all.json would replace what --json names" \
    "--json all.json would replace what --output names" -- \
    sweep "${run_of[@]}" "${grid[@]}" --json all.json --output all.json
refuses 1 2 "nowhere/a.json" -- sweep "${run_of[@]}" "${grid[@]}" --json nowhere/a.json
ls all.* 2> /dev/null && fail "a refused sweep wrote something"
succeeds 2 sweep --help
[ "$(grep -c -- '--ranks-per-cell' out)" = 1 ] || fail "on 2 ranks, help comes more than once"
! grep -q -- '--save-interval\|--early-stop' out || fail "$last: options of another verb"
finish
