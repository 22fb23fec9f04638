"""A folder knows its study; passwords stay out of it."""

import pytest

from jaxrobust import commands
from jaxrobust.training.config import ConfigError
from jaxrobust.training.logging import note_environment
from jaxrobust.tuning import search, storage

pytest.importorskip("optuna")


def test_a_study_lies_in_its_folder_by_default(tmp_path):
  url, name = storage.resolve(tmp_path)
  assert (url, name) == (f"sqlite:///{tmp_path / 'study.db'}", "tune")
  storage.note(tmp_path, url, name)
  assert not (tmp_path / "study.json").exists()


def test_the_password_is_not_kept_and_asked_for_again(tmp_path):
  given = "postgresql://ann:secret@host/db"
  url, name = storage.resolve(tmp_path, given, "mine")
  assert url == "postgresql+psycopg://ann:secret@host/db"
  storage.note(tmp_path, url, name)
  assert "secret" not in (tmp_path / "study.json").read_text()
  assert storage.resolve(tmp_path, given) == (url, "mine")
  with pytest.raises(ConfigError, match="--storage: missing"):
    storage.resolve(tmp_path)


def test_the_password_of_a_command_line_is_not_noted(tmp_path, monkeypatch):
  url = "--storage=postgresql://ann:secret@host/db"
  monkeypatch.setattr("sys.argv", ["jaxrobust", "tune", url])
  note_environment(tmp_path / "environment.json")
  text = (tmp_path / "environment.json").read_text()
  assert "secret" not in text
  assert "--storage=postgresql://ann:***@host/db" in text


def test_a_url_without_a_password_is_known_from_the_folder(tmp_path):
  url, name = storage.resolve(tmp_path, "postgresql://ann@host/db")
  storage.note(tmp_path, url, name)
  assert storage.resolve(tmp_path) == (url, "tune")


@pytest.mark.parametrize(
  ("given", "named"),
  [
    ("mysql://host/db", "must be sqlite:///PATH or postgresql://"),
    ("study.db", "must be sqlite:///PATH or postgresql://"),
    ("sqlite:///", "must name a file"),
    ("sqlite:////no/such/folder/study.db", "no folder /no/such/folder"),
  ],
)
def test_another_storage_is_one_line(tmp_path, given, named):
  with pytest.raises(ConfigError, match=named):
    storage.resolve(tmp_path, given)


def test_a_folder_stays_with_its_storage_and_name(tmp_path):
  storage.note(tmp_path, *storage.resolve(tmp_path, "postgresql://a@h/db"))
  with pytest.raises(ConfigError, match=r"was begun with postgresql.*a@h/db"):
    storage.resolve(tmp_path, "postgresql://a@h/other")
  with pytest.raises(
    ConfigError, match=r"--study_name=mine: .*begun with tune"
  ):
    storage.resolve(tmp_path, "", "mine")


def test_a_database_that_does_not_answer_is_one_line(tiny_config, tmp_path):
  # Nothing listens on port 1.
  url, _ = storage.resolve(tmp_path, "postgresql://ann:secret@127.0.0.1:1/db")
  with (
    pytest.raises(ConfigError) as caught,
    storage.opened(url, "tune", tiny_config),
  ):
    pass
  text = str(caught.value)
  assert text.startswith(
    "--storage=postgresql+psycopg://ann:***@127.0.0.1:1/db"
  )
  assert "secret" not in text
  assert "\n" not in text


def test_a_file_that_is_no_database_is_one_line(tiny_config, tmp_path):
  (tmp_path / "study.db").write_text("no database" * 100)
  with (
    pytest.raises(ConfigError, match=r"--storage=sqlite.*not a database"),
    storage.opened(storage.resolve(tmp_path)[0], "tune", tiny_config),
  ):
    pass


def test_a_database_that_is_lost_is_one_line(tiny_config, tmp_path):
  def ask_twice():
    url, name = storage.resolve(tmp_path)
    with storage.opened(url, name, tiny_config) as study:
      study.ask()
      (tmp_path / "study.db").write_bytes(b"junk" * 30000)
      study.ask()

  with pytest.raises(
    OSError, match=r"study\.db: the database is lost"
  ) as caught:
    ask_twice()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("more", "named"),
  [
    (["--workers=0"], "--workers=0: must be at least 1"),
    (["--workers=2", "--search=nosuch=1:2"], "no field 'nosuch'"),
    (["--workers=2", "--storage=mysql://h/db"], "--storage: must be sqlite"),
    (["--method=gradient", "--workers=2"], "--workers: not an option of"),
    (["--method=gradient", "--storage=x"], "--storage: not an option of"),
  ],
)
def test_wrong_workers_are_one_line(tmp_path, capsys, more, named):
  words = ["tune", "--config=configs/digits_alpha_stable.py:quick"]
  assert commands.main([*words, f"--workdir={tmp_path}", *more]) == 2
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert named in err


def test_a_folder_without_a_study_is_named(tmp_path):
  with pytest.raises(ConfigError, match="no study there"):
    search.read(tmp_path)
