"""`jaxrobust export` writes what its run computes, or nothing."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import jaxrobust
from jaxrobust import commands, data, evaluation, export
from jaxrobust.export import card, function, manifest, write


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """The folder of a run that was trained and judged on 50 digits."""
  from jaxrobust import methods

  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split = "train[:60]"
  config.data.validation_split = "train[60:90]"
  config.data.test_split = "test[:50]"
  config.model.name, config.model.hidden = "mlp", (16,)
  config.method = methods.preset("gaussian")
  config.method.input.std = 0.1
  config.train.epochs, config.train.batch_size = 1, 30
  config.train.devices = 1
  config.eval.alphas = config.eval.gaussian_stds = ()
  workdir = tmp_path_factory.mktemp("runs") / "tiny"
  jaxrobust.train(config, workdir)
  return workdir


@pytest.fixture
def ended(capsys):
  """Runs `jaxrobust export WORDS...`; gives its code, output and error."""

  def run(*words):
    code = commands.main(["export", *map(str, words)])
    return code, *capsys.readouterr()

  return run


@pytest.mark.parametrize("kind", export.FORMATS)
def test_it_writes_a_whole_export_beside_the_run(kind, workdir, ended):
  code, out, err = ended(f"--workdir={workdir}", f"--format={kind}")
  folder = workdir / "export" / kind
  assert (code, err) == (0, "")
  assert "on 50 test examples the largest difference" in out
  assert "50 labels agree" in out
  assert str(folder) in out
  assert {path.name for path in folder.iterdir()} == {
    manifest.FILES[kind],
    "model.json",
    "README.md",
  }
  assert {path.name for path in folder.parent.iterdir()} <= set(export.FORMATS)
  # The accuracy of the loaded model is that of the run's rows.
  model = jaxrobust.load(folder)
  run = function.read_run(workdir)
  labels = model.predict(run.dataset.inputs)
  right = np.mean(labels == run.dataset.labels)
  assert (
    f"| clean |  | {100 * right:.2f} % |" in (folder / "README.md").read_text()
  )
  assert model.classes == tuple("0123456789")


def test_the_code_of_the_card_runs_in_a_fresh_process(workdir, tmp_path):
  """That of JAX alone without jaxrobust and flax."""
  folder = tmp_path / "stablehlo"
  export.export_run(workdir, "stablehlo", out=folder)
  text = (folder / "README.md").read_text()
  ours, alone = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  own = jaxrobust.load(folder)
  expected = own.logits(np.zeros((3, 8, 8, 1), np.float32))
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      f"{alone}\nimport sys\nprint(logits.tolist())\n"
      "print({'flax', 'jaxrobust'} & set(sys.modules))",
    ],
    cwd=folder,
    capture_output=True,
    text=True,
    check=True,
  )
  logits, modules = done.stdout.splitlines()
  np.testing.assert_allclose(json.loads(logits), expected, rtol=1e-5, atol=1e-6)
  assert modules == "set()"
  assert "jaxrobust.load" in ours


@pytest.mark.parametrize("kind", export.FORMATS)
def test_the_code_of_every_card_runs(kind, workdir, tmp_path, monkeypatch):
  export.export_run(workdir, kind, out=tmp_path / "out")
  monkeypatch.chdir(tmp_path / "out")
  text = (tmp_path / "out" / "README.md").read_text()
  found = {}
  for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
    exec(code, found)
  assert found["labels"].shape == (3,)


ABOUT = {
  "format": "onnx",
  "outputs": 10,
  "shape": [8, 8, 1],
  "jaxrobust": "0",
  "jax": "0",
}


def test_the_card_says_what_was_and_what_was_not_judged(workdir):
  run = function.read_run(workdir)
  clean = evaluation.read_rows(workdir / "results.csv")
  noisy = [
    {**row, "perturbation": "gaussian", "strength": 0.2} for row in clean
  ]
  attacked = [
    {**row, "perturbation": "fgsm", "strength": 0.1, "n_examples": 20}
    for row in clean
  ]
  text = card.model_card(
    run,
    ABOUT,
    [*clean, *noisy, *attacked],
    "Compared.",
    licence='Own "terms": v1',
  )
  assert text.startswith('---\nlicense: "Own \\"terms\\": v1"\n')
  assert "- Train: `train[:60]`, 60 examples\n" in text
  assert "- Test: `test[:50]`, 50 examples\n" in text
  assert "| input | gaussian | std=0.1 |" in text
  # n of each line: 50 clean and noisy, 20 attacked.
  assert re.search(r"\| clean \|.*\| 50 \|", text)
  assert re.search(r"\| gaussian \| std 0.2 \|.*\| 50 \|", text)
  assert re.search(r"\| fgsm \| eps 0.1 \|.*\| 20 \|", text)
  assert "- Attacked by FGSM, in the settings of the table" in text
  assert "Not attacked by PGD, Auto-PGD on the cross-entropy" in text
  assert 'Model: Own "terms": v1. Data: unknown.' in text
  assert str(workdir) not in text


def test_the_card_knows_what_the_standard_ensemble_is_made_of(workdir):
  clean = evaluation.read_rows(workdir / "results.csv")
  standard = [
    {**row, "perturbation": "standard(linf)", "strength": 0.1} for row in clean
  ]
  measured = [
    {**clean[0], "perturbation": "self_check", "metric": "random_outputs"},
    {**clean[0], "perturbation": "calibration", "metric": "ece"},
  ]
  text = card.model_card(
    function.read_run(workdir),
    ABOUT,
    [*clean, *standard, *measured],
    "Compared.",
  )
  assert "Attacked by the standard ensemble" in text
  assert "Not attacked by FGSM, Auto-PGD on the ratio of logits." in text
  assert "judged under: none." in text


def test_the_card_of_an_unjudged_step_has_no_numbers(workdir):
  run = function.read_run(workdir)
  row = dict.fromkeys(("perturbation", "metric"), "") | {"step": run.step + 1}
  text = card.model_card(run, ABOUT, [row], "Compared.")
  assert "there are no numbers" in text
  assert "It was not attacked" in text


def test_what_differs_from_the_run_is_not_written(
  workdir, ended, tmp_path, monkeypatch
):
  from jaxrobust.export import safetensors

  whole = safetensors.to_safetensors

  def wrong(variables, about):
    params = dict(variables["params"])
    params["head"] = {k: 1.01 * v for k, v in params["head"].items()}
    return whole({**variables, "params": params}, about)

  monkeypatch.setattr(safetensors, "to_safetensors", wrong)
  out = tmp_path / "out"
  code, _, err = ended(
    f"--workdir={workdir}", "--format=safetensors", f"--out={out}"
  )
  assert code == 1
  assert "safetensors: not the run: on 50 test examples" in err
  assert err.count("\n") == 1
  assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_loaded_back_is_not_written(
  workdir, ended, tmp_path, monkeypatch
):
  from jaxrobust.export import safetensors

  monkeypatch.setattr(safetensors, "to_safetensors", lambda *_: b"x" * 99)
  code, _, err = ended(
    f"--workdir={workdir}", "--format=safetensors", f"--out={tmp_path / 'out'}"
  )
  assert code == 1
  assert "safetensors: cannot be loaded back" in err
  assert err.count("\n") == 1
  assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named(workdir, ended, monkeypatch):
  monkeypatch.setitem(sys.modules, "onnx", None)
  code, _, err = ended(f"--workdir={workdir}", "--format=onnx")
  assert code == 1
  assert "onnx is not installed: pip install 'jaxrobust[onnx]'" in err


def test_an_interrupted_export_leaves_the_one_before_it(
  workdir, tmp_path, monkeypatch
):
  out = tmp_path / "out"
  export.export_run(workdir, "safetensors", out=out)
  before = (out / "model.json").read_text()

  def interrupt(run, model):
    raise KeyboardInterrupt

  monkeypatch.setattr(write, "compare", interrupt)
  with pytest.raises(KeyboardInterrupt):
    export.export_run(workdir, "safetensors", out=out)
  assert (out / "model.json").read_text() == before
  assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_is_replaced_and_nothing_else(workdir, ended, tmp_path):
  words = f"--workdir={workdir}", "--format=safetensors"
  out = tmp_path / "out"
  for licence in ("MIT", "Apache-2.0"):
    assert ended(*words, f"--out={out}", f"--licence={licence}")[0] == 0
  assert "Apache-2.0" in (out / "README.md").read_text()
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "thesis.tex").write_text("x")
  code, _, err = ended(*words, f"--out={tmp_path / 'mine'}")
  assert code == 2
  assert "has what is of no export (thesis.tex)" in err
  # Another's file of that name makes no export of a folder.
  (tmp_path / "mine" / "model.json").write_text("{}")
  code, _, err = ended(*words, f"--out={tmp_path / 'mine'}")
  assert code == 2
  assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--format=onnx"], "--workdir"),
    (["--workdir=nowhere"], "--format"),
    (["--workdir=nowhere", "--format=tflite"], "invalid choice: 'tflite'"),
    (["--workdir=nowhere", "--format=onnx"], "is this a run's folder?"),
    (["--workdir=nowhere", "--format=onnx", "--foo=1"], "--foo=1"),
  ],
)
def test_wrong_use_is_one_line(words, message, ended, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  code, out, err = ended(*words)
  assert (code, out) == (2, "")
  assert message in err
  assert err.count("\n") == 1
  assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_checkpoint_is_one_line(workdir, ended, tmp_path):
  (tmp_path / "config.json").write_text((workdir / "config.json").read_text())
  code, _, err = ended(f"--workdir={tmp_path}", "--format=onnx")
  assert code == 2
  assert "no checkpoint" in err


def test_help_has_an_example(ended):
  code, out, _ = ended("--help")
  assert code == 0
  assert "jaxrobust export --workdir=runs/first" in " ".join(out.split())


def test_load_is_a_public_name():
  assert jaxrobust.load is export.load
  with pytest.raises(data.DataError, match="not found; is this an export"):
    jaxrobust.load("nowhere")
