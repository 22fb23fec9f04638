"""Reads the package's docstrings as what they are: plain text.

They are Google style with `code` in single backticks and equations indented
between paragraphs, but no reStructuredText: `|x|` is an absolute value and
`sum_k x*` no emphasis. This turns them into what Sphinx reads, before napoleon
finds their sections. Equations and commands become literal blocks.
"""

import re

from sphinx.domains.python import PyObject

_SECTION = re.compile(
  r"(Args|Returns|Yields|Raises|Attributes|Examples?|References?|Notes?):"
)
# What has a colon in its first line need not begin with a type.
_PROSE = ("Returns", "Yields")
_COLON = "\ue000"
_CODE = re.compile(r"(`[^`]+ <https?://[^`]+>`_|`+[^`]+`+)")
_ENTRY = re.compile(r"\*{1,2}\w+:")
_BULLET = re.compile(r"[*-] |\d+\. ")


def setup(app):
  """Connects both passes around napoleon's own, which has 500."""
  app.connect("autodoc-process-docstring", _before, priority=100)
  app.connect("autodoc-process-docstring", _after, priority=900)
  app.connect("autodoc-skip-member", _skip)
  for field in PyObject.doc_field_types:
    if field.name == "variable":
      field.label = "Attributes"
  return {"parallel_read_safe": True}


def _before(app, what, name, obj, options, lines):
  lines[:] = plain(lines)


def _after(app, what, name, obj, options, lines):
  lines[:] = [line.replace(_COLON, ":") for line in lines]


def _skip(app, what, name, obj, skip, options):
  # The fields of named tuples are in their class's list.
  return True if type(obj).__name__ == "_tuplegetter" else None


def plain(lines):
  """The lines of a docstring as reStructuredText.

  Args:
    lines: Without the indentation that all of them share.

  Returns:
    The lines, with the same sections.
  """
  result, section = [], ""
  for block in _blocks(lines):
    head = _SECTION.fullmatch(block[0])
    if head:
      section = head[1]
      result.append(block[0])
      block = block[1:]
    if not block:
      continue
    indent = _indent(block[0])
    text = block[0].strip()
    # Entries and their text are indented by 2 and 4 inside a section.
    level = {"": 0, "Args": 4, "Attributes": 4, "Raises": 4}.get(section, 2)
    if text.startswith(">>>"):
      result += block
    elif indent > level and not head and not _BULLET.match(text):
      margin = " " * level
      result += [f"{margin}.. code-block:: none", ""]
      result += [f"  {line}" for line in block]
    else:
      result += _escaped(block, prose=bool(head) and section in _PROSE)
    result.append("")
  return result


def _blocks(lines):
  """Runs of lines without a blank one; a section's head begins a new one."""
  block = []
  for line in [*lines, ""]:
    if line.strip():
      if block and _SECTION.fullmatch(line):
        yield block
        block = []
      block.append(line.rstrip())
    elif block:
      yield block
      block = []


def _escaped(block, prose):
  lines = []
  text = "\n".join(block)
  if prose:
    first, newline, rest = text.partition("\n")
    text = first.replace(":", _COLON) + newline + rest
  parts = _CODE.split(text)
  for place, part in enumerate(parts):
    if not part.startswith("`"):
      parts[place] = _escape(part)
    elif part.endswith(">`_"):
      continue
    else:
      code = part.strip("`").strip()
      before = parts[place - 1][-1:] if place else ""
      after = parts[place + 1][:1] if place + 1 < len(parts) else ""
      left = "\\ " if before.isalnum() else ""
      right = "\\ " if after.isalnum() else ""
      parts[place] = f"{left}``{code}``{right}"
  for line in "".join(parts).split("\n"):
    lines.append(line)
  return lines


def _escape(text):
  """Takes the meaning from what reStructuredText would read as markup."""
  lines = []
  for line in text.split("\n"):
    body = line.lstrip()
    kept = _ENTRY.match(body) or _BULLET.match(body)
    start = kept.end() if kept else 0
    rest = re.sub(r"([*|\\])", r"\\\1", body[start:])
    rest = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", rest)
    lines.append(line[: len(line) - len(body)] + body[:start] + rest)
  return "\n".join(lines)


def _indent(line):
  return len(line) - len(line.lstrip())
