"""The notebooks run from top to bottom and end with a figure."""

import base64
import pathlib
import re

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = pathlib.Path(__file__).parents[2] / "notebooks"
# It sets the number of devices, which must come before all else.
ALONE = ("colab_tpu",)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def run(tmp_path, monkeypatch):
  """Runs notebooks in one kernel, each with no names of those before it.

  One kernel imports once and finds the programs of the others compiled.
  """
  cache = pathlib.Path("~/.cache/jaxrobust-tests").expanduser()
  for name, value in {
    "JAXROBUST_NOTEBOOK": "quick",
    "JAX_COMPILATION_CACHE_DIR": cache,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
    "IPYTHONDIR": tmp_path / "ipython",
    "JUPYTER_RUNTIME_DIR": tmp_path / "jupyter",
    "TMPDIR": tmp_path,
  }.items():
    monkeypatch.setenv(name, str(value))
  # What pytest says of warnings and of its workers is not the kernel's.
  for name in ("PYTHONWARNINGS", "XLA_FLAGS", "MPLBACKEND"):
    monkeypatch.delenv(name, raising=False)

  def run(names):
    whole = nbformat.v4.new_notebook()
    for name in names:
      notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
      whole.cells.append(nbformat.v4.new_code_cell("%reset -f"))
      for cell in notebook.cells:
        cell.metadata["notebook"] = name
        whole.cells.append(cell)
    nbclient.NotebookClient(
      whole,
      timeout=300,
      kernel_name="python3",
      allow_errors=True,
      resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    return {
      name: [
        cell
        for cell in whole.cells
        if cell.cell_type == "code" and cell.metadata.get("notebook") == name
      ]
      for name in names
    }

  return run


def assert_ends_with_a_figure(name, cells):
  for cell in cells:
    for output in cell.outputs:
      if output.output_type == "error":
        trace = _COLOUR.sub("", "\n".join(output.traceback))
        pytest.fail(f"{name}: {trace}", pytrace=False)
  pictures = [
    output.data["image/png"]
    for output in cells[-1].outputs
    if "image/png" in output.get("data", {})
  ]
  assert pictures, name
  assert base64.b64decode(pictures[-1]).startswith(b"\x89PNG"), name


def test_the_notebooks_run_and_end_with_a_figure(run):
  names = sorted(
    path.stem for path in NOTEBOOKS.glob("*.py") if path.stem not in ALONE
  )
  for name, cells in run(names).items():
    assert_ends_with_a_figure(name, cells)


@pytest.mark.parametrize("name", ALONE)
def test_a_notebook_of_many_devices_runs_on_virtual_ones(run, name):
  cells = run([name])[name]
  assert_ends_with_a_figure(name, cells)
  said = "".join(
    output.text
    for cell in cells
    for output in cell.outputs
    if output.output_type == "stream"
  )
  assert "8 devices of kind" in said
  assert "1 devices: " in said


def test_the_page_of_notebooks_lists_each_and_jupytext_reads_it():
  page = (NOTEBOOKS.parent / "docs" / "notebooks.md").read_text()
  for path in NOTEBOOKS.glob("*.py"):
    assert f"(../notebooks/{path.name})" in page
    form = jupytext.read(path).metadata.jupytext.text_representation
    assert form["format_name"] == "percent"
