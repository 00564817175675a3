#!/usr/bin/env bash
# Runs under a real Slurm, by launch/slurm.sbatch as a user would edit it: whatever happens to the job,
# in the end the run is the one of one process that nothing happened to.
# usage: slurm.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/slurm_hosts.sh"
slurm_up 4

job=(--data "$pairs" "${tiny[@]}" --save-interval 5)
short=(--train-iters 20)
long=(--train-iters 50)
succeeds 0 train "${job[@]}" "${long[@]}" --save straight
reference=$(digest_of straight)
succeeds 0 train "${job[@]}" "${short[@]}" --save short
short_reference=$(digest_of short)

# submit NAME "OPTIONS OF SBATCH" TRAIN OPTIONS...: edits a copy of launch/slurm.sbatch where it is
# marked, and submits it; `id` is the job's number. Its messages go to NAME.out, the run to NAME.
submit() {
    local name=$1 sbatch_options=$2 script=$1.sbatch edited
    shift 2
    sed -E -e "s|^home=[^ ]+ |home=$source_dir |" -e "s|^save=[^ ]+ |save=$name |" \
        -e "s|/launch/run\"|& --program $evengrad|" -e "/^ +--/d" \
        -e "s|^options=\(|options=(${job[*]} $*|" "$source_dir/launch/slurm.sbatch" > "$script"
    edited=$(diff "$source_dir/launch/slurm.sbatch" "$script" | grep -c '^>')
    [ "$edited" = 4 ] || fail "$name: $edited edits of slurm.sbatch, not 4"
    # shellcheck disable=SC2086
    id=$(on h1 sbatch --parsable --output=%x.out --job-name="$name" --ntasks-per-node=2 \
        $sbatch_options "$script") || fail "$name: not submitted"
}
state() { on h1 squeue -h -j "$1" -t all -o %T 2> /dev/null; }
is_state() { [ "$(state "$1")" = "$2" ]; }
ended() { case $(state "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac }
saved() { [ -e "$1/latest" ]; }

# done_as NAME DIGEST: the job ends, with exit code 0, and the run has this digest.
done_as() {
    patience=300 until_true ended "$id" || { cat "$1.out"; return; }
    is_state "$id" COMPLETED || fail "$1: $(state "$id")"
    [ "$(digest_of "$1")" = "$2" ] || fail "$1: another digest"
    [ "$failures" = "${shown_failures:-0}" ] || cat "$1.out"
    shown_failures=$failures
}
out_has() { grep -qE -e "$2" "$1.out" || fail "$1: '$2' is not in its output: $(cat "$1.out")"; }
# again JOB: it is in the queue again, where it would stay for two minutes. (A host must have nothing left
# of it: Slurm numbers the steps as before, and takes what ends late for the end of the new ones.)
again() {
    patience=120 until_true is_state "$1" PENDING || return
    nothing_left() {
        ! compgen -G "/run/slurm/spool.h*/*[._]$1.[0-9]*" > /dev/null &&
            ! compgen -G "/run/slurm/spool.h*/job*$1" > /dev/null
    }
    patience=60 until_true nothing_left "$1"
    on h1 scontrol update "JobId=$1" StartTime=now
}

# ------------------------------------------------------------------------------------ srun, mpirun
submit by_srun --nodes=3 "${short[@]}"
done_as by_srun "$short_reference"
out_has by_srun '6 ranks on 3 nodes'
# A core each, where Slurm, which counts them from 0, may bind to them.
! taskset -c 0,1 true 2> /dev/null || out_has by_srun '1 core allowed to rank 0'

# A cluster whose Slurm has no PMIx.
mkdir bin
cat > bin/srun << SCRIPT
#!/bin/sh
case "\$*" in
    --mpi=list) echo none ;;
    *--mpi=pmix*) echo "srun: error: no PMIx here"; exit 1 ;;
    *) exec $(command -v srun) "\$@" ;;
esac
SCRIPT
chmod +x bin/srun
PATH=$PWD/bin:$PATH submit by_mpirun --nodes=3 "${short[@]}"
done_as by_mpirun "$short_reference"
out_has by_mpirun '6 ranks on 3 nodes'

# -------------------------------------------------------------------------------- its time is up
submit time_up --nodes=3 "${long[@]}"
patience=120 until_true saved time_up
on h1 scancel -b -s USR1 "$id"
again "$id"
done_as time_up "$reference"
out_has time_up 'evengrad: warning: stopped at step [0-9]+ of 50 by SIGUSR2 on rank [0-5]: saved'
out_has time_up 'into the queue again'
out_has time_up '^resumed '

# --------------------------------------------------- Ctrl-C; and once more, since a rank hangs
submit twice --nodes=2 --train-iters 100000
until_true saved twice
signal STOP h2 evengrad
on h1 scancel -b -s INT "$id"
heard() { grep -q '^launch/run: SIGINT: asking the run to save and end' twice.out; }
until_true heard
on h1 scancel -b -s INT "$id"
until_true ended "$id"
for host in h1 h2; do
    ! on $host pgrep -x evengrad > /dev/null || fail "twice: ranks live on, on $host"
done

# ------------------------------------------------------------------------------------- preemption
submit preempted --nodes=3 "${long[@]}"
patience=120 until_true saved preempted
urgent=$(on h1 sbatch --parsable --partition=urgent --nodes=4 --exclusive --output=urgent.out \
    --wrap "echo urgent")
patience=120 until_true is_state "$urgent" COMPLETED
again "$id"
done_as preempted "$reference"
out_has preempted 'evengrad: warning: stopped at step [0-9]+ of 50 by SIGTERM on rank [0-5]: saved'
out_has preempted 'into the queue again'
out_has preempted '^resumed '

# --------------------------------------- a rank dies; at the same time, on other hosts, a node is lost
submit killed "--nodes=2 --nodelist=h3,h4" "${long[@]}"
killed=$id
submit lost --nodes=2 "${long[@]}"
lost=$id
patience=120 until_true saved lost
power_cut h2
rm -r /run/slurm/spool.h2  # its disk
patience=120 until_true saved killed
signal KILL h3 evengrad
goes_on() { grep -q '^launch/run: exit code 137 .*; starting again in 1 s, from killed' killed.out; }
patience=120 until_true goes_on  # -K1 ends the other host's ranks, which would wait for it
id=$killed
done_as killed "$reference"
out_has killed '^resumed '
[ "$(grep -c '^launch/run: ' killed.out)" = 1 ] || fail "killed: not once, in the same job"
id=$lost
again "$id"
done_as lost "$reference"
out_has lost 'JOB .* DUE TO NODE FAILURE'
out_has lost '^resumed '

finish
