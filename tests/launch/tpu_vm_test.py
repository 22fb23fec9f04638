"""What the script asks of gcloud, and what its commands do on a host."""

import os
import signal
import subprocess
import time

import pytest

PLACE = ("--name=tpu", "--zone=us-west4-a")
KIND = ("--type=v5litepod-16", "--version=v2-alpha-tpuv5-lite")
GCLOUD = ["gcloud", "compute", "tpus"]
# A host that runs what it is told, as its shell does.
HOST = """
command = [w for w in sys.argv if w.startswith("--command=")]
if command:
  os.execvp("bash", ["bash", "-c", command[0].removeprefix("--command=")])
"""


def run(cluster, scripts, verb, *words):
  return cluster.run(scripts / "tpu_vm.sh", verb, *PLACE, *words)


def printed(done):
  assert done.returncode == 0, done.stderr
  words = " ".join(done.stdout.splitlines())
  shell = ["bash", "-c", f"printf '%s\\0' {words}"]
  read = subprocess.run(shell, capture_output=True, text=True, check=True)
  return read.stdout.split("\0")[:-1]


@pytest.mark.parametrize(
  ("words", "expected"),
  [
    (
      ["create", *KIND, "--spot", "--project=mine"],
      "tpu-vm create tpu --zone=us-west4-a --project=mine "
      "--accelerator-type=v5litepod-16 --spot --version=v2-alpha-tpuv5-lite",
    ),
    (
      ["create", *KIND, "--queued"],
      "queued-resources create tpu --node-id=tpu --zone=us-west4-a "
      "--accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite "
      "gcloud compute tpus queued-resources describe tpu --zone=us-west4-a "
      "--format=value(state.state)",
    ),
    (
      ["collect", "--workdir=/shared/runs/a", "--into=here"],
      "tpu-vm scp --recurse tpu:/shared/runs/a here --zone=us-west4-a "
      "--worker=0",
    ),
    (["delete"], "tpu-vm delete tpu --zone=us-west4-a --quiet"),
    (
      ["delete", "--queued"],
      "queued-resources delete tpu --zone=us-west4-a --force --quiet",
    ),
  ],
)
def test_a_dry_run_prints_the_commands(cluster, scripts, words, expected):
  cluster.fake("gcloud")
  done = run(cluster, scripts, *words, "--dry-run")
  assert printed(done) == [*GCLOUD, *expected.split()]
  assert cluster.calls() == []


def test_without_a_dry_run_the_printed_commands_are_called(cluster, scripts):
  cluster.fake("gcloud", reads=False)
  (cluster.home / "a-1.whl").touch()
  words = ["install", "--package=a-1.whl", "--nfs=10.0.0.2:/share"]
  shown = printed(run(cluster, scripts, *words, "--dry-run"))
  assert run(cluster, scripts, *words).returncode == 0
  copy, install = (call[:-1] for call in cluster.calls())
  assert copy + install == shown
  assert copy[3:] == (
    "tpu-vm scp a-1.whl tpu: --zone=us-west4-a --worker=all".split()
  )
  assert "--worker=all" in install
  script = install[-1].removeprefix("--command=")
  subprocess.run(["bash", "-n"], input=script, text=True, check=True)
  assert "./a-1.whl 'jax[tpu]'" in script
  assert "mount -t nfs 10.0.0.2:/share /shared" in script


def test_a_queued_tpu_is_waited_for(cluster, scripts):
  cluster.fake(
    "gcloud",
    """
if "describe" in sys.argv:
  looks = open(os.environ["HOME"] + "/looks", "a")
  looks.write("x")
  looks.close()
  count = os.path.getsize(looks.name)
  print(["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"][count - 1])
""",
    reads=False,
  )
  script = [scripts / "tpu_vm.sh", "create", *PLACE, *KIND, "--queued"]
  done = cluster.run(*script, LAUNCH_POLL_SECONDS="0")
  assert done.returncode == 0
  assert done.stdout.splitlines()[-1] == "launch: tpu is ACTIVE"
  assert len(cluster.calls()) == 4


def test_a_queued_tpu_that_fails_ends_the_wait(cluster, scripts):
  body = 'print("FAILED" if "describe" in sys.argv else "")'
  cluster.fake("gcloud", body, reads=False)
  assert run(cluster, scripts, "create", *KIND, "--queued").returncode == 1


def test_a_host_runs_the_command_and_gives_its_output_and_code(
  cluster, scripts
):
  cluster.fake("gcloud", HOST, reads=False)
  cluster.fake(
    "python",
    'print(sys.argv[1:], os.environ["JAXROBUST_DISTRIBUTED"])\nsys.exit(75)',
    reads=False,
  )
  words = ["run", "--", "python", "-m", "a", "--config.x=(8, '8')"]
  done = run(cluster, scripts, *words)
  assert done.stdout.splitlines() == [
    """['-m', 'a', "--config.x=(8, '8')"] auto""",
    "launch: interrupted; the same run goes on",
  ]
  assert done.returncode == 75
  assert "--worker=all" in cluster.calls()[0]


def test_a_broken_connection_ends_nothing_and_stop_does(cluster, scripts):
  cluster.fake("gcloud", HOST, reads=False)
  cluster.fake(
    "train",
    """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print("began", flush=True)
open(os.environ["HOME"] + "/began", "w").close()
time.sleep(60)
""",
    reads=False,
  )
  script = str(scripts / "tpu_vm.sh")
  first = subprocess.Popen(
    [script, "run", *PLACE, "--", "train"],
    stdout=subprocess.PIPE,
    start_new_session=True,
    cwd=cluster.home,
    env={"PATH": cluster.path, "HOME": str(cluster.home)},
  )
  deadline = time.monotonic() + 30
  while not (cluster.home / "began").exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
  os.killpg(first.pid, signal.SIGHUP)
  first.communicate()
  # It still runs: a second run follows it, until it is stopped.
  second = subprocess.Popen(
    [script, "run", *PLACE, "--", "train"],
    stdout=subprocess.PIPE,
    text=True,
    cwd=cluster.home,
    env={"PATH": cluster.path, "HOME": str(cluster.home)},
  )
  assert second.stdout.readline() == "began\n"
  assert run(cluster, scripts, "stop").returncode == 0
  out, _ = second.communicate(timeout=30)
  assert second.returncode == 75
  assert "interrupted" in out
  assert [c[0] for c in cluster.calls()].count("train") == 1


@pytest.mark.parametrize(
  ("words", "named"),
  [
    ([], "VERB: must be create, install, run, stop, collect, delete"),
    (["start"], "start: must be create"),
    (["create", *PLACE], "--type=: must be as v5litepod-16"),
    (
      ["create", "--zone=here", "--name=a"],
      "--zone=here: must be as us-west4-a",
    ),
    (["create", "--name=A b", PLACE[1]], "--name=A b: must be as my-tpu"),
    (["run", *PLACE], "nothing to run"),
    (["run", *PLACE, "--spot"], "--spot: not an option of run"),
    (["install", *PLACE], "--package: missing"),
    (["install", *PLACE, "--package=no.whl"], "--package=no.whl: no such file"),
    (["install", *PLACE, "--package=a", "--nfs=x"], "--nfs=x: must be as"),
    (["collect", *PLACE, "--workdir=/a"], "--into: missing"),
    (["delete", *PLACE], "gcloud: not found"),
  ],
)
def test_wrong_use_is_one_line(cluster, scripts, words, named):
  if words != ["delete", *PLACE]:
    cluster.fake("gcloud")
  done = cluster.run(scripts / "tpu_vm.sh", *words)
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert named in done.stderr
  assert cluster.calls() == []
