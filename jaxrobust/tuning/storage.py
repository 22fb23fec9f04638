"""Where a study lies: SQLite in its folder, or a database for many hosts.

SQLite keeps the processes of one machine apart by locks of its file, and every
transaction here takes the write lock at once, so that none waits for another
that waits for it. Over a network file system those locks do not hold: workers
on several hosts take PostgreSQL.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import ml_collections

from jaxrobust.training import config as config_lib
from jaxrobust.training.config import ConfigError, write_whole
from jaxrobust.tuning import choice

DEFAULT_NAME = "tune"
# Trials before the sampler models, and before the pruner compares.
STARTUP = 5
# How long a transaction waits for its turn, in seconds.
_PATIENCE = 120
# Any number that no other program takes for its own lock in the database.
_ADVISORY = 0x6A6178726F62


def import_optuna() -> Any:
  """Optuna, which is an extra.

  Raises:
    ConfigError: If it is not installed.
  """
  try:
    import optuna
  except ImportError as error:
    raise ConfigError(
      "optuna is not installed: pip install 'jaxrobust[sweep]'"
    ) from error
  optuna.logging.set_verbosity(optuna.logging.ERROR)
  return optuna


def has_study(workdir: pathlib.Path) -> bool:
  """Whether a folder holds a study, or names the database that does."""
  return any((workdir / name).exists() for name in ("study.db", "study.json"))


def resolve(
  workdir: pathlib.Path, storage: str = "", name: str = ""
) -> tuple[str, str]:
  """The database and the name of a folder's study.

  Args:
    workdir: The study's folder.
    storage: "sqlite:///PATH" or "postgresql://..."; "" for what the folder
      was begun with, or else `study.db` in it.
    name: The study's name there; "" likewise, or else "tune".

  Returns:
    The URL, for `opened`, and the name.

  Raises:
    ConfigError: If it is neither of the two, or not what the folder was begun
      with, or a password has to be given again.
  """
  own = f"sqlite:///{workdir.absolute() / 'study.db'}"
  url = _canonical(storage)
  begun = None
  if (workdir / "study.json").exists():
    begun = json.loads((workdir / "study.json").read_text())
  elif (workdir / "study.db").exists():
    begun = {"storage": own, "study_name": DEFAULT_NAME}
  if begun is None:
    return url or own, name or DEFAULT_NAME
  if url and shown_url(url) != begun["storage"]:
    raise ConfigError(
      f"--storage={shown_url(url)}: {workdir} was begun with "
      f"{begun['storage']}; resume it with that, or use a new --workdir"
    )
  if name and name != begun["study_name"]:
    raise ConfigError(
      f"--study_name={name}: {workdir} was begun with {begun['study_name']}; "
      "resume it with that, or use a new --workdir"
    )
  if not url and "***" in begun["storage"]:
    raise ConfigError(
      f"--storage: missing; {workdir} was begun with {begun['storage']}, whose "
      "password is not kept"
    )
  return url or begun["storage"], begun["study_name"]


def note(workdir: pathlib.Path, url: str, name: str) -> None:
  """Notes in the folder where its study lies, without the password."""
  if url == f"sqlite:///{workdir.absolute() / 'study.db'}" and (
    name == DEFAULT_NAME
  ):
    return
  text = json.dumps({"storage": shown_url(url), "study_name": name}, indent=2)
  write_whole(workdir / "study.json", text + "\n")


def shown_url(url: str) -> str:
  """A database's URL with *** for the password.

  Example:
    >>> shown_url("postgresql+psycopg://ann:secret@host/db")
    'postgresql+psycopg://ann:***@host/db'
  """
  import sqlalchemy

  return sqlalchemy.make_url(url).render_as_string(hide_password=True)


@contextlib.contextmanager
def opened(
  url: str,
  name: str,
  config: ml_collections.ConfigDict,
  searched: Sequence[str] | None = None,
) -> Iterator[Any]:
  """The optuna study of that name, made if it is not there.

  Args:
    url: The database.
    name: The study's name in it.
    config: What is searched around.
    searched: The search, to be written into the study or compared with what
      is there; None to read only.

  Yields:
    The study.

  Raises:
    ConfigError: If the database does not open, or lacks its driver, or the
      study was begun with another config or search.
    OSError: If the database is lost while the study is in use.
  """
  optuna = import_optuna()
  # The first third of the epochs says little about the last.
  pruner = optuna.pruners.MedianPruner(
    n_startup_trials=STARTUP, n_warmup_steps=config.train.epochs // 3 + 1
  )
  storage = None
  try:
    with _alone(url):
      storage = optuna.storages.RDBStorage(url, engine_kwargs=_options(url))
      _begin_immediately(storage.engine)
      study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        pruner=pruner,
        load_if_exists=True,
      )
      if searched is not None:
        _claim(study, config, list(searched))
  except Exception as error:
    if storage is not None:
      _close(storage)
    raise _refusal(url, error) from error
  from sqlalchemy.exc import SQLAlchemyError

  try:
    yield study
  except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
    raise OSError(
      f"{shown_url(url)}: the database is lost ({_first_line(error)}); the "
      "same command resumes when it is back"
    ) from error
  finally:
    _close(storage)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Holds the lock of a file, made if it is not there.

  Where a file system has no locks, nothing is held.
  """
  with path.open("a") as file:
    with contextlib.suppress(ImportError, OSError):
      import fcntl

      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _claim(
  study: Any, config: ml_collections.ConfigDict, searched: list[str]
) -> None:
  """Writes the study's papers into it, or refuses another's.

  Workers with folders of their own share nothing but the database, and the
  values of trials compare only under one config and one search.
  """
  now = json.loads(
    json.dumps(
      {
        field: value
        for field, value in config_lib.flat(config.to_dict()).items()
        if not field.startswith(choice.FREE_TO_CHANGE)
      },
      default=list,
    )
  )
  papers = study.user_attrs
  if "search" not in papers and not study.get_trials(deepcopy=False):
    study.set_user_attr("config", now)
    study.set_user_attr("search", searched)
    return
  # A study from before it held papers has them in its folder.
  if papers.get("search", searched) != searched:
    raise ConfigError(
      f"--search={' '.join(searched)}: study {study.study_name!r} was begun "
      f"with {' '.join(papers['search'])}; take that, or another --study_name"
    )
  begun = papers.get("config", now)
  for field, value in now.items():
    if begun.get(field) != value:
      raise ConfigError(
        f"config.{field}={value!r}: study {study.study_name!r} was begun with "
        f"{begun.get(field)!r}; take that, or another --study_name"
      )


