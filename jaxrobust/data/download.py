"""Downloads that resume, and files that are what they should be."""

import dataclasses
import hashlib
import http.client
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from jaxrobust.data.errors import DataError

# Called with (task, done, total, unit), where the unit is 'bytes' or
# 'examples'.
Progress = Callable[[str, int, int, str], None]

_CHUNK = 1 << 18
_TIMEOUT = 60.0  # Seconds without a byte.
_FRUITLESS_ATTEMPTS = 4


@dataclasses.dataclass(frozen=True)
class Archive:
  """A published file.

  Attributes:
    url: where it is.
    filename: its name on disk.
    size: bytes.
    sha256: checksum, in hexadecimal.
  """

  url: str
  filename: str
  size: int
  sha256: str


def check_file(path: pathlib.Path, archive: Archive):
  """Refuses a file that is not, byte for byte, the published one.

  Args:
    path: the file.
    archive: what it should be.

  Raises:
    DataError: if the size or the checksum differs; it names the file.
  """
  size = path.stat().st_size
  if size != archive.size:
    raise DataError(
      f"{path} has {size} bytes; {archive.url} is published with {archive.size}"
    )
  with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  if digest != archive.sha256:
    raise DataError(
      f"{path} has a wrong checksum: sha256 {digest}; {archive.url} is "
      f"published with {archive.sha256}"
    )


def fetch(
  archive: Archive,
  folder: pathlib.Path,
  progress: Progress | None = None,
  *,
  wait: float = 1.0,
) -> pathlib.Path:
  """Downloads a file, or finishes a download that was cut off.

  Bytes go to `FILENAME.part`, which is kept when the transfer breaks, checked
  when it is complete and only then renamed. A cut transfer is continued by an
  HTTP range request where the server allows it and started again where not.

  Args:
    archive: what to download.
    folder: where to; it is made if absent.
    progress: told of the bytes done.
    wait: seconds before the second attempt, doubled before each later one.

  Returns:
    The file's path.

  Raises:
    DataError: if the server refuses, four attempts in a row bring no byte, or
      the checksum is wrong; the damaged file is removed.

  Example:
    >>> import hashlib, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "published").write_bytes(b"abc")
    >>> url = (folder / "published").as_uri()
    >>> archive = Archive(url, "a", 3, hashlib.sha256(b"abc").hexdigest())
    >>> fetch(archive, folder / "downloads").read_bytes()
    b'abc'
  """
  path = folder / archive.filename
  if path.exists():
    check_file(path, archive)
    return path
  folder.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f"{path.name}.part")
  began_with = _size(part)
  _transfer(archive, part, progress, wait)
  try:
    check_file(part, archive)
  except DataError:
    part.unlink()
    if not began_with:
      raise
    # What was left by an earlier call may have been of another file.
    return fetch(archive, folder, progress, wait=wait)
  return part.rename(path)


def _transfer(
  archive: Archive,
  part: pathlib.Path,
  progress: Progress | None,
  wait: float,
):
  """Appends to the part until it has the published size."""
  fruitless = 0
  while (done := _size(part)) < archive.size:
    reason = "the connection was closed"
    try:
      _append(archive, part, progress)
    except urllib.error.HTTPError as error:
      if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
      elif error.code < 500:
        raise DataError(_refused(archive, f"HTTP {error.code}")) from error
      reason = f"HTTP {error.code}"
    # URLError, timeouts and resets are OSErrors.
    except (OSError, http.client.HTTPException) as error:
      reason = str(error)
    fruitless = 0 if _size(part) > done else fruitless + 1
    if fruitless == _FRUITLESS_ATTEMPTS:
      raise DataError(_refused(archive, reason))
    if _size(part) < archive.size:
      time.sleep(wait * 2**fruitless)


def _append(archive: Archive, part: pathlib.Path, progress: Progress | None):
  done = _size(part)
  request = urllib.request.Request(
    archive.url, headers={"User-Agent": "jaxrobust"}
  )
  if done:
    request.add_header("Range", f"bytes={done}-")
  with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
    continues = response.headers.get("Content-Range", "")
    if done and not continues.startswith(f"bytes {done}-"):
      done = 0
    with part.open("ab" if done else "wb") as file:
      while chunk := response.read(_CHUNK):
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
          progress(archive.filename, done, archive.size, "bytes")


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size if path.exists() else 0


def _refused(archive: Archive, reason: str) -> str:
  return (
    f"cannot download {archive.url}: {reason}; run the command again to "
    f"resume, or give a folder that has {archive.filename} by --from=FOLDER"
  )
