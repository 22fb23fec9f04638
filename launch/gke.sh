#!/usr/bin/env bash
# Runs a command on TPU or GPU node pools of GKE as a JobSet: one process per
# host, which join by jax.distributed. See launch/README.md; --dry-run prints
# the YAML.
set -euo pipefail

usage() {
  cat <<'END'
usage: launch/gke.sh OPTION... -- COMMAND...

  --name=NAME           of the JobSet
  --image=IMAGE         holds Python and jaxrobust[tpu] or [cuda]
  --hosts=N             nodes, of one slice if they are TPUs
  --tpu=TYPE            the pool's gke-tpu-accelerator, as tpu-v5-lite-podslice
  --topology=AxB        the pool's gke-tpu-topology, as 4x4
  --gpu=TYPE            in place of these two: the pool's gke-accelerator, as
                        nvidia-h100-80gb
  --chips=N             TPU chips or GPUs of each host
  --claim=NAME          a ReadWriteMany PersistentVolumeClaim, as of Filestore,
                        which all hosts see at --mount
  --mount=DIR           (/shared)
  --namespace=NAME      (default)
  --grace=SECONDS       from SIGTERM to the kill (120)
  --max-restarts=N      after crashes (3); after an interruption always
  --spot                nodes that may be taken away
  --independent         processes that do not join, as the workers of
                        `jaxrobust tune`; of TPUs, each has a slice of one host
  --dry-run             print the YAML and apply nothing

COMMAND's --workdir must lie in --mount. A process that is interrupted ends with
exit code 75; then, and when a node is taken away, all are started again and
the same command goes on.
END
}

fail() {
  echo "launch/gke.sh: $*; see --help" >&2
  exit 2
}

name='' image='' hosts='' tpu='' topology='' gpu='' chips='' claim=''
mount=/shared namespace=default grace=120 restarts=3
spot=false independent=false dry_run=false
while [ $# -gt 0 ]; do
  value=${1#*=}
  case $1 in
    --name=*) name=$value ;;
    --image=*) image=$value ;;
    --hosts=*) hosts=$value ;;
    --tpu=*) tpu=$value ;;
    --topology=*) topology=$value ;;
    --gpu=*) gpu=$value ;;
    --chips=*) chips=$value ;;
    --claim=*) claim=$value ;;
    --mount=*) mount=$value ;;
    --namespace=*) namespace=$value ;;
    --grace=*) grace=$value ;;
    --max-restarts=*) restarts=$value ;;
    --spot) spot=true ;;
    --independent) independent=true ;;
    --dry-run) dry_run=true ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "$1: not an option, or without its =VALUE" ;;
  esac
  shift
done

label='^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'
whole() { # OPTION VALUE LEAST
  if ! [[ $2 =~ ^[0-9]{1,6}$ ]] || [ "$2" -lt "$3" ]; then
    fail "$1=$2: must be a number of at least $3"
  fi
}
dns() { # OPTION VALUE LONGEST
  if ! [[ $2 =~ $label ]] || [ "${#2}" -gt "$3" ]; then
    fail "$1=$2: must be at most $3 of a-z, 0-9 and -"
  fi
}
# The names of pods are made of it, and may have 63 letters.
dns --name "$name" 40
dns --namespace "$namespace" 63
[[ $image =~ ^[A-Za-z0-9._/:@-]+$ ]] ||
  fail "--image=$image: must be an image, as REGISTRY/NAME:TAG"
whole --hosts "$hosts" 1
whole --chips "$chips" 1
whole --grace "$grace" 1
whole --max-restarts "$restarts" 0
[ -z "$claim" ] || dns --claim "$claim" 63
[[ $mount =~ ^(/[A-Za-z0-9._-]+)+$ ]] ||
  fail "--mount=$mount: must be an absolute path"
if [ -n "$tpu" ] && [ -n "$gpu" ]; then
  fail "--tpu, --gpu: must be one of them"
