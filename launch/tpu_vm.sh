#!/usr/bin/env bash
# Runs a command on all hosts of a Cloud TPU VM, which join by
# jax.distributed. See launch/README.md; --dry-run prints the gcloud commands.
set -euo pipefail

usage() {
  cat <<'END'
usage: launch/tpu_vm.sh VERB --name=NAME --zone=ZONE [OPTION...]

  create    --type=TYPE --version=VERSION [--spot] [--queued]
            makes the TPU VM; --queued waits until there is one to have
  install   --package=FILE.whl|REQUIREMENT [--nfs=HOST:/SHARE]
            on all hosts: Python, jaxrobust, the shared folder
  run       -- COMMAND...
            on all hosts, and follows it; again, if it still runs
  stop      asks the command to save and end
  collect   --workdir=DIR --into=FOLDER
            copies a work folder from host 0 to here
  delete    [--queued]
            gives the TPU VM back

  --project=NAME        (gcloud's own)
  --type=TYPE           as v5litepod-16
  --version=VERSION     the runtime, as v2-alpha-tpuv5-lite
  --package=...         a wheel, or what pip takes, as
                        'jaxrobust @ git+https://github.com/OWNER/jaxrobust'
  --nfs=HOST:/SHARE     a Filestore or other NFS share that all hosts mount
  --mount=DIR           where (/shared)
  --dry-run             print the gcloud commands and run none

COMMAND's --workdir must lie where all hosts see it: in --mount, if there are
several hosts. Where it ends with exit code 75, interrupted and resumable, the
same `run` goes on; on a TPU VM that was taken away, after create and install.
END
}

fail() {
  echo "launch/tpu_vm.sh: $*; see --help" >&2
  exit 2
}

verb=${1-}
case $verb in
  create | install | run | stop | collect | delete) shift ;;
  --help | -h) usage && exit 0 ;;
  *) fail "${verb:-VERB}: must be create, install, run, stop, collect, delete" ;;
esac

name='' zone='' project='' kind='' version='' package='' nfs='' workdir=''
into='' mount=/shared spot=false queued=false dry_run=false
while [ $# -gt 0 ]; do
  value=${1#*=}
  case $verb,$1 in
    *,--name=*) name=$value ;;
    *,--zone=*) zone=$value ;;
    *,--project=*) project=$value ;;
    create,--type=*) kind=$value ;;
    create,--version=*) version=$value ;;
    create,--spot) spot=true ;;
    create,--queued | delete,--queued) queued=true ;;
    install,--package=*) package=$value ;;
    install,--nfs=*) nfs=$value ;;
    install,--mount=*) mount=$value ;;
    collect,--workdir=*) workdir=$value ;;
    collect,--into=*) into=$value ;;
    *,--dry-run) dry_run=true ;;
    *,--help | *,-h) usage && exit 0 ;;
    run,--) shift && break ;;
    *) fail "$1: not an option of $verb, or without its =VALUE" ;;
  esac
  shift
done

need() { # OPTION VALUE PATTERN EXAMPLE
  [[ $2 =~ $3 ]] || fail "$1=$2: must be as $4"
}
need --name "$name" '^[a-z]([a-z0-9-]*[a-z0-9])?$' my-tpu
need --zone "$zone" '^[a-z]+-[a-z]+[0-9]+-[a-z]$' us-west4-a
need --project "$project" '^[a-z0-9.:-]*$' my-project
case $verb in
  create)
    need --type "$kind" '^[a-z0-9-]+$' v5litepod-16
    need --version "$version" '^[a-z0-9.-]+$' v2-alpha-tpuv5-lite
    ;;
  install)
    [ -n "$package" ] || fail "--package: missing"
    [[ $package != *.whl ]] || [ -f "$package" ] ||
      fail "--package=$package: no such file"
    need --nfs "$nfs" '^([A-Za-z0-9.-]+:/[A-Za-z0-9._/-]+)?$' 10.0.0.2:/share
    need --mount "$mount" '^(/[A-Za-z0-9._-]+)+$' /shared
    ;;
  run) [ $# -gt 0 ] || fail "nothing to run: give the command behind --" ;;
  collect)
    need --workdir "$workdir" '^[A-Za-z0-9._/~-]+$' /shared/runs/first
    [ -n "$into" ] || fail "--into: missing"
    ;;
