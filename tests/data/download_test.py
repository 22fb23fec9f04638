"""Downloads from a loopback server that cuts, refuses and corrupts."""

import hashlib
import http.server
import pathlib
import threading

import numpy as np
import pytest

from jaxrobust.data import DataError
from jaxrobust.data.download import Archive, check_file, fetch

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, np.uint8).tobytes()


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves CONTENT; how is set on the server by the test."""

  def do_GET(self):
    server = self.server
    asked = self.headers.get("Range")
    server.ranges.append(asked)
    if server.statuses:
      self.send_error(server.statuses.pop(0))
      return
    start = 0
    if asked and server.resumes:
      start = int(asked.removeprefix("bytes=").removesuffix("-"))
      self.send_response(206)
      last = len(server.content) - 1
      self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
    else:
      self.send_response(200)
    body = server.content[start:]
    self.send_header("Content-Length", str(len(body)))
    self.end_headers()
    self.wfile.write(body[: server.cuts.pop(0) if server.cuts else None])
    # The connection is closed here, wherever the body is.

  def log_message(self, *_):
    pass


@pytest.fixture(name="server")
def make_server():
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  server.content, server.resumes = CONTENT, True
  # Requests seen; bytes after which to cut; error codes to answer first.
  server.ranges, server.cuts, server.statuses = [], [], []
  thread = threading.Thread(target=server.serve_forever, args=(0.01,))
  thread.start()
  yield server
  server.shutdown()
  thread.join()
  server.server_close()


@pytest.fixture(name="archive")
def make_archive(server):
  url = f"http://127.0.0.1:{server.server_port}/set.bin"
  digest = hashlib.sha256(CONTENT).hexdigest()
  return Archive(url, "set.bin", len(CONTENT), digest)


def names(folder: pathlib.Path):
  return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_checked_and_renamed(server, archive, tmp_path):
  seen = []
  path = fetch(archive, tmp_path / "new", lambda *args: seen.append(args))
  assert path.read_bytes() == CONTENT
  assert names(tmp_path / "new") == ["set.bin"]
  assert seen[-1] == ("set.bin", len(CONTENT), len(CONTENT), "bytes")
  done = [args[1] for args in seen]
  assert done == sorted(done)


def test_a_cut_transfer_is_resumed_where_it_stopped(server, archive, tmp_path):
  server.cuts = [300_000, 200_000]
  path = fetch(archive, tmp_path, wait=0)
  assert path.read_bytes() == CONTENT
  assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_resumes_what_an_earlier_one_left(
  server, archive, tmp_path
):
  (tmp_path / "set.bin.part").write_bytes(CONTENT[:400_000])
  assert fetch(archive, tmp_path).read_bytes() == CONTENT
  assert server.ranges == ["bytes=400000-"]


def test_a_server_that_cannot_resume_starts_again(server, archive, tmp_path):
  server.resumes, server.cuts = False, [300_000]
  assert fetch(archive, tmp_path, wait=0).read_bytes() == CONTENT
  assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("left", [400_000, 800_000])
def test_a_wrong_beginning_left_by_another_file_is_replaced(
  server, archive, tmp_path, left
):
  (tmp_path / "set.bin.part").write_bytes(bytes(left))
  assert fetch(archive, tmp_path, wait=0).read_bytes() == CONTENT


def test_a_corrupted_file_is_named_and_removed(server, archive, tmp_path):
  server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
  with pytest.raises(DataError, match=r"set\.bin\.part has a wrong checksum"):
    fetch(archive, tmp_path)
  assert names(tmp_path) == []


def test_a_file_of_a_wrong_size_is_named(server, archive, tmp_path):
  server.content = CONTENT + b"more"
  with pytest.raises(DataError, match=r"set\.bin\.part has 700004 bytes"):
    fetch(archive, tmp_path)


def test_a_file_that_is_there_is_not_downloaded_again(
  server, archive, tmp_path
):
  (tmp_path / "set.bin").write_bytes(CONTENT)
  fetch(archive, tmp_path)
  assert server.ranges == []
  (tmp_path / "set.bin").write_bytes(CONTENT[::-1])
  with pytest.raises(DataError, match="wrong checksum"):
    check_file(tmp_path / "set.bin", archive)


def test_a_busy_server_is_asked_again(server, archive, tmp_path):
  server.statuses = [503, 502]
  assert fetch(archive, tmp_path, wait=0).read_bytes() == CONTENT


def test_a_refusal_is_final_and_says_what_to_do(server, archive, tmp_path):
  server.statuses = [404]
  with pytest.raises(DataError, match=r"HTTP 404; .* --from=FOLDER"):
    fetch(archive, tmp_path, wait=0)
  assert len(server.ranges) == 1


def test_it_gives_up_after_four_attempts_without_a_byte(
  server, archive, tmp_path
):
  server.cuts = [100_000, 0, 0, 0, 0]
  with pytest.raises(DataError, match="the connection was closed"):
    fetch(archive, tmp_path, wait=0)
  assert len(server.ranges) == 5
  # What had come is kept for the next call.
  assert (tmp_path / "set.bin.part").stat().st_size == 100_000


def test_no_server_is_one_line(archive, server, tmp_path):
  server.shutdown()
  server.server_close()
  with pytest.raises(DataError, match="cannot download") as caught:
    fetch(archive, tmp_path, wait=0)
  assert "\n" not in str(caught.value)
