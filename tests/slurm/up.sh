#!/usr/bin/env bash
# up.sh FOLDER [PID]: start a SLURM of one node on the loopback, with everything it writes below FOLDER.
# With PID, it is stopped when that process is gone, whatever ended it.
# For tests, on a machine without systemd and cgroups. Needs root and the packages slurmctld, slurmd, slurm-client and
# munge. Four GPUs are pretended; memory limits are enforced by polling. down.sh FOLDER stops it.
set -euo pipefail

home=$(realpath -m "${1:?the folder to keep everything in}")
port=${SLURM_TEST_PORT:-16817}
host=$(hostname -s)

# The executor plugin drops SLURM_CONF before its inner srun, so the default place has to lead to our file.
if [ -e /etc/slurm/slurm.conf ] && [ ! -L /etc/slurm/slurm.conf ]; then
    echo "/etc/slurm/slurm.conf belongs to a real cluster: left alone" >&2
    exit 3
fi

mkdir -p "$home"/{etc,run,log,state,spool,dev} /etc/slurm
chmod 755 "$home" "$home"/*
getent hosts "$host" > /dev/null || echo "127.0.0.1 $host" >> /etc/hosts

# A device node whose name ends in a digit is what this version of SLURM takes for a GPU; these are really /dev/null.
for n in 0 1 2 3; do [ -c "$home/dev/gpu$n" ] || mknod "$home/dev/gpu$n" c 1 3; done
echo "NodeName=$host Name=gpu File=$home/dev/gpu[0-3]" > "$home/etc/gres.conf"
printf 'ConstrainCores=no\nConstrainDevices=no\nConstrainRAMSpace=no\n' > "$home/etc/cgroup.conf"

cat > "$home/etc/slurm.conf" << CONF
ClusterName=counterpoise
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$home/run/munge.socket
CredType=cred/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/run/slurmctld.pid
SlurmdPidFile=$home/run/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
PlugStackConfig=/dev/null
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_min_interval=10000
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=10
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
ln -sfn "$home/etc/slurm.conf" /etc/slurm/slurm.conf
export SLURM_CONF=$home/etc/slurm.conf

if [ -n "${2:-}" ]; then
    here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
    setsid bash -c 'while kill -0 "$0" 2> /dev/null; do sleep 1; [ -e "$2" ] || exit 0; done; exec "$1/down.sh" "$2"' \
        "$2" "$here" "$home" < /dev/null > "$home/log/watch.log" 2>&1 &
    echo $! > "$home/run/watch.pid"
fi

head -c 1024 /dev/urandom > "$home/etc/munge.key"
chmod 400 "$home/etc/munge.key"
munged --force --key-file="$home/etc/munge.key" --socket="$home/run/munge.socket" --pid-file="$home/run/munged.pid" \
    --log-file="$home/log/munged.log" --seed-file="$home/run/munged.seed"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$host"

for _ in $(seq 150); do
    state=$(timeout 2 sinfo --noheader --Node --format %t 2> /dev/null || true)
    [ "$state" = idle ] && exit 0
    sleep 0.1
done
echo "the node does not become idle (it is '${state:-unknown}')" >&2
tail -n 20 "$home"/log/*.log >&2
exit 1
