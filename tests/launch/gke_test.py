"""The JobSet is one that Kubernetes takes, and asks for what was asked."""

import json
import pathlib
import re

import pytest

yaml = pytest.importorskip("yaml")
jsonschema = pytest.importorskip("jsonschema")

# Of the fields that the script uses; written from the published API of JobSet
# v1alpha2 (0.7 to 0.12) and of batch/v1 and v1 (Kubernetes 1.31), where any
# other field is an error.
SCHEMA = json.loads(
  pathlib.Path(__file__).with_name("jobset_v1alpha2.schema.json").read_text()
)
JOB = ("--name=first", "--image=europe-docker.pkg.dev/p/r/jaxrobust:1")
GPU = ("--gpu=nvidia-h100-80gb", "--hosts=2", "--chips=8", "--claim=share")
TPU = ("--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--hosts=4", "--chips=4")
COMMAND = ("python", "-m", "jaxrobust.main", "--workdir=/shared/first")


def render(cluster, scripts, *words, command=COMMAND):
  done = cluster.run(
    scripts / "gke.sh", *JOB, *words, "--dry-run", "--", *command
  )
  assert done.returncode == 0, done.stderr
  return yaml.safe_load(done.stdout)


def job_of(document):
  return document["spec"]["replicatedJobs"][0]["template"]["spec"]


def pod_of(document):
  return job_of(document)["template"]["spec"]


def environment(document):
  (container,) = pod_of(document)["containers"]
  return {entry["name"]: entry for entry in container["env"]}


@pytest.mark.parametrize(
  "words",
  [
    GPU,
    (*TPU, "--claim=share"),
    (*GPU, "--spot", "--mount=/a/b", "--namespace=team", "--max-restarts=0"),
    ("--gpu=nvidia-l4", "--hosts=3", "--chips=1", "--independent"),
    (
      "--tpu=tpu-v6e-slice",
      "--topology=2x2",
      "--hosts=1",
      "--chips=4",
      "--grace=60",
    ),
  ],
)
def test_the_job_set_follows_the_schema(cluster, scripts, words):
  jsonschema.Draft202012Validator.check_schema(SCHEMA)
  jsonschema.validate(render(cluster, scripts, *words), SCHEMA)


@pytest.mark.parametrize(
  "spoil",
  [
    lambda d: d["spec"].update(replicas=1),
    lambda d: job_of(d).update(backofLimit=0),
    lambda d: job_of(d).update(parallelism="2"),
    lambda d: pod_of(d).update(restartPolicy="OnFailure"),
    lambda d: pod_of(d)["containers"][0].pop("name"),
    lambda d: d["spec"]["failurePolicy"]["rules"][0].update(action="Retry"),
    lambda d: d.update(apiVersion="jobset.x-k8s.io/v1"),
  ],
)
def test_the_schema_finds_faults(cluster, scripts, spoil):
  document = render(cluster, scripts, *GPU, "--spot")
  spoil(document)
  with pytest.raises(jsonschema.ValidationError):
    jsonschema.validate(document, SCHEMA)


def test_without_a_dry_run_the_same_text_is_applied(cluster, scripts):
  cluster.fake("kubectl")
  words = [scripts / "gke.sh", *JOB, *GPU]
  assert cluster.run(*words, "--", *COMMAND).returncode == 0
  ((_, *arguments, text),) = cluster.calls()
  assert arguments == ["apply", "--filename=-"]
  assert yaml.safe_load(text) == render(cluster, scripts, *GPU)


def test_processes_on_gpus_find_each_other_by_name(cluster, scripts):
  document = render(cluster, scripts, *GPU)
  found = environment(document)
  # <JobSet>-<replicated job>-<job>-<pod>.<subdomain>, by default the JobSet.
  assert found["JAXROBUST_COORDINATOR"]["value"] == (
    "first-workers-0-0.first:8476"
  )
  assert found["JAXROBUST_PROCESSES"]["value"] == "2"
  path = found["JAXROBUST_PROCESS"]["valueFrom"]["fieldRef"]["fieldPath"]
  assert "job-completion-index" in path
  job = job_of(document)
  assert job["completionMode"] == "Indexed"
  assert job["completions"] == job["parallelism"] == 2
  limits = pod_of(document)["containers"][0]["resources"]["limits"]
  assert limits == {"nvidia.com/gpu": 8}