esac
$dry_run || command -v gcloud >/dev/null ||
  fail "gcloud: not found; install the Google Cloud SDK"

where=("--zone=$zone")
if [ -n "$project" ]; then where+=("--project=$project"); fi

call() { # WORDS of gcloud
  if $dry_run; then
    printf '%q ' gcloud "$@"
    echo
  else
    gcloud "$@"
  fi
}

everywhere() { # SCRIPT
  call compute tpus tpu-vm ssh "$name" "${where[@]}" --worker=all \
    --command="$1"
}

create() {
  local options=("${where[@]}" "--accelerator-type=$kind") state=''
  if $spot; then options+=(--spot); fi
  if ! $queued; then
    call compute tpus tpu-vm create "$name" "${options[@]}" \
      "--version=$version"
    return
  fi
  call compute tpus queued-resources create "$name" "--node-id=$name" \
    "${options[@]}" "--runtime-version=$version"
  while [ "$state" != ACTIVE ]; do
    state=$(call compute tpus queued-resources describe "$name" \
      "${where[@]}" '--format=value(state.state)')
    if $dry_run; then
      echo "$state"
      return
    fi
    echo "launch: $name is $state"
    case $state in
      ACTIVE) ;;
      FAILED | SUSPENDED | DELETING) exit 1 ;;
      *) sleep "${LAUNCH_POLL_SECONDS:-30}" ;;
    esac
  done
}

install() {
  local requirement=$package script
  if [[ $package == *.whl ]]; then
    call compute tpus tpu-vm scp "$package" "$name:" "${where[@]}" --worker=all
    requirement=./${package##*/}
  fi
  # The images' own Python is too old: uv brings one along.
  script="set -e
python3 -m pip install --quiet --user uv
[ -d ~/jaxrobust-venv ] ||
  ~/.local/bin/uv venv --quiet --python 3.12 ~/jaxrobust-venv
~/.local/bin/uv pip install --quiet --python ~/jaxrobust-venv/bin/python \
$(printf '%q' "$requirement") 'jax[tpu]'"
  if [ -n "$nfs" ]; then
    script+="
if ! mountpoint --quiet $mount; then
  sudo apt-get install --quiet=2 --yes nfs-common
  sudo mkdir -p $mount
  sudo mount -t nfs $nfs $mount
fi
[ -w $mount ] || sudo chmod a+rwxt $mount"
  fi
  everywhere "$script"
}

run() {
  local command
  command=$(printf ' %q' "$@")
  # The command outlives the connection: SSH that breaks off ends nothing, and
  # another `run` follows what still runs.
  everywhere "cd ~
read -r pid boot 2>/dev/null <jaxrobust.pid
# A number of before the host was started anew is another process's.
now=\$(cat /proc/sys/kernel/random/boot_id)
if [ \"\$boot\" != \"\$now\" ] || ! kill -0 \"\$pid\" 2>/dev/null; then
  rm -f jaxrobust.exit
  export PATH=~/jaxrobust-venv/bin:\$PATH JAXROBUST_DISTRIBUTED=auto
  setsid bash -c 'trap : TERM HUP; \"\$@\"; echo \$? >jaxrobust.exit' _$command \
>jaxrobust.log 2>&1 </dev/null &
  pid=\$!
  echo \"\$pid \$now\" >jaxrobust.pid
fi
tail -n +1 --pid=\"\$pid\" -F jaxrobust.log 2>/dev/null
code=\$(cat jaxrobust.exit 2>/dev/null || echo 1)
[ \"\$code\" != 75 ] || echo 'launch: interrupted; the same run goes on'
exit \"\$code\""
}

stop() {
  everywhere "read -r pid boot <~/jaxrobust.pid && kill -TERM -- -\"\$pid\""
}

collect() {
  if ! $dry_run; then mkdir -p "$into"; fi
  call compute tpus tpu-vm scp --recurse "$name:$workdir" "$into" \
    "${where[@]}" --worker=0
}

delete() {
  if $queued; then
    call compute tpus queued-resources delete "$name" "${where[@]}" --force \
      --quiet
  else
    call compute tpus tpu-vm delete "$name" "${where[@]}" --quiet
  fi
}

"$verb" "$@"
