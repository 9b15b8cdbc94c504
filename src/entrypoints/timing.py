"""The intervals and time limits of the live streams of a process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """In seconds, unless stated otherwise."""

    # --- one stream ---
    ping: float = 25
    """A client that was silent for this long is sent a ping."""
    pong: float = 8
    """How long a client may take to answer it."""
    send: float = 5
    """How long a client may leave frames unread once the kernel's buffers are full."""
    commands_a_second: float = 20
    """How many frames a second a client may send on average."""
    commands_at_once: float = 100
    """How many frames it may send in a burst."""

    # --- all streams ---
    tick: float = 1
    """How often each stream is checked."""
    check: float = 40
    """How often each stream's position is compared with the feed: Redis may lose frames without an error."""
    uncarried_check: float = 5
    """The same while no frames are carried. The streams continue, with a delay."""
    on_its_way: float = 1
    """How long a change committed before a comparison may take to arrive."""
    drain_step: float = 0.1
    """How often a drain ends some streams."""
    drained_a_second: float = 20
    """No drain needs to be slower than this many streams a second."""
    goodbye: float = 3
    """How long clients have to receive their last frames at the end of a drain."""
