#!/usr/bin/env bash
# launch/run on one machine: the command it makes, signals, and starting again until a run is done.
# (On several hosts: tests/cluster.)
source "$(dirname "$0")/helpers.sh"
unset OPENBLAS_CORETYPE  # with which mpirun is given an option more
launch() { timeout -k 5 180 "$source_dir/launch/run" --program "$evengrad" "$@" > out 2> err < /dev/null; }
# begin OPTIONS...: in the background, as process `process`; `code` is its exit code after `end`.
# (bash starts what runs in the background deaf to SIGINT.)
begin() {
    timeout -k 5 180 env --default-signal=INT "$source_dir/launch/run" --program "$evengrad" \
        --oversubscribe -n 2 "$@" > out 2> err < /dev/null &
    guard=$!
    until process=$(pgrep -P $guard) || ! kill -0 $guard 2> /dev/null; do sleep 0.02; done
}
end() {
    wait $guard
    code=$?
    [ $code != 124 ] || fail "$1: hangs"
}
job=(train --data "$pairs" "${tiny[@]}" --dropout 0.1 --save-interval 2 --log-level warning)

# The command: bound to cores where there are enough of them; what needs quotes has them.
prints() {
    local expected=$1
    shift
    "$source_dir/launch/run" --program "$evengrad" --print "$@" > out 2> err < /dev/null ||
        fail "launch/run --print $*: exit code $?"
    grep -qF -e "$expected" out || fail "launch/run $*: $(cat out err), not $expected"
}
prints "\$ mpirun -n 1 --map-by core --bind-to core $evengrad train --data 'a b' --stop 'it'\\''s'" \
    -n 1 -- train --data "a b" --stop "it's"
prints "mpirun -n 4096 --bind-to none --oversubscribe" -n 4096 -- bench
prints "mpirun -n 1 --bind-to none --oversubscribe" -n 1 --oversubscribe -- bench
prints "mpirun -n 1 --map-by core --bind-to core -mca btl_tcp_if_include eth7 -mca oob_tcp_if_include eth7" -n 1 \
    --interface eth7 -- bench
printf 'a slots=2\n# b slots=9\n\n  c  slots=4 # d\n' > hosts
prints "mpirun --hostfile hosts --map-by core --bind-to core -mca oob_tcp_keepalive_time 5" --hostfile hosts -- bench
prints "\$ $evengrad inspect x" -n 4 -- inspect x  # works in one process
OPENBLAS_CORETYPE=Haswell prints "-x OPENBLAS_CORETYPE" -n 1 -- bench
SLURM_JOB_ID=7 prints "\$ mpirun --map-by core --bind-to core -mca oob_tcp_keepalive_time 5" -- bench

# What makes no sense is refused before anything starts.
refuses_run() {
    local text=$1
    shift
    launch "$@"
    [ $? = 2 ] || fail "launch/run $*: exit code $?"
    grep -qF -e "$text" err || fail "launch/run $*: $(head -1 err), not $text"
}
refuses_run "nothing to run" -n 2
refuses_run "-n: '0' is not a number of ranks" -n 0 -- train
refuses_run "unknown option --until" --until done -- train
refuses_run "without its value" --hostfile -- train
refuses_run "nowhere can't be read" --hostfile nowhere -- train
refuses_run "--until-done is for train" --until-done -- evaluate
refuses_run "--requeue is for --until-done" --requeue true -- train
refuses_run "--overwrite with --requeue: each job would begin like that" \
    --until-done --requeue true -- train --save run --overwrite
refuses_run "--resume old with --requeue: each job" \
    --until-done --requeue true -- train --save run --resume old
refuses_run "--launcher: 'ssh' is not srun or mpirun" --launcher ssh -- train
refuses_run "--launcher srun has its hosts from Slurm" --launcher srun --hostfile hosts -- train
refuses_run "--until-done needs --save DIR" --until-done -- train --data "$pairs"

# Exit codes are evengrad's, and wrong use isn't tried again.
launch -n 1 -- inspect nowhere
[ $? = 1 ] || fail "inspect nowhere: exit code $?"
launch -n 2 --until-done -- train --data nowhere.txt --save nothing --no-such-option
[ $? = 2 ] || fail "an unknown option: exit code $?"
[ "$(grep -c '^\$ mpirun' err)" = 1 ] || fail "wrong use was tried again"
[ -z "$(ls -A nothing)" ] || fail "wrong use leaves something: $(ls -A nothing)"

succeeds 0 "${job[@]}" --train-iters 60 --save straight
reference=$(digest_of straight)

# await_save FOLDER: until a run has saved there.
await_save() { until_true test -e "$1/latest" || { cat err; finish; }; }
# ranks_of FOLDER: processes of the ranks that train there.
ranks_of() { pgrep -f "^$evengrad train .*--save $1( |$)"; }

# Each signal: the run finishes its step, saves, ends with code 3, and can be gone on with.
for name in INT TERM USR1; do
    begin -- "${job[@]}" --train-iters 100000 --save "by-$name"
    await_save "by-$name"
    kill -s $name $process
    end "SIG$name"
    [ $code = 3 ] || { fail "SIG$name: exit code $code"; cat err; }
    grep -q "launch/run: SIG$name: asking the run to save" err || fail "SIG$name: says $(cat err)"
    grep -q "stopped at step .* by SIGUSR2" err || fail "SIG$name: evengrad says $(cat err)"
    step=$("$evengrad" inspect "by-$name" | sed -n -E 's/^state +step ([0-9]+),.*/\1/p')
    [ "$(wc -l < "by-$name/metrics.jsonl")" = "$step" ] || fail "SIG$name: metrics end elsewhere"
