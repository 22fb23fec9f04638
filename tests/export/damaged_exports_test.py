"""What is no whole export is refused in one line."""

import json

import pytest
from exported_runs import batch_norm_config, run_of

import jaxrobust
from jaxrobust import data, export
from jaxrobust.export import manifest, write


@pytest.fixture(params=export.FORMATS)
def folder(request, tmp_path):
  write.write_model(run_of(batch_norm_config()), request.param, tmp_path)
  return tmp_path


def model_file(folder):
  return folder / json.loads((folder / manifest.NAME).read_text())["file"]


def refusal(path):
  with pytest.raises(data.DataError) as caught:
    jaxrobust.load(path)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_a_truncated_file(folder):
  path = model_file(folder)
  payload = path.read_bytes()
  path.write_bytes(payload[: len(payload) // 2])
  assert "the file is damaged" in refusal(folder)
  (folder / manifest.NAME).unlink()
  assert str(path) in refusal(path)


def test_a_flipped_byte(folder):
  path = model_file(folder)
  payload = bytearray(path.read_bytes())
  payload[-5] ^= 1
  path.write_bytes(payload)
  assert "its checksum differs" in refusal(path)


def test_a_missing_file(folder):
  model_file(folder).unlink()
  assert "the export is not whole" in refusal(folder)


def test_a_newer_version(folder):
  path = folder / manifest.NAME
  about = json.loads(path.read_text())
  path.write_text(json.dumps({**about, "format_version": 99}))
  assert "format_version=99" in refusal(folder)


def test_half_a_manifest(folder):
  path = folder / manifest.NAME
  path.write_text(path.read_text()[:40])
  assert "it is damaged" in refusal(folder)


def test_what_is_no_export(tmp_path):
  assert "no model.json in it" in refusal(tmp_path)
  assert "not found" in refusal(tmp_path / "nowhere")
  (tmp_path / "model.txt").write_text("x")
  assert "must be a folder of an export" in refusal(tmp_path / "model.txt")
  (tmp_path / "other.onnx").write_text("x")
  assert "no ONNX model of jaxrobust" in refusal(tmp_path / "other.onnx")
  (tmp_path / "other.stablehlo").write_text("x")
  assert "model.json of it must lie beside it" in refusal(
    tmp_path / "other.stablehlo"
  )
