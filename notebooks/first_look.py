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
# # A first look: train, evaluate, see
#
# A small network is trained twice, on clean digits and on digits with Cauchy
# noise, judged under noise and under attack, and drawn.
#
# It trains on MNIST, five epochs a network, in a minute or two on two CPU
# cores; with the environment variable `JAXROBUST_NOTEBOOK=quick` on
# scikit-learn's 8x8 digits, in seconds and without a download. Either is one
# run of one seed and proves nothing: what was measured with care is in
# `results/` of the repository, and in short on the page of each paper.

# %%
# %matplotlib inline
import os
import pathlib
import tempfile

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxrobust
from jaxrobust import alpha_stable, data, methods
from jaxrobust.report import figures, page

QUICK = os.environ.get("JAXROBUST_NOTEBOOK") == "quick"
DATA_DIR = os.environ.get("JAXROBUST_DATA_DIR", "data")
WORK = pathlib.Path(
  tempfile.mkdtemp() if QUICK else "runs/notebooks/first_look"
)
if not QUICK:
  data.prepare(["mnist"], DATA_DIR)  # Fetches it, unless it is there.

# %% [markdown]
# ## One config is one run
#
# A config names data, model, method, optimiser and what to judge under. A
# method is an input, perhaps a second view, a forward and an objective;
# `methods.preset` fills in those of a paper. Here it is the first one's: noise
# with heavy tails on the input, as strong as P(|noise| > 0.5) = 0.126.


# %%
def make_config(method):
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.data_dir = DATA_DIR
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.model.name = "mlp"
  config.method = methods.preset(method)
  if method == "alpha_stable":
    config.method.input.alpha = 1.0
    config.method.input.flip_rate = 0.126
  config.schedule.name = "cosine"
  config.train.epochs = 5
  config.train.devices = 1
  if QUICK:
    jaxrobust.variant(config, "quick")
    config.data.train_split = "train"
    config.train.epochs = 4
    config.train.log_every = 100
    config.checkpoint.every_epochs = 100  # The last epoch is always kept.
    config.optimizer.learning_rate = 3e-3
  config.eval.gaussian_stds = ()
  config.eval.alphas = (1.0,)
  config.eval.flip_rates = (0.02, 0.05, 0.126, 0.2, 0.3)
  return config


config = make_config("alpha_stable")
print(config.method.input.name, config.method.objective.name)

# %% [markdown]
# What the second network is to see: the same digits, clean and under noise of
# the same strength with two tails. Gaussian noise is a bit everywhere, Cauchy
# noise a lot in few places.

# %%
test_set = data.load(config.data, config.data.test_split)
images = test_set.gather(np.arange(6)).astype(np.float32) / 255
rows_of_images = {"clean": images}
for name, alpha in (("Gaussian", 2.0), ("Cauchy", 1.0)):
  law = alpha_stable.AlphaStable.from_flip_rate(alpha=alpha, rate=0.126)
  draw = jax.jit(lambda key, law=law: law.sample(key, images.shape))
  noise = draw(jax.random.key(0))
  rows_of_images[f"{name}, scale {law.scale:.2f}"] = np.clip(
    images + noise, 0, 1
  )

figure, panels = plt.subplots(3, 6, figsize=(7, 3.9), layout="constrained")
for line, (name, shown) in zip(panels, rows_of_images.items(), strict=True):
  line[0].set_title(name, fontsize="medium", loc="left")
  for axes, image in zip(line, shown, strict=True):
    axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## Train
#
# `jaxrobust.train` runs on all devices that the config allows, keeps
# checkpoints, and judges the network at the end. Called again with the same
# folder it resumes, or finds that all is done.

# %%
rows = {}
for method in ("standard", "alpha_stable"):
  outcome = jaxrobust.train(make_config(method), WORK / method)
  rows[method] = outcome.rows
  clean = next(row for row in outcome.rows if row["metric"] == "accuracy")
  print(f"{method}: {100 * clean['value']:.1f} % clean")

# %% [markdown]
# ## Evaluate
#
# Every number is a row: what was tested, how strongly, on how many examples.
# `jaxrobust.evaluate` adds rows to a run that is finished; here those of PGD,
# an attack that looks for the worst change of up to 0.1 per pixel. Noise
# training helps a little, and is no defence.

# %%
for method in rows:
  attacked = jaxrobust.evaluate(
    WORK / method, attack_eps=(0.1,), attacks=("pgd",)
  )
  for row in attacked:
    if row["metric"] == "accuracy" and row["perturbation"].startswith("pgd"):
      print(
        f"{method}: {100 * row['value']:.1f} % under {row['perturbation']} at "
        f"{row['strength']}, {row['n_examples']} examples"
      )

# %% [markdown]
# ## See
#
# All that is known of both runs, as one page that needs no network:

# %%
print(page.write_page([WORK / method for method in rows], WORK / "report.html"))

# %% [markdown]
# And the figure of this notebook, from the rows above: accuracy against the
# strength of Cauchy noise, with 95 % intervals. On all of MNIST, with 30
# epochs, the network trained on clean images has 79.1 % at strength 0.126 and
# the one trained with Cauchy noise 98 % (README.md, one seed each).

# %%
figures.accuracy_against_strength(
  [row for own in rows.values() for row in own], "alpha_stable(alpha=1.0)"
)