elif [ -n "$tpu" ]; then
  dns --tpu "$tpu" 63
  [[ $topology =~ ^[0-9]+(x[0-9]+){1,2}$ ]] ||
    fail "--topology=$topology: must be as 4x4 or 2x2x4"
  all=$((${topology//x/*}))
  # Processes that do not join have a slice each.
  if $independent; then slice=1; else slice=$hosts; fi
  [ "$all" = $((slice * chips)) ] ||
    fail "--topology=$topology: has $all chips, not $slice hosts x $chips"
elif [ -n "$gpu" ]; then
  dns --gpu "$gpu" 63
  [ -z "$topology" ] || fail "--topology=$topology: not an option of --gpu"
else
  fail "--tpu, --gpu: must be one of them"
fi
[ -n "$claim" ] || [ "$hosts" = 1 ] || $independent ||
  fail "--claim: missing; $hosts hosts need a folder that all of them see"
[ $# -gt 0 ] || fail "nothing to run: give the command behind --"

for word in "$@"; do
  case $word in *[$'\x01'-$'\x1f\x7f']*)
    fail "the command: must have no line breaks or control characters" ;;
  esac
done

# A text in YAML's double quotes, which know JSON's escapes.
quoted() {
  local text=${1//\\/\\\\}
  # Kubernetes puts variables in place of $(NAME).
  text=${text//\$\(/\$\$\(}
  echo "\"${text//\"/\\\"}\""
}

# The environment that tells a process of its job.
environment() {
  if $independent; then
    return
  elif [ -n "$tpu" ]; then
    # GKE names the hosts of the slice in variables that JAX reads.
    cat <<'END'
                    - {name: JAXROBUST_DISTRIBUTED, value: "auto"}
END
  else
    cat <<END
                    - name: JAXROBUST_COORDINATOR
                      value: "$name-workers-0-0.$name:8476"
                    - {name: JAXROBUST_PROCESSES, value: "$hosts"}
                    - name: JAXROBUST_PROCESS
                      valueFrom:
                        fieldRef:
                          fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
END
  fi
}

render() {
  local resource=nvidia.com/gpu word words=()
  if [ -n "$tpu" ]; then resource=google.com/tpu; fi
  for word in "$@"; do
    words+=("$(quoted "$word")")
  done
  cat <<END
# Made by launch/gke.sh.
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  namespace: $namespace
END
  if [ -n "$tpu" ] && ! $independent; then
    # All hosts of the job in one slice, and no other job there.
    cat <<'END'
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
END
  fi
  cat <<END
spec:
  failurePolicy:
    maxRestarts: $restarts
    rules:
      # Interrupted: all start again, as often as it takes.
      - name: interrupted
        action: RestartJobSetAndIgnoreMaxRestarts
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: workers
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          completions: $hosts
          parallelism: $hosts
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes:
                  containerName: main
                  operator: In
                  values: [75]
              - action: FailJob
                onPodConditions:
                  - {type: DisruptionTarget, status: "True"}
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: $grace
              nodeSelector:
END
  if [ -n "$tpu" ]; then
    cat <<END
                cloud.google.com/gke-tpu-accelerator: "$tpu"
                cloud.google.com/gke-tpu-topology: "$topology"
END
  else
    echo "                cloud.google.com/gke-accelerator: \"$gpu\""
  fi
  if $spot; then
    cat <<'END'
                cloud.google.com/gke-spot: "true"
              tolerations:
                - {key: cloud.google.com/gke-spot, operator: Equal, value: "true", effect: NoSchedule}
END
  fi
  cat <<END
              containers:
                - name: main
                  image: "$image"
                  command:
END
  printf '                    - %s\n' "${words[@]}"
  cat <<'END'
                  env:
                    - {name: PYTHONUNBUFFERED, value: "1"}
END
  environment
  if ! $independent; then
    echo '                  ports: [{containerPort: 8476}]'
  fi
  cat <<END
                  resources:
                    limits:
                      $resource: $chips
END
  if [ -n "$claim" ]; then
    cat <<END
                  volumeMounts:
                    - {name: shared, mountPath: "$mount"}
              volumes:
                - name: shared
                  persistentVolumeClaim:
                    claimName: "$claim"
END
  fi
}

yaml=$(render "$@")
if $dry_run; then
  echo "$yaml"
else
  command -v kubectl >/dev/null ||
    fail "kubectl: not found; install it and fetch the cluster's credentials"
  kubectl apply --filename=- <<<"$yaml"
fi
