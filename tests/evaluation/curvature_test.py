"""Curvature equals the Hessian's where it should, and errs as is known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curved_networks import CLASSES, gelu, hessians, inputs, keys, relu
from matfree import decomp
from scipy.sparse import linalg

from jaxrobust import evaluation

COUNT = 6
IMAGES, LABELS = inputs(COUNT)
KEYS = keys(COUNT)
NETS = {"relu": relu, "gelu": gelu}


@functools.cache
def spectrum(net):
  """Eigenvalues of every example's Hessian, [N, n] rising."""
  return np.linalg.eigvalsh(hessians(NETS[net], IMAGES, LABELS))


def measured(name, net, keys=KEYS, images=IMAGES, labels=LABELS, **options):
  @jax.jit
  def run(keys, images, labels):
    function = getattr(evaluation, name)
    return function(keys, NETS[net], images, labels, **options)

  return jax.tree.map(np.asarray, run(keys, images, labels))


def exact(net, images=IMAGES):
  run = jax.jit(lambda x: evaluation.gauss_newton(NETS[net], x))
  return jax.tree.map(np.asarray, run(images))


def test_the_spectrum_of_a_relu_network_is_that_of_its_hessian():
  found, true = exact("relu"), spectrum("relu")[:, ::-1]
  assert found.eigenvalues.shape == (COUNT, CLASSES)
  top = true[:, :1]
  np.testing.assert_allclose(
    found.eigenvalues / top, true[:, :CLASSES] / top, rtol=1e-4, atol=2e-6
  )
  np.testing.assert_allclose(found.top, top[:, 0], rtol=1e-5)
  np.testing.assert_allclose(found.trace, true.sum(1), rtol=1e-5)
  norm = (true**2).sum(1)
  np.testing.assert_allclose(found.frobenius_squared, norm, rtol=2e-5)


def test_of_a_gelu_network_it_is_the_part_without_its_own_curvature():
  def loss(logits, label):
    return jax.nn.logsumexp(logits) - logits[label]

  flat = IMAGES.reshape((COUNT, -1))
  jacobian = jax.vmap(jax.jacrev(lambda x: gelu(x.reshape(1, 8, 8, 3))[0]))
  j = np.asarray(jacobian(flat), np.float64)
  inner = np.asarray(jax.vmap(jax.hessian(loss))(gelu(IMAGES), LABELS))
  true = np.einsum("nki,nkl,nlj->nij", j, inner, j)
  found = exact("gelu")
  norm = (true**2).sum((1, 2))
  np.testing.assert_allclose(found.frobenius_squared, norm, rtol=1e-4)
  whole = (spectrum("gelu") ** 2).sum(1)
  ratio = found.frobenius_squared / whole
  assert (np.abs(ratio - 1) > 0.005).all()
  assert ratio[0] == pytest.approx(0.93, abs=0.02)


def test_it_does_not_lose_a_sure_network_to_rounding():
  """One class has all but 1e-12 of the probability."""

  def logits_fn(x):
    return jnp.stack([x[:, 0] + 100.0, 1e3 * x[:, 1] + 100 - 27.6], axis=1)

  found = evaluation.gauss_newton(logits_fn, jnp.zeros((1, 2)))
  p = math.exp(-27.6)
  assert found.top[0] == pytest.approx(p * (1 - p) * (1 + 1e6), rel=1e-4)
  assert found.eigenvalues.min() >= 0


def test_what_all_logits_share_has_no_curvature():
  def shifted(x):
    return relu(x) + 10 * x.sum((1, 2, 3))[:, None]

  found = evaluation.gauss_newton(shifted, IMAGES)
  np.testing.assert_allclose(found.top, exact("relu").top, rtol=5e-3)


@pytest.mark.parametrize("net", ["relu", "gelu"])
def test_probes_with_exact_products_are_unbiased(net):
  """Within five standard errors, by the known variances of both."""
  probes = 2000
  found, true = measured("hutchinson", net, probes=probes), spectrum(net)
  norm, fourth = (true**2).sum(1), (true**4).sum(1)
  error = np.sqrt(2 * fourth / probes)
  assert (np.abs(found.frobenius_squared - norm) < 5 * error).all()
  error = np.sqrt(2 * norm / probes)
  assert (np.abs(found.trace - true.sum(1)) < 5 * error).all()


