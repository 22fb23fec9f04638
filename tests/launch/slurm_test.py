"""The job file asks SLURM for what was asked, and goes on after a 75."""

import re
import subprocess

import pytest

COMMAND = ("python", "-m", "jaxrobust.main", "--config.model.hidden=(8, 8)")
GPUS = (
  "--nodes=2",
  "--gpus-per-node=4",
  "--cpus-per-task=8",
  "--time=1-02:00:00",
  "--partition=gpu",
  "--account=lab",
  "--setup=source .venv/bin/activate",
)


def render(cluster, scripts, *options):
  done = cluster.run(
    scripts / "slurm.sh", *options, "--dry-run", "--", *COMMAND
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def directives(text):
  return dict(
    re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE)
  )


def run_job(cluster, text, **environment):
  path = cluster.home / "job.sh"
  path.write_text(text)
  return cluster.run("bash", path, SLURM_JOB_ID="7", **environment)


def test_the_options_become_directives(cluster, scripts):
  text = render(cluster, scripts, *GPUS)
  assert directives(text) == {
    "job-name": "jaxrobust",
    "nodes": "2",
    "ntasks-per-node": "4",
    "cpus-per-task": "8",
    "gres": "gpu:4",
    "time": "1-02:00:00",
    "partition": "gpu",
    "account": "lab",
    "output": "slurm-%j.out",
    "signal": "TERM@120",
    "requeue": "",
    "open-mode": "append",
  }
  # srun inherits it from no directive.
  assert "export SRUN_CPUS_PER_TASK=8" in text.splitlines()
  # SLURM reads no directive behind the first command.
  lines = text.splitlines()
  first = next(i for i, line in enumerate(lines) if line and line[0] != "#")
  assert not any(line.startswith("#SBATCH") for line in lines[first:])
  subprocess.run(["bash", "-n"], input=text, text=True, check=True)
  assert cluster.calls() == []


def test_without_a_dry_run_the_same_file_is_submitted(cluster, scripts):
  cluster.fake("sbatch")
  done = cluster.run(scripts / "slurm.sh", *GPUS, "--", *COMMAND)
  assert done.returncode == 0, done.stderr
  assert cluster.calls() == [["sbatch", render(cluster, scripts, *GPUS)]]


def test_the_command_reaches_srun_word_for_word(cluster, scripts):
  cluster.fake("srun", reads=False)
  assert run_job(cluster, render(cluster, scripts)).returncode == 0
  ((_, *words, _),) = cluster.calls()
  assert words == ["--kill-on-bad-exit=0", "--wait=0", *COMMAND]


@pytest.mark.parametrize(
  ("state", "restarts", "requeued"),
  [("RUNNING", "3", True), ("CANCELLED", "0", False), ("RUNNING", "5", False)],
)
def test_an_interrupted_job_goes_back_into_the_queue(
  cluster, scripts, state, restarts, requeued
):
  cluster.fake("srun", "sys.exit(75)", reads=False)
  cluster.fake("squeue", f"print({state!r})", reads=False)
  cluster.fake("scontrol", reads=False)
  text = render(cluster, scripts, "--max-requeues=5")
  done = run_job(cluster, text, SLURM_RESTART_COUNT=restarts)
  assert done.returncode == 75
  assert done.stdout.startswith("launch: interrupted")
  requeues = [call for call in cluster.calls() if call[0] == "scontrol"]
  assert requeues == [["scontrol", "requeue", "7", ""]] * requeued


@pytest.mark.parametrize("code", [1, 2, 137])
def test_a_job_that_failed_ends_with_its_code(cluster, scripts, code):
  cluster.fake("srun", f"sys.exit({code})", reads=False)
  done = run_job(cluster, render(cluster, scripts))
  assert done.returncode == code
  assert [call[0] for call in cluster.calls()] == ["srun"]


def test_processes_join_unless_they_are_independent(cluster, scripts):
  show = 'print(os.environ.get("JAXROBUST_DISTRIBUTED"))'
  cluster.fake("srun", show, reads=False)
  assert run_job(cluster, render(cluster, scripts)).stdout == "auto\n"
  alone = render(cluster, scripts, "--independent", "--tasks-per-node=3")
  done = run_job(cluster, alone, JAXROBUST_DISTRIBUTED="auto")
  assert done.stdout == "None\n"


def test_independent_processes_have_a_gpu_each(cluster, scripts):
  # As srun: the command, here in the second of the node's tasks.
  cluster.fake(
    "srun",
    'os.environ.update(SLURM_LOCALID="1", CUDA_VISIBLE_DEVICES="4,6")\n'
    "os.execvp(sys.argv[3], sys.argv[3:])",
    reads=False,
  )
  cluster.fake("python", 'print(os.environ["CUDA_VISIBLE_DEVICES"])', False)
  text = render(
    cluster, scripts, "--independent", "--gpus-per-node=2", "--tasks-per-node=4"
  )
  assert run_job(cluster, text).stdout == "6\n"
  assert cluster.calls()[1] == [*COMMAND, ""]


@pytest.mark.parametrize(
  ("words", "named"),
  [
    (["--nodes=0", "--", "x"], "--nodes=0: must be a number of at least 1"),
    (["--nodes=two", "--", "x"], "--nodes=two"),
    (["--nodes", "2", "--", "x"], "--nodes: not an option, or without"),
    (["--time=soon", "--", "x"], "--time=soon: must be MINUTES"),
    (["--partition=a b", "--", "x"], "--partition=a b: must be one plain word"),
    (
      ["--gpus-per-node=4", "--tasks-per-node=1", "--", "x"],
      "--tasks-per-node=1: must be --gpus-per-node=4",
    ),
    (["--setup=a\nb", "--", "x"], "--setup: must be one line"),
    (["--nodes=2"], "nothing to run"),
    (["--", "x"], "sbatch: not found"),
  ],
)
def test_wrong_use_is_one_line(cluster, scripts, words, named):
  if words != ["--", "x"]:
    cluster.fake("sbatch")
  done = cluster.run(scripts / "slurm.sh", *words)
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert named in done.stderr.replace("\n", " ")
  assert cluster.calls() == []
