"""The standard ensemble of attacks, beside AutoAttack in PyTorch.

  python -m benchmarks.attacks --data_dir=DATA
  python -m benchmarks.attacks --data_dir=DATA --images=1000 --rounds=1

A CNN of 16 and 32 filters, trained on CIFAR-10 for --epochs (a run that is
already in --workdir is taken), and its twin in PyTorch with the same weights;
`evaluation.ensemble_cells` against the modules of AutoAttack (pyautoattack),
each with its published parameters, on the first test images at 2/255, in turns
and on the same threads. Ours has been called before, so that nothing is
compiled in what is timed; what compiling took is printed.

The last line is one JSON object. Its claims: seconds, ours at most 1 / 1.5 of
the peer's; and robust accuracy, at most 0.3 points apart. Exit code 2: torch or
pyautoattack is missing.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time
import warnings
from typing import Any

import jax
import numpy as np

import jaxrobust
from jaxrobust import data, evaluation, models
from jaxrobust.methods.forwards import deterministic
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.attacking import AttackJudge
from jaxrobust.training.runs import restore

WIDTH, HIDDEN = 16, 128
EPS = 2 / 255
FASTER, APART = 1.5, 0.003


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  add_arguments(parser)
  args = parser.parse_args()
  try:
    claims = measure(args)
  except ImportError as error:
    print(f"{error}: pip install -e '.[bench]'", file=sys.stderr)
    return 2
  device = jax.local_devices()[0].device_kind
  print(json.dumps({"device": device, "claims": claims}))
  return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--data_dir", required=True, help="TFDS' root")
  parser.add_argument(
    "--workdir", help="of the run; by default a temporary one"
  )
  parser.add_argument("--epochs", type=int, default=3)
  parser.add_argument("--images", type=int, default=200)
  parser.add_argument("--rounds", type=int, default=2)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
  """Attacks the twins in turns; prints and returns what came of it.

  Args:
    args: As `main` takes them.

  Returns:
    The claims.

  Raises:
    ImportError: If torch or pyautoattack is missing.
  """
  import torch  # pyright: ignore[reportMissingImports]
  from pyautoattack import (  # pyright: ignore[reportMissingImports]
    AutoAttack,
  )

  warnings.simplefilter("ignore")
  parallel.use_all_cores()
  with tempfile.TemporaryDirectory() as temporary:
    workdir = pathlib.Path(args.workdir or temporary)
    config, variables = trained(args.data_dir, workdir, args.epochs)
  dataset = data.load(config.data, "test")
  images = np.asarray(dataset.inputs[: args.images], np.float32) / 255
  labels = np.asarray(dataset.labels[: args.images])
  network = twin(config, variables)
  x = torch.tensor(np.ascontiguousarray(images.transpose((0, 3, 1, 2))))
  y = torch.tensor(labels.astype(np.int64))
  model = models.build(**config_lib.model_arguments(config))
  logits = np.asarray(model.apply(variables, images).logits)  # pyright: ignore
  apart = np.abs(logits - network(x).detach().numpy()).max()
  print(f"logits of the twins differ by {apart:.1e}")
  print(f"clean accuracy {(logits.argmax(1) == labels).mean():.4f}")

  launcher = parallel.Launcher("pmap", jax.local_devices())
  judge = AttackJudge(model, deterministic(), True, launcher, 250)
  (cell,) = evaluation.ensemble_cells([EPS], examples=args.images)
  placed = launcher.replicate(variables)
  key = launcher.replicate(jax.random.key(0))

  def ours() -> dict[str, np.ndarray]:
    return judge(placed, cell, dataset, key)

  def peer() -> float:
    attack = AutoAttack(network, norm="Linf", eps=EPS, device="cpu", seed=0)
    attack.verbose = False
    _, answers = attack.run_standard_evaluation(x, y, batch_size=250)
    return float((answers == y).float().mean())

  begun = time.perf_counter()
  found = ours()
  first = time.perf_counter() - begun
  seconds: dict[str, list[float]] = {"ours": [], "peer": []}
  robust = float("nan")
  for _ in range(args.rounds):
    begun = time.perf_counter()
    found = ours()
    seconds["ours"].append(time.perf_counter() - begun)
    begun = time.perf_counter()
    robust = peer()
    seconds["peer"].append(time.perf_counter() - begun)
  mine = statistics.median(seconds["ours"])
  theirs = statistics.median(seconds["peer"])
  print(f"first call {first:.1f} s, compiling {first - mine:.1f} s of it")
  for name, hits in found.items():
    if name.startswith("hits_after_"):
      print(
        f"  left after {name.removeprefix('hits_after_'):<10}{hits.mean():.4f}"
      )
  print(f"AutoAttack{robust:>18.4f}")
  print(f"seconds: ours {mine:.1f}, AutoAttack {theirs:.1f}")
  accuracy = float(found["hits"].mean())
  return [
    {
      "claim": f"the standard ensemble on {args.images} images, seconds",
      "ours": round(mine, 2),
      "peer": round(theirs, 2),
      "ratio": round(mine / theirs, 3),
      "aim": round(1 / FASTER, 3),
      "met": mine <= theirs / FASTER,
    },
    {
      "claim": f"robust accuracy on {args.images} images, difference",
      "ours": round(accuracy, 4),
      "peer": round(robust, 4),
      "ratio": round(abs(accuracy - robust), 4),
      "aim": APART,
      "met": abs(accuracy - robust) <= APART + 1e-9,
    },
  ]


def trained(
  data_dir: str, workdir: pathlib.Path, epochs: int
) -> tuple[Any, dict[str, Any]]:
  """The config and the variables of a CNN, trained unless the run is there."""
  if not (workdir / "config.json").exists():
    config = jaxrobust.default_config()
    config.data.name, config.data.shape = "cifar10", (32, 32, 3)
    config.data.data_dir = data_dir
    config.data.validation_split = ""
    config.model.name = "small_cnn"
    config.model.width, config.model.hidden = WIDTH, (HIDDEN,)
    config.model.mean = (0.4914, 0.4822, 0.4465)
    config.model.std = (0.2470, 0.2435, 0.2616)
    config.optimizer.name, config.optimizer.learning_rate = "adam", 2e-3
    config.train.epochs = epochs
    config.eval.alphas = config.eval.gaussian_stds = ()
    jaxrobust.train(config, workdir)
  config = config_lib.load(workdir / "config.json")
  config.data.data_dir = data_dir
  model = models.build(**config_lib.model_arguments(config))
  return config, restore(config, workdir, model).state.variables()


def twin(config: Any, variables: dict[str, Any]) -> Any:
  """The same network in PyTorch."""
  import torch  # pyright: ignore[reportMissingImports]
  from torch import nn  # pyright: ignore[reportMissingImports]

  params = jax.tree.map(np.asarray, variables["params"])
  mean = torch.tensor(config.model.mean).view(1, 3, 1, 1)
  std = torch.tensor(config.model.std).view(1, 3, 1, 1)

  def layer(kind: Any, name: str, axes: tuple[int, ...], *args: Any) -> Any:
    made = kind(*args)
    with torch.no_grad():
      made.weight.copy_(torch.tensor(params[name]["kernel"].transpose(axes)))
      made.bias.copy_(torch.tensor(params[name]["bias"]))
    return made

  kernel, matrix = (3, 2, 0, 1), (1, 0)
  convolutions = [
    layer(nn.Conv2d, "Conv_0", kernel, 3, WIDTH, 3, 1, 1),
    layer(nn.Conv2d, "Conv_1", kernel, WIDTH, 2 * WIDTH, 3, 1, 1),
  ]
  dense = layer(nn.Linear, "Dense_0", matrix, 8 * 8 * 2 * WIDTH, HIDDEN)
  head = layer(nn.Linear, "head", matrix, HIDDEN, 10)

  class Twin(nn.Module):
    def __init__(self):
      super().__init__()
      self.convolutions = nn.ModuleList(convolutions)
      self.dense, self.head = dense, head

    def forward(self, x):
      x = (x - mean) / std
      for convolution in self.convolutions:
        x = nn.functional.relu(nn.functional.max_pool2d(convolution(x), 2))
      # Ours flattens height, width and channels in this order.
      x = x.permute(0, 2, 3, 1).flatten(1)
      return self.head(nn.functional.relu(self.dense(x)))

  return Twin().eval()


if __name__ == "__main__":
  sys.exit(main())
