#!/usr/bin/env bash
# inspect --verify: the ledger of real runs, killed, resumed and cut in every way, proves what was
# logged of them; and what somebody changed is found and named.
# usage: verify.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

job=(train --data "$pairs" --valid-fraction 0.02 "${tiny[@]}" --train-iters 40 --save-interval 5
    --keep-last 0)
# verified FOLDER TEXT...: it is, and each TEXT is in what is said.
verified() {
    succeeds 0 inspect --verify "$1"
    shift
    for text in "$@"; do says "$text"; done
}
ledger_of() { (cd "$1" && for file in ledger-*; do echo "$file $("$evengrad" inspect --digest "$file")"; done); }

# ------------------------------------------------------------------------------- the same everywhere
succeeds 0 "${job[@]}" --save straight
verified straight "straight/step-00000040.h5" "steps 1 to 40:" "40 updates, loss reduction token-mean" \
    "all loss tokens of a step weigh the same" "curves and metrics.jsonl have the same losses" "40 of 40 a factor of 2"
summary=$(tail -n +2 out)
reference=$(ledger_of straight)
[ "$(wc -l <<< "$reference")" = 8 ] || fail "8 saves, but $reference"
for layout in "2 0" "3 2" "4 1"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" "${job[@]}" --save run --overwrite --ranks-per-node "$per_node"
    [ "$(ledger_of run)" = "$reference" ] || fail "$layout: another ledger"
done
/usr/bin/python3 - straight run << 'PYTHON' || fail "ledgers compared by h5py"
import sys, glob, h5py, numpy as np
ranks = set()
for one in sorted(glob.glob(sys.argv[1] + "/ledger-*.h5")):
    with h5py.File(one) as a, h5py.File(one.replace(sys.argv[1], sys.argv[2], 1)) as b:
        for table in ("steps", "micro_batches"):
            assert set(a[table]) == set(b[table])
            for name in set(a[table]) - {"rank", "seconds"}:
                x, y = a[table][name][:], b[table][name][:]
                assert x.dtype == y.dtype and x.tobytes() == y.tobytes(), (one, name)
        ranks |= set(b["micro_batches/rank"][:])
assert ranks == {0, 1, 2, 3}, ranks
PYTHON

# The parts of a run: to its end on one layout, then from step 15 on on another, elsewhere and here.
succeeds 2 "${job[@]}" --save elsewhere --resume straight/step-00000015.h5
verified elsewhere "steps 1 to 40:" "and, from step 16 on, metrics.jsonl"
[ "$(ledger_of elsewhere)" = "$reference" ] || fail "resumed elsewhere: another ledger"
succeeds 3 "${job[@]}" --save run --resume run/step-00000015.h5
verified run
[ "$(tail -n +2 out)" = "$summary" ] || fail "resumed in place: another summary"
[ "$(ledger_of run)" = "$reference" ] || fail "resumed in place: another ledger"
# With other intervals a segment is cut.
succeeds 1 "${job[@]}" --save cut --save-interval 20
rm cut/step-00000040.h5
cp straight/step-00000025.h5 cut
succeeds 2 "${job[@]}" --save cut --resume cut/step-00000025.h5
[ "$(cd cut && echo ledger-*)" = "$(printf 'ledger-%08d.h5 ' 20 25 30 35 40 | sed 's/ $//')" ] ||
    fail "cut: $(ls cut)"
verified cut
[ "$(tail -n +2 out)" = "$summary" ] || fail "cut: another summary"

# ------------------------------------------------------------------------------------- after a kill
mpirun --bind-to none --oversubscribe -n 2 "$evengrad" "${job[@]}" --save killed --train-iters 100000 \
    --lr-decay-style constant > out 2> err < /dev/null &
