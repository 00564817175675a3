#!/usr/bin/env bash
# One run, cut in every way: ranks, nodes, BLAS flavor, a resume in between. The digest of weights,
# moments and state must be the same, and so must the metrics.
# usage: layouts.sh EVENGRAD SOURCE_DIR [EVENGRAD_WITH_ANOTHER_BLAS]
other_blas=${3:+$(realpath "$3")}
source "$(dirname "$0")/helpers.sh"

job=(train --data "$pairs" --valid-fraction 0.02 --eval-interval 10 --dropout 0.1 --train-iters 20
    "${tiny[@]}")

# What must not depend on the layout, of a metrics file.
curve() {
    sed -E 's/"seconds".*//' "$1/metrics.jsonl"
}

# same_as_reference FOLDER WHAT
same_as_reference() {
    local found
    found=$(digest_of "$1")
    [ "$found" = "$reference" ] || fail "$2: digest $found, not $reference"
    [ "$(curve "$1")" = "$(curve alone)" ] || fail "$2: other metrics"
}

succeeds 0 "${job[@]}" --save alone
reference=$(digest_of alone)
echo "digest $reference"
[ ${#reference} -ge 16 ] || fail "no digest: '$reference'"
succeeds 0 "${job[@]}" --save other --seed 6
[ "$(digest_of other)" != "$reference" ] || fail "another seed gives the same digest"

for layout in "1 0" "2 0" "3 0" "4 0" "2 1" "3 1" "3 2" "4 1" "4 2" "4 3"; do
    read -r ranks per_node <<< "$layout"
    succeeds "$ranks" "${job[@]}" --save run --overwrite --ranks-per-node "$per_node"
    same_as_reference run "$ranks ranks, $per_node per node"
done

if [ -n "$other_blas" ]; then
    first=$evengrad
    evengrad=$other_blas
    succeeds 0 "${job[@]}" --save run --overwrite
    same_as_reference run "the other BLAS, alone"
    succeeds 3 "${job[@]}" --save run --overwrite --ranks-per-node 2
    same_as_reference run "the other BLAS, 3 ranks"
    evengrad=$first
else
    echo "no other BLAS flavor was built: not compared"
fi

# Ten steps, then the other ten on another number of ranks, into another folder ...
succeeds 2 "${job[@]}" --save halves --save-interval 10
same_as_reference halves "saved at step 10, too"
for ranks in 1 3 4; do
    succeeds "$ranks" "${job[@]}" --resume halves/step-00000010.h5 --save "from$ranks"
    [ "$(digest_of "from$ranks")" = "$reference" ] || fail "resumed on $ranks ranks: another digest"
    first_step=$(head -1 "from$ranks/metrics.jsonl")
    [[ $first_step == '{"step":11,'* ]] || fail "resumed at the wrong step: $first_step"
done
# (... also where an earlier run was; but not where it goes on from)
succeeds 1 "${job[@]}" --resume halves/step-00000010.h5 --save from3 --overwrite
[ "$(digest_of from3)" = "$reference" ] || fail "resumed in place of another run: another digest"
refuses 1 2 "would replace the run that it goes on with" -- \
    "${job[@]}" --resume halves/step-00000010.h5 --save halves --overwrite
same_as_reference halves "not overwritten"

# ... and in place, as after a crash: metrics are ahead of the checkpoint and end in half a line.
rm halves/step-00000020.h5
ln -sfn step-00000010.h5 halves/latest
printf '{"step":21,"epo' >> halves/metrics.jsonl
succeeds 3 "${job[@]}" --resume --save halves --ranks-per-node 2
same_as_reference halves "resumed in place"

# A whole run, resumed: nothing is left to do, and nothing changes.
succeeds 1 "${job[@]}" --resume --save halves
same_as_reference halves "resumed at its end"
finish
