"""Play schedules: `python -m tests.simulation SEED` shows one, `--count N` plays N from there on."""

import argparse
import sys
from hashlib import sha256
from time import perf_counter

from tests.simulation.schedule import play


def main() -> int:
    """Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many schedules; one is shown step by step")
    parser.add_argument("--last", type=int, default=0, help="show only so many of the last steps")
    parser.add_argument("--digest", action="store_true", help="show only what tells apart two runs")
    asked = parser.parse_args()
    if asked.digest:
        traces = [play(seed, tracing=True).trace for seed in range(asked.seed, asked.seed + asked.count)]
        print(sha256(repr(traces).encode()).hexdigest())
        return 0
    if asked.count == 1:
        outcome = play(asked.seed, tracing=True)
        print("\n".join(outcome.trace[-asked.last :]))
        print(f"\nseed {outcome.seed}: {outcome.broken or 'every promise was kept'}")
        return int(outcome.broken is not None)
    began = perf_counter()
    broken = 0
    for seed in range(asked.seed, asked.seed + asked.count):
        outcome = play(seed)
        if outcome.broken is not None:
            broken += 1
            print(f"seed {seed}: {outcome.broken}", flush=True)
    print(f"{asked.count} schedules, {broken} of them broken, {perf_counter() - began:.1f} s")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