def _canonical(storage: str) -> str:
  """The URL with its driver, or "" for none."""
  if not storage:
    return ""
  from sqlalchemy import exc, make_url

  try:
    url = make_url(storage)
  except exc.ArgumentError:
    url = None
  kind = url.get_backend_name() if url is not None else ""
  if url is None or kind not in ("sqlite", "postgresql"):
    raise ConfigError(
      "--storage: must be sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    )
  if kind == "postgresql":
    return url.set(drivername="postgresql+psycopg").render_as_string(False)
  if not url.database or url.database == ":memory:":
    raise ConfigError(f"--storage={storage}: must name a file")
  path = pathlib.Path(url.database).expanduser().absolute()
  if not path.parent.is_dir():
    raise ConfigError(f"--storage={storage}: no folder {path.parent}")
  return f"sqlite:///{path}"


def _options(url: str) -> dict[str, Any]:
  if url.startswith("sqlite"):
    return {"connect_args": {"timeout": _PATIENCE}}
  # A connection idles through whole trials, which firewalls do not bear.
  return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 30}}


def _begin_immediately(engine: Any) -> None:
  """Lets SQLite's transactions take the write lock first of all.

  One that begins by reading and then wants to write fails at once if another
  did the same, whatever its patience.
  """
  if engine.name != "sqlite":
    return
  from sqlalchemy import event

  @event.listens_for(engine, "connect")
  def no_own_begin(connection, record):
    connection.isolation_level = None

  @event.listens_for(engine, "begin")
  def begin(connection):
    connection.exec_driver_sql("BEGIN IMMEDIATE")

  # What was opened before knows nothing of it.
  engine.dispose()


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
  """Keeps two workers from making the tables at the same time."""
  import sqlalchemy

  parts = sqlalchemy.make_url(url)
  if parts.get_backend_name() == "sqlite":
    with locked(pathlib.Path(f"{parts.database}.lock")):
      yield
    return
  engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 30})
  try:
    with engine.connect() as connection:
      lock = sqlalchemy.text("SELECT pg_advisory_lock(:key)")
      connection.execute(lock, {"key": _ADVISORY})
      yield  # The lock goes with the connection.
  finally:
    engine.dispose()


def _refusal(url: str, error: Exception) -> Exception:
  if isinstance(error, ImportError):
    return ConfigError(
      "psycopg is not installed: pip install 'jaxrobust[sweep]'"
    )
  from sqlalchemy import exc

  if isinstance(error, exc.SQLAlchemyError):
    return ConfigError(f"--storage={shown_url(url)}: {_first_line(error)}")
  return error


def _first_line(error: BaseException) -> str:
  """What a database's driver says, without what SQLAlchemy adds."""
  # Optuna's own error has SQLAlchemy's for its cause, and that the driver's.
  outer = error if hasattr(error, "orig") else error.__cause__ or error
  cause = getattr(outer, "orig", None) or outer
  lines = str(cause).strip().splitlines() or [type(cause).__name__]
  return lines[0]


def _close(storage: Any) -> None:
  with contextlib.suppress(Exception):  # The database may be gone.
    storage.remove_session()
  storage.engine.dispose()
