"""The client of a connection."""

from collections.abc import Mapping
from typing import Any


def client_address(scope: Mapping[str, Any]) -> str:
    """The IP address of the peer; empty on a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""
