#!/usr/bin/env bash
# --print-config: the recipe of a run, from which it can be repeated bit for bit.
# usage: recipes.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

cp "$pairs" "some pairs #1.jsonl"
printf 'train-iters=5 # a recipe for AdamW, which the command line changes\nadam-beta1=0.5\n' > given.ini
printf 'optimizer=adamw\nsave-interval=2\nkeep-last=0\ndropout=0.1\n' >> given.ini
run_options=(train --data "some pairs #1.jsonl" --valid-fraction 0.1 --eval-interval 3
    --config given.ini "${tiny[@]}")

for ranks in 0 2; do
    succeeds $ranks "${run_options[@]}" --save first --print-config
    cp out printed.ini
    [ ! -s err ] || fail "$last: says something: $(cat err)"
    [ ! -e first ] || fail "$last: made a folder"
    for line in 'data="some pairs #1.jsonl"' save=first train-iters=5 adam-beta1=0.5 lr=0.003 \
        micro-batch-tokens=200 valid-fraction=0.1 eval-interval=3 seed=5; do
        [ "$(grep -cF -e "$line " printed.ini)" = 1 ] || fail "$last: '$line' is not in it once"
    done
    ! grep -qE '^(micro-batch-size|valid-data|config|print-config)=' printed.ini ||
        fail "$last: options without a meaning are in it"
done

# The recipe alone gives the same run, and describes itself.
succeeds 2 "${run_options[@]}" --save first
digest=$(digest_of first)
succeeds 0 train --config printed.ini --print-config
diff printed.ini out || fail "a printed recipe prints another"
succeeds 0 train --config printed.ini --save second
[ "$(digest_of second)" = "$digest" ] || fail "the printed recipe gives another run"

# A checkpoint has it too: also one that was made by resuming.
succeeds 0 inspect first --print-config
diff printed.ini out || fail "the recipe in the checkpoint is another"
succeeds 2 "${run_options[@]}" --save third --resume first/step-00000002.h5
[ "$(digest_of third)" = "$digest" ] || fail "resumed: another digest"
succeeds 0 inspect third --print-config
cp out resumed.ini
succeeds 1 train --config resumed.ini --save fourth
[ "$(digest_of fourth)" = "$digest" ] || fail "the recipe of a resumed run gives another run"

# Initial weights: the choice is kept with the run; a resumed run has weights, and can't choose others.
succeeds 2 "${run_options[@]}" --save xavier --init xavier --init-distribution uniform
[ "$(digest_of xavier)" != "$digest" ] || fail "--init xavier changes nothing"
succeeds 0 inspect xavier --print-config
for line in init=xavier init-distribution=uniform init-gain=paper; do
    [ "$(grep -cF -e "$line " out)" = 1 ] || fail "$last: '$line' is not in it once"
done
! grep -qE '^init-(fan|bound|constant)=' out || fail "$last: options without a meaning are in it"
/usr/bin/python3 -c 'import h5py, json; print(json.loads(h5py.File("xavier/latest")["model/config/data"][()])["init"])' |
    grep -qx xavier || fail "not in the model's configuration"
refuses 1 1 "linear layers began as xavier (uniform, gain paper) and not as gpt2 (std 0.02)" -- \
    "${run_options[@]}" --save again --resume xavier/step-00000002.h5
succeeds 1 "${run_options[@]}" --save again --resume xavier/step-00000002.h5 --init xavier \
    --init-distribution uniform
[ "$(digest_of again)" = "$(digest_of xavier)" ] || fail "resumed: another digest"

# Texts of a checkpoint that anybody may have made don't move the cursor.
cp first/latest hostile.h5
/usr/bin/python3 - << 'PYTHON'
import h5py
with h5py.File("hostile.h5", "r+") as f:
    del f["state/options/data"]
    f.create_dataset("state/options/data", data="save=\x1b]0;mine\x07\n", dtype=h5py.string_dtype())
    f.attrs.create("creator_version", "1\x1b[2J\u009b2J", dtype=h5py.string_dtype())
PYTHON
succeeds 0 inspect hostile.h5 --print-config
says 'save=\x1b]0;mine\x07'
succeeds 0 inspect hostile.h5
says 'by evengrad 1\x1b[2J\xc2\x9b2J'
! grep -q $'\e' out || fail "$last: sends control characters"

# Where the command line decides otherwise, what depended on it in the recipe is dropped.
succeeds 0 train --config printed.ini --print-config --optimizer sgd
! grep -q '^adam' out || fail "$last: AdamW's options for SGD"
# Without any option it is a template.
succeeds 0 train --print-config
says "# data= "
finish
