"""The times and rates of live streams."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """In seconds, unless stated otherwise."""

    # --- one stream ---
    ping: float = 25
    """A client that was sent nothing for this long is sent a ping."""
    pong: float = 8
    """How long a client may take to answer a ping."""
    send: float = 5
    """How long a client may read nothing once the kernel's buffers are full."""
    commands_a_second: float = 20
    """How many frames a client may send, in the long run."""
    commands_at_once: float = 100
    """How many frames it may send at once after a silence."""

    # --- all of them ---
    tick: float = 1
    """How often each stream is checked for what is due."""
    check: float = 40
    """How often each stream's position is compared with the store: Redis loses frames without an error."""
    uncarried_check: float = 5
    """The same while Redis carries no frames. The streams continue, with delay."""
    on_its_way: float = 1
    """How long a change that a comparison found may take to arrive before the stream catches up."""
    drain_step: float = 0.1
    """How often a drain ends some of the streams."""
    drained_a_second: float = 20
    """A drain is never slower than this many streams a second."""
    goodbye: float = 3
    """How long a drain waits at its end for clients to read their last frames."""