launcher=$!
tries=0
until [ -e killed/step-00000010.h5 ] || [ $((tries += 1)) = 6000 ]; do sleep 0.01; done
killall_of() { for each in $(pgrep -P "$1"); do kill -KILL "$each"; done; kill -KILL "$1"; }
killall_of $launcher
wait $launcher 2> /dev/null
verified killed
# As if the kill had come between ledger and checkpoint: what is ahead doesn't count, and goes.
latest=$(readlink killed/latest)
latest=${latest#step-}
step=$((10#${latest%.h5}))
cp straight/ledger-00000040.h5 "killed/$(printf 'ledger-%08d.h5' $((step + 5)))"
verified killed "steps 1 to $step:"
succeeds 3 "${job[@]}" --save killed --resume --train-iters $((step + 7)) --lr-decay-style constant
verified killed "steps 1 to $((step + 7)):"
rm -rf killed

# ------------------------------------------------------------------------------------ every reduction
for reduction in sequence-mean sum constant:9 micro-batch-mean rank-mean:3; do
    succeeds 2 "${job[@]}" --save reduced --overwrite --train-iters 10 --loss-reduction "$reduction" --clip-grad 0.5
    verified reduced "steps 1 to 10:" "loss reduction $reduction"
    case $reduction in
    sum | constant:*) says "all loss tokens of a step weigh the same" ;;
    *) says "loss tokens of a step weigh differently" ;;
    esac
done
rm -rf reduced

# --------------------------------------------------------------------------------------------- forged
# forged FILE SCRIPT TEXT...: verify names each TEXT when the script has changed FILE of the run.
forged() {
    local file=$1 script=$2
    shift 2
    rm -rf forged
    cp -r straight forged
    /usr/bin/python3 -c "import h5py
f = h5py.File('forged/$file', 'r+')
$script" || fail "$file: the script failed"
    refuses 1 0 "$@" -- inspect --verify forged
}
forged step-00000040.h5 "f['training/loss/train_loss'][12] *= 1 + 2**-52" \
    "forged/ledger-00000015.h5: step 13: " "forged/step-00000040.h5: its loss is" "steps 1 to 12 follow"
forged step-00000040.h5 "f['training/tokens/tokens'][12] += 1" "step 13: " "its number of loss tokens is"
forged step-00000040.h5 "f['training/grad_norm/before_clip'][12] *= 2" "step 13: " "its gradient norm is"
forged step-00000040.h5 "f['state/updates'][()] -= 1" "counts 39 updates, the ledger 40"
# What is wrong is said before that the digest is wrong; of what follows from nothing, only that.
forged ledger-00000015.h5 "f['micro_batches/loss'][3] *= 2" "ledger-00000015.h5: step 11: " "its loss is"
forged ledger-00000015.h5 "f['steps/lr'][3] *= 2" "ledger-00000015.h5: step 14: " "its learning rate is"
forged ledger-00000015.h5 "f['micro_batches/squared_norm'][3] *= 1 + 2**-40" "ledger-00000015.h5: its digest is"
forged step-00000040.h5 "f['training/skipped/skipped'][12] = 1" "step 13: " "its mark of a skipped update is 1"
# changed SED TEXT...: of metrics.jsonl
changed() {
    local script=$1
    shift
    rm -rf forged
    cp -r straight forged
    sed -i -E "$script" forged/metrics.jsonl
    refuses 1 0 "$@" -- inspect --verify forged
}
changed '/"step":13,/s/"loss_tokens":/&1/' "ledger-00000015.h5: step 13: " "forged/metrics.jsonl, line 13: \"loss_tokens\" is 1"
changed '/"step":13,/s/"loss":[0-9.]+/"loss":2.5/' 'forged/metrics.jsonl, line 13: "loss" is 2.5'
changed '/"step":13,/s/"lr":[-0-9.e]+/"lr":"x"/' 'forged/metrics.jsonl, line 13: "lr" is not a number'
changed '/"step":13,/s/"skipped":false/"skipped":true/' 'line 13: "skipped" is true, the ledger has false'
changed '/"step":40,/s/.*/&\n{"step":3,"loss_tokens":9}/' "forged/metrics.jsonl, line" "is about step 3, which was before"
changed d "forged/metrics.jsonl: has no line about a step"
changed '/"step":13,/d' "step 13: " "forged/metrics.jsonl, line 13: is about step 14"
changed '/"step":13,/s/.*/&\n&/' "step 14: " "forged/metrics.jsonl, line 14: is about step 13"
changed '/"step":40,/,$d' "step 40: " "forged/metrics.jsonl ends before it"
changed '/"step":13,/s/.*/{"step":/' "forged/metrics.jsonl, line 13: is not what training writes"

# removed FILE TEXT...
removed() {
    rm -rf forged
    cp -r straight forged
    rm "forged/$1"
    shift
    refuses 1 0 "$@" -- inspect --verify forged
}
removed ledger-00000005.h5 "ledger-00000010.h5: step 6: follows step 0: what is between them is missing"
removed ledger-00000020.h5 "ledger-00000025.h5: step 21: follows step 15" "steps 1 to 15 follow"
removed ledger-00000040.h5 "the ledger of steps 36 to 40 is missing" "steps 1 to 35 follow"
rm forged/ledger-*
refuses 1 0 "the ledger of steps 1 to 40 is missing" -- inspect --verify forged
rm -rf forged
cp -r straight forged
cp cut/ledger-00000020.h5 forged/ledger-00000020.h5
refuses 1 0 "forged/ledger-00000020.h5: step 1: is there twice" "step 16 comes next" -- inspect --verify forged
cp straight/ledger-00000015.h5 forged/ledger-00000020.h5
refuses 1 0 "forged/ledger-00000020.h5: ends with step 15" -- inspect --verify forged
truncate -s 9000 forged/ledger-00000020.h5
refuses 1 0 "forged/ledger-00000020.h5" -- inspect --verify forged
rm forged/metrics.jsonl
cp straight/ledger-00000020.h5 forged
verified forged "nothing of metrics.jsonl, which is not there"

# A checkpoint from before there were ledgers: said, and the certificate begins behind it.
cp straight/metrics.jsonl forged
rm forged/ledger-*
succeeds 1 "${job[@]}" --save forged --resume forged/step-00000020.h5
grep -q 'no ledger of steps 1 to 20 in' err || fail "$last: $(cat err)"
verified forged "steps 21 to 40:" "nothing of steps 1 to 20"
succeeds 2 "${job[@]}" --save forged --resume forged/step-00000030.h5
verified forged "steps 21 to 40:"
# Lines of metrics.jsonl that were lost come back from the checkpoint's curves.
sed -i '3,7d' forged/metrics.jsonl
rm forged/ledger-*
cp straight/ledger-* forged
succeeds 2 "${job[@]}" --save forged --resume forged/step-00000030.h5
verified forged "steps 1 to 40:" "curves and metrics.jsonl have the same losses"

# ---------------------------------------------------------------------------------------- wrong use
verified straight/ledger-00000020.h5 "steps 16 to 20:"
refuses 2 0 "--print-config: a ledger has no recipe" -- inspect --print-config straight/ledger-00000020.h5
refuses 2 0 "--digest" -- inspect --verify --digest straight
refuses 1 0 "there is no checkpoint at none" -- inspect --verify none
finish
