"""Train steps against PyTorch's on the same model and batch.

  python -m benchmarks.train_step
  python -m benchmarks.train_step --torch-python=/path/to/python --only=lenet5

Two long-lived processes, one with JAX and one with PyTorch, are asked in turn,
so that both see the same state of the machine; on a CPU both are held to the
same two cores. A step takes a NumPy batch, does forward, softmax
cross-entropy, backward and an SGD-momentum update. Reported is the median over
rounds of the time of a step within a round; ours is the package's own step,
its host arrays and its waiting for each step included. 'first step' is the
compilation and one step, with an empty cache and from the cache. PyTorch is
measured as models are usually written and, for images, also in its
channels_last layout; the claims are against the former.

The last line is one JSON object. Exit code 2: PyTorch is missing.
"""

import argparse
import atexit
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple, cast


class Case(NamedTuple):
  """One comparison: a model, the shape of a batch, and what is aimed at."""

  title: str
  batch: tuple[int, ...]
  num_classes: int
  steps: int
  aim: float
  devices: int  # On a CPU, --config.train.devices: what suits the model.


CASES = {
  "lenet5": Case("LeNet-5, batch 128", (128, 28, 28, 1), 10, 40, 1.05, 1),
  "small_cnn": Case("CNN 32-64, batch 128", (128, 28, 28, 1), 10, 12, 0.8, 2),
  "lstm": Case("LSTM(128), length 96, batch 64", (64, 96, 1), 10, 16, 0.85, 2),
  "resnet18": Case("ResNet-18, batch 32", (32, 32, 32, 3), 10, 2, 1.35, 2),
}
THREADS = 2
LEARNING_RATE = 0.01
MOMENTUM = 0.9


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument(
    "--torch-python",
    default=sys.executable,
    help="interpreter that has PyTorch (default: this one)",
  )
  parser.add_argument("--only", choices=CASES, help="one model only")
  parser.add_argument("--rounds", type=int, default=9)
  parser.add_argument(
    "--worker", choices=("jax", "torch"), help=argparse.SUPPRESS
  )
  args = parser.parse_args()
  if args.worker:
    serve(jax_worker if args.worker == "jax" else torch_worker)
    return 0

  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  ours = Worker([sys.executable, "-m", "benchmarks.train_step"], "jax", root)
  peer = Worker([args.torch_python, os.path.abspath(__file__)], "torch", root)
  try:
    if "error" in peer.hello:
      print(
        f"PyTorch is missing in {args.torch_python} ({peer.hello['error']}):"
        " install the bench extra or name another with --torch-python",
        file=sys.stderr,
      )
      return 2
    if "error" in ours.hello:
      print(f"JAX cannot start: {ours.hello['error']}", file=sys.stderr)
      return 1
    names = [args.only] if args.only else list(CASES)
    device = f"{ours.hello['device']} | torch on {peer.hello['device']}"
    print(f"ours: {ours.hello['version']} on {ours.hello['device']}")
    print(f"peer: {peer.hello['version']} on {peer.hello['device']}")
    print(
      f"{'training step':<32}{'ours':>10}{'torch':>10}{'ratio':>8}{'aim':>7}"
      f"{'torch c.l.':>12}{'ratio':>8}{'first step':>12}{'cached':>9}"
    )
    claims = [compare(name, ours, peer, args.rounds) for name in names]
  finally:
    ours.close()
    peer.close()
  print(json.dumps({"device": device, "claims": claims}))
  return 0


