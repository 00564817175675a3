#!/usr/bin/env bash
# Runs that are asked to stop, run out of time or disk, or find a damaged checkpoint: what was
# learned stays, and in the end the run is the one that nothing happened to.
# usage: recovery.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

job=(train --data "$pairs" --valid-fraction 0.02 "${tiny[@]}" --train-iters 40 --save-interval 5
    --eval-interval 10)
succeeds 2 "${job[@]}" --save straight --keep-last 0
reference=$(digest_of straight)

# What must not depend on what happened, of a metrics file.
curve() {
    sed -E 's/"seconds".*//' "$1/metrics.jsonl"
}
# made_whole FOLDER WHAT: resumed to its end, it is the run that nothing happened to.
made_whole() {
    succeeds $((RANDOM % 4)) "${job[@]}" --save "$1" --resume
    [ "$(digest_of "$1")" = "$reference" ] || fail "$2: another digest"
    [ "$(curve "$1")" = "$(curve straight)" ] || fail "$2: other metrics"
}
# launch RANKS ARGUMENTS...: evengrad in the background, as process `launcher`; mpirun's options
# come from the array `mpirun_options`.
mpirun_options=()
launch() {
    local ranks=$1
    shift
    last="$ranks ranks: evengrad $*"
    if [ "$ranks" = 0 ]; then
        "$evengrad" "$@" > out 2> err < /dev/null &
    else
        mpirun "${mpirun_options[@]}" --bind-to none --oversubscribe -n "$ranks" "$evengrad" "$@" \
            > out 2> err < /dev/null &
    fi
    launcher=$!
}
files_of() { (cd "$1" && echo step-*); }


# ------------------------------------------------------------------------------------------ signals
endless=(train --data "$pairs" "${tiny[@]}" --lr-decay-style constant --save run)
# stopped WHAT BY: the background run ended as asked, and is as if those were all its steps.
stopped() {
    wait $launcher
    code=$?
    [ $code = 3 ] || fail "$1: exit code $code"
    local text="^evengrad: warning: stopped at step ([0-9]+) of 100000 by $2: saved run/step-[0-9]+\.h5\$"
    if ! grep -qE "$text" err; then
        fail "$1: $(cat err)"
        return
    fi
    grep -q '^hint: go on with --resume' err || fail "$1: no hint"
    ! compgen -G 'run/*.tmp' > /dev/null || fail "$1: a half-written file stays"
    succeeds 1 "${endless[@]}" --save short --overwrite \
        --train-iters "$(sed -nE "s~$text~\1~p" err)"
    [ "$(digest_of run)" = "$(digest_of short)" ] || fail "$1: another digest"
}
for case in "0 USR1" "1 USR2" "2 TERM" "2 USR1" "3 USR2"; do
    read -r ranks signal <<< "$case"
    launch "$ranks" "${endless[@]}" --overwrite --train-iters 100000
    until_true test -s run/metrics.jsonl
    process=$launcher who=0
    if [ "$ranks" != 0 ]; then
        who=$((RANDOM % ranks))
        for each in $(pgrep -P $launcher); do
            ! grep -qzx "OMPI_COMM_WORLD_RANK=$who" "/proc/$each/environ" || process=$each
        done
    fi
    kill "-$signal" "$process"
    stopped "SIG$signal to rank $who of $ranks" "SIG$signal on rank $who"
    rm -rf run
done

# mpirun passes SIGUSR2 on to all ranks.
launch 2 "${endless[@]}" --train-iters 100000
until_true test -s run/metrics.jsonl
kill -USR2 $launcher
stopped "SIGUSR2 to mpirun" "SIGUSR2 on rank [01]"
rm -rf run
# SIGTERM it passes on after odls_base_sigkill_timeout, and kills the ranks after as long again.
# Until it ends it reads nothing of what they print, so they must not fill the pipe to it. Its own
# exit code is not ours then.
mpirun_options=(--mca odls_base_sigkill_timeout 6)
launch 2 "${endless[@]}" --train-iters 100000 --log-interval 100000
until_true test -s run/metrics.jsonl
kill -TERM $launcher
wait $launcher
grep -qE 'stopped at step [0-9]+ of 100000 by SIGTERM on rank [01]: saved run/' err ||
    fail "SIGTERM to mpirun: $(cat err)"
digest_of run > /dev/null
rm -rf run
mpirun_options=()

# --------------------------------------------------------------------------------------- the clock
begun=$SECONDS
run 2 "${endless[@]}" --train-iters 100000 --exit-duration-in-mins 0.05
[ $code = 3 ] || fail "$last: exit code $code"
grep -q 'of 100000 by --exit-duration-in-mins 0.05: saved' err || fail "$last: $(cat err)"
[ $((SECONDS - begun)) -lt 30 ] || fail "$last: took $((SECONDS - begun)) s"
succeeds 1 inspect run
rm -rf run

# --------------------------------------------------------------------------------------- retention
[ "$(files_of straight)" = "$(printf 'step-%08d.h5 ' 5 10 15 20 25 30 35 40 | sed 's/ $//')" ] ||
    fail "--keep-last 0: $(files_of straight)"
