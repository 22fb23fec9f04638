"""The one exception for anything wrong with data on disk."""


class DataError(ValueError):
  """Data that is absent, damaged or not what the config declares.

  The message is one line that names what is wrong and what to do; the command
  line prints it without a traceback and exits with code 2.

  Example:
    >>> raise DataError("no folder 'flowers': set config.data.path")
    Traceback (most recent call last):
    ...
    jaxrobust.data.errors.DataError: no folder 'flowers': set config.data.path
  """
