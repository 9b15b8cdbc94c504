"""What writes the figures of a run into a page, and draws its pictures."""

from pathlib import Path
from typing import Any

import pytest

from bench import page, pictures
from bench.load import distribution

PAGE = """# A page

<!-- figures: scaling -->
old
<!-- end of figures -->

between

<!-- figures: peers -->
kept
<!-- end of figures -->
"""


def row(what: str, value: float = 100.0, **details: Any) -> dict[str, Any]:
    return {
        "what": what,
        "value": value,
        "unit": "requests/s",
        "p50": 0.001,
        "p99": 0.01,
        "cpu": 100e-6,
        "errors": 0,
        "comparable": True,
        "note": "",
        "details": details,
    }


SCALING = {"rows": [row("1 API process: publish", 2_000.0, cores={"API": 0.61}, cpu_by_part={"API": 3e-4})]}


def peer(name: str, operation: str, **details: Any) -> dict[str, Any]:
    return row(f"{name}: {operation}", peer=name, operation=operation, **details)


def test_a_block_is_replaced_by_its_run_and_one_without_a_run_stays() -> None:
    missing: set[str] = set()

    text = page.filled(PAGE, {"scaling": SCALING}, missing)

    assert "| 1 API process: publish | 2,000 | 61% |" in text
    assert "old" not in text
    assert "kept" in text
    assert missing == {"peers"}
    assert page.filled(text, {"scaling": SCALING}, set()) == text


def test_what_is_unknown_is_named() -> None:
    missing: set[str] = set()

    page.filled("<!-- figures: nothing -->\n<!-- end of figures -->", {}, missing)

    assert missing == {"nothing"}


def test_every_block_of_the_pages_is_known() -> None:
    found = [page._BLOCK.findall((page.DOCS / name).read_text()) for name in page.PAGES]

    assert {block[1] for blocks in found for block in blocks} == set(page.BLOCKS)


def test_peers_stand_side_by_side_and_gaps_show() -> None:
    rows = [
        peer("trivial", "publish"),
        peer("bellwire", "publish"),
        peer("bellwire", "publish → frame at 200/s", rate=200),
    ]

    lines = page._peers({"peers": {"rows": rows}}).splitlines()

    assert lines[0] == "|  | trivial | bellwire |"
    assert lines[2] == "| publish | 100/s; 100 µs (1 ×) | 100/s; 100 µs |"
    assert lines[3] == "| publish → frame at 200/s | – | 1.0 ms / 10.0 ms; 100 µs |"


def test_growth_is_by_operation_and_size_and_the_one_user_apart() -> None:
    rows = [
        row("", stored=1_000, operation="fetch"),
        row("", stored=10_000, operation="fetch"),
        row("", stored=0, operation="fetch"),
    ]

    lines, heavy = page.growth_lines(rows)

    assert lines == {"fetch": {1_000: pytest.approx(100), 10_000: pytest.approx(100)}}
    assert heavy == {"fetch": pytest.approx(100)}


def test_what_a_browser_shows_is_told_with_its_95th_percentile() -> None:
    badges = row("publish → badge painted, one by one", count=400, p95=0.02)
    scrolled = {**row("5,000 rows scrolled", 41.0), "unit": "ms", "note": "0 of over 50 ms"}
    names = ("machine", "python", "postgresql", "redis", "kafka", "measured_at", "commit", "cores", "quick")
    about = {**dict.fromkeys(names, ""), "seconds": 4.0, "load_before": [1.0], "load_after": [2.0]}
    run = {"about": about, "rows": [badges, scrolled]}

    lines = page._browser({"browser": run}).splitlines()

    assert lines[-2:] == [
        "| publish → badge painted, one by one, 400 times | p50 1.0 ms, p95 20.0 ms, p99 10.0 ms |",
        "| 5,000 rows scrolled | 41 ms; 0 of over 50 ms |",
    ]


def test_unit_costs_need_every_run() -> None:
    assert page.measured({"scaling": SCALING}) is None


def test_a_record_has_the_size_of_its_text_and_some_more() -> None:
    assert 150 < page.record_bytes() < 500


def test_a_distribution_has_a_tail_only_where_there_are_values_for_it() -> None:
    few, many = distribution([0.2, 0.1]), distribution([n / 1e5 for n in range(100_000)])

    assert few[0] == (0.0, 0.1)
    assert few[-1] == (0.99, 0.2)
    assert many[50] == (0.5, 0.5)
    assert list(many[-1]) == pytest.approx([0.9999, 0.9999])
    assert distribution([]) == []


def test_each_nine_takes_as_much_room() -> None:
    assert pictures.nines(0.0) == 0
    assert [pictures.nines(share) for share in (0.9, 0.99, 0.999)] == pytest.approx([1, 2, 3])


def test_the_same_figures_give_the_same_pictures(tmp_path: Path) -> None:
    curves = {"trivial server, 200/s": [(0.0, 0.001), (0.5, 0.002), (0.99, 0.02)]}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        pictures.latencies(curves, tmp_path / name / "latency.svg")
        pictures.throughput({"publish": (4_000.0, "requests/s")}, tmp_path / name / "throughput.svg")
        pictures.growth({"fetch": {1_000: 1.0, 10_000: 2.0}}, {"fetch": 3.0}, tmp_path / name / "growth.svg")
        pictures.cores(SCALING["rows"], tmp_path / name / "scaling.svg")

    for drawn in (tmp_path / "first").iterdir():
        assert drawn.read_bytes() == (tmp_path / "second" / drawn.name).read_bytes()


def test_only_pictures_of_runs_that_there_are_are_drawn(tmp_path: Path) -> None:
    page.draw({"scaling": SCALING}, tmp_path)

    assert "scaling.svg" in {drawn.name for drawn in tmp_path.iterdir()}
    assert "growth.svg" not in {drawn.name for drawn in tmp_path.iterdir()}
