"""The page says what the rows say, escapes what they name, and is one file."""

import math
import re
import statistics

import page_runs
import pytest

from jaxrobust import evaluation
from jaxrobust.report import page

EVIL = "<b>bold</b> & \"quoted\" 'name' {{ 7 * 7 }}"
LEVELS = {"standard": (0.9, 0.91, 0.95), EVIL: (0.8, 0.84, 0.82)}


def study_rows():
  rows = []
  for method, levels in LEVELS.items():
    fed = "clean" if method == "standard" else "clean+gaussian"
    for seed, level in enumerate(levels):
      run = f"mnist/mlp/{method}/{seed}"
      rows += page_runs.tests_of(run, method, seed, level, trained_on=fed)
  return rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
  folder = page_runs.write(tmp_path_factory.mktemp("runs") / "s", study_rows())
  out = page.write_page([folder], folder.parent / "new" / "page.html")
  text = out.read_text(encoding="utf-8")
  assert [path.name for path in out.parent.iterdir()] == ["page.html"]
  return text, page_runs.Document(text)


def test_the_page_needs_no_network_and_no_other_file(study):
  _, document = study
  for tag, attributes in document.attributes:
    for name in ("src", "href", "srcset", "data", "action", "xlink:href"):
      target = attributes.get(name, "")
      assert target.startswith(("data:", "#")) or not target, (tag, target)
  assert not re.search(r"@import|url\((?!data:)|fetch\(|XMLHttp", study[0])
  assert "http" not in study[0]


def test_names_are_text_and_never_markup(study):
  text, document = study
  assert "<b>bold" not in text
  assert "49" not in document.table("trained on")[EVIL]["trained on"]
  assert any(EVIL in words for words in document.words)


def test_means_and_spreads_are_those_of_the_seeds(study):
  line = study[1].table("trained on")
  for method, levels in LEVELS.items():
    clean = 100 * statistics.mean(levels), 100 * statistics.stdev(levels)
    noisy = clean[0] - 20  # The mean of strengths 0.1 and 0.3.
    assert line[method]["seeds"] == "3"
    found = line[method]["cleann = 1,000"]
    assert found == f"{clean[0]:.1f} ± {clean[1]:.1f}"
    found = line[method]["gaussiann = 1,000"].removesuffix(" ◆")
    assert found == f"{noisy:.1f} ± {clean[1]:.1f}"


def test_the_mark_is_where_a_method_was_trained_on_the_noise(study):
  lines = study[1].table("trained on")
  assert "◆" in lines[EVIL]["gaussiann = 1,000"]
  assert "◆" not in lines["standard"]["gaussiann = 1,000"]
  assert "◆" not in lines[EVIL]["cleann = 1,000"]
  assert any("hollow markers" in words for words in study[1].words)


def test_corruptions_have_a_mean_over_severities_and_each(study):
  tables = [table for table in study[1].tables if "fog" in table[0]]
  assert len(tables) == 3  # The mean, and severities 1 and 3.
  mean = 100 * statistics.mean(LEVELS["standard"])
  for table, loss in zip(tables, (20, 10, 30), strict=True):
    assert table[0] == ["method", "mean", "fog", "snow"]
    assert table[1] == ["standard", *[f"{mean - loss:.1f}"] * 3]


def test_the_worst_attack_comes_first(study):
  head = next(t for t in study[1].tables if "worst case" in t[0][1])
  mean = 100 * statistics.mean(LEVELS["standard"])
  assert [h.replace("\xa0", " ") for h in head[0][1:3]] == [
    "worst caseof 2, eps 0.1",
    "worst caseof 2, eps 0.2",
  ]
  assert head[1][1].startswith(f"{mean - 30:.1f}")
  assert head[1][2].startswith(f"{mean - 40:.1f}")


def test_certified_accuracy_is_given_radius_by_radius(study):
  line = study[1].table("abstained")["standard"]
  mean = statistics.mean(LEVELS["standard"])
  assert list(line) == [
    "method",
    "smoothed accuracy",
    "abstained",
    "certified accuracyradius 0",
    "certified accuracyradius 0.5",
  ]
  assert line["smoothed accuracy"].startswith(f"{100 * mean - 1:.1f} ± ")
  assert line["abstained"] == "2.0 ± 0.0"
  found = line["certified accuracyradius 0.5"]
  assert found.startswith(f"{100 * mean - 50:.1f} ± ")


