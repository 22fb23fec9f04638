"""The level schedule: which level holds when."""

import jax
import numpy as np
import pytest

from jaxrobust import inverse_scale

SCHEDULE = inverse_scale.LevelSchedule((0.1, 0.5, 0.3), starts=(0, 0.25, 0.9))


def test_a_level_holds_from_its_start_until_the_next():
  shares = (0.0, 0.2, 0.25, 0.89, 0.9, 1.0)
  assert [SCHEDULE.stage(share) for share in shares] == [0, 0, 1, 1, 2, 2]


def test_the_traced_fraction_is_that_of_the_stage():
  fraction = jax.jit(SCHEDULE.fraction)
  for share in np.linspace(0, 1, 41):
    expected = SCHEDULE.fractions[SCHEDULE.stage(share)]
    assert float(fraction(share)) == pytest.approx(expected)


def test_levels_are_equally_long_by_default():
  schedule = inverse_scale.LevelSchedule((0.2, 0.4, 0.6, 0.8))
  assert schedule.starts == (0, 0.25, 0.5, 0.75)


@pytest.mark.parametrize(
  ("fractions", "starts", "words"),
  [
    ((), (), r"fractions=\(\): must be one number or more, in \[0, 1\]"),
    ((0.2, 1.5), (), r"fractions=\(0.2, 1.5\): must"),
    ((0.2, 0.4), (0.0,), r"starts=\(0.0,\): must be 2 numbers, rising from 0"),
    ((0.2, 0.4), (0.1, 0.5), "must be 2 numbers, rising from 0"),
    ((0.2, 0.4), (0.0, 0.0), "must be 2 numbers, rising from 0"),
    ((0.2, 0.4), (0.0, 1.0), "must be 2 numbers, rising from 0 and below 1"),
  ],
)
def test_a_schedule_out_of_range_is_refused(fractions, starts, words):
  with pytest.raises(ValueError, match=words):
    inverse_scale.LevelSchedule(fractions, starts)
