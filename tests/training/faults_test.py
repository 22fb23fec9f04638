"""What goes wrong in a run leaves it whole, and says so."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import methods
from jaxrobust.training import loop
from jaxrobust.training.runs import abstract_state, open_checkpoints

_STEPS_PER_EPOCH = 3


class Burst:
  """A data set whose batches have an infinite input at some steps."""

  def __init__(self, monkeypatch, steps):
    shard = loop.parallel.Launcher.shard_own
    self.step = 0

    def spoil(launcher, batch):
      if "mask" in batch and batch["inputs"].dtype == np.float32:
        self.step += 1
        if self.step in steps:
          batch["inputs"][1] = np.nan
      return shard(launcher, batch)

    monkeypatch.setattr(loop.parallel.Launcher, "shard_own", spoil)


@pytest.fixture
def series_config(tiny_config):
  """A run on series, which are float32 and may hold a NaN."""
  config = tiny_config
  config.data.source = config.data.name = "synthetic_series"
  config.data.shape, config.data.num_classes = (32, 1), 3
  config.data.validation_split = ""
  config.model.name, config.model.hidden = "fcn1d", None
  config.model.width = 4
  config.method = methods.preset("discriminative")
  config.method.view.std = 0.1
  config.train.skip_nonfinite = 2
  config.train.epochs = 1
  config.eval.gaussian_stds = config.eval.alphas = ()
  return config


def state_of(config, workdir):
  model = loop.assemble(
    config, loop.data.load(config.data, config.data.train_split)
  ).model
  checkpoints = open_checkpoints(config, workdir)
  try:
    restored = checkpoints.restore(abstract_state(config, model))
  finally:
    checkpoints.close()
  assert restored is not None
  return restored.state


def test_an_update_that_is_not_finite_is_left_out_and_counted(
  series_config, tmp_path, monkeypatch, capsys
):
  Burst(monkeypatch, {2})
  assert jaxrobust.train(series_config, tmp_path).finished
  state = state_of(series_config, tmp_path)
  assert state.step == _STEPS_PER_EPOCH
  assert int(state.opt_state.total_notfinite) == 1
  # Weights, batch statistics and centroids alike are as if it had not been.
  for leaf in jax.tree.leaves((state.params, state.batch_stats)):
    assert np.isfinite(leaf).all()
  for leaf in jax.tree.leaves(state.method_state):
    assert np.isfinite(leaf).all()
  out = capsys.readouterr().out
  assert "warning: 1 updates that were not finite left out" in out
  lines = (tmp_path / "metrics.jsonl").read_text()
  assert '"train/skipped": 1.0' in lines


def test_what_a_left_out_batch_would_have_changed_is_unchanged(
  series_config, tmp_path, monkeypatch
):
  series_config.data.train_split = "train[:24]"  # One step an epoch.
  jaxrobust.train(series_config, tmp_path / "one")
  one = state_of(series_config, tmp_path / "one")
  series_config.train.epochs = 2
  series_config.schedule.name = "constant"
  Burst(monkeypatch, {2})
  jaxrobust.train(series_config, tmp_path / "two")
  two = state_of(series_config, tmp_path / "two")
  for name in ("params", "batch_stats", "method_state"):
    jax.tree.map(
      np.testing.assert_array_equal, getattr(one, name), getattr(two, name)
    )


def test_more_updates_in_a_row_than_allowed_stop_the_run(
  series_config, tmp_path, monkeypatch
):
  series_config.train.epochs = 3
  Burst(monkeypatch, {4, 5, 6})
  with pytest.raises(loop.NonFiniteLoss, match=r"at step 6; .* step 3"):
    jaxrobust.train(series_config, tmp_path)


def test_without_the_option_the_first_one_stops_the_run(
  series_config, tmp_path, monkeypatch
):
  series_config.train.skip_nonfinite = 0
  Burst(monkeypatch, {2})
  with pytest.raises(loop.NonFiniteLoss, match="at step 2"):
    jaxrobust.train(series_config, tmp_path)


def run_main(workdir, *flags, code="", **environment):
  """The main command in a process of its own, a line of Python before it."""
  program = textwrap.dedent(code) + textwrap.dedent("""
    import sys
    from jaxrobust import main
    sys.exit(main.main())
  """)
  config = "configs/digits_alpha_stable.py:quick"
  return subprocess.run(
    [
      sys.executable,
      "-c",
      program,
      f"--config={config}",
      f"--workdir={workdir}",
      *flags,
    ],
    check=False,
    capture_output=True,
    text=True,
    cwd=pathlib.Path(jaxrobust.__file__).parents[1],
    env={**os.environ, **environment},
  )


def leaves_of(workdir):
  config = loop.config_lib.load(workdir / "config.json")
  state = state_of(config, workdir)
  return jax.tree.leaves((state.params, state.opt_state))


def test_neither_clock_nor_global_seeds_change_a_run(tmp_path):
  here = run_main(tmp_path / "here")
  other = run_main(
    tmp_path / "other",
    code="""
      import random, time
      import numpy as np
      random.seed(5); np.random.seed(7)
      now = time.time
      time.time = lambda: now() + 1e8
    """,
    PYTHONHASHSEED="11",
    TZ="Asia/Tokyo",
  )
  assert (here.returncode, other.returncode) == (0, 0), other.stderr
  for a, b in zip(
    leaves_of(tmp_path / "here"), leaves_of(tmp_path / "other"), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path):
  """A quota on the size of a file, which the second checkpoint exceeds."""
  flags = (
    "--config.model.hidden=(256,)",
    "--config.train.epochs=3",
    "--config.checkpoint.every_epochs=1",
  )
  first = run_main(
    tmp_path,
    *flags,
    code="""
      import resource, signal
      from jaxrobust.training import checkpoints
      save = checkpoints.Checkpoints.save
      def once(self, state, *rest):
        save(self, state, *rest)
        self.wait()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
      checkpoints.Checkpoints.save = once
    """,
  )
  assert first.returncode == 1, first.stderr
  told = "jaxrobust: .*a checkpoint could not be saved .*File too large"
  assert re.search(told, first.stderr)
  kept = sorted(p.name for p in (tmp_path / "checkpoints").glob("[0-9]*"))
  assert "6" in kept
  again = run_main(tmp_path, *flags)
  assert again.returncode == 0, again.stderr
  assert "resumed at step 6 of 18" in again.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a tmpfs")
def test_a_full_file_system_leaves_the_last_checkpoint_whole(tmp_path):
  small = tmp_path / "small"
  small.mkdir()
  mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], check=False
  )
  if mounted.returncode:
    pytest.skip("mounting is not allowed here")
  flags = (
    "--config.model.hidden=(512,)",
    "--config.train.epochs=3",
    "--config.checkpoint.every_epochs=1",
  )
  try:
    first = run_main(
      small / "run",
      *flags,
      code=f"""
        import os
        from jaxrobust.training import checkpoints
        save = checkpoints.Checkpoints.save
        def once(self, state, *rest):
          save(self, state, *rest)
          self.wait()
          with open({str(small / "ballast")!r}, "wb", buffering=0) as file:
            try:
              while file.write(bytes(4096)):
                pass
            except OSError:
              pass
        checkpoints.Checkpoints.save = once
      """,
    )
    assert first.returncode == 1, first.stderr
    # Threads of the save that failed tell of it around our line.
    assert re.search("jaxrobust: .*No space left on device", first.stderr)
    (small / "ballast").unlink()
    shutil.copytree(small / "run", tmp_path / "run")
  finally:
    subprocess.run(["umount", str(small)], check=True)
  again = run_main(tmp_path / "run", *flags)
  assert again.returncode == 0, again.stderr
  assert "resumed at step 6 of 18" in again.stdout


def test_a_second_run_in_a_work_folder_is_refused(tiny_config, tmp_path):
  holder = subprocess.Popen(
    [
      sys.executable,
      "-c",
      "import sys, pathlib\n"
      "from jaxrobust.training.claim import claimed\n"
      "with claimed(pathlib.Path(sys.argv[1]), 'training'):\n"
      "  print('held', flush=True)\n"
      "  sys.stdin.read()\n",
      str(tmp_path),
    ],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert holder.stdout is not None
  assert holder.stdout.readline() == "held\n"
  with pytest.raises(
    jaxrobust.ConfigError,
    match=rf"training there is under way already \(process {holder.pid} on ",
  ):
    jaxrobust.train(tiny_config, tmp_path)
  # A claim ends with its process, even one that was killed.
  holder.kill()
  holder.communicate()
  assert jaxrobust.train(tiny_config, tmp_path).finished
