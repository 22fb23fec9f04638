"""The page in a real browser: sorted, folded, drawn, printed, and silent."""

import pathlib

import chromium
import numpy as np
import page_runs
import pytest
from PIL import Image

from jaxrobust import evaluation
from jaxrobust.report import page

pytestmark = pytest.mark.skipif(
  chromium.find() is None,
  reason=f"none of {', '.join(chromium.NAMES)} is on the PATH",
)

LONG = "a method with a name, alpha_stable(alpha=1.5, flip_rate=0.126), as long"
LEVELS = {"standard": 0.85, "gaussian": 0.95, LONG: 0.9} | {
  f"other{number}": 0.7 - 0.01 * number for number in range(7)
}
FIRST = "#section-1 > .topic:first-of-type"


def write_page(folder: pathlib.Path) -> pathlib.Path:
  """A page with a study of ten methods, and a run with all its files."""
  rows = []
  for method, level in LEVELS.items():
    for seed in range(2):
      run = f"mnist/mlp/{method}/{seed}"
      rows += page_runs.tests_of(run, method, seed, level - 0.01 * seed)
  # A number that is none is last whatever the direction.
  for row in rows:
    clean = row["perturbation"], row["metric"]
    if row["method"] == "other3" and clean == ("clean", "accuracy"):
      row["value"] = float("nan")
  study = page_runs.write(folder / "study", rows)
  rows = page_runs.tests_of("one", "standard", 3, 0.9)
  run = page_runs.write_run(folder / "one", rows)
  images = np.random.default_rng(0).random((8, 16, 16, 3))
  for std in (0.1, 0.3):
    evaluation.save_examples(run / "examples", "gaussian", std, None, images)
  return page.write_page([study, run], folder / "page.html")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  return write_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
  with chromium.Browser() as found:
    yield found


@pytest.fixture
def opened(browser, path):
  browser.look(1280)
  browser.open(path)
  yield browser
  assert browser.complaints() == []


def lines(browser):
  """The first column of the first table, from above."""
  return browser.evaluate(
    f"[...document.querySelectorAll('{FIRST} tbody th')]"
    ".map(node => node.textContent)"
  )


def head(number):
  return f"{FIRST} thead th:nth-child({number})"


def sort_of(browser, number):
  return browser.evaluate(
    f"document.querySelector('{head(number)}').getAttribute('aria-sort')"
  )


def test_a_click_sorts_a_table_and_another_turns_it(opened):
  by_level = sorted(set(LEVELS) - {"other3"}, key=LEVELS.__getitem__)
  assert lines(opened) == list(LEVELS)
  opened.click(head(4) + " button")
  assert lines(opened) == [*reversed(by_level), "other3"]
  assert sort_of(opened, 4) == "descending"
  opened.click(head(4) + " button")
  assert lines(opened) == [*by_level, "other3"]
  assert sort_of(opened, 4) == "ascending"
  opened.click(head(1) + " button")
  assert lines(opened)[0] == LONG
  assert sort_of(opened, 1) == "ascending"
  assert sort_of(opened, 4) is None


def test_the_keyboard_sorts_too(opened):
  opened.evaluate(f"document.querySelector('{head(4)} button').focus()")
  opened.press("Enter", 13)
  assert lines(opened)[0] == "gaussian"


def test_a_click_opens_a_section_and_closes_it(opened):
  topic = "#section-1 > .topic:last-of-type"

  def seen():
    return opened.evaluate(
      f"document.querySelector('{topic} table').checkVisibility()"
    )

  assert not seen()
  opened.click(f"{topic} > summary")
  assert seen()
  opened.click(f"{topic} > summary")
  assert not seen()


def test_a_legend_brings_a_line_to_the_foreground(opened):
  def faded():
    return opened.evaluate(
      "[...document.querySelectorAll('#section-1 .line.off')].length"
    )

  before = faded()
  assert before > 0
  opened.click('#section-1 .legend button[aria-pressed="false"]')
  assert 0 < faded() < before


def test_a_link_unfolds_what_it_leads_to(opened):
  opened.evaluate("document.querySelector('#rows').open = false")
  opened.click("nav a:last-child")
  opened.evaluate("new Promise(done => setTimeout(done, 50))")
  assert opened.evaluate("document.querySelector('#rows').open")


def test_a_csv_link_holds_a_table(opened):
  text = opened.evaluate(
    "fetch(document.querySelector('figure a.csv').href).then(r => r.text())"
  )
  assert text.count("\n") > 2
  assert "," in text.splitlines()[0]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
  opened.look(width, mobile=width < 500)
  opened.evaluate("document.querySelectorAll('details').forEach(d=>d.open=1)")
  assert opened.evaluate("document.documentElement.scrollWidth") <= width
  # Only boxes that scroll by themselves hold what is wider.
  assert (
    opened.evaluate("""
    [...document.querySelectorAll('h1, h2, h3, h4, p, figure, .legend button')]
      .filter(node => node.checkVisibility()
        && node.getBoundingClientRect().right > innerWidth + 1)
      .map(node => node.textContent)
  """)
    == []
  )


def _contrast(colours):
  """The contrast of two colours "rgb(r, g, b)", by WCAG."""
  luminances = []
  for colour in colours:
    values = colour[colour.index("(") + 1 : -1].split(",")[:3]
    parts = np.asarray([float(v) / 255 for v in values])
    linear = np.where(
      parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4
    )
    luminances.append(float(linear @ (0.2126, 0.7152, 0.0722)))
  low, high = sorted(luminances)
  return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out_in_both_schemes(opened, tmp_path, scheme):
  opened.look(1280, scheme=scheme)
  card = opened.evaluate(
    "getComputedStyle(document.querySelector('.section')).backgroundColor"
  )
  assert (_contrast([card, "rgb(255, 255, 255)"]) < 1.1) == (scheme == "light")
  for selector, least in (("td", 7.0), (".note", 4.5), ("a.csv", 4.5)):
    colour = opened.evaluate(
      f"getComputedStyle(document.querySelector('{selector}')).color"
    )
    assert _contrast([card, colour]) >= least, selector
  strokes = opened.evaluate("""
    [...document.querySelectorAll('.line:not(.off) .stroke')]
      .map(node => getComputedStyle(node).stroke)
  """)
  assert len(set(strokes)) == 6
  assert min(_contrast([card, stroke]) for stroke in set(strokes)) >= 3.0
  picture = tmp_path / f"{scheme}.png"
  opened.screenshot(picture)
  with Image.open(picture) as image:
    pixels = np.asarray(image.convert("L"))
  assert pixels.shape[1] == 1280
  assert (np.median(pixels) > 200) == (scheme == "light")
  assert pixels.std() > 5


def test_on_paper_everything_is_open_and_then_as_it_was(opened, tmp_path):
  opened.look(1280, scheme="dark")
  opened.evaluate("""
    window.seen = [];
    addEventListener('beforeprint', () => {
      window.seen.push(document.querySelectorAll('details:not([open])').length);
    });
  """)
  closed = "document.querySelectorAll('details:not([open])').length"
  before = opened.evaluate(closed)
  assert before > 0
  paper = tmp_path / "page.pdf"
  opened.print(paper)
  assert paper.read_bytes().startswith(b"%PDF")
  assert opened.evaluate("window.seen") == [0]
  assert opened.evaluate(closed) == before
