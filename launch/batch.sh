# What slurm.sbatch, pbs.sh and lsf.sh share; each sources it at its end. Trains until the run is done:
# starts the ranks again when some have died, and puts the job into the queue again when its time is
# up. Before that must be set:
#   launcher  what starts the ranks, srun or mpirun with its options: an array
#   evengrad  the program
#   options   of `evengrad train`, without --save, --resume, --overwrite: an array
#   save      the run's folder
#   requeue   a function that puts this job into the queue again, or is false
# shellcheck shell=bash
: "${launcher:?}" "${evengrad:?}" "${options?}" "${save:?}"

# A node that is cut off ends mpirun within seconds.
export OMPI_MCA_oob_tcp_keepalive_time=5 OMPI_MCA_oob_tcp_keepalive_intvl=2 \
    OMPI_MCA_oob_tcp_keepalive_probes=3

note() { echo "launch: $*"; }
newest() { readlink "$save/latest" || echo nothing; }

process=     # srun's or mpirun's
time_up=no   # the job is to end in good order
ending=no    # the scheduler is ending it, or puts it into the queue itself
interrupted=no

# SIGUSR2, since both srun and mpirun pass it on to all ranks, which then save and exit with 3.
stop_ranks() {
    interrupted=yes
    if [[ -n $process ]]; then kill -s USR2 "$process" 2> /dev/null; fi
}
trap 'note "the time is nearly up: stopping"; time_up=yes; stop_ranks' USR1 USR2
trap 'note "the job is being ended: stopping"; ending=yes; stop_ranks' TERM

# wait_for PROCESS: until it has ended, however often a signal interrupts; `code` is its exit code.
wait_for() {
    process=$1
    if [[ $time_up == yes || $ending == yes ]]; then stop_ranks; fi  # asked before there was one
    interrupted=yes
    while [[ $interrupted == yes ]]; do
        interrupted=no
        code=0
        wait "$process" || code=$?
    done
    process=
}

# end_of_time: this job ends; another goes on, unless that would come to nothing again and again.
end_of_time() {
    local saved
    saved=$(newest)
    if [[ $saved == "$begun" ]]; then
        note "nothing was saved in this job's time, so it isn't put into the queue again: it takes" \
            "more time, more ranks or a smaller global batch"
        exit 1
    fi
    note "saved $save/$saved; a job goes on from there: into the queue again"
    trap '' TERM  # that may end this one
    requeue || note "that is not allowed here: submit the job yourself"
    exit 3
}

begun=$(newest)
failures=0  # in a row, without a checkpoint between
while :; do
    before=$(newest)
    start=()
    shopt -s nullglob
    files=("$save"/step-*.h5)
    shopt -u nullglob
    if [[ ${#files[@]} -gt 0 || -L $save/latest ]]; then
        start=(--resume)
    elif ls -- "$save"/metrics.jsonl > /dev/null 2>&1; then
        start=(--overwrite)  # what a run leaves that ended before its first checkpoint
    fi
    "${launcher[@]}" "$evengrad" train "${options[@]}" --save "$save" "${start[@]}" &
    wait_for $!
    after=$(newest)
    if [[ $code == 0 && $after != "$before" ]]; then exit 0; fi
    if [[ $code == 2 || $ending == yes ]]; then exit "$code"; fi
    if [[ $code == 3 || $time_up == yes ]]; then end_of_time; fi

    # A rank, a launcher or a node has died; or evengrad itself has failed and said why (1); or there was
    # nothing left to do, or srun couldn't start the ranks, which it ends with 0, too.
    # The last pause is as long as a scheduler takes to notice that a node is gone.
    pauses=(5 60 300)
    if ((code <= 1)); then pauses=(5); fi
    if [[ $after != "$before" ]]; then failures=0; fi
    if ((failures >= ${#pauses[@]})); then
        note "exit code $code again, and nothing was saved between: giving up"
        exit "$code"
    fi
    note "exit code $code: going on from $after in ${pauses[failures]} s"
    sleep "${pauses[failures]}" &
    wait $!  # a signal ends it
    failures=$((failures + 1))
    if [[ $ending == yes ]]; then exit "$code"; fi
    if [[ $time_up == yes ]]; then end_of_time; fi
done
