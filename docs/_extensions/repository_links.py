"""Links of Markdown files that leave `docs/`, and the pages outside it.

The sources link to each other by relative paths, as they lie in the repository.
Some files outside `docs/` are pages of the site, because a page includes them:
links lead to those pages. Other files are offered as downloads; folders lose
their link.
"""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
_FENCE = re.compile(r"^(```|:::)")
_LINK = re.compile(r"(!\[[^\]]*)?\]\(([^)\s#]*)(#?)([^)\s]*)\)")
_INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)


def setup(app):
  """Connects the two events at which Markdown is read."""
  app.connect("builder-inited", _find_pages)
  app.connect("source-read", _page)
  app.connect("include-read", _included)
  return {"parallel_read_safe": True}


def pages(source):
  """Which files outside `docs/` are included by a page.

  Args:
    source: The folder `docs/`.

  Returns:
    {path from the repository's root: the page's path from `docs/`}.
  """
  found = {}
  for page in sorted(source.rglob("*.md")):
    for target in _INCLUDE.findall(page.read_text(encoding="utf-8")):
      path = os.path.normpath(page.parent / target)
      found[os.path.relpath(path, ROOT)] = str(page.relative_to(source))
  return found


def _find_pages(app):
  app.repository_pages = pages(pathlib.Path(app.srcdir))


def _page(app, docname, content):
  where = pathlib.PurePath("docs", docname).parent
  content[0] = _rewritten(app, content[0], where, docname)


def _included(app, path, parent, content):
  docname = app.env.docname  # The event's parent lacks its folder.
  where = pathlib.PurePath(
    os.path.relpath(pathlib.Path(app.srcdir) / path, ROOT)
  ).parent
  content[0] = _rewritten(app, content[0], where, docname)


def _rewritten(app, text, where, docname):
  """The text with its links as they must be on the page `docname`."""
  here = pathlib.PurePath("docs", docname).parent

  def link(match):
    image, target, hash_, anchor = match.groups()
    scheme = "" if image else "path:"
    if not target or ":" in target:
      return match[0]
    path = os.path.normpath(where / target)
    if path in app.repository_pages:
      path = f"docs/{app.repository_pages[path]}"
    before = image or ""
    if path.startswith("docs/") and path.endswith(".md"):
      return f"](/{path.removeprefix('docs/')}{hash_}{anchor})"
    if (ROOT / path).is_dir():
      return "]"
    return f"{before}]({scheme}{os.path.relpath(path, here)})"

  lines, inside = [], False
  for line in text.split("\n"):
    if _FENCE.match(line):
      inside = not inside
    lines.append(line if inside else _LINK.sub(link, line))
  return "\n".join(lines)
