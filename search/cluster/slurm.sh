#!/usr/bin/env bash
# A search over several nodes of a Slurm cluster, in one job: Ray's head and the driver on the first node,
# one Ray worker on each node. Written by: @COMMAND@
#
#     sbatch @FILE@
#
# The same command again, and Slurm itself after a requeue, goes on with the run.
#SBATCH --job-name=@JOB@
#SBATCH --nodes=@NODES@
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=@CPUS@
@ASKED@#SBATCH --time=@TIME@
#SBATCH --output=@LOG@-%j.log
#SBATCH --open-mode=append
# A minute before the time limit this script gets SIGTERM, and the driver through it; it needs 10 seconds.
# At a preemption it does so only where the site has PreemptParameters=send_user_signal and a GraceTime.
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
# A node that is lost takes its own trials with it, not the job.
#SBATCH --no-kill
set -euo pipefail

if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "no Slurm job: start this with sbatch" >&2
    exit 2
fi
# The environment in which `python -m search.run` works on every node.
@SETUP@
space=@SPACE@
name=@NAME@
out=@OUT@ # a folder that all nodes see, or a URL
options=(@OPTIONS@)

steps=()  # what runs in the background, to be ended with this script
driver=   # the search
again=

# shellcheck disable=SC2329  # called by the trap
terminate() {
    again=1
    [ -n "$driver" ] || exit 143
    kill -TERM "$driver" 2> /dev/null || true
}

# shellcheck disable=SC2329
cleanup() {
    trap '' TERM INT
    [ ${#steps[@]} -gt 0 ] || return 0
    kill -TERM "${steps[@]}" 2> /dev/null || true # srun hands it on to Ray, which ends its processes
    wait "${steps[@]}" || true
    srun --export=ALL --kill-on-bad-exit=0 rm -rf "$temp" || true
}
trap terminate TERM INT
trap cleanup EXIT

# Is there a run to go on with? Where that cannot be found out the answer is no, and search.run, which refuses
# a name that is taken, says what is wrong.
begun() {
    case $out in
    *://*)
        python -c '
import sys
from facesiam.storage.bucket import Bucket, join
sys.exit(not Bucket(join(sys.argv[1], sys.argv[2])).exists("manifest.json"))' "$out" "$name"
        ;;
    *) [ -e "$out/$name/manifest.json" ] ;;
    esac
}

step() { # on node $1, in the background, with all that the job has there
    local node=$1
    shift
    # Slurm does not hand the job's CPUs on to its steps by itself.
    srun --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="$cpus" --export=ALL "$@" &
    steps+=($!)
}

names=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
mapfile -t nodes <<< "$names"
cpus=${SLURM_CPUS_PER_TASK:-1}
temp=/tmp/ray-$SLURM_JOB_ID # /tmp/ray may be another user's
ip=${HEAD_IP:-$(hostname -I | cut -d ' ' -f 1)} # HEAD_IP=... sbatch: where the nodes reach the first at another
port=$((20000 + SLURM_JOB_ID % 10000)) # below the ports that the kernel hands out
while (exec 3<> "/dev/tcp/$ip/$port") 2> /dev/null; do # somebody listens there
    port=$((port + 1))
done
# Ray listens on every interface of a node, whatever address it is given. Who comes without this token is turned
# away. srun hands it to the nodes with the environment.
RAY_AUTH_TOKEN=$(od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

step "${nodes[0]}" ray start --head --block --node-ip-address="$ip" --port="$port" --num-cpus="$cpus" \
    --include-dashboard=false --temp-dir="$temp"
until ray health-check --address "$ip:$port" > /dev/null 2>&1; do
    if [ "$SECONDS" -gt 120 ] || ! kill -0 "${steps[0]}" 2> /dev/null; then
        echo "Ray's head did not start on ${nodes[0]}" >&2
        exit 1
    fi
    sleep 0.2
done
for node in "${nodes[@]:1}"; do
    step "$node" ray start --block --address="$ip:$port" --num-cpus="$cpus" --temp-dir="$temp"
done
# The search sizes its trials by the nodes that are there when it starts.
python - "$ip:$port" "${#nodes[@]}" << 'PY' &
import sys
import time

import ray

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
until = time.monotonic() + 300
while (there := sum(node["Alive"] for node in ray.nodes())) < int(sys.argv[2]):
    if time.monotonic() > until:
        sys.exit(f"only {there} of {sys.argv[2]} nodes joined within 5 minutes")
    time.sleep(1)
PY
steps+=($!)
wait $! # in the background, as a trap waits for what runs in the foreground
unset 'steps[-1]'

resume=()
if begun; then
    resume=(--resume)
fi
python -m search.run "$space" --address "$ip:$port" --out "$out" --name "$name" "${options[@]}" "${resume[@]}" &
driver=$!
while true; do
    again=
    code=0
    wait "$driver" || code=$?
    [ -n "$again" ] || break # a signal ends the wait, not the driver
done
exit "$code"
