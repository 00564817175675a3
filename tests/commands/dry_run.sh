#!/usr/bin/env bash
# --dry-run: says what a run would be, for this launch, and leaves nothing behind.
# usage: dry_run.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

good=(train --data "$pairs" --valid-fraction 0.1 --eval-interval 2 "${tiny[@]}" --train-iters 6
    --save-interval 2)
for ranks in 0 1 3; do
    succeeds $ranks "${good[@]}" --save run --dry-run
    [ ! -s err ] || fail "$last: says something: $(cat err)"
    [ ! -e run ] || fail "$last: made a folder"
    says "dry run for $((ranks > 1 ? ranks : 1)) rank"
done
says "at most 3 on disk at once"
succeeds 2 "${good[@]}" --ranks-per-node 1 --dry-run --init he --init-gain 0.5
says "linear layers begin as he (normal, fan in, gain 0.5)"
succeeds 2 "${good[@]}" --ranks-per-node 1 --dry-run
says "linear layers begin as gpt2 (std 0.02)"
says "dry run for 2 ranks on 2 nodes"
cp out dry

# The run agrees.
succeeds 2 "${good[@]}" --save run --ranks-per-node 1
number() { grep -oE "$1" "$2" | head -1; }
for pattern in '[0-9]+ parameters' '[0-9]+ tokens in [0-9]+ sequences'; do
    [ -n "$(number "$pattern" out)" ] || fail "the run's banner has no '$pattern'"
done
[ "parameters $(number '[0-9]+ parameters' out | grep -oE '[0-9]+')" = "$(number 'parameters [0-9]+' dry)" ] ||
    fail "other parameters: $(number 'parameters [0-9]+' dry)"
[ "$(number '[0-9]+ tokens in [0-9]+ sequences' out)" = "$(number '[0-9]+ tokens in [0-9]+ sequences' dry)" ] ||
    fail "other data"
[ "$(number '[0-9]+ steps an epoch' out | grep -oE '[0-9]+')" = "$(number '[0-9]+ an epoch' dry | grep -oE '[0-9]+')" ] ||
    fail "other steps an epoch"

# What a run would refuse is refused.
refuses 2 2 "--print-config and --dry-run contradict each other" -- \
    "${good[@]}" --dry-run --print-config
refuses 1 2 "none.txt: there is no such file" -- train --data none.txt --dry-run

# A signal ends it at once, also when it has much to count.
for signal in TERM USR1; do
    "$evengrad" train "${good[@]:1}" --dry-run --hidden-size 16383 --num-layers 1000 > out 2> err &
    sleep 1
    kill -s $signal $!
    wait $!
    [ $? -gt 128 ] || fail "--dry-run: SIG$signal did not end it: $(cat out err)"
done

export EVENGRAD_SHM_FREE_BYTES=1000
succeeds 2 "${good[@]}" --dry-run
says "TOO LITTLE"
finish
