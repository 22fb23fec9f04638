"""Classical smoothers of images: what other smoothing is compared with.

Blur, the spectral low-pass, the median and total variation denoising, as pure
functions of images, float32 [N, H, W, C] in [0, 1]; everything is batched and
differentiable, and an image's result does not depend on the rest of its batch.
This package imports only jax, numpy and scipy.
"""

from jaxrobust.filters.chambolle import chambolle
from jaxrobust.filters.linear import gaussian_blur, low_pass
from jaxrobust.filters.median import median

__all__ = ["chambolle", "gaussian_blur", "low_pass", "median"]
