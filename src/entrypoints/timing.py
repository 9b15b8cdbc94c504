"""How long the live streams of a process wait for what, and how often they do what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All in seconds, unless it says otherwise."""

    # --- one stream ---
    ping: float = 25
    """After this long a silence a client is asked for a sign of life."""
    pong: float = 8
    """How long a client may take to give one."""
    send: float = 5
    """How long a client may leave what was sent to it unread once the kernel's buffers are full."""
    commands_a_second: float = 20
    """How many frames a client may send, in the long run."""
    commands_at_once: float = 100
    """How many it may send at once, after a silence."""

    # --- all of them ---
    tick: float = 1
    """How often each stream is looked at."""
    check: float = 40
    """How often each stream's position is compared with the feed: Redis loses frames without an error."""
    uncarried_check: float = 5
    """The same while no frames are carried at all. The streams go on, with delay."""
    on_its_way: float = 1
    """How long what was committed before a comparison may take to arrive."""
    drain_step: float = 0.1
    """How often some of the streams that are to end are ended."""
    drained_a_second: float = 20
    """A drain below this many streams a second is slow enough."""
    goodbye: float = 3
    """How long clients have to take their last frames, at the end of a drain."""
