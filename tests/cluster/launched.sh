# shellcheck shell=bash
# What run.sh and failures.sh share: launch/run on h1, of three hosts with two ranks each on cables of
# 1 Gbit/s, and the digest that a run of 40 steps must end in. To be sourced first.
source "$(dirname "$0")/hosts.sh"

# start_hosts: that; and sets `job`, what the runs have in common, and `reference`.
start_hosts() {
    hosts_up 3
    limit 1gbit
    printf 'h%s slots=2\n' 1 2 3 > hosts
    job=(train --data "$pairs" "${tiny[@]}" --dropout 0.1 --save-interval 2 --log-level warning)
    succeeds 0 "${job[@]}" --train-iters 40 --save straight
    reference=$(digest_of straight)
}

# launch OPTIONS...: what it prints goes to the files out and err; sets `code`.
launch() {
    timeout -k 5 300 nsenter -t "${init_of[h1]}" -n -u -m -i -p --wd="$PWD" -- \
        "$source_dir/launch/run" --program "$evengrad" "$@" > out 2> err < /dev/null
    code=$?
}
# begin OPTIONS...: in the background. end NAME: waits for it, and sets `code`.
begin() {
    { launch "$@"; exit $code; } &
    guard=$!
}
end() {
    wait $guard
    code=$?
    [ $code != 124 ] || fail "$1: hangs"
}
# await_save FOLDER: until a run has saved there.
await_save() { until_true test -e "$1/latest" || { cat err; finish; }; }
# is_done FOLDER: the run has ended well.
is_done() {
    [ $code = 0 ] || { fail "$1: exit code $code"; cat err; }
    [ "$(digest_of "$1")" = "$reference" ] || fail "$1: another digest"
}
