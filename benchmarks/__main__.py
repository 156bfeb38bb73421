"""Runs every benchmark there is: `python -m benchmarks`, or `make bench`. The options go to each of them."""

import sys
from typing import Final

from benchmarks import api, log

BENCHMARKS: Final = (api.main, log.main)


def main(arguments: list[str]) -> int:
    """The worst exit code of all."""
    return max(benchmark(arguments) for benchmark in BENCHMARKS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