def compare(
  name: str, ours: "Worker", peer: "Worker", rounds: int
) -> dict[str, Any]:
  """Measures one case, prints its line and returns its claim."""
  case = CASES[name]
  layouts = ["usual", "channels_last"] if len(case.batch) == 4 else ["usual"]
  compiled = ours.ask("start", name=name)
  for layout in layouts:
    peer.ask("start", name=name, layout=layout)
  times: dict[str, list[float]] = {"ours": []} | {la: [] for la in layouts}
  for _ in range(rounds):
    times["ours"].append(ours.ask("time", name=name, steps=case.steps)["ms"])
    for layout in layouts:
      reply = peer.ask("time", name=name, layout=layout, steps=case.steps)
      times[layout].append(reply["ms"])
  median = {who: statistics.median(ms) for who, ms in times.items()}
  ratio = median["ours"] / median["usual"]
  last = ""
  if "channels_last" in median:
    last = (
      f"{median['channels_last']:>9.2f} ms"
      f"{median['ours'] / median['channels_last']:>8.2f}"
    )
  print(
    f"{case.title:<32}{median['ours']:>7.2f} ms{median['usual']:>7.2f} ms"
    f"{ratio:>8.2f}{case.aim:>7.2f}{last:>20}"
    f"{compiled['cold_s']:>10.2f} s{compiled['cached_s']:>7.2f} s",
    flush=True,
  )
  return {
    "claim": f"train step, {case.title}: milliseconds against PyTorch",
    "ours": round(median["ours"], 3),
    "peer": round(median["usual"], 3),
    "peer_channels_last": round(median["channels_last"], 3)
    if "channels_last" in median
    else None,
    "ratio": round(ratio, 3),
    "aim": case.aim,
    "met": ratio <= case.aim,
    "first_step_cold_s": round(compiled["cold_s"], 3),
    "first_step_cached_s": round(compiled["cached_s"], 3),
  }


class Worker:
  """A process that answers one JSON line with another."""

  def __init__(self, command: list[str], kind: str, cwd: str):
    self._process = subprocess.Popen(
      [*command, "--worker", kind],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=cwd,
    )
    self.hello = self._reply()

  def ask(self, command: str, **details) -> dict[str, Any]:
    """Sends a command and waits for its reply."""
    assert self._process.stdin is not None
    self._process.stdin.write(json.dumps({"do": command, **details}) + "\n")
    self._process.stdin.flush()
    reply = self._reply()
    if "error" in reply:
      raise RuntimeError(reply["error"])
    return reply

  def close(self) -> None:
    """Lets the process end by closing its input."""
    assert self._process.stdin is not None
    self._process.stdin.close()
    self._process.wait()

  def _reply(self) -> dict[str, Any]:
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    return json.loads(line) if line else {"error": "the process ended"}


def serve(worker) -> None:
  """Answers commands from standard input until it ends."""
  # Replies go out on a descriptor of their own: libraries print on stdout.
  replies = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)

  def reply(message):
    replies.write(json.dumps(message) + "\n")
    replies.flush()

  handlers = None
  try:
    hello, handlers = worker()
    reply(hello)
  except Exception as error:
    reply({"error": f"{type(error).__name__}: {error}"})
    return
  for line in sys.stdin:
    message = json.loads(line)
    try:
      reply(handlers[message.pop("do")](**message))
    except Exception as error:
      reply({"error": f"{type(error).__name__}: {error}"})


def hold_to_two_cores() -> set[int]:
  """Restricts this process to two cores; returns those it had."""
  if not hasattr(os, "sched_setaffinity"):
    return set()
  had = os.sched_getaffinity(0)
  os.sched_setaffinity(0, sorted(had)[:THREADS])
  return had


def release(cores: set[int]) -> None:
  """Gives the cores back: a step on a GPU is not a matter of host threads."""
  if cores:
    os.sched_setaffinity(0, cores)


def make_batch(name: str):
  """Returns inputs in [0, 1] and labels, the same in both processes."""
  import numpy as np

  case = CASES[name]
  rng = np.random.default_rng(0)
  inputs = rng.random(case.batch, np.float32)
  labels = rng.integers(0, case.num_classes, case.batch[0])
  return inputs, labels.astype(np.int32)


