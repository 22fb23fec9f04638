"""Choosing config fields, above all the strength of the training noise."""

from jaxrobust.tuning.learned_strength import Learned as Learned
from jaxrobust.tuning.learned_strength import learn_strength as learn_strength
from jaxrobust.tuning.search import Study as Study
from jaxrobust.tuning.search import tune as tune
