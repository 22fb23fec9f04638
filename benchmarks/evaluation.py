"""What judging costs: attacks, and the common corruptions.

  python -m benchmarks.evaluation --data_dir=DATA

`benchmarks.attacks` and `benchmarks.corruptions`, one after the other; each can
be run alone. The last line is one JSON object with the claims of both. Exit
code 2: a peer is missing.
"""

import argparse
import json
import sys

import jax

from benchmarks import attacks, corruptions


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  attacks.add_arguments(parser)
  args = parser.parse_args()
  try:
    claims = attacks.measure(args) + corruptions.measure()
  except ImportError as error:
    print(f"{error}: pip install -e '.[bench]'", file=sys.stderr)
    return 2
  device = jax.local_devices()[0].device_kind
  print(json.dumps({"device": device, "claims": claims}))
  return 0


if __name__ == "__main__":
  sys.exit(main())