def test_the_top_eigenvalue_is_that_of_the_hessian():
  for net in NETS:
    found = measured("top_eigenvalue", net, steps=16)
    np.testing.assert_allclose(found, spectrum(net)[:, -1], rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_few_steps_give_what_other_libraries_do(steps):
  """Ritz values from the same start: matfree's, one example at a time."""
  found = measured("top_eigenvalue", "gelu", steps=steps)
  whole = hessians(gelu, IMAGES, LABELS).astype(np.float32)
  tridiagonal = decomp.tridiag_sym(steps, reortho="full")
  for key, matrix, value in zip(KEYS, whole, found, strict=True):
    start = jax.random.normal(key, (1, 8, 8, 3)).ravel()
    theirs = tridiagonal(lambda v, m=matrix: m @ v, start)
    ritz = np.linalg.eigvalsh(np.asarray(theirs.J_small))
    assert value == pytest.approx(ritz[-1], rel=1e-3)


def test_a_loop_gives_what_unrolled_steps_do():
  unrolled = measured("top_eigenvalue", "gelu", steps=4, unroll=True)
  looped = measured("top_eigenvalue", "gelu", steps=4, unroll=False)
  np.testing.assert_allclose(looped, unrolled, rtol=1e-5)


@pytest.mark.parametrize("steps", [2, 10])
def test_lanczos_ends_where_the_space_does(steps):
  """Two classes and one direction: the Hessian's rank is 1, or 0."""

  def one(x):
    return jnp.stack([x[:, 0], 0 * x[:, 0]], axis=1)

  found = evaluation.top_eigenvalue(
    keys(2), one, jnp.zeros((2, 7)), jnp.zeros(2, int), steps=steps
  )
  np.testing.assert_allclose(found, 0.25, rtol=1e-5)
  flat = evaluation.top_eigenvalue(
    keys(2), lambda x: 0 * x[:, :2], jnp.zeros((2, 7)), jnp.zeros(2, int),
    steps=steps,
  )  # fmt: skip
  np.testing.assert_array_equal(flat, 0)


def test_a_hessian_below_zero_has_its_own_top():
  """Past the end of the space no zero gets in."""

  def down(x):
    # The loss of class 0 is about -|x|^2 here.
    return jnp.stack([(x**2).sum(1) + 40.0, jnp.zeros(len(x))], axis=1)

  def logits_fn(x):
    return down(x) * jnp.asarray([1.0, 1.0]) - jnp.asarray([80.0, 0.0])

  found = evaluation.top_eigenvalue(
    keys(1), logits_fn, jnp.zeros((1, 3)), jnp.zeros(1, int), steps=3
  )
  np.testing.assert_allclose(found, -2.0, rtol=1e-4)


def test_a_tiny_curvature_does_not_underflow():
  def logits_fn(x):
    return 1e-13 * jnp.stack([x @ jnp.arange(1.0, 5.0), 0 * x[:, 0]], axis=1)

  found = evaluation.top_eigenvalue(
    keys(1), logits_fn, jnp.ones((1, 4)), jnp.zeros(1, int), steps=3
  )
  np.testing.assert_allclose(found, 0.25 * 30e-26, rtol=1e-3)


@pytest.fixture(scope="module")
def sweep():
  """{net: {h: the mean over images}} of the finite difference."""
  return {
    net: {
      h: float(measured("finite_difference", net, h=h, probes=200).mean())
      for h in (3e-2, 1e-2, 3e-3, 1e-3)
    }
    for net in NETS
  }


def test_the_finite_difference_of_a_smooth_network_is_its_hessian(sweep):
  whole = (spectrum("gelu") ** 2).sum(1).mean()
  for value in sweep["gelu"].values():
    assert value == pytest.approx(whole, rel=0.2)


def test_of_a_relu_network_it_grows_like_one_over_h(sweep):
  whole = (spectrum("relu") ** 2).sum(1).mean()
  excess = {h: value - whole for h, value in sweep["relu"].items()}
  steps = sorted(excess, reverse=True)
  slope = np.polyfit(np.log(steps), np.log([excess[h] for h in steps]), 1)[0]
  assert slope == pytest.approx(-1, abs=0.25)
  assert sweep["relu"][1e-3] > 3 * whole


def test_central_differences_about_halve_the_excess():
  options = {"h": 0.003, "probes": 200}
  one = measured("finite_difference", "relu", **options).mean()
  both = measured("finite_difference", "relu", central=True, **options).mean()
  whole = (spectrum("relu") ** 2).sum(1).mean()
  assert 0.35 < (both - whole) / (one - whole) < 0.65


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("hutchinson", {"probes": 3}),
    ("finite_difference", {"probes": 3, "h": 0.03}),
    ("top_eigenvalue", {"steps": 4}),
    ("loss_variance", {"std": 0.1, "pairs": 3}),
  ],
)
def test_an_image_has_its_numbers_in_any_batch(name, options):
  whole = measured(name, "gelu", **options)
  part = [3, 1]
  alone = measured(
    name, "gelu", KEYS[np.asarray(part)], IMAGES[part], LABELS[part], **options
  )
  for one, other in zip(
    jax.tree.leaves(whole), jax.tree.leaves(alone), strict=True
  ):
    np.testing.assert_allclose(other, one[part], rtol=2e-3)


