"""Workers share the trials of a study exactly, whoever dies."""

import contextlib
import os
import threading
import time

import pytest

from jaxrobust.training.config import ConfigError
from jaxrobust.tuning import claims, session, storage
from jaxrobust.tuning import ranges as ranges_lib

optuna = pytest.importorskip("optuna")
RATE = "method.input.flip_rate"


class FakeTrainer:
  """Scores a config by its flip rate, at once."""

  stopped = False

  def __init__(self, seconds=0.0, error=None):
    self._seconds, self._error = seconds, error

  def epochs(self, config, keeper, stop):
    if self._error is not None:
      raise self._error
    for epoch in range(1, config.train.epochs + 1):
      time.sleep(self._seconds)
      keeper.by_epoch[epoch] = {"clean": config.method.input.flip_rate}
      yield keeper.by_epoch[epoch]


class Clients:
  """Opens one study as often as asked, each time as a process of its own."""

  def __init__(self, url, config, workdir):
    self.url, self.config, self.workdir = url, config, workdir
    self.ranges = [ranges_lib.parse(f"{RATE}=0.01:0.4", config)]
    self.stack = contextlib.ExitStack()

  def open(self):
    return self.stack.enter_context(
      storage.opened(self.url, "study", self.config, [RATE])
    )

  def worker(self):
    found = claims.Worker(self.workdir, optuna)
    self.stack.callback(found.close)
    return found

  def session(self, wanted, trainer=None, worker=None, stop=lambda: False):
    return session.Session(
      study=self.open(),
      optuna=optuna,
      config=self.config,
      ranges=self.ranges,
      wanted=wanted,
      workdir=self.workdir,
      worker=worker or self.worker(),
      stop=stop,
      trainer=trainer or FakeTrainer(),
    )


def databases():
  server = os.environ.get("JAXROBUST_TEST_POSTGRESQL")
  yield pytest.param("sqlite", id="sqlite")
  yield pytest.param(
    server,
    id="postgresql",
    marks=[
      pytest.mark.slow,
      pytest.mark.skipif(
        not server, reason="JAXROBUST_TEST_POSTGRESQL names no server"
      ),
    ],
  )


@pytest.fixture(params=databases())
def clients(request, tiny_config, tmp_path, monkeypatch):
  monkeypatch.setattr(session, "_LOOK_SECONDS", 0.05)
  url = f"sqlite:///{tmp_path / 'study.db'}"
  if request.param != "sqlite":
    url, _ = storage.resolve(tmp_path, request.param)
  found = Clients(url, tiny_config, tmp_path)
  with found.stack:
    yield found
    if request.param != "sqlite":
      study = storage.opened(url, "study", tiny_config)
      kept = found.stack.enter_context(study)._storage
      optuna.delete_study(study_name="study", storage=kept)


def states(study):
  return [trial.state.name for trial in study.get_trials()]


