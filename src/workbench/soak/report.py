"""The results of a run, for people and programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from workbench.soak.evidence import Injected, Outcome, Verdict
from workbench.soak.run import Result

_MARKS = {Outcome.HELD: "✓", Outcome.VIOLATED: "✗", Outcome.UNCHECKED: "?"}


def passed(result: Result) -> bool:
    """Whether every promise that was checked held."""
    return all(verdict.outcome is not Outcome.VIOLATED for verdict in result.verdicts)


def write(result: Result, folder: Path) -> None:
    """Write verdict.md and verdict.json."""
    (folder / "verdict.md").write_text(markdown(result), encoding="utf-8")
    (folder / "verdict.json").write_text(json.dumps(document(result), indent=1), encoding="utf-8")


def document(result: Result) -> dict[str, object]:
    """All results, ready for JSON."""
    return {
        "seed": result.plan.seed,
        "seconds": result.plan.seconds,
        "per_second": result.plan.per_second,
        "held": passed(result),
        "verdicts": [asdict(verdict) for verdict in result.verdicts],
        "faults": [asdict(fault) for fault in result.injected],
        "restarts": list(result.exits),
        "notes": list(result.notes),
    }


def markdown(result: Result) -> str:
    plan = result.plan
    summary = (
        f"{plan.seconds / 60:.1f} minutes at {plan.per_second:.0f} notifications/s, "
        f"{len(result.injected)} faults: **{'held' if passed(result) else 'VIOLATED'}**."
    )
    lines = [
        f"# Soak, seed {plan.seed}",
        "",
        summary,
        "",
        *_verdicts(result.verdicts),
        *_examples(result.verdicts),
        *_faults(result.injected),
    ]
    remarks = [*result.exits, *result.notes]
    if remarks:
        lines += ["", "## Remarks", "", *(f"- {words}" for words in remarks)]
    return "\n".join(lines) + "\n"


def _verdicts(verdicts: Sequence[Verdict]) -> Sequence[str]:
    rows = [
        f"| {each.invariant} | {each.promise} | {_MARKS[each.outcome]} {each.outcome} | {_figures(each)} |"
        for each in verdicts
    ]
    return ["| | Promise | Verdict | Figures |", "| --- | --- | --- | --- |", *rows]


def _figures(verdict: Verdict) -> str:
    return ", ".join(f"{name}: {value}" for name, value in verdict.figures.items())


def _examples(verdicts: Sequence[Verdict]) -> Sequence[str]:
    told = [each for each in verdicts if each.examples]
    lines = ["", "## What was found"] if told else []
    for each in told:
        lines += ["", f"{each.invariant}:", "", *(f"- {words}" for words in each.examples)]
    return lines


def _faults(injected: Sequence[Injected]) -> Sequence[str]:
    names = sorted({fault.name for fault in injected})
    lines = ["", "## Faults, and seconds until everything was delivered again", ""]
    lines += ["| Fault | Times | Median | Slowest |", "| --- | ---: | ---: | ---: |"]
    for name in names:
        times = [fault.delivered_after for fault in injected if fault.name == name]
        known = [took for took in times if took is not None]
        middle = f"{median(known):.1f}" if known else "-"
        slowest = "never" if None in times else f"{max(known):.1f}"
        lines.append(f"| {name} | {len(times)} | {middle} | {slowest} |")
    return lines
