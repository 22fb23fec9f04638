"""`jaxrobust features` draws what the run's own model computes."""

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import commands, data, evaluation, models, training
from jaxrobust.training.runs import restore


@pytest.fixture
def trained(tiny_config, tmp_path):
  tiny_config.train.epochs = 1
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  jaxrobust.train(tiny_config, tmp_path / "run")
  return tiny_config, tmp_path / "run"


def test_the_features_are_those_of_the_first_examples_of_each_class(trained):
  config, workdir = trained
  found = training.run_features(workdir, std=0.2, per_class=3)
  assert (found.run, found.dataset) == ("run", "digits")
  dataset = data.load(config.data, config.data.test_split)
  chosen, seen = [], dict.fromkeys(range(10), 0)
  for place, label in enumerate(dataset.labels.tolist()):
    if seen[label] < 3:
      seen[label] += 1
      chosen.append(place)
  np.testing.assert_array_equal(found.labels, dataset.labels[chosen])
  model = models.build("mlp", num_classes=10, hidden=(16,))
  variables = restore(config, workdir, model).state.variables()
  clean = dataset.inputs[chosen] / np.float32(255)
  keys = data.example_keys(
    jax.random.key(config.seed), data.Tag.TEST, np.asarray(chosen, np.int32)
  )
  noise = evaluation.grid([0.2], [], [])[1].noise
  noisy = np.stack(
    [
      evaluation.perturb(key, noise, image, is_image=True)
      for key, image in zip(keys, clean, strict=True)
    ]
  )
  for got, images in ((found.clean, clean), (found.noisy, noisy)):
    expected = model.apply(variables, images).features
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_command_writes_a_picture_of_each_run(trained, tmp_path, capsys):
  _, workdir = trained
  out = tmp_path / "new" / "features.svg"
  words = ["features", str(workdir), str(workdir), f"--out={out}"]
  assert commands.main([*words, "--std=0.2", "--per_class=4"]) == 0
  assert capsys.readouterr().out == f"{out}\n"
  text = out.read_text()
  assert text.count("alpha_stable on digits (test[:50]), noise of std 0.2") == 2


def test_wrong_use_is_one_line(trained, tmp_path, capsys):
  _, workdir = trained
  out = f"--out={tmp_path / 'f.png'}"
  for word, message in (
    ("--std=0", "std=0.0: must be a finite number > 0"),
    ("--per_class=0", "per_class=0: must be at least 1"),
    ("--select=best_test", "eval.select='best_test': must be"),
    ("--split=test[:1]", "labels of 1 class: must be of at least 2"),
  ):
    assert commands.main(["features", str(workdir), out, word]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
  out = f"--out={tmp_path / 'f.png'}"
  assert commands.main(["features", str(tmp_path), out]) == 2
  assert "not found; is this a run's folder?" in capsys.readouterr().err
