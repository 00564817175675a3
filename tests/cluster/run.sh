#!/usr/bin/env bash
# launch/run on three hosts: the same bits as one process; the network it chooses; signals.
source "$(dirname "$0")/launched.sh"
start_hosts

# Six ranks on three hosts, each with its own memory.
launch --hostfile hosts -- "${job[@]}" --train-iters 40 --save six --log-level info
is_done six
says "6 ranks on 3 nodes"
grep -q -- "-mca btl_tcp_if_include 10.77.0.0/24 -mca oob_tcp_if_include 10.77.0.0/24" err ||
    fail "the network is not named: $(head -1 err)"

# A bridge for containers with the same address on every host: by itself Open MPI waits for ever.
for host in h1 h2 h3; do
    on $host ip link add docker0 type bridge
    on $host ip addr add 172.17.0.1/16 dev docker0
    on $host ip link set docker0 up
done
launch --hostfile hosts -n 3 -- "${job[@]}" --train-iters 40 --save bridged
is_done bridged

# Signals reach ranks on all hosts through mpirun.
for name in TERM USR1; do
    begin --hostfile hosts -- "${job[@]}" --train-iters 100000 --save "by-$name"
    await_save "by-$name"
    on h1 pkill -o -$name -f launch/run
    end "SIG$name"
    [ $code = 3 ] || { fail "SIG$name: exit code $code"; cat err; }
done
finish
