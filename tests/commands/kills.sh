#!/usr/bin/env bash
# A run that is killed again and again, in the middle of everything, and resumed on other layouts
# each time: in the end it must be the run that nobody touched, bit for bit.
# usage: kills.sh EVENGRAD SOURCE_DIR [KILLS] [SEED]
source "$(dirname "$0")/helpers.sh"
kills=${3:-50} seed=${4:-20261126}
# Most of the time goes by waiting for mpirun to notice: runs are killed side by side.
workers=4
# What a killed mpirun leaves behind goes with this folder, not into /dev/shm.
export OMPI_MCA_btl_vader_backing_directory=$scratch
echo "$kills kills, seed $seed"

job=(train --data "$pairs" --valid-fraction 0.02 --dropout 0.1 "${tiny[@]}" --train-iters 60
    --save-interval 1 --eval-interval 20 --log-level warning)
# What must not depend on kills and layouts, of a metrics file.
curve() {
    sed -E 's/"seconds".*//' "$1/metrics.jsonl"
}
succeeds 0 "${job[@]}" --save straight
reference=$(digest_of straight)
[ ${#reference} -ge 16 ] || fail "no digest: '$reference'"

step_of() {  # of a folder's latest checkpoint; 0 when there is none
    local target
    target=$(readlink "$1/latest") || { echo 0; return; }
    target=${target#step-}
    echo $((10#${target%.h5}))
}
writing() { compgen -G "run/*.h5.tmp" > /dev/null; }
alive() { kill -0 "$1" 2> /dev/null; }

# launch RANKS RANKS_PER_NODE ARGUMENTS...: in the background, as process `launcher`. 0 ranks means
# without mpirun.
launch() {
    local ranks=$1 per_node=$2
    shift 2
    if [ "$ranks" = 0 ]; then
        "$evengrad" "$@" > out 2> err < /dev/null &
    else
        mpirun --bind-to none --oversubscribe -n "$ranks" "$evengrad" "$@" \
            --ranks-per-node "$per_node" > out 2> err < /dev/null &
    fi
    launcher=$!
}

# await_end PROCESS...: until the launcher and all of these are gone, so that nobody writes to the
# folder any more, also when mpirun itself was killed. Sets `code`, the launcher's.
await_end() {
    local process tries=0
    while alive $launcher; do
        sleep 0.05
        tries=$((tries + 1))
        [ $tries = 600 ] || continue
        # Open MPI 4.1.4 can lock itself up (pmix_rte_finalize) when a rank dies as it starts.
        if ps -o stat= -p "$(IFS=, && echo "$*")" | grep -qv Z; then
            fail "$last: ranks live on after half a minute"
        fi
        hung=$((hung + 1))
        kill -9 $launcher
    done
    wait $launcher 2> /dev/null
    code=$?
    for process in "$@"; do
        while alive "$process"; do
            tries=$((tries + 1))
            [ $tries -lt 1200 ] || { fail "process $process outlives its job"; return; }
            sleep 0.05
        done
    done
}

# How the run is begun or gone on with: it may have been killed before anything was saved.
go_on() {
    if [ -e run/latest ] || compgen -G "run/step-*.h5" > /dev/null; then
        echo --resume
    else
        echo --overwrite
    fi
}

# kill_once: resumes the run on some layout, and kills a rank, mpirun, or (as a power cut does) all
# of them at some moment.
kill_once() {
    local ranks=$((RANDOM % 5)) moment=$((RANDOM % 4)) more=$((RANDOM % 10))
    local milliseconds=$((RANDOM % 50)) whom=$RANDOM
    local per_node=$((RANDOM % (ranks + 1))) first processes victims tries=0
    first=$(step_of run)
    last="killed: $ranks ranks, $per_node per node, from step $first"
    launch $ranks $per_node "${job[@]}" --save run "$(go_on)"
    # One in four: at any time, starting included. The others: some saves later.
    if [ $moment = 0 ]; then
        milliseconds=$((milliseconds * 20))
    else
        while alive $launcher && [ "$(step_of run)" -lt $((first + more)) ]; do sleep 0.01; done
    fi
    sleep "$(printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000)))"
    # One in four: while a file is being written.
    if [ $moment = 1 ]; then
        while alive $launcher && ! writing && [ $tries -lt 2000 ]; do tries=$((tries + 1)); done
    fi
    mapfile -t processes < <(pgrep -P $launcher)
    victims=("$launcher" "${processes[@]}")
    case $((whom % 5)) in
        0) victims=("$launcher") ;;
        1) [ ${#processes[@]} = 0 ] || victims=("${processes[whom / 5 % ${#processes[@]}]}") ;;
    esac
    kill -9 "${victims[@]}" 2> /dev/null
    await_end "${processes[@]}"
    if grep -q 'evengrad: error' err; then
        fail "$last: $(cat err)"
    elif [ $code != 0 ]; then
        killed=$((killed + 1))
        if writing; then while_writing=$((while_writing + 1)); fi
        if [ "$(step_of run)" = "$first" ]; then at_start=$((at_start + 1)); fi
    fi
}

# worker NUMBER KILLS: one run after another, in a folder of its own. Writes its counts to the file
# `counts` there.
worker() {
    local kills=$2 attempts=0 whole=0 found
    local straight=../straight
    killed=0 while_writing=0 at_start=0 hung=0
    RANDOM=$((seed + $1))
    mkdir "worker$1" && cd "worker$1" || exit 1
    while [ $killed -lt "$kills" ] && [ "$failures" = 0 ]; do
        attempts=$((attempts + 1))
        [ $attempts -le $((kills * 3)) ] || fail "only $killed of $attempts attempts were killed"
        kill_once
        [ "$(step_of run)" = 60 ] || [ $killed -ge "$kills" ] || continue
        # The whole run at last: what the last kill cut off is made good, and nothing differs.
        succeeds $((RANDOM % 5)) "${job[@]}" --save run "$(go_on)"
        found=$(digest_of run)
        [ "$found" = "$reference" ] || fail "after $killed kills: digest $found, not $reference"
        [ "$(curve run)" = "$(curve $straight)" ] || fail "after $killed kills: other metrics"
        "$evengrad" inspect --verify run > verified && grep -q 'steps 1 to 60:' verified ||
            fail "after $killed kills: the ledger: $(cat verified)"
        writing && fail "a half-written file stays"
        whole=$((whole + 1))
        rm -rf run
    done
    echo "$killed $attempts $while_writing $at_start $whole $hung" > counts
    [ "$failures" = 0 ]
}

begun=$SECONDS
processes=()
for ((i = 0; i < workers; ++i)); do
    # Without bash's notes on each process that was killed.
    worker $i $(((kills + workers - 1 - i) / workers)) 2> /dev/null &
    processes+=($!)
done
for process in "${processes[@]}"; do wait "$process" || failures=$((failures + 1)); done
read -r killed attempts while_writing at_start whole hung < <(cat worker*/counts |
    awk '{ for (i = 1; i <= 6; ++i) sum[i] += $i }
        END { print sum[1], sum[2], sum[3], sum[4], sum[5], sum[6] }')
echo "$killed kills in $attempts attempts, $while_writing while a checkpoint was being written," \
    "$at_start before anything more was saved; $whole runs made whole; mpirun locked up $hung" \
    "times; $((SECONDS - begun)) s"
[ "$killed" -ge "$kills" ] || fail "only $killed kills"
[ $((while_writing * 5)) -ge "$kills" ] || fail "too few kills while a checkpoint was being written"
finish
