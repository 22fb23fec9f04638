"""What the pages tell their readers to type can be typed."""

import contextlib
import importlib.util
import io
import pathlib
import re
import shlex

import markdown_it
import pytest

import jaxrobust
from jaxrobust import commands, export, methods, training

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CONFIG = re.compile(r"--config=([\w/.]+\.py)(?::(\w+))?")
_FIELD = re.compile(r"--config\.([\w.]+)=")


def blocks(page, language):
  """The fenced blocks of a page in a language."""
  text = page.read_text(encoding="utf-8")
  for token in markdown_it.MarkdownIt("commonmark").parse(text):
    if token.type == "fence" and token.info.strip() == language:
      yield token.content


def with_blocks(language):
  return [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in PAGES
    if any(blocks(page, language))
  ]


@pytest.fixture
def own_tables():
  """What a page adds to the tables of parts is gone after it."""
  tables = (methods.INPUTS, methods.OBJECTIVES)
  before = [dict(table) for table in tables]
  yield
  for table, entries in zip(tables, before, strict=True):
    table.clear()
    table.update(entries)


def _small_run():
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  return training.variant(config, "quick")


@pytest.mark.parametrize("page", with_blocks("python"))
@pytest.mark.usefixtures("own_tables")
def test_the_python_blocks_of_a_page_run_one_after_the_other(
  page, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  if page.name == "export.md":
    # The page's run, and the export that its commands make.
    with contextlib.redirect_stdout(io.StringIO()):
      jaxrobust.train(_small_run(), "runs/first")
      export.export_run("runs/first", "stablehlo")
  names = {"__name__": "page"}
  with contextlib.redirect_stdout(io.StringIO()):
    for number, block in enumerate(blocks(page, "python")):
      exec(compile(block, f"{page.name}[{number}]", "exec"), names)


@pytest.fixture(scope="module")
def help_of():
  """The --help of a verb, or None if there is no such verb."""
  texts = {}

  def text_of(verb):
    if verb not in texts:
      text = io.StringIO()
      with (
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(io.StringIO()),
      ):
        code = commands.main([verb, "--help"])
      texts[verb] = None if code else text.getvalue()
    return texts[verb]

  return text_of


def command_lines(block):
  """The words of each command of a shell block."""
  for line in block.replace("\\\n", " ").splitlines():
    words = shlex.split(line, comments=True)
    if words:
      yield words


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_the_commands_of_a_page_have_their_verbs_flags_and_configs(
  page, help_of
):
  config = jaxrobust.default_config()
  for block in blocks(page, "sh"):
    for words in command_lines(block):
      line = " ".join(words)
      if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), line
      if words[0] == "jaxrobust" and words[1] != "train":
        known = help_of(words[1])
        assert known, line
        for word in words[2:]:
          flag = word.partition("=")[0]
          if flag.startswith("--") and not flag.startswith("--config."):
            assert re.search(rf"{flag}\b", known), (flag, line)
      for path, variant in _CONFIG.findall(line):
        file = ROOT / path
        assert file.exists(), line
        assert not variant or variant in ("quick", *_variants(file)), line
      for field in _FIELD.findall(line):
        found = config
        for name in field.split("."):
          assert name in found, (field, line)
          found = found[name]


def _variants(file):
  """The quoted words of a config file, its variants among them."""
  return re.findall(r'"(\w+)"', file.read_text(encoding="utf-8"))
