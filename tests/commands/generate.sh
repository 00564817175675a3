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
    model=gpt layer-widths= residual=false norm=none loss=cross-entropy activation= \
    negative-slope=0.01 header=auto input-normalization=none init= init-method-std=0.02 init-bound=0 init-constant=0 init-distribution=normal init-fan=in \
    init-gain=paper dropout=0 sequences=documents global-batch-size=32 micro-batch-size=4 \
    micro-batch-tokens=0 train-iters=1000 optimizer=adamw lr=0.0003 min-lr=0 lr-decay-style=cosine \
    lr-warmup-iters=0 weight-decay=0.1 adam-beta1=0.9 adam-beta2=0.95 adam-eps=1e-08 clip-grad=1 \
    momentum=0.9 rmsprop-alpha=0.99 lion-beta2=0.99 lr-decay-iters=0 lr-gamma=0.1 lr-milestones= \
    seed=1234 save-interval=0 log-interval=10 eval-interval=0 eval-iters=0 early-stop-patience=0 early-stop-min-delta=0 ranks-per-node=0 \
    allow-mixed-cpus=false
grep -q -- '--resume' out || fail "train --help: no --resume"
help_lists generate checkpoint= prompt= prompts= output= max-new-tokens=200 stop= temperature=1 \
    top-k=0 top-p=1 seed=1234 log-level=info
help_lists inspect digest=false
help_lists evaluate checkpoint= data= sequences= json= ranks-per-node=0 allow-mixed-cpus=false \
    log-level=info
help_lists bench num-layers=6 hidden-size=384 num-attention-heads=6 seq-length=256 \
    micro-batch-size=8 micro-batches-per-rank=2 ranks-per-node=0 steps=5 \
    predict=false nodes=1024 node-ranks=0 networks=1:50,10:25,100:2 global-batch-size=0
succeeds 0 --help
for verb in train generate inspect evaluate bench; do says "evengrad $verb"; done
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
for word in "step 5" "2 layers x 24" adamw "held out" blocks.1.attn.qkv.weight \
    "backward std" "blocks.1.mlp.fc  "; do says "$word"; done
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
generated cold1 --temperature 0
generated cold2 --temperature 0
generated one --top-k 1 --seed 3
generated nucleus --top-p 1e-9 --seed 3
cmp a b || fail "the same seed gives another text"
! cmp -s a c || fail "another seed gives the same text"
cmp cold1 cold2 || fail "the likeliest text is not always the same"
cmp cold1 one || fail "the likeliest of one is not the likeliest"
cmp cold1 nucleus || fail "the smallest nucleus is not the likeliest"
! cmp -s a cold1 || fail "temperature 0 changes nothing"

# Far beyond the model's 96 tokens, twice; the beginning is that of the shorter text.
for name in long1 long2; do
    succeeds 0 generate --checkpoint run --prompt "Ahab said" --max-new-tokens 400 --seed 1
    mv out $name
done
cmp long1 long2 || fail "the same seed gives another long text"
[ "$(wc -c < long1)" -gt 100 ] || fail "the long text is short: $(cat long1)"
cmp -s -n "$(($(wc -c < a) - 1))" a long1 || fail "--max-new-tokens changes the text before its end"

# A prompt longer than the model's window: said once, and the last tokens count.
tail=$(printf 'b%.0s' {1..96})
generated_after() {
    succeeds 0 generate --checkpoint run --prompt "$1$tail" --max-new-tokens 20 --top-k 1
    [ "$(grep -c 'longer than the model' err)" = 1 ] || fail "$last: said otherwise: $(cat err)"
    sed "s/^.*$tail//" out
}
[ "$(generated_after one)" = "$(generated_after two)" ] || fail "what the model can't see matters"

# A file of prompts: each result is that of the prompt alone, whatever stands around it.
printf 'Ahab said\nThe whale\n\nAhab said\n' > prompts.txt
printf '%s\n' '{"prompt": "The whale", "completion": "?"}' '{"prompt": "line\nbreak"}' \
    '{"prompt": "Ahab said"}' > prompts.jsonl
echo "The whale" > whale.txt
results() { # FILE OPTIONS...: results of a file of prompts
    succeeds 0 generate --checkpoint run --max-new-tokens 40 --seed 1 --prompts "$@"
}
results whale.txt
cp out whale
grep -qE '^\{"prompt":"The whale","text":".+","tokens":[0-9]+,"stopped_by":"(max_new_tokens|end_of_text)"\}$' \
    whale || fail "$last: $(cat whale)"
