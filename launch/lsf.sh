#!/usr/bin/env bash
# Trains on nodes of an LSF cluster, in as many jobs' time as it takes. Copy this file, change what is
# marked with <<<, and: bsub < lsf.sh
# What it does at a time limit or a failure: launch/README.md.

# <<< the name; 128 ranks, 32 a node, one a core; one job's time, not the run's; if your cluster needs
# them, -q QUEUE and -P PROJECT
#BSUB -J evengrad
#BSUB -n 128
#BSUB -R "span[ptile=32]"
#BSUB -W 12:00

# Whole nodes.
#BSUB -x
# Five minutes before the end comes SIGUSR2. Saving must fit into them.
#BSUB -wt 5
#BSUB -wa USR2
# A job that ends with exit code 3 goes into the queue again, and so does one that lost its first node.
#BSUB -Q 3
#BSUB -r
#BSUB -o evengrad-%J.out

home=$HOME/evengrad                # <<< where launch/setup was run
save=runs/mine                     # <<< on a file system that all nodes have
options=(                          # <<< of evengrad train
    --data my.jsonl --valid-fraction 0.05
    --config "$home/launch/recipes/pairs.ini"
    --train-iters 20000 --save-interval 500
)
# <<< module load ..., as for the build

# An Open MPI that was built for LSF knows the job's nodes. (--requeue true: -Q does it. exec: LSF's signals
# are launch/run's.)
exec "$home/launch/run" --until-done --requeue true -- train "${options[@]}" --save "$save"
