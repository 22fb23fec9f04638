"""Class centroids that training carries along, and the losses on them."""

from jaxrobust.centroids.boundaries import nearest_boundary as nearest_boundary
from jaxrobust.centroids.boundaries import signed_distances as signed_distances
from jaxrobust.centroids.losses import alignment as alignment
from jaxrobust.centroids.losses import compactness as compactness
from jaxrobust.centroids.losses import margin as margin
from jaxrobust.centroids.losses import mean_over_classes as mean_over_classes
from jaxrobust.centroids.losses import regulariser as regulariser
from jaxrobust.centroids.losses import safe_norm as safe_norm
from jaxrobust.centroids.state import Centroids as Centroids
from jaxrobust.centroids.state import ClassSums as ClassSums
from jaxrobust.centroids.state import class_sums as class_sums
from jaxrobust.centroids.state import init as init
from jaxrobust.centroids.state import update as update
