"""Adversarial attacks: worst inputs within a small distance of the given ones.

Pure functions of (key, logits function, images, labels). An attack bounds the
accuracy from above; it certifies nothing. This package imports only jax, numpy
and scipy.
"""

from jaxrobust.attacks.apgd import apgd
from jaxrobust.attacks.ball import Norm
from jaxrobust.attacks.draws import over_draws
from jaxrobust.attacks.fab import fab
from jaxrobust.attacks.gradient import fgsm, pgd
from jaxrobust.attacks.objectives import Loss, likeliest
from jaxrobust.attacks.square import square
from jaxrobust.attacks.square_l2 import square_l2
from jaxrobust.attacks.transfer import transfer

__all__ = [
  "Loss",
  "Norm",
  "apgd",
  "fab",
  "fgsm",
  "likeliest",
  "over_draws",
  "pgd",
  "square",
  "square_l2",
  "transfer",
]
