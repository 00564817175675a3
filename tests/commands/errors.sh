#!/usr/bin/env bash
# What people and machines get wrong: one clear error each, the right exit code, no hang on any rank.
# usage: errors.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

good=(train --data "$pairs" --save run "${tiny[@]}" --train-iters 4)

# ------------------------------------------------------------------------------------ wrong use: 2
refuses 2 0 "there is no verb 'trian'" -- trian
run 0
[ $code = 2 ] || fail "no verb at all: exit code $code"
for ranks in 0 2; do
    # All problems are reported together; a misspelled option doesn't become another one.
    refuses 2 $ranks "6 problems" "unknown option --bogus" "unknown option --num-layer (--num-layers?)" \
        "--lr: 'abc' is not a number" "--min-lr needs a value" \
        "--data is missing" "--save is missing" -- \
        train --bogus 3 --num-layer 2 --lr abc --min-lr
done
# refuses_options TEXT OPTIONS...
refuses_options() {
    local text=$1
    shift
    refuses 2 0 "$text" -- "${good[@]}" "$@"
}
refuses_options "unknown option --glob" --glob 3
refuses_options "'extra' is not an option" extra
refuses_options "'-n' is not an option" -n
refuses_options "--init can be zeros, constant, uniform, normal, truncated-normal, lecun, xavier, he, orthogonal, gpt2, not 'glorot'" --init glorot
refuses_options "--init constant: --init-constant is missing" --init constant
refuses_options "--init-gain softmax: can be paper, activation, identity, " --init he --init-gain softmax
refuses 2 0 "6 problems" "--init-bound means nothing with --init orthogonal" \
    "--init-constant means nothing with --init orthogonal" \
    "--init-distribution means nothing with --init orthogonal" \
    "--init-fan means nothing with --init orthogonal" "--init-fan can be in, out, average, not 'sum'" \
    "--init-method-std must be above 0" -- "${good[@]}" --init orthogonal --init-bound 0 \
    --init-constant 1 --init-distribution normal --init-fan sum --init-method-std 0
refuses_options "--init-fan means nothing with --init xavier" --init xavier --init-fan in
refuses_options "--init-gain means nothing without --init" --init-gain relu
refuses_options "--lr: '' is not a number" --lr=
refuses_options "--lr must be above 0 and at most 1e9, not nan" --lr nan
refuses_options "--lr must be above 0 and at most 1e9, not -1" --lr -1
refuses_options "--lr: '1e-3x' is not a number" --lr 1e-3x
refuses_options "--num-layers: '1e3' is not a whole number" --num-layers 1e3
refuses_options "--num-layers must be between 1 and" --num-layers 0
refuses_options "--seed: 99999999999999999999 has too many digits" --seed 99999999999999999999
refuses_options "--seed: must be at least 0, not -1" --seed -1
refuses_options "--seed must be below 2^56" --seed 72057594037927936
refuses_options "--ranks-per-node: 3000000000 has too many digits" --ranks-per-node 3000000000
refuses_options "--ranks-per-node must be at least 0, not -1" --ranks-per-node -1
refuses_options "--hidden-size 30 is not divisible by --num-attention-heads 4" \
    --hidden-size 30 --num-attention-heads 4
refuses_options "--global-batch-size must be at least 1, not -3" --global-batch-size -3
refuses_options "--micro-batch-tokens must be at least 1, not -2" --micro-batch-tokens -2
refuses_options "--seq-length must be between 1 and" --seq-length 0
refuses_options "--dropout must be at least 0 and below 1, not 1.5" --dropout 1.5
refuses_options "--optimizer can be sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, lion, not 'sgdw'" \
    --optimizer sgdw
refuses_options "--loss-reduction mean: can be token-mean, sequence-mean, sum" --loss-reduction mean
refuses_options "--sequences can be documents, stream, not 'lines'" --sequences lines
refuses_options "--log-interval must be at least 0, not -1" --log-interval -1
refuses_options "--log-interval means nothing with --log-level warning" --log-interval 5 --log-level warning
refuses_options "--save-gradients 1,x: steps" --save-gradients 1,x
refuses_options "--save-gradients: the steps are 1 to 4 (--train-iters); there is no step 5" \
    --save-gradients 5,1
refuses_options "--clip-grad must be at least 0, not -1" --clip-grad -1
refuses_options "--lr-warmup-iters 9 is above --train-iters 4" --lr-warmup-iters 9
refuses_options "--valid-fraction must be at least 0 and below 1, not 1" --valid-fraction 1
refuses_options "--overwrite: 'maybe' is not true or false" --overwrite maybe
refuses_options "--valid-data and --valid-fraction contradict each other" \
    --valid-data "$pairs" --valid-fraction 0.1
