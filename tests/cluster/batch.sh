#!/usr/bin/env bash
# What launch/slurm.sbatch, pbs.sh and lsf.sh decide, with stand-ins for the schedulers' commands, mpirun,
# sleep and evengrad. (slurm.sh beside this file has a real Slurm.)
# usage: batch.sh EVENGRAD SOURCE_DIR
source "$(dirname "$0")/../commands/helpers.sh"

mkdir bin
stand_in() { cat > "bin/$1" && chmod +x "bin/$1"; }
# One line of `plan` for each start: "CODE", "CODE saves", "waits CODE" (for SIGUSR2, then saves).
stand_in evengrad << 'SCRIPT'
#!/bin/bash
echo "evengrad ${*: -1}" >> said
read -r code what < plan
sed -i 1d plan
echo >> starts
save() {
    touch "run/step-$(wc -l < starts).h5"
    ln -sfn "step-$(wc -l < starts).h5" run/latest
}
if [ "$code" = waits ]; then
    trap 'save; exit "$what"' USR2
    touch ready
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
exec "$@"
SCRIPT
sed 's|^echo|[ "$*" != --mpi=list ] \|\| exec echo pmix\n&|' bin/mpirun | stand_in srun
# Of what puts a job into the queue.
for command in qsub scontrol; do
    stand_in $command <<< '#!/bin/bash
echo "${0##*/} $*" >> said
! [ -e forbidden ]'
done
stand_in sleep << 'SCRIPT'
#!/bin/bash
echo "sleep $1" >> said
if [ -e hold ]; then touch ready; exec /bin/sleep 5; fi
SCRIPT
PATH=$PWD/bin:$PATH
export PBS_O_WORKDIR=$PWD PBS_NODEFILE=$PWD/nodes SLURM_JOB_ID=7

declare -A script_of=([slurm]=slurm.sbatch [pbs]=pbs.sh [lsf]=lsf.sh)
declare -A requeued_by=([slurm]="scontrol requeue 7" [pbs]="qsub $PWD/pbs.sh" [lsf]="")
for scheduler in slurm pbs lsf; do
    sed -E -e "s|^home=[^ ]+ |home=$source_dir |" -e "s|^save=[^ ]+ |save=run |" \
        -e "s|^evengrad=.*|evengrad=$PWD/bin/evengrad|" \
        "$source_dir/launch/${script_of[$scheduler]}" > "${script_of[$scheduler]}"
done

# plan LINE...: what the next job's starts of evengrad do.
plan() {
    printf '%s\n' "$@" > plan
    rm -f ready hold forbidden said
}
# job: in the background, as process `shell`.
job() {
    bash "${script_of[$scheduler]}" > out 2>&1 < /dev/null &
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
until_ready() {
    local tries=0
    until [ -e ready ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { fail "$scheduler, $case: $(cat out)"; return; }
        /bin/sleep 0.1
    done
}
out_has() { grep -q -e "$1" out || fail "$scheduler, $case: '$1' is not in $(cat out)"; }
first="evengrad --overwrite"
again="evengrad --resume"

for scheduler in slurm pbs lsf; do
    requeued=${requeued_by[$scheduler]}
    rm -rf run

    case="its time is up, before anything is saved"
    plan "3"; job; ended 1 "evengrad run"
    out_has "nothing was saved in this job's time"

    case="its time is up"
    plan "3 saves"; job; ended 3 "$first" "$requeued"
    [ $scheduler = slurm ] || grep -q '^mpirun' launched || fail "$scheduler: $(cat launched)"
    [ $scheduler != slurm ] || grep -q '^srun --mpi=pmix -K1 ' launched || fail "$(cat launched)"

    case="its time is up again, without progress"
    plan "3"; job; ended 1 "$again"

    if [ $scheduler != lsf ]; then
        case="it may not go into the queue again"
        plan "3 saves"; touch forbidden; job; ended 3 "$again" "$requeued"
        out_has "submit the job yourself"
    fi

    case="the run is done"
    plan "0 saves"; job; ended 0 "$again"

    case="the run was done"
    plan "0" "0"; job; ended 0 "$again" "sleep 5" "$again"

    case="srun couldn't start the ranks, and says 0"
    plan "0" "0 saves"; job; ended 0 "$again" "sleep 5" "$again"

    case="wrong use"
    plan "2"; job; ended 2 "$again"

    case="evengrad fails at the same place twice"
    plan "1" "1"; job; ended 1 "$again" "sleep 5" "$again"

    case="ranks die, with progress"
    plan "137 saves" "139 saves" "205 saves" "137 saves" "137 saves" "0"; job
    ended 0 "$again" "sleep 5" "$again" "sleep 5" "$again" "sleep 5" "$again" "sleep 5" "$again" \
        "sleep 5" "$again"

    case="ranks die, without"
    plan "137" "137" "137" "137"; job
    ended 137 "$again" "sleep 5" "$again" "sleep 60" "$again" "sleep 300" "$again"
    out_has "giving up"

    case="a warning"
    plan "waits 3"; job; until_ready; kill -USR1 $shell; ended 3 "$again" "$requeued"

    case="a warning, and srun ends ranks that are about to end"
    plan "waits 143"; job; until_ready; kill -USR1 $shell; ended 3 "$again" "$requeued"

    case="a warning in a pause"
    plan "137 saves"; touch hold; job; until_ready; kill -USR2 $shell
    ended 3 "$again" "sleep 5" "$requeued"

    case="the scheduler ends it"
    plan "waits 3"; job; until_ready; kill -TERM $shell; ended 3 "$again"

    case="the scheduler ends it in a pause"
    plan "137 saves"; touch hold; job; until_ready; kill -TERM $shell
    ended 137 "$again" "sleep 5"
done

scheduler=pbs
case="the time that PBS doesn't tell"
sed -i -E 's/^minutes=[0-9]+ /minutes=0.02 /; s/\$\(\(60 \* minutes\)\)/${minutes}m/' pbs.sh
plan "waits 3"; job; ended 3 "$again" "${requeued_by[pbs]}"
! pgrep -f "tail -f --pid=$shell " > /dev/null || fail "$case: a process stays"

finish
