#!/usr/bin/env bash
# launch/run on three hosts: the same bits as one process; the network it chooses; signals; and with
# --until-done every way in which a host, a process or a cable can fail.
source "$(dirname "$0")/hosts.sh"
hosts_up 3
printf 'h%s slots=2\n' 1 2 3 > hosts

job=(train --data "$pairs" "${tiny[@]}" --dropout 0.1 --save-interval 2 --log-level warning)
succeeds 0 "${job[@]}" --train-iters 60 --save straight
reference=$(digest_of straight)

# launch OPTIONS...: on h1.
launch() {
    timeout -k 5 180 nsenter -t "${init_of[h1]}" -n -u -m -i -p --wd="$PWD" -- \
        "$source_dir/launch/run" --program "$evengrad" "$@" > out 2> err < /dev/null
}
# begin OPTIONS...: in the background. end NAME: its exit code is `code`.
begin() {
    launch "$@" &
    guard=$!
}
end() {
    wait $guard
    code=$?
    [ $code != 124 ] || fail "$1: hangs"
}
# await_save FOLDER: until a run has saved there.
await_save() { patience=90 until_true test -e "$1/latest" || { cat err; finish; }; }
is_done() {
    [ $code = 0 ] || { fail "$1: exit code $code"; cat err; }
    [ "$(digest_of "$1")" = "$reference" ] || fail "$1: another digest"
}

# Six ranks on three hosts, each with its own memory, on cables of 1 Gbit/s.
limit 1gbit
launch --hostfile hosts -- "${job[@]}" --train-iters 60 --save six --log-level info
code=$?
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
launch --hostfile hosts -n 3 -- "${job[@]}" --train-iters 60 --save bridged
code=$?
is_done bridged

# Signals reach ranks on all hosts through mpirun.
for name in TERM USR1; do
    begin --hostfile hosts -- "${job[@]}" --train-iters 100000 --save "by-$name"
    await_save "by-$name"
    on h1 pkill -o -$name -f launch/run
    end "SIG$name"
    [ $code = 3 ] || { fail "SIG$name: exit code $code"; cat err; }
done

# Failures, each while the run is under way; then it goes on to the end nobody disturbed.
#
# survives NAME FAULT...: sets `took`, seconds from the fault to the next start.
survives() {
    local name=$1 begun
    shift
    begin --hostfile hosts --until-done -- "${job[@]}" --train-iters 60 --save "$name"
    await_save "$name"
    begun=$SECONDS
    "$@"
    until [ "$(grep -c '^\$ mpirun' err)" = 2 ]; do
        [ $((SECONDS - begun)) -lt 100 ] || { fail "$name: no second start"; break; }
        kill -0 $guard 2> /dev/null || break
        sleep 0.1
    done
    took=$((SECONDS - begun))
    end "$name"
    is_done "$name"
    [ "$(grep -c '^\$ mpirun' err)" = 2 ] || { fail "$name: other than two starts"; cat err; }
    echo "$name: started again after $took s"
}
survives rank signal KILL h2 evengrad
survives segfault signal SEGV h3 evengrad
survives orted signal KILL h3 orted
survives ssh signal KILL h1 ssh
survives mpirun signal KILL h1 mpirun

# A host that is gone: the others finish.
survives unplugged unplug h2
grep -q "launch/run: h2 doesn't answer: going on without it" err || fail "unplugged: $(cat err)"
grep -q "^\$ mpirun --hostfile .* -mca" err || fail "unplugged: $(cat err)"
plug_in h2
survives powerless power_cut h3
grep -q "launch/run: h3 doesn't answer: going on without it" err || fail "powerless: $(cat err)"
finish