refuses_options "--micro-batch-size and --micro-batch-tokens contradict each other" \
    --micro-batch-size 4
refuses_options "--resume and --overwrite contradict each other" --resume --overwrite
refuses_options "--adam-eps means nothing with --optimizer sgd" --optimizer sgd --adam-eps 1e-6
refuses_options "--min-lr means nothing with --lr-decay-style constant" \
    --lr-decay-style constant --min-lr 1e-5
refuses_options "--global-batch-size must be at most" --global-batch-size 9223372036854775807
refuses_options "--lr must be above 0 and at most 1e9" --lr 1e300
refuses_options "--eval-interval means nothing without --valid-data or --valid-fraction" --eval-interval 2
refuses 2 0 "--save needs a value" -- train --data "$pairs" --save --lr 1
refuses 2 0 "2 problems" "--temperature must be between 0 and 100, not -1" \
    "--top-k must be at least 0, not -3" -- \
    generate --checkpoint run --temperature -1 --top-k -3
refuses 2 0 "--temperature: 'warm' is not a number" -- generate --checkpoint x --temperature warm
refuses 2 0 "--checkpoint is missing" -- generate
refuses 2 0 "one checkpoint, run folder or prepared file is needed, not 0" -- inspect
refuses 2 0 "one checkpoint, run folder or prepared file is needed, not 2" -- inspect a b
refuses 2 0 "unknown option --digst (--digest?)" -- inspect a --digst
refuses 2 2 "--steps must be between 1 and 100000" -- bench --steps 0
refuses 2 0 "--nodes means nothing without --predict" -- bench --nodes 4
refuses 2 2 "3 problems" "--nodes must be between 1 and 10000, not 0" \
    "--node-ranks must be between 0 and 1000, not -1" \
    "--networks: '1:50,' is not GBIT:MICROSECONDS,... as in 1:50,10:25" -- \
    bench --predict --nodes 0 --node-ranks -1 --networks 1:50,
for networks in "" 1 1: :5 0:5 1:-5 1:5:5 1,5 nan:1 1:inf x:y; do
    refuses 2 0 "--networks: '$networks' is not" -- bench --predict --networks="$networks"
done

# ---------------------------------------------------------------------------------------- recipes
refuses_options "--config none.ini: No such file" --config none.ini
refuses_options "--config .: is a folder" --config .
printf 'lr=0.1\0' > zero.ini
refuses_options "--config zero.ini: not a recipe (it has a byte 0)" --config zero.ini
head -c 2000000 /dev/zero | tr '\0' '#' > long.ini
refuses_options "--config long.ini: not a recipe (longer than 1 MiB" --config long.ini
printf 'num-layer=3\n# a comment\nhidden-size 24\nclip-grad=x # broken\n[section]\nconfig=more.ini\n' \
    > broken.ini
refuses 2 2 "broken.ini line 1: unknown option --num-layer (--num-layers?)" \
    "broken.ini line 3: 'hidden-size 24' is not OPTION=VALUE" \
    "broken.ini line 4: --clip-grad: 'x' is not a number" \
    "broken.ini line 5: '[section]' is not OPTION=VALUE" \
    "broken.ini line 6: --config belongs on the command line" -- \
    "${good[@]}" --config broken.ini
[ ! -e run ] || fail "a refused command line left a folder behind"

# An editor's byte order mark belongs to no option.
printf '\xef\xbb\xbflog-interval=-1\n' > mark.ini
refuses_options "--log-interval must be at least 0, not -1" --config mark.ini

# The command line beats the recipe (also where it says the same in another way); of a repeated
# option the last wins.
printf 'lr = 0.5 # first\nlr=0.25\nlr-decay-style=constant\nmicro-batch-size=3\n' > fine.ini
printf 'seed=7\nseed=8\ntrain-iters=3\n' >> fine.ini
lr_of() { sed -nE '1s/.*"lr":([^,]*),.*/\1/p' "$1/metrics.jsonl"; }
small=(train --data "$pairs" --num-layers 1 --hidden-size 16 --num-attention-heads 2 --seq-length 32)
succeeds 0 "${small[@]}" --config fine.ini --save recipe
[ "$(lr_of recipe)" = 0.25 ] || fail "a recipe's last lr: $(lr_of recipe)"
succeeds 2 "${small[@]}" --config fine.ini --save above --lr 0.1 --micro-batch-tokens 96 --lr 0.0625
[ "$(lr_of above)" = 0.0625 ] || fail "the command line's last lr: $(lr_of above)"
[ "$(wc -l < above/metrics.jsonl)" = 3 ] || fail "train-iters of the recipe was not used"
succeeds 0 inspect recipe
says "seed 8"

