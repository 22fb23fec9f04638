"""How a process learns of its job, and what it says when it cannot join."""

import jax
import pytest

import jaxrobust
from jaxrobust.training import processes

pytestmark = pytest.mark.quick
_JOB = {
  "JAXROBUST_COORDINATOR": "10.0.0.1:1234",
  "JAXROBUST_PROCESSES": "4",
  "JAXROBUST_PROCESS": "3",
}


def test_nothing_set_is_one_process():
  assert processes._settings({}) is None
  assert not processes.several()
  assert processes.is_first()


def test_the_environment_names_the_job():
  assert processes._settings({**_JOB, "JAXROBUST_TIMEOUT": "7"}) == {
    "coordinator_address": "10.0.0.1:1234",
    "num_processes": 4,
    "process_id": 3,
    "heartbeat_timeout_seconds": 7,
  }
  assert processes._settings({"JAXROBUST_DISTRIBUTED": "auto"}) == {
    "heartbeat_timeout_seconds": 60
  }


@pytest.mark.parametrize(
  ("changed", "told"),
  [
    ({"JAXROBUST_PROCESS": ""}, "JAXROBUST_PROCESS: not set; "),
    ({"JAXROBUST_PROCESS": "4"}, "must be less than JAXROBUST_PROCESSES=4"),
    (
      {"JAXROBUST_PROCESSES": "many"},
      "SES=many: must be a number",
    ),
    ({"JAXROBUST_COORDINATOR": "here"}, "=here: must be HOST:PORT"),
    ({"JAXROBUST_TIMEOUT": "1"}, "JAXROBUST_TIMEOUT=1: must be .* at least 5"),
    ({"JAXROBUST_DISTRIBUTED": "yes"}, "=yes: must be auto, or not set"),
  ],
)
def test_a_wrong_variable_is_named(changed, told):
  with pytest.raises(jaxrobust.ConfigError, match=told):
    processes._settings({**_JOB, **changed})


def test_an_error_of_one_process_alone_is_nobody_elses():
  assert processes.explain(ValueError("Gloo all-reduce failed")) is None
  assert processes.leave(1) == 1
  processes.wait("here")
  processes.check_same("steps", jax.process_index(), "--workdir", "any")