def test_workers_at_once_make_exactly_the_trials_asked_for(clients, capsys):
  wanted, failures = 16, []

  def work():
    try:
      assert clients.session(wanted, FakeTrainer(0.01)).work()
    except BaseException as error:
      failures.append(error)

  threads = [threading.Thread(target=work) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert failures == []
  trials = clients.open().get_trials()
  complete = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
  assert len(complete) == wanted
  # No two of them tried the same, and the config's own values were tried once.
  assert len({t.params[RATE] for t in complete}) == wanted
  assert sum(t.params[RATE] == 0.126 for t in complete) == 1
  # What is over gave way and tried nothing.
  assert all(not t.params for t in trials if t not in complete)
  folders = {path.name for path in (clients.workdir / "trials").iterdir()}
  assert folders == {f"{t.number:05d}" for t in complete}


def test_what_a_killed_worker_was_at_is_made_again_at_once(clients):
  victim = clients.worker()
  study = clients.open()
  trial = study.ask()
  with claims.beating(trial, victim):
    rate = trial.suggest_float(RATE, 0.01, 0.4)
  # As the kernel does with what a killed process held.
  victim._file.close()
  assert clients.session(1).work()
  first, second = study.get_trials()
  assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
  assert second.params[RATE] == rate
  assert second.user_attrs["again"] == first.number


def test_what_a_living_worker_is_at_is_left_to_it(clients):
  other = clients.worker()
  study = clients.open()
  with claims.beating(study.ask(), other):
    clients.worker().fail_dead(clients.open())
  assert states(study) == ["RUNNING"]


def test_a_worker_elsewhere_is_dead_when_its_beats_stop(clients, monkeypatch):
  monkeypatch.setattr(claims, "GRACE_SECONDS", 0.3)
  study, here = clients.open(), clients.worker()
  trial = study.ask()
  # The file of a dead worker of that name does not count: it is not here.
  (clients.workdir / "workers" / "far-1-0").write_text("another")
  papers = {"name": "far-1-0", "host": "far", "kernel": "another"}
  trial.set_user_attr("worker", papers)
  assert here.other_hosts(study) == ["far"]
  for count in range(4):
    trial.set_user_attr("beat", count)
    here.fail_dead(study)
    time.sleep(0.15)
  assert states(study) == ["RUNNING"]
  time.sleep(0.4)
  here.fail_dead(study)
  assert states(study) == ["FAIL"]


def test_a_worker_that_was_taken_for_dead_leaves_its_result(clients, capsys):
  class Overtaken(FakeTrainer):
    def epochs(self, config, keeper, stop):
      study.tell(0, state=optuna.trial.TrialState.FAIL)
      yield from super().epochs(config, keeper, stop)

  study = clients.open()
  late = clients.session(1, Overtaken())
  assert "taken over" in late._take()
  assert states(study) == ["FAIL"]
  # The trial is made nevertheless.
  assert clients.session(1).work()
  assert states(study) == ["FAIL", "COMPLETE"]


def test_of_two_attempts_made_again_at_once_the_later_gives_way(clients):
  study = clients.open()
  study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
  failed = claims.survey(study.get_trials(), 1).again
  claims.make_again(study, failed)
  claims.make_again(study, failed)
  assert clients.session(1).work()
  assert states(study)[:2] == ["FAIL", "COMPLETE"]
  # Were it taken, it would find that it has no place.
  clients.session(1)._take()
  assert states(study) == ["FAIL", "COMPLETE", "FAIL"]


def test_a_trial_that_fails_three_times_is_given_up(clients):
  study = clients.open()
  for number in range(3):
    broken = clients.session(2, FakeTrainer(error=RuntimeError("no memory")))
    with pytest.raises(RuntimeError, match="no memory"):
      broken.work()
    assert states(study) == ["FAIL"] * (number + 1)
  assert clients.session(2).work()
  assert states(study) == ["FAIL"] * 3 + ["COMPLETE"]


def test_interruptions_are_no_failures(clients):
  class Stopped(FakeTrainer):
    stopped = True

    def epochs(self, config, keeper, stop):
      return iter(())

  study = clients.open()
  for _ in range(5):
    asked = iter([False, True])
    one = clients.session(1, Stopped(), stop=lambda a=asked: next(a))
    assert not one.work()
  assert clients.session(1).work()
  assert states(study) == ["FAIL"] * 5 + ["COMPLETE"]


def test_a_config_that_cannot_run_fails_its_trial_alone(clients, capsys):
  class Picky(FakeTrainer):
    def epochs(self, config, keeper, stop):
      if config.method.input.flip_rate == 0.126:
        raise ConfigError("config.train.batch_size=7: must be even")
      yield from super().epochs(config, keeper, stop)

  assert clients.session(3, Picky()).work()
  assert states(clients.open()) == ["FAIL", "COMPLETE", "COMPLETE"]
  assert (
    "trial 0 cannot be: config.train.batch_size=7" in capsys.readouterr().out
  )


def test_workers_with_another_config_or_search_are_refused(clients):
  clients.open()
  with (
    pytest.raises(ConfigError, match=r"--search=other=1:2: .* was begun with"),
    storage.opened(clients.url, "study", clients.config, ["other=1:2"]),
  ):
    pass
  clients.config.train.epochs = 5
  with pytest.raises(ConfigError, match=r"config\.train\.epochs=5: .*with 2"):
    clients.open()
