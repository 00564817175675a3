#!/usr/bin/env bash
# diagnose: the factors by layer that theory asks for, from files that the program wrote; the cures it
# names are options that work; the same on every layout; what it refuses.
# usage: diagnose.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

# table STD ROWS FEATURES FILE: features of that standard deviation, ten classes.
table() {
    /usr/bin/python3 - "$@" << 'PYTHON'
import random, sys
std, rows, features = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random.seed(7)
with open(sys.argv[4], "w") as out:
    out.write(",".join(f"x{i}" for i in range(features)) + ",class\n")
    for row in range(rows):
        out.write(",".join(f"{random.gauss(0.0, std):.5g}" for _ in range(features)))
        out.write(f",{row % 10}\n")
PYTHON
}
# check FILE EXPRESSION: of `d`, a diagnosis as JSON. back(layer): its factors; near(a, b): within 5 %.
check() {
    /usr/bin/python3 - "$@" << 'PYTHON' || fail "$last: not $2"
import json, math, sys
d = json.load(open(sys.argv[1]))
back = [layer["backward"] for layer in d["layers"][:-1]]
near = lambda a, b: abs(a / b - 1.0) < 0.05
if not eval(sys.argv[2]):
    print(json.dumps({"backward": d["backward"], "forward": d["forward"], "factors": back}, indent=1))
    sys.exit(1)
PYTHON
}
# diagnosed CODE RANKS ARGUMENTS...: it ends with that exit code and writes d.json.
diagnosed() {
    local expected=$1 ranks=$2
    shift 2
    run "$ranks" diagnose "$@" --json d.json
    [ $code = "$expected" ] && return
    fail "$last: exit code $code, not $expected"
    cat out err
}

table 0.1 200 100 small.csv
table 1 200 100 normal.csv
five=(--model mlp --layer-widths 100,1000,1000,1000,1000,1000,10 --global-batch-size 200
    --micro-batch-size 100 --seed 3)

# Five tanh layers of 1000 units, small inputs, U[-1/sqrt n, 1/sqrt n]: 1/sqrt 3 a layer, as Glorot and
# Bengio (2010) found; from the statistics in a checkpoint, and from one batch: the same numbers.
uniform=("${five[@]}" --activation tanh --init uniform)
succeeds 2 train --data small.csv "${uniform[@]}" --train-iters 1 --save run
diagnosed 4 0 run
says "Backward: vanishing"
says "Forward: vanishing"
grep -q "size of *$\|of the weights\|the weights" out || fail "$last: no cause"
says "--init xavier"
check d.json 'all(near(f["factor"], 3 ** -0.5) and near(f["weights"], 3 ** -0.5) for f in back)'
check d.json 'd["backward"]["verdict"] == "vanishing" and d["backward"]["cause"] == "weights"'
check d.json 'd["cures"][0]["options"] == "--init xavier"'
cp d.json recorded.json
diagnosed 4 0 --data small.csv "${uniform[@]}"
check d.json '[(l["backward_std"], l["forward_std"]) for l in d["layers"]] == [
    (l["backward_std"], l["forward_std"]) for l in json.load(open("recorded.json"))["layers"]]'

# Inputs of standard deviation 1: tanh bends, and the factor follows its stored derivative.
diagnosed 4 0 --data normal.csv "${uniform[@]}"
check d.json 'all(near(back[i]["factor"],
    math.sqrt(1000) * d["layers"][i + 1]["weight_std"]
    * math.sqrt(d["layers"][i]["derivative_mean_square"])) for i in range(4))'
check d.json 'back[0]["activation"] < 0.95'  # which isn't the linear case again

# Xavier keeps the signal of layers that are equally wide, He that of ReLUs; nothing is left to cure.
diagnosed 0 2 --data small.csv "${five[@]}" --activation tanh --init xavier
says "Nothing needs a cure."
check d.json 'all(near(f["factor"], 1.0) for f in back) and d["cures"] == []'
diagnosed 0 0 --data small.csv "${five[@]}" --activation relu --init he
check d.json 'all(near(f["factor"], 1.0) for f in back)'

# Sigmoid: the deeper, the less arrives at the first layer. What repairs it, and what doesn't.
stack() {
    local widths=100
    for _ in $(seq "$1"); do widths+=,64; done
    stack=(--model mlp --layer-widths "$widths,10" --global-batch-size 200 --seed 3)
}
previous=1
for depth in 3 6 12 20; do
    stack $depth
    diagnosed 4 0 --data normal.csv "${stack[@]}" --activation sigmoid --init xavier
    check d.json "d['backward']['total'] < 0.1 * $previous"
    check d.json 'd["backward"]["cause"] == "activation"'
    previous=$(/usr/bin/python3 -c 'import json; print(json.load(open("d.json"))["backward"]["total"])')
    cp out sigmoid.txt
    for cure in "--activation relu --init he" "--residual --norm layernorm"; do
        grep -qF -e "  $cure" sigmoid.txt || fail "$last: '$cure' isn't in it"
        diagnosed 0 0 --data normal.csv "${stack[@]}" --activation sigmoid --init xavier $cure
    done
