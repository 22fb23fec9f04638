"""The documentation's site builds without a warning and has all names."""

import importlib
import inspect
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = (
  "alpha_stable",
  "attacks",
  "centroids",
  "corruptions",
  "data",
  "evaluation",
  "export",
  "filters",
  "inverse_scale",
  "methods",
  "models",
  "moments",
  "training",
  "tuning",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """The built site."""
  out = tmp_path_factory.mktemp("site")
  words = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(out / ".trees")]
  done = subprocess.run(
    [sys.executable, "-m", "sphinx", *words, "docs", str(out)],
    cwd=ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return out


def test_the_site_has_every_page_and_public_name_and_no_markup_is_left(site):
  pages = {
    path.relative_to(ROOT / "docs").with_suffix(".html")
    for path in (ROOT / "docs").rglob("*.md")
  }
  assert all((site / page).exists() for page in pages)
  for package in PACKAGES:
    module = importlib.import_module(f"jaxrobust.{package}")
    html = (site / "reference" / f"{package}.html").read_text(encoding="utf-8")
    for name, value in vars(module).items():
      own = getattr(value, "__module__", "").startswith("jaxrobust")
      public = inspect.isfunction(value) or inspect.isclass(value)
      if own and public and not name.startswith("_"):
        assert f'id="jaxrobust.{package}.{name}"' in html, (package, name)
  for path in (site / "reference").glob("*.html"):
    html = path.read_text(encoding="utf-8")
    # A directive or a section that was not understood shows as text.
    for sign in (">.. ", "<p>Args:", "<p>Returns:", "<p>Raises:", "\ue000"):
      assert sign not in html, (path.name, sign)
