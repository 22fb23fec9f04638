"""Several processes at one search: killed, stopped, gone on with."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import threading

from jaxrobust import commands
from jaxrobust.tuning import search, workers

DIGITS = pathlib.Path(__file__).parents[2] / "configs/digits_alpha_stable.py"
PROGRAM = (
  "import sys; from jaxrobust import commands; sys.exit(commands.main())"
)


def words(folder, *more):
  return [
    "tune",
    f"--config={DIGITS}:quick",
    f"--workdir={folder}",
    "--config.train.devices=1",
    "--config.model.hidden=(8,)",
    "--config.train.epochs=2",
    "--config.data.train_split=train[:128]",
    "--config.eval.flip_rates=(0.126,)",
    "--search=method.input.flip_rate=log:0.01:0.5",
    *more,
  ]


def children(pid):
  path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
  return [int(child) for child in path.read_text().split()]


def test_a_search_survives_the_death_of_a_worker_and_a_stop(tmp_path, capsys):
  folder, two_workers = tmp_path / "study", ["--trials=400", "--workers=2"]
  process = subprocess.Popen(
    [sys.executable, "-c", PROGRAM, *words(folder, *two_workers)],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  watch = threading.Timer(300, process.kill)
  watch.start()
  printed = []

  def wait_for(found):
    for line in process.stdout:
      printed.append(line)
      if found(line):
        return line
    raise AssertionError("".join(printed))

  # Kill the worker that made the first trial; the other goes on, also with
  # what that one was at.
  first = wait_for(lambda line: ": trial " in line)
  number = int(first.split(":")[0].removeprefix("worker "))
  os.kill(sorted(children(process.pid))[number], signal.SIGKILL)
  survivor = f"worker {1 - number}: trial "
  wait_for(lambda line: line.startswith(survivor))
  wait_for(lambda line: line.startswith(survivor))
  process.send_signal(signal.SIGTERM)
  rest, _ = process.communicate()
  watch.cancel()
  assert process.returncode == 75, "".join(printed) + rest
  assert f"worker {number}: ended by signal 9" in rest
  assert rest.count("interrupted; the same command resumes") == 1
  begun = search.read(folder)
  assert len(begun.trials) >= 3
  assert "running" not in begun.states
  assert len({trial.worker for trial in begun.trials}) == 2

  # One worker in place of two makes what is left.
  wanted = len(begun.trials) + 2
  more = words(folder, f"--trials={wanted}")
  assert commands.main(more) == 0
  out = capsys.readouterr().out
  assert f"search: {wanted} trials" in out
  assert "by 3 workers" in out
  ended = search.read(folder)
  assert {t.number for t in begun.trials} < {t.number for t in ended.trials}
  tried = [trial.fields["method.input.flip_rate"] for trial in ended.trials]
  assert len(set(tried)) == len(tried)
  with (folder / "trials.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [int(row["number"]) for row in rows] == [
    trial.number for trial in ended.trials
  ]
  best = max(
    rows, key=lambda row: float(row["value"]) * (row["state"] == "complete")
  )
  assert int(best["number"]) == ended.ranking()[0].number
  assert float(best["method.input.flip_rate"]) in tried
  assert not list((folder).rglob("checkpoints"))
  assert list((folder / "workers").iterdir()) == []


def test_cores_and_gpus_are_shared_out(monkeypatch):
  monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)))
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
  assert list(workers.shares(3)) == [
    ({0, 3}, "3"),
    ({1, 4}, "5"),
    ({2}, "3"),
  ]
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
  everything = set(range(5))
  assert list(workers.shares(7)) == [(everything, None)] * 7


def test_a_worker_stops_when_its_parent_was_killed(tmp_path, monkeypatch):
  asked = []

  def note(*_, stop, **__):
    asked.append(stop())
    return search.Study(False, [], [])

  monkeypatch.setattr(search, "tune", note)
  for parent in (os.getppid(), os.getppid() + 1):
    more = words(tmp_path, f"--worker_of={parent}")
    assert commands.main(more) == 75
  assert asked == [False, True]
