"""Split expressions, against Python's own slicing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrobust.data import DataError, parse_split


@pytest.mark.parametrize(
  ("expression", "base", "bounds"),
  [
    ("train", "train", (0, 60_000)),
    ("train[:90%]", "train", (0, 54_000)),
    ("train[90%:]", "train", (54_000, 60_000)),
    ("train[5000:]", "train", (5_000, 60_000)),
    ("test[:1000]", "test", (0, 1_000)),
    ("train[-1000:]", "train", (59_000, 60_000)),
    ("train[10%:-10%]", "train", (6_000, 54_000)),
    ("val[:]", "val", (0, 60_000)),
  ],
)
def test_the_documented_forms_are_read(expression, base, bounds):
  split = parse_split(expression)
  assert (split.base, split.bounds(60_000)) == (base, bounds)


@given(st.integers(100, 100_000), st.integers(1, 99))
def test_two_parts_at_one_percentage_are_the_whole(size, percent):
  first = parse_split(f"train[:{percent}%]").bounds(size)
  second = parse_split(f"train[{percent}%:]").bounds(size)
  assert [*range(*first), *range(*second)] == list(range(size))


@given(st.integers(1, 50), st.data())
def test_counts_mean_what_they_mean_in_python(size, data):
  bound = st.none() | st.integers(-size, size)
  start, stop = data.draw(bound), data.draw(bound)
  text = ":".join("" if end is None else str(end) for end in (start, stop))
  expected = range(size)[start:stop]
  split = parse_split(f"train[{text}]")
  if len(expected) == 0:
    with pytest.raises(DataError, match="is empty"):
      split.bounds(size)
  else:
    assert range(*split.bounds(size)) == expected


@pytest.mark.parametrize(
  "expression",
  ["", "train[", "train[:90%", "train[5]", "train[a:]", "train[:1.5%]", "a+b"],
)
def test_anything_else_is_an_error_of_one_line(expression):
  with pytest.raises(DataError, match="is not understood") as caught:
    parse_split(expression)
  assert "\n" not in str(caught.value)


def test_a_bound_beyond_the_split_is_refused():
  with pytest.raises(DataError, match=r"'train\[:20\]' has bound 20; allowed"):
    parse_split("train[:20]").bounds(10)
  with pytest.raises(DataError, match="-100% to 100%"):
    parse_split("train[:101%]").bounds(10)
