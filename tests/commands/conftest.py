"""Commands run in this process, with what they print."""

import dataclasses
import pathlib

import pytest

from jaxrobust import commands

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Ended:
  """How a command ended."""

  code: int
  out: str
  err: str


@pytest.fixture
def command(capsys):
  """Runs `jaxrobust WORDS...` here and returns how it ended."""

  def run(*words):
    capsys.readouterr()
    code = commands.main([str(word) for word in words])
    return Ended(code, *capsys.readouterr())

  return run


@pytest.fixture
def config_file():
  """The path of a config in the repository, by its name."""
  return lambda name: f"{ROOT}/configs/{name}.py"
