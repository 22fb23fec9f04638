"""The one error of an export that cannot be made."""


class ExportError(RuntimeError):
  """A run that cannot be exported so, or an export that is not the run."""
