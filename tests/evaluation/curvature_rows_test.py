"""The rows of curvature: right numbers of images, and none twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import evaluation, methods, models

SUBJECT = evaluation.Subject("run", "m", 0, 5, "d", "test", 40, "clean")
CELLS = evaluation.curvature_cells(12, [0.01, 0.1], [0.05])
RNG = np.random.default_rng(0)


class Measured:
  """What is measured, made up; and how often it was."""

  def __init__(self):
    self.asked = []
    self.values = {}

  def __call__(self, cell):
    self.asked.append((cell.kind, cell.strength))
    model = models.build("mlp", num_classes=3, hidden=(4,))
    variables = model.init(jax.random.key(0), jnp.ones((1, 5)))
    forward = methods.build(methods.preset("standard"), (5,)).forward
    steps = evaluation.make_curvature_steps(model, forward, False, probes=2)
    batch = {"inputs": jnp.ones((2, 5)), "index": jnp.arange(2)}
    batch["labels"] = jnp.asarray([0, 2])
    shapes = jax.eval_shape(
      getattr(steps, cell.kind), variables, batch, jax.random.key(0), 0.1
    )
    values = {}
    for name, shape in shapes.items():
      assert shape.shape == (2,)
      values[name] = RNG.exponential(size=12)
      if shape.dtype == jnp.int32:
        values[name] = RNG.integers(8, 11, size=12)
    return self.values.setdefault((cell.kind, cell.strength), values)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  path = tmp_path_factory.mktemp("rows") / "results.csv"
  measured = Measured()
  head = np.asarray([[3.0, 0.0], [0.0, 4.0]])
  results = evaluation.Results(path)
  done = list(
    evaluation.measure_curvature(SUBJECT, measured, CELLS, results, head)
  )
  assert done == CELLS
  return path, measured, head


def test_rows_say_their_h_or_std_and_have_means_and_medians(written):
  path, measured, _ = written
  rows = evaluation.read_rows(path)
  values = {(row["strength"], row["metric"]): row["value"] for row in rows}
  assert len(values) == len(rows)
  assert {row["perturbation"] for row in rows} == {"curvature"}
  for h in (0.01, 0.1):
    found = measured.values["difference", h]["finite_difference"]
    assert values[h, "finite_difference"] == pytest.approx(found.mean())
    assert values[h, "finite_difference_median"] == np.median(found)
  found = measured.values["hessian", 0.0]["lanczos_top"]
  assert values[0.0, "lanczos_top_median"] == np.median(found)
  stability = measured.values["noise", 0.05]["feature_stability"].mean()
  assert values[0.05, "feature_bound"] == pytest.approx(
    2 * 5**2 / 0.05**4 * stability
  )


def test_groups_have_their_own_number_of_images(written):
  path, measured, _ = written
  counts = measured.values["noise", 0.05]["robustness_count"]
  exact = measured.values["hessian", 0.0]["gauss_newton_frobenius_squared"]
  groups = {
    row["metric"]: row
    for row in evaluation.read_rows(path)
    if "(count=" in row["metric"]
  }
  assert len(groups) == len(set(counts))
  for count in set(counts):
    row = groups[f"gauss_newton_frobenius_squared(count={count})"]
    assert row["n_examples"] == (counts == count).sum()
    assert row["value"] == pytest.approx(exact[counts == count].mean())
  others = [r for r in evaluation.read_rows(path) if r["metric"] not in groups]
  assert {row["n_examples"] for row in others} == {12}
  (pearson,) = (r["value"] for r in others if r["metric"] == "pearson")
  assert pearson == pytest.approx(np.corrcoef(exact, counts)[0, 1])


def test_what_is_there_is_not_measured_again(written):
  path, _, head = written
  before = path.read_text()
  again = Measured()
  results = evaluation.Results(path)
  arguments = SUBJECT, again, CELLS, results, head
  assert list(evaluation.measure_curvature(*arguments)) == CELLS
  assert not again.asked
  assert path.read_text() == before


def test_a_kill_within_a_measurement_is_made_good(written, tmp_path):
  """The noise's rows need the Hessian of the images again, and no more."""
  path, measured, head = written
  lines = path.read_text().splitlines(keepends=True)
  cut = tmp_path / "results.csv"
  cut.write_text("".join(lines[:-3]))
  again = Measured()
  again.values = measured.values
  arguments = SUBJECT, again, CELLS, evaluation.Results(cut), head
  list(evaluation.measure_curvature(*arguments))
  assert again.asked == [("noise", 0.05), ("hessian", 0.0)]
  assert cut.read_text() == path.read_text()


def test_without_a_linear_head_there_is_no_bound_by_the_features(tmp_path):
  path = tmp_path / "results.csv"
  arguments = SUBJECT, Measured(), CELLS[-1:], evaluation.Results(path)
  list(evaluation.measure_curvature(*arguments))
  metrics = {row["metric"] for row in evaluation.read_rows(path)}
  assert "feature_stability" in metrics
  assert "feature_bound" not in metrics


def test_no_examples_are_no_cells():
  assert evaluation.curvature_cells(0, [0.1], [0.1]) == []
  assert [cell.count(40) for cell in CELLS] == [12] * 4
