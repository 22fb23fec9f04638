"""The house rule: imports run downwards only, and importing stays light."""

import ast
import importlib.metadata
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "jaxrobust"

# From the top floor down. A module may import from the floors below it and
# from its own package; ALSO names the other imports within a floor.
FLOORS = (
  ("main", "commands"),
  ("tuning", "export"),
  ("training", "report"),
  ("models", "methods", "evaluation"),
  (
    "data",
    "alpha_stable",
    "moments",
    "centroids",
    "inverse_scale",
    "filters",
    "attacks",
    "corruptions",
  ),
)
ALSO = {
  ("main", "commands"),
  ("commands", "main"),
  ("methods", "models"),
  # Evaluation runs a method's forward and names its type.
  ("evaluation", "methods"),
}
# The packages of pure functions, which import no other of ours.
PURE = FLOORS[-1][1:]
PURE_MAY_IMPORT = {"jax", "numpy", "scipy"}
# What single files of theirs import besides: rules for linen's modules.
EXCEPTIONS = {"moments/intercept.py": {"flax"}}
# Heavy packages that only the functions that use them import.
LAZY = (
  "PIL",
  "grain",
  "matplotlib",
  "onnx",
  "onnxruntime",
  "optuna",
  "orbax",
  "safetensors",
  "sklearn",
  "tensorboardX",
  "tensorflow",
  "tensorflow_datasets",
)


def top_names():
  """The modules and packages right under jaxrobust."""
  for path in sorted(PACKAGE.iterdir()):
    if path.suffix == ".py" and path.stem != "__init__":
      yield path.stem
    elif any(path.glob("*.py")):
      yield path.name


def sources(top):
  """The source files of one top module or package."""
  single = PACKAGE / f"{top}.py"
  return [single] if single.exists() else sorted((PACKAGE / top).rglob("*.py"))


def imported_modules(source, path):
  """The absolute names that a source imports, at its top or in functions."""
  for node in ast.walk(ast.parse(source, str(path))):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}: relative import"
      if node.module == "jaxrobust":
        # A name that is not a module is the public face: all of training.
        yield from (f"jaxrobust.{alias.name}" for alias in node.names)
      else:
        yield node.module


def floor_of(name):
  """The number of a floor, 0 at the top."""
  for number, floor in enumerate(FLOORS):
    if name in floor:
      return number
  raise AssertionError(f"jaxrobust.{name} is on no floor: add it to FLOORS")


def faults(top, source, path="source"):
  """The imports of one source that the house rule forbids."""
  allowed = PURE_MAY_IMPORT | sys.stdlib_module_names
  allowed |= EXCEPTIONS.get("/".join(pathlib.Path(path).parts[-2:]), set())
  found = []
  for module in imported_modules(source, path):
    first, _, rest = module.partition(".")
    if first != "jaxrobust":
      if top in PURE and first not in allowed:
        found.append(module)
      continue
    # `import jaxrobust` is the public face, which holds training.
    target = rest.partition(".")[0] or "training"
    if target == top:
      continue
    downwards = floor_of(target) > floor_of(top)
    if not downwards and (top, target) not in ALSO:
      found.append(module)
  return found


@pytest.mark.parametrize("top", list(top_names()))
def test_imports_run_downwards(top):
  assert top in sum(FLOORS, ()), f"add {top} to FLOORS"
  for path in sources(top):
    assert faults(top, path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
  ("top", "line", "allowed"),
  [
    ("training", "from jaxrobust.commands import shell", False),
    ("training", "from jaxrobust import data, models", True),
    ("methods", "def f():\n  from jaxrobust.training import state", False),
    ("models", "import jaxrobust", False),
    ("models", "from jaxrobust import evaluation", False),
    ("data", "import jaxrobust.models.base as base", False),
    ("report", "from jaxrobust.training import config", False),
    ("alpha_stable", "from jaxrobust import data", False),
    ("alpha_stable", "import flax", False),
    ("alpha_stable", "import math, scipy.special", True),
    ("alpha_stable", "from jaxrobust.alpha_stable import law", True),
    ("commands", "import jaxrobust", True),
    ("attacks", "from jaxrobust import alpha_stable", False),
    ("models", "from jaxrobust import moments", True),
    ("moments", "from jaxrobust import alpha_stable", False),
  ],
)
def test_the_rule_tells_right_from_wrong(top, line, allowed):
  assert (faults(top, line) == []) == allowed


@pytest.mark.parametrize(
  ("path", "allowed"),
  [("moments/intercept.py", True), ("moments/ops.py", False)],
)
def test_only_the_interceptor_of_linen_imports_flax(path, allowed):
  source = "import flax.linen as nn"
  assert (faults("moments", source, PACKAGE / path) == []) == allowed


def test_importing_jaxrobust_loads_nothing_heavy():
  code = (
    "import sys, jaxrobust\n"
    f"loaded = [name for name in {LAZY!r} if name in sys.modules]\n"
    "sys.exit(f'loaded: {loaded}' if loaded else 0)"
  )
  ended = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert ended.returncode == 0, ended.stderr


def test_the_package_is_typed():
  assert (PACKAGE / "py.typed").exists()


def test_the_command_is_installed():
  (command,) = importlib.metadata.entry_points(
    group="console_scripts", name="jaxrobust"
  )
  assert command.value == "jaxrobust.commands:main"
