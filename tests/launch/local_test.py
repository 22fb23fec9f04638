"""Several real processes make one run: the same as one, and as whole.

They talk over the loopback interface, by `launch/local.sh`.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import evaluation, methods
from jaxrobust.training import config as config_lib
from jaxrobust.training import loop
from jaxrobust.training.runs import abstract_state, open_checkpoints

_ROOT = pathlib.Path(jaxrobust.__file__).parents[1]
_TIMEOUT = 20


def config_of(folder):
  """Noise, centroids, batch statistics; judged by noise and by an attack."""
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split = "train[:100]"
  config.data.validation_split = "train[100:150]"
  # No multiple of the devices: the last batch has padding.
  config.data.test_split = "test[:41]"
  config.model.name, config.model.hidden = "small_cnn", (16,)
  config.model.width = 4
  config.method = methods.preset("discriminative")
  config.method.name = "alpha_stable x discriminative"
  config.method.view.name = "alpha_stable"
  config.method.view.std = None
  config.method.view.update({"alpha": 1.0, "flip_rate": 0.1})
  config.augment.crop_padding = 1
  config.train.epochs = 3
  config.train.batch_size = 24
  config.train.log_every = 1
  config.train.devices = 4
  config.eval.batch_size = 20
  config.eval.gaussian_stds = (0.2,)
  config.eval.alphas = ()
  config.eval.attack_eps = (0.1,)
  config.eval.attacks = ("fgsm",)
  config.eval.attack_examples = 30
  config.eval.pictures = True
  save(config, folder)
  return config


def save(config, folder):
  folder.parent.mkdir(parents=True, exist_ok=True)
  config_lib.save(config, folder.parent / f"{folder.name}.json")


_PROGRAM = """
import os, pathlib, sys
import jax
jax.config.update("jax_compilation_cache_dir", os.environ["CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
import jaxrobust
from jaxrobust.commands import shell
from jaxrobust.training import config as config_lib
from jaxrobust.training import loop, processes

def run():
  processes.join()
  folder = pathlib.Path(sys.argv[1])
  config = config_lib.load(folder.parent / (folder.name + ".json"))
  for word in sys.argv[2:]:
    name, value = word.split("=")
    section, field = name.split(".")
    config[section][field] = type(config[section][field])(value)
  rank = jax.process_index()
  {during}
  return 0 if jaxrobust.train(config, folder).finished else 75

sys.exit(shell.guard(run))
"""
# What a test does in the middle of a run: tells of its steps.
_TELLING = """
  shard = loop.parallel.Launcher.shard_own
  steps = []
  def told(self, batch):
    if "mask" in batch and len(batch["mask"]) == 12:
      steps.append(1)
      (folder.parent / ("step-%d" % rank)).write_text(str(len(steps)))
      if len(steps) == 7:
        (folder.parent / ("pid-%d" % rank)).write_text(str(os.getpid()))
        import time; time.sleep(1)
    return shard(self, batch)
  loop.parallel.Launcher.shard_own = told
"""


def start(processes, folder, *words, during="", devices=1):
  """The run as some processes, each with some CPU devices."""
  during = textwrap.indent(textwrap.dedent(during), "  ").strip()
  environment = {
    **os.environ,
    "JAX_NUM_CPU_DEVICES": str(devices),
    "JAXROBUST_TIMEOUT": str(_TIMEOUT),
    "CACHE": str(pathlib.Path("~/.cache/jaxrobust-tests").expanduser()),
  }
  return subprocess.Popen(
    [
      str(_ROOT / "launch" / "local.sh"),
      str(processes),
      sys.executable,
      "-c",
      _PROGRAM.replace("{during}", during),
      str(folder),
      *words,
    ],
    env=environment,
    cwd=_ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(child):
  out, err = child.communicate(timeout=300)
  return child.returncode, out, err


def copy_of(source, folder):
  shutil.copytree(source, folder)
  shutil.copy(
    source.parent / f"{source.name}.json", folder.parent / f"{folder.name}.json"
  )


def state_of(folder):
  config = config_lib.load(folder / "config.json")
  train_set = loop.data.load(config.data, config.data.train_split)
  checkpoints = open_checkpoints(config, folder)
  try:
    restored = checkpoints.restore(
      abstract_state(config, loop.assemble(config, train_set).model)
    )
  finally:
    checkpoints.close()
  assert restored is not None
  return restored.state


def losses_of(folder):
  """The training loss of each step, whoever made it."""
  lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
  name = "train/loss"
  return {line["step"]: line[name] for line in lines if name in line}


def assert_same_run(folder, other):
  """Parameters, statistics, centroids, losses and rows, to float32."""
  one, two = state_of(folder), state_of(other)
  assert int(one.step) == int(two.step)
  for name in ("params", "batch_stats", "method_state"):
    for a, b in zip(
      jax.tree.leaves(getattr(one, name)),
      jax.tree.leaves(getattr(two, name)),
      strict=True,
    ):
      np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=name)
  losses, other_losses = map(losses_of, (folder, other))
  assert losses.keys() == other_losses.keys()
  for step, loss in losses.items():
    assert loss == pytest.approx(other_losses[step], rel=1e-4)
  rows, others = (
    evaluation.read_rows(path / "results.csv") for path in (folder, other)
  )
  assert len(rows) == len(others)
  for row, other_row in zip(rows, others, strict=True):
    assert row["value"] == pytest.approx(other_row["value"], rel=1e-3)
    for column in ("perturbation", "metric", "n_examples", "strength"):
      assert row[column] == other_row[column]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """The run as one process, four devices."""
  folder = tmp_path_factory.mktemp("alone") / "run"
  jaxrobust.train(config_of(folder), folder)
  return folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
  """Two processes of two devices, one of which gets a SIGTERM at step 7."""
  folder = tmp_path_factory.mktemp("two") / "run"
  config_of(folder)
  child = start(2, folder, during=_TELLING, devices=2)
  told = folder.parent / "pid-1"
  for _ in range(1200):
    if told.exists() and told.read_text():
      break
    assert child.poll() is None, finish(child)
    time.sleep(0.1)
  os.kill(int(told.read_text()), signal.SIGTERM)
  return folder, finish(child)


def test_one_process_that_is_told_to_stop_stops_all_with_a_checkpoint(
  interrupted,
):
  folder, (code, out, err) = interrupted
  assert code == 75, err
  # Process 0 alone prints, and once.
  assert out.count("stopping: saving a checkpoint") == 1
  step = int(state_of(folder).step)
  assert 7 <= step < 15
  # Both stopped after the same step.
  steps = {(folder.parent / f"step-{rank}").read_text() for rank in (0, 1)}
  assert steps == {str(step)}
  assert not (folder / "results.csv").exists()


def test_two_processes_resume_on_one_to_the_run_of_one(
  interrupted, alone, tmp_path
):
  folder = tmp_path / "run"
  copy_of(interrupted[0], folder)
  config = config_lib.load(folder / "config.json")
  assert jaxrobust.train(config, folder).finished
  assert_same_run(folder, alone)


def test_two_processes_resume_on_four_to_the_run_of_one(
  interrupted, alone, tmp_path
):
  folder = tmp_path / "run"
  copy_of(interrupted[0], folder)
  code, out, err = finish(start(4, folder, "train.launcher=shard_map"))
  assert code == 0, err
  assert "resumed at step" in out
  assert_same_run(folder, alone)
  pictures = {p.name for p in (alone / "examples").iterdir()}
  assert {p.name for p in (folder / "examples").iterdir()} == pictures


def test_a_resumed_run_that_is_told_to_stop_before_its_first_step_stops(
  interrupted, tmp_path
):
  folder = tmp_path / "run"
  copy_of(interrupted[0], folder)
  before = int(state_of(folder).step)
  early = """
    if rank == 1:
      import signal
      os.kill(os.getpid(), signal.SIGTERM)
  """
  code, out, err = finish(start(2, folder, during=early, devices=2))
  assert code == 75, err
  assert "stopping: saving a checkpoint" in out
  # The notice takes a moment to reach all; a run to the end would have 15.
  assert before <= int(state_of(folder).step) < 15


@pytest.mark.parametrize(
  # The first process is the meeting point: its end is another thing.
  "rank",
  [1, pytest.param(0, marks=pytest.mark.slow)],
)
def test_a_killed_process_ends_the_others_in_time_and_a_restart_resumes(
  rank, tmp_path, capsys
):
  folder = tmp_path / "run"
  config = config_of(folder)
  config.method = methods.preset("standard")
  config.model.name, config.model.width = "mlp", None
  config.augment.crop_padding = 0
  config.eval.attack_eps = config.eval.gaussian_stds = ()
  config.eval.pictures = False
  config.data.validation_split = ""
  save(config, folder)
  child = start(2, folder, during=_TELLING, devices=2)
  told = tmp_path / f"pid-{rank}"
  for _ in range(1200):
    if told.exists() and told.read_text():
      break
    assert child.poll() is None, finish(child)
    time.sleep(0.1)
  began = time.monotonic()
  os.kill(int(told.read_text()), signal.SIGKILL)
  code, _, err = finish(child)
  assert time.monotonic() - began < 2 * _TIMEOUT
  assert code not in (0, 75)
  assert f"process {rank} ended by signal 9" in err
  # Ours where an exception came first, JAX's where its watch did.
  assert "processes is gone" in err or "another task died" in err
  # The first epoch's checkpoint is whole.
  capsys.readouterr()
  assert jaxrobust.train(config, folder).finished
  assert "resumed at step 5 of 15" in capsys.readouterr().out


@pytest.mark.quick
@pytest.mark.parametrize(
  ("words", "told"),
  [
    ((), "N: missing"),
    (("two", "true"), "N=two: must be a number of at least 1"),
    (("0", "true"), "N=0: must be a number"),
    (("2",), "COMMAND: missing"),
    (("2", "no-such-command"), "no-such-command: no such command"),
  ],
)
def test_a_wrong_command_line_of_the_launcher_is_one_line(words, told):
  done = subprocess.run(
    [str(_ROOT / "launch" / "local.sh"), *words],
    check=False,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert told in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.quick
def test_the_launcher_gives_the_first_code_that_is_an_error(tmp_path):
  script = tmp_path / "codes.sh"
  script.write_text(
    "exit $(echo 0 75 3 | cut -d' ' -f$((JAXROBUST_PROCESS+1)))"
  )
  for count, code in ((1, 0), (2, 75), (3, 3)):
    done = subprocess.run(
      [str(_ROOT / "launch" / "local.sh"), str(count), "bash", str(script)],
      check=False,
    )
    assert done.returncode == code
