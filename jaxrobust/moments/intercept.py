"""Carries states through flax.linen models: rules for the stock modules.

Within `intercepting`, a module that is called on a `State` and has a rule
here is applied by it, with its own parameters; one without a rule runs as it
is, on the state, and so do the models of this package, which are made of
`jaxrobust.moments.ops`. What cannot take a state is named in an error.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments import injection as injection_lib
from jaxrobust.moments.moments import State

# (module, call, state, args, kwargs) -> state; call runs the module itself on
# an array, with the arguments it was called with.
ModuleRule = Callable[[nn.Module, Callable[[Any], Any], State, Any, Any], State]

_AFFINE = (
  nn.Dense,
  nn.DenseGeneral,
  nn.Conv,
  nn.ConvTranspose,
  nn.ConvLocal,
  nn.Einsum,
)


@contextlib.contextmanager
def intercepting(
  injection: injection_lib.Injection | None = None,
) -> Iterator[None]:
  """Within it, linen modules take states, and noise enters where it should.

  Args:
    injection: what puts the noise in; None if the model's input carries it.

  Yields:
    Nothing.

  Raises:
    ValueError: at the end, if the model never passed the injection's place.

  Example:
    >>> import jax
    >>> from jaxrobust import moments
    >>> model = nn.Sequential([nn.Dense(4), moments.ops.relu, nn.Dense(2)])
    >>> x = jnp.ones((1, 3))
    >>> variables = model.init(jax.random.key(0), x)
    >>> noisy = moments.Moments(x, jnp.ones_like(x))
    >>> with moments.intercepting():
    ...   model.apply(variables, noisy).var.shape
    (1, 2)
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(nn.intercept_methods(_intercept))
    if injection is not None:
      injection.done = False
      stack.enter_context(injection_lib.injecting(injection))
    yield
  if injection is not None and not injection.done:
    where = {
      "first": "affine layer and no call of moments.inject",
      "marked": "call of moments.inject",
    }
    raise ValueError(
      f"place={injection.place!r}: the model has no {where[injection.place]}"
    )


def register_module_rule(cls: type[nn.Module], rule: ModuleRule) -> None:
  """Says how a state passes a linen module of one's own.

  A module that is written with `moments.ops` and of modules that have rules
  needs none.

  Args:
    cls: the module's class; subclasses take the rule too, unless they have one
      or a `__call__` of their own.
    rule: a function of (module, call, state, args, kwargs) that returns the
      new state; `call(x)` runs the module on an array.

  Example:
    >>> class Double(nn.Module):
    ...   def __call__(self, x):
    ...     return jnp.multiply(x, 2)
    >>> register_module_rule(
    ...   Double, lambda module, call, state, args, kwargs: state * 2
    ... )
  """
  _RULES[cls] = rule


def _intercept(next_fun, args, kwargs, context):
  module = context.module
  if context.method_name != "__call__":
    return next_fun(*args, **kwargs)
  affine = isinstance(module, _AFFINE)
  injection = injection_lib.active() if affine else None
  args, kwargs = _input_first(module, args, kwargs)
  x, *rest = args or (None,)
  rule = _rule_of(type(module))
  if isinstance(x, State) and rule is not None:

    def call(x):
      return next_fun(x, *rest, **kwargs)

    y = rule(module, call, x, rest, kwargs)
  else:
    try:
      y = next_fun(*args, **kwargs)
    except (AttributeError, TypeError, ValueError, AssertionError) as error:
      states = [a for a in (*args, *kwargs.values()) if isinstance(a, State)]
      if not states or _is_clear(error):
        raise
      raise _no_rule(module, states[0], error) from error
  return y if injection is None else injection.at(y, marked=False)


def _rule_of(cls: type[nn.Module]) -> ModuleRule | None:
  """The rule of the class whose `__call__` it has."""
  for ancestor in cls.__mro__:
    if ancestor in _RULES:
      return _RULES[ancestor]
    if "__call__" in vars(ancestor):
      return None
  return None


def _input_first(module, args, kwargs):
  """The arguments, with a state that was given by its name as the first."""
  if args or not any(isinstance(a, State) for a in kwargs.values()):
    return args, kwargs
  _, first, *_ = inspect.signature(type(module).__call__).parameters
  if not isinstance(kwargs.get(first), State):
    return args, kwargs
  rest = {name: value for name, value in kwargs.items() if name != first}
  return (kwargs[first],), rest


def _is_clear(error: Exception) -> bool:
  """Whether this package has said what is wrong, and where."""
  trace = error.__traceback__
  while trace is not None and trace.tb_next is not None:
    trace = trace.tb_next
  if trace is None or trace.tb_frame.f_code.co_name == "__array__":
    return False
  raised_in = trace.tb_frame.f_globals.get("__name__", "")
  return raised_in.startswith(__name__.partition(".")[0] + ".")


def _no_rule(module, x, error):
  name = type(module).__name__
  path = "/".join(module.path) or "the model itself"
  reason = str(error).strip().partition("\n")[0]
  return TypeError(
    f"module {name} ({path}) cannot take a random value, {type(x).__name__}: "
    f"{reason}; write it with jaxrobust.moments.ops, give it a rule by "
    "moments.register_module_rule, or use moments.propagate"
  )


def _affine(module, call, x, args, kwargs):
  """Any layer that is linear in its input, up to a bias."""
  if getattr(module, "padding", None) == "REFLECT":
    _refuse(module, "padding='REFLECT': an output has an input twice")
  value = call(x.loc)
  kernel = module.variables["params"]["kernel"]
  # The same layer without a bias, in float32, on another kernel.
  changes = {"use_bias": False, "dtype": jnp.float32}
  if getattr(module, "mask", None) is not None:
    kernel, changes["mask"] = kernel * module.mask, None
  plain = module.clone(
    parent=None, name=None, precision=lax.Precision.HIGHEST, **changes
  )

  def linear(kernel, y):
    return plain.apply({"params": {"kernel": kernel}}, y, *args, **kwargs)

  # Nothing is waited for inside of it.
  with injection_lib.injecting(_NOTHING):
    return x.affine(value, kernel, linear)


