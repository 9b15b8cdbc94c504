"""The address of a Redis Cluster: `redis://user:password@a:6379,b:6379`, with some of its nodes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PORT = 6379
_URL = re.compile(r"(rediss?://(?:[^/?#@]*@)?)([^/?#@]+)(?:/0?)?((?:\?[^#]*)?)")
_NODE = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")

Address = tuple[str, int]
"""Host and port of a node; an IPv6 address without brackets."""


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """What such an address says."""

    nodes: Sequence[Address]
    _before: str
    _after: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"{type(self).__name__}({self.nodes!r})"

    def of(self, address: Address) -> str:
        """The URL of one node: all have the same login and parameters."""
        return f"{self._before}{shown(address)}/0{self._after}"


def shown(address: Address) -> str:
    """A node as people write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(url: str) -> ClusterUrl:
    """Read an address. Raises ValueError, with a message that quotes nothing of it."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("must be redis:// or rediss:// with host:port of some nodes, and no database but 0")
    before, hosts, after = found.groups()
    return ClusterUrl([_address(host) for host in hosts.split(",")], before, after)


def _address(text: str) -> Address:
    found = _NODE.fullmatch(text.strip())
    if found is None or not 0 < int(found[2] or PORT) <= 65535:
        raise ValueError("must have host or host:port of each node, separated by commas")
    return found[1].strip("[]"), int(found[2] or PORT)
