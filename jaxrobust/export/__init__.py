"""Export: a finished run as one file that others can load, and its card."""

from jaxrobust.export.errors import ExportError as ExportError
from jaxrobust.export.load import load as load
from jaxrobust.export.predictor import Predictor as Predictor
from jaxrobust.export.verify import Agreement as Agreement
from jaxrobust.export.write import FORMATS as FORMATS
from jaxrobust.export.write import Export as Export
from jaxrobust.export.write import export_run as export_run
