#!/usr/bin/env bash
# Trains on nodes of a PBS cluster, in as many jobs' time as it takes. Copy this file, change what is
# marked with <<<, and, from its folder: qsub pbs.sh
# What it does at a time limit or a failure: launch/README.md.

# <<< the name; 4 nodes of 32 cores, one rank a core (Torque: -l nodes=4:ppn=32, and no place);
# one job's time, not the run's; if your cluster needs them, -q QUEUE and -A ACCOUNT
#PBS -N evengrad
#PBS -l select=4:ncpus=32:mpiprocs=32
#PBS -l place=scatter:excl
#PBS -l walltime=12:00:00
minutes=700                        # <<< until the run is stopped: less than walltime, to save in

# After the loss of a node PBS starts the job again.
#PBS -r y
#PBS -j oe
#PBS -S /bin/bash

script=$PBS_O_WORKDIR/pbs.sh       # <<< this file
home=$HOME/evengrad                # <<< where launch/setup was run
save=runs/mine                     # <<< on a file system that all nodes have
options=(                          # <<< of evengrad train
    --data my.jsonl --valid-fraction 0.05
    --config "$home/launch/recipes/pairs.ini"
    --train-iters 20000 --save-interval 500
)
# <<< module load ..., as for the build

cd "$PBS_O_WORKDIR" || exit 1

# PBS gives no warning before the end: SIGUSR1 to launch/run below. (tail ends when that does.)
(timeout $((60 * minutes)) tail -f --pid=$$ /dev/null || kill -USR1 $$) &

# Not qrerun, which may be for operators only.
exec "$home/launch/run" --until-done --requeue "qsub '$script'" -- \
    train "${options[@]}" --save "$save"
