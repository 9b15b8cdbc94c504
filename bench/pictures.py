"""The pictures of docs/performance.md, drawn from the rows of saved results."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
_PARTS = {
    "API": "tab:blue",
    "consumer": "tab:orange",
    "PostgreSQL": "tab:green",
    "Redis": "tab:red",
    "broker": "tab:purple",
    "generator": "tab:gray",
}


@contextmanager
def _drawn(file: Path, width: float, height: float) -> Iterator[Any]:
    """Axes of a picture with a white ground, which dark pages show as it is. The same figures give the same
    bytes.
    """
    with mpl.rc_context({"svg.hashsalt": "bellwire", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        yield axes
        axes.grid(visible=True, alpha=0.3)
        axes.set_axisbelow(True)
        figure.savefig(file, format="svg", metadata={"Date": None})


def nines(share: float) -> float:
    """Where a share stands on a scale on which each further nine takes as much room."""
    return -math.log10(1 - share)


def latencies(curves: Mapping[str, Sequence[tuple[float, float]]], file: Path) -> None:
    """How long what share of the frames took at most, by the name of the curve."""
    with _drawn(file, 9, 4) as axes:
        for name, points in curves.items():
            axes.plot(
                [nines(share) for share, _ in points],
                [took * 1e3 for _, took in points],
                label=name,
                linewidth=1.2,
            )
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.1)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("ms from when a publish was due until its frame was read")
        axes.set_xticks([nines(share) for share in _SHARES], ["least", "p50", "p90", "p99", "p99.9"])
        axes.legend(loc="lower right")


def throughput(bars: Mapping[str, tuple[float, str]], file: Path) -> None:
    """What each operation achieves a second, with its unit."""
    with _drawn(file, 9, 0.8 + 0.26 * len(bars)) as axes:
        names, values = list(bars), [value for value, _ in bars.values()]
        axes.barh(names, values, color="tab:blue", height=0.7)
        for name, (value, unit) in bars.items():
            axes.annotate(f" {value:,.0f} {unit}", (value, name), va="center")
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(100, max(values, default=1.0) * 12)
        axes.xaxis.set_major_formatter("{x:,.0f}")


def growth(lines: Mapping[str, Mapping[int, float]], heavy: Mapping[str, float], file: Path) -> None:
    """Processor time of an operation (µs) by how much is stored, and for one user with 30,000 unread."""
    with _drawn(file, 9, 4) as axes:
        for name, points in lines.items():
            (line,) = axes.plot(list(points), list(points.values()), marker="o", markersize=3, label=name)
            if name in heavy:
                axes.plot(
                    [30_000],
                    [heavy[name]],
                    marker="D",
                    markersize=6,
                    color=line.get_color(),
                    fillstyle="none",
                )
        axes.plot(
            [],
            [],
            marker="D",
            color="black",
            fillstyle="none",
            linestyle="",
            label="one user with 30,000 unread",
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("notifications stored")
        axes.set_ylabel("processor time of all parts, µs each")
        axes.legend(loc="upper left", ncols=2)
        low, high = axes.get_ylim()
        axes.set_ylim(low / 1.5, high * 3)


def cores(rows: Rows, file: Path) -> None:
    """Which part was busy with how much of the cores, stacked, for each row that says so."""
    with _drawn(file, 9, 0.9 + 0.3 * len(rows)) as axes:
        names = [row["what"] for row in rows]
        ends = [0.0] * len(rows)
        for part, color in _PARTS.items():
            widths = [row["details"]["cores"].get(part, 0.0) for row in rows]
            axes.barh(names, widths, left=ends, color=color, label=part, height=0.7)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("cores busy")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=6)
