"""`bellwire dev`: the whole service on this machine. One command starts it, one Ctrl-C stops it."""

import contextlib
import http.client
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self, TextIO

from application.keys import new_key
from entrypoints.settings import Settings
from workbench import data_folder
from workbench.embedded import (
    LOOPBACK,
    EmbeddedServers,
    Server,
    TansuServer,
    free_port,
    port_is_free,
    stopped_at_the_end,
)
from workbench.processes import Ledger, Process, ServerFailed, wait_until
from workbench.programs import MissingServer

RESTARTS = 5
RESTARTS_WITHIN = 600.0  # seconds
COMMAND_SECONDS = 60.0
DRAIN_SECONDS = 30.0


class Stopped(Exception):
    """Someone pressed Ctrl-C, or sent SIGTERM or SIGHUP."""


class CommandFailed(Exception):
    """A step of the start failed; the message ends with its output."""


@dataclass(frozen=True, slots=True)
class DevSettings:
    """What a person may choose; the rest is derived."""

    folder: Path
    port: int
    environment: Mapping[str, str]

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment. Raises InvalidSettings, naming the variable."""
        given = data_folder.without_own(environment)
        Settings.read(given)  # before a server starts for nothing
        folder = Path(given.get("BELLWIRE_DATA") or data_folder.project() / ".bellwire")
        return cls(folder.resolve(), int(given.get("BELLWIRE_PORT") or "8000"), given)


def run(settings: DevSettings | None = None) -> int:
    """Run everything until Ctrl-C. Return the exit code. Only one run at a time can use a data folder."""
    chosen = settings or DevSettings.from_env(os.environ)
    data_folder.make(chosen.folder, "BELLWIRE_DATA")
    try:
        with data_folder.only_one(chosen.folder) as lock:
            return Development(chosen, lock).run()
    except (data_folder.AlreadyRunning, CommandFailed, MissingServer, ServerFailed) as failure:
        _say(f"✗ {failure}")
        return 1


class Service(Server):
    """One of our own processes. It has started when it reports that it is ready."""

    began_at = 0.0

    def __init__(
        self, name: str, command: str, *, port: int, interrupts: "Interrupts", **options: Any
    ) -> None:
        super().__init__(name, _bellwire(command), **options)
        self.port = port
        self._interrupts = interrupts

    def begin(self) -> None:
        """Start it without waiting."""
        self.began_at = time.monotonic()
        Process.start(self)

    def answers(self) -> bool:
        self._interrupts.check()
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Interrupts:
    """Records signals instead of raising: an exception at any point could lose a process just started."""

    def __init__(self) -> None:
        self.noted = False
        self.services: list[Service] = []
        self._stopping = False

    def check(self) -> None:
        if self.noted and not self._stopping:
            raise Stopped

    def stopping(self) -> None:
        """From here on a signal interrupts nothing; it only kills the services sooner."""
        self._stopping = True

    @contextlib.contextmanager
    def caught(self) -> Iterator[Self]:
        wanted = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
            wanted.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in wanted}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.noted:  # a second signal kills. Not the servers: they stop soon anyway, and save data.
            for service in self.services:
                if service.running:
                    os.kill(service.pid, signal.SIGKILL)
        self.noted = True


class Development:
    """One run, from the first server to the last printed line."""

    def __init__(self, settings: DevSettings, lock: TextIO) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._lock = lock
        self._ledger = Ledger(settings.folder / "processes.json")
        self._interrupts = Interrupts()
        self._parts: list[Server] = []
        self._restarts: defaultdict[str, list[float]] = defaultdict(list)

    def run(self) -> int:
        with self._interrupts.caught(), contextlib.ExitStack() as stack:
            try:
                self._boot(stack)
                return self._supervise()
            except Stopped:
                _say("\nStopping.")
                return 0
            finally:
                self._interrupts.stopping()

    def _boot(self, stack: contextlib.ExitStack) -> None:
        began = time.monotonic()
        _say(f"Starting Bellwire; its data and logs are in {self._folder}")
        self._ledger.sweep(self._report)
        servers = stack.enter_context(
            EmbeddedServers.start(
                self._folder, given=self._settings.environment, report=self._report, ledger=self._ledger
            )
        )
        environment = self._environment(servers, self._port(), free_port())
        self._migrate(environment)
        access = self._serve(environment, stack)
        self._parts = [*servers.running_here, *self._interrupts.services]
        url = f"http://{LOOPBACK}:{environment['BELLWIRE_PORT']}"
        file = self._folder / "env"
        data_folder.write_environment(
            file, environment | _for_clients(url, access), self._settings.environment
        )
        data_folder.write(self._lock, f"{os.getpid()} {url}/")
        _say(_welcome(url, access, self._folder, time.monotonic() - began))

    def _serve(self, environment: Mapping[str, str], stack: contextlib.ExitStack) -> Mapping[str, str]:
        """Start our processes side by side. Return how to access the demo.

        The demo is made while the consumer waits for its group, which takes longer.
        """
        api = self._service("API", "api", int(environment["BELLWIRE_PORT"]), environment)
        consumer_port = int(environment["BELLWIRE_CONSUMER_PORT"])
        consumer = self._service("Consumer", "consumer", consumer_port, environment)
        self._interrupts.services += [api, consumer]
        consumer.begin()
        stack.enter_context(stopped_at_the_end(consumer, self._report))
        stack.callback(self._drain, consumer, environment)  # once the API has stopped
        api.begin()
        stack.enter_context(stopped_at_the_end(api, self._report))
        self._await(api)
        access: Mapping[str, str] = json.loads(_command("demo-access", environment, self._interrupts))
        self._await(consumer)
        return access

    def _drain(self, consumer: Service, environment: Mapping[str, str]) -> None:
        """Have what was accepted stored: the embedded broker forgets it when it stops."""
        if not any(isinstance(part, TansuServer) for part in self._parts):  # or the start was interrupted
            return
        from workbench.queue import drain  # takes long to import

        until = time.monotonic() + DRAIN_SECONDS
        left = drain(environment, lambda: consumer.running and time.monotonic() < until)
        if left:
            _say(
                f"✗ {left:,} records were accepted and not stored. They are lost: the broker keeps no files."
            )

    def _await(self, service: Service) -> None:
        service.wait_ready(service.answers)
        self._report(f"{service.name} runs ({time.monotonic() - service.began_at:.1f} s)")

    def _port(self) -> int:
        if port_is_free(self._settings.port):
            return self._settings.port
        port = free_port()
        _say(f"  Port {self._settings.port} is taken; using {port}")
        return port

    def _environment(self, servers: EmbeddedServers, port: int, consumer_port: int) -> dict[str, str]:
        stage = self._settings.environment.get("BELLWIRE_ENVIRONMENT") or "live"
        defaults = {
            "BELLWIRE_TOKEN_SECRET": data_folder.kept(
                self._folder / "secret", lambda: secrets.token_urlsafe(48)
            ),
            "BELLWIRE_OPERATOR_SECRET": data_folder.kept(
                self._folder / "operator-secret", lambda: secrets.token_urlsafe(48)
            ),
            "BELLWIRE_DEMO_KEY": data_folder.kept(
                self._folder / f"key-{stage}", lambda: new_key(stage, secrets.token_hex)
            ),
            "BELLWIRE_OPEN_SIGNUP": "true",
            "BELLWIRE_CREATE_USERS": "publish",
            "BELLWIRE_DEMO": "true",
            "BELLWIRE_LOG_FORMAT": "text",
            "BELLWIRE_DRAIN_SECONDS": "1",  # Ctrl-C stays quick however many streams are open
            # The embedded broker makes a group wait for half of this whenever a member joins. Others require
            # at least 6 ...
            "BELLWIRE_KAFKA_SESSION_SECONDS": "4" if servers.kafka else "6",
            # ... and here a record may wait for a fifth of this.
            "BELLWIRE_KAFKA_FETCH_WAIT_MS": "20",
        }
        settled = {
            "BELLWIRE_HOST": LOOPBACK,
            "BELLWIRE_PORT": str(port),
            "BELLWIRE_CONSUMER_PORT": str(consumer_port),
            "PYTHONUNBUFFERED": "1",  # a process that dies leaves its last output in the log
        }
        return defaults | dict(self._settings.environment) | servers.environment() | settled

    def _migrate(self, environment: Mapping[str, str]) -> None:
        began = time.monotonic()
        _command("migrate", environment, self._interrupts)
        self._report(f"Tables are up to date ({time.monotonic() - began:.1f} s)")

    def _service(self, name: str, command: str, port: int, environment: Mapping[str, str]) -> Service:
        return Service(
            name,
            command,
            port=port,
            interrupts=self._interrupts,
            log=self._folder / f"{command}.log",
            environment=environment,
            ledger=self._ledger,
        )

    def _supervise(self) -> int:
        """Restart processes that end unexpectedly, until one has been restarted too often."""
        while True:
            wait_until(lambda: self._interrupts.noted or not all(part.running for part in self._parts), 60)
            self._interrupts.check()
            for part in self._parts:
                if not part.running and not self._revived(part):
                    return 1

    def _revived(self, part: Server) -> bool:
        now = time.monotonic()
        recent = [moment for moment in self._restarts[part.name] if now - moment < RESTARTS_WITHIN]
        _say(f"✗ {part.name} ended unexpectedly, code {part.exit_code}. {part.log_tail()}")
        if len(recent) == RESTARTS:
            _say(f"✗ {part.name} ended again after {RESTARTS} restarts; giving up.")
            return False
        self._restarts[part.name] = [*recent, now]
        wait_until(lambda: self._interrupts.noted, len(recent))
        self._interrupts.check()
        with contextlib.suppress(ServerFailed):  # then it does not run, and the next round sees that
            self._revive(part)
            self._report(f"{part.name} runs again ({time.monotonic() - now:.1f} s)")
        return True

    def _revive(self, part: Server) -> None:
        """Start it again. Raises ServerFailed.

        The topics of the embedded broker were in its memory. It takes records for a topic that it does not
        have, and forgets them when the consumer makes it. So nothing is published before that.
        """
        others = self._interrupts.services if isinstance(part, TansuServer) else []
        for service in others:
            service.stop()
        part.start()
        for service in reversed(others):
            service.start()

    def _report(self, line: str) -> None:
        _say(f"✓ {line}")
        self._interrupts.check()


# --- commands and output --------------------------------------------------------------------------------


def _bellwire(command: str) -> Sequence[str]:
    return [sys.executable, "-m", "bellwire", command]


def _command(command: str, environment: Mapping[str, str], interrupts: Interrupts) -> str:
    """Run a `bellwire` command to its end and return its output."""
    try:
        done = subprocess.run(
            _bellwire(command),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"`bellwire {command}` did not end within {COMMAND_SECONDS:.0f} s.") from None
    interrupts.check()  # a Ctrl-C also ends the command, which is not a failure
    if done.returncode:
        raise CommandFailed(f"`bellwire {command}` failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def _for_clients(url: str, access: Mapping[str, str]) -> dict[str, str]:
    """The variables that the clients and examples in this repository read."""
    return {
        "BELLWIRE_URL": url,
        "BELLWIRE_API_KEY": access["api_key"],
        "BELLWIRE_TOKEN": access["token"],
        "BELLWIRE_CURSOR": access["cursor"],
    }


def _welcome(url: str, access: Mapping[str, str], folder: Path, seconds: float) -> str:
    user = access["user_id"]
    body = {
        "user_id": user,
        "event": "comment.created",
        "title": "New comment",
        "message": "Ada replied to you",
    }
    headers = ["-H", f"X-API-Key: {access['api_key']}", "-H", "Content-Type: application/json"]
    publish = ["curl", f"{url}/createNotification", *headers, "-d", json.dumps(body)]
    stream = f"{url}/sse/{user}?cursor={access['cursor']}"
    follow = ["curl", "-N", stream, "-H", f"Authorization: Bearer {access['token']}"]
    return f"""
Bellwire is up ({seconds:.1f} s).

  Page       {url}/
  API docs   {url}/schema
  Demo user  {access["email"]}, password {access["password"]}
  Logs       {folder / "api.log"}, {folder / "consumer.log"}
  Commands   source {shlex.quote(str(folder / "env"))}
             then, for instance, bellwire keys

Notify the demo user:

  {shlex.join(publish)}

Follow that user's feed, starting now (Ctrl-C ends it):

  {shlex.join(follow)}

Ctrl-C stops everything.
"""


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a closed terminal is no reason to leave processes behind
        print(line, flush=True)
