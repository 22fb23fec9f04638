#!/usr/bin/env bash
# Submits a command to SLURM: one process per task, which join by
# jax.distributed. See launch/README.md; --dry-run prints the job file.
set -euo pipefail

usage() {
  cat <<'END'
usage: launch/slurm.sh [OPTION...] -- COMMAND...

  --nodes=N             nodes (1)
  --gpus-per-node=N     GPUs of each node (0)
  --tasks-per-node=N    processes on each node (its GPUs, or 1)
  --cpus-per-task=N     cores of each process (the cluster's default)
  --time=D-HH:MM:SS     the longest time (the partition's)
  --partition=NAME      where to run (the cluster's default)
  --account=NAME        who pays (the user's default)
  --job-name=NAME       (jaxrobust)
  --output=FILE         the log; %j is the job's number (slurm-%j.out)
  --grace=SECONDS       from SIGTERM to the end of the time (120)
  --max-requeues=N      of a job that was interrupted (100)
  --setup=LINE          a line of shell before the command, as
                        --setup='source .venv/bin/activate'
  --independent         processes that do not join, as the workers of
                        `jaxrobust tune`; each with one GPU of its own
  --dry-run             print the job file and submit nothing

The command runs in this folder. Where it ends with exit code 75, interrupted
and resumable, the job is put back into the queue and goes on.
END
}

fail() {
  echo "launch/slurm.sh: $*; see --help" >&2
  exit 2
}

nodes=1 gpus=0 tasks='' cpus='' time='' partition='' account=''
name=jaxrobust output='slurm-%j.out' grace=120 requeues=100 setup=''
independent=false dry_run=false
while [ $# -gt 0 ]; do
  value=${1#*=}
  case $1 in
    --nodes=*) nodes=$value ;;
    --gpus-per-node=*) gpus=$value ;;
    --tasks-per-node=*) tasks=$value ;;
    --cpus-per-task=*) cpus=$value ;;
    --time=*) time=$value ;;
    --partition=*) partition=$value ;;
    --account=*) account=$value ;;
    --job-name=*) name=$value ;;
    --output=*) output=$value ;;
    --grace=*) grace=$value ;;
    --max-requeues=*) requeues=$value ;;
    --setup=*) setup=$value ;;
    --independent) independent=true ;;
    --dry-run) dry_run=true ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "$1: not an option, or without its =VALUE" ;;
  esac
  shift
done

whole() { # OPTION VALUE LEAST
  if ! [[ $2 =~ ^[0-9]{1,6}$ ]] || [ "$2" -lt "$3" ]; then
    fail "$1=$2: must be a number of at least $3"
  fi
}
word() { # OPTION VALUE
  [[ $2 =~ ^[A-Za-z0-9_.,%/+-]*$ ]] || fail "$1=$2: must be one plain word"
}
whole --nodes "$nodes" 1
whole --gpus-per-node "$gpus" 0
tasks=${tasks:-$((gpus > 0 ? gpus : 1))}
whole --tasks-per-node "$tasks" 1
whole --cpus-per-task "${cpus:-1}" 1
whole --grace "$grace" 1
whole --max-requeues "$requeues" 0
[[ -z $time || $time =~ ^([0-9]+-)?[0-9]+(:[0-9]{2}){0,2}$ ]] ||
  fail "--time=$time: must be MINUTES, HH:MM:SS or DAYS-HH:MM:SS"
word --partition "$partition"
word --account "$account"
word --job-name "$name"
word --output "$output"
[[ $setup != *$'\n'* ]] || fail "--setup: must be one line"
# JAX gives each task of a node the GPU of the task's number.
[ "$gpus" = 0 ] || [ "$tasks" = "$gpus" ] || $independent ||
  fail "--tasks-per-node=$tasks: must be --gpus-per-node=$gpus, a GPU each"
[ $# -gt 0 ] || fail "nothing to run: give the command behind --"

option() { # NAME VALUE
  if [ -n "$2" ]; then echo "#SBATCH --$1=$2"; fi
}

render() {
  echo '#!/usr/bin/env bash'
  echo '# Made by launch/slurm.sh.'
  option job-name "$name"
  option nodes "$nodes"
  option ntasks-per-node "$tasks"
  option cpus-per-task "$cpus"
  if [ "$gpus" -gt 0 ]; then option gres "gpu:$gpus"; fi
  option time "$time"
  option partition "$partition"
  option account "$account"
  option output "$output"
  # To the processes, not to this script, before the time is up.
  option signal "TERM@$grace"
  cat <<'END'
#SBATCH --requeue
#SBATCH --open-mode=append

END
  if [ -n "$setup" ]; then echo "$setup"; fi
  # After the setup, for activation scripts use variables that are not set.
  echo 'set -uo pipefail'
  # srun takes it from the environment alone.
  if [ -n "$cpus" ]; then echo "export SRUN_CPUS_PER_TASK=$cpus"; fi
  if $independent; then
    echo 'unset JAXROBUST_DISTRIBUTED'
  else
    echo 'export JAXROBUST_DISTRIBUTED=auto'
  fi
  printf 'command=('
  printf ' %q' "$@"
  echo ' )'
  if $independent && [ "$gpus" -gt 0 ]; then
    cat <<'END'
# Each process sees one of the node's GPUs.
command=(bash -c '
  IFS=, read -r -a gpus <<<"${CUDA_VISIBLE_DEVICES:-}"
  if [ "${#gpus[@]}" -gt 0 ]; then
    export CUDA_VISIBLE_DEVICES=${gpus[SLURM_LOCALID % ${#gpus[@]}]}
  fi
  exec "$@"
' _ "${command[@]}")
END
  fi
  cat <<END
max_requeues=$requeues
END
  cat <<'END'

# One process that ends does not end the others: all of them save and then
# leave, at their own pace.
srun --kill-on-bad-exit=0 --wait=0 "${command[@]}"
code=$?

# 75: interrupted, and the same command goes on. A job that was cancelled
# ends that way, too, and stays ended.
if [ "$code" = 75 ]; then
  state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)
  if [ "$state" != RUNNING ]; then
    echo "launch: interrupted, job is $state: not put back into the queue"
  elif [ "${SLURM_RESTART_COUNT:-0}" -ge "$max_requeues" ]; then
    echo "launch: interrupted $((max_requeues + 1)) times: that is enough"
  else
    echo "launch: interrupted, goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$code"
END
}

if $dry_run; then
  render "$@"
else
  command -v sbatch >/dev/null ||
    fail "sbatch: not found; is this a SLURM login node?"
  render "$@" | sbatch
fi
