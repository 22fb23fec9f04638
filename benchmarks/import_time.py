"""The time of `import jaxrobust` against what it stands on.

  python -m benchmarks.import_time

Fresh processes in turn; the median of each. The last line is one JSON object.
"""

import json
import platform
import statistics
import subprocess
import sys
import time

ROUNDS = 8
OURS = "import jaxrobust"
PEER = "import jax, flax.linen, optax"


def seconds(statement: str) -> float:
  """The wall time of a process that makes one import."""
  begin = time.perf_counter()
  subprocess.run([sys.executable, "-c", statement], check=True)
  return time.perf_counter() - begin


def main() -> None:
  for statement in (OURS, PEER):
    seconds(statement)  # The first reads everything from the disk.
  times = [(seconds(OURS), seconds(PEER)) for _ in range(ROUNDS)]
  ours, peer = (
    statistics.median(column) for column in zip(*times, strict=True)
  )
  for statement, value in ((OURS, ours), (PEER, peer)):
    print(f"{statement:<32}{value:>8.2f} s")
  claim = {
    "claim": "seconds of `import jaxrobust` against jax, flax.linen, optax",
    "ours": round(ours, 3),
    "peer": round(peer, 3),
    "ratio": round(ours / peer, 3),
    "aim": 1.5,
    "met": ours / peer < 1.5,
  }
  print(json.dumps({"device": platform.machine(), "claims": [claim]}))


if __name__ == "__main__":
  main()
