"""Apache Kafka on this machine, for tests that need a broker which keeps its records.

One node that is both broker and controller (KRaft), from an existing distribution or from the same jars
fetched by `make kafka`, and small enough to run beside everything else.
"""

import base64
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from workbench.embedded import LOOPBACK, KafkaServer, free_port
from workbench.processes import STARTUP_SECONDS, Ledger, ServerFailed, wait_until
from workbench.programs import MissingServer

_HEAP = ("-Xms64m", "-Xmx512m")
# A faster start and less memory: it runs for minutes on a machine that has other work.
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.showDateTime=true")
# By default a JVM stops for a full collection when its classes have grown to 20 MB and again when they grow
# on: up to 290 ms on a busy machine, in the first ten seconds, when a measurement begins.
_STEADY = ("-XX:MetaspaceSize=128m",)

_SETTLED_SECONDS = 2.0  # several of the heartbeats below


class ApacheKafkaServer(KafkaServer):
    """Apache Kafka; topics, records and committed offsets outlive it."""

    durable: ClassVar[bool] = True

    def __init__(
        self,
        folder: Path,
        *,
        home: Path,
        advertised: int | None = None,
        passwords: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`home` has the jars in `libs`; `advertised` is the port given to clients, such as a proxy's
        (default: the broker's own). With `passwords` by user, clients may also log in with PLAIN, on
        `login_port`. Raises MissingServer.
        """
        require(home)
        self.home = home
        self._java = [_java(), *_HEAP, *_QUICK, *_STEADY, "-cp", f"{home}/libs/*"]
        self._frozen = False
        self._data = folder / "apache-kafka"
        self._properties = folder / "kafka.properties"
        port = free_port()
        super().__init__(
            [*self._java, "kafka.Kafka", self._properties], port=port, folder=folder, ledger=ledger
        )
        settings = properties(port, _another_port(port), self._data) | {
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{advertised or port}"
        }
        self.login_port = 0
        if passwords:
            self.login_port = free_port()
            settings = with_login(settings, self.login_port, passwords)
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def start(self) -> None:
        if not (self._data / "meta.properties").exists():
            self._format()
        super().start()

    def pause(self) -> None:
        self._frozen = True
        super().pause()

    def resume(self) -> None:
        """Resume it, and return when it has settled. A broker that was frozen for longer than its session
        answers, then names no broker for a moment, then registers again.
        """
        super().resume()
        if self._frozen and self.running:
            self.wait_ready(self._answers_steadily)
        self._frozen = False

    def _answers_steadily(self) -> bool:
        return not wait_until(lambda: not self.answers(), _SETTLED_SECONDS)

    def _format(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # left by an interrupted start
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        # An id that begins with a dash would be taken for an option.
        words = ["format", f"--cluster-id={cluster}", "--config", str(self._properties)]
        done = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=STARTUP_SECONDS,
        )
        if done.returncode:
            raise ServerFailed(f"Kafka could not make its data folder: {done.stdout}{done.stderr}")


def require(home: Path) -> None:
    """Raise MissingServer unless Kafka is in `home` and a Java to run it on PATH."""
    if not list(home.glob("libs/kafka_*.jar")):
        remedy = "make kafka, or unpack a distribution and set KAFKA_HOME to its folder"
        raise MissingServer(f"Apache Kafka ({home}/libs)", remedy)
    _java()


def _java() -> str:
    if found := shutil.which("java"):
        return found
    raise MissingServer("Java 17 or newer (java on PATH)", "your system's packages")


def _another_port(taken: int) -> int:
    while (port := free_port()) == taken:
        pass
    return port


def with_login(settings: Mapping[str, str], port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """The settings with another listener, on which clients must log in."""
    users = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    listener = f",CLIENTS://{LOOPBACK}:{port}"
    return {
        **settings,
        "listeners": settings["listeners"] + listener,
        "advertised.listeners": settings["advertised.listeners"] + listener,
        "listener.security.protocol.map": settings["listener.security.protocol.map"]
        + ",CLIENTS:SASL_PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        ),
    }


def properties(port: int, controller_port: int, data: Path) -> dict[str, str]:
    """The settings of a small single node that quickly drops dead members."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # One node: there is nobody to replicate to.
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        # Small: each partition is a folder of open files, and each thread takes time to start.
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "1",
        "num.network.threads": "2",
        "num.io.threads": "2",
        "background.threads": "2",
        "group.coordinator.threads": "1",
        "log.cleaner.dedupe.buffer.size": str(2 * 1024 * 1024),
        # Quick: a group starts with its first member, and may choose a session shorter than the usual 6 s.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed broker may register again when its old session is over: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # It looks for records to delete 30 s after its start, and finds those that were written with a time
        # of long ago, as tests do. No broker here lives for a day.
        "log.initial.task.delay.ms": str(24 * 60 * 60 * 1000),
    }
