"""A plot of a drain: when clients reconnected, where they were, and what the other node's users noticed."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.draining import Drained
from bench.load import percentile

_BEFORE, _AFTER = 8, 12
"""Seconds shown around the drain."""


def draw(seen: Drained, file: Path) -> None:
    """Write an SVG; the same figures give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(9, 6), layout="constrained")
        reconnects, sockets, asking = figure.subplots(3, 1, sharex=True)
        _reconnects(reconnects, seen)
        _sockets(sockets, seen)
        _asking(asking, seen)
        gone = None if seen.ending.gone is None else seen.ending.gone - seen.ending.asked
        last = max(seen.back, gone or 0.0)
        for axes in (reconnects, sockets, asking):
            axes.axvspan(0, gone or last, color="tab:gray", alpha=0.15, linewidth=0)
            axes.set_ylim(bottom=0)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="upper right")
        asking.set_xlim(-_BEFORE, last + _AFTER)
        asking.set_xlabel("seconds after SIGTERM to one node; shaded until its process had ended")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _reconnects(axes: Any, seen: Drained) -> None:
    axes.set_ylabel("reconnects/s")
    counts: defaultdict[int, int] = defaultdict(int)
    for when in seen.reconnects:
        counts[int(when // 1)] += 1
    axes.bar([second + 0.5 for second in counts], list(counts.values()), width=0.9, color="tab:orange")
    share = 0.1 * len(seen.reconnects)
    axes.axhline(share, color="tab:red", linewidth=0.8, linestyle="--", label="a tenth of all")


def _sockets(axes: Any, seen: Drained) -> None:
    axes.set_ylabel("open sockets")
    times = [when - seen.ending.asked for when, _ in seen.clients.account.samples]
    for port, name, color in zip(
        seen.ports, ("the drained node", "the other node"), ("tab:gray", "tab:blue"), strict=True
    ):
        counts = [count.get(port, 0) for _, count in seen.clients.account.samples]
        axes.plot(times, counts, label=name, color=color, linewidth=1)


def _asking(axes: Any, seen: Drained) -> None:
    axes.set_ylabel("GET at the other node, ms")
    by_second: defaultdict[int, list[float]] = defaultdict(list)
    for when, took in zip(seen.probes.times, seen.probes.latencies, strict=True):
        by_second[int((when - seen.ending.asked) // 1)].append(took * 1e3)
    seconds = sorted(by_second)
    for share, name, color in ((0.99, "p99", "tab:green"), (0.5, "p50", "tab:olive")):
        values = [percentile(by_second[second], share) for second in seconds]
        axes.plot([second + 0.5 for second in seconds], values, label=name, color=color, linewidth=1)
