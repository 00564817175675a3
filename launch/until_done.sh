# Sourced by launch/run, with the arguments of `evengrad train`: starts it again and again until the run
# is done, or this job's time is up.
# shellcheck shell=bash disable=SC2034,SC2154  # variables of launch/run

[[ $1 == train ]] || wrong "--until-done is for train"
save='' beginning=() arguments=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --save) save=${2:-} ;;
        --save=*) save=${1#*=} ;;
    esac
    case $1 in
        --overwrite | --resume=*) beginning+=("$1") ;;
        --resume)
            # (Alone it is what --until-done does anyway.)
            [[ $# -lt 2 || $2 == -* ]] || { beginning+=("$1" "$2") && shift; }
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
[[ -n $save ]] || wrong "--until-done needs --save DIR on the command line: where to go on from"
[[ -z $requeue || ${#beginning[@]} -eq 0 ]] ||
    wrong "${beginning[*]} with --requeue: each job would begin like that; begin the run without --requeue"

# --------------------------------------------------------------------------------------- checkpoints

saved() { stat -c '%N %i %y' -- "$save/latest" 2>/dev/null || :; }
# saved_since WHAT: there is a checkpoint, and it isn't that one.
saved_since() { [[ -L $save/latest && $(saved) != "$1" ]]; }
has_saved() {
    local files
    shopt -s nullglob
    files=("$save"/step-*.h5)
    shopt -u nullglob
    [[ -L $save/latest || ${#files[@]} -gt 0 ]]
}

# What a run leaves that ended before its first checkpoint may be overwritten, also when it began in another
# job: a scheduler starts a job anew whose node is gone. Nothing else may: a folder without checkpoints can
# hold the curves of a run whose checkpoints were moved elsewhere. So a folder that is empty at the
# beginning is marked until there is a checkpoint in it.
mark=$save/.nothing-saved

# how_to_begin: sets `how`, options of train.
how_to_begin() {
    how=("${beginning[@]}")
    if has_saved; then
        rm -f -- "$mark"
        if [[ ${#beginning[@]} -eq 0 ]] || saved_since "$at_first"; then how=(--resume); fi
    elif [[ -e $mark ]]; then
        [[ " ${how[*]} " == *' --overwrite '* ]] || how+=(--overwrite)
    elif [[ -z $(ls -A -- "$save" 2>/dev/null) ]]; then
        { mkdir -p -- "$save" && : >"$mark"; } 2>/dev/null || :  # evengrad says what is wrong
    fi
}

# --------------------------------------------------------------------------------------------- hosts

# hosts_left FILE: the lines of the hostfile whose hosts answer, into FILE.
hosts_left() {
    local line host answers why
    answers=$(mktemp -d)
    while read -r host line; do
        { is_here "$host" ||
            timeout -k 1 15 ssh -n -o BatchMode=yes -o ConnectTimeout=5 "$host" true \
                2>"$answers/$host.why"; } &&
            : >"$answers/$host" &
    done < <(host_lines "$hostfile")
    wait
    while read -r line; do
        read -r host _ <<<"$line"
        if [[ -e $answers/$host ]]; then
            echo "$line"
        else
            why=$(tail -n 1 "$answers/$host.why")
            say "$host doesn't answer: going on without it (${why:-ssh had nothing to say for 15 s})"
        fi
    done < <(host_lines "$hostfile") >"$1"
    rm -rf -- "$answers"
}

# ---------------------------------------------------------------------------------------------- ends

# end_of_time: this job ends; another goes on, unless that would come to nothing again and again.
end_of_time() {
    [[ -n $requeue ]] || exit "${code:-3}"
    if ! saved_since "$at_first"; then
        say "nothing was saved in this job's time, so it isn't put into the queue again: it takes more" \
            "time, more ranks or a smaller global batch"
        exit 1
    fi
    say "saved $save/$(readlink -- "$save/latest"); a job goes on from there: into the queue again"
    trap '' TERM HUP USR1 USR2  # that may end this one; once is enough
    bash -c "$requeue" >&2 || say "that is not allowed here: submit the job yourself"
    exit 3
}

# `code`, and what it may stand for.
code_text() {
    local name
    if [[ $code -gt 128 ]] && name=$(kill -l $((code - 128)) 2>/dev/null); then
        echo "$code (SIG$name ended a rank, or $launcher itself)"
    else
        echo "$code"
    fi
}

# wait_a_while SECONDS: in which signals are heard.
pause=''
wait_a_while() {
    sleep "$1" &
    pause=$!
    wait "$pause" || :
    pause=''
}

# ------------------------------------------------------------------------------------------ the loop

left=$(mktemp)
at_exit() {
    rm -f -- "$left"
    [[ -z $pause ]] || kill "$pause" 2>/dev/null
    [[ $(ls -A -- "$save" 2>/dev/null) != "${mark##*/}" ]] || rm -f -- "$mark"
}
trap at_exit EXIT
at_first=$(saved)
looping=yes
useless=0  # starts in a row that saved nothing new
# The last one is as long as a scheduler takes to notice that a node is gone.
pauses=(1 5 30 300)
while :; do
    how_to_begin
    before=$(saved)
    code=255  # as ssh's: no host answers
    if [[ -z $hostfile ]]; then
        start "${arguments[@]}" "${how[@]}"
    elif hosts_left "$left" && [[ -s $left ]]; then
        make_starter "$hostfile"
        cmp -s -- "$left" <(host_lines "$hostfile") || make_starter "$left"
        start "${arguments[@]}" "${how[@]}"
    fi
    ! has_saved || rm -f -- "$mark"
    if saved_since "$before"; then useless=0; else useless=$((useless + 1)); fi
    # Done. (But srun ends with 0, too, when it couldn't start the ranks.)
    [[ $code != 0 ]] || [[ $launcher == srun && $useless -gt 0 ]] || exit 0
    # 2: wrong use, which no repetition mends.
    [[ $code != 2 ]] || exit 2
    if [[ $ending == yes ]]; then
        # A batch system may take 3 for: into the queue again.
        [[ $code != 3 || $allocation == no ]] || code=143
        exit "$code"
    fi
    # 3: by --exit-duration-in-mins, or by a signal to the ranks, as a preemption's.
    [[ $code != 3 && -z $asked ]] || end_of_time
    if [[ $useless -ge $tries ]]; then
        say "giving up: $useless starts in a row saved nothing new; the last one's exit code is $(code_text)"
        # With 0, srun's, there is a checkpoint if the run had been done before.
        [[ $code != 0 ]] || has_saved || exit 1
        exit "$code"
    fi
    seconds=${pauses[useless < 3 ? useless : 3]}
    say "exit code $(code_text); starting again in $seconds s, from $(has_saved && echo "$save" || echo the beginning)"
    wait_a_while "$seconds"
done
