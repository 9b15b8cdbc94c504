"""A plot of a run: throughput, backlog, the memory of the processes, and the faults."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workbench.soak.evidence import Injected
from workbench.soak.run import Result
from workbench.soak.watch import Sample, Totals

_SMOOTH = 3
_NAMED_FAULTS = 25
"""With more faults, their names would overlap."""
_COLORS = {"PostgreSQL": "tab:blue", "Redis": "tab:red", "Kafka": "tab:green", "our processes": "tab:gray"}


def draw(result: Result, file: Path) -> None:
    """Write an SVG; the same run gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(11, 7), layout="constrained")
        rates, backlog, memory = figure.subplots(3, 1, sharex=True)
        _rates(rates, result.totals)
        _backlog(backlog, result.totals)
        _memory(memory, result.watch.samples)
        for axes in (rates, backlog, memory):
            axes.set_ylim(bottom=0)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="upper left", ncols=4)
            for fault in result.injected:
                axes.axvspan(fault.begun, fault.ended, color=_color(fault), alpha=0.2, linewidth=0)
        if len(result.injected) <= _NAMED_FAULTS:
            _name(rates, result.injected)
        figure.legend(
            handles=[Patch(color=color, alpha=0.2, label=what) for what, color in _COLORS.items()],
            loc="outside upper right",
            ncols=len(_COLORS),
            title="a fault of",
        )
        memory.set_xlabel("seconds")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _color(fault: Injected) -> str:
    return next((color for what, color in _COLORS.items() if what in fault.name), _COLORS["our processes"])


def _name(axes: Any, faults: Sequence[Injected]) -> None:
    for fault in faults:
        axes.text(
            fault.begun, 1.02, fault.name, transform=axes.get_xaxis_transform(), rotation=60, fontsize=5
        )


def _rates(axes: Any, totals: Sequence[Totals]) -> None:
    axes.set_ylabel("notifications/s")
    for name, color in (("accepted", "tab:blue"), ("stored", "tab:green"), ("delivered", "tab:orange")):
        known = [(one.t, getattr(one, name)) for one in totals if getattr(one, name) is not None]
        pairs = list(zip(known, known[_SMOOTH:], strict=False))
        times = [late[0] for _, late in pairs]
        rates = [(late[1] - early[1]) / max(late[0] - early[0], 0.001) for early, late in pairs]
        axes.plot(times, rates, label=name, color=color, linewidth=0.8)


def _backlog(axes: Any, totals: Sequence[Totals]) -> None:
    axes.set_ylabel("accepted, not yet stored")
    known = [(one.t, max(0, one.accepted - one.stored)) for one in totals if one.stored is not None]
    axes.plot(
        *zip(*known, strict=True) if known else ((), ()), label="backlog", color="tab:purple", linewidth=0.8
    )


def _memory(axes: Any, samples: Sequence[Sample]) -> None:
    axes.set_ylabel("RSS, MiB")
    lives: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        lives[sample.process].append((sample.t, sample.rss / 1024 / 1024))
    for process, points in sorted(lives.items()):
        axes.plot(*zip(*points, strict=True), label=process, linewidth=0.8)