# --------------------------------------------------------------------------------------- the data
mkdir folder folder.txt
: > empty.txt
printf '\n\n' > blank.jsonl
echo "a,b" > table.csv
printf '{"text": "one"}\n{"text": "two"\n' > broken.jsonl
printf '{"text": "one"}\n\n{"text": "\xff"}\n' > bytes.jsonl
printf 'one\ntwo \xc3\n' > bytes.txt
printf '{"text": "one"}\n{"prompt": "one"}\n' > half.jsonl
refuses_data() {
    local ranks=$1 file=$2 text=$3
    refuses 1 "$ranks" "$text" -- "${good[@]}" --data "$file"
}
for ranks in 0 2; do
    refuses_data $ranks none.txt "none.txt: there is no such file"
    refuses_data $ranks broken.jsonl "broken.jsonl line 2, byte"
done
refuses_data 0 folder.txt "folder.txt: is a folder"
refuses_data 0 empty.txt "empty.txt: the file is empty"
refuses_data 0 blank.jsonl "blank.jsonl: no documents"
refuses_data 0 folder "folder: is a folder, not a file"
refuses_data 0 bytes.jsonl "bytes.jsonl line 3, byte 11: not valid UTF-8"
refuses_data 0 bytes.txt "bytes.txt line 2: not valid UTF-8"
refuses_data 0 half.jsonl "half.jsonl line 2: \"prompt\" without \"completion\""
refuses 1 2 "none.jsonl: there is no such file" -- "${good[@]}" --valid-data none.jsonl
# What is wrong whatever the files hold is wrong use.
refuses 2 0 "table.csv: unknown kind of data file" ".h5 (what evengrad prepare writes)" \
    "tables are for train --model mlp" -- "${good[@]}" --data table.csv
refuses 2 0 "standard input has no extension" "evengrad prepare reads it" -- "${good[@]}" --data -
refuses_options "a share must be above 0 and at most 1e9" --data "$pairs:0"
refuses_options "1 of 2 data files have a share" --data "$pairs:2"
refuses_options "--valid-data: a share means nothing" --valid-data "$pairs:2"
refuses_options "--tokenizer words: there is no such tokenizer" --tokenizer words
refuses_options "--tokenizer ids:5: it must be ids:VOCABULARY:END_OF_TEXT" --tokenizer ids:5
refuses_options "--tokenizer ids:5:5: end of text 5 is not in the vocabulary" --tokenizer ids:5:5
refuses 1 0 "there is no such file" -- "${good[@]}" --tokenizer sentencepiece:none.model
refuses 1 0 "not a SentencePiece model" "hint: name a .model file" -- \
    "${good[@]}" --tokenizer "sentencepiece:$pairs"

# ------------------------------------------------------------------------------------ the machine
export EVENGRAD_SHM_FREE_BYTES=1000
for ranks in 1 2; do
    refuses 1 $ranks "bytes" "of shared memory are needed" "1000 bytes (0.0 MiB) are free" \
        "--shm-size" -- "${good[@]}"
done
refuses 1 3 "of shared memory are needed" -- "${good[@]}" --ranks-per-node 1
unset EVENGRAD_SHM_FREE_BYTES

: > file
refuses 1 0 "--save file: the folder can't be made" -- "${good[@]}" --save file
refuses 1 2 "--save file/run: the folder can't be made" -- "${good[@]}" --save file/run

# An update that overflows is noticed before anything of it is saved.
refuses 1 2 "is not a number" "lower --lr" -- "${good[@]}" --save overflow --optimizer sgd --lr 1e9 \
    --clip-grad 0 --weight-decay 1e35 --train-iters 1
[ ! -e overflow/latest ] || fail "weights that are no numbers were saved"

# Ranks whose BLAS computes other bits.
mixed() {
    last="ranks with different kernels: $*"
    timeout -k 5 60 mpirun --bind-to none --oversubscribe \
        -n 1 env OPENBLAS_CORETYPE=Prescott "$evengrad" "${good[@]}" --save mixed "$@" : \
        -n 1 env OPENBLAS_CORETYPE=Haswell "$evengrad" "${good[@]}" --save mixed "$@" \
        > out 2> err < /dev/null
}
if ldd "$evengrad" | grep -qE 'mkl|blis' || [ "$(uname -m)" != x86_64 ]; then
    echo "mixed processors: not tried, this BLAS has no OPENBLAS_CORETYPE"
else
    mixed && fail "$last: not refused"
    grep -q "don't compute the same bits" err || fail "$last: $(cat err)"
    mixed --allow-mixed-cpus --verify-interval 1 || fail "$last: $(cat err)"
    says "results aren't bit-identical"
fi

