# What the test scripts of this folder share. Sourced with the program to test as $1.
set -u
evengrad=$(realpath "$1")
source_dir=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

failures=0
fail() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

# finish: the end of a script; not 0 when anything failed.
finish() {
    if [ "$failures" -gt 0 ]; then
        printf '%s failure(s)\n' "$failures"
        exit 1
    fi
    echo "all as expected"
    exit 0
}

# run RANKS ARGUMENTS...: runs evengrad; 0 ranks means without mpirun. What it prints goes to the
# files out and err. No case here needs three minutes, on the busiest machine: one that does hangs.
run() {
    local ranks=$1
    shift
    last="$ranks ranks: evengrad $*"
    if [ "$ranks" = 0 ]; then
        timeout -k 5 180 "$evengrad" "$@" > out 2> err < /dev/null
    else
        timeout -k 5 180 mpirun --bind-to none --oversubscribe -n "$ranks" "$evengrad" "$@" \
            > out 2> err < /dev/null
    fi
    code=$?
    [ $code != 124 ] || fail "$last: hangs"
    return $code
}

# succeeds RANKS ARGUMENTS...
succeeds() {
    run "$@" && return
    fail "$last: exit code $code"
    cat err
}

# refuses CODE RANKS TEXT... -- ARGUMENTS...: it fails with that exit code, says it once, and each
# TEXT is somewhere in what it says.
refuses() {
    local expected=$1 ranks=$2 texts=()
    shift 2
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    run "$ranks" "$@"
    [ $code = "$expected" ] || fail "$last: exit code $code, not $expected"
    local said
    said=$(grep -c '^evengrad: error: ' err)
    [ "$said" = 1 ] || fail "$last: said $said times"
    local text
    for text in "${texts[@]}"; do
        [ "$(grep -cF -e "$text" err)" = 1 ] || fail "$last: '$text' is not in it once"
    done
    if grep -qE 'terminate called|Signal|backtrace|what\(\)|internal error|boost::' err; then
        fail "$last: looks like a crash"
    fi
    [ "$failures" = "${shown_failures:-0}" ] || cat err
    shown_failures=$failures
}

# until_true COMMAND...: waits for it, three minutes at most; a failure, and false, when it doesn't
# become true.
until_true() {
    local end=$((SECONDS + 180))
    until "$@"; do
        [ $SECONDS -lt $end ] || { fail "${last:-}: waited in vain for: $*"; return 1; }
        sleep 0.02
    done
}

# says TEXT: it is in the last run's output.
says() {
    grep -qF -e "$1" out && return
    fail "$last: '$1' is not in the output"
    cat out
}

# small_disk FOLDER SIZE WHAT: a file system of that size there, unmounted at the script's end; where
# none may be made it says that WHAT isn't tried, and why, and is false.
small_disk() {
    local reason="making one takes root"
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$1"
        if mount -t tmpfs -o "size=$2" tmpfs "$1" 2> err; then
            trap "umount '$scratch/$1'; rm -rf '$scratch'" EXIT
            return 0
        fi
        reason="mounting is not allowed here: $(cat err)"
    fi
    echo "$3: not tried, $reason"
    return 1
}
no_small_disk() {
    umount "$1"
    trap 'rm -rf "$scratch"' EXIT
}

# memory_of ARGUMENTS...: MB that one process of evengrad takes at most.
memory_of() {
    timeout -k 5 500 /usr/bin/python3 - "$evengrad" "$@" << 'PYTHON'
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w")).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 if code == 0 else 999999)
PYTHON
}

# digest_of CHECKPOINT
digest_of() {
    "$evengrad" inspect "$1" --digest || echo "no digest"
}

# A model that trains in no time, on sequences of very uneven length.
tiny=(--num-layers 2 --hidden-size 24 --num-attention-heads 3 --seq-length 96 --micro-batch-tokens 200
    --global-batch-size 24 --lr 3e-3 --seed 5)
pairs=$source_dir/data/pairs.jsonl