done

# Which units are off for all rows, of a batch; deep in a network, where rows look alike, some are.
diagnosed 0 2 --data normal.csv "${stack[@]}" --activation relu --init he
says "Units that are off at every sample: "
check d.json 'all(len(l["stuck_units"]["dead"]) == l["dead_units"] and
    l["stuck_units"]["saturated"] == [] for l in d["layers"]) and d["layers"][-1]["dead_units"] > 0'

# Large inputs saturate the first layer; its cure is found, and works.
table 30 200 100 large.csv
stack 3
diagnosed 4 0 --data large.csv "${stack[@]}" --activation tanh --init xavier
says "Saturated: layers.0"
check d.json 'd["cures"][0]["options"] == "--input-normalization standardize"'
diagnosed 0 0 --data large.csv "${stack[@]}" --activation tanh --init xavier \
    --input-normalization standardize

# So large weights that signals overflow: that is found, too. And a model without hidden layers.
stack 20
for ranks in 0 2; do
    diagnosed 4 $ranks --data normal.csv "${stack[@]}" --activation relu --init normal \
        --init-method-std 99
    says "Exploding: signals overflow."
    says "--norm layernorm"
    check d.json 'd["overflow"] and not d["sound"] and d["backward"] is None and d["layers"] == []'
done
diagnosed 0 0 --data normal.csv --model mlp --layer-widths 100,10 --global-batch-size 20
says "The model has 0 layers with an activation"
stack 3

# The same on every layout, as text and JSON; of a transformer, too.
head -60 "$pairs" > train.jsonl
for layout in "0 0" "1 0" "2 0" "3 0" "3 2"; do
    read -r ranks per_node <<< "$layout"
    for what in mlp gpt; do
        arguments=(--data normal.csv "${stack[@]}" --micro-batch-size 13)
        [ $what = mlp ] || arguments=(--data train.jsonl "${tiny[@]}")
        run "$ranks" diagnose "${arguments[@]}" --ranks-per-node "$per_node" --json d.json
        [ $code = 0 ] || fail "$last: exit code $code"
        for file in out d.json; do
            [ -e "first-$what-$file" ] || cp "$file" "first-$what-$file"
            cmp -s "$file" "first-$what-$file" || fail "$last: another $file"
        done
    done
done
grep -q "blocks.1.mlp.fc" out || fail "$last: no block"

# A checkpoint's weights on other rows; a run's folder; a run without statistics.
succeeds 1 train --data normal.csv "${stack[@]}" --train-iters 12 --stats-interval 1 --save long
diagnosed 0 1 long
says "10 recorded samples, step 3 to 12"
check d.json 'all(l["stuck_units"] is None for l in d["layers"])'
says "At step 1 the factors"
diagnosed 0 2 --data normal.csv "${stack[@]}" --resume long
says "step 12"
succeeds 1 train --data normal.csv "${stack[@]}" --train-iters 1 --stats-interval 0 --save blind
cp d.json kept.json
refuses 1 2 "it has no statistics of layers" -- diagnose blind --json kept.json
cmp -s d.json kept.json || fail "a failed diagnosis changed an earlier result"

echo '{"text": "no loss at all", "weight": 0}' > masked.jsonl
refuses 1 1 nowhere -- diagnose nowhere
refuses 2 2 "what to diagnose is missing" -- diagnose
refuses 2 1 "--data means nothing with a checkpoint" -- diagnose long --data normal.csv
refuses 2 1 "--save means nothing to evengrad diagnose" -- diagnose long --save other
refuses 2 1 "--json long/latest would replace what --checkpoint names" -- \
    diagnose long --json long/latest
refuses 2 1 "--json normal.csv would replace what --data names" -- \
    diagnose --data normal.csv "${stack[@]}" --json normal.csv
refuses 1 2 "nowhere/a.json" -- diagnose long --json nowhere/a.json
refuses 1 2 "no token carries a loss" -- diagnose --data masked.jsonl "${tiny[@]}"
succeeds 2 diagnose --help
[ "$(grep -c -- '--json' out)" = 1 ] || fail "on 2 ranks, help comes more than once"
! grep -q -- '--save-interval\|--early-stop' out || fail "$last: options of another verb"
finish
