"""The operations of a network, on arrays and on states alike.

An array gives what `jax.nn` or `jax.numpy` gives, at no cost; a state, as
`Moments`, what its rules say. Models that are written with them are carried
through by `moments.intercepting`.
"""

from jaxrobust.moments.basic import Value as Value
from jaxrobust.moments.basic import concatenate as concatenate
from jaxrobust.moments.basic import constant as constant
from jaxrobust.moments.basic import dense as dense
from jaxrobust.moments.basic import einsum as einsum
from jaxrobust.moments.basic import elementwise as elementwise
from jaxrobust.moments.basic import elu as elu
from jaxrobust.moments.basic import gelu as gelu
from jaxrobust.moments.basic import maximum as maximum
from jaxrobust.moments.basic import mean as mean
from jaxrobust.moments.basic import relu as relu
from jaxrobust.moments.basic import sigmoid as sigmoid
from jaxrobust.moments.basic import silu as silu
from jaxrobust.moments.basic import softmax as softmax
from jaxrobust.moments.basic import softplus as softplus
from jaxrobust.moments.basic import tanh as tanh
from jaxrobust.moments.basic import where as where
from jaxrobust.moments.pooling import avg_pool as avg_pool
from jaxrobust.moments.pooling import global_avg_pool as global_avg_pool
from jaxrobust.moments.pooling import max_pool as max_pool
from jaxrobust.moments.sequence import attention as attention
from jaxrobust.moments.sequence import lstm as lstm
