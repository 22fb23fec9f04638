"""Every example once an epoch, in batches of one shape, from any position."""

import json
import threading
import warnings

import numpy as np
import pytest

from jaxrobust.data import Dataset, Loader, OnDemandDataset

SIZE, BATCH = 22, 8


@pytest.fixture(name="dataset")
def make_dataset():
  inputs = np.arange(SIZE, dtype=np.float32)[:, None, None] * np.ones((1, 3, 2))
  return Dataset(
    "counting", "train", inputs.astype(np.float32), np.arange(SIZE) % 5, "abcde"
  )


def take(loader, count):
  return [next(loader) for _ in range(count)]


def assert_same(batches, others):
  assert len(batches) == len(others)
  for batch, other in zip(batches, others, strict=True):
    assert batch.keys() == other.keys()
    for name in batch:
      np.testing.assert_array_equal(batch[name], other[name])


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_epoch_visits_every_example_exactly_once(dataset, shuffle):
  loader = Loader(dataset, BATCH, shuffle=shuffle, epochs=3)
  assert loader.steps_per_epoch == 3
  batches = list(loader)
  assert len(batches) == 9
  for epoch in range(3):
    part = batches[3 * epoch : 3 * epoch + 3]
    index = np.concatenate([batch["index"] for batch in part])
    assert sorted(index[index >= 0]) == list(range(SIZE))


def test_batches_have_one_shape_and_the_promised_types(dataset):
  for batch in Loader(dataset, BATCH, epochs=1):
    kinds = {name: (x.dtype, x.shape) for name, x in batch.items()}
    assert kinds == {
      "inputs": (np.float32, (BATCH, 3, 2)),
      "labels": (np.int32, (BATCH,)),
      "index": (np.int32, (BATCH,)),
      "mask": (np.float32, (BATCH,)),
    }


def test_rows_hold_the_example_that_index_names_or_zeros(dataset):
  for batch in Loader(dataset, BATCH, epochs=1):
    for row, index in enumerate(batch["index"]):
      real = index >= 0
      assert batch["mask"][row] == real
      assert np.all(batch["inputs"][row] == (index if real else 0))
      assert batch["labels"][row] == (index % 5 if real else 0)


def test_padding_is_at_the_end_of_each_epochs_last_batch(dataset):
  masks = [b["mask"].sum() for b in take(Loader(dataset, BATCH), 6)]
  assert masks == [8, 8, 6, 8, 8, 6]


def test_each_epoch_and_each_seed_has_an_order_of_its_own(dataset):
  orders = set()
  for seed in range(3):
    batches = take(Loader(dataset, BATCH, seed=seed), 6)
    for epoch in (batches[:3], batches[3:]):
      orders.add(tuple(np.concatenate([b["index"] for b in epoch])))
  assert len(orders) == 6


def test_the_same_seed_gives_the_same_batches(dataset):
  assert_same(
    take(Loader(dataset, BATCH, seed=4), 7),
    take(Loader(dataset, BATCH, seed=4), 7),
  )


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_processes_share_the_rows_of_the_global_batch(dataset, processes):
  whole = take(Loader(dataset, BATCH, seed=1), 7)
  shards = [
    take(
      Loader(
        dataset,
        BATCH,
        seed=1,
        process_index=process,
        process_count=processes,
      ),
      7,
    )
    for process in range(processes)
  ]
  joined = [
    {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for parts in zip(*shards, strict=True)
  ]
  assert_same(joined, whole)


@pytest.mark.parametrize("position", [0, 1, 2, 3, 7])
def test_resuming_continues_exactly_even_within_an_epoch(dataset, position):
  loader = Loader(dataset, BATCH, seed=2)
  take(loader, position)
  state = json.loads(json.dumps(loader.get_state()))
  expected = take(loader, 5)
  fresh = Loader(dataset, BATCH, seed=2)
  take(fresh, 2)  # Wherever it was before.
  fresh.set_state(state)
  assert_same(take(fresh, 5), expected)
  assert fresh.get_state() == loader.get_state()


def test_the_state_is_the_same_on_every_process(dataset):
  states = []
  for process in range(2):
    loader = Loader(dataset, BATCH, process_index=process, process_count=2)
    take(loader, 4)
    states.append(loader.get_state())
  assert states[0] == states[1]


def test_the_state_of_another_run_is_refused(dataset):
  state = Loader(dataset, BATCH, seed=1).get_state()
  with pytest.raises(
    ValueError, match="state has seed=1; this loader allows 2"
  ):
    Loader(dataset, BATCH, seed=2).set_state(state)


def test_indices_only_gives_the_same_index_and_mask_and_no_more(dataset):
  full = take(Loader(dataset, BATCH), 4)
  bare = take(Loader(dataset, BATCH, indices_only=True), 4)
  assert_same(bare, [{n: b[n] for n in ("index", "mask")} for b in full])


def test_data_read_on_demand_gives_the_same_batches(dataset):
  on_demand = OnDemandDataset(
    "counting",
    "train",
    lambda indices: (dataset.inputs[indices], dataset.labels[indices]),
    SIZE,
    (3, 2),
    "abcde",
  )
  assert_same(
    take(Loader(on_demand, 8, process_index=7, process_count=8), 7),
    take(Loader(dataset, 8, process_index=7, process_count=8), 7),
  )


def test_data_on_demand_is_read_by_several_threads_ahead():
  together = threading.Barrier(3, timeout=20)

  def read(indices):
    together.wait()  # Passes only if three batches are read at once.
    return np.zeros((len(indices), 2, 2, 1), np.uint8), indices * 0

  dataset = OnDemandDataset("slow", "train", read, 120, (2, 2, 1), "a")
  assert len(list(Loader(dataset, 10, epochs=1))) == 12


def test_an_error_of_a_reading_thread_reaches_the_caller():
  def read(indices):
    raise ValueError("damaged record")

  dataset = OnDemandDataset("bad", "train", read, 8, (2, 2, 1), "a")
  with pytest.raises(ValueError, match="damaged record"):
    next(Loader(dataset, 4))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"batch_size": 0}, "batch_size is 0"),
    ({"batch_size": 9, "process_count": 2}, "batch_size is 9"),
    ({"batch_size": 8, "process_index": 2, "process_count": 2}, "is 2 of"),
    ({"batch_size": 8, "epochs": 0}, "epochs is 0"),
    ({"batch_size": 8, "seed": -1}, "seed is -1"),
  ],
)
def test_wrong_arguments_are_refused(dataset, arguments, message):
  with pytest.raises(ValueError, match=message):
    Loader(dataset, **arguments)


def test_a_loader_that_is_dropped_midway_leaves_no_warning(dataset):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    loader = Loader(dataset, BATCH)
    next(loader)
    del loader
