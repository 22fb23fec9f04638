"""Programs of a cluster that write down what they were called with."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"

# What the scripts may call besides; the machine may have a real gcloud.
_TOOLS = "bash env cat grep mkdir rm setsid sleep tail".split()

_FAKE = """#!{python}
import json, os, sys
text = sys.stdin.read() if {reads!r} and not sys.stdin.isatty() else ""
with open({log!r}, "a") as file:
  file.write(json.dumps([{name!r}, *sys.argv[1:], text]) + "\\n")
{body}
"""


class Cluster:
  """A folder of fake programs, and what was asked of them."""

  def __init__(self, folder):
    self.folder, self._log = folder / "bin", folder / "calls.jsonl"
    self.folder.mkdir()
    self.home = folder / "home"
    self.home.mkdir()
    self._tools = folder / "tools"
    self._tools.mkdir()
    for tool in _TOOLS:
      (self._tools / tool).symlink_to(shutil.which(tool))

  def fake(self, name, body="", reads=True):
    path = self.folder / name
    path.write_text(
      _FAKE.format(
        python=sys.executable,
        name=name,
        log=str(self._log),
        body=body,
        reads=reads,
      )
    )
    path.chmod(0o755)

  @property
  def path(self):
    """The PATH with the fake programs first."""
    return f"{self.folder}:{self._tools}"

  def run(self, *words, **environment):
    return subprocess.run(
      [str(word) for word in words],
      capture_output=True,
      text=True,
      timeout=60,
      cwd=self.home,
      stdin=subprocess.DEVNULL,
      env={
        "PATH": self.path,
        "HOME": str(self.home),
        **environment,
      },
    )

  def calls(self):
    """Lists of program, arguments and standard input."""
    if not self._log.exists():
      return []
    return [json.loads(line) for line in self._log.read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path):
  return Cluster(tmp_path)


@pytest.fixture
def scripts():
  return LAUNCH
