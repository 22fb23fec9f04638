"""The links of the repository's Markdown lead somewhere; nothing is fetched."""

import itertools
import pathlib
import re
import urllib.parse

import markdown_it
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
  path.relative_to(ROOT)
  for pattern in ("*.md", "docs/**/*.md", "results/**/*.md", "launch/**/*.md")
  for path in ROOT.glob(pattern)
)
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}")
_DIRECTIVE_PATH = re.compile(r"\{include\}\s+(\S+)")


def tokens(text):
  """All Markdown tokens, those inside paragraphs included."""
  for token in markdown_it.MarkdownIt("commonmark").enable("table").parse(text):
    yield token
    yield from token.children or ()


def links(text):
  """The targets of all links, pictures and included files of a page."""
  for token in tokens(text):
    target = token.attrs.get("href") or token.attrs.get("src")
    if target:
      yield urllib.parse.unquote(str(target))
    elif token.type == "fence":
      yield from _DIRECTIVE_PATH.findall(token.info)


def anchors(text):
  """The names that headings have on the web, as GitHub makes them."""
  found = list(tokens(text))
  for heading, inline in itertools.pairwise(found):
    if heading.type == "heading_open":
      words = re.sub(r"[^\w\- ]", "", inline.content.lower())
      yield words.strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_heading_or_a_sound_address(page):
  text = (ROOT / page).read_text(encoding="utf-8")
  for target in links(text):
    address = urllib.parse.urlsplit(target)
    if address.scheme:
      assert address.scheme == "https", target
      assert _HOST.fullmatch(address.netloc), target
      continue
    path = ROOT / page
    if address.path:
      path = (ROOT / page).parent / address.path
      assert path.exists(), target
      assert path.resolve().is_relative_to(ROOT), target
    if address.fragment:
      there = anchors(path.read_text(encoding="utf-8"))
      assert address.fragment in set(there), target


def test_the_checker_sees_links_pictures_includes_and_headings():
  text = (
    "# A `b`, c\n[x](y.md#z) ![p](q.png)\n\n"
    "| a |\n|---|\n| [t](u) |\n\n```{include} ../F.md\n```\n\n`[no](no)`\n"
  )
  assert list(links(text)) == ["y.md#z", "q.png", "u", "../F.md"]
  assert list(anchors(text)) == ["a-b-c"]
