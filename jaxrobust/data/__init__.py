"""Data sets, batches of them, and augmentation on the accelerator."""

from jaxrobust.data.augment import as_float, random_crop, random_flip
from jaxrobust.data.cache import user_cache
from jaxrobust.data.corrupted import corrupted_npy, corrupted_tfds
from jaxrobust.data.dataset import Dataset, EpochDataset, OnDemandDataset
from jaxrobust.data.errors import DataError
from jaxrobust.data.keys import Draw, Tag, example_keys
from jaxrobust.data.pipeline import Batch, Loader
from jaxrobust.data.preparation import prepare
from jaxrobust.data.sources import SOURCES, load
from jaxrobust.data.splits import Split, parse_split, stratified_folds
from jaxrobust.data.standardise import STANDARDISE, standardised

__all__ = [
  "SOURCES",
  "STANDARDISE",
  "Batch",
  "DataError",
  "Dataset",
  "Draw",
  "EpochDataset",
  "Loader",
  "OnDemandDataset",
  "Split",
  "Tag",
  "as_float",
  "corrupted_npy",
  "corrupted_tfds",
  "example_keys",
  "load",
  "parse_split",
  "prepare",
  "random_crop",
  "random_flip",
  "standardised",
  "stratified_folds",
  "user_cache",
]
