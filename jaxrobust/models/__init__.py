"""Linen models that return their logits and their penultimate features.

Build one with `build(name, num_classes=..., **options)`. It is called as
`model.apply(variables, inputs, train=..., mask=...)` on float32 inputs
[N, H, W, C] in [0, 1] or [N, T, C], normalises them in its first layer, and
returns `Outputs`. `mask` marks the real examples of a padded batch and reaches
the batch statistics; give it in training.
"""

from jaxrobust.models.base import Model as Model
from jaxrobust.models.base import Normalize as Normalize
from jaxrobust.models.base import Outputs as Outputs
from jaxrobust.models.base import Samples as Samples
from jaxrobust.models.foreign import Foreign as Foreign
from jaxrobust.models.foreign import from_callback as from_callback
from jaxrobust.models.foreign import from_torch as from_torch
from jaxrobust.models.norm import BatchNorm as BatchNorm
from jaxrobust.models.norm import norm_layer as norm_layer
from jaxrobust.models.registry import MODELS as MODELS
from jaxrobust.models.registry import build as build
from jaxrobust.models.registry import options as options
from jaxrobust.models.registry import quick_options as quick_options
from jaxrobust.models.toeplitz import toeplitz_conv as toeplitz_conv
