#!/usr/bin/env bash
# Every way in which a process, a host, a cable or a disk can fail while launch/run --until-done trains
# on three hosts: the job ends within the time that launch/README.md states, says why, and starts
# again; and in the end the run is the one that nothing happened to.
source "$(dirname "$0")/launched.sh"
mkdir disk
mount -t tmpfs -o size=16m tmpfs disk  # before there are hosts, which see it then
trap "umount disk; rm -rf '$scratch'" EXIT
start_hosts
job+=(--stall-timeout 10)

# survives NAME SECONDS TEXT FAULT...: the fault comes while the run is under way; the next start within
# so many seconds, after the TEXT (a regular expression).
survives() {
    local name=$1 seconds=$2 text=$3 begun took
    shift 3
    begin --hostfile hosts --until-done -- "${job[@]}" --train-iters 40 --save "$name"
    await_save "$name"
    begun=$SECONDS
    "$@"
    started_again() {
        [ "$(grep -c '^\$ mpirun' err)" -ge 2 ] || ! kill -0 $guard
    } 2> /dev/null
    until_true started_again
    took=$((SECONDS - begun))
    [ "$took" -le "$seconds" ] || fail "$name: started again after $took s only"
    end "$name"
    is_done "$name"
    [ "$(grep -c '^\$ mpirun' err)" = 2 ] || { fail "$name: other than two starts"; cat err; }
    awk '/^\$ mpirun/ && ++starts == 2 { exit } { print }' err | grep -qE -e "$text" ||
        { fail "$name: doesn't say '$text'"; cat err; }
    echo "$name: started again after $took s"
}

survives rank 30 "rank [0-9]+ .*on node h2 exited on signal 9" signal KILL h2 evengrad
survives segfault 30 "rank [0-9]+ .*on node h3 exited on signal 11" signal SEGV h3 evengrad
survives orted 30 "lost communication with a remote daemon" signal KILL h3 orted
survives ssh 30 "unable to reliably start one or more daemons" signal KILL h1 ssh
survives mpirun 30 "exit code 137" signal KILL h1 mpirun

# Stopped processes. Without mpirun or its daemon the ranks lack nothing until they have done all.
survives stopped_rank 40 "rank [0-9]+ \(host h2\) has been silent for" signal STOP h2 evengrad
survives stopped_orted 150 "all is done, but MPI_Finalize has not come back" signal STOP h3 orted
survives stopped_mpirun 150 "mpirun .* has not ended" signal STOP h1 mpirun

# The disk of rank 0. Saves that fail are warnings; when the last one does the run has failed.
full() {
    fill() {
        dd if=/dev/zero of=disk/filler bs=4k oflag=append conv=notrunc 2> filled
        grep -q "was not saved" err
    }
    until_true fill
    until_true grep -q "launch/run: exit code 1; starting again" err
    rm disk/filler
}
survives disk/run 60 "step 40, was not saved to .*: .*No space left on device" full

# A host that is gone: the others finish.
survives unplugged 60 "launch/run: h2 doesn't answer: going on without it" unplug h2
plug_in h2
# Now it is rank 0's, and mpirun has none of its ranks beside it.
printf 'h%s slots=2\n' 2 3 > hosts
survives powerless 60 "launch/run: h2 doesn't answer: going on without it" power_cut h2
finish
