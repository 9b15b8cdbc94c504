"""A Redis Cluster of this machine: three masters, each with a replica."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis as synchronous
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.redis_servers import Certificates, debian_program
from workbench.embedded import LOOPBACK, RedisServer, free_port, started

MASTERS = 3
_NODE_TIMEOUT_MS = 1_000
"""After this time without an answer a node counts as failed, and its replica stands for election."""


class ClusterServer(RedisServer):
    """A node."""

    def __init__(self, folder: Path, tls: Certificates | None = None) -> None:
        """With certificates it speaks TLS to clients, on another port, and to other nodes."""
        folder.mkdir()
        self.tls_port = free_port() if tls else 0
        words = {
            "--cluster-enabled": "yes",
            "--cluster-port": str(free_port()),
            "--cluster-config-file": str(folder / "nodes.conf"),
            "--cluster-node-timeout": str(_NODE_TIMEOUT_MS),
            "--cluster-require-full-coverage": "no",
            "--cluster-replica-validity-factor": "0",
            "--repl-diskless-sync-delay": "0",
        }
        if tls:
            words |= {
                "--tls-port": str(self.tls_port),
                "--tls-cert-file": str(tls["server"]),
                "--tls-key-file": str(tls["server.key"]),
                "--tls-ca-cert-file": str(tls.ca),
                "--tls-auth-clients": "no",
                "--tls-cluster": "yes",
                "--tls-replication": "yes",
            }
        self.bus = words["--cluster-port"]
        super().__init__(
            folder,
            arguments=[word for pair in words.items() for word in pair],
            program=debian_program() if tls else None,
        )

    def ask(self, *words: Any) -> Any:
        """The answer to a command. Raises what redis-py raises."""
        with synchronous.Redis(port=self.port, protocol=2, socket_timeout=5) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def tells(self) -> dict[str, str]:
        """CLUSTER INFO."""
        lines = self.ask("CLUSTER", "INFO").decode().split()
        return dict(line.split(":", 1) for line in lines)

    @property
    def id(self) -> str:
        name: bytes = self.ask("CLUSTER", "MYID")
        return name.decode()

    def is_master(self) -> bool:
        return bool(self.ask("ROLE")[0] == b"master")


@dataclass(frozen=True)
class Cluster:
    """Its nodes: the masters of the beginning, then a replica of each."""

    nodes: Sequence[ClusterServer]
    tls: Certificates | None = None

    @property
    def url(self) -> str:
        if self.tls:
            names = ",".join(f"{LOOPBACK}:{node.tls_port}" for node in self.nodes)
            return f"rediss://{names}/?ssl_ca_certs={self.tls.ca}"
        return "redis://" + ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes[:2])

    def running(self) -> Sequence[ClusterServer]:
        return [node for node in self.nodes if node.running]

    def owner(self, slot: int) -> ClusterServer:
        """The master of a slot, as the first node that runs sees it."""
        for first, last, master, *_ in self.running()[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def replica(self, master: ClusterServer) -> ClusterServer:
        """The replica of a master."""
        ports = {node.port: node for node in self.running()}
        _, _, (replica, *_) = master.ask("ROLE")
        return ports[int(replica[1])]

    def other(self, master: ClusterServer) -> ClusterServer:
        """Another master."""
        return next(node for node in self.running() if node is not master and node.is_master())

    def well(self) -> bool:
        """Whether all that run agree, every slot is served, and every replica is up to date."""
        nodes = self.running()
        views = {str(_masters(node)) for node in nodes}
        told = [node.tells() for node in nodes]
        fine = all(
            each["cluster_state"] == "ok"
            and each["cluster_slots_ok"] == "16384"
            and each["cluster_size"] == "3"
            for each in told
        )
        return fine and len(views) == 1 and all(_linked(node) for node in nodes)

    def move(self, slot: int, to: ClusterServer, during: Callable[[], None] = lambda: None) -> None:
        """Migrate a slot as redis-cli does. `during` runs while it is on its way."""
        source = self.owner(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
        during()
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", LOOPBACK, to.port, "", 0, 5_000, "REPLACE", "KEYS", *keys)
        for node in (to, source, *self.running()):
            if node.is_master():
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)


def slot_of(name: str) -> int:
    return key_slot(name.encode())


@contextmanager
def cluster(folder: Path, *, replicas: bool = True, tls: Certificates | None = None) -> Iterator[Cluster]:
    """Start one, empty."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(started(ClusterServer(folder / str(number), tls), lambda _: None))
            for number in range(2 * MASTERS if replicas else MASTERS)
        ]
        masters = nodes[:MASTERS]
        each = REDIS_CLUSTER_HASH_SLOTS // MASTERS + 1
        for number, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < MASTERS:
                last = min(each * (number + 1), REDIS_CLUSTER_HASH_SLOTS) - 1
                node.ask("CLUSTER", "ADDSLOTSRANGE", each * number, last)
            node.ask("CLUSTER", "MEET", LOOPBACK, nodes[0].tls_port or nodes[0].port, nodes[0].bus)
        known = str(len(nodes))
        nodes[0].wait_ready(lambda: all(node.tells()["cluster_known_nodes"] == known for node in nodes))
        for master, replica in zip(masters, nodes[MASTERS:], strict=False):
            replica.wait_ready(lambda master=master, replica=replica: _knows(replica, master))  # type: ignore[misc]
            replica.ask("CLUSTER", "REPLICATE", master.id)
        made = Cluster(nodes, tls)
        nodes[0].wait_ready(made.well)
        yield made


def _knows(node: ClusterServer, other: ClusterServer) -> bool:
    return other.id.encode() in node.ask("CLUSTER", "NODES")


def _masters(node: ClusterServer) -> list[tuple[int, int, int]]:
    return sorted((first, last, master[1]) for first, last, master, *_ in node.ask("CLUSTER", "SLOTS"))


def _linked(node: ClusterServer) -> bool:
    role, *state = node.ask("ROLE")
    return bool(role == b"master" or state[2] == b"connected")
