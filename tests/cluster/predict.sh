#!/usr/bin/env bash
# What `bench --predict` says on one host of two and three, against what `bench` measures on them.
source "$(dirname "$0")/hosts.sh"
hosts_up 3

# bench HOSTS RANKS: so many ranks on each of the first HOSTS hosts; what it prints goes to
# the file out.
bench() {
    local hosts=$1 ranks=$2 i
    # By itself Open MPI lets two hosts that send to each other over TCP do so in turn (launch/README.md).
    if [ "$hosts" = 2 ]; then local -x OMPI_MCA_btl_tcp_flags=send; fi
    for ((i = 1; i <= hosts; ++i)); do echo "h$i slots=$ranks"; done > hosts
    last="bench on $hosts hosts"
    timeout -k 5 100 nsenter -t "${init_of[h1]}" -n -u -m -i -p --wd="$PWD" -- \
        "$source_dir/launch/run" --program "$evengrad" --hostfile hosts -- \
        bench "${shape[@]}" --steps 1 > out 2> err < /dev/null || { fail "$last"; cat out err; finish; }
}
# predict RANKS NETWORKS: what hosts of so many ranks would do, said by one rank on one of them, goes to
# the file forecast.
predict() {
    on h1 timeout -k 5 100 "$evengrad" bench "${shape[@]}" --predict --nodes 3 --node-ranks "$1" \
        --networks "$2" > forecast 2> err < /dev/null || { fail "bench --predict"; cat err; finish; }
}
# predicted GBIT HOSTS COLUMN: of that. exchange, step: of what was measured.
predicted() {
    awk -v g="$1" -v n="$2" -v c="$3" '$2 == "Gbit/s," { gbit = $1 } gbit == g && $1 == n { print $c }' forecast
}
exchange() { awk '$1 == "reduce" || $1 == "share" { seconds += $2 } END { print seconds }' out; }
step() { awk '$1 == "step" { print $2 }' out; }

# agree FACTOR NAME MEASURED PREDICTED: neither is more than FACTOR times the other.
agree() {
    awk -v f="$1" -v name="$2" -v m="$3" -v p="$4" 'BEGIN {
        printf "%s: %.3f s, predicted %.3f s: %.2f times\n", name, m, p, m / p
        exit !(m < f * p && p < f * m) }'
}
# Noise makes it slower, never faster than cables are: a model that promises too much finds no excuse in
# another try.
holds() {
    local tries
    for tries in 1 2 3; do "$@" && return; done
    fail "$*: not in $tries tries"
}
# The middle one of the three lines of a file: a machine can be disturbed for a moment.
median() { sort -g "$1" | sed -n 2p; }

# Hardly anything but the exchange takes time in these, 0.9 and 9.6 million parameters, so that it matters
# little that hosts share this machine's cores with each other, and with others.
small=(--num-layers 1 --hidden-size 256 --num-attention-heads 8 --seq-length 8
       --micro-batch-size 1 --micro-batches-per-rank 1)
large=(--num-layers 3 --hidden-size 512 --num-attention-heads 8 --seq-length 8
       --micro-batch-size 1 --micro-batches-per-rank 1)

# A model that forgets that weights travel back is wrong by a factor of 1.5.
at_100_megabits() {
    local hosts=$1 ranks=$2 name="$1 hosts of $2, 100 Mbit/s"
    : > exchanges
    : > steps
    for _ in 1 2 3; do
        bench "$hosts" "$ranks"
        says "$((hosts * ranks)) ranks on $hosts nodes"
        exchange >> exchanges
        step >> steps
    done
    agree 1.3 "$name, exchange" "$(median exchanges)" "$(predicted 0.1 "$hosts" 5)" &&
        agree 1.5 "$name, step" "$(median steps)" "$(predicted 0.1 "$hosts" 7)"
}
limit 100mbit
shape=("${small[@]}")
predict 1 0.1:50
holds at_100_megabits 2 1
holds at_100_megabits 3 1
predict 2 0.1:50
holds at_100_megabits 3 2

# With cables ten times as fast, ranks wait for processors as long as for cables here. So what it takes
# without a limit is measured, too, in turn, and what cables add is compared with what the model has them add.
# Waiting for processors still differs from run to run.
at_1_gigabit() {
    local hosts=$1
    : > free
    : > limited
    for _ in 1 2 3; do
        limit 100gbit
        bench "$hosts" 1
        exchange >> free
        limit 1gbit
        bench "$hosts" 1
        exchange >> limited
    done
    echo "without a limit $(paste -sd " " free) s, at 1 Gbit/s $(paste -sd " " limited) s"
    agree 1.6 "$hosts hosts, 1 Gbit/s, what cables add to the exchange" \
        "$(awk -v free="$(median free)" -v all="$(median limited)" 'BEGIN { print all - free }')" \
        "$(awk -v all="$(predicted 1 "$hosts" 5)" -v none="$(predicted 1000 "$hosts" 5)" \
            'BEGIN { print all - none }')"
}
shape=("${large[@]}")
predict 1 1:0,1000:0
holds at_1_gigabit 2
holds at_1_gigabit 3
finish
