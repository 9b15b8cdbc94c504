"""Ports for servers that start at the same time."""

import pytest

from workbench import embedded


def test_a_port_that_was_given_out_a_moment_ago_is_not_given_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "PORTS", range(18_000, 18_250))
    ports = [embedded.free_port() for _ in range(100)]
    assert len(set(ports)) == 100
