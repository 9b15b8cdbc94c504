"""Programs that are started, watched and ended, and by the fault tests also frozen or killed.

Everything here blocks: from a coroutine, call it through `asyncio.to_thread`.
"""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, TypedDict

STARTUP_SECONDS = 60.0
STOP_SECONDS = 10.0

Report = Callable[[str], None]


class ServerFailed(Exception):
    """A process ended or did not answer in time; the message ends with the tail of its log."""


class Entry(TypedDict):
    name: str
    started_at: float | None
    stop_signal: int


class Ledger:
    """A file of the processes that were started, so that a later run can end those of a killed run."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, pid: int, name: str, stop_signal: signal.Signals) -> None:
        entry = Entry(name=name, started_at=_started_at(pid), stop_signal=stop_signal)
        self._write({**self._read(), str(pid): entry})

    def remove(self, pid: int) -> None:
        entries = self._read()
        if entries.pop(str(pid), None):
            self._write(entries)

    def sweep(self, report: Report) -> None:
        """End the recorded processes that still run, clients before their servers.

        A pid may have been reused: only a process with the recorded start time is ours.
        """
        for number, entry in reversed(self._read().items()):
            pid, now, then = int(number), _started_at(int(number)), entry["started_at"]
            if now is not None and then is not None and abs(now - then) < 2:
                _end(pid, signal.Signals(entry["stop_signal"]))
                report(f"{entry['name']} of an earlier run ended (process {pid})")
        self._write({})

    def _read(self) -> dict[str, Entry]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}

    def _write(self, entries: Mapping[str, object]) -> None:
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(entries, indent=1))
        whole.replace(self._file)


class Child(Protocol):
    """A started process, as `subprocess.Popen` shows it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def popen(
    command: Sequence[str], log: IO[bytes], environment: Mapping[str, str] | None, **options: Any
) -> Child:
    """Start a program in a session of its own."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
        **options,
    )


class Process:
    """A program in a session of its own, which a Ctrl-C at the terminal does not reach. Its output goes to a
    log.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    spawn: Callable[..., Child] = staticmethod(popen)
    """Starts the process; tests replace it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        account: pwd.struct_passwd | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._account = account
        self._ledger = ledger
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start it, also repeatedly. The first start begins a new log."""
        if self.running:
            return
        self._forget()
        with self.log.open("wb" if self._child is None else "ab") as output:
            command = [str(word) for word in self._command]
            self._child = self.spawn(command, output, self._environment, **as_account(self._account))
        if self._ledger:
            self._ledger.add(self.pid, self.name, self.stop_signal)

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """Ask it to end, and kill it after `patience` seconds."""
        if self._child is not None and self.running:
            Process.resume(self)  # not a subclass's, which may wait until it serves
            _send(self.pid, self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to it and its children, which looks like a crash."""
        if self._child is None:
            return
        if self.running:
            _kill_all(_family(self.pid))
            self._child.wait()
        self._forget()

    def pause(self) -> None:
        """Freeze it and its children: connections stay open and nothing answers."""
        if self.running:
            _send(self.pid, signal.SIGSTOP)  # the parent first, so that it starts no more children
            for pid in _family(self.pid):
                _send(pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self.running:
            for pid in reversed(_family(self.pid)):
                _send(pid, signal.SIGCONT)

    def wait_ready(self, ready: Callable[[], bool], seconds: float = STARTUP_SECONDS) -> None:
        """Return when `ready()` is true. Raises ServerFailed when the process ends or the time is up."""
        settled = wait_until(lambda: not self.running or ready(), seconds)
        if not self.running:
            raise ServerFailed(f"{self.name} ended with code {self.exit_code}.\n{self.log_tail()}")
        if not settled:
            raise ServerFailed(f"{self.name} did not answer within {seconds:.0f} s.\n{self.log_tail()}")

    def _forget(self) -> None:
        if self._ledger and self._child is not None:
            self._ledger.remove(self._child.pid)

    def log_tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        tail = "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
        return f"The end of {self.log}:\n{tail or '    (empty)'}"


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _family(pid: int) -> list[int]:
    """The process and its descendants. PostgreSQL's children leave its process group, so that is not
    enough.
    """
    import psutil

    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def _started_at(pid: int) -> float | None:
    """When the process started; None when it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def _end(pid: int, stop_signal: signal.Signals) -> None:
    """End a process that is not our child."""
    family = _family(pid)
    for member in family:
        _send(member, signal.SIGCONT)
    _send(pid, stop_signal)
    if not wait_until(lambda: _started_at(pid) is None, STOP_SECONDS):
        _kill_all(family)


def _kill_all(pids: Sequence[int]) -> None:
    """Kill them and return when they have ended: PostgreSQL refuses to start while its old children live."""
    for pid in pids:
        _send(pid, signal.SIGKILL)
    wait_until(lambda: all(_started_at(pid) is None for pid in pids), STOP_SECONDS)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.03)
    return met
