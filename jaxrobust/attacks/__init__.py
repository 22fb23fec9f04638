"""Adversarial attacks: worst inputs within a small distance of the given ones.

Pure functions of (key, logits function, images, labels). An attack bounds the
accuracy from above; it certifies nothing. This package imports only jax, numpy
and scipy.
"""

from jaxrobust.attacks.gradient import Loss, Norm, fgsm, pgd
from jaxrobust.attacks.square import square

__all__ = ["Loss", "Norm", "fgsm", "pgd", "square"]
