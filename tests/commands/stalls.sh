#!/usr/bin/env bash
# Runs in which a process is stopped or its main thread gets stuck: the job ends and names the rank,
# and what was learned goes on to be the run that nothing happened to. What only takes long, or was
# suspended as a whole, is left alone.
# usage: stalls.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/helpers.sh"

# Seconds; much longer than a busy machine holds up a rank that could go on.
stall_timeout=5
job=(train --data "$pairs" --valid-fraction 0.02 "${tiny[@]}" --save-interval 10 --eval-interval 20
    --lr-decay-style constant)
endless=("${job[@]}" --train-iters 100000 --save run --stall-timeout $stall_timeout)
host=$(uname -n)

# launch RANKS ARGUMENTS...: evengrad in the background, in a session `launcher` of its own; mpirun's
# options come from the array `mpirun_options`.
mpirun_options=()
launch() {
    local ranks=$1
    shift
    last="$ranks ranks: evengrad $*"
    setsid timeout -k 5 170 mpirun "${mpirun_options[@]}" --bind-to none --oversubscribe -n "$ranks" \
        "$evengrad" "$@" > out 2> err < /dev/null &
    launcher=$!
}
# Processes of the job on this host: timeout, mpirun, its ranks.
processes() { pgrep -s $launcher; }
# Its ranks, on any host.
ranks() {
    local each
    for each in $(pgrep -x "$(basename "$evengrad")"); do
        [ "$(readlink "/proc/$each/cwd")" != "$scratch" ] || echo "$each"
    done
}
# process_of RANK
process_of() {
    local each
    for each in $(ranks); do
        ! grep -qzx "OMPI_COMM_WORLD_RANK=$1" "/proc/$each/environ" 2> /dev/null || echo "$each"
    done
}
reached() { [ "$(wc -l < run/metrics.jsonl)" -ge "$1" ]; } 2> /dev/null
all_gone() { ! processes > /dev/null && [ -z "$(ranks)" ]; }