def jax_worker():
  """Returns the greeting and the commands of the process with JAX."""
  cores = hold_to_two_cores()
  import jax

  jax.config.update("jax_num_cpu_devices", THREADS)
  cache = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, cache, ignore_errors=True)
  jax.config.update("jax_compilation_cache_dir", cache)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
  # One partition per core on a CPU; one GPU, as PyTorch has.
  on_cpu = jax.default_backend() == "cpu"
  devices = jax.local_devices() if on_cpu else jax.local_devices()[:1]
  if not on_cpu:
    release(cores)
  running: dict[str, Any] = {}

  def start(name):
    seconds = []
    for _ in range(2):
      jax.clear_caches()
      step, state, batch = make_jax_step(name, devices[: CASES[name].devices])
      begin = time.perf_counter()
      state, loss = step(state, batch)
      jax.block_until_ready(loss)
      seconds.append(time.perf_counter() - begin)
    for _ in range(3):
      state, loss = step(state, batch)
    jax.block_until_ready(loss)
    running.clear()
    running[name] = [step, state, batch]
    return {"cold_s": seconds[0], "cached_s": seconds[1]}

  def measure(name, steps):
    step, state, batch = running[name]
    begin = time.perf_counter()
    for _ in range(steps):
      state, loss = step(state, batch)
    jax.block_until_ready((state, loss))
    elapsed = time.perf_counter() - begin
    running[name][1] = state
    return {"ms": 1e3 * elapsed / steps}

  what = f"{len(devices)} x {devices[0].device_kind}"
  return (
    {"device": what, "version": f"jax {jax.__version__}"},
    {"start": start, "time": measure},
  )


def make_jax_step(name: str, devices, method: str = "standard"):
  """The package's own step: (step, state, batch), step(state, batch)."""
  import jax
  import numpy as np

  import jaxrobust
  from jaxrobust import methods, models
  from jaxrobust.training import parallel, state, step

  case = CASES[name]
  shape = case.batch[1:]
  config = cast(Any, jaxrobust.default_config())
  config.method = cast(Any, methods.preset(method))
  if method == "alpha_stable":
    config.method.input.alpha = 1.5
    config.method.input.scale = 0.1
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = LEARNING_RATE
  config.optimizer.momentum = MOMENTUM
  config.optimizer.nesterov = False
  model = models.build(
    name, num_classes=case.num_classes, axis_name=parallel.AXIS
  )
  schedule = state.learning_rate_schedule(config, steps_per_epoch=1)
  optimizer = state.make_optimizer(config, schedule)
  launcher = parallel.Launcher("pmap", devices)
  mapped = launcher.map(
    step.make_train_step(
      config,
      model,
      methods.build(config.method, shape),
      optimizer,
      schedule,
      1,
      parallel.AXIS,
    ),
    sharded_in=(False, True, False),
    sharded_out=(False, False),
    donate=(0,),
  )
  first = state.create_state(model, optimizer, shape, seed=0, with_ema=False)
  inputs, labels = make_batch(name)
  rows = len(labels)
  batch = {
    "inputs": inputs,
    "labels": labels,
    "index": np.arange(rows, dtype=np.int32),
    "mask": np.ones(rows, np.float32),
  }

  def run(state, batch):
    state, metrics = mapped(state, launcher.shard(batch), {})
    return state, metrics["loss"]

  return run, jax.block_until_ready(launcher.replicate(first)), batch


def torch_worker():
  """Returns the greeting and the commands of the process with PyTorch."""
  cores = hold_to_two_cores()
  import torch  # pyright: ignore[reportMissingImports]

  cuda = torch.cuda.is_available()
  device = "cuda" if cuda else "cpu"
  if cuda:
    release(cores)
  else:
    torch.set_num_threads(THREADS)
  running: dict[tuple[str, str], Any] = {}

  def wait():
    if cuda:
      torch.cuda.synchronize()

  def start(name, layout):
    running[name, layout] = make_torch_step(name, layout, device)
    for _ in range(3):
      running[name, layout]()
    wait()
    return {}

  def measure(name, layout, steps):
    step = running[name, layout]
    begin = time.perf_counter()
    for _ in range(steps):
      step()
    wait()
    return {"ms": 1e3 * (time.perf_counter() - begin) / steps}

  if cuda:
    what = torch.cuda.get_device_name()
  else:
    what = f"{platform.machine()} cpu, {torch.get_num_threads()} threads"
  return (
    {"device": what, "version": f"torch {torch.__version__}"},
    {"start": start, "time": measure},
  )


