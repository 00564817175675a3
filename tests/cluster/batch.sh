#!/usr/bin/env bash
# What launch/run --until-done decides in jobs of launch/slurm.sbatch, pbs.sh and lsf.sh, with stand-ins for
# the schedulers' commands, mpirun, sleep and evengrad. (slurm.sh beside this file has a real Slurm.)
# usage: batch.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/../commands/helpers.sh"

mkdir bin
stand_in() { cat > "bin/$1" && chmod +x "bin/$1"; }
# One line of `plan` for each start: "CODE", "CODE saves", "waits CODE" (for SIGUSR2, then saves).
stand_in evengrad << 'SCRIPT'
#!/bin/bash
echo "evengrad" $(grep -oE -e '--(resume|overwrite)' <<< "$*") >> said
read -r code what < plan
sed -i 1d plan
echo >> starts
save() {
    touch "run/step-$(wc -l < starts).h5"
    ln -sfn "step-$(wc -l < starts).h5" run/latest
}
if [ "$code" = waits ]; then
    trap 'touch saving; while [ -e slow ]; do read -rt 0.1 < <(:); done; save; exit "$what"' USR2
    touch waits ready
    while :; do read -rt 0.1 < <(:); done
fi
mkdir -p run
touch run/metrics.jsonl
[ "$what" != saves ] || save
exit "$code"
SCRIPT
# Ends as mpirun and srun do, with the ranks' exit code.
stand_in mpirun << 'SCRIPT'
#!/bin/bash
echo "${0##*/}" "$@" > launched
while [[ $1 != */evengrad ]]; do shift; done
exec env --default-signal=USR2 "$@"
SCRIPT
sed 's|^echo|[ "$*" != --mpi=list ] \|\| exec cat mpi_list\n&|' bin/mpirun | stand_in srun
echo "none pmix pmi2" > mpi_list
# Of what puts a job into the queue. It may end the job, or the last of its time may come meanwhile.
for command in qsub scontrol; do
    stand_in $command << 'SCRIPT'
#!/bin/bash
echo "${0##*/} $*" >> said
kill -USR1 $PPID
kill -TERM $PPID
! [ -e forbidden ]
SCRIPT
done
stand_in sleep << 'SCRIPT'
#!/bin/bash
[ ! -e waits ] || exec /bin/sleep "$1"
[ "$1" != 2 ] || exec /bin/sleep 2  # of who watches mpirun
echo "sleep $1" >> said
if [ -e hold ]; then echo $$ > ready; exec /bin/sleep 500; fi
SCRIPT
PATH=$PWD/bin:$PATH

declare -A job_of=([slurm]="SLURM_JOB_ID=7" [pbs]="PBS_JOBID=7 PBS_O_WORKDIR=$PWD PBS_NODEFILE=$PWD/nodes"
    [lsf]="LSB_JOBID=7")
declare -A script_of=([slurm]=slurm.sbatch [pbs]=pbs.sh [lsf]=lsf.sh)
declare -A requeued_by=([slurm]="scontrol requeue 7" [pbs]="qsub $PWD/pbs.sh" [lsf]="")
for scheduler in slurm pbs lsf; do
    sed -E -e "s|^home=[^ ]+ |home=$source_dir |" -e "s|^save=[^ ]+ |save=run |" \
        -e "s|/launch/run\"|& --program $PWD/bin/evengrad|" \
        "$source_dir/launch/${script_of[$scheduler]}" > "${script_of[$scheduler]}"
done

