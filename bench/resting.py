"""Scenario: the cost of a quiet socket."""

import time
from collections.abc import Iterator

from bench.measured import Row
from bench.scenario import Context
from bench.sockets import Sockets, clients

_WARM = 100


def idle(context: Context) -> Iterator[Row]:
    """Memory and processor time of the API for each open, authenticated, silent socket."""
    count = 1_000 if context.quick else 5_000
    seconds = max(context.seconds, 10) if context.quick else 60  # a ping each is due after 25
    users = context.users("idle", _WARM + count)
    context.stack.topic("idle")
    with context.stack.service("api", "idle") as api, clients(api.port) as watchers:
        watchers(Sockets.open, users[:_WARM])  # later ones share what the first ones allocate
        time.sleep(1)
        without, began = api.rss(), time.monotonic()
        watchers(Sockets.open, users[_WARM:])
        took = time.monotonic() - began
        time.sleep(1)
        note = f"{count:,} sockets"
        yield Row(
            what="memory of an idle socket", value=(api.rss() - without) / count / 1024, unit="KiB", note=note
        )
        yield Row(what="sockets opened", value=count / took, unit="sockets/s", note="50 at a time")
        spent, closed = api.cpu(), watchers(Sockets.closed_by_now)
        time.sleep(seconds)
        yield Row(
            what="processor time of an idle socket",
            value=(api.cpu() - spent) / seconds / (_WARM + count) * 1e6,
            unit="µs/s",
            errors=watchers(Sockets.closed_by_now) - closed,
            note=f"over {seconds:.0f} s" + (", no ping among them" if seconds < 30 else ", pings included"),
        )
