"""The plots: a drain as its clients saw it, and the stages between a publish and its frame."""

from collections import defaultdict
from collections.abc import Mapping
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


def draw_stages(kept: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]], file: Path) -> None:
    """Write an SVG of the mean time in each stage, stacked, by broker and rate. The same figures give the
    same bytes.
    """
    bars = [
        (f"{kafka.partition(',')[0]}\n{int(rate):,}/s", stages)
        for kafka, rates in kept.items()
        for rate, stages in rates.items()
    ]
    names = list(dict.fromkeys(name for _, stages in bars for name in stages))
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(9, 1.6 + 0.45 * len(bars)), layout="constrained")
        axes = figure.subplots()
        ends = [0.0] * len(bars)
        for name, color in zip(names, mpl.colormaps["tab20"].colors, strict=False):  # type: ignore[attr-defined]
            widths = [stages.get(name, {}).get("mean", 0.0) * 1e3 for _, stages in bars]
            axes.barh([label for label, _ in bars], widths, left=ends, color=color, label=name, height=0.7)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        axes.invert_yaxis()
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.set_xlabel("ms from when a publish was due until its frame was read, mean")
        figure.legend(loc="outside lower center", ncols=3)
        figure.savefig(file, format="svg", metadata={"Date": None})