def test_of_many_methods_each_kind_is_in_the_foreground(tmp_path):
  fed = {"standard": "clean", "noisy": "gaussian", "attacked": "adversarial"}
  fed |= {f"heavy{number}": "alpha_stable" for number in range(6)}
  rows = [
    page_runs.row(f"g/{m}/0", m, 0, name, strength, "accuracy", 0.9 - 0.1 * k)
    | {"trained_on": kind}
    for k, (m, kind) in enumerate(sorted(fed.items(), reverse=True))
    for name, strength in (("clean", 0.0), ("uniform", 0.1))
  ]
  document = page_runs.page_of(tmp_path, rows)
  pressed = [
    attributes["aria-pressed"] == "true"
    for tag, attributes in document.attributes
    if tag == "button" and "data-m" in attributes
  ]
  shown = [
    m for m, on in zip(sorted(fed, reverse=True), pressed, strict=True) if on
  ]
  assert len(shown) == 7
  assert {"standard", "noisy", "attacked", "heavy5"} <= set(shown)
  assert "heavy0" not in shown


def test_the_csv_of_a_figure_holds_its_rows(study):
  _, document = study
  files = document.files()
  head, *lines = files["mnist-mlp-gaussian.csv"]
  assert tuple(head) == evaluation.COLUMNS
  expected = [
    ["" if row[c] is None else str(row[c]) for c in head]
    for row in study_rows()
    if row["metric"] == "accuracy"
    and row["perturbation"] in ("gaussian", "clean")
  ]
  assert sorted(lines) == sorted(expected)
  assert len(files["s-results.csv"]) == 1 + len(study_rows())


def test_every_figure_and_table_has_a_file_and_every_chart_an_alt_text(study):
  tags = [tag for tag, _ in study[1].attributes]
  charts = [
    attributes
    for tag, attributes in study[1].attributes
    if tag == "svg" and attributes["class"] == "chart"
  ]
  links = [a for t, a in study[1].attributes if t == "a" and "download" in a]
  assert len(links) == len(charts) + len(study[1].tables) + 1
  assert len(charts) == tags.count("figure") > 5
  for attributes in charts:
    assert attributes["role"] == "img"
    assert "standard" in attributes["aria-label"]


def test_every_topic_that_has_rows_is_there(study):
  words = "\n".join(study[1].words)
  for title in (
    "All methods",
    "Accuracy against the strength of noise",
    "Common corruptions",
    "Attacks",
    "Calibration",
    "reliability diagram",
    "Certified accuracy",
    "Curvature, sparsity and the network",
    "Every number",
  ):
    assert title in words
  assert "Examples" not in words
  assert "Training" not in words


def test_topics_without_rows_are_left_out(tmp_path):
  row = page_runs.row("r", "m", 0, "clean", 0.0, "accuracy", 0.5)
  words = "\n".join(page_runs.page_of(tmp_path, [row], title="One <row>").words)
  assert "One <row>" in words
  for title in ("strength of noise", "corruptions\n", "Attacks", "Calibration"):
    assert title not in words


def test_numbers_that_are_none_are_shown_as_such(tmp_path):
  rows = [
    page_runs.row(f"g/{m}/{s}", m, s, "clean", 0.0, "accuracy", value)
    for m, s, value in (
      ("good", 0, 0.5),
      ("good", 1, 0.7),
      ("broken", 0, math.nan),
      ("broken", 1, 0.7),
      ("lacking", 0, None),
    )
  ]
  rows.append(
    page_runs.row("g/good/0", "good", 0, "uniform", 0.1, "accuracy", 0.4)
  )
  rows.append(
    page_runs.row("g/good/0", "good", 0, "clean", 0.0, "nll", math.inf)
  )
  document = page_runs.page_of(
    tmp_path, [{**r, "value": _text(r["value"])} for r in rows]
  )
  lines = document.table("trained on")
  column = "cleann = 1,000"
  assert lines["good"][column] == "60.0 ± 14.1"
  assert lines["broken"][column] == "NaN"
  assert lines["lacking"][column] == "NaN"
  assert lines["broken"]["uniformn = 1,000"] == "–"
  assert document.table("NLLclean")["good"]["NLLclean"] == "∞"


def _text(value):
  return "" if value is None else value


def test_a_mean_that_lacks_a_test_says_so(tmp_path):
  rows = [
    page_runs.row(f"g/{m}/0", m, 0, "gaussian", std, "accuracy", 0.5)
    for m, std in (("all", 0.1), ("all", 0.2), ("some", 0.1))
  ]
  lines = page_runs.page_of(tmp_path, rows).table("trained on")
  assert lines["some"]["gaussiann = 1,000"] == "50.0*"
  assert lines["all"]["gaussiann = 1,000"] == "50.0"
