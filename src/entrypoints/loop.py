"""The event loop: uvloop's where it exists (not on Windows); and when garbage is collected."""

import asyncio
import gc
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop; None for the standard library's."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


def calm_collector() -> None:
    """Have the garbage collector run seldom, and not over what a process keeps for as long as it lives.

    By default it runs at every 700 new objects, over hundreds of thousands of old ones again and again: a
    pause of tens of milliseconds in the middle of somebody's request. What it looks at often is kept small:
    young objects are nearly all in use where thousands of streams begin, and each look takes their time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 100)
