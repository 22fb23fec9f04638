"""Sparsity counts kernels only, and pruning cuts exactly what it says."""

import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import evaluation, models
from jaxrobust.evaluation import sparsity

SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
MEASURES = [
  (evaluation.share_below, (0.02,)),
  (evaluation.share_below_relative, (0.1,)),
  (evaluation.share_below_rms, (0.5,)),
  (evaluation.exact_zeros, ()),
  (evaluation.hoyer, ()),
  (evaluation.hoyer_per_tensor, ()),
  (evaluation.weight_norm, ()),
]
SCALE_FREE = [
  m for m in MEASURES if m[0].__name__ not in ("share_below", "weight_norm")
]
PER_TENSOR = [m for m in SCALE_FREE if m[0].__name__ != "hoyer"]


def named(measures):
  return pytest.mark.parametrize(
    ("function", "arguments"),
    measures,
    ids=lambda x: getattr(x, "__name__", ""),
  )


def make_params(seed=0):
  rng = np.random.default_rng(seed)

  def normal(*shape, scale=1.0):
    return (scale * rng.standard_t(3, shape)).astype(np.float32)

  first = normal(3, 3, 2, 4, scale=0.01)
  first[:2, 0, 0] = 0.0
  return {
    "Conv_0": {"kernel": first, "bias": normal(4)},
    "BatchNorm_0": {"scale": normal(4), "bias": normal(4)},
    "Dense_0": {"kernel": normal(16, 5), "bias": normal(5)},
  }


def kernels(params):
  """The two kernels in float64, written out by name."""
  return [
    np.asarray(params[layer]["kernel"], np.float64).ravel()
    for layer in ("Conv_0", "Dense_0")
  ]


def scaled(params, **factors):
  return {
    layer: {
      name: leaf * np.float32(factors.get(layer, 1.0))
      for name, leaf in leaves.items()
    }
    for layer, leaves in params.items()
  }


def oracle_hoyer(w):
  n = len(w)
  l1, l2 = np.abs(w).sum(), math.sqrt((w**2).sum())
  return (math.sqrt(n) - l1 / l2) / (math.sqrt(n) - 1)


def test_shares_equal_counts_in_numpy():
  params = make_params()
  parts = kernels(params)
  w = np.concatenate(parts)
  relative = np.concatenate([np.abs(p) / np.abs(p).max() for p in parts])
  rms = np.concatenate([np.abs(p) / np.sqrt(np.mean(p**2)) for p in parts])
  for tau in (1e-3, 1e-2, 0.3):
    np.testing.assert_allclose(
      [
        evaluation.share_below(params, tau),
        evaluation.share_below_relative(params, tau),
        evaluation.share_below_rms(params, tau),
      ],
      [np.mean(np.abs(w) < tau), np.mean(relative < tau), np.mean(rms < tau)],
      rtol=1e-6,
    )
  assert evaluation.exact_zeros(params) == pytest.approx(8 / 152)


def test_hoyer_and_the_norm_equal_numpy():
  params = make_params()
  parts = kernels(params)
  w = np.concatenate(parts)
  per_tensor = np.average(
    [oracle_hoyer(p) for p in parts], weights=[len(p) for p in parts]
  )
  np.testing.assert_allclose(
    [
      evaluation.hoyer(params),
      evaluation.hoyer_per_tensor(params),
      evaluation.weight_norm(params),
    ],
    [oracle_hoyer(w), per_tensor, np.sqrt(np.mean(w**2))],
    rtol=1e-5,
  )


def test_normal_weights_have_their_known_sparsity():
  w = np.random.default_rng(0).normal(0, 0.03, (1000, 1000))
  params = {"kernel": w.astype(np.float32)}
  got = [
    evaluation.hoyer(params),
    evaluation.share_below_rms(params, 0.1),
    evaluation.weight_norm(params),
  ]
  known = [1 - math.sqrt(2 / math.pi), math.erf(0.1 / math.sqrt(2)), 0.03]
  np.testing.assert_allclose(got, known, atol=1.5e-3)


@named(SCALE_FREE)
def test_the_scale_of_all_weights_does_not_matter(function, arguments):
  params = make_params()
  shrunk = jax.tree.map(lambda leaf: leaf * np.float32(2.0**-10), params)
  np.testing.assert_allclose(
    function(shrunk, *arguments), function(params, *arguments), rtol=1e-6
  )


@named(PER_TENSOR)
def test_the_scale_of_one_layer_does_not_matter(function, arguments):
  params = make_params()
  np.testing.assert_allclose(
    function(scaled(params, Dense_0=2.0**-10), *arguments),
    function(params, *arguments),
    rtol=1e-5,
  )