succeeds 2 "${job[@]}" --save run
[ "$(files_of run)" = "step-00000035.h5 step-00000040.h5" ] || fail "by default: $(files_of run)"
ln -s step-00000035.h5 run/mine
succeeds 1 "${job[@]}" --save run --resume --train-iters 60 --lr-decay-style constant \
    --keep-last 1 --keep-every 25
[ "$(files_of run)" = "step-00000035.h5 step-00000050.h5 step-00000060.h5" ] ||
    fail "--keep-last 1 --keep-every 25, and a link: $(files_of run)"
rm -rf run

# ------------------------------------------------------------------------------------- a full disk
not_saved() {
    [ "$(grep -cE "^evengrad: warning: step [0-9]+ was not saved to run/step-" err)" -ge "$1" ]
}
# survives_a_full_disk REASON FILL FREE: two functions make the disk full, and not.
survives_a_full_disk() {
    local before digest
    launch 0 "${endless[@]}" --train-iters 100000 --save-interval 20
    until_true test -e run/latest
    filled() { "$1" && not_saved 1; }
    until_true filled "$2"
    "$2"
    before=$(readlink run/latest)
    digest=$(digest_of run)
    until_true not_saved 3
    grep -q "$1" err || fail "no reason: $(cat err)"
    [ "$(readlink run/latest)" = "$before" ] || fail "latest moved from $before without a save"
    [ "$(digest_of run)" = "$digest" ] || fail "the old checkpoint was changed"
    "$3"
    has_moved() { [ "$(readlink run/latest)" != "$before" ]; }
    until_true has_moved
    kill $launcher
    stopped "after the disk was full ($1)" "SIGTERM on rank 0"
    [ "$(curve run)" = "$(curve short)" ] || fail "after the disk was full ($1): other metrics"
    succeeds 0 inspect --verify run
}
# A limit on the size of files: half of a checkpoint has room. (It is set on the running process,
# since MPI's own files wouldn't fit either.)
half_a_checkpoint=200000
limit() { prlimit --pid $launcher --fsize=$half_a_checkpoint:; }
unlimit() { prlimit --pid $launcher --fsize=unlimited:; }
survives_a_full_disk "File too large" limit unlimit
rm -rf run
# A disk of that size, where there may be one.
fill() { dd if=/dev/zero of=run/filler bs=4k oflag=append conv=notrunc 2> /dev/null || true; }
free() { rm run/filler; }
if small_disk run 16m "a disk that is really full"; then
    survives_a_full_disk "No space left on device" fill free
    no_small_disk run
fi
rm -rf run

# When it is the last save that fails, the run has failed.
launch 0 "${endless[@]}" --train-iters 100000
until_true test -s run/metrics.jsonl
prlimit --pid $launcher --fsize=$half_a_checkpoint: || fail "prlimit"
kill $launcher
wait $launcher
code=$?
[ $code = 1 ] || fail "the last save failed: exit code $code"
grep -qE "^evengrad: error: the run's end, step [0-9]+, was not saved to run/step-[0-9]+.h5: " err ||
    fail "the last save failed: $(cat err)"
left=$(cd run && ls | grep -vE '^ledger-[0-9]+\.h5$')  # (what fits of the ledger is whole)
[ "$left" = metrics.jsonl ] || fail "a save that failed leaves $left"
rm -rf run

# ----------------------------------------------------------------------------- damaged checkpoints
succeeds 2 "${job[@]}" --save run --keep-last 3
truncate -s 30000 run/step-00000040.h5
tensor=$(/usr/bin/python3 -c 'import h5py
print(h5py.File("run/step-00000035.h5")["model/parameters/wte/weight"].id.get_offset())')
printf 'x' | dd of=run/step-00000035.h5 bs=1 seek=$((tensor + 1000)) conv=notrunc 2> /dev/null
cp run/step-00000035.h5 damaged.h5
passed_over_two() {
    [ "$(grep -c '^evengrad: warning: passed over a checkpoint' err)" = 2 ] || fail "$last: $(cat err)"
    [ "$(grep -c '^hint: it was left as it is; .*/run/step-00000030.h5 is used$' err)" = 2 ] ||
        fail "$last: no hint: $(cat err)"
    [ "$(wc -l < err)" -le 5 ] || fail "$last: says too much: $(cat err)"
}
succeeds 0 inspect run
passed_over_two
says "step 30, epoch"
succeeds 0 generate --checkpoint run --max-new-tokens 3
passed_over_two
refuses 1 0 "step-00000040.h5" "hint: give the folder, run/, instead of a link in it" -- inspect run/latest
refuses 1 2 "damaged.h5" "checksum" -- "${job[@]}" --save new --resume damaged.h5
succeeds 2 "${job[@]}" --save run --resume
passed_over_two
says "step-00000030.h5, next is step 31"
made_whole run "resumed from the last sound checkpoint"
for file in run/step-*.h5; do truncate -s 1000 "$file"; done
refuses 1 2 "none of the 2 checkpoints in run can be used" "step-00000040.h5" "step-00000035.h5" -- \
    "${job[@]}" --save run --resume
refuses 1 0 "none of the 2 checkpoints in run can be used" -- inspect run
finish
