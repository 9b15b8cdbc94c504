"""The calculator: a load times its cost, and what decides."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.capacity import Load, Machines, Need, assumptions, cores, main, needs, partitions, table
from bench.units import Units

UNITS = Units(
    publish={"API": 200e-6, "broker": 20e-6},
    batched={"API": 20e-6},
    store={"consumer": 50e-6, "PostgreSQL": 40e-6, "Redis": 10e-6, "broker": 5e-6},
    deliver={"API": 30e-6},
    fetch={"API": 200e-6, "Redis": 30e-6},
    history={"API": 400e-6, "PostgreSQL": 300e-6},
    mark={"API": 100e-6, "PostgreSQL": 70e-6, "Redis": 15e-6},
    open={"API": 500e-6, "PostgreSQL": 50e-6},
    idle_second={"API": 4e-6},
    socket_bytes=20 * 1024,
    record_bytes=300,
    wal_bytes=1_000,
    stored_bytes=600,
)
QUIET = Load(sockets=0, rate=0.0, fetches=0, histories=0, marks=0, openings=0)


def need(part: str, load: Load, machines: Machines | None = None) -> Need:
    return next(one for one in needs(load, UNITS, machines or Machines()) if one.part == part)


def test_every_operation_is_paid_for_by_each_part() -> None:
    load = Load(
        sockets=1_000, rate=100, batched=0.25, online=0.5, sockets_per_user=2,
        fetches=10, histories=5, marks=20, openings=3,
    )  # fmt: skip

    # 75 single publishes, 25 in batches, 100 frames, and the rest as given.
    api = 75 * 200e-6 + 25 * 20e-6 + 100 * 30e-6 + 10 * 200e-6 + 5 * 400e-6 + 20 * 100e-6 + 3 * 500e-6
    assert cores("API", load, UNITS) == pytest.approx(api + 1_000 * 4e-6)
    assert cores("consumer", load, UNITS) == pytest.approx(100 * 50e-6)
    assert cores("PostgreSQL", load, UNITS) == pytest.approx(
        100 * 40e-6 + 5 * 300e-6 + 20 * 70e-6 + 3 * 50e-6
    )
    assert cores("Redis", load, UNITS) == pytest.approx(100 * 10e-6 + 10 * 30e-6 + 20 * 15e-6)


def test_twice_the_load_takes_twice_the_cores() -> None:
    once, twice = (Load(sockets=count * 100_000, rate=count * 10_000) for count in (1, 2))

    for part in ("API", "consumer", "PostgreSQL", "Redis", "broker"):
        assert cores(part, twice, UNITS) == pytest.approx(2 * cores(part, once, UNITS))


def test_silent_sockets_are_bound_by_their_number() -> None:
    found = need("API processes", replace(QUIET, sockets=1_000_000))

    assert (found.count, found.bound) == (50, "20,000 sockets each")
    assert found.memory == pytest.approx(50 * 140 * 2**20 + 1_000_000 * 20 * 1024)


def test_publishes_are_bound_by_processor_time() -> None:
    found = need("API processes", replace(QUIET, rate=6_000, online=0))

    assert (found.count, found.bound) == (2, "processor time")
    assert need("API processes", replace(QUIET, rate=60_000, online=0)).count == 20


def test_a_quiet_system_has_two_of_what_must_not_be_alone() -> None:
    counts = {one.part: one.count for one in needs(QUIET, UNITS, Machines())}

    assert counts == {
        "API processes": 2,
        "consumers": 2,
        "Kafka brokers": 3,
        "Redis shards": 1,
        "PostgreSQL primaries": 1,
    }


@pytest.mark.parametrize(("consumers", "count"), [(1, 12), (4, 12), (5, 24), (9, 36)])
def test_partitions_are_enough_for_each_consumer(consumers: int, count: int) -> None:
    assert partitions(consumers) == count


def test_busy_consumers_need_partitions() -> None:
    load = replace(QUIET, rate=100_000)

    assert need("consumers", load).count == 9  # 5 cores at 60 %
    assert "36 partitions" in need("Kafka brokers", load).bound


def test_brokers_write_every_replica() -> None:
    found = need("Kafka brokers", replace(QUIET, rate=2_000_000))

    assert found.count == 18  # 1,717 MiB/s of 100 each
    assert "1,717 MiB/s" in found.bound


def test_postgres_is_bound_by_its_log_its_cores_or_its_disk() -> None:
    load = replace(QUIET, rate=300_000, retention_days=1)

    assert need("PostgreSQL primaries", load).count == 2
    assert need("PostgreSQL primaries", load).bound.startswith("write-ahead log; 286 MiB/s of log")
    few = need("PostgreSQL primaries", load, Machines(primary_cores=4))
    assert (few.count, few.bound[:5]) == (5, "cores")
    kept = need("PostgreSQL primaries", replace(load, retention_days=100))
    # 300,000 a second at most, a tenth on average, 600 bytes each, for 100 days: 141.4 TiB, 8 on each.
    assert (kept.count, kept.bound) == (18, "disk; 286 MiB/s of log, 141.4 TiB in 100 days")


def test_redis_keeps_feeds_and_subscriptions() -> None:
    found = need("Redis shards", replace(QUIET, sockets=1_000, sockets_per_user=1, rate=120_000))

    assert found.count == 2
    assert found.memory == pytest.approx(2_000 * 8 * 1024 + 1_000 * 235)


def test_what_is_not_said_follows_from_the_sockets_and_the_rate() -> None:
    load = Load(sockets=1_200_000, rate=1_000, sockets_per_user=1.2, online=0.5)

    assert load.deliveries == pytest.approx(600)
    assert load.fetching == pytest.approx(1_000_000 / 600)
    assert load.reading == pytest.approx(load.fetching / 10)
    assert load.marking == pytest.approx(250)
    assert load.opening == pytest.approx(1_200_000 / 3_600)
    assert load.feeds == pytest.approx(2_000_000)


def test_the_table_has_a_line_for_each_part_and_says_what_it_assumes() -> None:
    load = Load(sockets=1_000_000, rate=100_000)

    lines = table(needs(load, UNITS, Machines())).splitlines()

    assert len(lines) == 2 + 5
    assert all(line.count("|") == 6 for line in lines)
    assert "1,000,000 sockets, 100,000 notifications/s" in assumptions(load, Machines())


def test_units_are_kept_and_those_that_lack_one_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "units.json"
    UNITS.save(file)

    assert Units.load(file) == UNITS

    file.write_text(json.dumps({**asdict(UNITS), "store": None, "more": 1}).replace('"mark"', '"marks"'))
    with pytest.raises(ValueError, match="lacks mark"):
        Units.load(file)


def test_the_command_prints_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "units.json"
    UNITS.save(file)
    words = ["capacity", "--sockets", "1000000", "--rate", "100000", "--units", str(file), "--marks", "5"]
    monkeypatch.setattr(sys, "argv", words)

    main()

    printed = capsys.readouterr().out
    assert "| consumers | 9 |" in printed
    assert "5 marks/s" in printed