def test_shrinking_looks_sparse_to_an_absolute_threshold_alone():
  params = make_params()
  shrunk = jax.tree.map(lambda leaf: leaf * np.float32(0.1), params)
  before = evaluation.share_below(params, 0.02)
  assert evaluation.share_below(shrunk, 0.02) > before + 0.05
  np.testing.assert_allclose(
    evaluation.weight_norm(shrunk),
    0.1 * evaluation.weight_norm(params),
    rtol=1e-5,
  )


@named(MEASURES)
def test_only_kernels_count(function, arguments):
  params = make_params()
  zeros = jax.tree.map(
    lambda leaf: leaf if leaf.ndim > 1 else np.zeros_like(leaf), params
  )
  zeros["Toeplitz"] = {"scale": np.zeros((9, 9)), "kernel": np.zeros(9)}
  assert function(zeros, *arguments) == function(params, *arguments)


@pytest.mark.parametrize("name", ["mlp", "resnet18", "vit_tiny", "lstm"])
def test_the_kernels_of_our_models_are_found(name):
  model = models.build(name, num_classes=3, **models.quick_options(name))
  shape = (12, 2) if name == "lstm" else (28, 28, 1)
  params = jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, *shape)))
  )["params"]
  counted = sum(kernel.size for kernel in sparsity._kernels(_zeros(params)))
  others = sum(
    leaf.size
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if "kernel" not in jax.tree_util.keystr(path)
  )
  total = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert counted == total - others > 0


def _zeros(params):
  return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)


@named(MEASURES[:-1])
def test_zeros_alone_are_as_sparse_as_can_be(function, arguments):
  assert function(_zeros(make_params()), *arguments) == 1


@named([*MEASURES, (evaluation.prune, (0.5,))])
def test_parameters_without_a_kernel_are_refused(function, arguments):
  with pytest.raises(ValueError, match="params: must hold a 'kernel'"):
    function({"bias": np.ones(3), "kernel": np.ones(3)}, *arguments)


def test_seeds_on_a_leading_axis_are_measured_and_pruned_alike():
  trees = [make_params(seed) for seed in range(3)]
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
  np.testing.assert_allclose(
    jax.vmap(evaluation.hoyer)(stacked),
    [evaluation.hoyer(tree) for tree in trees],
    rtol=1e-6,
  )
  pruned = jax.vmap(lambda tree: evaluation.prune(tree, 0.7))(stacked)
  for i, tree in enumerate(trees):
    jax.tree.map(
      lambda a, b, i=i: np.testing.assert_array_equal(a[i], b),
      pruned,
      evaluation.prune(tree, 0.7),
    )


@pytest.mark.parametrize("share", [0.0, 0.003, *SHARES, 0.999, 1.0])
def test_pruning_equals_a_sort_in_numpy(share):
  params = make_params()
  pruned = jax.jit(evaluation.prune)(params, share)
  w = np.concatenate([k.astype(np.float32) for k in kernels(params)])
  cut = np.argsort(np.abs(w), kind="stable")
  w[cut[: math.floor(fractions.Fraction(str(share)) * len(w))]] = 0.0
  np.testing.assert_array_equal(np.concatenate(kernels(pruned)), w)
  for layer, leaves in params.items():
    for name, leaf in leaves.items():
      if name != "kernel":
        np.testing.assert_array_equal(pruned[layer][name], leaf)
      assert pruned[layer][name].dtype == leaf.dtype


@pytest.mark.parametrize("share", SHARES)
def test_ties_are_cut_by_position_to_the_exact_number(share):
  n = 1000
  signs = np.where(np.arange(n) % 3, 1.0, -1.0).astype(np.float32)
  params = {"a": {"kernel": signs.reshape(20, 50)}}
  pruned = np.asarray(evaluation.prune(params, share)["a"]["kernel"]).ravel()
  cut = round(share * n)
  assert not pruned[:cut].any()
  np.testing.assert_array_equal(pruned[cut:], signs[cut:])


@pytest.mark.parametrize("n", [10, 100, 1000, 10007, 235146])
def test_the_number_cut_is_the_floor_of_the_decimal_share(n):
  rng = np.random.default_rng(n)
  params = {"kernel": rng.normal(size=(1, n)).astype(np.float32)}
  prune = jax.jit(evaluation.prune)
  for share in SHARES:
    zeros = np.sum(np.asarray(prune(params, share)["kernel"]) == 0)
    assert zeros == math.floor(fractions.Fraction(str(share)) * n)


def test_the_smallest_floats_are_ordered_too():
  tiny = np.asarray([[1e-30, -3e-38, 2.0, 1e30, -1e-20, 0.0]], np.float32)
  pruned = evaluation.prune({"kernel": tiny}, 0.5)["kernel"]
  tiny[0, :2] = 0.0
  np.testing.assert_array_equal(pruned, tiny)
