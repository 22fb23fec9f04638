# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # All cores of a TPU, on Colab
#
# The same step runs on one device and on eight: noise is drawn by example, so
# losses and parameters agree. This notebook trains on all devices that there
# are and on one, and ends with both losses in one figure.
#
# **It has not been run on a real TPU by us.** It is run with every change of
# the code on eight virtual devices of a CPU, and that is what it falls back to
# where there is no TPU. On Colab choose a TPU runtime; how many devices it has
# depends on its kind (a v2-8 has eight).

# %% [markdown]
# ## Install, and leave Colab's jax as it is
#
# Set `SOURCE` to where the repository is, as `git+https://HOST/NAME.git`, or to
# a wheel; empty if jaxrobust is installed. The constraints are the versions
# that are here: pip says so and stops, if they are too old for jaxrobust (it
# needs jax 0.10.2), and does not replace the jax that fits this TPU's driver.
# TensorFlow is not needed and not installed.

# %%
import importlib.metadata
import os
import subprocess
import sys

SOURCE = os.environ.get("JAXROBUST_SOURCE", "")
if SOURCE:
  kept = [
    f"{one.name}=={one.version}\n"
    for one in importlib.metadata.distributions()
    if one.name in ("jax", "jaxlib", "libtpu", "numpy")
  ]
  with open("present.txt", "w") as file:
    file.writelines(kept)
  subprocess.run(
    [sys.executable, "-m", "pip", "install", "-q", "-c", "present.txt", SOURCE],
    check=True,
  )

# %% [markdown]
# ## The devices

# %%
# %matplotlib inline
import json
import pathlib
import tempfile

import jax
import matplotlib.pyplot as plt
import numpy as np

# Before the first use of a device, and of no effect where there is a TPU.
jax.config.update("jax_num_cpu_devices", 8)

import jaxrobust
from jaxrobust import data, methods

devices = jax.devices()
print(f"{len(devices)} devices of kind {devices[0].device_kind}")
on_colab = "google.colab" in sys.modules
assert devices[0].platform == "tpu" or not on_colab, (
  "this runtime has no TPU: Runtime, Change runtime type"
)
assert "tensorflow" not in sys.modules

QUICK = os.environ.get("JAXROBUST_NOTEBOOK") == "quick"
DATA_DIR = os.environ.get("JAXROBUST_DATA_DIR", "data")
WORK = pathlib.Path(tempfile.mkdtemp())
if not QUICK:
  data.prepare(["mnist"], DATA_DIR)

# %% [markdown]
# ## One step, any number of devices
#
# The batch is split over the devices, gradients are averaged, and every output
# of the step is equal on all of them. `config.train.devices = 0` would be all,
# too; the batch must be divisible by their number.


# %%
def make_config(number):
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.data_dir = DATA_DIR
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.model.name = "mlp"
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.train.epochs = 5
  config.train.batch_size = 1024
  if QUICK:
    jaxrobust.variant(config, "quick")
  config.train.devices = number
  config.train.log_every = 1 if QUICK else 10
  config.eval.gaussian_stds = ()
  config.eval.alphas = ()
  return config


losses = {}
for number in sorted({1, len(devices)}):
  outcome = jaxrobust.train(make_config(number), WORK / str(number))
  lines = (WORK / str(number) / "metrics.jsonl").read_text().splitlines()
  logged = [json.loads(line) for line in lines]
  losses[number] = {
    line["step"]: line["train/loss"] for line in logged if "train/loss" in line
  }
  accuracy = next(r["value"] for r in outcome.rows if r["metric"] == "accuracy")
  print(f"{number} devices: {100 * accuracy:.1f} % clean")

# %% [markdown]
# ## The same losses
#
# They agree but for the order in which float32 sums are added up.

# %%
curves = {n: np.asarray(list(c.values())) for n, c in losses.items()}
gap = np.abs(curves[1] - curves[len(devices)]).max()
assert gap < 1e-2, gap

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for number, width in zip(losses, (5, 1.5), strict=False):
  axes.plot(
    list(losses[number]), curves[number], lw=width, label=f"{number} devices"
  )
axes.set(xlabel="step", ylabel="training loss", title=f"largest gap {gap:.1e}")
axes.legend(frameon=False)
plt.show()
