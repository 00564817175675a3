# shellcheck shell=bash
# Several hosts on one machine, for tests of what goes on between hosts. Sourced as helpers.sh of
# tests/commands is, which it includes.
#
# A host has its own network, name, processes, IPC, /tmp, /dev/shm and sshd; the hosts' cables end in
# a switch. All of it lives in namespaces below one process, the script itself, started anew in them:
# nothing is reachable from outside, and when the script ends, however it ends, the kernel removes
# all of it. Files are shared, as on a cluster, but for /tmp, /run/local and /dev/shm.

skip() {
    echo "skipped: $*"
    exit 77
}

if [ -z "${EVENGRAD_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || skip "making hosts takes root"
    for tool in ip tc unshare nsenter ssh ssh-keygen /usr/sbin/sshd ${needs:-}; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" > /dev/null && continue
        [ "${EVENGRAD_CLUSTER:-0}" = 0 ] || { echo "$tool isn't there"; exit 1; }  # it was asked for
        skip "$tool isn't there; launch/setup --cluster installs it"
    done
    inside=(unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc)
    reason=$("${inside[@]}" mount -t tmpfs tmpfs /run 2>&1) ||
        skip "namespaces are not allowed here: $reason"
    EVENGRAD_INSIDE=1 exec "${inside[@]}" bash "$0" "$@"
fi

export PATH=$PATH:/usr/sbin:/sbin
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/local /run/home /run/scratch
export TMPDIR=/run/scratch HOME=/run/home
# Many ranks on few cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
ip link set lo up
source "$(dirname "$0")/../commands/helpers.sh"

net=10.77.0
declare -A init_of  # the first process of each host

# host_init HOST: what a host does from its start.
host_init() {
    local host=$1 folder
    hostname "$host"
    mount --make-rprivate /
    # The project stays in sight, also where it lies below /tmp.
    for folder in "$source_dir" "$(dirname "$evengrad")"; do
        mkdir -p "/run/shared$folder" && mount --bind "$folder" "/run/shared$folder"
    done
    mount -t tmpfs tmpfs /tmp
    for folder in "$source_dir" "$(dirname "$evengrad")"; do
        mkdir -p "$folder" && mount --bind "/run/shared$folder" "$folder"
    done
    mount -t tmpfs -o size=1g tmpfs /dev/shm
    mount -t tmpfs tmpfs /run/local
    mount --bind /run/hosts /etc/hosts
    mount --bind /run/ssh_config /etc/ssh/ssh_config
    ip link set lo up
    ip addr add "$net.${host#h}/24" dev eth0
    ip link set eth0 up
    /usr/sbin/sshd -D -e -f "/run/sshd_$host" < /dev/null > "/run/sshd_$host.log" 2>&1 &
    while :; do wait; sleep 1; done  # adopts orphans
}

# hosts_up NUMBER: starts h1, h2, ... with the addresses 10.77.0.1, ...
hosts_up() {
    local number=$1 i host tries
    ssh-keygen -q -t ed25519 -N '' -f /run/id
    ip link add switch type bridge stp_state 0 forward_delay 0
    ip link set switch up
    echo "127.0.0.1 localhost" > /run/hosts
    printf '%s\n' "Host h*" "IdentityFile /run/id" "UserKnownHostsFile /run/known_hosts" \
        "BatchMode yes" "ConnectTimeout 5" "LogLevel ERROR" > /run/ssh_config
    for ((i = 1; i <= number; ++i)); do
        host=h$i
        echo "$net.$i $host" >> /run/hosts
        ssh-keygen -q -t ed25519 -N '' -f "/run/key_$host"
        echo "$host,$net.$i $(cut -d ' ' -f 1,2 "/run/key_$host.pub")" >> /run/known_hosts
        printf '%s\n' "HostKey /run/key_$host" "AuthorizedKeysFile /run/id.pub" "StrictModes no" \
            "UsePAM no" "PidFile none" "MaxStartups 100" > "/run/sshd_$host"
    done
    export -f host_init
    export source_dir evengrad net
    for ((i = 1; i <= number; ++i)); do host_up "h$i"; done
    for ((i = 1; i <= number; ++i)); do
        tries=0
        until on "h$i" ssh "h$i" true 2> /dev/null; do
            tries=$((tries + 1))
            [ $tries -lt 100 ] || { cat "/run/sshd_h$i.log"; fail "no sshd on h$i"; finish; }
            sleep 0.1
        done
    done
}

# host_up HOST: a host begins when its network is there.
host_up() {
    local host=$1 keeper
    # shellcheck disable=SC2016
    unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc bash -c \
        'until ip link show eth0; do sleep 0.05; done; host_init "$1"' host "$host" \
        < /dev/null > "/run/init_$host.log" 2>&1 &
    keeper=$!
    disown $keeper
    until init_of[$host]=$(pgrep -P $keeper); do sleep 0.02; done
    ip link add "cable_$host" type veth peer name eth0 netns "${init_of[$host]}"
    ip link set "cable_$host" master switch up
}

# on HOST COMMAND...: in the same folder.
on() {
    local host=$1
    shift
    nsenter -t "${init_of[$host]}" -n -u -m -i -p --wd="$PWD" -- "$@"
}

# power_cut HOST: all of its processes end. unplug HOST, plug_in HOST: its cable.
power_cut() { kill -9 "${init_of[$1]}"; }
unplug() { ip link set "cable_$1" down; }
plug_in() { ip link set "cable_$1" up; }

# signal SIGNAL HOST NAME: to the first process of that name there; it must be there.
signal() {
    local process
    process=$(on "$2" pgrep -o -x "$3") || { fail "no $3 on $2"; return; }
    on "$2" kill -s "$1" "$process"
}

# limit RATE: each cable, both ways, by a token bucket.
limit() {
    local host
    for host in "${!init_of[@]}"; do
        tc qdisc replace dev "cable_$host" root tbf rate "$1" burst 128kb latency 50ms
        on "$host" tc qdisc replace dev eth0 root tbf rate "$1" burst 128kb latency 50ms
    done
}