# ended WHAT TEXT: the job has ended by itself and said TEXT (a regular expression), once; resumed on
# another layout, it is the run that nothing happened to.
ended() {
    wait $launcher
    code=$?
    [ $code = 1 ] || fail "$1: exit code $code"
    until_true all_gone
    grep -qE "^evengrad: error: $2\$" err || fail "$1: $(cat err)"
    [ "$(grep -c '^evengrad: ' err)" = 1 ] || fail "$1: said more: $(cat err)"
    grep -q "^hint: go on from the last checkpoint with --resume; if .* (it is $stall_timeout s;" err ||
        fail "$1: no hint: $(cat err)"
    local reached
    if ! reached=$(readlink run/latest); then
        fail "$1: no checkpoint"
        rm -rf run
        return
    fi
    reached=${reached//[^0-9]/}
    reached=$((10#${reached%5} + 10))
    succeeds $((RANDOM % 4)) "${job[@]}" --save run --resume --train-iters $reached
    succeeds 2 "${job[@]}" --save straight --overwrite --train-iters $reached
    [ "$(digest_of run)" = "$(digest_of straight)" ] || fail "$1: another digest"
    ! compgen -G 'run/*.tmp' > /dev/null || fail "$1: a half-written file stays"
    rm -rf run
}

# ------------------------------------------------------------------------------ a stopped process
# It stops anywhere, in any phase.
phases="(plan|compute|accumulate|wait|reduce|update|share|evaluate|save|report)"
for case in "3 0 2" "2 0 0" "4 2 3" "3 1 1"; do
    read -r ranks per_node who <<< "$case"
    launch "$ranks" "${endless[@]}" --ranks-per-node "$per_node"
    until_true reached 15
    kill -STOP "$(process_of "$who")"
    ended "SIGSTOP of rank $who of $ranks, $per_node a node" \
        "rank $who \(host $host\) has been silent for [0-9]+ s, last seen in step [0-9]+, phase $phases: its process is stopped or frozen"
done

# ---------------------------------------------------------------------------- a stuck main thread
for case in "3 0 1 25 compute" "3 2 2 25 reduce" "2 0 0 30 plan" "2 1 0 25 report" "2 0 1 20 evaluate" \
    "3 0 0 30 save"; do
    read -r ranks per_node who step phase <<< "$case"
    export EVENGRAD_STALL="$who $step $phase"
    launch "$ranks" "${endless[@]}" --ranks-per-node "$per_node"
    unset EVENGRAD_STALL
    disk=""
    case $phase in plan | report | save) disk="; perhaps a file system doesn't answer" ;; esac
    ended "rank $who of $ranks stuck in $phase" \
        "rank $who \(host $host\) has got nothing done for [0-9]+ s, in step $step, phase $phase: it runs, and waits for no other rank$disk"
done

# ----------------------------------------------------------------------------------- another host
# Two hosts made of this one, with names and shared memory of their own, that mpirun starts as by ssh.
cat > agent << 'AGENT'
#!/usr/bin/env bash
host=$1
shift
exec unshare --uts --ipc --mount --propagation private \
    bash -c 'mount -t tmpfs tmpfs /dev/shm && hostname "$0" && eval "$1"' "$host" "$*"
AGENT
chmod +x agent
if ./agent here true 2> err; then
    mpirun_options=(--mca plm rsh --mca plm_rsh_agent "$scratch/agent" --mca btl_tcp_if_include lo
        --mca oob_tcp_if_include lo --host "host-a:2,host-b:1")
    launch 3 "${endless[@]}"
    until_true reached 15
    kill -STOP "$(process_of 1)"
    ended "SIGSTOP beside a rank of its host" \
        "rank 1 \(host host-a\) has been silent for [0-9]+ s, last seen in step [0-9]+, phase $phases: its process is stopped or frozen"
    # Nobody on its host could tell.
    launch 3 "${endless[@]}"
    until_true reached 15
    kill -STOP "$(process_of 2)"
    ended "SIGSTOP of a host's only rank" \
        "the 2 ranks of host host-a only waited for others for 1[0-9] s, in step [0-9]+, phase $phases: another host \(host-b\) or the network stands still"
    mpirun_options=()
else
    echo "two hosts: not tried, namespaces can't be made here: $(cat err)"
fi

# ---------------------------------------------------------------------------------- no false alarm
# A job that is suspended as a whole, for longer than a stall may take, and goes on.
launch 3 "${endless[@]}" --ranks-per-node 2
until_true reached 15
for i in 1 2; do
    all=$(processes)
    # shellcheck disable=SC2086  # one a process
    kill -STOP $all
    sleep $((2 * stall_timeout))
    lines=$(wc -l < run/metrics.jsonl)
    # shellcheck disable=SC2086
    kill -CONT $all
    until_true reached $((lines + 10))
done
kill -USR2 "$(pgrep -P $launcher)"
wait $launcher
code=$?
[ $code = 3 ] || fail "a suspended job: exit code $code: $(cat err)"
! grep -q 'evengrad: error' err || fail "a suspended job: $(cat err)"
rm -rf run

# A step and an evaluation that take longer than a stall may, and get on, with nothing for ranks to
# tell each other meanwhile. (A micro-batch takes half a second, and an evaluation's window 256 of them.)
large=(--num-layers 4 --hidden-size 768 --num-attention-heads 12 --seq-length 256 --sequences stream
    --micro-batch-size 1 --train-iters 1 --save run --stall-timeout $stall_timeout)
sequences=12
until begun=$SECONDS
    succeeds 2 train --data "$source_dir/data/moby-dick.txt" --valid-data "$source_dir/data/moby-dick.txt" "${large[@]}" \
        --global-batch-size $sequences --eval-iters 8 --overwrite
    [ "$failures" != 0 ] || [ $((SECONDS - begun)) -gt $((4 * stall_timeout)) ]; do
    sequences=$((2 * sequences))
done
finish
