# A Slurm cluster of the hosts that hosts.sh makes. Sourced instead of it.
needs="slurmctld slurmd munged sbatch srun scontrol squeue sinfo scancel"
source "$(dirname "$0")/hosts.sh"

export SLURM_CONF=/run/slurm/slurm.conf

# slurm_up NUMBER: hosts h1, h2, ...; slurmctld on h1, a slurmd on each.
slurm_up() {
    local number=$1 i
    hosts_up "$number"
    mkdir -p /run/slurm/state /run/slurm/munge
    head -c 128 /dev/urandom > /run/slurm/munge/key
    chmod 600 /run/slurm/munge/key
    # One for all: they reach its socket by its path.
    munged --foreground --key-file /run/slurm/munge/key --socket /run/slurm/munge/socket \
        --pid-file /run/slurm/munge/pid --seed-file /run/slurm/munge/seed \
        --log-file /run/slurm/munge/log > /run/slurm/munged 2>&1 &
    # Hosts have fewer processors than this says, and memory: they are the same ones several times.
    # TmpFS: what srun leaves for the ranks of a host. KillWait: from SIGTERM to SIGKILL.
    cat > $SLURM_CONF << CONF
ClusterName=test
SlurmctldHost=h1($net.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/run/slurm/munge/socket
StateSaveLocation=/run/slurm/state
SlurmdSpoolDir=/run/slurm/spool.%n
TmpFS=/run/slurm/tmp.%n
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=12
KillWait=5
MailProg=/bin/true
NodeName=h[1-$number] CPUs=2 RealMemory=1000
PartitionName=usual Nodes=ALL Default=YES PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=ALL PriorityTier=2
CONF
    # (On version 2 of cgroups slurmd would want a service of systemd.)
    printf '%s\n' CgroupAutomount=no CgroupPlugin=cgroup/v1 > /run/slurm/cgroup.conf
    patience=30 until_true test -S /run/slurm/munge/socket
    on h1 slurmctld -D -c > /run/slurm/slurmctld 2>&1 &
    for ((i = 1; i <= number; ++i)); do
        mkdir -p "/run/slurm/tmp.h$i" "/run/slurm/spool.h$i"
        on "h$i" slurmd -D -N "h$i" > "/run/slurm/slurmd.h$i" 2>&1 &
    done
    all_idle() { [ "$(on h1 sinfo -h -t idle -o %D 2> /dev/null)" = "$number" ]; }
    patience=60 until_true all_idle || {
        on h1 sinfo
        tail -n 20 /run/slurm/munged /run/slurm/slurmctld /run/slurm/slurmd.h*
        finish
    }
}
