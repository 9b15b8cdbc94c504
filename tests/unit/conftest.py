"""Unit tests open no socket to anywhere."""

import socket
from typing import Any

import hypothesis
import pytest

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("bellwire", deadline=None)
hypothesis.settings.load_profile("bellwire")


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects. The pair of sockets inside an event loop is made without connecting."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == getattr(socket, "AF_UNIX", None):
            connect(self, address)
        else:
            pytest.fail(f"a unit test connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