done
# Twice: at once, whatever isn't saved.
begin -- "${job[@]}" --save twice --train-iters 100000
await_save twice
for rank in $(ranks_of twice); do kill -STOP "$rank"; done
kill -INT $process
sleep 1
kill -INT $process
end "ended twice"
[ $code != 0 ] && [ $code != 3 ] || fail "ended twice: exit code $code"
[ -z "$(ranks_of twice)" ] || fail "ended twice: ranks live on"
# The same when mpirun is stopped, and hears nothing.
begin -- "${job[@]}" --save deaf --train-iters 100000
await_save deaf
pkill -STOP -P $process -x mpirun
kill -INT $process
sleep 1
kill -INT $process
end "ended twice, mpirun stopped"
[ $code = 137 ] || fail "ended twice, mpirun stopped: exit code $code: $(cat err)"
no_ranks() { [ -z "$(ranks_of deaf)" ]; }
until_true no_ranks

# An mpirun that locks up before it has ranks, or after they have gone, is ended, too: after a minute, which is
# short here.
mkdir locked
printf '#!/bin/sh\nexec /bin/sleep 170\n' > locked/mpirun
printf '#!/bin/sh\nexec /bin/sleep 0.1\n' > locked/sleep
chmod +x locked/*
PATH=$PWD/locked:$PATH launch -n 1 -- bench
[ $? = 137 ] || fail "an mpirun that is locked up: exit code $?"
grep -qE "^launch/run: mpirun \(process [0-9]+\) has not ended 60 s after its ranks" err ||
    fail "an mpirun that is locked up: $(cat err)"

# Ranks and mpirun are killed; each time the run goes on, and is in the end the one nobody touched.
begin --until-done -- "${job[@]}" --train-iters 60 --save killed
saw=none
for victim in rank mpirun; do
    tries=0
    until [ "$(readlink killed/latest)" != "$saw" ] && [ -e killed/latest ] && ranks_of killed > /dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { fail "before $victim: nothing new is saved"; cat err; finish; }
        sleep 0.05
    done
    if [ $victim = rank ]; then
        kill -9 "$(ranks_of killed | tail -1)"
    else
        pkill -9 -P $process -x mpirun
    fi
    while ranks_of killed > /dev/null; do sleep 0.05; done
    saw=$(readlink killed/latest)
done
end killed
[ $code = 0 ] || { fail "killed: exit code $code"; cat err; }
[ "$(grep -c 'starting again in 1 s, from killed$' err)" = 2 ] || fail "killed: $(cat err)"
[ "$(digest_of killed)" = "$reference" ] || fail "killed: another digest"

# Started once more: nothing is left to do, and nothing is overwritten.
launch -n 1 --until-done -- "${job[@]}" --train-iters 60 --save killed ||
    fail "done already: exit code $?"
[ "$(digest_of killed)" = "$reference" ] || fail "done already: another digest"

# What fails again and again ends, with its exit code and the last message.
launch -n 1 --until-done --tries 3 -- "${job[@]}" --train-iters 60 --save diverged \
    --optimizer sgd --lr 1e9 --clip-grad 0
code=$?
[ $code = 1 ] || fail "diverged: exit code $code"
grep -q "giving up: 3 starts in a row" err || fail "diverged: $(cat err)"

# --overwrite is meant until something is saved: a first start that fails doesn't make it --resume.
launch -n 1 -- "${job[@]}" --train-iters 4 --save old > /dev/null
launch -n 1 --until-done --tries 2 -- "${job[@]}" --train-iters 4 --save old --overwrite \
    --save-interval 100 --optimizer sgd --lr 1e9 --clip-grad 0
[ "$(grep -c -e '--overwrite$' err)" = 2 ] || { fail "overwritten: $(cat err)"; }

# So is --resume OTHER, also when the first start leaves something in a folder that was empty.

cat > fails_once << SCRIPT
#!/bin/sh
[ -e failed ] || { touch failed; EVENGRAD_STALL="0 60 compute" exec "$evengrad" "\$@" --stall-timeout 3; }
exec "$evengrad" "\$@"
SCRIPT
chmod +x fails_once
launch -n 1 --until-done --program ./fails_once -- "${job[@]}" --train-iters 64 --save new \
    --resume straight/step-00000058.h5 --save-interval 100 || { fail "new: exit code $?"; cat err; }
[ "$(grep -c -e '--resume straight/step-00000058.h5$' err)" = 1 ] &&
    grep -q -e '--resume straight/step-00000058.h5 --overwrite$' err || fail "new: $(cat err)"
[ "$(sed -n 's/^{"step":\([0-9]*\),.*/\1/p' new/metrics.jsonl | xargs)" = "59 60 61 62 63 64" ] ||
    fail "new: $(cat new/metrics.jsonl)"
[ ! -e new/.nothing-saved ] || fail "new: stays marked"

# Ctrl-C at any moment of the start isn't lost.
for moment in 0.05 0.1 0.3 1; do
    begin -- "${job[@]}" --train-iters 100000 --save "early-$moment"
    sleep $moment
    kill -INT "$process"
    end "SIGINT after $moment s"
    # (140: it met a rank that hadn't begun yet; 130: launch/run itself, with nothing started.)
    [ $code = 3 ] || [ $code = 140 ] || { [ $code = 130 ] && [ ! -e "early-$moment" ]; } || { fail "SIGINT after $moment s: exit code $code"; cat err; }
done

# A folder with something of somebody else's, without a checkpoint, is never overwritten.
mkdir others && echo mine > others/metrics.jsonl
launch -n 1 --until-done --tries 2 -- "${job[@]}" --train-iters 2 --save others &&
    fail "others: no error"
[ "$(cat others/metrics.jsonl)" = mine ] || fail "others: overwritten"
finish
