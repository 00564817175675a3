#!/usr/bin/env bash
# What `bench --predict` says on one host of two and three, against what `bench` measures on them.
source "$(dirname "$0")/hosts.sh"
hosts_up 3
# By itself Open MPI lets two hosts that send each other something over TCP do so in turn (launch/README.md).
export OMPI_MCA_btl_tcp_flags=send

# bench HOSTS RANKS: so many ranks on each of the first HOSTS hosts; what it prints goes to
# the file out.
bench() {
    local hosts=$1 ranks=$2 i
    for ((i = 1; i <= hosts; ++i)); do echo "h$i slots=$ranks"; done > hosts
    last="bench on $hosts hosts"
    timeout -k 5 100 nsenter -t "${init_of[h1]}" -n -u -m -i -p --wd="$PWD" -- \
        "$source_dir/launch/run" --program "$evengrad" --hostfile hosts -- \
        bench "${shape[@]}" > out 2> err < /dev/null || { fail "$last"; cat out err; finish; }
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
# A machine can be disturbed for a moment: what doesn't hold is measured again, twice at most.
holds() {
    local tries
    for tries in 1 2 3; do "$@" && return; done
    fail "$*, $tries times"
}

# Hardly anything but the exchange takes time in these, 0.9 and 9.6 million parameters, so that it matters
# little that hosts share this machine's cores with each other, and with others.
small=(--num-layers 1 --hidden-size 256 --num-attention-heads 8 --seq-length 8
       --micro-batch-size 1 --micro-batches-per-rank 1)
large=(--num-layers 3 --hidden-size 512 --num-attention-heads 8 --seq-length 8
       --micro-batch-size 1 --micro-batches-per-rank 1)

# A model that forgets that weights travel back is wrong by a factor of 1.5.
at_100_megabits() {
    local hosts=$1 ranks=$2 name="$1 hosts of $2, 100 Mbit/s"
    bench "$hosts" "$ranks"
    says "$((hosts * ranks)) ranks on $hosts nodes"
    agree 1.3 "$name, exchange" "$(exchange)" "$(predicted 0.1 "$hosts" 5)" &&
        agree 1.4 "$name, step" "$(step)" "$(predicted 0.1 "$hosts" 7)"
}
limit 100mbit
shape=("${small[@]}")
predict 1 0.1:50
holds at_100_megabits 2 1
holds at_100_megabits 3 1
predict 2 0.1:50
holds at_100_megabits 3 2

# With cables ten times as fast, ranks wait for processors more than for cables here. So what it takes
# without a limit is measured, and what the cables add compared.
at_1_gigabit() {
    local hosts=$1 free cables
    limit 100gbit
    bench "$hosts" 1
    free=$(exchange)
    limit 1gbit
    bench "$hosts" 1
    cables=$(awk -v all="$(predicted 1 "$hosts" 5)" -v none="$(predicted 1000 "$hosts" 5)" \
        'BEGIN { print all - none }')
    agree 1.4 "$hosts hosts, 1 Gbit/s, exchange ($free s without a limit, cables $cables s)" \
        "$(exchange)" "$(awk -v free="$free" -v cables="$cables" 'BEGIN { print free + cables }')"
}
shape=("${large[@]}")
predict 1 1:0,1000:0
holds at_1_gigabit 2
holds at_1_gigabit 3
finish