# ------------------------------------------------------------------------------------- checkpoints
succeeds 2 "${good[@]}" --save run --save-interval 2
before=$(digest_of run)
echo 'half of it' > run/step-00000006.h5.tmp  # what a killed run left
refuses 1 2 "--save run: the folder holds an earlier run" "--resume goes on with it" -- "${good[@]}"
refuses 1 2 "the architecture" "here" -- "${good[@]}" --resume --num-layers 1
refuses 1 0 "the optimizer is adamw in the checkpoint and sgd here" -- \
    "${good[@]}" --resume --optimizer sgd
refuses 1 2 "--seed is 5 in the checkpoint and 6 here" -- "${good[@]}" --resume --seed 6
echo '{"text": "other data, other order"}' > other.jsonl
refuses 1 2 "--data is tokens of digest" -- "${good[@]}" --resume --data other.jsonl
refuses 1 2 "--valid-fraction is 0 in the checkpoint and 0.1 here, which leaves other data to train on" \
    "--override data" -- "${good[@]}" --resume --valid-fraction 0.1
for ranks in 0 2; do
    refuses 1 $ranks "there is no checkpoint at nothing" -- "${good[@]}" --resume nothing
    refuses 1 $ranks "there is no checkpoint at new" -- "${good[@]}" --resume --save new
done
head -c 20000 run/step-00000004.h5 > short.h5
refuses 1 2 "short.h5: H5Fopen failed" "the file was cut off" -- "${good[@]}" --save new --resume short.h5
refuses 1 0 "is not an HDF5 file" -- "${good[@]}" --save new --resume "$pairs"
refuses 1 2 "--global-batch-size is 24 in the checkpoint and 12 here" -- "${good[@]}" --resume --global-batch-size 12
cp -L run/latest copy.h5
refuses 1 2 "--save run: the folder holds an earlier run" -- "${good[@]}" --resume copy.h5
refuses 1 2 "the checkpoint is at step" "beyond --train-iters 1" -- "${good[@]}" --resume --train-iters 1
for verb in "inspect" "generate --checkpoint"; do
    # shellcheck disable=SC2086 # two words
    refuses 1 0 "is not an HDF5 file" -- $verb "$pairs"
    # shellcheck disable=SC2086
    refuses 1 0 "there is no checkpoint at nothing" -- $verb nothing
done
[ "$(digest_of run)" = "$before" ] || fail "a refused run changed the checkpoint"
[ -e run/step-00000006.h5.tmp ] || fail "a refused run removed a file"
[ ! -e new ] || fail "a refused run made a folder"

# A run that was done already.
succeeds 2 "${good[@]}" --save run --resume
grep -qE '^evengrad: info: nothing was left to do: .*/run/step-00000004.h5 is at step 4 of 4$' err ||
    fail "$last: $(cat err)"
grep -qF 'hint: a larger --train-iters goes on' err || fail "$last: no hint"
! grep -q '^done' out || fail "$last: says that it was done now"
[ ! -e run/step-00000006.h5.tmp ] || fail "$last: a half-written file stays"
[ "$(digest_of run)" = "$before" ] || fail "$last: another digest"

# metrics.jsonl with a broken line, and without one.
lines=$(wc -l < run/metrics.jsonl)
sed -i '2s/.*/{"step":/; 3d' run/metrics.jsonl
succeeds 2 "${good[@]}" --save run --resume --train-iters 5
grep -qE 'warning: run/metrics.jsonl line 2: not a line of metrics; .* lacked of steps 2 to 3 was' err ||
    fail "$last: $(cat err)"
[ "$(wc -l < run/metrics.jsonl)" = $((lines + 1)) ] || fail "$last: $(cat run/metrics.jsonl)"
succeeds 2 "${good[@]}" --save run --resume --train-iters 6
[ "$(grep -c warning err)" = 0 ] || fail "$last: warns again: $(cat err)"

# A full disk: the run fails, what was saved before stays whole, nothing half-written stays.
if small_disk disk 3m "a full disk"; then
    succeeds 2 "${good[@]}" --save disk/run --save-interval 2
    before=$(digest_of disk/run)
    dd if=/dev/zero of=disk/filler bs=4k 2> /dev/null
    truncate -s -128k disk/filler  # enough for metrics, too little for a checkpoint
    for ranks in 1 2; do
        refuses 1 $ranks "hint: free some disk space" -- \
            "${good[@]}" --save disk/run --resume --train-iters 6
        [ "$(digest_of disk/run)" = "$before" ] || fail "the full disk: the old checkpoint is lost"
        ! ls disk/run/*.tmp > /dev/null 2>&1 || fail "the full disk: a part of a file stays"
    done
    rm disk/filler
    succeeds 2 "${good[@]}" --save disk/run --resume --train-iters 6
    no_small_disk disk
fi
finish
