"""A process with another clock or with less patience: `python -m tests.altered CLOCK PING PONG HEAD UNREAD
COMMAND`.

CLOCK is what its clocks are ahead (or, below 0, behind) of the machine's, PING the silence after which a
socket is asked whether it is there, PONG how long it may take to answer, HEAD how long the whole head of a
request may take to come, UNREAD how long a peer may leave unread what is sent to it in the end. All are in
seconds.
"""

import sys
import time
from datetime import datetime, timedelta, tzinfo


def main() -> None:
    ahead, ping, pong, head, unread, *command = sys.argv[1:]
    set_clocks(float(ahead))

    # Only now: who imports a clock keeps it.
    from dependency_injector import providers

    from adapters.websocket.http import HttpProtocol
    from entrypoints.commands import cli
    from entrypoints.container.api import ApiContainer
    from entrypoints.timing import Timing

    ApiContainer.stream_timing.override(providers.Object(Timing(ping=float(ping), pong=float(pong))))
    HttpProtocol.head_seconds = float(head)
    HttpProtocol.unread_seconds = float(unread)
    sys.exit(cli.main(command))


def set_clocks(ahead: float) -> None:
    """Whatever tells the time of day here tells another one. Monotonic clocks run as they do."""
    machine, machine_ns = time.time, time.time_ns
    time.time = lambda: machine() + ahead
    time.time_ns = lambda: machine_ns() + int(ahead * 1_000_000_000)

    class Elsewhen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead)

    import jwt.api_jwt

    import adapters.clock

    adapters.clock.datetime = Elsewhen  # type: ignore[attr-defined]
    jwt.api_jwt.datetime = Elsewhen  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
