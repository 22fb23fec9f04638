#!/usr/bin/env bash
# Runs a command as N processes of one job on this machine, as N hosts would.
set -uo pipefail

usage() {
  cat <<'END'
usage: launch/local.sh N COMMAND...

  launch/local.sh 2 python -m jaxrobust.main \
    --config=configs/digits_alpha_stable.py --workdir=runs/first

The processes share the machine's cores and talk over the loopback interface.
Process 0 prints. Ctrl-C or SIGTERM stops all of them after the same step, with
a checkpoint. The exit code is 0 if all were done, 75 if they were interrupted
and the same command resumes them, else the first other code of a process.
JAXROBUST_TIMEOUT is the number of seconds (60) after which the others end if
one is gone.
END
}

wrong() {
  echo "launch/local.sh: $1; see launch/local.sh --help" >&2
  exit 2
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  '') wrong "N: missing" ;;
  *[!0-9]* | 0*) wrong "N=$1: must be a number of at least 1" ;;
esac
count=$1
shift
[ $# -gt 0 ] || wrong "COMMAND: missing"
command -v "$1" >/dev/null || wrong "$1: no such command"

# Each gets its share of the cores.
cores=$(nproc)
share=$((cores / count))
export JAX_NUM_CPU_DEVICES=${JAX_NUM_CPU_DEVICES:-$((share > 0 ? share : 1))}
port=$(python3 -c 'import socket
with socket.socket() as s: s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export JAXROBUST_COORDINATOR=127.0.0.1:$port JAXROBUST_PROCESSES=$count

# What is started here does not hear Ctrl-C itself: a first signal is handed on
# as SIGTERM, a second one kills.
children=()
asked=false
# shellcheck disable=SC2317,SC2329  # The trap calls it.
stop() {
  if $asked; then
    kill -KILL "${children[@]}" 2>/dev/null
  elif [ "${#children[@]}" -gt 0 ]; then
    kill -TERM "${children[@]}" 2>/dev/null
  fi
  asked=true
}
trap stop TERM INT
for ((rank = 0; rank < count; rank++)); do
  JAXROBUST_PROCESS=$rank "$@" &
  children+=($!)
done

code=0
for rank in "${!children[@]}"; do
  # A trapped signal ends `wait`, not the process that it waits for.
  while true; do
    wait "${children[rank]}"
    own=$?
    kill -0 "${children[rank]}" 2>/dev/null || break
  done
  if [ "$own" -gt 128 ]; then
    echo "launch/local.sh: process $rank ended by signal $((own - 128))" >&2
  fi
  if [ "$code" = 0 ] || [ "$code" = 75 ]; then
    [ "$own" = 0 ] || code=$own
  fi
done
exit "$code"
