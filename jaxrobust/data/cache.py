"""Where files are kept that can be made again."""

import os
import pathlib


def user_cache() -> pathlib.Path:
  """The folder of this package in the user's cache.

  Returns:
    `$XDG_CACHE_HOME/jaxrobust`, by default `~/.cache/jaxrobust`; it need not
    be there yet.

  Example:
    >>> user_cache().name
    'jaxrobust'
  """
  place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
  return pathlib.Path(place).expanduser() / "jaxrobust"