def test_the_exact_spectrum_of_an_image_is_the_same_in_any_batch():
  whole, alone = exact("relu"), exact("relu", IMAGES[[3, 1]])
  np.testing.assert_allclose(
    alone.eigenvalues, whole.eigenvalues[[3, 1]], rtol=1e-4, atol=1e-6
  )


def test_it_is_per_example_and_not_that_of_a_mean():
  """The authors' mean over a batch of B divides by B^2."""

  def mean_loss(x):
    logits = gelu(x)
    own = jnp.take_along_axis(logits, LABELS[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - own).mean()

  directions = jax.vmap(lambda k: jax.random.normal(k, (1, 8, 8, 3)))(KEYS)
  h = 0.01
  change = jax.grad(mean_loss)(IMAGES + h * directions[:, 0])
  change = (change - jax.grad(mean_loss)(IMAGES)) / h
  theirs = (change**2).sum((1, 2, 3))
  ours = measured("finite_difference", "gelu", h=h, probes=1)
  np.testing.assert_allclose(theirs * COUNT**2, ours, rtol=1e-2)


def test_curvature_is_per_unit_of_the_input():
  """The normalisation is the model's: twice the slope, four times H."""

  def steeper(x):
    return gelu(2 * x - IMAGES)

  found = evaluation.gauss_newton(steeper, IMAGES)
  np.testing.assert_allclose(found.top, 4 * exact("gelu").top, rtol=1e-3)


def test_the_whole_hessian_agrees_with_scipy():
  """An oracle that shares nothing with Lanczos of ours."""
  matrix = hessians(gelu, IMAGES[:1], LABELS[:1])[0]
  (theirs,) = linalg.eigsh(matrix, k=1, which="LA", return_eigenvectors=False)
  found = measured("top_eigenvalue", "gelu", steps=16)[0]
  assert found == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(
  ("name", "options", "words"),
  [
    ("hutchinson", {"probes": 0}, "probes=0: must be at least 1"),
    ("finite_difference", {"h": 0.0}, "h=0.0: must be a finite number > 0"),
    ("finite_difference", {"h": math.inf}, "h=inf: must be"),
    ("finite_difference", {"h": 1, "probes": 0}, "probes=0: must be"),
    ("top_eigenvalue", {"steps": 0}, "steps=0: must be at least 1"),
    ("top_eigenvalue", {"keys": KEYS[:2]}, r"keys of shape \(2,\): .*\[6\]"),
    ("loss_variance", {"std": -1.0}, "std=-1.0: must be a finite"),
    ("loss_variance", {"std": 1.0, "pairs": 1}, "pairs=1: must be at least 2"),
    ("robustness_count", {"std": 0}, "std=0: must be"),
    ("robustness_count", {"std": 1, "draws": 0}, "draws=0: must be"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(name, options, words):
  options = {"keys": KEYS, **options}
  function = getattr(evaluation, name)
  with pytest.raises(ValueError, match=words) as error:
    function(options.pop("keys"), relu, IMAGES, LABELS, **options)
  assert "\n" not in str(error.value)
