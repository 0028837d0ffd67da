#!/usr/bin/env bash
# down.sh FOLDER: stop what up.sh FOLDER started, by its pid files, and take its link away.
set -uo pipefail

home=$(realpath -m "${1:?the folder that up.sh was given}")
export SLURM_CONF=$home/etc/slurm.conf

[ -s "$home/run/slurmctld.pid" ] && timeout 10 scancel --user=root && sleep 1
for daemon in slurmd slurmctld munged; do
    file=$home/run/$daemon.pid
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2> /dev/null
    for _ in $(seq 100); do
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2> /dev/null
    rm -f "$file"
done
# Who waits for the end of the tests to do the same need not wait any more.
watch=$home/run/watch.pid
[ -s "$watch" ] && [ "$(cat "$watch")" != $$ ] && kill "$(cat "$watch")" 2> /dev/null
rm -f "$watch"
[ "$(readlink /etc/slurm/slurm.conf)" = "$SLURM_CONF" ] && rm -f /etc/slurm/slurm.conf
exit 0
