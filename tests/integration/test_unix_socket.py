"""The API on a socket file: who may connect, what becomes of one that is left over, and what commands say."""

import asyncio
import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from entrypoints.commands.asking import NoAnswer, ask, health, own
from entrypoints.commands.findings import of_proxies
from entrypoints.listening import api_place, unix_socket
from entrypoints.settings import InvalidSettings, Settings
from tests.integration.test_listening import NOWHERE, running
from tests.product import eventually
from workbench.embedded import free_port


@pytest.fixture
def path() -> Iterator[Path]:
    """Of a socket: shorter than those of pytest's folders, which have names of tests in them."""
    with TemporaryDirectory(prefix="bw-") as folder:
        yield Path(folder) / "api.sock"


def left_over(path: Path) -> None:
    """What a killed process leaves."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_file_has_its_permissions_and_goes_in_the_end(path: Path, mode: int) -> None:
    with unix_socket(path, mode) as (listening,):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listening.accept()[0].close()

    assert not path.exists()
    assert listening.fileno() == -1


def test_a_file_that_a_killed_process_left_is_replaced(path: Path) -> None:
    left_over(path)
    with unix_socket(path, 0o660), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_on_which_somebody_listens_stays(path: Path) -> None:
    with unix_socket(path, 0o660) as (first,):
        with pytest.raises(InvalidSettings, match=r"^BELLWIRE_UNIX_SOCKET: .*Address already in use$"):
            unix_socket(path, 0o660).__enter__()
        first.accept()[0].close()  # the question whether it listens
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_of_several_that_start_together_one_listens(path: Path) -> None:
    """None removes the socket of another, which it takes for left over."""
    left_over(path)
    ready, over = threading.Barrier(8), threading.Event()
    listening: list[socket.socket] = []
    refused: list[Exception] = []

    def start() -> None:
        ready.wait()
        try:
            with unix_socket(path, 0o660) as (one,):
                listening.append(one)
                over.wait(60)
        except InvalidSettings as error:
            refused.append(error)
            if len(refused) == 7:
                over.set()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(listening), len(refused)) == (1, 7)


def test_anything_else_at_the_path_stays(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(InvalidSettings, match="it is not a socket"):
        unix_socket(path, 0o660).__enter__()

    assert path.read_text() == "mine"


def test_a_file_that_another_put_there_meanwhile_stays(path: Path) -> None:
    with unix_socket(path, 0o660):
        path.rename(path.with_name("old"))  # keeps its number, which the new one must not get
        path.write_text("mine")

    assert path.read_text() == "mine"


def test_a_folder_that_does_not_exist_is_named(path: Path) -> None:
    missing = path.parent / "none" / "api.sock"
    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_UNIX_SOCKET: cannot listen on {missing}: No such"):
        unix_socket(missing, 0o660).__enter__()


@pytest.mark.parametrize("kind", ["one worker", "two workers"])
async def test_a_process_is_reached_by_the_file_and_a_killed_one_is_followed_by_another(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOWHERE, "BELLWIRE_UNIX_SOCKET", str(path))
    monkeypatch.setitem(NOWHERE, "BELLWIRE_DRAIN_SECONDS", "0")
    port = free_port()

    async def answers() -> bool:
        assert process.running, process.log_tail()
        try:
            return (await asyncio.to_thread(ask, f"unix:{path}", "/health/live")).status == 200
        except NoAnswer:
            return False

    async with running(path.parent, kind, "127.0.0.1", port) as process:
        await eventually(answers, "it answers")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        os.killpg(process.pid, signal.SIGKILL)
        await eventually(lambda: not process.running, "it is gone")
    assert path.exists()  # noqa: ASYNC240 - nothing waits for it
    async with running(path.parent, kind, "127.0.0.1", port) as process:
        await eventually(answers, "the next one answers")
        os.kill(process.pid, signal.SIGTERM)
        await eventually(lambda: not process.running, "it has ended")
    assert not path.exists()  # noqa: ASYNC240 - as above
    assert re.search(rf"serving on unix:{path}$", process.log.read_text(), re.MULTILINE)


async def test_a_process_whose_socket_is_taken_says_so_in_a_line_and_ends_with_status_2(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOWHERE, "BELLWIRE_UNIX_SOCKET", str(path))
    with unix_socket(path, 0o660):
        async with running(path.parent, "one worker", "127.0.0.1", free_port()) as process:
            await eventually(lambda: not process.running, "it has ended")

    (line,) = process.log.read_text().splitlines()
    assert line == f"bellwire: BELLWIRE_UNIX_SOCKET: cannot listen on {path}: Address already in use"
    assert process.exit_code == 2


@pytest.mark.parametrize(("trusted", "warned"), [("10.0.0.1", True), ("10.0.0.1 unix", False)])
def test_the_doctor_names_a_proxy_that_is_not_believed(trusted: str, warned: bool) -> None:
    settings = Settings(unix_socket="/run/api.sock", trusted_proxies=trusted)

    assert [finding.check for finding in of_proxies(settings)] == ["proxies"] * warned


def test_commands_ask_the_api_at_its_file_and_the_consumer_at_its_port(path: Path) -> None:
    settings = Settings(unix_socket=str(path), consumer_port=8101)

    assert own(settings) == api_place(settings) == f"unix:{path}"
    assert own(settings, settings.consumer_port) == "http://127.0.0.1:8101"
    missing = health(own(settings))
    assert (missing.answers, missing.listening, missing.text) == (False, False, "No such file or directory")
