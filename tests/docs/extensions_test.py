"""What the site makes of docstrings, of the config's source and of links."""

import importlib
import pathlib
import types

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "_extensions"


@pytest.fixture
def extension(monkeypatch):
  monkeypatch.syspath_prepend(str(FOLDER))
  return importlib.import_module


def test_equations_become_blocks_and_signs_lose_their_meaning(extension):
  lines = extension("plain_docstrings").plain(
    [
      "The |x| of `a_`s, a*b.",
      "",
      "  |c x| = 1",
      "",
      "Args:",
      "  *rest: the x_ of `it`.",
      "",
      "Example:",
      "  >>> 2 * 3",
      "  6",
    ]
  )
  assert lines == [
    "The \\|x\\| of ``a_``\\ s, a\\*b.",
    "",
    ".. code-block:: none",
    "",
    "    |c x| = 1",
    "",
    "Args:",
    "  *rest: the x\\_ of ``it``.",
    "",
    "Example:",
    "  >>> 2 * 3",
    "  6",
    "",
  ]


def test_a_colon_in_returns_is_no_type(extension):
  docstrings = extension("plain_docstrings")
  lines = ["Returns:", "  The figure: a line."]
  docstrings._before(None, "", "", None, None, lines)
  assert ":" not in lines[1]
  docstrings._after(None, "", "", None, None, lines)
  assert lines == ["Returns:", "  The figure: a line.", ""]


def test_fields_are_read_with_their_defaults_and_comments(extension):
  source = (
    "def default_config():\n"
    "  config = ConfigDict()\n"
    "  config.seed = 0\n"
    "  config.eval = ConfigDict()\n"
    "  config.eval.stds = (0.1, 8 / 255)  # of noise\n"
    '  config.method = methods.preset("standard")\n'
  )
  assert list(extension("generated_reference").fields(source)) == [
    ("seed", "0", ""),
    ("eval.stds", "(0.1, 8 / 255)", "of noise"),
  ]


def test_every_field_of_the_config_is_in_the_tables(extension):
  import inspect

  from jaxrobust.training import config

  reference = extension("generated_reference")
  found = dict(
    (name, value)
    for name, value, _ in reference.fields(
      inspect.getsource(config.default_config)
    )
  )
  filled = config.default_config()
  for section in ("data", "augment", "optimizer", "train", "eval"):
    for name in filled[section]:
      assert f"{section}.{name}" in found, (section, name)


@pytest.mark.parametrize(
  ("link", "rewritten"),
  [
    ("[a](../results/returns/README.md#x)", "[a](/results/returns.md#x)"),
    ("[a](../LICENSE)", "[a](path:../LICENSE)"),
    ("![a](../results/p.png)", "![a](../results/p.png)"),
    ("[a](how_to/own_data.md)", "[a](/how_to/own_data.md)"),
    ("[a](../configs/)", "[a]"),
    ("[a](https://x.org) [b](#c)", "[a](https://x.org) [b](#c)"),
  ],
)
def test_links_that_leave_the_site_become_pages_or_downloads(
  extension, link, rewritten
):
  links = extension("repository_links")
  app = types.SimpleNamespace(repository_pages=links.pages(FOLDER.parent))
  where = pathlib.PurePath("docs")
  assert links._rewritten(app, link, where, "index") == rewritten