# plan LINE...: what the next job's starts of evengrad do.
plan() {
    printf '%s\n' "$@" > plan
    rm -f ready waits saving hold forbidden said
}
# job: in the background, as process `shell`.
job() {
    # shellcheck disable=SC2086  # several variables
    env ${job_of[$scheduler]} bash "${script_of[$scheduler]}" > out 2>&1 < /dev/null &
    shell=$!
}
# ended CODE LINE...: the job ends with that code, and said and did just this.
ended() {
    local expected=$1
    shift
    wait $shell
    code=$?
    [ $code = "$expected" ] || fail "$scheduler, $case: exit code $code, not $expected"
    diff <(printf '%s\n' "$@" | sed '/^$/d') said > out.diff ||
        fail "$scheduler, $case: $(cat out.diff out)"
}
until_there() {
    local tries=0
    until [ -e "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { fail "$scheduler, $case: no $1: $(cat out)"; return; }
        /bin/sleep 0.1
    done
}
no_sleep() { ! pgrep -F ready -x sleep > /dev/null; }
out_has() { grep -q -e "$1" out || fail "$scheduler, $case: '$1' is not in $(cat out)"; }
first="evengrad --overwrite"
again="evengrad --resume"

for scheduler in slurm pbs lsf; do
    requeued=${requeued_by[$scheduler]}
    rm -rf run

    case="its time is up, before anything is saved"
    plan "3"; job; ended 1 "evengrad"
    out_has "nothing was saved in this job's time"

    case="its time is up"
    plan "3 saves"; job; ended 3 "$first" "$requeued"
    case $scheduler in
        slurm) expected="srun --mpi=pmix -K1 --distribution=block:block --cpu-bind=cores $PWD" ;;
        pbs) expected="mpirun --hostfile $PWD/nodes --map-by core --bind-to core -mca oob_tcp_keepalive_time 5" ;;
        lsf) expected="mpirun --map-by core --bind-to core -mca oob_tcp_keepalive_time 5" ;;
    esac
    [[ $(cat launched) == "$expected "* || $(cat launched) == "$expected/"* ]] ||
        fail "$scheduler: $(cat launched), not $expected"

    case="its time is up again, without progress"
    plan "3"; job; ended 1 "$again"

    if [ $scheduler != lsf ]; then
        case="it may not go into the queue again"
        plan "3 saves"; touch forbidden; job; ended 3 "$again" "$requeued"
        out_has "submit the job yourself"
    fi

    case="the run is done"
    plan "0 saves"; job; ended 0 "$again"

    if [ $scheduler = slurm ]; then
        case="the run was done, as far as srun's 0 tells"
        plan "0" "0" "0" "0" "0"; job
        ended 0 "$again" "sleep 5" "$again" "sleep 30" "$again" "sleep 300" "$again" "sleep 300" "$again"

        case="srun couldn't start the ranks, and says 0"
        plan "0" "0 saves"; job; ended 0 "$again" "sleep 5" "$again"

        case="srun can't start the ranks, ever"
        mv run finished
        plan "0" "0" "0" "0" "0"; job
        ended 1 "evengrad" "sleep 5" "$first" "sleep 30" "$first" "sleep 300" "$first" "sleep 300" "$first"
        rm -r run; mv finished run
    else
        case="the run was done"
        plan "0"; job; ended 0 "$again"
    fi

    case="wrong use"
    plan "2"; job; ended 2 "$again"

    case="evengrad fails at the same place again and again"
    plan "1" "1" "1" "1" "1"; job
    ended 1 "$again" "sleep 5" "$again" "sleep 30" "$again" "sleep 300" "$again" "sleep 300" "$again"

    case="ranks die, with progress"
    plan "137 saves" "139 saves" "205 saves" "137 saves" "137 saves" "137 saves" "0 saves"; job
    ended 0 "$again" "sleep 1" "$again" "sleep 1" "$again" "sleep 1" "$again" "sleep 1" "$again" \
        "sleep 1" "$again" "sleep 1" "$again"

    case="ranks die, without"
    plan "137" "137" "137" "137" "137"; job
    ended 137 "$again" "sleep 5" "$again" "sleep 30" "$again" "sleep 300" "$again" "sleep 300" "$again"
    out_has "giving up"

    case="a warning"
    plan "waits 3"; job; until_there ready; kill -USR1 $shell; ended 3 "$again" "$requeued"

    case="a warning, and srun ends ranks that are about to end"
    plan "waits 143"; job; until_there ready; kill -USR1 $shell; ended 3 "$again" "$requeued"

    case="a warning in a pause"
    plan "137 saves"; touch hold; job; until_there ready; kill -USR2 $shell
    ended 3 "$again" "sleep 1" "$requeued"
    rm hold; last="$scheduler, $case" until_true no_sleep

    case="the scheduler ends it"
    plan "waits 3"; job; until_there ready; kill -TERM $shell; ended 143 "$again"

    case="a warning, and then the scheduler ends it"
    plan "waits 3"; touch slow; job; until_there ready; kill -USR1 $shell; until_there saving
    kill -TERM $shell; /bin/sleep 0.2; kill -TERM $shell; rm slow
    ended 143 "$again"

    case="the scheduler ends it in a pause"
    plan "137 saves"; touch hold; job; until_there ready; kill -TERM $shell
    ended 137 "$again" "sleep 1"

    # A node is gone, and the scheduler starts the job anew: also before anything was saved.
    case="lost before its first checkpoint"
    rm -r run
    plan "waits 3"; job; until_there ready; kill -KILL -- $shell "$(pgrep -f "$PWD/bin/evengrad train")"
    wait $shell 2> /dev/null
    plan "0 saves"; job; ended 0 "$first"
    [ ! -e run/.nothing-saved ] || fail "$scheduler, $case: the folder stays marked"
done

scheduler=pbs
case="the time that PBS doesn't tell"
sed -i -E 's/^minutes=[0-9]+ /minutes=0.02 /; s/\$\(\(60 \* minutes\)\)/${minutes}m/' pbs.sh
plan "waits 3"; job; ended 3 "$again" "${requeued_by[pbs]}"
! pgrep -f "tail -f --pid=$shell " > /dev/null || fail "$case: a process stays"

# starts_by VARIABLES COMMAND OPTIONS...: what launch/run starts the ranks by in such an environment.
starts_by() {
    local variables=$1 expected=$2
    shift 2
    # shellcheck disable=SC2086  # several variables
    env $variables "$source_dir/launch/run" --program bin/evengrad --print "$@" -- bench > out 2>&1
    [[ $(cat out) == "\$ $expected"* ]] || fail "$variables $*: $(cat out), not $expected"
}
echo "h1 slots=2" > hosts
starts_by SLURM_JOB_ID=7 "srun --mpi=pmix -K1 -n 8 --distribution=block:block --cpu-bind=cores bin/evengrad bench" -n 8
starts_by SLURM_JOB_ID=7 "srun --mpi=pmix -K1 --overcommit --cpu-bind=none bin/evengrad" --oversubscribe
starts_by SLURM_JOB_ID=7 "env OMPI_MCA_btl_tcp_if_include=eth7 srun --mpi=pmix" --interface eth7
starts_by SLURM_JOB_ID=7 "mpirun --map-by core --bind-to core -mca oob_tcp" --launcher mpirun
starts_by SLURM_JOB_ID=7 "mpirun --hostfile hosts --map-by core --bind-to core" --hostfile hosts
starts_by "SLURM_JOB_ID=7 SLURM_STEP_ID=0" "mpirun --map-by core --bind-to core"  # below srun
echo "none pmi2 pmix_v4" > mpi_list
starts_by SLURM_JOB_ID=7 "mpirun --map-by core --bind-to core"
finish
