"""When an export counts as its run."""

import numpy as np
import pytest

from jaxrobust.export.verify import agreement

LOGITS = np.asarray([[3.0, 1.0, 0.0], [0.0, 2e-5, -1.0]], np.float32)


def test_rounding_is_allowed():
  found = agreement(LOGITS, LOGITS * (1 + 1e-6), 1e-4)
  assert found.holds
  assert (found.examples, found.agreeing) == (2, 2)
  assert found.tolerance == pytest.approx(3e-4)


def test_a_tie_may_fall_either_way():
  other = LOGITS.copy()
  other[1] = [3e-5, 0.0, -1.0]
  found = agreement(LOGITS, other, 1e-4)
  assert (found.agreeing, found.contradicting, found.holds) == (1, 0, True)


def test_another_label_is_a_contradiction():
  other = LOGITS.copy()
  other[0] = [1.0, 3.0, 0.0]
  found = agreement(LOGITS, other, 1.0)
  assert (found.agreeing, found.contradicting) == (1, 0)
  found = agreement(LOGITS, other, 0.3)
  assert (found.contradicting, found.holds) == (1, False)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_a_number_on_one_side_alone_is_no_agreement(odd):
  other = LOGITS.copy()
  other[1, 2] = odd
  assert not agreement(LOGITS, other, 1e-4).holds
  assert agreement(other, other, 1e-4).holds


def test_one_kind_of_no_number_is_not_another():
  one, other = LOGITS.copy(), LOGITS.copy()
  one[1, 2], other[1, 2] = np.inf, np.nan
  assert not agreement(one, other, 1e-4).holds


def test_a_run_without_any_finite_logit_agrees_with_nothing():
  nothing = np.full_like(LOGITS, np.nan)
  assert not agreement(nothing, nothing, 1e-4).holds
