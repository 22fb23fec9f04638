"""Directives for what the package says of itself: fields, parts, commands."""

import ast
import contextlib
import inspect
import io
import os
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from plain_docstrings import plain

_VERB = re.compile(r"^    ([a-z][\w-]*)(?: {2,}|$)", re.MULTILINE)


def setup(app):
  """Adds the directives."""
  app.add_directive("config-fields", ConfigFields)
  app.add_directive("config-parts", ConfigParts)
  app.add_directive("models-table", Models)
  app.add_directive("command-helps", CommandHelps)
  return {"parallel_read_safe": True}


class _Generated(Directive):
  """A directive whose content is reStructuredText made by `lines`."""

  def run(self):
    node = nodes.container()
    text = StringList(list(self.lines()), source="generated")
    self.state.nested_parse(text, self.content_offset, node)
    return node.children


class ConfigFields(_Generated):
  """Tables of `default_config`: every field with its default and comment."""

  def lines(self):
    """Yields the text, read from the function's source."""
    from jaxrobust.training import config

    source = inspect.getsource(config.default_config)
    sections = {}
    for field, value, comment in fields(source):
      section, _, name = field.rpartition(".")
      sections.setdefault(section, []).append((name, value, comment))
    for section, rows in sections.items():
      title = f"config.{section}" if section else "config"
      yield from (f".. rubric:: ``{title}``", "")
      yield from table(("field", "default", "meaning"), rows)


def fields(source):
  """The plain assignments to `config` in a function, with their comments.

  Args:
    source: The function's source.

  Yields:
    (name without "config.", source of the value, comment).
  """
  lines = source.splitlines()
  for node in ast.walk(ast.parse(source)):
    if not isinstance(node, ast.Assign):
      continue
    name = ast.unparse(node.targets[0])
    value = ast.unparse(node.value)
    if not name.startswith("config.") or "(" in value.partition("'")[0][1:]:
      continue  # A section, or another's table of fields.
    last = lines[node.end_lineno - 1][node.end_col_offset :]
    comment = last.partition("#")[2].strip()
    yield name.removeprefix("config."), value, comment


class ConfigParts(_Generated):
  """The parts of a slot of the method: a key of `method.SLOTS`."""

  required_arguments = 1

  def lines(self):
    """Yields each part with the documentation of its function."""
    from jaxrobust.methods import method

    for name, function in method.SLOTS[self.arguments[0]].items():
      if name == "none":
        continue
      yield from (f".. rubric:: ``{name}``", "")
      path = f"{function.__module__}.{function.__qualname__}"
      yield from (f".. autofunction:: {path}", "   :no-index:", "")


class Models(_Generated):
  """The models by name, with their options and what they are."""

  def lines(self):
    """Yields a table."""
    from jaxrobust import models

    rows = []
    for name, module in models.MODELS.items():
      options = ", ".join(
        f"``{option}``" for option in sorted(models.options(name))
      )
      summary = inspect.getdoc(module).partition("\n\n")[0]
      rows.append((name, options, " ".join(plain(summary.split("\n")))))
    yield from table(("name", "what it is", "options"), [
      (name, summary, options) for name, options, summary in rows
    ])  # fmt: skip


class CommandHelps(_Generated):
  """What every verb of the command says with `--help`."""

  def lines(self):
    """Yields the texts, the command's own first."""
    from jaxrobust import commands

    def help_of(*words):
      text = io.StringIO()
      columns = os.environ.get("COLUMNS")
      os.environ["COLUMNS"] = "79"
      try:
        with contextlib.redirect_stdout(text):
          commands.main([*words, "--help"])
      finally:
        if columns is None:
          del os.environ["COLUMNS"]
        else:
          os.environ["COLUMNS"] = columns
      return text.getvalue()

    own = help_of()
    for words in ([], *([verb] for verb in _VERB.findall(own))):
      yield from (f".. rubric:: ``{' '.join(['jaxrobust', *words])}``", "")
      yield from (".. code-block:: none", "")
      yield from (f"   {line}" for line in help_of(*words).splitlines())
      yield ""


def table(heads, rows):
  """Yields a list-table; all but the last column are code, unless marked up."""
  yield from (".. list-table::", "   :header-rows: 1", "")
  for row in (heads, *rows):
    for place, cell in enumerate(row):
      code = row is not heads and place < len(row) - 1 and "`" not in cell
      code = code and " " not in cell.replace(", ", "")
      text = f"``{cell}``" if code else _inline(cell)
      yield f"   {'*' if place == 0 else ' '} - {text}".rstrip()
  yield ""


def _inline(text):
  if "``" in text:
    return text
  return " ".join(plain([text])).strip()