def test_processes_on_tpus_are_told_by_gke(cluster, scripts):
  document = render(cluster, scripts, *TPU, "--claim=share")
  assert environment(document)["JAXROBUST_DISTRIBUTED"]["value"] == "auto"
  assert "JAXROBUST_PROCESSES" not in environment(document)
  assert pod_of(document)["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "4x4",
  }
  key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
  assert document["metadata"]["annotations"][key] == (
    "cloud.google.com/gke-nodepool"
  )


def test_independent_processes_are_told_nothing(cluster, scripts):
  words = ("--tpu=tpu-v6e-slice", "--topology=2x2", "--hosts=3", "--chips=4")
  document = render(cluster, scripts, *words, "--independent")
  assert set(environment(document)) == {"PYTHONUNBUFFERED"}
  assert "annotations" not in document["metadata"]


def test_an_interruption_restarts_all_without_being_counted(cluster, scripts):
  document = render(cluster, scripts, *GPU)
  rules = job_of(document)["podFailurePolicy"]["rules"]
  assert rules[0]["action"] == "FailJob"
  assert rules[0]["onExitCodes"]["values"] == [75]
  assert rules[1]["onPodConditions"][0]["type"] == "DisruptionTarget"
  policy = document["spec"]["failurePolicy"]
  assert policy["maxRestarts"] == 3
  assert policy["rules"][0]["action"] == "RestartJobSetAndIgnoreMaxRestarts"
  assert policy["rules"][0]["onJobFailureReasons"] == ["PodFailurePolicy"]
  # The process has time to save between SIGTERM and the kill.
  assert pod_of(document)["terminationGracePeriodSeconds"] == 120


def test_the_command_survives_the_yaml(cluster, scripts):
  command = [
    "python",
    "-c",
    "print(\"a\", 'b')",
    "c: d # e",
    "\\",
    "",
    "ä",
    "-",
  ]
  document = render(cluster, scripts, *GPU, command=[*command, "$(HOME) $HOME"])
  *words, last = pod_of(document)["containers"][0]["command"]
  assert words == command
  # In Kubernetes $$( is a plain $(.
  assert last == "$$(HOME) $HOME"


@pytest.mark.parametrize(
  ("words", "named"),
  [
    ((*JOB, *GPU), "nothing to run"),
    ((*GPU, "--", "x"), "--name=: must be at most 40"),
    ((*JOB, "--name=A", *GPU, "--", "x"), "--name=A"),
    ((JOB[0], *GPU, "--", "x"), "--image=: must be an image"),
    ((*JOB, *GPU, "--tpu=a", "--", "x"), "--tpu, --gpu: must be one of them"),
    ((*JOB, "--hosts=1", "--chips=1", "--", "x"), "must be one of them"),
    ((*JOB, *TPU, "--hosts=3", "--", "x"), "has 16 chips, not 3 hosts x 4"),
    ((*JOB, *TPU, "--topology=4", "--", "x"), "--topology=4: must be as 4x4"),
    ((*JOB, *TPU, "--", "x"), "--claim: missing; 4 hosts need a folder"),
    ((*JOB, *GPU, "--hosts=many", "--", "x"), "--hosts=many: must be a number"),
    ((*JOB, *GPU, "--mount=x", "--", "x"), "--mount=x: must be an absolute"),
    ((*JOB, *GPU, "--", "a\nb"), "must have no line breaks"),
    ((*JOB, *GPU, "--", "x"), "kubectl: not found"),
  ],
)
def test_wrong_use_is_one_line(cluster, scripts, words, named):
  done = cluster.run(scripts / "gke.sh", *words)
  assert done.returncode == 2
  assert done.stdout == ""
  assert done.stderr.count("\n") == 1
  assert re.search(re.escape(named), done.stderr)