_NOTHING = injection_lib.Injection(lambda x: x)
_NOTHING.done = True


def _refuse(module: nn.Module, what: str) -> NoReturn:
  raise NotImplementedError(
    f"{type(module).__name__} on a random value with {what}"
  )


def _batch_norm(module, call, x, args, kwargs):
  """Batch statistics are those of the mean path, and without noise."""
  running = nn.merge_param(
    "use_running_average",
    module.use_running_average,
    kwargs.get("use_running_average", args[0] if args else None),
  )
  value = call(x.loc)
  channels = _axes(module.axis, x.ndim)
  others = tuple(a for a in range(x.ndim) if a not in channels)
  if running:
    var = module.variables["batch_stats"]["var"]
  else:
    var = _batch_var(module, x.loc.astype(jnp.float32), others, kwargs)
  factor = lax.rsqrt(var + module.epsilon) * _scale_of(module)
  wide = jnp.expand_dims(factor, others)
  return x.times(wide).at(value)


def _batch_var(module, x, others, kwargs):
  """The batch variance that the stock layer uses in training, [C]."""
  mask = kwargs.get("mask")

  def average(values):
    out = jnp.mean(values, others, where=mask)
    if module.axis_name is None or module.is_initializing():
      return out
    groups = module.axis_index_groups
    return lax.pmean(out, module.axis_name, axis_index_groups=groups)

  mean = average(x)
  if module.use_fast_variance:
    return jnp.maximum(average(jnp.square(x)) - jnp.square(mean), 0.0)
  return average(jnp.square(x - jnp.expand_dims(mean, others)))


def _layer_norm(module, call, x, args, kwargs, centred=True):
  """LayerNorm and RMSNorm: the statistics of each example."""
  axes = _axes(module.reduction_axes, x.ndim)
  return _over_axes(module, call, x, kwargs, axes, centred)


def _instance_norm(module, call, x, args, kwargs):
  """All axes but those of the examples and the features."""
  features = _axes(module.feature_axes, x.ndim)
  axes = tuple(a for a in range(1, x.ndim) if a not in features)
  return _over_axes(module, call, x, kwargs, axes, True)


def _over_axes(module, call, x, kwargs, axes, centred):
  _require_own_statistics(module, kwargs)
  features = _axes(module.feature_axes, x.ndim)
  others = tuple(a for a in range(x.ndim) if a not in features)
  scale = jnp.expand_dims(_scale_of(module), others)
  standardised, inverse = _standardise(
    x.loc.astype(jnp.float32), axes, module.epsilon, centred
  )
  return x.normalise(call(x.loc), standardised, inverse * scale, axes, centred)


def _rms_norm(module, call, x, args, kwargs):
  return _layer_norm(module, call, x, args, kwargs, centred=False)


def _group_norm(module, call, x, args, kwargs):
  """Groups of channels become an axis of their own."""
  _require_own_statistics(module, kwargs)
  if module.reduction_axes is not None:
    _refuse(module, f"reduction_axes={module.reduction_axes}")
  channels = x.shape[-1]
  groups = module.num_groups or channels // module.group_size
  split = (*x.shape[:-1], groups, channels // groups)
  axes = (*range(1, x.ndim - 1), x.ndim)
  standardised, inverse = _standardise(
    x.loc.astype(jnp.float32).reshape(split), axes, module.epsilon, True
  )
  scale = _scale_of(module)
  wide = jnp.broadcast_to(scale, (channels,)).reshape(split[-2:])
  value = call(x.loc)
  out = x.reshape(split).normalise(
    value.reshape(split), standardised, inverse * wide, axes, True
  )
  return out.reshape(x.shape)


def _require_own_statistics(module, kwargs):
  """Refuses statistics of other elements than the rule thinks."""
  if kwargs.get("mask") is not None:
    _refuse(module, "a mask")
  if module.axis_name is not None:
    _refuse(module, f"axis_name={module.axis_name!r}")


def _standardise(x, axes, epsilon, centred):
  """The standardised values, and what the centred ones were multiplied by."""
  if centred:
    x = x - x.mean(axes, keepdims=True)
  inverse = lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + epsilon)
  return x * inverse, inverse


def _scale_of(module):
  """The learned factor of a norm layer, or 1."""
  params = module.variables.get("params", {})
  return params["scale"] if "scale" in params else jnp.ones(())


def _axes(axes: Any, ndim: int) -> tuple[int, ...]:
  whole = (axes,) if isinstance(axes, int) else tuple(axes)
  return tuple(a % ndim for a in whole)


def _dropout(module, call, x, args, kwargs):
  """Nothing when it is off; its products with the noise are not modelled."""
  deterministic = nn.merge_param(
    "deterministic",
    module.deterministic,
    kwargs.get("deterministic", args[0] if args else None),
  )
  if deterministic or module.rate == 0:
    return x
  _refuse(module, f"rate={module.rate} in training: must be 0")


_RULES: dict[type, ModuleRule] = {
  **dict.fromkeys(_AFFINE, _affine),
  nn.BatchNorm: _batch_norm,
  nn.LayerNorm: _layer_norm,
  nn.RMSNorm: _rms_norm,
  nn.GroupNorm: _group_norm,
  nn.InstanceNorm: _instance_norm,
  nn.Dropout: _dropout,
}