def make_torch_step(name: str, layout: str, device: str):
  """Returns a function of nothing that does one training step."""
  import torch  # pyright: ignore[reportMissingImports]

  model = make_torch_model(name).to(device).train()
  inputs, labels = make_batch(name)
  if inputs.ndim == 4:
    inputs = inputs.transpose(0, 3, 1, 2).copy()
  if layout == "channels_last":
    model.to(memory_format=torch.channels_last)  # pyright: ignore
  optimizer = torch.optim.SGD(
    model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM
  )
  criterion = torch.nn.CrossEntropyLoss()

  def step():
    x = torch.from_numpy(inputs).to(device)
    if layout == "channels_last":
      x = x.to(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).to(device).long()
    optimizer.zero_grad(set_to_none=True)
    criterion(model(x), y).backward()
    optimizer.step()

  return step


def make_torch_model(name: str):
  """Returns the PyTorch model equal to ours of that name."""
  from torch import nn  # pyright: ignore[reportMissingImports]

  case = CASES[name]
  if name == "lenet5":
    return nn.Sequential(
      nn.Conv2d(1, 6, 5, padding=2),
      nn.ReLU(),
      nn.MaxPool2d(2),
      nn.Conv2d(6, 16, 5),
      nn.ReLU(),
      nn.MaxPool2d(2),
      nn.Flatten(),
      nn.Linear(400, 120),
      nn.ReLU(),
      nn.Linear(120, 84),
      nn.ReLU(),
      nn.Linear(84, case.num_classes),
    )
  if name == "small_cnn":
    return nn.Sequential(
      nn.Conv2d(1, 32, 3, padding=1),
      nn.ReLU(),
      nn.MaxPool2d(2),
      nn.Conv2d(32, 64, 3, padding=1),
      nn.ReLU(),
      nn.MaxPool2d(2),
      nn.Flatten(),
      nn.Linear(64 * 7 * 7, 256),
      nn.ReLU(),
      nn.Linear(256, case.num_classes),
    )

  class LastState(nn.Module):
    def __init__(self):
      super().__init__()
      self.lstm = nn.LSTM(case.batch[-1], 128, batch_first=True)
      self.head = nn.Linear(128, case.num_classes)

    def forward(self, x):
      return self.head(self.lstm(x)[0][:, -1])

  if name == "lstm":
    return LastState()

  def conv_norm(channels, filters, side, stride):
    return nn.Sequential(
      nn.Conv2d(channels, filters, side, stride, padding=side // 2, bias=False),
      nn.BatchNorm2d(filters),
    )

  class Block(nn.Module):
    def __init__(self, channels, filters, stride):
      super().__init__()
      self.body = nn.Sequential(
        conv_norm(channels, filters, 3, stride),
        nn.ReLU(inplace=True),
        conv_norm(filters, filters, 3, 1),
      )
      same = stride == 1 and channels == filters
      self.shortcut = (
        nn.Identity() if same else conv_norm(channels, filters, 1, stride)
      )
      self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
      return self.relu(self.body(x) + self.shortcut(x))

  widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
  blocks = [
    Block(a, b, 2 if a != b else 1) for a, b in itertools.pairwise(widths)
  ]
  return nn.Sequential(
    conv_norm(3, 64, 3, 1),
    nn.ReLU(inplace=True),
    *blocks,
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(512, case.num_classes),
  )


if __name__ == "__main__":
  sys.exit(main())