results prompts.txt
[ "$(wc -l < out)" = 3 ] || fail "three prompts, $(wc -l < out) results"
sed -n 2p out | cmp - whale || fail "the prompt before changes a text"
[ "$(sed -n 1p out)" != "$(sed -n 3p out)" ] || fail "a prompt given twice has one text"
sed -n 1p out > ahab
echo old > results
results prompts.jsonl --output results
[ ! -s out ] || fail "$last: prints $(cat out)"
sed -n 1p results | cmp - whale || fail "the kind of file changes a text"
sed -n 3p results | cmp - ahab || fail "a prompt's place in the file changes its text"
[ "$(wc -l < results)" = 3 ] || fail "$last: $(cat results)"
[ ! -e results.tmp ] || fail "a part of a file stays"

# Stop strings, one or several. (What exactly they do: train_generate, train_stop_text.) Letters
# that JSON's escapes don't have; the model's bytes are nearly random.
letters=(g h i j k l m o p q s v w x y z G H I J K L M N O P Q R S T U V W X Y Z)
results prompts.txt --stop "${letters[@]}"
grep -q '"stopped_by":"stop"' out || fail "$last: $(cat out)"
pattern=$(printf '%s' "${letters[@]}")
! sed 's/.*"text"://; s/,"tokens".*//' out | grep -q "[$pattern]" || fail "$last: goes on: $(cat out)"
results prompts.txt --max-new-tokens 4000 --stop w
grep -qE '"stopped_by":"(stop|end_of_text)"' out || fail "$last: $(cat out)"

# A bad file leaves earlier results as they are, and names the line.
printf '{"prompt": "a"}\n{"prompt": 1}\n' > bad.jsonl
cp results before
refuses 1 0 'bad.jsonl line 2: has no "prompt" that is a text' -- \
    generate --checkpoint run --prompts bad.jsonl --output results
refuses 1 0 "cannot write none/results: No such file or directory" -- \
    generate --checkpoint run --prompts prompts.txt --output none/results
refuses 1 0 "none.txt: there is no such file" -- generate --checkpoint run --prompts none.txt
cmp results before || fail "a refused command changed results"
[ ! -e results.tmp ] || fail "a part of a file stays"
refuses 2 0 "6 problems" "--prompt and --prompts contradict" "--top-p must be above 0 and at most 1, not 0" \
    "--stop: an empty text would end everything" "--max-new-tokens must be between 1 and" \
    "unknown option --topk (--top-k?)" "--temperature must be between 0 and 100, not -1" -- \
    generate --checkpoint run --prompt a --prompts prompts.txt --top-p 0 --stop a "" \
    --max-new-tokens 0 --temperature -1 --topk 3
refuses 2 0 "--output means nothing without --prompts" -- generate --checkpoint run --output results
refuses 2 0 "--top-k means nothing with --temperature 0" -- \
    generate --checkpoint run --temperature 0 --top-k 4
refuses 2 0 "--prompt: not valid UTF-8, byte 2" -- generate --checkpoint run --prompt $'a\xff'
if [ -e /dev/full ]; then
    "$evengrad" generate --checkpoint run --prompt a --max-new-tokens 5 > /dev/full 2> err
    code=$?
    [ $code = 1 ] && grep -q "cannot write to standard output: No space left" err ||
        fail "standard output is full: exit code $code, $(cat err)"
fi

for ranks in 0 1 2; do
    succeeds $ranks bench --steps 1 --num-layers 1 --hidden-size 16 --num-attention-heads 2 \
        --seq-length 32 --micro-batch-size 2
    for word in plan compute accumulate wait reduce update share tokens/s "GFLOP/s" \
        "% of the sgemm peak" "bytes a parameter"; do
        says "$word"
    done
done

# rows: of the table for each network, nodes and tokens a second; efficiency is that of one node's.
rows() { awk '$2 == "Gbit/s," { on = $1 } on && $1 ~ /^[0-9]+$/ && NF > 8 { print on, $1, $8, $9 }' out; }
tiny_bench=(bench --steps 1 --num-layers 1 --hidden-size 16 --num-attention-heads 2 --seq-length 32
            --micro-batch-size 2 --predict)
for layout in "0 0" "2 0" "2 1"; do
    read -r ranks per_node <<< "$layout"
    succeeds $ranks "${tiny_bench[@]}" --ranks-per-node $per_node --nodes 6 --networks 1:50,1000:0
    says "nodes of $((ranks > per_node && per_node == 0 ? ranks : 1)) rank"
    says "2 for each rank"
    [ "$(rows | cut -d ' ' -f 1,2 | tr '\n' ' ')" = "1 1 1 2 1 4 1 6 1000 1 1000 2 1000 4 1000 6 " ] ||
        { fail "$last: other rows"; cat out; }
    rows | awk '$2 == 1 && $4 != 100 { exit 1 }' || fail "$last: one node isn't as fast as itself"
done
succeeds 1 "${tiny_bench[@]}" --node-ranks 5 --global-batch-size 7 --nodes 1
says "nodes of 5 ranks, each as fast as measured; micro-batches of 2 sequences: 4 a step"
finish
